//! Implements `mix(a, b, gamma)`, by which Dynamic Knowledge Aggregation combines the prior's and
//! the model's logits.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::lists::{Lists, Rows, expect_arguments, expect_same_length, like_both, list_type, number_type};

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Mix {
    signature: Signature,
}

impl Mix {
    pub(super) fn new() -> Self {
        Mix { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Mix {
    fn name(&self) -> &str {
        "mix"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        expect_arguments("mix", given.len(), 3, "mix(a, b, gamma)")?;
        Ok(vec![
            list_type("mix", &given[0])?,
            list_type("mix", &given[1])?,
            number_type("mix", &given[2], DataType::Float64)?,
        ])
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        like_both("mix", &given[0], &given[1])
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let (a, b) = (Lists::new(&args.args[0])?, Lists::new(&args.args[1])?);
        let gammas = args.args[2].to_array(rows)?;
        let gammas = gammas.as_primitive::<Float64Type>();
        let mut result = Rows::new(args.return_type(), rows);
        for row in 0..rows {
            let gamma = gammas.is_valid(row).then(|| gammas.value(row));
            let (Some(a), Some(b), Some(gamma)) = (a.row(row), b.row(row), gamma) else {
                result.push(None::<std::iter::Empty<f32>>);
                continue;
            };
            expect_same_length("mix", a, b)?;
            // The factors are rounded to f32 first, as torch does with
            // `gamma * a + (1 - gamma) * b`.
            let (for_a, for_b) = (gamma as f32, (1.0 - gamma) as f32);
            result.push(Some(a.iter().zip(b).map(|(a, b)| match gamma {
                // The side with weight 0 is left out, so that its infinite or missing elements do
                // not make the result NaN.
                0.0 => *b,
                1.0 => *a,
                _ => for_a * a + for_b * b,
            })));
        }
        result.finish()
    }
}
