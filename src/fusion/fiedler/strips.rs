//! A matrix cut into strips of 32 columns, for products with a vector.
//!
//! The rows of a strip are contiguous, and its 32 sums stay in vector registers from the first row
//! to the last: nothing is stored in between. These are plain loops over arrays of a fixed length,
//! which the compiler vectorises; all are inlined, so they are compiled for their caller's target
//! features.

/// The number of columns of a strip.
const WIDTH: usize = 32;

/// A row of a strip. It begins on a cache line, since a load across two of them takes twice the
/// time.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Row([f32; WIDTH]);

pub(super) struct Strips {
    rows: usize,
    strips: Vec<Row>,
}

impl Strips {
    pub(super) fn new(rows: usize, columns: usize) -> Self {
        Strips { rows, strips: vec![Row([0.0; WIDTH]); rows * columns.div_ceil(WIDTH)] }
    }

    #[inline(always)]
    pub(super) fn set_row(&mut self, at: usize, entries: &[f32]) {
        for (strip, entries) in self.strips.chunks_exact_mut(self.rows).zip(entries.chunks(WIDTH)) {
            strip[at].0[..entries.len()].copy_from_slice(entries);
        }
    }

    #[inline(always)]
    pub(super) fn set_column(&mut self, at: usize, entries: &[f32]) {
        let strip = &mut self.strips[at / WIDTH * self.rows..][..self.rows];
        for (row, entry) in strip.iter_mut().zip(entries) {
            row.0[at % WIDTH] = *entry;
        }
    }

    /// Multiplies every entry by its row's and its column's factor.
    #[inline(always)]
    pub(super) fn scale(&mut self, factors: &[f32]) {
        for (strip, of_columns) in self.strips.chunks_exact_mut(self.rows).zip(factors.chunks(WIDTH)) {
            let mut columns = [0.0; WIDTH];
            columns[..of_columns.len()].copy_from_slice(of_columns);
            for (Row(row), factor) in strip.iter_mut().zip(factors) {
                row.iter_mut().zip(columns).for_each(|(entry, column)| *entry *= factor * column);
            }
        }
    }

    /// Adds `factor * M^T x` to `y`. If x or y are shorter than a column or a row, only their first
    /// entries are used.
    #[inline(always)]
    pub(super) fn multiply(&self, factor: f32, x: &[f32], y: &mut [f32]) {
        for (strip, y) in self.strips.chunks_exact(self.rows).zip(y.chunks_mut(WIDTH)) {
            let mut sums = [0.0; WIDTH];
            for (Row(row), x) in strip.iter().zip(x) {
                sums.iter_mut().zip(row).for_each(|(sum, entry)| *sum += entry * x);
            }
            y.iter_mut().zip(sums).for_each(|(y, sum)| *y += factor * sum);
        }
    }
}

#[inline(always)]
pub(super) fn dot(x: &[f32], y: &[f32]) -> f32 {
    const LANES: usize = 8;
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (x, y) in x.iter().zip(y) {
        sums.iter_mut().zip(x.iter().zip(y)).for_each(|(sum, (x, y))| *sum += x * y);
    }
    sums.iter_mut().zip(x_rest.iter().zip(y_rest)).for_each(|(sum, (x, y))| *sum += x * y);
    let [a, b, c, d, e, f, g, h] = sums;
    ((a + b) + (c + d)) + ((e + f) + (g + h))
}
