//! The pipeline file as a JSON schema, with which editors complete and check it while it is
//! written.
//!
//! All of it comes from the declarations of the settings, so nothing is declared twice.

use serde_json::{Map, Value, json};

use super::Spec;
use crate::error::{Context, Kind, Result};
use crate::settings::{Bounds, Key, NameOrCount, Settings, Table, Want};

/// Returns the schema (JSON Schema draft 7, which Taplo and the editors built on it read), as in
/// `schemas/pipeline.schema.json`.
///
/// # Errors
/// Returns [`Kind::Internal`] if it cannot be written.
pub fn json_schema() -> Result<String> {
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A pipeline file of microclip-pipe",
        "description": "Only what differs from the defaults need be said. Relative paths start at the file's folder.",
    });
    let mut schema = fields_of(schema);
    schema.extend(table(Spec::TABLE));
    let text = serde_json::to_string_pretty(&Value::Object(schema));
    Ok(text.context(Kind::Internal, || "cannot write the schema".to_owned())? + "\n")
}

/// Returns the schema of a table of the file: its keys, and the tables in it.
fn table(table_of: Table) -> Map<String, Value> {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for key in table_of.keys {
        properties.insert(key.name.to_owned(), value(key));
        required.extend(key.default.is_none().then_some(key.name));
    }
    for (name, inner) in table_of.tables {
        let mut schema = fields_of(json!({"description": inner.about}));
        schema.extend(table(*inner));
        if schema.contains_key("required") {
            required.push(name);
        }
        properties.insert((*name).to_owned(), Value::Object(schema));
    }
    let mut schema = fields_of(json!({"type": "object", "additionalProperties": false}));
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    schema.insert("properties".to_owned(), Value::Object(properties));
    schema
}

/// Returns the schema of one value.
fn value(key: &Key) -> Value {
    let mut schema = fields_of(json!({"description": key.about}));
    schema.extend(fields_of(must_be(key.want)));
    if let Some(default) = key.default.map(|default| default()).filter(|default| !default.is_null()) {
        schema.insert("default".to_owned(), default);
    }
    Value::Object(schema)
}

/// Returns what a value must be, as far as a schema can say it: not whether a file exists.
fn must_be(want: Want) -> Value {
    match want {
        Want::Name => json!({"type": "string", "pattern": "^[a-z0-9-]{1,64}$"}),
        Want::Path(_) | Want::Text | Want::Address => json!({"type": "string", "minLength": 1}),
        Want::Whole(least, greatest) => json!({"type": "integer", "minimum": least, "maximum": greatest}),
        Want::Number(Bounds { least, closed, greatest }) => {
            let bound = if closed { "minimum" } else { "exclusiveMinimum" };
            json!({"type": "number", bound: least, "maximum": greatest})
        }
        Want::ShareOrAuto => json!({"anyOf": [{"type": "number", "minimum": 0.0, "maximum": 1.0}, {"const": "auto"}]}),
        Want::Flag => json!({"type": "boolean"}),
        Want::Choice(choices) => {
            let explained: Vec<&str> = choices.explained().map(|(_, about)| about).collect();
            let numbered = choices.numbered();
            if numbered.is_empty() {
                json!({"type": "string", "enum": choices.names, "x-taplo": {"docs": {"enumValues": explained}}})
            } else {
                let plain = choices.plain();
                let docs = json!({"docs": {"enumValues": explained[..plain.len()]}});
                let pattern = format!("^({}):(0|[1-9][0-9]*)$", numbered.join("|"));
                json!({"anyOf": [{"enum": plain, "x-taplo": docs}, {"type": "string", "pattern": pattern}]})
            }
        }
        Want::NameOrCount(NameOrCount { names, counted, .. }) => {
            json!({"type": "string", "pattern": format!("^({}|{counted}:[1-9][0-9]*)$", names.join("|"))})
        }
        Want::Templates => {
            json!({"type": "array", "minItems": 1, "items": {"type": "string", "pattern": "\\{\\}"}})
        }
        Want::Span => {
            let end = json!({"type": "number", "exclusiveMinimum": 0, "maximum": 1});
            json!({"type": "array", "minItems": 2, "maxItems": 2, "items": end})
        }
    }
}

/// Returns the fields of an object, or none for any other value.
fn fields_of(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
