//! Which slices of a stack some files are, by their names.
//!
//! Three rules, the first that fits all files: the names are the same but for the
//! ending (`slice_02.png`, `slice_02.tif`); what stands before and after them is the
//! same for all (`slice_02_mask.png`); they are numbered as the stack is, whatever else
//! they are called (`label2.png`, `z0002.tif`). What fits in two ways fits in none.

/// Why names say nothing.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Unclear {
    /// This file is like none of the stack.
    Unlike(String),
    /// Several slices are meant as well.
    Several,
}

/// For each of `names`, which of the stack's it is. Names have no ending any more.
pub(super) fn places_by_name(names: &[String], stack: &[String]) -> Result<Vec<usize>, Unclear> {
    let lower = |names: &[String]| -> Vec<String> {
        names.iter().map(|name| name.to_lowercase()).collect()
    };
    let (own, of_stack) = (lower(names), lower(stack));
    let unlike = || {
        let known = |name: &&String| of_stack.contains(&name.to_lowercase());
        let first = names.iter().find(|name| !known(name));
        Unclear::Unlike(first.or(names.first()).cloned().unwrap_or_default())
    };
    let Some(first) = own.first() else {
        return Err(unlike());
    };
    if let Some(places) = inside(&own, &of_stack, "", "") {
        return distinct(places);
    }
    let mut found: Vec<Vec<usize>> = Vec::new();
    for name in of_stack.iter().filter(|name| !name.is_empty()) {
        for (at, _) in first.match_indices(name.as_str()) {
            let (before, after) = (&first[..at], &first[at + name.len()..]);
            if is_whole_number(before, name, after)
                && let Some(places) = inside(&own, &of_stack, before, after)
                && !found.contains(&places)
            {
                found.push(places);
            }
        }
    }
    match &found[..] {
        [places] => return distinct(places.clone()),
        [] => {}
        _ => return Err(Unclear::Several),
    }
    let numbers = numbers(&own).zip(numbers(&of_stack));
    let places = numbers.and_then(|(own, of_stack)| {
        let place = |number: &u64| of_stack.iter().position(|n| n == number);
        own.iter().map(place).collect::<Option<Vec<usize>>>()
    });
    match places {
        Some(places) => distinct(places),
        None => Err(unlike()),
    }
}

/// The numbers by which names of one form differ: `a1_7`, `a1_8` are 7 and 8. Of a
/// single name its only number.
pub(crate) fn numbers(names: &[String]) -> Option<Vec<u64>> {
    let parted: Vec<Vec<&str>> = names.iter().map(|name| parts(name)).collect();
    let first = parted.first()?;
    let is_number = |part: &str| part.starts_with(|c: char| c.is_ascii_digit());
    let is_alike = |other: &Vec<&str>| {
        other.len() == first.len()
            && other
                .iter()
                .zip(first)
                .all(|(a, b)| a == b || (is_number(a) && is_number(b)))
    };
    if !parted.iter().all(is_alike) {
        return None;
    }
    let candidates = (0..first.len()).filter(|&i| is_number(first[i]));
    let differing: Vec<usize> = match names.len() {
        1 => candidates.collect(),
        _ => candidates
            .filter(|&i| parted.iter().any(|parts| parts[i] != first[i]))
            .collect(),
    };
    let [at] = differing[..] else {
        return None;
    };
    parted.iter().map(|parts| parts[at].parse().ok()).collect()
}

/// The places of names that are those of the stack between `before` and `after`.
fn inside(names: &[String], stack: &[String], before: &str, after: &str) -> Option<Vec<usize>> {
    let place = |name: &String| {
        let name = name.strip_prefix(before)?.strip_suffix(after)?;
        stack.iter().position(|other| other == name)
    };
    names.iter().map(place).collect()
}

/// Whether a name is not torn out of a longer number: `2` in `12`.
fn is_whole_number(before: &str, name: &str, after: &str) -> bool {
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    let torn_before = digit(before.chars().next_back()) && digit(name.chars().next());
    let torn_after = digit(name.chars().next_back()) && digit(after.chars().next());
    !torn_before && !torn_after
}

fn distinct(places: Vec<usize>) -> Result<Vec<usize>, Unclear> {
    let mut sorted = places.clone();
    sorted.sort_unstable();
    sorted.dedup();
    match sorted.len() == places.len() {
        true => Ok(places),
        false => Err(Unclear::Several),
    }
}

/// Numbers and what stands between them.
fn parts(name: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let is_digit = first.is_ascii_digit();
        let end = rest
            .find(|c: char| c.is_ascii_digit() != is_digit)
            .unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        parts.push(part);
        rest = after;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(names: &[&str], stack: &[&str]) -> Result<Vec<usize>, Unclear> {
        let owned = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        places_by_name(&owned(names), &owned(stack))
    }

    #[test]
    fn files_are_found_by_their_names() {
        let stack = ["slice_00", "slice_01", "slice_02", "slice_10"];
        for names in [
            ["slice_01", "slice_10"],
            ["SLICE_01", "Slice_10"],
            ["slice_01_mask", "slice_10_mask"],
            ["mask_slice_01", "mask_slice_10"],
            ["cell slice_01 (1)", "cell slice_10 (1)"],
            ["label1", "label10"],
            ["z0001", "z0010"],
            ["01", "10"],
            ["run2_1_seg3", "run2_10_seg3"],
        ] {
            assert_eq!(places(&names, &stack), Ok(vec![1, 3]), "{names:?}");
        }
        assert_eq!(places(&["slice_02"], &stack), Ok(vec![2]));
        assert_eq!(places(&["annotation 2"], &stack), Ok(vec![2]));
        assert_eq!(
            places(&["b2", "b5"], &["a1", "a2", "a5", "a12"]),
            Ok(vec![1, 2])
        );
        assert_eq!(places(&["2_m", "12_m"], &["1", "2", "12"]), Ok(vec![1, 2]));
        assert_eq!(
            places(&["dog", "cat"], &["cat", "cow", "dog"]),
            Ok(vec![2, 0])
        );
    }

    #[test]
    fn what_may_be_several_is_none() {
        let stack = ["slice_00", "slice_01", "slice_02"];
        let unlike = |name: &str| Err(Unclear::Unlike(name.into()));
        assert_eq!(
            places(&["slice_01", "slice_07"], &stack),
            unlike("slice_07")
        );
        assert_eq!(places(&["a", "b"], &stack), unlike("a"));
        assert_eq!(places(&["1_2"], &stack), unlike("1_2"));
        // Numbered twice: which number counts is not said.
        assert_eq!(places(&["1_1", "2_2"], &stack), unlike("1_1"));
        assert_eq!(places(&["1", "01"], &stack), Err(Unclear::Several));
        assert_eq!(places(&["a_b"], &["a", "b"]), Err(Unclear::Several));
        assert_eq!(places(&[], &stack), unlike(""));
    }
}
