//! What the columns of a Parquet file can hold, by their types.

use arrow::datatypes::{DataType, Field};
use serde_json::Value;

/// How a column holds pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pictures {
    /// A struct with the bytes, the path, or both, as `datasets` writes it.
    Struct { bytes: bool, path: bool },
    /// The encoded bytes.
    Bytes,
    /// Paths of files.
    Paths,
}

/// Returns how a column of this type holds pictures, if it can.
pub(super) fn pictures(data_type: &DataType) -> Option<Pictures> {
    match data_type {
        DataType::Struct(children) => {
            let has = |name: &str, fits: fn(&DataType) -> bool| {
                children.iter().any(|child| child.name() == name && fits(child.data_type()))
            };
            // A file of paths alone may have no type for the bytes.
            let bytes = has("bytes", is_binary);
            let path = has("path", is_text);
            (bytes || path).then_some(Pictures::Struct { bytes, path })
        }
        other if is_binary(other) => Some(Pictures::Bytes),
        other if is_text(other) => Some(Pictures::Paths),
        _ => None,
    }
}

/// Returns whether a column of this type can hold one class for each picture.
pub(super) fn is_label(data_type: &DataType) -> bool {
    match data_type {
        DataType::Boolean | DataType::Null | DataType::Float16 | DataType::Float32 | DataType::Float64 => true,
        DataType::Dictionary(_, values) => is_label(values),
        other => other.is_integer() || is_text(other),
    }
}

/// Returns whether values of this type are text.
pub(super) fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

fn is_binary(data_type: &DataType) -> bool {
    match data_type {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => true,
        DataType::Dictionary(_, values) => is_binary(values),
        _ => false,
    }
}

/// Names a type as `pyarrow` does: `struct<bytes: binary, path: string>`.
pub(super) fn name(data_type: &DataType) -> String {
    let of = |field: &Field| name(field.data_type());
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "binary".to_owned(),
        DataType::FixedSizeBinary(bytes) => format!("fixed_size_binary[{bytes}]"),
        DataType::Boolean => "bool".to_owned(),
        DataType::Dictionary(_, values) => format!("dictionary<{}>", name(values)),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            format!("list<{}>", of(item))
        }
        DataType::Struct(children) => {
            let children: Vec<String> =
                children.iter().map(|child| format!("{}: {}", child.name(), of(child))).collect();
            format!("struct<{}>", children.join(", "))
        }
        other => other.to_string().to_lowercase(),
    }
}

/// Reads the class names of a feature of `datasets` from `names`, which is a list, or an object
/// from number to name.
pub(super) fn class_names(feature: &Value) -> Option<Vec<String>> {
    let name = |name: &Value| name.as_str().map(|name| crate::text::names::composed(name).into_owned());
    match &feature["names"] {
        Value::Array(names) => names.iter().map(name).collect(),
        Value::Object(names) => (0..names.len()).map(|number| name(names.get(&number.to_string())?)).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_names_are_a_list_or_an_object() {
        let names = |text: &str| class_names(&serde_json::from_str(text).unwrap());
        let expected = Some(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(names(r#"{"names": ["a", "b"]}"#), expected);
        assert_eq!(names(r#"{"names": {"1": "b", "0": "a"}}"#), expected);
        assert_eq!(names(r#"{"names": {"0": "a", "2": "b"}}"#), None);
        assert_eq!(names(r#"{"dtype": "string"}"#), None);
    }

    #[test]
    fn types_read_as_people_know_them() {
        let list = DataType::List(Field::new("item", DataType::Int64, true).into());
        let image = [Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8View, true)];
        let image = DataType::Struct(image.to_vec().into());
        assert_eq!([name(&list), name(&image)], ["list<int64>", "struct<bytes: binary, path: string>"]);
    }
}
