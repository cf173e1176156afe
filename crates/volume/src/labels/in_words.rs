//! Annotated slices in words: `z 4, 14, 24 (3 slices)`.

use super::scheme::axis_name;
use super::{Direction, Labels};

/// Slices of a direction that are listed one by one; more are cut short.
const LISTED: usize = 12;

/// These slices along z, y, x: `z 4, 14, 24 (3 slices), y 30 (1 slice)`. Of many, runs
/// of one step are cut short, `z 0, 10, ..., 590 (60 slices)`, and the middle left out.
///
/// ```
/// use unet3d_volume::labels::slices_in_words;
/// assert_eq!(slices_in_words(&[vec![4, 14], vec![], vec![7]]), "z 4, 14 (2 slices), x 7 (1 slice)");
/// assert_eq!(slices_in_words(&[(3..40).collect(), vec![], vec![]]), "z 3 to 39 (37 slices)");
/// ```
pub fn slices_in_words(slices: &[Vec<usize>; 3]) -> String {
    in_words(slices, [None; 3])
}

fn in_words(slices: &[Vec<usize>; 3], planes: [Option<Direction>; 3]) -> String {
    let of_axis = |axis: usize| {
        let indices = &slices[axis];
        let noun = match indices.len() {
            0 => return None,
            1 => "slice",
            _ => "slices",
        };
        let plane = planes[axis].map_or(String::new(), |plane| format!("{plane} "));
        Some(format!(
            "{} {} ({} {plane}{noun})",
            axis_name(axis),
            listed(indices),
            indices.len()
        ))
    };
    (0..3).filter_map(of_axis).collect::<Vec<_>>().join(", ")
}

fn listed(indices: &[usize]) -> String {
    let words = |indices: &[usize]| {
        let words: Vec<_> = indices.iter().map(usize::to_string).collect();
        words.join(", ")
    };
    let (Some(first), Some(last)) = (indices.first(), indices.last()) else {
        return String::new();
    };
    let step = indices.get(1).map_or(1, |second| second - first);
    let is_run = indices.windows(2).all(|pair| pair[1] - pair[0] == step);
    match indices.len() {
        4.. if is_run && step == 1 => format!("{first} to {last}"),
        0..=LISTED => words(indices),
        _ if is_run => format!("{first}, {}, ..., {last}", indices[1]),
        _ => format!("{}, ..., {last}", words(&indices[..LISTED - 2])),
    }
}

/// What is annotated: the slices, or that every voxel is, or which share where no
/// slice is annotated as a whole.
pub fn annotated_in_words(labels: &Labels) -> String {
    let annotated = labels.annotated_voxels();
    if annotated == labels.voxels.len() {
        return "every voxel".into();
    }
    let share = 100.0 * annotated as f64 / labels.voxels.len().max(1) as f64;
    let slices = labels.slices_to_tell();
    if slices.iter().all(Vec::is_empty) {
        return format!("{share:.2} % of the voxels, no slice as a whole");
    }
    in_words(&slices, Direction::planes(&labels.geometry))
}

impl Labels {
    /// The [`annotated_slices`](Self::annotated_slices) that a person would name: where
    /// most slices of one direction are annotated, they cover nearly all of every slice
    /// across them, which nobody annotated as such. None where every voxel is annotated.
    pub fn slices_to_tell(&self) -> [Vec<usize>; 3] {
        if self.voxels.iter().all(|label| label.is_annotated()) {
            return Default::default();
        }
        let shape = self.geometry.shape;
        let mut slices = self.annotated_slices();
        for (slices, count) in slices.iter_mut().zip(shape) {
            if slices.len() == count {
                slices.clear();
            }
        }
        slices
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Class, Geometry, Label};

    #[test]
    fn few_are_listed_and_many_cut_short() {
        let z = |slices: &[usize]| slices_in_words(&[slices.to_vec(), vec![], vec![]]);
        assert_eq!(z(&[4]), "z 4 (1 slice)");
        assert_eq!(z(&[4, 14, 24]), "z 4, 14, 24 (3 slices)");
        assert_eq!(z(&[4, 5, 6]), "z 4, 5, 6 (3 slices)");
        assert_eq!(z(&[4, 5, 6, 7]), "z 4 to 7 (4 slices)");
        let every: Vec<usize> = (0..60).map(|i| 10 * i).collect();
        assert_eq!(z(&every), "z 0, 10, ..., 590 (60 slices)");
        let odd: Vec<usize> = (0..20).map(|i| i * i).collect();
        assert_eq!(
            z(&odd),
            "z 0, 1, 4, 9, 16, 25, 36, 49, 64, 81, ..., 361 (20 slices)"
        );
    }

    #[test]
    fn annotation_is_told_by_its_slices() {
        let shape = [50, 6, 7];
        let dense = Labels {
            geometry: Geometry::of_shape(shape),
            classes: vec![Class {
                value: 0,
                name: "a".into(),
            }],
            voxels: vec![Label::of_class(0); shape.iter().product()],
        };
        assert_eq!(annotated_in_words(&dense), "every voxel");
        let mut sparse = dense.sparsify([2, 1, 0]);
        assert_eq!(
            annotated_in_words(&sparse),
            "z 12, 37 (2 slices), y 3 (1 slice)"
        );
        sparse.geometry.world_from_volume = Some([
            [0.0, 0.0, 1.0, 0.0],
            [0.0, 1.0, 0.0, 0.0],
            [1.0, 0.0, 0.0, 0.0],
        ]);
        assert_eq!(
            annotated_in_words(&sparse),
            "z 12, 37 (2 axial slices), y 3 (1 coronal slice)"
        );
        // Most z slices: they cover nearly all of every y and x slice.
        let most = dense.without_slices(0, &[3, 20]).unwrap();
        assert_eq!(most.annotated_slices()[1].len(), 6);
        let told = annotated_in_words(&most);
        assert!(
            told.ends_with("(48 slices)") && !told.contains('y'),
            "{told}"
        );
        let mut strokes = dense;
        strokes.voxels[21..].fill(Label::UNLABELED);
        assert_eq!(
            annotated_in_words(&strokes),
            "1.00 % of the voxels, no slice as a whole"
        );
    }
}
