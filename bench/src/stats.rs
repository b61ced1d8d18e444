//! The arithmetic of the report.

/// The middle value, or the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get((sorted.len() / 2).checked_sub(1)?)?;
    Some(f64::midpoint(lower, upper))
}

/// The mean of the middle half: as steady as a median where some values are far off, and as fine as a mean elsewhere.
#[allow(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
pub(crate) fn midmean(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let cut = sorted.len() / 4;
    let middle = sorted.get(cut..sorted.len() - cut)?;
    (!middle.is_empty()).then(|| middle.iter().sum::<f64>() / middle.len() as f64)
}

/// How far the values lie apart: (largest − smallest) / median.
pub(crate) fn spread(values: &[f64]) -> Option<f64> {
    let (least, most) = range(values)?;
    Some((most - least) / median(values)?)
}

/// The smallest and the largest value.
pub(crate) fn range(values: &[f64]) -> Option<(f64, f64)> {
    let least = values.iter().copied().min_by(f64::total_cmp)?;
    let most = values.iter().copied().max_by(f64::total_cmp)?;
    Some((least, most))
}

/// Each round's value divided by the same round's yardstick. Rounds that either side lacks are left out.
pub(crate) fn ratios(values: &[f64], yardstick: &[f64]) -> Vec<f64> {
    values
        .iter()
        .zip(yardstick)
        .filter(|(_, by)| **by > 0.0)
        .map(|(value, by)| value / by)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        assert_eq!(median(&[9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 100.0]), Some(3.0));
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn the_midmean_leaves_out_as_much_at_either_end() {
        assert_eq!(midmean(&[1000.0, 4.0, 2.0, 0.0]), Some(3.0));
        assert_eq!(midmean(&[5.0, 1.0]), Some(3.0));
        assert_eq!(midmean(&[]), None);
    }

    #[test]
    fn the_spread_is_the_range_over_the_median() {
        assert_eq!(spread(&[10.0, 11.0, 9.0]), Some(0.2));
        assert_eq!(spread(&[5.0, 5.0]), Some(0.0));
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn ratios_pair_rounds_so_that_a_slow_round_of_the_machine_cancels_out() {
        assert_eq!(ratios(&[20.0, 40.0], &[10.0, 20.0]), vec![2.0, 2.0]);
        assert_eq!(ratios(&[20.0, 40.0], &[10.0]), vec![2.0]);
        assert_eq!(ratios(&[20.0], &[0.0]), Vec::<f64>::new());
    }
}
