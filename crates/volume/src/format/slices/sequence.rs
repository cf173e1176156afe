//! Gaps in the numbers of a folder of slices.
//!
//! A slice that was lost in copying leaves no other trace: those beside it
//! become neighbours, and every structure is cut there.

use crate::place::numbers;
use crate::words::counted;

/// How the note of a gap ends, so that who knows better can take it back: a
/// folder of only the annotated slices has gaps for a reason.
pub(crate) const READ_AS_NEIGHBOURS: &str =
    "If slices are missing, those beside a gap are read as neighbours.";

/// Ranges that are named; more hide the sentence.
const NAMED: usize = 8;

/// What is odd about the numbers of these names (without endings, in order);
/// `None` where nothing is, or where the names are not numbered. Every second
/// or tenth slice is a sequence too.
pub(super) fn note(names: &[String]) -> Option<String> {
    let mut found = numbers(names).filter(|found| found.len() > 1)?;
    found.sort_unstable();
    let (first, last) = (found[0], *found.last()?);
    if let Some(twice) = found.windows(2).find(|pair| pair[0] == pair[1]) {
        return Some(format!("two of its files have the number {}.", twice[0]));
    }
    let step = found.windows(2).map(|pair| pair[1] - pair[0]).min()?;
    let is_multiple = |pair: &[u64]| (pair[1] - pair[0]).is_multiple_of(step);
    let step = if found.windows(2).all(is_multiple) {
        step
    } else {
        1
    };
    let gaps: Vec<(u64, u64)> = found
        .windows(2)
        .filter(|pair| pair[1] - pair[0] > step)
        .map(|pair| (pair[0] + step, pair[1] - step))
        .collect();
    if gaps.is_empty() {
        return None;
    }
    let ranges: Vec<String> = gaps
        .iter()
        .take(NAMED)
        .map(|(from, to)| match from == to {
            true => from.to_string(),
            false => format!("{from} to {to}"),
        })
        .collect();
    let more = match gaps.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {}", counted(more, "further gap")),
    };
    let steps = match step {
        1 => String::new(),
        n => format!(" in steps of {n}"),
    };
    Some(format!(
        "the numbers of its files go from {first} to {last}{steps} without {}{more}. {READ_AS_NEIGHBOURS}",
        ranges.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &str) -> Option<String> {
        note(&names.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn gaps_are_named_and_sequences_are_not() {
        for whole in [
            "z1 z2 z3",
            "z9 z10 z11",
            "z00 z10 z20",
            "a",
            "a b c",
            "s1_c1 s2_c1 s3_c1",
            "7 8",
        ] {
            assert_eq!(of(whole), None, "{whole}");
        }
        for (gap, words) in [
            ("z1 z2 z4", "from 1 to 4 without 3."),
            ("z01 z02 z06 z08", "from 1 to 8 without 3 to 5, 7."),
            ("s1_z3_c1 s1_z4_c1 s1_z6_c1", "from 3 to 6 without 5."),
            (
                "z0 z10 z20 z50",
                "from 0 to 50 in steps of 10 without 30 to 40.",
            ),
            ("z0 z2 z5", "from 0 to 5 without 1, 3 to 4."),
            ("z1 z01 z2", "two of its files have the number 1"),
        ] {
            let note = of(gap).expect(gap);
            assert!(note.contains(words), "{gap}: {note}");
        }
    }
}
