//! The pictures that the page looks at where all of them would be too many: those of a range of
//! ids.
//!
//! Ids are hashes, so that those between two bounds are a random sample. Tables of a run are sorted
//! by them, so that only the row groups of the sample are read.

use datafusion::execution::context::SessionContext;
use serde::Deserialize;

use crate::error::Result;
use crate::table::typed_rows::rows;
use crate::text::numbers;

/// A sample of a run's pictures, the same each time.
#[derive(Debug)]
pub(super) struct Sample {
    /// The first eight digits of the sample's first id.
    start: u32,
    /// Ids of the sample over all ids there may be, times 2^32; `None` if all pictures are looked
    /// at.
    width: Option<u32>,
    /// Pictures of the run, and of the sample.
    of: [u64; 2],
}

impl Sample {
    /// Draws about `most` of the pictures that a run answered, or takes all if there are fewer. The
    /// run's id decides which.
    pub(super) async fn draw(ctx: &SessionContext, run: &str, most: u64) -> Result<Sample> {
        let all = count(ctx, "predictions").await?;
        let digest = blake3::hash(run.as_bytes());
        let start = u32::from_be_bytes([0, 1, 2, 3].map(|n| digest.as_bytes()[n]));
        let share = most as f64 / all.max(1) as f64;
        let width = (share < 1.0).then_some((share * f64::from(u32::MAX)) as u32);
        let sample = Sample { start, width, of: [all; 2] };
        let drawn = count(ctx, &sample.rows_of("predictions")).await?;
        Ok(Sample { of: [all, drawn], ..sample })
    }

    /// Returns the condition that a picture is of the sample, given the name of its id.
    pub(super) fn has(&self, id: &str) -> String {
        let Some(width) = self.width else { return "true".to_owned() };
        let (start, (end, around)) = (self.start, self.start.overflowing_add(width));
        let both = if around { "OR" } else { "AND" };
        format!("({id} >= '{start:08x}' {both} {id} < '{end:08x}')")
    }

    /// Returns what to select from for the rows of a table that are about pictures of the sample.
    pub(super) fn rows_of(&self, table: &str) -> String {
        match self.width {
            Some(_) => format!("(SELECT * FROM {table} WHERE {})", self.has("image_id")),
            None => table.to_owned(),
        }
    }

    /// Returns the order in which to take pictures, as many as are wanted: from the sample's start,
    /// and around.
    pub(super) fn order(&self, id: &str) -> String {
        format!("{id} < '{:08x}', {id}", self.start)
    }

    /// Says what was looked at, unless that is everything.
    pub(super) fn note(&self) -> Option<String> {
        self.width?;
        let [all, drawn] = self.of.map(numbers::count);
        Some(format!(
            "what the model and the prior say pass by pass, their disagreements and the agreement of neighbours are those of {drawn} of \
             the {all} pictures, drawn at random by the run's id; all other figures count every picture"
        ))
    }
}

async fn count(ctx: &SessionContext, table: &str) -> Result<u64> {
    #[derive(Deserialize)]
    struct Count {
        rows: u64,
    }
    let found: Vec<Count> = rows(ctx, &format!("SELECT count(*) AS rows FROM {table} counted")).await?;
    Ok(found.first().map_or(0, |count| count.rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_goes_around_the_end_of_all_ids() {
        let sample = |start, width| Sample { start, width: Some(width), of: [10, 5] };
        assert_eq!(sample(0x10, 0x100).has("p.image_id"), "(p.image_id >= '00000010' AND p.image_id < '00000110')");
        assert_eq!(sample(0xffff_fff0, 0x20).has("id"), "(id >= 'fffffff0' OR id < '00000010')");
        assert_eq!(sample(1, 2).order("id"), "id < '00000001', id");
    }

    #[test]
    fn all_pictures_need_no_note() {
        let all = Sample { start: 7, width: None, of: [10, 10] };
        assert_eq!((all.note(), all.rows_of("predictions").as_str()), (None, "predictions"));
        assert!(Sample { width: Some(1 << 31), ..all }.note().unwrap().contains("of 10 of the 10 pictures"));
    }
}
