//! Work on the rows of large tables, one block at a time. A slow core finishes a block within half
//! a second, and [`Stop`] is checked before each, so a request to stop takes effect soon, however
//! many rows there are. What a block allocates besides its result is small, too.

use tch::Tensor;

use crate::error::Result;
use crate::stop::Stop;

/// Multiplications and additions in a block of matrix products: 0.4 s at 5 billion of each a
/// second.
const PRODUCTS: i64 = 1 << 31;

/// Numbers in a block of elementwise work: a softmax of this many takes some hundredths of a
/// second.
const NUMBERS: i64 = 1 << 22;

/// The number of rows, and of rows in a block.
#[derive(Debug, Clone, Copy)]
pub struct Blocks {
    rows: i64,
    block: i64,
}

/// A range of consecutive rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    from: i64,
    rows: i64,
}

impl Block {
    /// Returns the rows from the first up to but excluding the last.
    pub fn of_rows(from: i64, to: i64) -> Block {
        Block { from, rows: to - from }
    }

    /// Returns these rows of a table, as a view.
    pub fn of(&self, table: &Tensor) -> Tensor {
        table.narrow(0, self.from, self.rows)
    }

    /// Returns the indices of the rows, from the first up to but excluding the last.
    pub fn range(&self) -> (i64, i64) {
        (self.from, self.from + self.rows)
    }
}

impl Blocks {
    /// Returns blocks for matrix products in which a row takes `each` multiplications, each with an
    /// addition.
    pub fn of_products(rows: i64, each: i64) -> Blocks {
        Blocks { rows, block: (PRODUCTS / each.max(1)).max(1) }
    }

    /// Returns blocks for the products of rows (rows, d) with those of a table (m, d) of so many
    /// `numbers`: both the work and what comes of it, m numbers a row, are of a block's size.
    pub fn of_cosines(rows: i64, m: i64, numbers: i64) -> Blocks {
        Blocks::of_products(rows, numbers).at_most((NUMBERS / m.max(1)).max(1))
    }

    /// Returns blocks for elementwise work on rows of `each` numbers.
    pub fn of_numbers(rows: i64, each: i64) -> Blocks {
        Blocks { rows, block: (NUMBERS / each.max(1)).max(1) }
    }

    /// Limits a block to at most `rows` rows.
    #[must_use]
    pub fn at_most(self, rows: i64) -> Blocks {
        Blocks { block: self.block.min(rows), ..self }
    }

    /// Returns the number of rows.
    pub fn rows(self) -> i64 {
        self.rows
    }

    /// Returns the blocks in turn. Whoever works on them asks whether to stop.
    pub fn iter(self) -> impl Iterator<Item = Block> {
        let Blocks { rows, block } = self;
        std::iter::successors(Some(0), move |from| Some(from + block))
            .take_while(move |from| *from < rows)
            .map(move |from| Block { from, rows: block.min(rows - from) })
    }

    /// Calls `work` with each block in turn.
    ///
    /// # Errors
    /// Returns [`crate::error::Kind::Interrupted`] if a stop was requested.
    pub fn each(self, stop: &Stop, mut work: impl FnMut(Block)) -> Result<()> {
        self.try_each(stop, |block| {
            work(block);
            Ok(())
        })
    }

    /// Calls `work`, which may fail, with each block in turn, until it fails.
    ///
    /// # Errors
    /// Returns the error of the block that failed, or [`crate::error::Kind::Interrupted`] if a stop
    /// was requested.
    pub fn try_each(self, stop: &Stop, mut work: impl FnMut(Block) -> Result<()>) -> Result<()> {
        self.iter().try_for_each(|block| {
            stop.check()?;
            work(block)
        })
    }

    /// Concatenates the results of `make` for all blocks; each has one row for each row of the
    /// block.
    ///
    /// # Errors
    /// Returns [`crate::error::Kind::Interrupted`] if a stop was requested.
    pub fn map(self, stop: &Stop, mut make: impl FnMut(Block) -> Tensor) -> Result<Tensor> {
        self.try_map(stop, |block| Ok(make(block)))
    }

    /// Like [`map`](Self::map), with a `make` that may fail.
    ///
    /// # Errors
    /// Returns the error of the block that failed, or [`crate::error::Kind::Interrupted`] if a stop
    /// was requested.
    pub fn try_map(self, stop: &Stop, mut make: impl FnMut(Block) -> Result<Tensor>) -> Result<Tensor> {
        let mut all: Option<Tensor> = None;
        self.try_each(stop, |block| {
            let made = make(block)?;
            if block.rows == self.rows {
                all = Some(made);
                return Ok(());
            }
            let all = all.get_or_insert_with(|| {
                let mut size = made.size();
                size[0] = self.rows;
                Tensor::empty(&size, (made.kind(), made.device()))
            });
            block.of(all).copy_(&made);
            Ok(())
        })?;
        // Without rows, `make` still determines the shape.
        all.map_or_else(|| make(Block { from: 0, rows: 0 }), Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns blocks of two rows.
    fn pairs(rows: i64) -> Blocks {
        Blocks::of_numbers(rows, 1).at_most(2)
    }

    #[test]
    fn blocks_cover_every_row_once() {
        let ranges: Vec<(i64, i64)> = pairs(5).iter().map(|block| block.range()).collect();
        assert_eq!(ranges, [(0, 2), (2, 4), (4, 5)]);
        assert_eq!(pairs(0).iter().count(), 0);
    }

    #[test]
    fn what_is_made_of_blocks_is_what_is_made_of_all() {
        for rows in [0, 1, 2, 5] {
            let table = Tensor::arange(rows * 3, tch::kind::FLOAT_CPU).view([rows, 3]);
            let doubled = pairs(rows).map(&Stop::default(), |block| block.of(&table) * 2.0).unwrap();
            assert_eq!(doubled, &table * 2.0);
            let sums = pairs(rows).map(&Stop::default(), |b| b.of(&table).argmax(1, false)).unwrap();
            assert_eq!(sums.size(), [rows]);
        }
    }

    #[test]
    fn stopping_is_asked_before_every_block() {
        let mut done = 0;
        assert!(pairs(9).each(&Stop::after(3), |_| done += 1).is_err());
        assert_eq!(done, 3);
    }

    /// Assumes 5 billion multiplications and additions a second, and 50 million exponentials, which
    /// even a slow and busy core can do.
    #[test]
    fn blocks_of_large_tables_are_short() {
        let (pictures, classes, width) = (50_000, 1_000, 512);
        let seconds = |blocks: Blocks, each: f64, a_second: f64| blocks.block as f64 * each / a_second;
        for (rows, each) in [(pictures, classes * width), (pictures, pictures * width), (1_280_000, 1_280_000 * 768)] {
            assert!(seconds(Blocks::of_products(rows, each), each as f64, 5e9) < 0.5);
        }
        for each in [classes, 8 * width, 100 * classes] {
            assert!(seconds(Blocks::of_numbers(pictures, each), each as f64, 50e6) < 0.5);
        }
    }
}
