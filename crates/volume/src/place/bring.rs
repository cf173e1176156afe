//! A second volume on the grid of a first.

use std::ops::Range;

use super::apart::{Apart, Why};
use super::relation::{Relation, relate};
use super::turn::Turn;
use crate::samples::{Sample, each_type};
use crate::{Annotated, Error, Filled, Geometry, Volume};

/// What may be done to bring two volumes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct How {
    /// Whether voxels are matched in the order in which they are stored, whatever the
    /// files state of their place.
    pub by_index: bool,
    /// What a second volume that is a box of the first means outside of it.
    pub outside: Outside,
}

/// What the voxels mean that a placed box does not cover. They are 0 in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// Nobody said what they are.
    Unlabeled,
    /// They are background, value 0.
    Background,
    /// Nothing is stated there, and nothing is compared.
    LeftOut,
    /// All must be covered: a box is refused.
    Refused,
}

impl Outside {
    /// Around labels of which this is said. Of stated slices somebody said that they are
    /// annotated as a whole: a program that cut the file to its paint has cut off
    /// background. Else nobody looked there.
    pub fn of_labels(annotated: Option<&Annotated>) -> Self {
        match annotated {
            Some(Annotated::Slices(_)) => Self::Background,
            _ => Self::Unlabeled,
        }
    }
}

/// What was done to a second volume.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    /// Nothing: it was there already.
    Same,
    /// It was turned.
    Turned(Turn),
    /// It was turned, where need be, and placed in the box.
    Placed {
        /// How it was turned.
        turn: Turn,
        /// Where it lies in the first grid, along `[z, y, x]`.
        within: [Range<usize>; 3],
    },
    /// It has the place that the first states.
    FirstSays,
    /// The first has the place that it states.
    SecondSays,
    /// Voxels were matched by index, against what the files state.
    ByIndex,
}

/// Brings `second` to the grid of `first`. `names` is what people are told of the
/// two, first and second. What was done becomes a note of the volume, but where
/// nothing had to be.
///
/// `first` is changed only where it states less of its place than `second` does.
/// The geometry of the volume that comes back is that of `first`; where it was a box
/// of it, [`Volume::placed`] says which.
///
/// # Errors
/// [`Error::Apart`] where the two do not lie on one grid.
pub fn bring(
    first: &mut Geometry,
    second: Volume,
    names: [&str; 2],
    how: How,
) -> Result<(Volume, Done), Error> {
    let apart = |why, first: &Geometry, second: Geometry| {
        Error::Apart(Box::new(Apart {
            first: (first.clone(), names[0].to_owned()),
            second: (second, names[1].to_owned()),
            why,
        }))
    };
    let relation = relate(first, &second.geometry);
    let (mut volume, done) = match relation {
        Ok(Relation::Same) => (second, Done::Same),
        Ok(Relation::FirstSays) => (second, Done::FirstSays),
        Ok(Relation::SecondSays) => {
            first.clone_from(&second.geometry);
            (second, Done::SecondSays)
        }
        _ if how.by_index => match first.shape == second.geometry.shape {
            true => (second, Done::ByIndex),
            false => return Err(apart(Why::Shape, first, second.geometry)),
        },
        Ok(Relation::Turned(turn)) => (turn.volume(&second), Done::Turned(turn)),
        Ok(Relation::Within { .. }) if how.outside == Outside::Refused => {
            return Err(apart(Why::Part, first, second.geometry));
        }
        Ok(Relation::Within { turn, start }) => {
            let turned = match turn.is_none() {
                true => second,
                false => turn.volume(&second),
            };
            let mut placed = placed(&turned, start, first);
            let shape = turned.geometry.shape;
            let within = [0, 1, 2].map(|a| start[a]..start[a] + shape[a]);
            if how.outside == Outside::Background {
                // What is around it is as good as what the file states.
                placed.placed = None;
            }
            (placed, Done::Placed { turn, within })
        }
        Err(why) => return Err(apart(why, first, second.geometry)),
    };
    volume.geometry.clone_from(first);
    volume
        .notes
        .extend(done.sentence(names, how.outside, first.shape));
    Ok((volume, done))
}

/// Brings two volumes together of which either may be a box of the other: the second
/// to the grid of the first, or else, where the first is the box, the first to that
/// of the second. `outside` is what the first and the second mean around the box.
///
/// # Errors
/// As [`bring()`].
pub fn bring_either(
    mut first: Volume,
    mut second: Volume,
    names: [&str; 2],
    by_index: bool,
    outside: [Outside; 2],
) -> Result<(Volume, Volume), Error> {
    let how = |outside| How { by_index, outside };
    let is_box = relate(&second.geometry, &first.geometry);
    if !by_index && matches!(is_box, Ok(Relation::Within { .. })) {
        let [name, other] = names;
        let (first, _) = bring(&mut second.geometry, first, [other, name], how(outside[0]))?;
        return Ok((first, second));
    }
    let (second, _) = bring(&mut first.geometry, second, names, how(outside[1]))?;
    Ok((first, second))
}

/// Brings a mask to the grid of its labels. It may cover less (nothing is annotated
/// outside) or more (which is cut off: outside of the labels there are none).
///
/// # Errors
/// As [`bring()`].
pub fn bring_mask(
    labels: &Geometry,
    mask: Volume,
    names: [&str; 2],
    by_index: bool,
) -> Result<Volume, Error> {
    let relation = relate(&mask.geometry, labels);
    let how = How {
        by_index,
        outside: Outside::Unlabeled,
    };
    let mask = match relation {
        Ok(Relation::Within { turn, start }) if !by_index => {
            let shape = turn.shape(labels.shape);
            mask.crop([0, 1, 2].map(|a| start[a]..start[a] + shape[a]))?
        }
        _ => mask,
    };
    Ok(bring(&mut labels.clone(), mask, names, how)?.0)
}

impl Done {
    /// One line for people, `None` where there is nothing to tell.
    fn sentence(&self, names: [&str; 2], outside: Outside, shape: [usize; 3]) -> Option<String> {
        let [first, second] = names;
        Some(match self {
            Self::Same => return None,
            Self::Turned(turn) => format!(
                "{second}: has another orientation than {first} ({}); it was turned to lie as that does, without loss.",
                turn.words()
            ),
            Self::Placed { turn, within } => {
                let turned = match turn.is_none() {
                    true => String::new(),
                    false => format!("once turned ({}), ", turn.words()),
                };
                let at: Vec<String> = (0..3)
                    .filter(|&a| within[a] != (0..shape[a]))
                    .map(|a| {
                        let Range { start, end } = within[a];
                        format!("{} {start}:{end} of {}", ["z", "y", "x"][a], shape[a])
                    })
                    .collect();
                let outside = match outside {
                    Outside::Unlabeled | Outside::Refused => "not annotated",
                    Outside::Background => "background (0)",
                    Outside::LeftOut => "left out",
                };
                format!(
                    "{second}: {turned}is a box of {first} ({}); it was placed there, what lies outside is {outside}.",
                    at.join(", ")
                )
            }
            Self::FirstSays => says_less(second, first),
            Self::SecondSays => says_less(first, second),
            Self::ByIndex => format!(
                "{second}: is matched with {first} voxel by voxel as both are stored, against what their headers say of their place (--ignore-geometry)."
            ),
        })
    }
}

fn says_less(less: &str, more: &str) -> String {
    format!(
        "{less}: does not state its place (spacing and orientation) as {more} does; what that states is used for both, voxel by voxel."
    )
}

/// `volume` in a larger grid of the same axes, 0 around it.
fn placed(volume: &Volume, start: [usize; 3], whole: &Geometry) -> Volume {
    let shape = volume.geometry.shape;
    let within = [0, 1, 2].map(|a| start[a]..start[a] + shape[a]);
    let voxels = whole.voxels();
    let samples = each_type!(volume.samples.number_type(), T, variant => {
        let values = T::of_samples(&volume.samples).unwrap_or_default();
        let mut out = vec![T::default(); volume.channels * voxels];
        let rows = values.chunks_exact(shape[2].max(1));
        for (row, values) in rows.enumerate() {
            let (y, z) = (row % shape[1], row / shape[1]);
            let (z, channel) = (z % shape[0], z / shape[0]);
            let at = ((start[0] + z) * whole.shape[1] + start[1] + y) * whole.shape[2] + start[2];
            let at = channel * voxels + at;
            out[at..at + shape[2]].copy_from_slice(values);
        }
        variant(out)
    });
    Volume {
        geometry: whole.clone(),
        channels: volume.channels,
        samples,
        scaling: volume.scaling,
        notes: volume.notes.clone(),
        // A box of a box: what the file filled of it.
        placed: Some(match &volume.placed {
            Some(inner) => inner.within(start),
            None => Filled::Box(within),
        }),
    }
}
