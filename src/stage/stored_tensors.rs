//! Tensors of pictures, such as patch tokens: in memory if they are few, and otherwise read from
//! the store a batch at a time. The kernel keeps what is read often, as far as the machine has
//! memory.

use std::path::PathBuf;
use std::sync::Arc;

use tch::Tensor;

use crate::error::{Error, Kind, Result};
use crate::fusion::blocks::Blocks;
use crate::memory;
use crate::stop::Stop;
use crate::store::column::Column;
use crate::table::tensor;

/// A tensor for each picture, all of one shape.
#[derive(Debug)]
pub enum StoredTensors {
    /// In memory, (rows, ...).
    Memory(Tensor),
    /// In a column of the store.
    Store {
        /// The column.
        column: Arc<Column>,
        /// The row of each picture.
        rows: Arc<[i64]>,
    },
}

impl StoredTensors {
    /// Opens a column of parts; `rows` has the row of each picture among those of all parts.
    ///
    /// # Errors
    /// Fails like [`Column::open`], and if the column was not written plainly, as all tensors are.
    pub fn open(parts: &[PathBuf], column: &str, rows: Vec<i64>) -> Result<Self> {
        let none = || Error::new(Kind::Store, format!("the tensors `{column}` were not written plainly"));
        let column = Column::open(parts, column)?.ok_or_else(none)?;
        Ok(StoredTensors::Store { column: Arc::new(column), rows: rows.into() })
    }

    /// Reads the tensors into memory if they are few ([`memory::of_a_table`]).
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if a part cannot be read, and [`Kind::Interrupted`] if a stop was
    /// requested.
    pub fn in_memory_if_small(self, stop: &Stop) -> Result<Self> {
        let StoredTensors::Store { column, rows } = &self else { return Ok(self) };
        if self.bytes() > memory::of_a_table() {
            return Ok(self);
        }
        let blocks = Blocks::of_numbers(rows.len() as i64, column.width() as i64);
        let all = blocks.try_map(stop, |block| {
            let (from, to) = block.range();
            self.rows(&(from..to).collect::<Vec<i64>>())
        });
        all.map(StoredTensors::Memory)
    }

    /// Returns the same tensors, for another thread.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        match self {
            StoredTensors::Memory(all) => StoredTensors::Memory(all.shallow_clone()),
            StoredTensors::Store { column, rows } => {
                StoredTensors::Store { column: column.clone(), rows: rows.clone() }
            }
        }
    }

    /// Returns the bytes of all tensors.
    pub fn bytes(&self) -> u64 {
        match self {
            StoredTensors::Memory(all) => (all.numel() * all.kind().elt_size_in_bytes()) as u64,
            StoredTensors::Store { column, rows } => column.width() as u64 * rows.len() as u64,
        }
    }

    /// Returns the tensors of the pictures at these places, (B, ...), in the type they are stored
    /// in, on the CPU.
    ///
    /// # Errors
    /// Returns [`Kind::Store`] if a part cannot be read.
    pub fn rows(&self, places: &[i64]) -> Result<Tensor> {
        match self {
            StoredTensors::Memory(all) => Ok(all.index_select(0, &Tensor::from_slice(places))),
            StoredTensors::Store { column, rows } => {
                let width = column.width();
                let mut bytes = vec![0u8; places.len() * width];
                for (&place, row) in places.iter().zip(bytes.chunks_exact_mut(width.max(1))) {
                    column.read(rows[place as usize].cast_unsigned(), row)?;
                }
                let none = || Error::new(Kind::Internal, "there are no tensors");
                tensor::of_bytes(column.field().ok_or_else(none)?, places.len(), &bytes)
            }
        }
    }
}
