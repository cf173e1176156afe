//! Classes that the data do not show, in the words of their user.
//!
//! A class that occurs nowhere is learned by nobody, and one that occurs nowhere
//! among what is held out has no score: either is said by name, and no figure
//! stands for it.

use unet3d_volume::{Class, Labels};

/// `membrane`, `a and b`, `a, b and c`; empty for none.
pub(crate) fn named(names: &[&str], last_by: &str) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [others @ .., last] => format!("{} {last_by} {last}", others.join(", ")),
    }
}

/// Voxels of each class in all of these labels, in order of index.
pub(crate) fn voxels_of<'a>(
    classes: usize,
    labels: impl IntoIterator<Item = &'a Labels>,
) -> Vec<usize> {
    let mut sum = vec![0; classes];
    for labels in labels {
        for (sum, n) in sum.iter_mut().zip(labels.class_voxels()) {
            *sum += n;
        }
    }
    sum
}

/// Names of the classes that have no voxel.
pub(crate) fn without_voxels<'a>(classes: &'a [Class], voxels: &[usize]) -> Vec<&'a str> {
    let found = classes.iter().zip(voxels).filter(|(_, n)| **n == 0);
    found.map(|(class, _)| class.name.as_str()).collect()
}

/// That nothing can be learned of these classes, which occur in no `place`
/// (`training case`, `annotated voxel`); `None` where there are none.
pub(crate) fn not_learned(names: &[&str], place: &str) -> Option<String> {
    let (noun, occur, them) = match names.len() {
        0 => return None,
        1 => ("class", "occurs", "it"),
        _ => ("classes", "occur", "them"),
    };
    Some(format!(
        "{noun} {}, which the label scheme names, {occur} in no {place}: nothing is learned of {them}, and hardly \
         a voxel will be predicted as {them}. Look whether the labels are complete, or leave {them} out of the classes.",
        named(names, "and")
    ))
}

/// What a result is judged by.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Judge {
    /// Annotated slices that are not learned from.
    Slices,
    /// Whole cases.
    Cases,
}

/// That nothing is known of how good these classes are, which nothing shows that is
/// held out; `None` where there are none.
pub(crate) fn not_scored(names: &[&str], by: Judge) -> Option<String> {
    let them = match names.len() {
        0 => return None,
        1 => "it",
        _ => "them",
    };
    let (held_out, advice) = match by {
        Judge::Slices => ("slices", "Annotate further slices that show"),
        Judge::Cases => ("cases", "Hold a case out (split.tsv) that shows"),
    };
    Some(format!(
        "The held-out {held_out} do not show {}: how good that is cannot be said, \
         and the mean is of the other classes. {advice} {them}.",
        named(names, "or")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_named_and_nothing_is_said_where_all_occur() {
        let class = |value: i64, name: &str| Class {
            value,
            name: name.into(),
        };
        let classes = [class(0, "a"), class(1, "b"), class(2, "c")];
        assert!(without_voxels(&classes, &[1, 2, 3]).is_empty());
        assert_eq!(without_voxels(&classes, &[1, 0, 0]), ["b", "c"]);
        assert_eq!(not_learned(&[], "case"), None);
        assert_eq!(not_scored(&[], Judge::Cases), None);
        let one = not_learned(&["b"], "training case").unwrap();
        assert!(
            one.starts_with("class b, which the label scheme names, occurs in no training case")
        );
        let two = not_learned(&["a", "b", "c"], "case").unwrap();
        assert!(two.starts_with("classes a, b and c, which"), "{two}");
        let text = not_scored(&["b", "c"], Judge::Slices).unwrap();
        assert!(
            text.starts_with("The held-out slices do not show b or c: how good"),
            "{text}"
        );
    }
}
