//! Who can stand for which environment, each for one and each by one.

use std::collections::{BTreeMap, BTreeSet};

/// The size of a maximum matching: the most of those on the left that can each be given one of their own on the right. More than `enough` is
/// not looked for.
pub(super) fn matched<L: Copy + Ord, R: Copy + Ord>(edges: &BTreeMap<L, BTreeSet<R>>, enough: usize) -> usize {
    let mut given: BTreeMap<L, R> = BTreeMap::new();
    let mut taken: BTreeMap<R, L> = BTreeMap::new();
    for start in edges.keys() {
        if given.len() >= enough {
            break;
        }
        augment(*start, edges, &mut given, &mut taken);
    }
    given.len().min(enough)
}

/// Gives `start` one, where those who have one already may move on to another of theirs.
fn augment<L: Copy + Ord, R: Copy + Ord>(
    start: L,
    edges: &BTreeMap<L, BTreeSet<R>>,
    given: &mut BTreeMap<L, R>,
    taken: &mut BTreeMap<R, L>,
) {
    let mut reached: BTreeMap<R, L> = BTreeMap::new();
    let mut queue = vec![start];
    let mut next = 0;
    while let Some(left) = queue.get(next).copied() {
        next += 1;
        for right in edges.get(&left).into_iter().flatten() {
            if reached.contains_key(right) {
                continue;
            }
            reached.insert(*right, left);
            match taken.get(right) {
                Some(holder) => queue.push(*holder),
                None => return shift(*right, &reached, given, taken),
            }
        }
    }
}

/// Along the way back from one that is free: each takes it, and leaves its own to the one before.
fn shift<L: Copy + Ord, R: Copy + Ord>(
    free: R,
    reached: &BTreeMap<R, L>,
    given: &mut BTreeMap<L, R>,
    taken: &mut BTreeMap<R, L>,
) {
    let mut free = Some(free);
    while let Some((right, left)) = free.and_then(|right| Some((right, *reached.get(&right)?))) {
        taken.insert(right, left);
        free = given.insert(left, right);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(all: &[&[u8]]) -> BTreeMap<usize, BTreeSet<u8>> {
        all.iter().enumerate().map(|(at, each)| (at, each.iter().copied().collect())).collect()
    }

    /// By trying everything.
    fn most(all: &[&[u8]], used: &mut Vec<u8>) -> usize {
        let Some((first, rest)) = all.split_first() else { return 0 };
        let mut best = most(rest, used);
        for right in *first {
            if !used.contains(right) {
                used.push(*right);
                best = best.max(1 + most(rest, used));
                used.pop();
            }
        }
        best
    }

    #[test]
    fn each_for_one() {
        let cases: [(&[&[u8]], usize); 10] = [
            (&[], 0),
            (&[&[]], 0),
            (&[&[1, 2]], 1),
            (&[&[1, 2], &[1]], 2),
            (&[&[1], &[1, 2]], 2),
            (&[&[1], &[1]], 1),
            (&[&[1, 2, 3], &[], &[]], 1),
            (&[&[1, 2], &[2, 3], &[1], &[3]], 3),
            (&[&[1, 2], &[1, 3], &[1, 4], &[1]], 4),
            (&[&[1, 2], &[1, 2], &[1, 2], &[3]], 3),
        ];
        for (all, size) in cases {
            assert_eq!(most(all, &mut Vec::new()), size, "{all:?}");
            assert_eq!(matched(&edges(all), usize::MAX), size, "{all:?}");
            assert_eq!(matched(&edges(all), 1), size.min(1), "{all:?}");
        }
    }

    #[test]
    fn as_trying_everything_finds() {
        // All graphs of four and three.
        for bits in 0..1_u32 << 12 {
            let sides: Vec<Vec<u8>> = (0..4)
                .map(|left| {
                    (0..3).filter(|right| bits >> (left * 3 + right) & 1 == 1).map(|right| right as u8).collect()
                })
                .collect();
            let sides: Vec<&[u8]> = sides.iter().map(Vec::as_slice).collect();
            assert_eq!(matched(&edges(&sides), usize::MAX), most(&sides, &mut Vec::new()), "{sides:?}");
        }
    }

    #[test]
    fn a_thousand_in_a_row() {
        // Each has to move when the last one comes.
        let mut all: BTreeMap<u32, BTreeSet<u32>> = (0..999).map(|n| (n, [n, n + 1].into())).collect();
        all.insert(999, [0].into());
        assert_eq!(matched(&all, usize::MAX), 1000);
        all.insert(998, [998].into());
        assert_eq!(matched(&all, usize::MAX), 999);
    }
}
