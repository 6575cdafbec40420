//! The plan that `run --dry-run` prints.

use super::align::{Side, align};
use crate::pipeline::plan::PlanRow;
use crate::text::numbers::count;

/// Writes a line per stage.
pub(super) fn show(rows: &[PlanRow]) -> String {
    let titles = ["stage", "key", "cached", "to do", "unit", ""].map(str::to_owned).to_vec();
    let lines = rows.iter().map(|row| {
        let PlanRow { stage, key, cached, todo, unit, note } = row;
        vec![stage.clone(), key.clone(), count(*cached), count(*todo), (*unit).to_owned(), note.clone()]
    });
    let lines: Vec<_> = std::iter::once(titles).chain(lines).collect();
    align(&[Side::Left, Side::Left, Side::Right, Side::Right, Side::Left, Side::Left], &lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_aligned() {
        let row = |stage: &str, cached, todo, note: &str| PlanRow {
            stage: stage.into(),
            key: "9f3a12c4".into(),
            cached,
            todo,
            unit: "image",
            note: note.into(),
        };
        let rows = [row("ingest", 1680, 0, ""), row("embed", 0, 1680, "new space")];
        insta::assert_snapshot!(show(&rows), @r"
        stage   key       cached  to do  unit
        ingest  9f3a12c4   1,680      0  image
        embed   9f3a12c4       0  1,680  image  new space
        ");
    }
}
