//! Turns the TOML of an ablation file into its types; every mistake is reported, and a placeholder
//! takes the value's place.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::spec::{Ablation, Axis, Metric, Missing, Published, Row};
use crate::config::DEFAULT_STORE;
use crate::config::check::{Check, Mistake, absolute, found, shorten};
use crate::config::keys::{self, join};
use crate::config::{overrides, suggest};
use crate::settings::{ANY_WHOLE, Must, Want};
use crate::source::Split;

/// The keys at the top of the file.
const TOP: &[&str] =
    &["name", "store", "pipelines", "missing", "seeds", "set", "split", "metric", "rows", "grid", "published"];
/// The keys of a row.
const ROW: &[&str] = &["name", "model", "set"];
/// The keys of published figures.
const PUBLISHED: &[&str] = &["name", "source", "figures"];

/// Keys of the pipeline file that the ablation itself decides, and how.
const DECIDED: [(&str, &str); 3] = [
    ("name", "the pipeline's name heads its column"),
    ("store", "`store` at the top of the file is the store of all runs"),
    ("seed", "`seeds` at the top of the file lists them"),
];

/// Reader of one file.
pub(super) struct Reader<'a> {
    file: &'a Path,
    check: Check<'a>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a Path, check: Check<'a>) -> Self {
        Reader { file, check }
    }

    pub(super) fn ablation(mut self, table: &Table) -> Ablation {
        let mistyped = self.unknown("", table, TOP);
        for (key, what) in [
            ("name", Want::Name.describe()),
            ("pipelines", "a list of pipeline files".to_owned()),
            ("rows", "a list of tables, each of which begins with a line [[rows]]".to_owned()),
        ] {
            if !table.contains_key(key) && !mistyped.contains(key) {
                let hint = format!("add {key} at the top: {what}");
                self.check.mistakes.in_file(None, format!("missing key '{key}'"), Some(hint));
            }
        }
        let split = self.word(table, "split", Split::WANT);
        let metric = self.word(table, "metric", Metric::WANT);
        let missing = self.word(table, "missing", Missing::WANT);
        let store = self.word(table, "store", Want::Path(Must::MayBeNew)).map(PathBuf::from);
        let set = self.overrides("", table);
        let ablation = Ablation {
            file: self.file.to_owned(),
            name: self.word(table, "name", Want::Name).unwrap_or_default(),
            store: store.unwrap_or_else(|| self.check.base.join(DEFAULT_STORE)),
            pipelines: self.pipelines(table),
            seeds: if table.contains_key("seeds") { self.seeds(table) } else { vec![0] },
            set: set.into_iter().map(|(_, text)| text).collect(),
            split: split.and_then(|name| Split::ALL.iter().copied().find(|s| s.name() == name)).unwrap_or(Split::Test),
            metric: metric
                .and_then(|name| Metric::ALL.iter().copied().find(|m| m.name() == name))
                .unwrap_or(Metric::Top1),
            missing: missing
                .and_then(|name| Missing::ALL.iter().copied().find(|m| m.name() == name))
                .unwrap_or(Missing::Refuse),
            published: self.published(table),
            grid: self.grid(table),
            rows: Vec::new(),
        };
        let rows = self.rows(table, &ablation.grid);
        Ablation { rows, ..ablation }
    }

    fn mistake(&mut self, name: &str, what: impl Into<String>, hint: Option<&str>) {
        self.check.mistake(name, (what.into(), hint.map(str::to_owned)));
    }

    /// Reports the keys that are not `known`, and returns those that were meant.
    fn unknown(&mut self, section: &str, table: &Table, known: &'static [&'static str]) -> HashSet<&'static str> {
        let mut meant = HashSet::new();
        for key in table.keys().filter(|key| !known.contains(&key.as_str())) {
            let name = join(section, key);
            let hint = match suggest::name(key, known) {
                Some(near) => {
                    meant.insert(near);
                    format!("did you mean '{near}'?")
                }
                None => format!("there are {}", known.join(", ")),
            };
            self.mistake(&name, format!("unknown key '{name}'"), Some(&hint));
        }
        meant
    }

    /// Checks a value; reports it and returns `None` if it is wrong.
    fn value(&mut self, name: &str, want: Want, value: &Value) -> Option<Value> {
        let mut value = value.clone();
        match self.check.value(name, want, &mut value) {
            Ok(()) => Some(value),
            Err(mistake) => {
                self.check.mistake(name, mistake);
                None
            }
        }
    }

    /// Returns the text of a key at the top.
    fn word(&mut self, table: &Table, key: &str, want: Want) -> Option<String> {
        let value = self.value(key, want, table.get(key)?)?;
        value.as_str().map(str::to_owned)
    }

    /// Returns the items of a list that must not be empty, each with its name for messages.
    fn items<'t>(&mut self, name: &str, value: &'t Value, what: &str) -> Vec<(String, &'t Value)> {
        match value {
            Value::Array(items) if !items.is_empty() => {
                items.iter().enumerate().map(|(n, item)| (format!("{name}[{n}]"), item)).collect()
            }
            Value::Array(_) => {
                self.mistake(name, format!("'{name}' must be {what}, but is empty"), None);
                Vec::new()
            }
            other => {
                self.mistake(name, format!("'{name}' must be {what}, not {}", found(other)), None);
                Vec::new()
            }
        }
    }

    fn pipelines(&mut self, table: &Table) -> Vec<PathBuf> {
        let Some(value) = table.get("pipelines") else { return Vec::new() };
        let mut paths = Vec::new();
        for (name, item) in self.items("pipelines", value, "a list of pipeline files") {
            let Some(text) = item.as_str().filter(|text| !text.is_empty()) else {
                self.mistake(&name, format!("'pipelines' must list paths of files, not {}", found(item)), None);
                continue;
            };
            let path = absolute(self.check.base, text);
            if path.is_file() {
                paths.push(path);
            } else {
                let why = if path.exists() { "is not a file" } else { "does not exist" };
                let hint = format!("looked for {}; relative paths start at the ablation file", path.display());
                self.mistake(&name, format!("'pipelines' names {}, which {why}", shorten(text)), Some(&hint));
            }
        }
        paths
    }

    fn seeds(&mut self, table: &Table) -> Vec<u64> {
        let mut seeds = Vec::new();
        for (name, item) in self.items("seeds", &table["seeds"], "a list of whole numbers") {
            let Some(seed) = self.value(&name, ANY_WHOLE, item).as_ref().and_then(Value::as_integer) else { continue };
            if seeds.contains(&seed.cast_unsigned()) {
                self.mistake(&name, format!("seed {seed} is listed twice"), None);
            }
            seeds.push(seed.cast_unsigned());
        }
        seeds
    }

    /// Reads the list `set` of a table: the keys that it overrides, and the overrides.
    fn overrides(&mut self, section: &str, table: &Table) -> Vec<(&'static str, String)> {
        let (name, what) = (join(section, "set"), "a list of overrides, e.g. [\"adapt.epochs=3\"]");
        let items = match table.get("set") {
            None => return Vec::new(),
            Some(Value::Array(items)) => items,
            Some(other) => {
                self.mistake(&name, format!("'{name}' must be {what}, not {}", found(other)), None);
                return Vec::new();
            }
        };
        let mut read = Vec::new();
        for (n, item) in items.iter().enumerate() {
            let item_name = format!("{name}[{n}]");
            let Some(text) = item.as_str() else {
                self.mistake(&item_name, format!("'{name}' must be {what}, not {}", found(item)), None);
                continue;
            };
            match self.over(text) {
                Ok(key) => read.push((key, text.to_owned())),
                // Without the option, which the file does not have.
                Err((what, hint)) => self.check.mistake(&item_name, (what, hint.map(|h| h.replace("--set ", "")))),
            }
        }
        read
    }

    /// Returns the key of an override whose value is in range. Paths can only be checked beside the
    /// pipeline file.
    fn over(&self, text: &str) -> Result<&'static str, Mistake> {
        let (key, mut value) = overrides::read(text)?;
        undecided(&key.name)?;
        if !matches!(key.of.want, Want::Path(_)) {
            self.check.value(&key.name, key.of.want, &mut value)?;
        }
        Ok(&key.name)
    }

    fn grid(&mut self, table: &Table) -> Vec<Axis> {
        let mut axes = Vec::new();
        match table.get("grid") {
            None => {}
            Some(Value::Table(grid)) => self.axes("grid", "", grid, &mut axes),
            Some(other) => {
                self.mistake(
                    "grid",
                    format!("'grid' must be a table, not {}", found(other)),
                    Some("begin it with a line [grid]"),
                );
            }
        }
        // A table does not keep the file's order.
        axes.sort_by_key(|(line, _)| *line);
        axes.into_iter().map(|(_, axis)| axis).collect()
    }

    /// Collects the axes of a table with dotted keys, whether they are quoted or nested.
    fn axes(&mut self, section: &str, prefix: &str, table: &Table, axes: &mut Vec<(Option<usize>, Axis)>) {
        for (leaf, value) in table {
            let name = join(section, leaf);
            let dotted = if prefix.is_empty() { leaf.clone() } else { format!("{prefix}.{leaf}") };
            if let Value::Table(inner) = value {
                self.axes(&name, &dotted, inner, axes);
                continue;
            }
            let Some(key) = keys::find(&dotted) else {
                let what = format!("unknown key '{}' in the grid", dotted.escape_debug());
                self.mistake(&name, what, Some(&suggest::hint(&dotted)));
                continue;
            };
            if let Err(mistake) = undecided(&key.name) {
                self.check.mistake(&name, mistake);
                continue;
            }
            let mut values = Vec::new();
            for (item_name, item) in self.items(&name, value, "a list of values") {
                if !matches!(key.of.want, Want::Path(_)) {
                    let mut checked = item.clone();
                    if let Err(mistake) = self.check.value(&key.name, key.of.want, &mut checked) {
                        self.check.mistake(&item_name, mistake);
                    }
                }
                if values.contains(item) {
                    self.mistake(&item_name, format!("{} has the value {} twice", key.name, found(item)), None);
                }
                values.push(item.clone());
            }
            axes.push((self.check.lines.get(&name), Axis { key: &key.name, values }));
        }
    }

    fn rows(&mut self, table: &Table, grid: &[Axis]) -> Vec<Row> {
        let Some(value) = table.get("rows") else { return Vec::new() };
        let what = "a list of tables, each of which begins with a line [[rows]]";
        let mut rows: Vec<Row> = Vec::new();
        for (section, item) in self.items("rows", value, what) {
            let Some(table) = item.as_table() else {
                self.mistake(&section, format!("'rows' must be {what}, not {}", found(item)), None);
                continue;
            };
            let mistyped = self.unknown(&section, table, ROW);
            if !table.contains_key("name") && !mistyped.contains("name") {
                self.mistake(
                    &section,
                    format!("missing key '{section}.name'"),
                    Some("add name: what the table calls it"),
                );
            }
            let name = self.text(&section, table, "name").unwrap_or_default();
            if !name.is_empty() && rows.iter().any(|row| row.name == name) {
                self.mistake(&join(&section, "name"), format!("two rows are named '{name}'"), None);
            }
            let set = self.overrides(&section, table);
            for (key, _) in set.iter().filter(|(key, _)| grid.iter().any(|axis| axis.key == *key)) {
                let what = format!("'{section}.set' sets {key}, which the grid varies");
                self.mistake(&join(&section, "set"), what, Some("take it out of one of them"));
            }
            let line = self.check.lines.get(&section).unwrap_or(1);
            rows.push(Row {
                name,
                model: self.text(&section, table, "model"),
                set: set.into_iter().map(|(_, text)| text).collect(),
                place: format!("{}:{line}", self.file.display()),
            });
        }
        rows
    }

    /// Reads the figures of others.
    fn published(&mut self, table: &Table) -> Vec<Published> {
        let Some(value) = table.get("published") else { return Vec::new() };
        let what = "a list of tables, each of which begins with a line [[published]]";
        let mut all = Vec::new();
        for (section, item) in self.items("published", value, what) {
            let Some(table) = item.as_table() else {
                self.mistake(&section, format!("'published' must be {what}, not {}", found(item)), None);
                continue;
            };
            let mistyped = self.unknown(&section, table, PUBLISHED);
            for key in PUBLISHED.iter().filter(|key| !table.contains_key(**key) && !mistyped.contains(**key)) {
                let hint = "published figures have a name, a source, and a table of figures by pipeline";
                self.mistake(&section, format!("missing key '{section}.{key}'"), Some(hint));
            }
            let name = self.text(&section, table, "name").unwrap_or_default();
            let source = self.text(&section, table, "source").unwrap_or_default();
            all.push(Published { name, source, figures: self.figures(&section, table) });
        }
        all
    }

    /// Reads a table of figures in per cent, by pipeline.
    fn figures(&mut self, section: &str, table: &Table) -> BTreeMap<String, f64> {
        let name = join(section, "figures");
        let figures = match table.get("figures") {
            None => return BTreeMap::new(),
            Some(Value::Table(figures)) => figures,
            Some(other) => {
                self.mistake(&name, format!("'{name}' must be a table, not {}", found(other)), None);
                return BTreeMap::new();
            }
        };
        let mut read = BTreeMap::new();
        for (pipeline, figure) in figures {
            let place = join(&name, pipeline);
            let per_cent = self.value(&place, crate::settings::from(0.0, 100.0), figure);
            read.extend(per_cent.and_then(|figure| figure.as_float()).map(|figure| (pipeline.clone(), figure / 100.0)));
        }
        read
    }

    /// Reads a text of a row, which must be on one line.
    fn text(&mut self, section: &str, table: &Table, key: &str) -> Option<String> {
        const LONGEST: usize = 200;
        let value = table.get(key)?;
        match value.as_str() {
            Some(text) if !text.is_empty() && text.len() <= LONGEST && !text.contains(char::is_control) => {
                Some(text.to_owned())
            }
            _ => {
                let name = join(section, key);
                let what = format!("'{name}' must be a line of text of at most {LONGEST} bytes, not {}", found(value));
                self.mistake(&name, what, None);
                None
            }
        }
    }
}

/// Refuses keys that the ablation itself decides.
fn undecided(key: &str) -> Result<(), Mistake> {
    match DECIDED.iter().find(|(decided, _)| *decided == key) {
        Some((_, how)) => Err((format!("'{key}' cannot be set in an ablation"), Some((*how).to_owned()))),
        None => Ok(()),
    }
}
