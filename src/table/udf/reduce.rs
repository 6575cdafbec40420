//! Implements functions that reduce a list to one number: `argmax`, `max_of`, `margin`, `entropy`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Int32Array};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::lists::{Lists, expect_arguments, list_type};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    Argmax,
    MaxOf,
    Margin,
    Entropy,
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Reduce {
    what: What,
    signature: Signature,
}

impl Reduce {
    pub(super) fn all() -> impl Iterator<Item = Reduce> {
        [What::Argmax, What::MaxOf, What::Margin, What::Entropy]
            .into_iter()
            .map(|what| Reduce { what, signature: Signature::user_defined(Volatility::Immutable) })
    }
}

impl ScalarUDFImpl for Reduce {
    fn name(&self) -> &str {
        match self.what {
            What::Argmax => "argmax",
            What::MaxOf => "max_of",
            What::Margin => "margin",
            What::Entropy => "entropy",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let name = self.name();
        expect_arguments(name, given.len(), 1, &format!("{name}(list)"))?;
        Ok(vec![list_type(name, &given[0])?])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(if self.what == What::Argmax { DataType::Int32 } else { DataType::Float32 })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let lists = Lists::new(&args.args[0])?;
        let rows = (0..args.number_rows).map(|row| lists.row(row));
        let float = |of: fn(&[f32]) -> Option<f32>| -> ArrayRef {
            Arc::new(rows.clone().map(|row| row.and_then(of)).collect::<Float32Array>())
        };
        Ok(ColumnarValue::Array(match self.what {
            What::Argmax => {
                let place = |row: &[f32]| argmax(row).and_then(|place| i32::try_from(place).ok());
                Arc::new(rows.map(|row| row.and_then(place)).collect::<Int32Array>())
            }
            What::MaxOf => float(|row| argmax(row).map(|place| row[place])),
            What::Margin => float(margin),
            What::Entropy => float(entropy),
        }))
    }
}

/// Returns the index of the largest element: the first of several, never NaN.
fn argmax(row: &[f32]) -> Option<usize> {
    let mut best: Option<usize> = None;
    for (place, value) in row.iter().enumerate() {
        if !value.is_nan() && best.is_none_or(|b| *value > row[b]) {
            best = Some(place);
        }
    }
    best
}

/// Returns the largest minus the second largest element, or `None` if fewer than two are numbers.
fn margin(row: &[f32]) -> Option<f32> {
    let (mut first, mut second) = (None, None);
    for &value in row.iter().filter(|v| !v.is_nan()) {
        if first.is_none_or(|f| value > f) {
            second = first.replace(value);
        } else if second.is_none_or(|s| value > s) {
            second = Some(value);
        }
    }
    Some(first? - second?)
}

/// Returns -sum p ln p over a row of probabilities; a probability of 0 adds nothing.
fn entropy(row: &[f32]) -> Option<f32> {
    let term = |p: f64| if p == 0.0 { 0.0 } else { -p * p.ln() };
    // `+ 0.0` turns the -0 of an empty sum or a certain answer into 0.
    (!row.is_empty()).then(|| (row.iter().map(|p| term(f64::from(*p))).sum::<f64>() + 0.0) as f32)
}
