//! Implements `add(a, b)`, which applies the biases of classes to logits.

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::lists::{Lists, Rows, expect_arguments, expect_same_length, like_both, list_type};

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Add {
    signature: Signature,
}

impl Add {
    pub(super) fn new() -> Self {
        Add { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Add {
    fn name(&self) -> &str {
        "add"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        expect_arguments("add", given.len(), 2, "add(a, b)")?;
        given.iter().map(|t| list_type("add", t)).collect()
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        like_both("add", &given[0], &given[1])
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (a, b) = (Lists::new(&args.args[0])?, Lists::new(&args.args[1])?);
        let mut result = Rows::new(args.return_type(), args.number_rows);
        for row in 0..args.number_rows {
            let (Some(a), Some(b)) = (a.row(row), b.row(row)) else {
                result.push(None::<std::iter::Empty<f32>>);
                continue;
            };
            expect_same_length("add", a, b)?;
            result.push(Some(a.iter().zip(b).map(|(a, b)| a + b)));
        }
        result.finish()
    }
}
