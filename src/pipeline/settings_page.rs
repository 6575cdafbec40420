//! `docs/settings.md`: every key of the pipeline file in Markdown, from [`super::keys`] and the defaults of [`super::spec`].

use std::fmt::Write;

use serde_json::Value;

use super::defaults::{at, defaults};
use super::keys::{KEYS, Key, SECTIONS, Want, about_section, split};
use crate::error::Result;

const HEAD: &str = "\
# The pipeline file, key by key

A pipeline file is TOML. Only what differs from the defaults below needs to be said; any key can be overridden with
`--set KEY=VALUE`. Relative paths start at the file's folder. Defaults of the method's own settings are those of microCLIP's paper
([arXiv 2510.02270](https://arxiv.org/abs/2510.02270)), but for saliency, where the released code depends on an eigenvector's sign.

`microclip-pipe init FOLDER` writes a file to begin with. Editors with [Taplo](https://taplo.tamasfe.dev) (in VS Code: Even Better TOML)
complete the keys, show what is said here and underline mistakes when the file's first line names the JSON schema:

```toml
#:schema pipeline.schema.json
```

The schema is [`schemas/pipeline.schema.json`](../schemas/pipeline.schema.json); `microclip-pipe schema --pipeline > pipeline.schema.json`
puts it beside a file. Policies have [a page of their own](policies.md), and so has [transduction](transduction.md).
";

const FOOT: &str = "
*This page is written by `microclip-pipe schema --settings`, from the table that pipeline files are checked against.*
";

/// The page.
///
/// # Errors
/// [`Kind::Internal`] where a default is not a value that its key takes.
pub fn settings_page() -> Result<String> {
    let defaults = defaults("")?;
    let mut page = HEAD.to_owned();
    for section in std::iter::once("").chain(SECTIONS.iter().copied()) {
        let title = if section.is_empty() { "At the top".to_owned() } else { format!("`[{section}]`") };
        let about = about_section(section);
        let about = if about.is_empty() { String::new() } else { format!("{about}\n\n") };
        // Writing to a string cannot fail.
        let _ = write!(page, "\n## {title}\n\n{about}| key | must be | default | meaning |\n|---|---|---|---|\n");
        for key in KEYS.iter().filter(|key| split(key.name).0 == section) {
            page.push_str(&row(key, at(&defaults, key.name)));
        }
    }
    Ok(page + FOOT)
}

fn row(key: &Key, default: Option<&Value>) -> String {
    let default = match default.filter(|default| !default.is_null()) {
        _ if key.required => "required".to_owned(),
        Some(default) => format!("`{default}`"),
        None => String::new(),
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
    format!("| `{}` | {must_be} | {default} | {meaning} |\n", key.name)
}
