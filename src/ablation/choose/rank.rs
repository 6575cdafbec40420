//! Ranks, and how well two orders agree.

/// Returns the rank of each value, 1 for the largest; equal values share the mean of their ranks,
/// and what has no value has no rank.
pub(super) fn ranks(values: &[Option<f64>]) -> Vec<Option<f64>> {
    let known: Vec<f64> = values.iter().copied().flatten().collect();
    let rank = |value: f64| {
        let larger = known.iter().filter(|other| **other > value).count();
        let equal = known.iter().filter(|other| **other == value).count();
        larger as f64 + (equal as f64 + 1.0) / 2.0
    };
    values.iter().map(|value| value.map(rank)).collect()
}

/// Returns the standing of each value: 1 for the largest, 0 for the smallest, and evenly between
/// them by rank. Of a single value it is 1.
pub(super) fn standings(values: &[Option<f64>]) -> Vec<Option<f64>> {
    let last = values.iter().flatten().count();
    let standing = |rank: f64| if last > 1 { (last as f64 - rank) / (last - 1) as f64 } else { 1.0 };
    ranks(values).into_iter().map(|rank| rank.map(standing)).collect()
}

/// Returns the values less their mean, over their deviation; without one, all are zero.
pub(super) fn standardised(values: &[Option<f64>]) -> Vec<Option<f64>> {
    let known: Vec<f64> = values.iter().copied().flatten().collect();
    let Some(mean) = mean(&known) else { return values.to_vec() };
    let deviation = (known.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / known.len() as f64).sqrt();
    let scale = if deviation > 0.0 { deviation.recip() } else { 0.0 };
    values.iter().map(|value| value.map(|value| (value - mean) * scale)).collect()
}

/// Returns Spearman's rank correlation of the places where both have a value, from -1 to 1; `None`
/// if there are fewer than three, or one of them is the same everywhere.
pub(super) fn spearman(values: &[Option<f64>], others: &[Option<f64>]) -> Option<f64> {
    let both: Vec<(f64, f64)> = values.iter().zip(others).filter_map(|(a, b)| Some(((*a)?, (*b)?))).collect();
    if both.len() < 3 {
        return None;
    }
    let ranked = |of: fn(&(f64, f64)) -> f64| -> Vec<f64> {
        ranks(&both.iter().map(|pair| Some(of(pair))).collect::<Vec<_>>()).into_iter().flatten().collect()
    };
    let (a, b) = (ranked(|pair| pair.0), ranked(|pair| pair.1));
    let middle = (both.len() as f64 + 1.0) / 2.0;
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - middle) * (b - middle)).sum::<f64>();
    let scale = (product(&a, &a) * product(&b, &b)).sqrt();
    (scale > 0.0).then(|| product(&a, &b) / scale)
}

/// Returns the mean, or `None` of nothing.
pub(super) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Returns the mean of values that are all known; `None` if one is not, or there are none.
pub(super) fn mean_of_all(values: &[Option<f64>]) -> Option<f64> {
    mean(&values.iter().copied().collect::<Option<Vec<f64>>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_a_rank_and_what_is_unknown_has_none() {
        let values = [Some(0.5), None, Some(0.9), Some(0.5), Some(0.1)];
        assert_eq!(ranks(&values), [Some(2.5), None, Some(1.0), Some(2.5), Some(4.0)]);
        assert_eq!(standings(&values), [Some(0.5), None, Some(1.0), Some(0.5), Some(0.0)]);
        assert_eq!(standings(&[None, Some(3.0)]), [None, Some(1.0)]);
    }

    #[test]
    fn spearman_is_that_of_the_ranks() {
        let known = |values: &[f64]| values.iter().copied().map(Some).collect::<Vec<_>>();
        // scipy.stats.spearmanr gives these.
        let (a, b) = (known(&[1.0, 2.0, 3.0, 4.0, 5.0]), known(&[5.0, 6.0, 7.0, 8.0, 7.0]));
        assert!((spearman(&a, &b).unwrap() - 0.820_782_681_668_123_5).abs() < 1e-12);
        assert_eq!(spearman(&a, &known(&[9.0, 7.0, 3.0, 2.0, -100.0])), Some(-1.0));
        assert_eq!(spearman(&a, &known(&[1.0; 5])), None, "a tie of all says nothing");
        assert_eq!(spearman(&a[..2], &b[..2]), None);
        assert_eq!(spearman(&[None, a[1], a[2], a[3]], &b[..4]), Some(1.0), "of what both know");
    }

    #[test]
    fn standardised_values_have_mean_zero_and_deviation_one() {
        assert_eq!(standardised(&[Some(1.0), None, Some(3.0)]), [Some(-1.0), None, Some(1.0)]);
        assert_eq!(standardised(&[Some(2.0), Some(2.0)]), [Some(0.0), Some(0.0)]);
    }
}
