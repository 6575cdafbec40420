//! Finds which columns of a Hugging Face Parquet file hold the pictures and their labels, and the
//! class names.

use std::path::Path;

use arrow::datatypes::{DataType, Field, Schema};
use serde_json::Value;

use crate::error::{Error, Kind, Result};

/// The columns and class names that a file's schema declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HfSchema {
    /// The column of pictures: a struct with a binary field `bytes`.
    pub image: String,
    /// The column of labels, if there is one.
    pub label: Option<String>,
    /// The class names in the order of their numbers, if the file declares them.
    pub names: Option<Vec<String>>,
}

impl HfSchema {
    /// Reads the schema of the file at `path`; `features` is the JSON that `datasets` stores under
    /// the metadata key `huggingface`.
    pub(super) fn of(schema: &Schema, features: Option<&str>, path: &Path) -> Result<Self> {
        let features = features.and_then(|text| serde_json::from_str::<Value>(text).ok()).unwrap_or(Value::Null);
        let features = features.pointer("/info/features").cloned().unwrap_or(Value::Null);
        let image = schema
            .fields()
            .iter()
            .filter(|field| holds_pictures(field))
            .max_by_key(|field| field.name() == "image")
            .ok_or_else(|| without_pictures(schema, path))?;
        let label = label_column(schema, &features);
        let names = label.as_ref().and_then(|column| class_names(&features[column.as_str()]));
        Ok(HfSchema { image: image.name().clone(), label, names })
    }
}

fn holds_pictures(field: &Field) -> bool {
    let DataType::Struct(children) = field.data_type() else { return false };
    children.iter().any(|child| {
        child.name() == "bytes"
            && matches!(child.data_type(), DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
    })
}

fn without_pictures(schema: &Schema, path: &Path) -> Error {
    let columns: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let message = format!("{} has no column of pictures among {}", path.display(), columns.join(", "));
    Error::new(Kind::Input, message).hint("a column `image` of type struct<bytes: binary, path: string> is wanted")
}

/// Returns the label column by its usual names, or otherwise the first column that is declared to
/// hold classes.
fn label_column(schema: &Schema, features: &Value) -> Option<String> {
    let usable = |field: &&Field| field.data_type().is_integer() || is_text(field.data_type());
    let named = ["label", "labels", "fine_label", "class", "target"]
        .iter()
        .find_map(|name| schema.field_with_name(name).ok().filter(usable));
    let declared =
        || schema.fields().iter().map(AsRef::as_ref).find(|f| features[f.name().as_str()]["_type"] == "ClassLabel");
    named.or_else(|| declared().filter(usable)).map(|field| field.name().clone())
}

/// Returns whether labels of this type are names rather than numbers.
pub(super) fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

/// Reads the class names from `names`, which is a list, or an object from number to name.
fn class_names(feature: &Value) -> Option<Vec<String>> {
    match &feature["names"] {
        Value::Array(names) => names.iter().map(|name| name.as_str().map(str::to_owned)).collect(),
        Value::Object(names) => {
            (0..names.len()).map(|number| names.get(&number.to_string())?.as_str().map(str::to_owned)).collect()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Fields;

    use super::*;

    fn picture(name: &str, bytes: DataType) -> Field {
        let children = Fields::from(vec![Field::new("bytes", bytes, true), Field::new("path", DataType::Utf8, true)]);
        Field::new(name, DataType::Struct(children), true)
    }

    #[test]
    fn the_usual_columns_are_found() {
        let schema = Schema::new(vec![
            picture("preview", DataType::Binary),
            picture("image", DataType::BinaryView),
            Field::new("coarse_label", DataType::Int64, true),
            Field::new("fine_label", DataType::Int64, true),
        ]);
        let features = r#"{"info":{"features":{"fine_label":{"names":["a","b"],"_type":"ClassLabel"}}}}"#;
        let found = HfSchema::of(&schema, Some(features), Path::new("x.parquet")).unwrap();
        assert_eq!(found.image, "image");
        assert_eq!(found.label.as_deref(), Some("fine_label"));
        assert_eq!(found.names, Some(vec!["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn a_declared_column_of_another_name_is_found() {
        let schema =
            Schema::new(vec![picture("photo", DataType::LargeBinary), Field::new("make", DataType::Int32, true)]);
        let features = r#"{"info":{"features":{"make":{"names":{"0":"x","1":"y"},"_type":"ClassLabel"}}}}"#;
        let found = HfSchema::of(&schema, Some(features), Path::new("x.parquet")).unwrap();
        assert_eq!((found.image.as_str(), found.label.as_deref()), ("photo", Some("make")));
        assert_eq!(found.names, Some(vec!["x".to_owned(), "y".to_owned()]));
    }

    #[test]
    fn a_table_without_pictures_is_refused_by_name() {
        let schema = Schema::new(vec![Field::new("text", DataType::Utf8, true)]);
        let message = HfSchema::of(&schema, None, Path::new("x.parquet")).unwrap_err().to_string();
        assert_eq!(message, "x.parquet has no column of pictures among text");
    }
}
