//! Implements `class_name(class_id)`: the name of a class.

use std::sync::Arc;

use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::{DataType, Int32Type};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::lists::{expect_arguments, number_type};

/// Knows the classes of its session's dataset.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct ClassName {
    names: Vec<String>,
    signature: Signature,
}

impl ClassName {
    /// Creates the function; `names` are the names of the classes, by class id.
    pub(super) fn new(names: Vec<String>) -> Self {
        ClassName { names, signature: Signature::user_defined(Volatility::Immutable) }
    }

    /// Returns the names of the classes, by class id.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    fn name_of(&self, id: i32) -> Option<&str> {
        self.names.get(usize::try_from(id).ok()?).map(String::as_str)
    }
}

impl ScalarUDFImpl for ClassName {
    fn name(&self) -> &str {
        "class_name"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        expect_arguments("class_name", given.len(), 1, "class_name(class_id)")?;
        Ok(vec![number_type("class_name", &given[0], DataType::Int32)?])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let ids = args.args[0].to_array(args.number_rows)?;
        let ids = ids.as_primitive::<Int32Type>();
        let names = (0..ids.len()).map(|row| self.name_of(ids.value(row)).filter(|_| ids.is_valid(row)));
        Ok(ColumnarValue::Array(Arc::new(names.collect::<StringArray>())))
    }
}
