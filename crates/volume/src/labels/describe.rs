//! The question asked where no label scheme is given: what values there are,
//! and the flags that would say what they mean.

use std::fmt;

use super::scheme::axis_name;
use super::values::{check_whole, for_each_value, values_of};
use super::{Annotated, Direction, LabelsError, StatedSlices};
use crate::volume::position;
use crate::{Error, Filled, Volume};

/// Values shown; a table longer than a screen hides the question below it.
const SHOWN: usize = 20;

/// A value of a label image and how much of it there is.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundValue {
    /// The value.
    pub value: i64,
    /// Number of voxels that have it.
    pub voxels: usize,
    /// Their share of all voxels.
    pub share: f64,
    /// Number of slices along z, y, x that hold it.
    pub slices: [usize; 3],
}

/// The values of a label image. Printed, they are the question which scheme is
/// meant, with the flags that would settle it.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundValues {
    /// Shape of the volume, `[z, y, x]`.
    pub shape: [usize; 3],
    /// The values by falling number of voxels, at most the 20 most frequent.
    pub values: Vec<FoundValue>,
    /// Number of different values, shown or not.
    pub distinct: usize,
    /// The slices along z, y, x that hold any value but 0.
    pub painted_slices: [Vec<usize>; 3],
    /// The slices that the file holds, where it holds only some, and across which axis.
    held: (usize, Vec<usize>),
}

/// Counts the values of a label image.
///
/// # Errors
/// Several channels or values that are not whole numbers.
pub fn describe_values(volume: &Volume, source: &str) -> Result<FoundValues, Error> {
    check_whole(volume, source)?;
    let shape = volume.geometry.shape;
    // Of a placed box, what its file covers.
    let voxels = match &volume.placed {
        Some(placed) => placed.voxels(shape),
        None => volume.geometry.voxels(),
    };
    if voxels == 0 {
        return Err(LabelsError::NothingAnnotated {
            source_name: source.into(),
            annotated: Annotated::Dense.flag(),
            cause: "The volume is empty.".into(),
        }
        .into());
    }
    let mut found: Vec<_> = values_of(volume, |i, _| volume.is_filled(i))
        .into_iter()
        .collect();
    let distinct = found.len();
    found.sort_by_key(|&(value, seen)| (std::cmp::Reverse(seen.count), value));
    found.truncate(SHOWN);

    // For each value shown and, last, for "any value but 0": the slices that hold it.
    let mut held = vec![shape.map(|n| vec![false; n]); found.len() + 1];
    let painted = found.len();
    let mut last = (found[0].0, 0);
    for_each_value(volume, |i, value| {
        if !volume.is_filled(i) {
            return;
        }
        if value != last.0 {
            let shown = found.iter().position(|&(v, _)| v == value);
            last = (value, shown.unwrap_or(usize::MAX));
        }
        let p = position(i, shape);
        for a in 0..3 {
            if let Some(held) = held.get_mut(last.1) {
                held[a][p[a]] = true;
            }
            held[painted][a][p[a]] |= value != 0;
        }
    });
    let slices =
        |held: &[Vec<bool>; 3]| [0, 1, 2].map(|a: usize| held[a].iter().filter(|h| **h).count());
    Ok(FoundValues {
        shape,
        values: found
            .iter()
            .zip(&held)
            .map(|(&(value, seen), held)| FoundValue {
                value,
                voxels: seen.count,
                share: seen.count as f64 / voxels as f64,
                slices: slices(held),
            })
            .collect(),
        distinct,
        painted_slices: [0, 1, 2].map(|a: usize| {
            let held = &held[painted][a];
            (0..shape[a]).filter(|&i| held[i]).collect()
        }),
        held: match &volume.placed {
            Some(Filled::Slices { axis, indices }) => (*axis, indices.clone()),
            _ => (0, Vec::new()),
        },
    })
}

impl FoundValues {
    /// The value that unlabeled voxels most likely have: the most frequent one.
    pub fn likely_unlabeled(&self) -> i64 {
        self.values.first().map_or(0, |v| v.value)
    }

    /// The axis along which the smallest share of slices holds paint, `None`
    /// where every slice of every direction does.
    pub fn likely_painted_axis(&self) -> Option<usize> {
        let painted = |a: usize| self.painted_slices[a].len();
        let share = |a: usize| painted(a) as f64 / self.shape[a] as f64;
        (0..3)
            .filter(|&a| 0 < painted(a) && painted(a) < self.shape[a])
            .min_by(|&a, &b| share(a).total_cmp(&share(b)))
    }

    /// Slices to state: those painted, or some where these are all or none.
    fn example(&self, axis: usize) -> StatedSlices {
        let mut slices: [Vec<usize>; 3] = Default::default();
        let painted = &self.painted_slices[axis];
        slices[axis] = match painted.len() {
            _ if axis == self.held.0 && !self.held.1.is_empty() => self.held.1.clone(),
            0 => vec![0],
            n if n == self.shape[axis] => (0..n).step_by(10).collect(),
            _ => painted.clone(),
        };
        StatedSlices::of(&slices)
    }
}

impl fmt::Display for FoundValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [z, y, x] = self.shape;
        writeln!(
            f,
            "{:>12} {:>14} {:>9}   slices along z, y, x (of {z}, {y}, {x})",
            "value", "voxels", "share"
        )?;
        for v in &self.values {
            let [z, y, x] = v.slices;
            writeln!(
                f,
                "{:>12} {:>14} {:>9}   {z}, {y}, {x}",
                v.value,
                v.voxels,
                percent(v.share)
            )?;
        }
        if self.distinct > self.values.len() {
            let more = self.distinct - self.values.len();
            writeln!(
                f,
                "and {more} more; so many values look like instance numbers or gray values, not classes"
            )?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "Which voxels are annotated? The values cannot say; one of these flags does:"
        )?;
        let unlabeled = Annotated::Except(self.likely_unlabeled()).flag();
        line(
            f,
            &unlabeled,
            "voxels of this value are not annotated (or another value)",
        )?;
        let axis = self.likely_painted_axis().unwrap_or(0);
        let direction = Direction::of_axis(axis).unwrap_or(Direction::Z);
        line(
            f,
            &Annotated::PaintedSlices(vec![direction]).flag(),
            &format!(
                "{} of {} slices along {} hold a value other than 0: they are annotated, 0 in them is background, the others are not annotated",
                self.painted_slices[axis].len(),
                self.shape[axis],
                axis_name(axis)
            ),
        )?;
        line(
            f,
            &Annotated::Slices(self.example(axis)).flag(),
            "these slices are annotated, also where nothing was found on them: add those that you looked at and left empty",
        )?;
        line(
            f,
            "--annotated MASK",
            "a volume of this shape that is not 0 where voxels are annotated",
        )?;
        line(f, &Annotated::Dense.flag(), "every voxel is annotated")
    }
}

fn line(f: &mut fmt::Formatter<'_>, flag: &str, meaning: &str) -> fmt::Result {
    writeln!(f, "  {flag:<24} {meaning}")
}

/// A share as people read it; a value that occurs never shows as 0.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 0.01 {
        "< 0.01 %".into()
    } else {
        format!("{percent:.2} %")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Geometry, Samples};

    fn volume(shape: [usize; 3], values: Vec<i32>) -> Volume {
        Volume {
            geometry: Geometry::of_shape(shape),
            channels: 1,
            samples: Samples::I32(values),
            scaling: None,
            notes: Vec::new(),
            placed: None,
        }
    }

    #[test]
    fn values_are_counted_with_their_slices() {
        let v = volume([2, 2, 3], vec![0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, -5]);
        let found = describe_values(&v, "labels").unwrap();
        let table: Vec<_> = found
            .values
            .iter()
            .map(|v| (v.value, v.voxels, v.slices))
            .collect();
        assert_eq!(
            table,
            [(0, 9, [2, 2, 3]), (1, 2, [1, 1, 2]), (-5, 1, [1, 1, 1])]
        );
        assert_eq!(found.painted_slices, [vec![1], vec![0, 1], vec![1, 2]]);
        assert_eq!(found.likely_painted_axis(), Some(0));
        let text = found.to_string();
        for part in [
            "75.00 %",
            "--unlabeled 0",
            "--painted-slices z",
            "1 of 2 slices along z",
            "--annotated-slices z=1 ",
            "--annotated MASK",
            "--dense",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }

    #[test]
    fn many_values_are_cut_short_and_said_so() {
        let v = volume([1, 10, 10], (0..100).collect());
        let found = describe_values(&v, "labels").unwrap();
        assert_eq!((found.values.len(), found.distinct), (20, 100));
        assert!(found.to_string().contains("and 80 more"));
    }

    #[test]
    fn fractions_are_an_error() {
        let v = Volume {
            geometry: Geometry::of_shape([1, 1, 2]),
            channels: 1,
            samples: Samples::F32(vec![0.0, 0.25]),
            scaling: None,
            notes: Vec::new(),
            placed: None,
        };
        let text = describe_values(&v, "a.nii").unwrap_err().to_string();
        assert!(
            text.starts_with("a.nii: value 0.25 at [z, y, x] = [0, 0, 1]"),
            "{text}"
        );
    }
}
