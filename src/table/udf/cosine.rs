//! Implements `cosine(a, b)`: the cosine similarity of two features.

use std::sync::Arc;

use arrow::array::Float32Array;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::lists::{Lists, expect_arguments, expect_same_length, expect_same_width, list_type};

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Cosine {
    signature: Signature,
}

impl Cosine {
    pub(super) fn new() -> Self {
        Cosine { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Cosine {
    fn name(&self) -> &str {
        "cosine"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        expect_arguments("cosine", given.len(), 2, "cosine(a, b)")?;
        given.iter().map(|t| list_type("cosine", t)).collect()
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        expect_same_width("cosine", &given[0], &given[1])?;
        Ok(DataType::Float32)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (a, b) = (Lists::new(&args.args[0])?, Lists::new(&args.args[1])?);
        let mut result = Vec::with_capacity(args.number_rows);
        for row in 0..args.number_rows {
            result.push(match (a.row(row), b.row(row)) {
                (Some(a), Some(b)) => {
                    expect_same_length("cosine", a, b)?;
                    cosine(a, b)
                }
                _ => None,
            });
        }
        Ok(ColumnarValue::Array(Arc::new(Float32Array::from(result))))
    }
}

/// Returns `None` if a list has no direction: it is empty, or all zero.
fn cosine(a: &[f32], b: &[f32]) -> Option<f32> {
    let (mut ab, mut aa, mut bb) = (0.0f64, 0.0f64, 0.0f64);
    for (&a, &b) in a.iter().zip(b) {
        let (a, b) = (f64::from(a), f64::from(b));
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    // NaN is not 0, so it propagates to the result.
    (aa != 0.0 && bb != 0.0).then(|| (ab / (aa.sqrt() * bb.sqrt())) as f32)
}
