//! Annotated slices that look unlike the others: what was hardly meant, found before
//! hours of training rest on it.
//!
//! A slice counts as annotated as a whole, so one stray click makes a slice full of
//! background, and a slice painted half makes background of the other half. Three
//! kinds are looked for along each direction in which slices were annotated:
//!
//! - hardly any paint where its neighbours have much (`stray`),
//! - a structure that ends in a straight edge beyond which its neighbours go on
//!   (`straight_edge`),
//! - many slices that hold nothing but the line in which they cross one slice of
//!   another direction, which nobody named (`crossed`).
//!
//! Paint is every class but that of value 0. Structures taper, so a slice near the end
//! of one may hold little; these rules rather miss a fault than name a sound slice.

mod crossed;
mod plane;
mod straight_edge;
mod stray;

use self::crossed::crossed;
use self::plane::Plane;
use self::straight_edge::straight_edge;
use self::stray::stray;
use super::read::axes_of;
use super::scheme::axis_name;
use super::slices::PLANES;
use super::{Annotated, Direction, Label, Labels, StatedSlices, left_out};
use crate::words::counted;
use crate::{Error, Volume};

/// Slices of one kind that are named one by one; more are only counted.
const NAMED: usize = 5;

/// What a person should know of an annotation before anything learns from it, a
/// sentence or a few each that begins with `source`: paint outside the slices they
/// stated, and slices that look unlike the others. `labels` is `volume` under the
/// scheme. Nothing of densely annotated volumes.
///
/// # Errors
/// None where `labels` could be read.
pub fn annotation_warnings(
    volume: &Volume,
    labels: &Labels,
    annotated: &Annotated,
    source: &str,
) -> Result<Vec<String>, Error> {
    let mut warnings = Vec::new();
    let axes = match annotated {
        Annotated::Dense => return Ok(warnings),
        Annotated::PaintedSlices(directions) => axes_of(directions, volume, source)?,
        Annotated::Slices(stated) => {
            let slices = stated.resolve(&volume.geometry, source)?;
            warnings.extend(left_out::warning(volume, &slices, stated, source));
            (0..3).filter(|axis| !slices[*axis].is_empty()).collect()
        }
        Annotated::Except(_) | Annotated::Mask(_) => {
            let slices = labels.slices_to_tell();
            (0..3).filter(|axis| !slices[*axis].is_empty()).collect()
        }
    };
    let Some(background) = labels.classes.iter().position(|class| class.value == 0) else {
        return Ok(warnings);
    };
    let mut telling = Telling {
        annotated,
        all: labels.annotated_slices(),
        source,
        axis: 0,
        warnings,
    };
    for &axis in &axes {
        telling.axis = axis;
        telling.direction(labels, &axes, Label::of_class(background));
    }
    Ok(telling.warnings)
}

/// Paint on an annotated slice: its number and its painted voxels.
type Painted = (usize, usize);

/// What is found along one direction, in sentences.
struct Telling<'a> {
    annotated: &'a Annotated,
    /// The annotated slices.
    all: [Vec<usize>; 3],
    source: &'a str,
    axis: usize,
    warnings: Vec<String>,
}

impl Telling<'_> {
    fn direction(&mut self, labels: &Labels, axes: &[usize], background: Label) {
        let axis = self.axis;
        let cut = |index: usize| Plane::cut(labels, axis, index, background);
        let mut slices: Vec<Painted> = (self.all[axis].iter())
            .map(|&index| (index, cut(index).count))
            .collect();
        if let Annotated::PaintedSlices(_) = self.annotated {
            let others = (0..3).filter(|other| !axes.contains(other));
            for other in others {
                let found = crossed(labels, axis, other, background, &slices);
                if !found.is_empty() {
                    self.crossed(axes, other, &found);
                    slices.retain(|(index, _)| !found.iter().any(|(i, _)| i == index));
                }
            }
        }
        let is_stated = matches!(self.annotated, Annotated::Slices(_));
        let found = stray(&cut, &slices, is_stated);
        slices.retain(|(index, _)| !found.iter().any(|s| s.slices.contains(index)));
        let strayed: Vec<usize> = found.iter().flat_map(|s| s.slices.clone()).collect();
        for stray in found.iter().take(NAMED) {
            self.stray(stray, &strayed);
        }
        if found.len() > NAMED {
            let more = found.len() - NAMED;
            self.more(more, "as little paint beside much");
        }

        slices.retain(|(_, count)| *count > 0);
        let mut found = Vec::new();
        // Only neighbours are looked at together: a volume has more slices than memory
        // should hold a second time.
        for i in 0..slices.len() {
            let before = i.checked_sub(1).map(|i| slices[i].0);
            let behind = slices.get(i + 1).map(|s| s.0);
            let around: Vec<usize> = before.into_iter().chain(behind).collect();
            let planes: Vec<Plane> = around.iter().map(|&index| cut(index)).collect();
            if let Some(edge) = straight_edge(&cut(slices[i].0), &planes) {
                found.push((slices[i].0, around, edge));
            }
        }
        for (index, around, edge) in found.iter().take(NAMED) {
            self.straight(*index, around, *edge);
        }
        if found.len() > NAMED {
            self.more(found.len() - NAMED, "a straight edge too");
        }
    }

    fn tell(&mut self, text: String) {
        self.warnings.push(format!("{}: {text}", self.source));
    }

    fn more(&mut self, more: usize, what: &str) {
        let (more, axis) = (counted(more, "more slice"), axis_name(self.axis));
        self.tell(format!("{more} along {axis}: {what}."));
    }

    fn crossed(&mut self, axes: &[usize], other: usize, found: &[(usize, Vec<usize>)]) {
        let (axis, other_name) = (axis_name(self.axis), axis_name(other));
        let (first, last) = (found[0].0, found[found.len() - 1].0);
        let places: Vec<String> = found[0].1.iter().map(usize::to_string).collect();
        let directions = axes.iter().copied().chain([other]);
        let directions = directions.filter_map(Direction::of_axis).collect();
        self.tell(format!(
            "the paint of {} slices ({axis} {first} to {last}) lies on {other_name} {} alone, as if it had been painted there, \
             and each of these slices counts as annotated, 0 in it as background. If slices along {other_name} were painted, say {}.",
            found.len(),
            places.join(", "),
            Annotated::PaintedSlices(directions).flag()
        ));
    }

    fn stray(&mut self, stray: &stray::Stray, all: &[usize]) {
        let axis = axis_name(self.axis);
        let (first, last) = (stray.slices[0], stray.slices[stray.slices.len() - 1]);
        let (which, holds) = match first == last {
            true => (format!("{axis} {first}"), "holds"),
            false => (format!("{axis} {first} to {last}"), "hold at most"),
        };
        let voxels = counted(stray.voxels, "painted voxel");
        let advice = match self.annotated {
            Annotated::PaintedSlices(_) => {
                let mut slices = self.all.clone();
                slices[self.axis].retain(|index| !all.contains(index));
                format!(
                    "A stray click? The slice counts as annotated, all of it that is not painted as background. \
                     Remove this paint, or state the slices that were annotated: {}",
                    Annotated::Slices(StatedSlices::of(&slices)).flag()
                )
            }
            _ => "A stray click, or a slice that was only begun? All of it that is not painted counts as background."
                .into(),
        };
        self.tell(format!(
            "{which} {holds} {voxels}, slices beside about {}. {advice}",
            stray.usual
        ));
    }

    fn straight(&mut self, index: usize, around: &[usize], (row, column): (usize, usize)) {
        let axis = axis_name(self.axis);
        let [rows, columns] = PLANES[self.axis];
        let names: Vec<String> = around.iter().map(|i| format!("{axis} {i}")).collect();
        let (verb, names) = match names.len() {
            1 => ("goes", names.join("")),
            _ => ("go", names.join(" and ")),
        };
        let advice = match self.annotated {
            Annotated::PaintedSlices(_) => "Paint the rest of it, or remove its paint.",
            Annotated::Slices(_) => "Paint the rest of it, or leave it out of the stated slices.",
            _ => "Annotate the rest of it, or mark it as not annotated.",
        };
        self.tell(format!(
            "{axis} {index}: a structure ends in a straight edge (around {} {row}, {} {column}) beyond which {names} {verb} on. \
             Is the slice annotated only in part? What is not painted counts as background. {advice}",
            axis_name(rows),
            axis_name(columns)
        ));
    }
}

#[cfg(test)]
mod tests;
