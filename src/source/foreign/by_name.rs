//! Files that hold no data set, by their names: what each is, and what to do with it.

use std::path::Path;

use crate::error::{Error, Kind};
use crate::source::folder::is_picture;
use crate::text::shell;

/// Files that are known by their extensions: what they are, and what to do. In a hint, `{file}` is
/// the file, and `{stem}` its name without the extension, as a shell takes them.
const KNOWN: [(&[&str], &str, &str); 10] = [
    (&["zip"], "is an archive", "unpack it, and name the folder: unzip {file} -d {stem}"),
    (&["7z"], "is an archive", "unpack it, and name the folder: 7z x {file} -o{stem}"),
    (&["rar"], "is an archive", "unpack it, and name the folder: unrar x {file} {stem}/"),
    (
        &["safetensors", "pt", "pth", "ckpt", "onnx", "gguf"],
        "holds the weights of a model, and no pictures",
        "name the pictures; the model is named with --model, or as model.path of a pipeline file",
    ),
    (
        &["pdf", "doc", "docx", "odt", "rtf", "html", "htm", "md", "ppt", "pptx"],
        "is a document",
        "name the folder of the pictures; those in a document are saved as files first",
    ),
    (&["xls", "xlsx", "ods"], "is a spreadsheet", "save it as CSV, with a column `path`, and name that"),
    (
        &["mp4", "m4v", "mov", "avi", "mkv", "webm", "wmv", "mpg", "mpeg", "flv"],
        "is a video",
        "make pictures of it, and name their folder: mkdir {stem} && ffmpeg -i {file} -vf fps=1 {stem}/%05d.jpg",
    ),
    (
        &["npy", "npz", "mat", "h5", "hdf5", "tfrecord", "tfrecords", "lmdb", "mdb", "pkl", "pickle", "rec", "beton"],
        "is of a format that is not read here",
        "write its pictures as files, in a folder for each class, or as Parquet with `datasets`: docs/sources.md",
    ),
    (
        &["xml", "yaml", "yml"],
        "holds annotations of a kind that is not read here",
        "name the folder of the pictures, or a CSV list with the columns path and label",
    ),
    (
        &["toml"],
        "is a file of settings, as pipelines are, and holds no pictures",
        "a pipeline that is there already: microclip-pipe doctor {file}",
    ),
];

/// Returns the error for a file that is no source of pictures, if its name says so.
pub(super) fn refusal(path: &Path) -> Option<Error> {
    let error = |what: &str| Error::new(Kind::Input, format!("{} {what}", path.display()));
    if is_picture(path) {
        let folder = path.parent().unwrap_or(Path::new("")).display().to_string();
        return Some(error("is one picture").hint(format!("name the folder that holds it: {folder}")));
    }
    let extension = path.extension()?.to_str()?.to_lowercase();
    let (_, what, hint) = KNOWN.iter().find(|(extensions, ..)| extensions.contains(&extension.as_str()))?;
    let (file, stem) = (path.to_string_lossy(), path.with_extension(""));
    Some(error(what).hint(filled(hint, &shell::word(&file), &shell::word(&stem.to_string_lossy()))))
}

/// Fills in a hint. What a file's name has of `{stem}` is no place for anything: the hint is copied
/// into a shell, and the name's own quotes would end in the middle.
fn filled(hint: &str, file: &str, stem: &str) -> String {
    let parts: Vec<String> = hint.split("{file}").map(|part| part.replace("{stem}", stem)).collect();
    parts.join(file)
}

/// Returns what a folder holds, and what to do, if one of its files is known by its whole name.
pub(super) fn of_folder(file: &Path) -> Option<(&'static str, &'static str)> {
    const CONVERT: &str =
        "write its pictures as files, in a folder for each class, or as Parquet with `datasets`: docs/sources.md";
    match file.file_name()?.to_str()? {
        "data_batch_1" | "batches.meta" => Some((
            "is the Python version of CIFAR",
            "fetch the binary version, and name its folder, cifar-10-batches-bin or cifar-100-binary",
        )),
        name if name.ends_with("-ubyte") || name.ends_with("-ubyte.gz") => {
            Some(("holds pictures in the format of MNIST, which is not read here", CONVERT))
        }
        "config.json" | "open_clip_config.json" => Some((
            "holds a model, and no picture",
            "name the pictures; the model is named with --model, or as model.path of a pipeline file",
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_within_its_quotes() {
        let error = refusal(Path::new("/a/{stem}; touch b; {file}.zip")).unwrap();
        let hint = error.own_hint().unwrap_or_default();
        assert!(hint.ends_with("unzip '/a/{stem}; touch b; {file}.zip' -d '/a/{stem}; touch b; {file}'"), "{hint}");
    }
}
