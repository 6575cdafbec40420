//! Tables of numbers with a row for each picture, such as logits (n, C) and features (n, d), which
//! are read a block of rows at a time. A small one lies in memory, a large one in a file; a sum or
//! a selection of others is computed where it is read. So what a run holds in memory does not grow
//! with the number of pictures.

mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use tch::{Kind as Number, Tensor};

pub use writer::Writer;

use super::blocks::{Block, Blocks};
use crate::cores;
use crate::error::{Context, Error, Kind, Result};
use crate::memory;
use crate::stop::Stop;
use crate::store::column::Column;
use crate::store::scratch::Scratch;
use crate::table::tensor;

/// A table of 32-bit numbers, (rows, columns).
#[derive(Debug)]
pub struct Matrix {
    rows: i64,
    columns: i64,
    numbers: Numbers,
}

/// Where the numbers are, or what they are computed from.
#[derive(Debug)]
enum Numbers {
    /// In memory.
    Memory(Tensor),
    /// In a file that is gone with the process.
    Scratch(Arc<Scratch>),
    /// In a column of parts of the store.
    Stored(Arc<Column>),
    /// In another table's rows at these places.
    Picked(Box<Matrix>, Tensor),
    /// The sum of two tables, each times a number.
    Mixed([(Box<Matrix>, f64); 2]),
    /// Another table, with a number for each column added to every row.
    Shifted(Box<Matrix>, Tensor),
    /// What is made of another table's rows and a number.
    Mapped(Box<Matrix>, OfRows, f64),
    /// The rows of several tables, one after the other.
    Joined(Vec<Matrix>),
}

/// Makes rows (m, columns) of as many others, each of one, and of a number.
type OfRows = fn(&Tensor, f64) -> Tensor;

impl From<Tensor> for Matrix {
    /// Takes a tensor (rows, columns) of 32-bit numbers on the CPU.
    fn from(tensor: Tensor) -> Self {
        let (rows, columns) = tensor.size2().unwrap_or((0, 0));
        Matrix { rows, columns, numbers: Numbers::Memory(tensor) }
    }
}

impl Clone for Matrix {
    /// Returns the same table, which shares the numbers.
    fn clone(&self) -> Self {
        let same = |of: &Matrix| Box::new(of.clone());
        let numbers = match &self.numbers {
            Numbers::Memory(tensor) => Numbers::Memory(tensor.shallow_clone()),
            Numbers::Scratch(file) => Numbers::Scratch(file.clone()),
            Numbers::Stored(column) => Numbers::Stored(column.clone()),
            Numbers::Picked(of, places) => Numbers::Picked(same(of), places.shallow_clone()),
            Numbers::Mixed([(a, x), (b, y)]) => Numbers::Mixed([(same(a), *x), (same(b), *y)]),
            Numbers::Shifted(of, by) => Numbers::Shifted(same(of), by.shallow_clone()),
            Numbers::Mapped(of, make, by) => Numbers::Mapped(same(of), *make, *by),
            Numbers::Joined(tables) => Numbers::Joined(tables.clone()),
        };
        Matrix { numbers, ..*self }
    }
}

impl Matrix {
    /// Opens a column of vectors of 32-bit numbers in parts of the store; `None` if it can only be
    /// read as a whole.
    ///
    /// # Errors
    /// Fails like [`Column::open`].
    pub fn stored(parts: &[PathBuf], column: &str) -> Result<Option<Self>> {
        let Some(column) = Column::open(parts, column)? else { return Ok(None) };
        let (rows, columns) = (column.rows().cast_signed(), column.width() / size_of::<f32>());
        Ok(Some(Matrix { rows, columns: columns as i64, numbers: Numbers::Stored(Arc::new(column)) }))
    }

    /// Computes a table, block by block in order: `make` returns the rows of a block. It lies in
    /// memory if it is small ([`memory::of_a_table`]).
    ///
    /// # Errors
    /// Fails if `make` does or a file cannot be written, and returns [`Kind::Interrupted`] if a
    /// stop was requested.
    pub fn computed(
        blocks: Blocks,
        columns: i64,
        stop: &Stop,
        mut make: impl FnMut(Block) -> Result<Tensor>,
    ) -> Result<Self> {
        let mut writer = Writer::begin(blocks.rows(), columns)?;
        blocks.try_each(stop, |block| writer.push(&make(block)?))?;
        writer.finish()
    }

    /// Returns groups of at most `most` consecutive columns, each computed as a table of its own.
    ///
    /// # Errors
    /// Fails if a file cannot be read or written, and returns [`Kind::Interrupted`] if a stop was
    /// requested.
    pub fn in_columns(&self, most: i64, stop: &Stop) -> Result<Vec<Matrix>> {
        let most = most.max(1);
        let ranges = (0..self.columns).step_by(most as usize).map(|from| (from, most.min(self.columns - from)));
        let writer = |(from, columns)| Ok(((from, columns), Writer::begin(self.rows, columns)?));
        let mut writers: Vec<((i64, i64), Writer)> = ranges.map(writer).collect::<Result<_>>()?;
        self.blocks().try_each(stop, |block| {
            let rows = self.block(block)?;
            writers.iter_mut().try_for_each(|((from, columns), writer)| writer.push(&rows.narrow(1, *from, *columns)))
        })?;
        writers.into_iter().map(|(_, writer)| writer.finish()).collect()
    }

    /// Returns the number of rows, and of columns.
    pub fn size(&self) -> (i64, i64) {
        (self.rows, self.columns)
    }

    /// Returns the rows at these places (m), in their order.
    #[must_use]
    pub fn picked(&self, places: &Tensor) -> Self {
        let numbers = Numbers::Picked(Box::new(self.clone()), places.shallow_clone());
        Matrix { rows: places.size()[0], columns: self.columns, numbers }
    }

    /// Returns `self * own + other * its`.
    #[must_use]
    pub fn mixed(&self, own: f64, other: &Matrix, its: f64) -> Self {
        let numbers = Numbers::Mixed([(Box::new(self.clone()), own), (Box::new(other.clone()), its)]);
        Matrix { numbers, ..*self }
    }

    /// Returns the table with a number for each column (columns) added to every row.
    #[must_use]
    pub fn shifted(&self, by: &Tensor) -> Self {
        let by = by.to_kind(Number::Float).to_device(tch::Device::Cpu);
        Matrix { numbers: Numbers::Shifted(Box::new(self.clone()), by), ..*self }
    }

    /// Returns the table of what `make` makes of each row and the number `by`.
    #[must_use]
    pub fn mapped(&self, make: OfRows, by: f64) -> Self {
        Matrix { numbers: Numbers::Mapped(Box::new(self.clone()), make, by), ..*self }
    }

    /// Returns the rows of tables with the same columns, one after the other.
    pub fn joined(tables: Vec<Matrix>) -> Self {
        let rows = tables.iter().map(|table| table.rows).sum();
        let columns = tables.first().map_or(0, |table| table.columns);
        Matrix { rows, columns, numbers: Numbers::Joined(tables) }
    }

    /// Returns blocks for elementwise work on the rows.
    pub fn blocks(&self) -> Blocks {
        Blocks::of_numbers(self.rows, self.columns)
    }

    /// Returns the rows of a block.
    ///
    /// # Errors
    /// Fails if a file cannot be read.
    pub fn block(&self, block: Block) -> Result<Tensor> {
        let (from, to) = block.range();
        match &self.numbers {
            Numbers::Memory(tensor) => Ok(block.of(tensor)),
            Numbers::Scratch(_) | Numbers::Stored(_) => self.read([(from, to - from)], to - from),
            Numbers::Picked(of, places) => of.rows(&block.of(places)),
            Numbers::Mixed([(a, x), (b, y)]) => Ok(a.block(block)? * *x + b.block(block)? * *y),
            Numbers::Shifted(of, by) => Ok(of.block(block)? + by),
            Numbers::Mapped(of, make, by) => Ok(make(&of.block(block)?, *by)),
            Numbers::Joined(_) => self.rows(&Tensor::arange_start(from, to, tch::kind::INT64_CPU)),
        }
    }

    /// Returns the rows at these places (m), in their order, as a tensor (m, columns).
    ///
    /// # Errors
    /// Fails if a file cannot be read.
    pub fn rows(&self, places: &Tensor) -> Result<Tensor> {
        match &self.numbers {
            Numbers::Memory(tensor) => Ok(tensor.index_select(0, places)),
            Numbers::Scratch(_) | Numbers::Stored(_) => {
                let places = Vec::<i64>::try_from(places).context(Kind::Torch, || "cannot copy places".to_owned())?;
                let count = places.len() as i64;
                self.read(runs(&places), count)
            }
            Numbers::Picked(of, among) => of.rows(&among.index_select(0, places)),
            Numbers::Mixed([(a, x), (b, y)]) => Ok(a.rows(places)? * *x + b.rows(places)? * *y),
            Numbers::Shifted(of, by) => Ok(of.rows(places)? + by),
            Numbers::Mapped(of, make, by) => Ok(make(&of.rows(places)?, *by)),
            Numbers::Joined(tables) => {
                let mut all = Tensor::empty([places.size()[0], self.columns], tch::kind::FLOAT_CPU);
                let mut before = 0;
                for table in tables {
                    let own = places.ge(before).logical_and(&places.lt(before + table.rows)).nonzero().view([-1]);
                    let found = table.rows(&(places.index_select(0, &own) - before))?;
                    let _ = all.index_copy_(0, &own, &found);
                    before += table.rows;
                }
                Ok(all)
            }
        }
    }

    /// Reads runs of rows, each a first row and a number of them, `count` in all.
    fn read(&self, runs: impl IntoIterator<Item = (i64, i64)>, count: i64) -> Result<Tensor> {
        let columns = self.columns as usize;
        let mut numbers = vec![0.0f32; count as usize * columns];
        let mut rest = numbers.as_mut_slice();
        for (first, rows) in runs {
            let (these, others) = rest.split_at_mut(rows as usize * columns);
            self.read_run(first, these)?;
            rest = others;
        }
        Ok(Tensor::from_slice(&numbers).view([count, self.columns]))
    }

    /// Reads rows from `first` on, as many as fit.
    fn read_run(&self, first: i64, into: &mut [f32]) -> Result<()> {
        match &self.numbers {
            Numbers::Scratch(file) => file.read(first.cast_unsigned() * self.columns.cast_unsigned(), into),
            Numbers::Stored(column) => column.read(first.cast_unsigned(), bytemuck::cast_slice_mut(into)),
            _ => Err(Error::new(Kind::Internal, "these numbers are in no file")),
        }
    }

    /// Calls `give` with each of the rows at these places and the number of the place among them,
    /// in order; no more than a few rows are copied at a time.
    ///
    /// # Errors
    /// Fails if a file cannot be read.
    pub fn each_row(&self, places: &[i64], mut give: impl FnMut(usize, &[f32])) -> Result<()> {
        const AT_ONCE: usize = 32;
        let columns = self.columns as usize;
        if let Some(all) = self.in_place()? {
            let row = |place: i64| &all[place as usize * columns..][..columns];
            places.iter().enumerate().for_each(|(n, place)| give(n, row(*place)));
            return Ok(());
        }
        for (chunk, places) in places.chunks(AT_ONCE).enumerate() {
            let rows = tensor::numbers(&self.rows(&Tensor::from_slice(places))?)?;
            rows.chunks(columns.max(1)).enumerate().for_each(|(n, row)| give(chunk * AT_ONCE + n, row));
        }
        Ok(())
    }

    /// Returns all numbers row by row, where they lie in memory or in a file that can be mapped.
    #[allow(unsafe_code)]
    fn in_place(&self) -> Result<Option<&[f32]>> {
        Ok(match &self.numbers {
            Numbers::Scratch(file) => Some(file.all()?),
            Numbers::Memory(tensor)
                if tensor.is_contiguous() && tensor.kind() == Number::Float && tensor.numel() > 0 =>
            {
                // SAFETY: the tensor has so many numbers of this type without gaps, on the CPU like
                // every table, and lives as long as `self`. No table is written to once it is made.
                Some(unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<f32>(), tensor.numel()) })
            }
            _ => None,
        })
    }

    /// Returns the sum of the rows, (1, columns).
    ///
    /// # Errors
    /// Fails if a file cannot be read, and returns [`Kind::Interrupted`] if a stop was requested.
    pub fn sum(&self, stop: &Stop) -> Result<Tensor> {
        let mut sum = Tensor::zeros([1, self.columns], tch::kind::FLOAT_CPU);
        self.blocks().try_each(stop, |block| {
            sum += self.block(block)?.sum_dim_intlist([0i64].as_slice(), true, None::<Number>);
            Ok(())
        })?;
        Ok(sum)
    }

    /// Returns the mean of the rows, (1, columns).
    ///
    /// # Errors
    /// Fails like [`sum`](Self::sum).
    pub fn mean(&self, stop: &Stop) -> Result<Tensor> {
        Ok(self.sum(stop)? / self.rows.max(1) as f64)
    }

    /// Calls `work` with each block's rows, on all cores, and returns the results in the order of
    /// the blocks. The caller must not hold a turn on a core.
    ///
    /// # Errors
    /// Returns the error of the first block that fails, or [`Kind::Interrupted`] if a stop was
    /// requested.
    pub fn on_cores<R: Send + 'static>(
        &self,
        blocks: Blocks,
        stop: &Stop,
        work: impl Fn(Tensor) -> Result<R> + Send + Sync + 'static,
    ) -> Result<Vec<R>> {
        let stop = stop.clone();
        let blocks = blocks.iter().map(|block| (self.clone(), block)).collect();
        cores::map(blocks, move |(matrix, block)| {
            stop.check()?;
            work(matrix.block(block)?)
        })
    }

    /// Returns the places of every n-th row, such that they have at most `most` numbers; `None` if
    /// all rows have no more.
    pub fn sample(&self, most: i64) -> Option<Tensor> {
        let step = (self.rows * self.columns - 1).div_euclid(most.max(1)) + 1;
        (step > 1).then(|| Tensor::arange_start_step(0, self.rows, step, tch::kind::INT64_CPU))
    }

    /// Returns all rows as a tensor (rows, columns) in memory, however large.
    ///
    /// # Errors
    /// Fails if a file cannot be read, and returns [`Kind::Interrupted`] if a stop was requested.
    pub fn in_memory(&self, stop: &Stop) -> Result<Tensor> {
        match &self.numbers {
            Numbers::Memory(tensor) => Ok(tensor.shallow_clone()),
            _ => self.map(stop, |rows| rows),
        }
    }

    /// Returns the table in memory if it is small ([`memory::of_a_table`]), and as it is otherwise.
    ///
    /// # Errors
    /// Fails like [`in_memory`](Self::in_memory).
    pub fn in_memory_if_small(self, stop: &Stop) -> Result<Self> {
        match bytes(self.rows, self.columns) <= memory::of_a_table() {
            true => self.in_memory(stop).map(Matrix::from),
            false => Ok(self),
        }
    }

    /// Concatenates the results of `make` for the rows of each block, one row for each: little for
    /// a row, such as its best class.
    ///
    /// # Errors
    /// Fails if a file cannot be read, and returns [`Kind::Interrupted`] if a stop was requested.
    pub fn map(&self, stop: &Stop, mut make: impl FnMut(Tensor) -> Tensor) -> Result<Tensor> {
        self.blocks().try_map(stop, |block| Ok(make(self.block(block)?)))
    }
}

/// Returns the bytes of so many numbers.
fn bytes(rows: i64, columns: i64) -> u64 {
    (rows * columns).cast_unsigned() * size_of::<f32>() as u64
}

/// Joins consecutive places to runs: the first, and how many.
fn runs(places: &[i64]) -> impl Iterator<Item = (i64, i64)> + '_ {
    places.chunk_by(|one, next| *next == one + 1).map(|run| (run[0], run.len() as i64))
}

/// Returns the products (n, m) of rows (n, d) with those of a tensor (m, d): cosines, if all are of
/// unit length.
///
/// # Errors
/// Fails if a file cannot be read or written, and returns [`Kind::Interrupted`] if a stop was
/// requested.
pub fn products(rows: &Matrix, others: &Tensor, stop: &Stop) -> Result<Matrix> {
    let classes = others.size()[0];
    let blocks = Blocks::of_cosines(rows.rows, classes, others.numel() as i64);
    let with = (rows.clone(), others.shallow_clone());
    let copy = |(rows, others): &(Matrix, Tensor)| (rows.clone(), others.shallow_clone());
    Writer::begin(blocks.rows(), classes)?
        .filled_on_cores(blocks, stop, with, copy, |(rows, others), block| Ok(rows.block(block)?.matmul(&others.tr())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the same numbers (7, 3) in memory and in a file.
    fn both() -> [Matrix; 2] {
        let tensor = Tensor::arange(21, tch::kind::FLOAT_CPU).view([7, 3]);
        let mut scratch = Scratch::create().unwrap();
        scratch.append(&Vec::<f32>::try_from(tensor.flatten(0, 1)).unwrap()).unwrap();
        let numbers = Numbers::Scratch(Arc::new(scratch));
        [Matrix::from(tensor), Matrix { rows: 7, columns: 3, numbers }]
    }

    #[test]
    fn a_file_gives_what_memory_gives() {
        let [memory, file] = both();
        let places = Tensor::from_slice(&[6i64, 0, 1, 2, 2]);
        let of = |matrix: &Matrix| {
            let chosen = matrix.picked(&places);
            let chosen = Matrix::joined(vec![chosen.clone(), chosen]).picked(&Tensor::from_slice(&[7i64, 0, 2]));
            let sum = chosen.mixed(0.25, &chosen.shifted(&Tensor::from_slice(&[1.0f32, 2.0, 3.0])), 0.75);
            let sum = sum.mapped(|rows, by| (rows * by).softmax(-1, None::<Number>), 0.5);
            let again = sum.rows(&Tensor::from_slice(&[2i64, 0])).unwrap();
            [sum.in_memory(&Stop::default()).unwrap(), again, matrix.rows(&places).unwrap()]
        };
        assert_eq!(of(&memory), of(&file));
        assert_eq!(file.in_memory(&Stop::default()).unwrap(), memory.in_memory(&Stop::default()).unwrap());
    }

    #[test]
    fn products_and_best_classes_are_the_same_from_a_file() {
        let [memory, file] = both();
        let head = Tensor::from_slice(&[1.0f32, 0.0, -1.0, 0.5, 0.5, 0.0]).view([2, 3]);
        let of = |matrix: &Matrix| {
            let cosines = products(matrix, &head, &Stop::default()).unwrap();
            assert_eq!(cosines.size(), (7, 2));
            cosines.map(&Stop::default(), |rows| rows.argmax(1, false)).unwrap()
        };
        assert_eq!(of(&memory), of(&file));
        assert_eq!(of(&memory).size(), [7]);
    }

    #[test]
    fn a_sample_is_spread_over_all_rows_and_of_a_small_table_there_is_none() {
        let [memory, _] = both();
        assert!(
            memory.sample(21).is_none()
                && Matrix::from(Tensor::zeros([0, 3], tch::kind::FLOAT_CPU)).sample(1).is_none()
        );
        let places = |most| Vec::<i64>::try_from(memory.sample(most).unwrap()).unwrap();
        assert_eq!(places(20), [0, 2, 4, 6]);
        assert_eq!(places(7), [0, 3, 6]);
    }

    #[test]
    fn groups_of_columns_are_the_table_side_by_side() {
        for matrix in both() {
            for (most, expected) in [(1, vec![1, 1, 1]), (2, vec![2, 1]), (3, vec![3]), (9, vec![3]), (0, vec![1; 3])] {
                let groups = matrix.in_columns(most, &Stop::default()).unwrap();
                assert_eq!(groups.iter().map(|group| group.size().1).collect::<Vec<_>>(), expected);
                let groups: Vec<Tensor> =
                    groups.iter().map(|group| group.in_memory(&Stop::default()).unwrap()).collect();
                assert_eq!(Tensor::cat(&groups, 1), matrix.in_memory(&Stop::default()).unwrap());
            }
        }
    }
}
