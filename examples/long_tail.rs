//! Makes an imbalanced copy of a data set, to see what an estimated class prior is worth: the class
//! of rank r of C keeps `ratio^(-r / (C - 1))` of its pictures, in both splits, so that the first
//! has `ratio` times as many as the last. Which class has which rank is drawn by `order`. The true
//! shares of the training split are written beside the copy, as `adapt.class_shares` reads them:
//! what an estimate can be at best.
//!
//! `cargo run --release --example long_tail -- data/flowers flowers-tail 10 0` makes `flowers-tail`
//! and `flowers-tail.json`

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use microclip_pipe::Result;
use microclip_pipe::error::{Context, Error, Kind};
use microclip_pipe::source::{self, Dataset, Item, Larger, Origin, SourceKind, Split};

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(data), Some(copy)) = (arguments.next(), arguments.next()) else {
        let what = "name the data set's folder (pictures, or Hugging Face Parquet), the folder to write, and the ratio";
        return Err(Error::new(Kind::Usage, what));
    };
    let mut number = |name: &str, default: f64| match arguments.next().map(|text| text.to_string_lossy().parse()) {
        None => Ok(default),
        Some(number) => number.context(Kind::Usage, || format!("the {name} must be a number")),
    };
    let (ratio, order) = (number("ratio", 10.0)?, number("order", 0.0)?);
    let source = source::open(&spec(&data)?)?;
    let mut classes = source.listing().classes.clone();
    // Neither in the order of the alphabet nor in that of look-alikes, and the same on every
    // machine.
    let salt = if order == 0.0 { String::new() } else { format!("{order} ") };
    classes.sort_by_key(|name| *blake3::hash(format!("{salt}{name}").as_bytes()).as_bytes());
    let mut pictures: BTreeMap<(Split, String), Vec<Item>> = BTreeMap::new();
    for item in source.items() {
        let item = item?;
        if let Some(label) = item.label.clone() {
            pictures.entry((item.split.unwrap_or(Split::Train), label)).or_default().push(item);
        }
    }
    let last = (classes.len().max(2) - 1) as f64;
    let mut trained = BTreeMap::new();
    for ((split, class), items) in pictures {
        let rank = classes.iter().position(|name| *name == class).unwrap_or(0) as f64;
        let kept = ((items.len() as f64 * ratio.powf(-rank / last)).round() as usize).max(1);
        if split == Split::Train {
            trained.insert(class.clone(), kept);
        }
        let folder = copy.join(split.name()).join(class.replace(' ', "_"));
        fs::create_dir_all(&folder).at(Kind::Input, "cannot make", &folder)?;
        for (number, item) in items.into_iter().take(kept).enumerate() {
            write(item, &folder, number)?;
        }
    }
    let path = copy.with_extension("json");
    let text = serde_json::to_string_pretty(&trained).context(Kind::Input, || "cannot write shares".to_owned())?;
    fs::write(&path, text).at(Kind::Input, "cannot write", &path)
}

fn spec(data: &Path) -> Result<Dataset> {
    let entries = fs::read_dir(data).at(Kind::Input, "cannot read", data)?;
    let parquet = |path: PathBuf| path.extension().is_some_and(|extension| extension == "parquet");
    Ok(match entries.flatten().any(|entry| parquet(entry.path())) {
        true => Dataset::new(SourceKind::HfParquet, data.to_path_buf()),
        false => Dataset::new(SourceKind::Folder, data.to_path_buf()),
    })
}

fn write(item: Item, folder: &Path, number: usize) -> Result<()> {
    let bytes = match item.origin {
        Origin::Embedded { bytes, .. } => bytes,
        Origin::File { path, .. } => fs::read(&path).at(Kind::Input, "cannot read", &path)?,
        Origin::Part { place, byte_len } => Larger::open(&place.file)?.read(place.at, byte_len)?,
        Origin::Unreadable { detail } => return Err(Error::new(Kind::Input, format!("{}: {detail}", item.path))),
    };
    let extension = Path::new(&item.path).extension().and_then(|e| e.to_str()).unwrap_or("jpg");
    let path = folder.join(format!("{number:04}.{extension}"));
    fs::write(&path, bytes).at(Kind::Input, "cannot write", &path)
}
