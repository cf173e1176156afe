//! Tables that reports of several commands share: which slices were annotated, how
//! good each held-out one came out, how much of the volume each class is.

use unet3d_volume::{Class, Geometry, Label};

use super::slices::{SliceScores, class_voxels};
use super::table::{Cell, Column, Table};
use super::{palette, units};
use crate::console::{count, percent};
use crate::parse::AXES;

/// The volume of each class, with its share.
pub(super) fn volumes(classes: &[Class], labels: &[Label], geometry: &Geometry) -> Table {
    let voxels = class_voxels(labels, classes.len());
    let all = labels.len().max(1) as f64;
    let spacing = geometry.spacing();
    let sizes = units::volumes(&voxels, spacing);
    let mut columns = vec![
        Column::Words("class".into()),
        Column::Numbers("value".into()),
        Column::Numbers("voxels".into()),
    ];
    if sizes.is_some() {
        columns.push(Column::Numbers("volume".into()));
    }
    columns.extend([
        Column::Numbers("share".into()),
        Column::Words(String::new()),
    ]);
    let rows = classes.iter().enumerate().map(|(i, class)| {
        let share = voxels[i] as f64 / all;
        let colour = palette::of_class(i);
        let mut row = vec![
            Cell::Coloured(colour, class.name.clone()),
            Cell::Text(class.value.to_string()),
            Cell::Text(count(voxels[i])),
        ];
        row.extend(sizes.as_ref().map(|s| Cell::Text(s[i].clone())));
        row.extend([Cell::Text(percent(share)), Cell::Bar(colour, share)]);
        row
    });
    Table {
        heading: "How much of each class".into(),
        intro: String::new(),
        columns,
        rows: rows.collect(),
        note: match spacing {
            Some(_) => format!(
                "Counted in the result. Voxel size: {}.",
                units::spacing(spacing)
            ),
            None => "Counted in the result. The file does not state the size of a voxel.".into(),
        },
    }
}

/// How good each slice held out is; `None` where none was.
pub(super) fn held_out(classes: &[Class], slices: &[SliceScores], slider: usize) -> Option<Table> {
    if slices.is_empty() {
        return None;
    }
    let mut columns = vec![
        Column::Words("slice".into()),
        Column::Numbers("mean IoU".into()),
    ];
    columns.extend(classes.iter().map(|c| Column::Numbers(c.name.clone())));
    columns.push(Column::Numbers("voxels".into()));
    let rows = slices.iter().map(|slice| {
        let name = format!("{} {}", AXES[slice.axis], slice.index);
        let mut row = vec![
            Cell::Slice(name, slider, slice.axis, slice.index),
            Cell::score(slice.scores.mean_iou),
        ];
        row.extend(slice.scores.classes.iter().map(|c| Cell::score(c.iou)));
        row.push(Cell::Text(count(slice.scores.voxels)));
        row
    });
    Some(Table {
        heading: "Each held-out slice".into(),
        intro: "Mean IoU and the IoU of each class on the slices that were annotated but not \
                learned from. A slice that is far below the others is worth a look: in the \
                slider, choose the difference."
            .into(),
        columns,
        rows: rows.collect(),
        note: "Slices are counted from 0; Fiji counts from 1. \u{2013}: the class is neither \
               annotated nor found there."
            .into(),
    })
}

/// Which slices were annotated and which of them held out, by direction; `None` where
/// no slice was annotated as a whole.
pub(super) fn slices(
    annotated: &[Vec<usize>; 3],
    held_out: &[Vec<usize>; 3],
    shape: [usize; 3],
) -> Option<Table> {
    let rows: Vec<Vec<Cell>> = (0..3)
        .filter(|axis| !annotated[*axis].is_empty())
        .map(|axis| {
            let learned: Vec<usize> = (annotated[axis].iter().copied())
                .filter(|i| !held_out[axis].contains(i))
                .collect();
            vec![
                Cell::Text(format!("across {}", AXES[axis])),
                Cell::Text(format!("{} of {}", annotated[axis].len(), shape[axis])),
                Cell::Text(runs(&learned)),
                Cell::Text(runs(&held_out[axis])),
            ]
        })
        .collect();
    (!rows.is_empty()).then(|| Table {
        heading: "Which slices were annotated".into(),
        intro: String::new(),
        columns: ["direction", "annotated", "learned from", "held out"]
            .map(|name| Column::Words(name.into()))
            .into(),
        rows,
        note: "Slices are counted from 0; Fiji counts from 1.".into(),
    })
}

/// `4, 14 to 20, 30` of ascending numbers.
fn runs(numbers: &[usize]) -> String {
    /// Shorter runs read better as single numbers.
    const SHORTEST: usize = 3;
    let mut parts: Vec<String> = Vec::new();
    let groups = numbers.chunk_by(|a, b| a + 1 == *b);
    for group in groups {
        match group {
            [first, .., last] if group.len() >= SHORTEST => {
                parts.push(format!("{first} to {last}"))
            }
            _ => parts.extend(group.iter().map(usize::to_string)),
        }
    }
    match parts.is_empty() {
        true => "none".into(),
        false => parts.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_slices_are_short() {
        for (numbers, text) in [
            (&[][..], "none"),
            (&[4], "4"),
            (&[4, 14, 24], "4, 14, 24"),
            (&[1, 2, 5, 6, 7, 8, 20], "1, 2, 5 to 8, 20"),
        ] {
            assert_eq!(runs(numbers), text);
        }
    }
}
