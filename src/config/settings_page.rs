//! `docs/settings.md`: every key of the pipeline file in Markdown, from the declarations of the
//! settings.

use serde_json::Value;

use super::keys::{Named, TABLES, join};
use super::{Spec, recipes};
use crate::settings::{Key, Settings, Want};

const HEAD: &str = r#"
# The pipeline file, key by key

A pipeline file is TOML. Only what differs from the defaults below needs to be said; any key can be overridden with
`--set KEY=VALUE`. Relative paths start at the file's folder.

The defaults are those of the *recommended* recipe, which was chosen over several data sets ([how](ablations.md)). `adapt.recipe = "paper"` gives those of
microCLIP's paper ([arXiv 2510.02270](https://arxiv.org/abs/2510.02270)), but for saliency, where the released code depends on an eigenvector's sign;
`"released"` is the released code, saliency included. A key that the file sets wins over its recipe:

RECIPES

`microclip-pipe init FOLDER` writes a file to begin with. Editors with [Taplo](https://taplo.tamasfe.dev) (in VS Code: Even Better TOML)
complete the keys, show what is said here and underline mistakes when the file's first line names the JSON schema:

```toml
#:schema pipeline.schema.json
```

The schema is [`schemas/pipeline.schema.json`](../schemas/pipeline.schema.json); `microclip-pipe schema --pipeline > pipeline.schema.json`
puts it beside a file. Policies have [a page of their own](policies.md), and so has [transduction](transduction.md).
"#;

const FOOT: &str = "
*This page is written by `microclip-pipe schema --settings`, from the table that pipeline files are checked against.*
";

/// Returns the page.
pub fn settings_page() -> String {
    let recipes: String = recipes::rows().map(|row| format!("| `{}` |\n", row.join("` | `"))).collect();
    let head = format!("| key | `recommended` | `paper` | `released` |\n|---|---|---|---|\n{}", recipes.trim_end());
    let mut page = HEAD.trim_start().replace("RECIPES", &head);
    table("", "At the top", "", Spec::TABLE.keys, &mut page);
    for Named { name, of } in TABLES.iter() {
        table(name, &format!("`[{name}]`"), of.about, of.keys, &mut page);
    }
    page + FOOT
}

fn table(name: &str, title: &str, about: &str, keys: &[Key], page: &mut String) {
    let about = if about.is_empty() { String::new() } else { format!("{about}\n\n") };
    page.push_str(&format!("\n## {title}\n\n{about}| key | must be | default | meaning |\n|---|---|---|---|\n"));
    page.extend(keys.iter().map(|key| row(&join(name, key.name), key)));
}

fn row(name: &str, key: &Key) -> String {
    let default = match key.default.map(|default| default()) {
        None => "required".to_owned(),
        Some(Value::Null) => String::new(),
        Some(default) => format!("`{default}`"),
    };
    let mut meaning = key.about.to_owned();
    let must_be = match key.want {
        Want::Choice(choices) => {
            let explained = choices.explained().map(|(name, about)| format!("<br>`{name}`: {about}"));
            meaning.extend(explained);
            choices.names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        }
        want => want.describe().replace('<', "&lt;"),
    };
    format!("| `{name}` | {must_be} | {default} | {meaning} |\n")
}
