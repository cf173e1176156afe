//! Which way the axes of a grid point, to the nearest: what a model remembers of
//! the images it learned from.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::turn::ORDERS;
use super::{Turn, relation};
use crate::Geometry;

/// Letters of the world's axes x, y, z (right, anterior, superior), and of their
/// opposites.
const POSITIVE: [char; 3] = ['R', 'A', 'S'];
const NEGATIVE: [char; 3] = ['L', 'P', 'I'];

/// The world axis that each axis of a grid is nearest to, and its direction.
///
/// As text it is three letters, of x, y, z in this order, as nibabel's
/// `aff2axcodes` and most viewers have it: `RAS` where x runs towards the right,
/// y towards anterior and z towards superior.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Orientation {
    /// World axis of volume `[z, y, x]`.
    axes: [usize; 3],
    /// Whether it runs in the positive direction of that axis.
    positive: [bool; 3],
}

impl Orientation {
    /// x towards the right, y towards anterior, z towards superior.
    pub const RAS: Self = Self {
        axes: [2, 1, 0],
        positive: [true; 3],
    };

    /// The orientation of a grid; `None` where its place is not stated, or an axis
    /// has no direction.
    pub fn of(geometry: &Geometry) -> Option<Self> {
        let cosines = relation::cosines(&geometry.world_from_volume?)?;
        // Of equals the first, which are the axes as most files store them.
        let preferred = [[2, 1, 0]].into_iter().chain(ORDERS);
        let (mut axes, mut best) = ([2, 1, 0], f64::NEG_INFINITY);
        for order in preferred {
            let sum: f64 = (0..3).map(|a| cosines[a][order[a]].abs()).sum();
            // Rounding must not decide between axes at 45 degrees.
            if sum > best + 1e-9 {
                (axes, best) = (order, sum);
            }
        }
        Some(Self {
            axes,
            positive: [0, 1, 2].map(|a| cosines[a][axes[a]] >= 0.0),
        })
    }

    /// The turn that brings a grid of this orientation to `wanted`.
    pub fn turn_to(&self, wanted: Self) -> Turn {
        let stored = |world: usize| self.axes.iter().position(|&w| w == world).unwrap_or(0);
        let axes = wanted.axes.map(stored);
        let reversed = [0, 1, 2].map(|a| wanted.positive[a] != self.positive[axes[a]]);
        Turn::new(axes, reversed).unwrap_or(Turn::NONE)
    }

    /// The letters of `[z, y, x]`.
    fn letters(&self) -> [char; 3] {
        [0, 1, 2].map(|a| match self.positive[a] {
            true => POSITIVE[self.axes[a]],
            false => NEGATIVE[self.axes[a]],
        })
    }
}

impl fmt::Display for Orientation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [z, y, x] = self.letters();
        write!(f, "{x}{y}{z}")
    }
}

impl From<Orientation> for String {
    fn from(orientation: Orientation) -> Self {
        orientation.to_string()
    }
}

impl TryFrom<String> for Orientation {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for Orientation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || {
            format!(
                "orientation {text:?}: three letters are needed, of x, y, z: R or L, A or P and S or I, each pair once, as in RAS"
            )
        };
        let letters: Vec<char> = text.chars().collect();
        let [x, y, z] = letters[..] else {
            return Err(wrong());
        };
        let (mut axes, mut positive) = ([0; 3], [false; 3]);
        for (a, letter) in [z, y, x].into_iter().enumerate() {
            let of = |letters: [char; 3]| letters.iter().position(|l| *l == letter);
            (axes[a], positive[a]) = match (of(POSITIVE), of(NEGATIVE)) {
                (Some(axis), _) => (axis, true),
                (None, Some(axis)) => (axis, false),
                (None, None) => return Err(wrong()),
            };
        }
        match ORDERS.contains(&axes) {
            true => Ok(Self { axes, positive }),
            false => Err(wrong()),
        }
    }
}
