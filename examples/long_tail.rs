//! Makes an imbalanced copy of a data set, to see what an estimated class prior is worth: the class of rank r of C keeps
//! `ratio^(-r / (C - 1))` of its pictures, in both splits, so that the first has `ratio` times as many as the last.
//!
//! `cargo run --release --example long_tail -- data/flowers flowers-tail 10`

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use microclip_pipe::Result;
use microclip_pipe::error::{Context, Error, Kind};
use microclip_pipe::source::{self, Item, Origin, SourceSpec, Split};

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(data), Some(copy)) = (arguments.next(), arguments.next()) else {
        let what = "name the data set's folder (pictures, or Hugging Face Parquet), the folder to write, and the ratio";
        return Err(Error::new(Kind::Usage, what));
    };
    let ratio: f64 = match arguments.next().map(|text| text.to_string_lossy().parse()) {
        None => 10.0,
        Some(ratio) => ratio.context(Kind::Usage, || "the ratio must be a number".to_owned())?,
    };
    let source = source::open(&spec(&data)?)?;
    let mut classes = source.listing().classes.clone();
    // Neither in the order of the alphabet nor in that of look-alikes, and the same on every machine.
    classes.sort_by_key(|name| *blake3::hash(name.as_bytes()).as_bytes());
    let mut pictures: BTreeMap<(Split, String), Vec<Item>> = BTreeMap::new();
    for item in source.items() {
        let item = item?;
        if let Some(label) = item.label.clone() {
            pictures.entry((item.split.unwrap_or(Split::Train), label)).or_default().push(item);
        }
    }
    let last = (classes.len().max(2) - 1) as f64;
    for ((split, class), items) in pictures {
        let rank = classes.iter().position(|name| *name == class).unwrap_or(0) as f64;
        let kept = ((items.len() as f64 * ratio.powf(-rank / last)).round() as usize).max(1);
        let folder = copy.join(if split == Split::Test { "test" } else { "train" }).join(class.replace(' ', "_"));
        fs::create_dir_all(&folder).at(Kind::Input, "cannot make", &folder)?;
        for (number, item) in items.into_iter().take(kept).enumerate() {
            write(item, &folder, number)?;
        }
    }
    Ok(())
}

fn spec(data: &Path) -> Result<SourceSpec> {
    let entries = fs::read_dir(data).at(Kind::Input, "cannot read", data)?;
    let parquet = |path: PathBuf| path.extension().is_some_and(|extension| extension == "parquet");
    Ok(match entries.flatten().any(|entry| parquet(entry.path())) {
        true => SourceSpec::HfParquet { paths: vec![data.to_path_buf()] },
        false => SourceSpec::Folder { path: data.to_path_buf() },
    })
}

fn write(item: Item, folder: &Path, number: usize) -> Result<()> {
    let bytes = match item.origin {
        Origin::Embedded { bytes } => bytes,
        Origin::File { path, .. } => fs::read(&path).at(Kind::Input, "cannot read", &path)?,
        Origin::Unreadable { detail } => return Err(Error::new(Kind::Input, format!("{}: {detail}", item.path))),
    };
    let extension = Path::new(&item.path).extension().and_then(|e| e.to_str()).unwrap_or("jpg");
    let path = folder.join(format!("{number:04}.{extension}"));
    fs::write(&path, bytes).at(Kind::Input, "cannot write", &path)
}
