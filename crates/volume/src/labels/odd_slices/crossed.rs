//! Slices whose only paint is the line in which they cross slices of another direction:
//! somebody painted along two directions and named one.

use super::Painted;
use super::plane::Plane;
use crate::labels::slices::PLANES;
use crate::labels::{Label, Labels};

/// Slices painted across: at most so many, or the paint of a slice is no longer a few
/// lines.
const MOST_LINES: usize = 3;

/// Slices with the same lines that make it more than chance: the tip of a thin
/// structure may be a line too, but not for long.
const FEWEST_SLICES: usize = 5;

/// Painted voxels of such a slice on average, for the same reason.
const FEWEST_VOXELS: usize = 6;

/// The slices along `axis` that hold paint on the same few places along `other` alone,
/// and these places; empty where there is no such thing.
pub(super) fn crossed(
    labels: &Labels,
    axis: usize,
    other: usize,
    background: Label,
    slices: &[Painted],
) -> Vec<(usize, Vec<usize>)> {
    // Of a flat volume every line is the volume.
    if labels.geometry.shape[other] <= 2 * MOST_LINES {
        return Vec::new();
    }
    let by_rows = PLANES[axis][0] == other;
    let lines = |index: usize| {
        let plane = Plane::cut(labels, axis, index, background);
        let mut places: Vec<usize> = Vec::new();
        for pixel in (0..plane.pixels.len()).filter(|p| plane.pixels[*p]) {
            let (row, column) = plane.at(pixel);
            let place = if by_rows { row } else { column };
            if !places.contains(&place) {
                if places.len() == MOST_LINES {
                    return None;
                }
                places.push(place);
            }
        }
        places.sort_unstable();
        // Neighbouring lines are a thin structure.
        let is_apart = places.windows(2).all(|pair| pair[1] - pair[0] > 1);
        is_apart.then_some(places)
    };
    let mut found: Vec<(usize, usize, Vec<usize>)> = Vec::new();
    for &(index, count) in slices.iter().filter(|(_, count)| *count > 0) {
        if let Some(places) = lines(index) {
            found.push((index, count, places));
        }
    }
    // The lines that most slices have; of equals the first.
    let times = |places: &Vec<usize>| found.iter().filter(|f| f.2 == *places).count();
    let mut common: Option<(usize, &Vec<usize>)> = None;
    for (_, _, places) in &found {
        let times = times(places);
        if common.is_none_or(|(most, _)| times > most) {
            common = Some((times, places));
        }
    }
    let Some((times, places)) = common else {
        return Vec::new();
    };
    let same = found.iter().filter(|f| f.2 == *places);
    let voxels: usize = same.clone().map(|f| f.1).sum();
    if times < FEWEST_SLICES || voxels < FEWEST_VOXELS * times {
        return Vec::new();
    }
    same.map(|f| (f.0, f.2.clone())).collect()
}
