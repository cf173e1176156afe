//! Directions across which slices lie: the axes of the array, or the planes of the
//! body where the orientation of a volume says which axis is which.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::LabelsError;
use crate::Geometry;

/// Two axes of a volume are about as near to a direction of the body where the cosine
/// of one angle is at least this share of that of the other: 0.9 means 42 degrees
/// beside 48. Then nobody calls the slices by a plane of the body.
const ABOUT_AS_NEAR: f64 = 0.9;

/// A direction across which slices lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "Written")]
pub enum Direction {
    /// The first axis.
    Z,
    /// The second axis.
    Y,
    /// The third axis.
    X,
    /// The axis that runs from foot to head; its slices are also called transverse.
    Axial,
    /// The axis that runs from back to front.
    Coronal,
    /// The axis that runs from left to right.
    Sagittal,
}

impl Direction {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Z,
        Self::Y,
        Self::X,
        Self::Axial,
        Self::Coronal,
        Self::Sagittal,
    ];

    /// The name that flags and lists take.
    pub fn name(self) -> &'static str {
        match self {
            Self::Z => "z",
            Self::Y => "y",
            Self::X => "x",
            Self::Axial => "axial",
            Self::Coronal => "coronal",
            Self::Sagittal => "sagittal",
        }
    }

    /// The direction of an axis (0 = z, 1 = y, 2 = x); `None` where there is no such axis.
    pub fn of_axis(axis: usize) -> Option<Self> {
        [Self::Z, Self::Y, Self::X].get(axis).copied()
    }

    /// The axis of a volume of this geometry (0 = z, 1 = y, 2 = x).
    ///
    /// # Errors
    /// A plane of the body where the orientation is not known, or so oblique that
    /// two axes are about as near.
    pub fn axis(self, geometry: &Geometry, source: &str) -> Result<usize, LabelsError> {
        let world = match self {
            Self::Z => return Ok(0),
            Self::Y => return Ok(1),
            Self::X => return Ok(2),
            Self::Sagittal => 0,
            Self::Coronal => 1,
            Self::Axial => 2,
        };
        let unknown = |cause: &str| LabelsError::DirectionUnknown {
            source_name: source.into(),
            direction: self.name(),
            cause: cause.into(),
        };
        let cosines = cosines(geometry).ok_or_else(|| {
            unknown("the file does not say how its axes lie in the body (NIfTI does, most other formats do not)")
        })?;
        let cosines = cosines[world];
        let nearest = (0..3).fold(0, |best, axis| match cosines[axis] > cosines[best] {
            true => axis,
            false => best,
        });
        let second = (0..3).filter(|axis| *axis != nearest);
        let second = second.map(|axis| cosines[axis]).fold(0.0, f64::max);
        if second >= ABOUT_AS_NEAR * cosines[nearest] {
            return Err(unknown(
                "the volume is so oblique that two of its axes are about as near",
            ));
        }
        Ok(nearest)
    }

    /// The planes of the body that slices across z, y and x are, where they are near to one.
    pub fn planes(geometry: &Geometry) -> [Option<Self>; 3] {
        let mut planes = [None; 3];
        for plane in [Self::Axial, Self::Coronal, Self::Sagittal] {
            if let Ok(axis) = plane.axis(geometry, "") {
                planes[axis] = Some(plane);
            }
        }
        planes
    }
}

/// For each of world x, y, z: how far z, y and x of the volume point along it, from 0 to 1.
fn cosines(geometry: &Geometry) -> Option<[[f64; 3]; 3]> {
    let m = geometry.world_from_volume?;
    let lengths: [f64; 3] =
        std::array::from_fn(|axis| m.iter().map(|row| row[axis].powi(2)).sum::<f64>().sqrt());
    let is_usable = lengths.iter().all(|l| l.is_finite() && *l > 0.0);
    is_usable.then(|| m.map(|row| std::array::from_fn(|axis| (row[axis] / lengths[axis]).abs())))
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Direction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let name = match lower.as_str() {
            "transverse" | "transversal" => "axial",
            other => other,
        };
        Self::ALL
            .into_iter()
            .find(|direction| direction.name() == name)
            .ok_or_else(|| {
                format!("direction {text:?} is not one of z, y, x, axial, coronal and sagittal")
            })
    }
}

impl From<Direction> for &'static str {
    fn from(direction: Direction) -> Self {
        direction.name()
    }
}

/// A direction as files write it: its name, or the number of an axis as runs before
/// directions had names did.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(usize),
    Name(String),
}

impl TryFrom<Written> for Direction {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Name(name) => name.parse(),
            Written::Number(axis) => {
                Self::of_axis(axis).ok_or_else(|| format!("axis {axis} is not one of 0, 1 and 2"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A geometry whose z, y, x point along these world axes, with their signs.
    fn oriented(axes: [(usize, f64); 3]) -> Geometry {
        let mut world = [[0.0; 4]; 3];
        for (axis, (row, step)) in axes.into_iter().enumerate() {
            world[row][axis] = step;
        }
        Geometry {
            world_from_volume: Some(world),
            ..Geometry::of_shape([4, 5, 6])
        }
    }

    #[test]
    fn planes_are_found_in_all_orientations() {
        let orders = [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ];
        for order in orders {
            for signs in 0..8 {
                let step = |axis: usize| if signs >> axis & 1 == 1 { -0.7 } else { 3.0 };
                let geometry = oriented([0, 1, 2].map(|a| (order[a], step(a))));
                for (world, plane) in [Direction::Sagittal, Direction::Coronal, Direction::Axial]
                    .into_iter()
                    .enumerate()
                {
                    let axis = plane.axis(&geometry, "a.nii").unwrap();
                    assert_eq!(order[axis], world, "{order:?} {signs} {plane}");
                    assert_eq!(Direction::planes(&geometry)[axis], Some(plane));
                }
            }
        }
    }

    #[test]
    fn a_little_oblique_has_planes_and_halfway_has_none() {
        let tilted = |degrees: f64| {
            let (sin, cos) = degrees.to_radians().sin_cos();
            Geometry {
                // z and y turned about x.
                world_from_volume: Some([
                    [0.0, 0.0, 1.0, 0.0],
                    [sin, cos, 0.0, 0.0],
                    [cos, -sin, 0.0, 0.0],
                ]),
                ..Geometry::of_shape([4, 5, 6])
            }
        };
        assert_eq!(Direction::Axial.axis(&tilted(30.0), "a").unwrap(), 0);
        assert_eq!(Direction::Axial.axis(&tilted(60.0), "a").unwrap(), 1);
        assert_eq!(Direction::Sagittal.axis(&tilted(45.0), "a").unwrap(), 2);
        let error = Direction::Axial.axis(&tilted(45.0), "a.nii").unwrap_err();
        let error = error.to_string();
        assert!(
            error.starts_with("a.nii: ") && error.contains("oblique"),
            "{error}"
        );
        assert_eq!(
            Direction::planes(&tilted(45.0)),
            [None, None, Some(Direction::Sagittal)]
        );
    }

    #[test]
    fn without_an_orientation_only_axes_have_names() {
        let plain = Geometry::of_shape([2, 3, 4]);
        for (direction, axis) in [(Direction::Z, 0), (Direction::Y, 1), (Direction::X, 2)] {
            assert_eq!(direction.axis(&plain, "a").unwrap(), axis);
            assert_eq!(Direction::of_axis(axis), Some(direction));
        }
        let error = Direction::Coronal.axis(&plain, "a.tif").unwrap_err();
        let error = error.to_string();
        for part in ["a.tif", "coronal", "z, y or x"] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }

    #[test]
    fn names_are_read_in_any_case_and_old_numbers_too() {
        assert_eq!("Axial".parse(), Ok(Direction::Axial));
        assert_eq!("transverse".parse(), Ok(Direction::Axial));
        assert!("w".parse::<Direction>().is_err());
        let read = |text: &str| serde_json::from_str::<Vec<Direction>>(text);
        assert_eq!(read("[0, \"x\"]").unwrap(), [Direction::Z, Direction::X]);
        assert!(read("[3]").is_err());
        for direction in Direction::ALL {
            let text = serde_json::to_string(&[direction]).unwrap();
            assert_eq!(read(&text).unwrap(), [direction], "{text}");
        }
    }
}
