//! The order of names in which numbers count as numbers.

use std::cmp::Ordering;

/// Compares two names: runs of digits by value, all else letter by letter
/// without regard to case; by the plain names where that does not decide.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (mut rest_a, mut rest_b) = (a, b);
    while !rest_a.is_empty() && !rest_b.is_empty() {
        let (digits_a, after_a) = digits(rest_a);
        let (digits_b, after_b) = digits(rest_b);
        let order = if !digits_a.is_empty() && !digits_b.is_empty() {
            (rest_a, rest_b) = (after_a, after_b);
            // By value without reading the value: it may have any length.
            let (value_a, value_b) = (
                digits_a.trim_start_matches('0'),
                digits_b.trim_start_matches('0'),
            );
            value_a.len().cmp(&value_b.len()).then(value_a.cmp(value_b))
        } else {
            let (letter_a, after_a) = letter(rest_a);
            let (letter_b, after_b) = letter(rest_b);
            (rest_a, rest_b) = (after_a, after_b);
            letter_a.cmp(&letter_b)
        };
        if order.is_ne() {
            return order;
        }
    }
    rest_a.len().cmp(&rest_b.len()).then(a.cmp(b))
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at(end)
}

fn letter(text: &str) -> (char, &str) {
    let mut chars = text.chars();
    let first = chars.next().unwrap_or('\0').to_ascii_lowercase();
    (first, chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_count_so() {
        let mut names = vec![
            "z10.png", "Z9.png", "z1.png", "z02.png", "z2b.png", "z2.png", "a.png", "z.png",
        ];
        names.sort_by(|a, b| compare(a, b));
        assert_eq!(
            names,
            [
                "a.png", "z.png", "z1.png", "z02.png", "z2.png", "z2b.png", "Z9.png", "z10.png"
            ]
        );
        let long = format!("{}.png", "9".repeat(400));
        assert_eq!(compare(&long, "1.png"), Ordering::Greater);
    }
}
