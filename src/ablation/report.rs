//! An ablation as a table in Markdown.

use super::cells::Cell;
use super::names::distinct;
use super::run::Figure;
use super::spec::Published;

/// Returns a row per row of the ablation, a column per pipeline: mean ± sample deviation over the
/// seeds, in per cent, or the mean alone if there is one seed. With several pipelines a last column
/// has the mean of their means. What others have published stands below. Columns are padded, so
/// that the table can be read as it is.
pub fn markdown(cells: &[Cell], figures: &[Option<Figure>], published: &[Published]) -> String {
    let rows = distinct(cells.iter().map(|cell| cell.row.as_str()));
    let pipelines = distinct(cells.iter().map(|cell| cell.pipeline.as_str()));
    let mut lines = vec![std::iter::once("").chain(pipelines.iter().copied()).map(escaped).collect::<Vec<_>>()];
    if pipelines.len() > 1 {
        lines[0].push("mean".to_owned());
    }
    for row in rows {
        let mut line = vec![escaped(row)];
        let mut means = Vec::new();
        for pipeline in &pipelines {
            let values = values(pipeline, row, cells, figures);
            means.extend(mean(&values));
            line.push(per_cent(&values));
        }
        if pipelines.len() > 1 {
            // A deviation over pipelines would say nothing about chance.
            let all = mean(&means).filter(|_| means.len() == pipelines.len());
            line.push(all.map_or("-".to_owned(), |mean| per_cent(&[mean])));
        }
        lines.push(line);
    }
    for of_others in published {
        let known: Vec<Option<f64>> = pipelines.iter().map(|name| of_others.figures.get(*name).copied()).collect();
        let all = known.iter().copied().collect::<Option<Vec<f64>>>().and_then(|all| mean(&all));
        let means = if pipelines.len() > 1 { Some(all) } else { None };
        let shown = known.into_iter().chain(means).map(|figure| per_cent(figure.as_slice()));
        lines.push(std::iter::once(escaped(&of_others.name)).chain(shown).collect());
    }
    drawn(&lines)
}

/// Returns the mean figure over the seeds of each row in each set, by set and row.
pub fn means(sets: &[String], rows: &[String], cells: &[Cell], figures: &[Option<Figure>]) -> Vec<Vec<Option<f64>>> {
    let of = |set: &str, row: &str| mean(&values(set, row, cells, figures));
    sets.iter().map(|set| rows.iter().map(|row| of(set, row)).collect()).collect()
}

/// Returns the figures of a row in a pipeline, one for each seed.
fn values(pipeline: &str, row: &str, cells: &[Cell], figures: &[Option<Figure>]) -> Vec<f64> {
    let ours = cells.iter().zip(figures).filter(|(cell, _)| cell.row == row && cell.pipeline == pipeline);
    ours.filter_map(|(_, figure)| figure.as_ref()?.value).collect()
}

/// Escapes bars, which would end the cell.
pub(super) fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Writes `62.4 ± 0.3`, or `62.4` for one value and `-` for none.
pub(super) fn per_cent(values: &[f64]) -> String {
    match (mean(values), deviation(values)) {
        (Some(mean), Some(deviation)) => format!("{:.1} ± {:.1}", 100.0 * mean, 100.0 * deviation),
        (Some(mean), None) => format!("{:.1}", 100.0 * mean),
        (None, _) => "-".to_owned(),
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Returns the sample deviation. It estimates that of other seeds too, so the divisor is one less
/// than the number of values.
fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|_| values.len() > 1)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// Draws the table, its first column aligned to the left, the others to the right.
pub(super) fn drawn(lines: &[Vec<String>]) -> String {
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|c| c.chars().count()).max();
    // Markdown needs at least three dashes under the head.
    let widths: Vec<usize> = (0..lines[0].len()).map(|column| width(column).unwrap_or(0).max(3)).collect();
    let mut text = String::new();
    for (n, line) in lines.iter().enumerate() {
        for (column, (cell, &width)) in line.iter().zip(&widths).enumerate() {
            text.push_str(&if column == 0 { format!("| {cell:<width$} |") } else { format!(" {cell:>width$} |") });
        }
        text.push('\n');
        if n == 0 {
            let rules = widths.iter().enumerate().map(|(column, &width)| match column {
                0 => format!("|{}|", "-".repeat(width + 2)),
                _ => format!("{}:|", "-".repeat(width + 1)),
            });
            text.push_str(&rules.collect::<String>());
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_has_its_sample_deviation_where_there_are_seeds() {
        // Mean 0.7; squares 0.01 + 0 + 0.01 over two degrees of freedom: 0.1.
        assert_eq!(per_cent(&[0.6, 0.7, 0.8]), "70.0 ± 10.0");
        assert_eq!(per_cent(&[0.5, 0.5]), "50.0 ± 0.0");
        assert_eq!(per_cent(&[0.12345]), "12.3");
        assert_eq!(per_cent(&[]), "-");
    }

    #[test]
    fn columns_are_right_aligned_and_padded() {
        let lines = [["", "small", "mean"], ["zero-shot", "61.0", "61.0"], ["a \\| b", "62.1 ± 0.3", "-"]];
        let lines = lines.map(|line| line.map(str::to_owned).to_vec());
        insta::assert_snapshot!(drawn(&lines), @r"
        |           |      small | mean |
        |-----------|-----------:|-----:|
        | zero-shot |       61.0 | 61.0 |
        | a \| b    | 62.1 ± 0.3 |    - |
        ");
    }
}
