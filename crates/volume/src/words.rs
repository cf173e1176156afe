//! Numbers in sentences: `1 case`, `2 cases`, `19,069,955 voxels`.
//!
//! Every message that counts something counts it here, in the program and in the
//! libraries, so that none says "1 cases" or "1 case(s)".

use std::fmt::Display;

/// A number of things, the noun in the singular or the plural. What stands before the
/// noun may be given with it: `counted(2, "held-out slice")`.
///
/// ```
/// use unet3d_volume::words::counted;
/// assert_eq!(counted(1, "case"), "1 case");
/// assert_eq!(counted(0, "annotated slice"), "0 annotated slices");
/// assert_eq!(counted(1200, "class"), "1,200 classes");
/// ```
pub fn counted<N: Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    let digits = grouped(&number.to_string());
    if number == N::from(1) {
        format!("{digits} {noun}")
    } else {
        format!("{digits} {}", plural(noun))
    }
}

/// A count in groups of three digits: `19,069,955`.
pub fn count(number: u64) -> String {
    grouped(&number.to_string())
}

fn grouped(digits: &str) -> String {
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The regular plural of a noun.
fn plural(noun: &str) -> String {
    let hisses = ["s", "x", "z", "ch", "sh"];
    if hisses.iter().any(|end| noun.ends_with(end)) {
        return format!("{noun}es");
    }
    match noun.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'i', 'o', 'u']) => format!("{stem}ies"),
        _ => format!("{noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_every_other_number_plural() {
        for (number, expected) in [
            (0_u64, "0 slices"),
            (1, "1 slice"),
            (2, "2 slices"),
            (11, "11 slices"),
            (21, "21 slices"),
            (1001, "1,001 slices"),
        ] {
            assert_eq!(counted(number, "slice"), expected);
        }
    }

    #[test]
    fn plurals_are_regular() {
        for (noun, expected) in [
            ("case", "2 cases"),
            ("class", "2 classes"),
            ("patch", "2 patches"),
            ("voxel", "2 voxels"),
            ("entry", "2 entries"),
            ("way", "2 ways"),
            ("channel file", "2 channel files"),
            ("different value", "2 different values"),
        ] {
            assert_eq!(counted(2_usize, noun), expected);
        }
    }

    #[test]
    fn digits_are_grouped_by_three() {
        for (number, expected) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (19_069_955, "19,069,955"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(count(number), expected);
        }
    }
}
