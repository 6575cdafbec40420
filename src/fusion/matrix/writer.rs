//! Writing a table of numbers: its rows come in order, all cores make them, or each comes when it
//! is known.

use std::sync::Arc;

use tch::Tensor;

use super::{Matrix, Numbers, bytes};
use crate::cores::{self, PerThread};
use crate::error::{Error, Kind, Result};
use crate::fusion::blocks::{Block, Blocks};
use crate::memory;
use crate::stop::Stop;
use crate::store::scratch::Scratch;
use crate::table::tensor;

/// Writes a table.
#[derive(Debug)]
pub struct Writer {
    rows: i64,
    columns: i64,
    written: i64,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Memory(Tensor),
    Scratch(Scratch),
}

impl Writer {
    /// Begins a table, (rows, columns).
    ///
    /// # Errors
    /// Fails if it is large and no file can be made.
    pub fn begin(rows: i64, columns: i64) -> Result<Self> {
        match bytes(rows, columns) <= memory::of_a_table() {
            true => Ok(Writer::in_memory(rows, columns)),
            false => Ok(Writer { rows, columns, written: 0, place: Place::Scratch(Scratch::create()?) }),
        }
    }

    /// Begins a table of zeros (rows, columns), whose rows come in any order, by
    /// [`put`](Self::put).
    ///
    /// # Errors
    /// Fails like [`begin`](Self::begin).
    pub fn of_zeros(rows: i64, columns: i64) -> Result<Self> {
        let place = match bytes(rows, columns) <= memory::of_a_table() {
            true => Place::Memory(Tensor::zeros([rows, columns], tch::kind::FLOAT_CPU)),
            false => Place::Scratch(Scratch::of_zeros((rows * columns).cast_unsigned())?),
        };
        Ok(Writer { rows, columns, written: rows, place })
    }

    /// Begins a table (rows, columns) that lies in memory, however large it is.
    pub fn in_memory(rows: i64, columns: i64) -> Self {
        let place = Place::Memory(Tensor::empty([rows, columns], tch::kind::FLOAT_CPU));
        Writer { rows, columns, written: 0, place }
    }

    /// Completes the table with what `make` returns for the blocks, on all cores. `make` works on
    /// `with`, of which each core has its own copy. The caller must not hold a turn on a core.
    ///
    /// # Errors
    /// Fails if `make` does or a file cannot be written, and returns [`Kind::Interrupted`] if a
    /// stop was requested.
    pub fn filled_on_cores<T: Send + 'static>(
        mut self,
        blocks: Blocks,
        stop: &Stop,
        with: T,
        copy: fn(&T) -> T,
        make: impl Fn(&T, Block) -> Result<Tensor> + Send + Sync + 'static,
    ) -> Result<Matrix> {
        let work = Arc::new((PerThread::new(with, copy), make));
        let mut blocks = blocks.iter();
        loop {
            // As many at once as there are cores, so that few results wait to be written.
            let some: Vec<Block> = blocks.by_ref().take(cores::limit()).collect();
            if some.is_empty() {
                return self.finish();
            }
            stop.check()?;
            let work = work.clone();
            let made = cores::map(some, move |block| work.0.with(|with| (work.1)(with, block)))?;
            made.iter().try_for_each(|rows| self.push(rows))?;
        }
    }

    /// Adds rows, (m, columns).
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the disk is full or fails.
    pub fn push(&mut self, rows: &Tensor) -> Result<()> {
        let count = rows.size()[0];
        match &mut self.place {
            Place::Memory(tensor) => tensor.narrow(0, self.written, count).copy_(rows),
            Place::Scratch(file) => file.append(&tensor::numbers(rows)?)?,
        }
        self.written += count;
        Ok(())
    }

    /// Puts rows (m, columns) in the place of those at these places (m).
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if the disk is full or fails.
    pub fn put(&mut self, places: &[i64], rows: &Tensor) -> Result<()> {
        match &mut self.place {
            Place::Memory(tensor) => {
                let _ = tensor.index_copy_(0, &Tensor::from_slice(places), rows);
            }
            Place::Scratch(file) => {
                let (numbers, columns) = (tensor::numbers(rows)?, self.columns.cast_unsigned());
                for (place, row) in places.iter().zip(numbers.chunks(columns.max(1) as usize)) {
                    file.write(place.cast_unsigned() * columns, row)?;
                }
            }
        }
        Ok(())
    }

    /// Completes the table.
    ///
    /// # Errors
    /// Returns [`Kind::Internal`] if rows are missing.
    pub fn finish(self) -> Result<Matrix> {
        let Writer { rows, columns, written, place } = self;
        if written != rows {
            return Err(Error::new(Kind::Internal, format!("a table of {rows} rows got {written}")));
        }
        let numbers = match place {
            Place::Memory(tensor) => Numbers::Memory(tensor),
            Place::Scratch(file) => Numbers::Scratch(Arc::new(file)),
        };
        Ok(Matrix { rows, columns, numbers })
    }
}

#[cfg(test)]
mod tests {
    use tch::Kind as Number;

    use super::*;

    #[test]
    fn rows_in_any_order_are_the_same_in_a_file() {
        let rows = Tensor::arange(6, tch::kind::FLOAT_CPU).view([2, 3]);
        let place = Place::Scratch(Scratch::of_zeros(12).unwrap());
        let of = |mut writer: Writer| {
            writer.put(&[3, 0], &rows).unwrap();
            writer.put(&[0], &rows.narrow(0, 1, 1)).unwrap();
            writer.finish().unwrap().in_memory(&Stop::default()).unwrap()
        };
        let found = of(Writer::of_zeros(4, 3).unwrap());
        assert_eq!(found, of(Writer { rows: 4, columns: 3, written: 4, place }));
        assert_eq!(
            tensor::numbers(&found.sum_dim_intlist([1i64].as_slice(), false, None::<Number>)).unwrap(),
            [12.0, 0.0, 0.0, 3.0]
        );
    }

    #[test]
    fn a_table_with_missing_rows_is_refused() {
        let mut writer = Writer::begin(3, 2).unwrap();
        writer.push(&Tensor::zeros([2, 2], tch::kind::FLOAT_CPU)).unwrap();
        assert_eq!(writer.finish().unwrap_err().to_string(), "a table of 3 rows got 2");
    }
}
