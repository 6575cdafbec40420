//! Implements `softmax(list, scale)`: probabilities from logits.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::lists::{Lists, Rows, expect_arguments, like, list_type, number_type};

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Softmax {
    signature: Signature,
}

impl Softmax {
    pub(super) fn new() -> Self {
        Softmax { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Softmax {
    fn name(&self) -> &str {
        "softmax"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        expect_arguments("softmax", given.len(), 2, "softmax(list, scale)")?;
        Ok(vec![list_type("softmax", &given[0])?, number_type("softmax", &given[1], DataType::Float64)?])
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        Ok(like(&given[0]))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let lists = Lists::new(&args.args[0])?;
        let scales = args.args[1].to_array(args.number_rows)?;
        let scales = scales.as_primitive::<Float64Type>();
        let mut result = Rows::new(args.return_type(), args.number_rows);
        let mut exponentials: Vec<f64> = Vec::new();
        for row in 0..args.number_rows {
            let list = lists.row(row).filter(|_| scales.is_valid(row));
            result.push(list.map(|list| {
                let scale = scales.value(row);
                let scaled = list.iter().map(|x| scale * f64::from(*x));
                // The largest is subtracted so that no exponential overflows; f64 makes a sum over
                // many classes exact to f32.
                let largest = scaled.clone().fold(f64::NEG_INFINITY, f64::max);
                exponentials.clear();
                exponentials.extend(scaled.map(|x| (x - largest).exp()));
                let sum: f64 = exponentials.iter().sum();
                exponentials.iter().map(move |e| (e / sum) as f32)
            }));
        }
        result.finish()
    }
}
