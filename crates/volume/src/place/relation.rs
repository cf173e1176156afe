//! How one grid lies in another, by what their files state.
//!
//! With places in the world the question is whether the second's voxels stand on
//! the first's: the map from index to index must be a permutation of the axes with
//! signs and a whole offset, to 1e-3 voxel at every corner. Where a file states
//! less, shapes and spacings must do.

use super::{Turn, Why, turn::ORDERS};
use crate::Geometry;

/// How far a corner may lie from where it would be exactly, in voxels of the first.
const TOLERANCE_VOXELS: f64 = 1e-3;

/// How far all of a box may be shifted where headers say angles no better: a tenth
/// of a voxel changes no label, and nobody means it.
const BOX_SHIFT_VOXELS: f64 = 0.1;

/// Spacings count as the same within this share, where only spacings are stated:
/// files round them, TIFF to a fraction of two integers, people to a percent or so.
pub(crate) const SAME_SPACING: f64 = 0.02;

/// Rows world x, y, z; columns z, y, x and the translation.
type World = [[f64; 4]; 3];

/// How a second grid lies in a first.
#[derive(Clone, Debug, PartialEq)]
pub enum Relation {
    /// They are the same.
    Same,
    /// The second is the first once it is turned.
    Turned(Turn),
    /// The second, turned, is a box of the first that begins there, `[z, y, x]`.
    Within {
        /// How the second is to be turned.
        turn: Turn,
        /// Position of its first voxel in the first grid.
        start: [usize; 3],
    },
    /// The second states less than the first: what the first states holds for both.
    FirstSays,
    /// The first states less than the second: what the second states holds for both.
    SecondSays,
}

/// What a geometry states of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stated {
    Nothing,
    Spacing,
    Place,
}

impl Stated {
    fn of(geometry: &Geometry) -> Self {
        match (geometry.world_from_volume, geometry.spacing_mm) {
            (Some(_), _) => Self::Place,
            (None, Some(_)) => Self::Spacing,
            (None, None) => Self::Nothing,
        }
    }
}

/// How `second` lies in `first`.
///
/// # Errors
/// Why they cannot be used voxel by voxel.
pub fn relate(first: &Geometry, second: &Geometry) -> Result<Relation, Why> {
    if let (Some(a), Some(b)) = (first.world_from_volume, second.world_from_volume) {
        return by_place(first, &a, second, &b);
    }
    if first.shape != second.shape {
        return Err(Why::Shape);
    }
    if let (Some(a), Some(b)) = (first.spacing(), second.spacing()) {
        // The thickness of a single slice is often a filler.
        let differs = |axis: usize| {
            first.shape[axis] > 1 && (a[axis] - b[axis]).abs() > SAME_SPACING * a[axis].max(b[axis])
        };
        if (0..3).any(differs) {
            return Err(Why::Spacing);
        }
    }
    Ok(match Stated::of(first).cmp(&Stated::of(second)) {
        std::cmp::Ordering::Equal => Relation::Same,
        std::cmp::Ordering::Greater => Relation::FirstSays,
        std::cmp::Ordering::Less => Relation::SecondSays,
    })
}

fn by_place(
    first: &Geometry,
    first_world: &World,
    second: &Geometry,
    second_world: &World,
) -> Result<Relation, Why> {
    if first.shape == second.shape && first_world == second_world {
        return Ok(Relation::Same);
    }
    let Some(map) = first_from_second(first_world, second_world) else {
        return Err(Why::Singular);
    };
    let tolerance = tolerance_voxels(first, second);
    let corners = corners(second.shape);
    let found: Vec<[f64; 3]> = corners.iter().map(|c| apply(&map, *c)).collect();
    let (mut between, mut beyond) = (false, None);
    for axes in ORDERS {
        // Axis `a` of the first is axis `axes[a]` of the second. Along an axis of one
        // voxel nothing tells a direction, so it stays as it is.
        let reversed = [0, 1, 2].map(|a| map[a][axes[a]] < 0.0 && second.shape[axes[a]] > 1);
        let Some(turn) = Turn::new(axes, reversed) else {
            continue;
        };
        let step = |a: usize| if reversed[a] { -1.0 } else { 1.0 };
        // Where the turned grid begins in the first, by its first voxel.
        let begins = [0, 1, 2].map(|a| {
            let last = second.shape[axes[a]] as f64 - 1.0;
            found[0][a] - if reversed[a] { last } else { 0.0 }
        });
        // How far the nearest and the furthest corner are off.
        let off = |start: [f64; 3]| {
            let of_corner = |(corner, found): (&[f64; 3], &[f64; 3])| {
                let of_axis = |a: usize| {
                    let last = second.shape[axes[a]] as f64 - 1.0;
                    let from_start = if reversed[a] { last } else { 0.0 };
                    let exact = start[a] + from_start + step(a) * corner[axes[a]];
                    (exact - found[a]).abs()
                };
                [0, 1, 2].map(of_axis).into_iter().fold(0.0, f64::max)
            };
            let all = corners.iter().zip(&found).map(of_corner);
            all.fold((f64::INFINITY, 0f64), |(least, most), off| {
                (least.min(off), most.max(off))
            })
        };
        // Rounding of an angle turns a grid about its first voxel, which stays: a grid
        // that is shifted by a part of a voxel is off at every corner.
        let shift = match turn.shape(second.shape) == first.shape {
            true => tolerance.shift,
            // A box has been turned about a voxel that it may not hold.
            false => tolerance.all.min(BOX_SHIFT_VOXELS),
        };
        let lies = |(least, most): (f64, f64)| least <= shift && most <= tolerance.all;
        let whole = begins.map(f64::round);
        if !lies(off(whole)) {
            between |= off(begins).1 <= tolerance.all;
            continue;
        }
        let shape = turn.shape(second.shape);
        if let Some(start) = inside(whole, shape, first.shape) {
            return Ok(match (shape == first.shape, turn.is_none()) {
                (true, true) => Relation::Same,
                (true, false) => Relation::Turned(turn),
                (false, _) => Relation::Within { turn, start },
            });
        }
        beyond.get_or_insert(Why::Beyond {
            starts: whole.map(|v| v as i64),
            shape,
        });
    }
    Err(match (beyond, between) {
        (Some(why), _) => why,
        (None, true) => Why::Between,
        (None, false) => Why::Axes,
    })
}

/// The start of a box as voxel position, where the box lies inside of `whole`.
fn inside(start: [f64; 3], shape: [usize; 3], whole: [usize; 3]) -> Option<[usize; 3]> {
    let fits = |a: usize| start[a] >= 0.0 && start[a] + shape[a] as f64 <= whole[a] as f64;
    (0..3).all(fits).then(|| start.map(|v| v as usize))
}

/// The positions of the eight outermost voxels, the first one first.
pub(crate) fn corners(shape: [usize; 3]) -> [[f64; 3]; 8] {
    std::array::from_fn(|corner| {
        [0, 1, 2].map(|a| {
            if corner >> (2 - a) & 1 == 1 {
                shape[a] as f64 - 1.0
            } else {
                0.0
            }
        })
    })
}

/// `world * [z, y, x, 1]`.
pub(super) fn apply(world: &World, [z, y, x]: [f64; 3]) -> [f64; 3] {
    world.map(|row| row[0] * z + row[1] * y + row[2] * x + row[3])
}

/// Distance of the corners that are furthest apart, of those at the same end of
/// each axis as stored; `None` where not both state a place or a spacing.
pub(super) fn furthest_corner_mm(first: &Geometry, second: &Geometry) -> Option<f64> {
    let place = |g: &Geometry| match (g.world_from_volume, g.spacing()) {
        (Some(world), _) => Some((world, true)),
        (None, Some([z, y, x])) => Some((
            [[0.0, 0.0, x, 0.0], [0.0, y, 0.0, 0.0], [z, 0.0, 0.0, 0.0]],
            false,
        )),
        (None, None) => None,
    };
    let ((a, a_placed), (b, b_placed)) = (place(first)?, place(second)?);
    // A spacing without a place says nothing of where the volume is.
    (a_placed == b_placed).then(|| {
        let pairs = corners(first.shape).into_iter().zip(corners(second.shape));
        pairs
            .map(|(i, j)| distance(apply(&a, i), apply(&b, j)))
            .fold(0.0, f64::max)
    })
}

/// Whether two grids of one shape are the same place in the world, to the same
/// tolerance.
pub(crate) fn is_same_place(first: &Geometry, second: &Geometry) -> bool {
    matches!(relate(first, second), Ok(Relation::Same))
        && first.world_from_volume.is_some() == second.world_from_volume.is_some()
}

/// How far corners may be off, in voxels.
struct Tolerance {
    /// The nearest one: offsets are exact but for their rounding.
    shift: f64,
    /// Every one: what an angle in f32 cannot say comes in.
    all: f64,
}

/// The tolerance, and what the numbers of the headers cannot say exactly.
fn tolerance_voxels(first: &Geometry, second: &Geometry) -> Tolerance {
    /// Less than half a voxel: further off, another voxel is nearer.
    const MOST: f64 = 0.45;
    let smallest = |g: &Geometry| {
        let lengths = g.world_from_volume.map(|w| lengths(&w)).unwrap_or([1.0; 3]);
        lengths.into_iter().fold(f64::INFINITY, f64::min)
    };
    let voxels = |mm: fn(&Geometry) -> f64| {
        let rounding = mm(first).max(mm(second)) / smallest(first);
        TOLERANCE_VOXELS + if rounding.is_finite() { rounding } else { 0.0 }
    };
    Tolerance {
        shift: voxels(offset_precision_mm).min(MOST),
        all: voxels(precision_mm).min(MOST),
    }
}

/// How far a corner may be off because headers keep a place as f32: the offset, and
/// the rotation where it went through a quaternion.
pub(crate) fn precision_mm(geometry: &Geometry) -> f64 {
    let Some(world) = geometry.world_from_volume else {
        return 0.0;
    };
    let extent = (0..3)
        .map(|a| (lengths(&world)[a] * (geometry.shape[a] as f64 - 1.0)).powi(2))
        .sum::<f64>()
        .sqrt();
    offset_precision_mm(geometry) + quaternion_angle(&world) * extent
}

/// The part of it that is the rounding of the offset.
fn offset_precision_mm(geometry: &Geometry) -> f64 {
    /// A few roundings of f32.
    const OFFSET: f64 = 4.0 * f32::EPSILON as f64;
    let world = geometry.world_from_volume.unwrap_or_default();
    world.iter().map(|row| row[3].abs()).fold(0.0, f64::max) * OFFSET
}

/// How much of an angle (radian) a quaternion in f32 cannot say.
///
/// NIfTI keeps b, c, d; a is the root of `1 - b^2 - c^2 - d^2`, whose rounding error
/// of some 1e-7 becomes `1e-7 / 2a`, and `sqrt(1e-7)` for half a turn, which is where
/// the images of most scanners are. Along the world's axes it is exact.
fn quaternion_angle(world: &World) -> f64 {
    const REST: f64 = 1e-7;
    let Some(cosines) = cosines(world) else {
        return 0.0;
    };
    let along_axes = cosines
        .iter()
        .flatten()
        .all(|c| c.abs() < 1e-6 || (c.abs() - 1.0).abs() < 1e-6);
    if along_axes {
        return 0.0;
    }
    // The trace of the rotation of x, y, z; where it mirrors, z is turned over.
    let [z, y, x] = cosines;
    let mirrored = dot(cross(x, y), z) < 0.0;
    let trace = x[0] + y[1] + if mirrored { -z[2] } else { z[2] };
    let a = ((1.0 + trace) / 4.0).max(0.0).sqrt();
    2.0 * (REST / (2.0 * a)).min(REST.sqrt())
}

/// The map from indices of the second grid to those of the first; `None` where the
/// first has no three independent axes.
fn first_from_second(first: &World, second: &World) -> Option<World> {
    let column = |m: &World, c: usize| [m[0][c], m[1][c], m[2][c]];
    let [z, y, x] = [0, 1, 2].map(|c| column(first, c));
    let volume = dot(cross(z, y), x);
    let size: f64 = lengths(first).into_iter().product();
    // As the NIfTI reader: relative to the box that the axes span.
    if !(size.is_finite() && volume.abs() > 1e-6 * size) {
        return None;
    }
    let rows = [cross(y, x), cross(x, z), cross(z, y)].map(|row| row.map(|v| v / volume));
    let shift = [0, 1, 2].map(|r| second[r][3] - first[r][3]);
    Some(rows.map(|row| {
        let along = |c: usize| dot(row, column(second, c));
        [along(0), along(1), along(2), dot(row, shift)]
    }))
}

/// Unit vectors of the axes z, y, x, each with world x, y, z; `None` where one has no
/// direction.
pub(super) fn cosines(world: &World) -> Option<[[f64; 3]; 3]> {
    let lengths = lengths(world);
    lengths
        .iter()
        .all(|l| l.is_finite() && *l > 0.0)
        .then(|| [0, 1, 2].map(|a| [0, 1, 2].map(|r| world[r][a] / lengths[a])))
}

/// Lengths of the axes z, y, x.
pub(super) fn lengths(world: &World) -> [f64; 3] {
    [0, 1, 2].map(|a| (0..3).map(|r| world[r][a].powi(2)).sum::<f64>().sqrt())
}

fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    (0..3).map(|i| (a[i] - b[i]).powi(2)).sum::<f64>().sqrt()
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}
