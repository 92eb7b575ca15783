//! Which row belongs to which column: the matching of greatest total gain among allowed pairs.
//!
//! Allowed pairs are few after gating and fall apart into small groups that share no row or column. A group of one
//! row or one column is decided on sight; the others go to a Jonker–Volgenant solver.

/// An allowed pair and what it is worth; only gains above 0 are ever chosen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub(super) row: u32,
    pub(super) column: u32,
    pub(super) gain: f32,
}

/// A group with more rows and more columns than this is matched greedily, best pair first, so that a frame full of
/// overlapping boxes costs milliseconds, not minutes.
const MAX_EXACT: usize = 160;

/// Working memory that is kept from frame to frame.
#[derive(Debug, Default)]
pub(super) struct Assignment {
    parent: Vec<u32>,
    order: Vec<u32>,
    slot: Vec<u32>,
    cost: Vec<f64>,
    taken: Vec<bool>,
    rows: Vec<u32>,
    columns: Vec<u32>,
}

impl Assignment {
    /// Matches rows to columns; `matched` receives (row, column). Returns how many groups were matched greedily.
    pub(super) fn solve(
        &mut self,
        rows: usize,
        columns: usize,
        pairs: &[Pair],
        matched: &mut Vec<(usize, usize)>,
    ) -> usize {
        matched.clear();
        if pairs.is_empty() {
            return 0;
        }
        self.parent.clear();
        self.parent.extend(0..(rows + columns) as u32);
        for pair in pairs {
            self.join(pair.row, rows as u32 + pair.column);
        }
        for node in 0..self.parent.len() as u32 {
            let root = self.root(node);
            self.parent[node as usize] = root;
        }
        self.order.clear();
        self.order.extend(0..pairs.len() as u32);
        let parent = &self.parent;
        self.order.sort_unstable_by_key(|&index| {
            let pair = &pairs[index as usize];
            (parent[pair.row as usize], pair.row, pair.column)
        });
        self.slot.clear();
        self.slot.resize(rows + columns, u32::MAX);

        let order = std::mem::take(&mut self.order);
        let mut greedy = 0;
        let mut start = 0;
        while start < order.len() {
            let root = |index: u32| self.parent[pairs[index as usize].row as usize];
            let here = root(order[start]);
            let length = order[start..].iter().take_while(|&&index| root(index) == here).count();
            greedy += usize::from(self.solve_group(rows, &order[start..start + length], pairs, matched));
            start += length;
        }
        self.order = order;
        greedy
    }

    /// Matches one group; says whether it was too large to be matched exactly.
    fn solve_group(&mut self, rows: usize, group: &[u32], pairs: &[Pair], matched: &mut Vec<(usize, usize)>) -> bool {
        let at = |index: &u32| &pairs[*index as usize];
        self.rows.clear();
        self.columns.clear();
        for pair in group.iter().map(at) {
            for (node, list) in [
                (pair.row, &mut self.rows),
                (rows as u32 + pair.column, &mut self.columns),
            ] {
                if self.slot[node as usize] == u32::MAX {
                    self.slot[node as usize] = list.len() as u32;
                    list.push(node);
                }
            }
        }
        if self.rows.len() == 1 || self.columns.len() == 1 {
            let best = group.iter().map(at).max_by(|a, b| a.gain.total_cmp(&b.gain));
            matched.extend(
                best.filter(|pair| pair.gain > 0.0)
                    .map(|pair| (pair.row as usize, pair.column as usize)),
            );
            return false;
        }
        if self.rows.len().min(self.columns.len()) > MAX_EXACT {
            self.solve_greedily(rows, group, pairs, matched);
            return true;
        }
        let width = self.columns.len();
        self.cost.clear();
        self.cost.resize(self.rows.len() * width, 0.0);
        for pair in group.iter().map(at) {
            let row = self.slot[pair.row as usize] as usize;
            let column = self.slot[rows + pair.column as usize] as usize;
            self.cost[row * width + column] = f64::from(-pair.gain.max(0.0));
        }
        // The solver refuses only costs that are not finite; gains are.
        match lsap::solve(self.rows.len(), width, &self.cost, false) {
            Ok((chosen_rows, chosen_columns)) => {
                for (row, column) in chosen_rows.into_iter().zip(chosen_columns) {
                    if self.cost[row * width + column] < 0.0 {
                        matched.push((self.rows[row] as usize, self.columns[column] as usize - rows));
                    }
                }
                false
            }
            Err(_) => {
                self.solve_greedily(rows, group, pairs, matched);
                true
            }
        }
    }

    fn solve_greedily(&mut self, rows: usize, group: &[u32], pairs: &[Pair], matched: &mut Vec<(usize, usize)>) {
        let mut order = group.to_vec();
        order.sort_by(|&a, &b| pairs[b as usize].gain.total_cmp(&pairs[a as usize].gain));
        self.taken.clear();
        self.taken.resize(self.slot.len(), false);
        for index in order {
            let pair = &pairs[index as usize];
            let (row, column) = (pair.row as usize, rows + pair.column as usize);
            if pair.gain > 0.0 && !self.taken[row] && !self.taken[column] {
                self.taken[row] = true;
                self.taken[column] = true;
                matched.push((row, pair.column as usize));
            }
        }
    }

    fn root(&mut self, mut node: u32) -> u32 {
        while self.parent[node as usize] != node {
            let grandparent = self.parent[self.parent[node as usize] as usize];
            self.parent[node as usize] = grandparent;
            node = grandparent;
        }
        node
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        // The smaller number is the root, so groups come in the order of their first row.
        let (low, high) = (a.min(b), a.max(b));
        self.parent[high as usize] = low;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The greatest total gain, by trying everything.
    fn best_by_trying(rows: usize, pairs: &[Pair], row: usize, used: u32) -> f32 {
        if row == rows {
            return 0.0;
        }
        let mut best = best_by_trying(rows, pairs, row + 1, used);
        for pair in pairs.iter().filter(|pair| pair.row as usize == row) {
            if used & (1 << pair.column) == 0 {
                best = best.max(pair.gain + best_by_trying(rows, pairs, row + 1, used | (1 << pair.column)));
            }
        }
        best
    }

    proptest! {
        #[test]
        fn the_total_gain_is_the_greatest(gains in proptest::collection::vec(0.0f32..1.0, 30), mask in any::<u32>()) {
            let (rows, columns) = (5, 6);
            let pairs: Vec<Pair> = (0..30u32)
                .filter(|k| mask & (1 << k) != 0)
                .map(|k| Pair { row: k / columns as u32, column: k % columns as u32, gain: gains[k as usize] })
                .collect();
            let mut matched = Vec::new();
            Assignment::default().solve(rows, columns, &pairs, &mut matched);
            let total: f32 = matched
                .iter()
                .filter_map(|&(r, c)| pairs.iter().find(|p| p.row as usize == r && p.column as usize == c))
                .map(|pair| pair.gain)
                .sum();
            prop_assert!((total - best_by_trying(rows, &pairs, 0, 0)).abs() < 1e-4);
            let mut seen: Vec<_> = matched.iter().map(|m| m.0).collect();
            seen.sort_unstable();
            seen.dedup();
            prop_assert_eq!(seen.len(), matched.len());
        }
    }

    #[test]
    fn an_endless_crowd_is_matched_greedily() {
        let pairs: Vec<Pair> = (0..400u32 * 400)
            .map(|k| Pair {
                row: k / 400,
                column: k % 400,
                gain: 1.0 / (1.0 + (k / 400).abs_diff(k % 400) as f32),
            })
            .collect();
        let mut matched = Vec::new();
        assert_eq!(Assignment::default().solve(400, 400, &pairs, &mut matched), 1);
        assert_eq!(matched.len(), 400);
        assert!(matched.iter().all(|(row, column)| row == column));
    }
}
