//! Two volumes that cannot be used voxel by voxel: both geometries, how far they are
//! apart, and what to do.

use std::fmt;

use super::relation::{cosines, furthest_corner_mm, lengths};
use super::{Orientation, relation};
use crate::Geometry;

/// Why a second grid does not lie in a first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Shapes differ, and not both files state a place in the world.
    Shape,
    /// Spacings differ, and not both files state a place in the world.
    Spacing,
    /// The first grid has no three independent axes.
    Singular,
    /// Axes of other directions or lengths.
    Axes,
    /// The same axes, but an offset that is no whole number of voxels.
    Between,
    /// Voxels on voxels, but some outside of the first grid.
    Beyond {
        /// Where the second begins in the first grid, `[z, y, x]`.
        starts: [i64; 3],
        /// Its shape along the axes of the first.
        shape: [usize; 3],
    },
    /// A box of the first, where all of it is needed.
    Part,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq)]
pub struct Apart {
    /// The volume whose grid counts, and its name for people.
    pub first: (Geometry, String),
    /// The volume that does not lie on it.
    pub second: (Geometry, String),
    /// Why not.
    pub why: Why,
}

impl Apart {
    /// Distance of the furthest corners, as stored, where the files tell it.
    pub fn furthest_corner_mm(&self) -> Option<f64> {
        furthest_corner_mm(&self.first.0, &self.second.0)
    }
}

impl std::error::Error for Apart {}

impl fmt::Display for Apart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((first, image), (second, this)) = (&self.first, &self.second);
        write!(f, "{this}: {}. ", reason(&self.why, first, image))?;
        write!(
            f,
            "{this} has {}; {image} has {}",
            described(second),
            described(first)
        )?;
        if let Some(apart) = self.furthest_corner_mm() {
            write!(f, "; their furthest corners are {} mm apart", number(apart))?;
        }
        write!(f, ". {}", advice(&self.why, image))?;
        for (geometry, name) in [&self.second, &self.first] {
            if is_filler(geometry) {
                write!(
                    f,
                    " Voxels of 1 mm at the origin are what programs write that know no place: {name} may be such a file."
                )?;
                break;
            }
        }
        if first.shape == second.shape && self.why != Why::Part {
            write!(
                f,
                " If the voxels do belong together in the order in which they are stored, say --ignore-geometry."
            )?;
        }
        Ok(())
    }
}

fn reason(why: &Why, first: &Geometry, image: &str) -> String {
    match why {
        Why::Shape => format!("has another shape than {image}, both must be of one shape"),
        Why::Spacing => format!("has another spacing than {image}, both must have the same"),
        Why::Singular => format!("{image} has no three independent axes to compare with"),
        Why::Axes => format!(
            "its axes have another direction or spacing than those of {image}, so voxels do not lie on voxels"
        ),
        Why::Between => format!("its voxels lie between those of {image}"),
        Why::Beyond { starts, shape } => {
            let beyond: Vec<String> = (0..3)
                .filter(|&a| starts[a] < 0 || starts[a] + shape[a] as i64 > first.shape[a] as i64)
                .map(|a| {
                    let (name, end) = (["z", "y", "x"][a], starts[a] + shape[a] as i64);
                    format!("{name} {}:{end} of 0:{}", starts[a], first.shape[a])
                })
                .collect();
            format!("it reaches beyond {image}: {}", beyond.join(", "))
        }
        Why::Part => format!("covers only a part of {image}, all of it is needed"),
    }
}

fn advice(why: &Why, image: &str) -> String {
    match why {
        Why::Shape => {
            "They may belong to different volumes, or to different resolutions of one.".into()
        }
        Why::Spacing => {
            "They may be different resolutions of one volume, or one of the headers is wrong: correct it.".into()
        }
        Why::Singular => format!("Repair the header of {image}."),
        Why::Axes | Why::Between => format!(
            "They may belong to different volumes, one may have been resampled or registered, or a header is wrong. Resample onto the grid of {image} (labels by nearest neighbour), or correct the header."
        ),
        Why::Beyond { .. } => {
            "Crop it to what both show (unet3d convert --crop), or give the volume that it was made for.".into()
        }
        Why::Part => "Give the file that covers all of it.".into(),
    }
}

/// Shape, spacing, directions and origin in words.
fn described(geometry: &Geometry) -> String {
    let mut text = format!("shape {:?} [z, y, x]", geometry.shape);
    match geometry.spacing() {
        Some([z, y, x]) => {
            let [z, y, x] = [z, y, x].map(number);
            text.push_str(&format!(", spacing {z} x {y} x {x} mm"));
        }
        None => text.push_str(", no spacing"),
    }
    let Some(world) = geometry.world_from_volume else {
        text.push_str(", no orientation");
        return text;
    };
    if let Some(orientation) = Orientation::of(geometry) {
        text.push_str(&format!(", orientation {orientation}"));
        let oblique = oblique_degrees(geometry);
        if oblique > 0.05 {
            text.push_str(&format!(" (oblique by {oblique:.1} degrees)"));
        }
    }
    let [x, y, z] = relation::apply(&world, [0.0; 3]).map(number);
    text.push_str(&format!(", first voxel at ({x}, {y}, {z}) mm"));
    text
}

/// The largest angle between an axis and the world axis it is nearest to.
fn oblique_degrees(geometry: &Geometry) -> f64 {
    let cosines = geometry.world_from_volume.as_ref().and_then(cosines);
    let angle = |axis: [f64; 3]| {
        let largest = axis.into_iter().fold(0f64, |most, c| most.max(c.abs()));
        largest.min(1.0).acos().to_degrees()
    };
    cosines.map_or(0.0, |axes| axes.map(angle).into_iter().fold(0.0, f64::max))
}

/// Whether a geometry is what programs write that know none: axes along the world's,
/// voxels of 1 mm, the first at the origin.
fn is_filler(geometry: &Geometry) -> bool {
    geometry.world_from_volume.is_some_and(|world| {
        world.iter().all(|row| row[3] == 0.0)
            && lengths(&world) == [1.0; 3]
            && world.iter().flatten().all(|v| v.abs() == 1.0 || *v == 0.0)
    })
}

/// A length to six digits, without trailing zeros.
pub(super) fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}").replace("-0", "0");
    }
    let digits = 5 - value.abs().log10().floor() as i32;
    let text = format!("{value:.*}", digits.clamp(0, 12) as usize);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}
