//! How many of each bin: as even as the supply allows, and no bin more than its share.

/// Numbers to take from bins that hold `available`, `wanted` in all if the supply allows: the scarce bins whole, the others
/// even, and none more than `max_share` of what is taken. Fewer are taken where that share could not be kept otherwise; when
/// there are too few filled bins for it, the share is that of an even distribution over the filled ones.
pub(super) fn quotas(available: &[usize], wanted: usize, max_share: f64) -> Vec<usize> {
    let filled = available.iter().filter(|count| **count > 0).count();
    if filled == 0 {
        return vec![0; available.len()];
    }
    let share = max_share.max(1.0 / filled as f64);
    // With an even share every bin must have the same; otherwise the share is rounded down, so that it is never exceeded.
    let cap = |total: usize| ((total as f64 * share + 1e-9).floor() as usize).max(1);
    let possible = |total: usize| available.iter().map(|count| (*count).min(cap(total))).sum::<usize>() >= total;
    // Rounding makes this possible and impossible in turns, so all are tried.
    let total = (0..=wanted).rev().find(|total| possible(*total)).unwrap_or(0);
    level(available, total, cap(total))
}

/// Takes `total`, filling the bins evenly.
fn level(available: &[usize], total: usize, cap: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..available.len()).collect();
    order.sort_by_key(|bin| available[*bin]);
    let mut quotas = vec![0; available.len()];
    let mut left = total;
    for (rank, bin) in order.iter().enumerate() {
        let bins_left = available.len() - rank;
        let take = available[*bin].min(cap).min(left.div_ceil(bins_left));
        quotas[*bin] = take;
        left -= take;
    }
    quotas
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plenty_is_split_evenly() {
        assert_eq!(quotas(&[100, 100, 100, 100], 40, 0.3), [10, 10, 10, 10]);
        assert_eq!(quotas(&[5, 100, 100], 45, 0.5), [5, 20, 20]);
    }

    #[test]
    fn scarce_bins_shrink_the_whole_rather_than_the_balance() {
        // Of two answers none may be more than half.
        assert_eq!(quotas(&[30, 1000], 200, 0.5), [30, 30]);
        assert_eq!(quotas(&[0, 1000], 200, 0.5), [0, 200]);
        assert_eq!(quotas(&[0, 0], 200, 0.5), [0, 0]);
        assert_eq!(quotas(&[100, 100], 200, 0.5), [100, 100]);
    }

    proptest! {
        #[test]
        fn no_bin_exceeds_its_share(available in proptest::collection::vec(0usize..500, 12), wanted in 1usize..600) {
            let quotas = quotas(&available, wanted, 0.12);
            let total: usize = quotas.iter().sum();
            let filled = available.iter().filter(|count| **count > 0).count();
            prop_assert!(total <= wanted);
            for (quota, available) in quotas.iter().zip(&available) {
                prop_assert!(quota <= available);
                let share = 0.12f64.max(1.0 / filled.max(1) as f64);
                prop_assert!(*quota as f64 <= (share * total as f64).max(1.0) + 1e-6, "{quotas:?}");
            }
        }
    }
}
