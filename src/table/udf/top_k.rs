//! Implements `top_k(list, k)`: the k best classes.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int32Array, ListArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::lists::{Lists, expect_arguments, list_type, number_type};

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct TopK {
    signature: Signature,
}

impl TopK {
    pub(super) fn new() -> Self {
        TopK { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

fn item() -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Int32, true))
}

impl ScalarUDFImpl for TopK {
    fn name(&self) -> &str {
        "top_k"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        expect_arguments("top_k", given.len(), 2, "top_k(list, k)")?;
        Ok(vec![list_type("top_k", &given[0])?, number_type("top_k", &given[1], DataType::Int64)?])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(item()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let lists = Lists::new(&args.args[0])?;
        let ks = args.args[1].to_array(args.number_rows)?;
        let ks = ks.as_primitive::<Int64Type>();
        let (mut places, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
        for row in 0..args.number_rows {
            let list = lists.row(row).filter(|_| ks.is_valid(row));
            valid.push(list.is_some());
            let best = match list {
                Some(list) => {
                    let Ok(k) = usize::try_from(ks.value(row)) else {
                        return exec_err!("top_k needs a k of at least 0, not {}", ks.value(row));
                    };
                    best(list, k)
                }
                None => Vec::new(),
            };
            lengths.push(best.len());
            places.extend(best);
        }
        let places = Arc::new(Int32Array::from(places));
        let array =
            ListArray::try_new(item(), OffsetBuffer::from_lengths(lengths), places, Some(NullBuffer::from(valid)))?;
        Ok(ColumnarValue::Array(Arc::new(array)))
    }
}

/// Returns the indices of the k largest elements, best first, and of equal ones the first; NaN is
/// left out.
fn best(list: &[f32], k: usize) -> Vec<i32> {
    let mut places: Vec<(i32, f32)> = (0..).zip(list.iter().copied()).filter(|(_, v)| !v.is_nan()).collect();
    // The sort is stable, so equal elements stay in order.
    places.sort_by(|(_, a), (_, b)| b.partial_cmp(a).unwrap_or(std::cmp::Ordering::Equal));
    places.truncate(k);
    places.into_iter().map(|(place, _)| place).collect()
}
