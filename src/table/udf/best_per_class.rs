//! Implements the aggregate `best_per_class(image_id, list, k)`: for each class, the `k` pictures
//! in whose list its number is largest.
//!
//! It reads one list after another and keeps `k` pictures for each class, whereas ranking a row for
//! each picture and class takes memory for all of them.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Int32Array, ListArray, StringArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Float32Type, Int32Type, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, ColumnarValue, Signature, Volatility};

use super::lists::{Lists, expect_arguments, list_type, number_type};

const NAME: &str = "best_per_class";

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct BestPerClass {
    signature: Signature,
}

impl BestPerClass {
    pub(super) fn new() -> Self {
        BestPerClass { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

/// Returns the fields of a picture of the result: its class, its place from 1, its id, its number.
fn fields() -> Fields {
    let field = |name, of| Field::new(name, of, false);
    let [class, place, image, value] = [DataType::Int32, DataType::Int32, DataType::Utf8, DataType::Float32];
    Fields::from(vec![field("class_id", class), field("place", place), field("image_id", image), field("value", value)])
}

fn item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(fields()), true))
}

impl AggregateUDFImpl for BestPerClass {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        expect_arguments(NAME, given.len(), 3, "best_per_class(image_id, list, k)")?;
        let text = [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View, DataType::Null];
        if !text.contains(&given[0]) {
            return plan_err!("{NAME} needs the ids of pictures first, not {}", given[0]);
        }
        Ok(vec![DataType::Utf8, list_type(NAME, &given[1])?, number_type(NAME, &given[2], DataType::Int64)?])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(item()))
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return plan_err!("{NAME} knows no DISTINCT: it keeps every picture that it is given");
        }
        Ok(Box::new(Best::default()))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let field = |name: &str, of| Arc::new(Field::new(format!("{}[{name}]", args.name), of, true));
        Ok(vec![field("best", DataType::List(item())), field("k", DataType::Int64), field("width", DataType::Int64)])
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// A picture in a class's list.
#[derive(Debug, Clone)]
struct Entry {
    value: f32,
    id: Arc<str>,
}

/// A better picture is the greater one: that with the larger number, and of equal ones the one
/// whose id comes first. Numbers are ordered as by `ORDER BY`.
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.total_cmp(&other.value).then_with(|| other.id.cmp(&self.id))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

/// The best pictures so far.
#[derive(Debug, Default)]
struct Best {
    /// How many a class keeps; `None` before the first row.
    k: Option<usize>,
    /// The length of the lists.
    width: Option<usize>,
    /// The pictures of each class, the worst on top.
    classes: Vec<BinaryHeap<Reverse<Entry>>>,
    /// The number that a class's next picture must reach: that of its worst once it has `k`.
    least: Vec<f32>,
}

impl Best {
    /// Checks that a row's `k` and the length of its list are those of the rows before.
    fn expect(&mut self, k: usize, width: usize) -> Result<()> {
        if *self.k.get_or_insert(k) != k {
            return exec_err!("{NAME} needs the same k in every row, not {} and {k}", self.k.unwrap_or(0));
        }
        if *self.width.get_or_insert(width) != width {
            let first = self.width.unwrap_or(0);
            return exec_err!("{NAME} needs lists of the same length, not of {first} and {width}");
        }
        if self.classes.len() < width {
            self.classes.resize_with(width, BinaryHeap::new);
            self.least.resize(width, if k == 0 { f32::INFINITY } else { f32::NEG_INFINITY });
        }
        Ok(())
    }

    /// Offers a picture to a class.
    fn offer(&mut self, class: usize, entry: Entry) {
        let k = self.k.unwrap_or(0);
        let Some(kept) = self.classes.get_mut(class) else { return };
        if kept.len() < k {
            kept.push(Reverse(entry));
        } else if let Some(mut worst) = kept.peek_mut().filter(|worst| worst.0 < entry) {
            worst.0 = entry;
        }
        if kept.len() == k
            && let Some(Reverse(worst)) = kept.peek()
        {
            self.least[class] = worst.value;
        }
    }

    /// Returns the pictures of all classes in one list, best first, or null before the first row.
    fn list(&self) -> Result<ListArray> {
        if self.k.is_none() {
            return Ok(ListArray::new_null(item(), 1));
        }
        let (mut class_ids, mut places, mut ids, mut values) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (class, kept) in (0..).zip(&self.classes) {
            let mut kept: Vec<&Entry> = kept.iter().map(|Reverse(entry)| entry).collect();
            kept.sort_unstable_by(|a, b| b.cmp(a));
            for (place, Entry { value, id }) in (1..).zip(kept) {
                class_ids.push(class);
                places.push(place);
                ids.push(id.as_ref());
                values.push(*value);
            }
        }
        let count = ids.len();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(class_ids)),
            Arc::new(Int32Array::from(places)),
            Arc::new(StringArray::from(ids)),
            Arc::new(Float32Array::from(values)),
        ];
        let pictures = StructArray::try_new(fields(), columns, None)?;
        Ok(ListArray::try_new(item(), OffsetBuffer::from_lengths([count]), Arc::new(pictures), None)?)
    }
}

impl Accumulator for Best {
    /// Takes columns of ids, lists and `k`. A row with a null is left out, and so is a number that
    /// is NaN or null.
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (ids, ks) = (values[0].as_string::<i32>(), values[2].as_primitive::<Int64Type>());
        let lists = Lists::new(&ColumnarValue::Array(values[1].clone()))?;
        for row in 0..ids.len() {
            let Some(list) = lists.row(row).filter(|_| ids.is_valid(row) && ks.is_valid(row)) else { continue };
            let Ok(k) = usize::try_from(ks.value(row)) else {
                return exec_err!("{NAME} needs a k of at least 0, not {}", ks.value(row));
            };
            self.expect(k, list.len())?;
            // One copy of the id serves all classes that keep the picture.
            let mut id: Option<Arc<str>> = None;
            for (class, value) in list.iter().copied().enumerate() {
                // NaN reaches nothing.
                if value >= self.least[class] {
                    let id = id.get_or_insert_with(|| ids.value(row).into()).clone();
                    self.offer(class, Entry { value, id });
                }
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::List(Arc::new(self.list()?)))
    }

    fn size(&self) -> usize {
        let entries: usize = self.classes.iter().map(BinaryHeap::capacity).sum();
        // An id of 64 digits, counted for each class that keeps the picture.
        let each = size_of::<Entry>() + 80;
        size_of_val(self) + self.least.capacity() * 4 + size_of_val(self.classes.as_slice()) + entries * each
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let number = |of: Option<usize>| ScalarValue::Int64(of.and_then(|of| i64::try_from(of).ok()));
        Ok(vec![self.evaluate()?, number(self.k), number(self.width)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states[0].as_list::<i32>();
        let (ks, widths) = (states[1].as_primitive::<Int64Type>(), states[2].as_primitive::<Int64Type>());
        for row in (0..lists.len()).filter(|row| lists.is_valid(*row)) {
            let number = |of: i64| usize::try_from(of).unwrap_or(0);
            self.expect(number(ks.value(row)), number(widths.value(row)))?;
            let pictures = lists.value(row);
            let pictures = pictures.as_struct();
            let (classes, ids) =
                (pictures.column(0).as_primitive::<Int32Type>(), pictures.column(2).as_string::<i32>());
            let values = pictures.column(3).as_primitive::<Float32Type>();
            for at in 0..pictures.len() {
                let class = usize::try_from(classes.value(at)).unwrap_or(0);
                self.offer(class, Entry { value: values.value(at), id: ids.value(at).into() });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;
    use proptest::prelude::*;

    use super::*;
    use crate::table::arrays;

    fn columns(rows: &[(u8, Vec<f32>)], k: i64) -> Vec<ArrayRef> {
        let values: Vec<f32> = rows.iter().flat_map(|(_, list)| list.clone()).collect();
        let ids = arrays::text(rows.iter().map(|(id, _)| format!("{id:02x}")));
        vec![ids, arrays::fixed_list_f32(&values, 3).unwrap(), Arc::new(Int64Array::from(vec![k; rows.len()]))]
    }

    fn merged(parts: &[&[(u8, Vec<f32>)]], k: i64) -> ScalarValue {
        let mut all = Best::default();
        for part in parts {
            let mut one = Best::default();
            one.update_batch(&columns(part, k)).unwrap();
            let state: Vec<ArrayRef> = one.state().unwrap().iter().map(|s| s.to_array().unwrap()).collect();
            all.merge_batch(&state).unwrap();
        }
        all.evaluate().unwrap()
    }

    proptest! {
        #[test]
        fn however_the_pictures_are_shared_out_the_result_is_that_of_one_sort(
            rows in prop::collection::vec((any::<u8>(), prop::collection::vec((0i8..4).prop_map(f32::from), 3)), 0..40),
            k in 0i64..6, at in 0usize..40,
        ) {
            let (one, other) = rows.split_at(at.min(rows.len()));
            let whole = merged(&[&rows], k);
            prop_assert_eq!(&merged(&[one, other], k), &whole);
            prop_assert_eq!(&merged(&[other, &[], one], k), &whole);
            prop_assume!(!rows.is_empty());
            let ScalarValue::List(list) = whole else { panic!("not a list") };
            let list = list.value(0);
            let pictures = list.as_struct();
            let found: Vec<(i32, i32, String, f32)> = (0..pictures.len()).map(|at| (
                pictures.column(0).as_primitive::<Int32Type>().value(at),
                pictures.column(1).as_primitive::<Int32Type>().value(at),
                pictures.column(2).as_string::<i32>().value(at).to_owned(),
                pictures.column(3).as_primitive::<Float32Type>().value(at),
            )).collect();
            let mut expected = Vec::new();
            for class in 0..3 {
                let mut sorted: Vec<(f32, String)> =
                    rows.iter().map(|(id, list)| (list[class], format!("{id:02x}"))).collect();
                sorted.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
                let best = (1..).zip(sorted.into_iter().take(k as usize));
                expected.extend(best.map(|(place, (value, id))| (class as i32, place, id, value)));
            }
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn memory_does_not_grow_with_the_pictures() {
        let mut best = Best::default();
        let rows: Vec<(u8, Vec<f32>)> = (0..=255).map(|id| (id, vec![f32::from(id), -1.0, 0.0])).collect();
        best.update_batch(&columns(&rows, 4)).unwrap();
        let once = best.size();
        (0..50).for_each(|_| best.update_batch(&columns(&rows, 4)).unwrap());
        assert_eq!(best.size(), once);
    }
}
