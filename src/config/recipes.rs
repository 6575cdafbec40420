//! What the recipes set that a pipeline file leaves open: `adapt.recipe` stands for a whole column
//! of this table.

use toml::{Table, Value};

use super::keys;
use crate::stage::adapt::BaseRecipe;

/// A key, and its value in [`BaseRecipe::Paper`] and in [`BaseRecipe::Released`], as TOML.
/// [`BaseRecipe::Recommended`] has the defaults of the keys.
pub(super) const RECIPES: [(&str, &str, &str); 14] = [
    ("adapt.tune", "\"layernorm\"", "\"reference\""),
    ("adapt.batch", "64", "64"),
    ("adapt.head_lr_factor", "1.0", "1.0"),
    ("adapt.class_prior", "\"uniform\"", "\"uniform\""),
    ("dka.gamma", "0.5", "0.5"),
    ("dka.balance", "0.0", "0.0"),
    ("fusion.coarse", "\"cls\"", "\"cls\""),
    ("predict.gamma", "0.0", "0.0"),
    ("transduction.predictions", "false", "false"),
    ("transduction.method", "\"stata\"", "\"stata\""),
    ("transduction.neighbours", "3", "3"),
    ("saliency.affinity", "\"cosine\"", "\"dot\""),
    ("saliency.threshold", "\"mean\"", "\"std\""),
    ("saliency.orientation", "\"seed\"", "\"raw\""),
];

/// Fills in what the recipe that the file names sets and the file does not. A recipe that is none
/// is left to the check of the keys.
pub(super) fn fill(table: &mut Table) {
    let named = table.get("adapt").and_then(|adapt| adapt.get("recipe")).and_then(Value::as_str);
    let Some(recipe) = BaseRecipe::ALL.iter().find(|recipe| Some(recipe.name()) == named) else { return };
    for (name, paper, released) in RECIPES {
        let value = match recipe {
            BaseRecipe::Recommended => continue,
            BaseRecipe::Paper => paper,
            BaseRecipe::Released => released,
        };
        let Some((section, key)) = name.split_once('.') else { continue };
        let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
        if let (Value::Table(section), Ok(value)) = (section, value.parse::<Value>()) {
            section.entry(key).or_insert(value);
        }
    }
}

/// Returns the keys that recipes set, each with its value in all of them, as the pipeline file
/// writes it.
pub(super) fn rows() -> impl Iterator<Item = [String; 4]> {
    RECIPES.into_iter().map(|(name, paper, released)| {
        let default = keys::find(name).and_then(|key| key.of.default).map(|default| default().to_string());
        [name.to_owned(), default.unwrap_or_default(), paper.to_owned(), released.to_owned()]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_and_value_is_one_that_a_pipeline_file_may_have() {
        for (name, ..) in RECIPES {
            assert!(keys::find(name).is_some_and(|key| key.of.default.is_some()), "{name}");
        }
        for value in RECIPES.iter().flat_map(|(_, paper, released)| [paper, released]) {
            assert!(value.parse::<Value>().is_ok(), "{value}");
        }
    }

    #[test]
    fn what_the_file_says_wins_over_the_recipe() {
        let filled = |text: &str| {
            let mut table: Table = text.parse().unwrap();
            fill(&mut table);
            table
        };
        let table = filled("[adapt]\nrecipe = \"paper\"\nbatch = 8\n");
        assert_eq!(table["adapt"]["tune"].as_str(), Some("layernorm"));
        assert_eq!(table["adapt"]["batch"].as_integer(), Some(8));
        assert_eq!(table["dka"]["balance"].as_float(), Some(0.0));
        assert_eq!(filled("[adapt]\nrecipe = \"released\"\n")["saliency"]["threshold"].as_str(), Some("std"));
        for untouched in ["[adapt]\nrecipe = \"recommended\"\n", "[adapt]\nrecipe = \"papers\"\n", "adapt = 3\n", ""] {
            assert_eq!(filled(untouched), untouched.parse::<Table>().unwrap(), "{untouched}");
        }
    }
}
