//! Are the values of a label image numbers of objects, one for each nucleus, rather
//! than classes?
//!
//! Taken as classes they would be learned as such without a word: nucleus 17 is told
//! from nucleus 18, and nothing is. So where nobody named the classes, values that look
//! like numbers of objects are asked about. They do where there are many, and
//!
//! 1. nearly every value is in one connected piece. Voxels that nobody annotated stand
//!    in no way: where every fifth slice is annotated, a nucleus on two of these slices
//!    is one piece, as the line from one to the next meets no other value;
//! 2. most are small: on few slices of every direction, in a small box;
//! 3. most are of a size: a liver and an adrenal gland are no objects of a kind.
//!
//! Classes miss one or more of these. A tissue is in many pieces; organs of a whole
//! body are in one piece each, but they are on many slices or differ in size a
//! hundredfold. Where the numbers of teeth or vertebrae are meant as classes, all three
//! hold, and nothing but their names could tell: whoever names classes is not asked.

use std::collections::BTreeMap;
use std::fmt;

use super::values::{Seen, for_each_value};
use crate::Volume;
use crate::volume::position;
use crate::words::counted;

/// Fewest values but 0 that are called many: people name as many classes without
/// thinking twice.
const MANY: usize = 10;

/// Share of a value's voxels that its largest piece holds at least to count as the
/// one: numbers of objects keep crumbs where they were cut, grown or resampled.
const OF_PIECE: f64 = 0.9;

/// Share of the values that are in one piece at least.
const IN_ONE_PIECE: f64 = 0.9;

/// Share of the values that are small at least.
const SMALL: f64 = 0.75;

/// Slices of a direction that are always few: a nucleus may fill a thin stack.
const FEW_SLICES: usize = 12;

/// Share of the slices of a direction that are few in a thick one.
const FEW_OF_SLICES: f64 = 1.0 / 3.0;

/// Share of the volume that the box around a small value fills at most. More than this
/// and ten of them could not lie apart.
const SMALL_BOX: f64 = 1.0 / 16.0;

/// The upper quartile of the sizes over the lower, at most. Nuclei have 2 to 3, sections
/// of them at random heights up to 4; organs of an abdomen have 10.
const ALIKE: f64 = 6.0;

/// Pieces begun for each value on average, at most: a piece of a rugged object begins
/// several times before its parts meet. Beyond this the values are noise.
const BEGINNINGS: usize = 40;

/// What makes values look like numbers of objects.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbered {
    /// Number of values but 0.
    pub values: usize,
    /// Of these, in one connected piece.
    pub in_one_piece: usize,
    /// Median number of slices along `[z, y, x]` that one is on.
    pub slices: [usize; 3],
    /// The values if they are few enough to be named in a flag.
    pub named: Option<Vec<i64>>,
}

impl fmt::Display for Numbered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [z, y, x] = self.slices;
        write!(
            f,
            "{} but 0, of which {} in one connected piece each, small ones and much of a size \
             (typically on {z}, {y} and {x} slices along z, y and x)",
            counted(self.values, "value"),
            match self.in_one_piece == self.values {
                true => "all are".to_owned(),
                false => format!("{} are", self.in_one_piece),
            },
        )
    }
}

impl Numbered {
    /// The flag that says that the values are classes after all.
    pub(super) fn as_classes(&self) -> String {
        match &self.named {
            Some(values) => {
                let values: Vec<String> = values.iter().map(i64::to_string).collect();
                format!("--classes {}", values.join(","))
            }
            None => "--classes with all values, separated by commas".into(),
        }
    }
}

/// What makes the values of a volume look like numbers of objects; `None` where they
/// do not. `annotated` is `[z, y, x]`, `found` are the values of its voxels. The
/// volume has passed `check_whole`.
pub(super) fn numbered(
    volume: &Volume,
    annotated: &[bool],
    found: &BTreeMap<i64, Seen>,
) -> Option<Numbered> {
    /// Values that a flag can name without filling the screen.
    const NAMED: usize = 60;
    let values: Vec<i64> = found.keys().copied().filter(|v| *v != 0).collect();
    if values.len() < MANY {
        return None;
    }
    let mut sizes: Vec<usize> = values.iter().map(|v| found[v].count).collect();
    sizes.sort_unstable();
    let quartile = |q: usize| sizes[(sizes.len() - 1) * q / 4] as f64;
    if quartile(3) > ALIKE * quartile(1) {
        return None;
    }
    let shape = volume.geometry.shape;
    let shapes = Shapes::of(volume, annotated, &values)?;
    let is_small = |slices: &[usize; 3]| {
        let few = (0..3).all(|a| {
            slices[a] <= FEW_SLICES || slices[a] as f64 <= FEW_OF_SLICES * shape[a] as f64
        });
        let of_box: f64 = (0..3).map(|a| slices[a] as f64 / shape[a] as f64).product();
        few && of_box <= SMALL_BOX
    };
    let largest = shapes.largest_of_each(values.len());
    let small = largest.iter().filter(|p| is_small(&p.slices())).count();
    let in_one_piece = (values.iter().zip(&largest))
        .filter(|(v, piece)| piece.voxels as f64 >= OF_PIECE * found[*v].count as f64)
        .count();
    let enough = |n: usize, share: f64| n as f64 >= share * values.len() as f64;
    let zero = found.contains_key(&0).then_some(0);
    (enough(small, SMALL) && enough(in_one_piece, IN_ONE_PIECE)).then(|| Numbered {
        values: values.len(),
        in_one_piece,
        slices: typical_slices(&largest),
        named: (values.len() < NAMED).then(|| zero.into_iter().chain(values).collect()),
    })
}

/// A part of a value's voxels that are known to be connected.
#[derive(Clone, Copy)]
struct Piece {
    /// The part it was joined to, or itself.
    parent: u32,
    /// Index of its value.
    value: u32,
    voxels: usize,
    /// The first and the last slice along `[z, y, x]` that it is on.
    first: [u32; 3],
    last: [u32; 3],
}

impl Piece {
    /// Slices along `[z, y, x]` from the first to the last.
    fn slices(&self) -> [usize; 3] {
        [0, 1, 2].map(|a| (self.last[a] + 1 - self.first[a]) as usize)
    }

    fn add(&mut self, other: &Self) {
        self.voxels += other.voxels;
        for a in 0..3 {
            self.first[a] = self.first[a].min(other.first[a]);
            self.last[a] = self.last[a].max(other.last[a]);
        }
    }
}

/// The median of the slices, direction by direction.
fn typical_slices(pieces: &[Piece]) -> [usize; 3] {
    [0, 1, 2].map(|a| {
        let mut slices: Vec<usize> = pieces.iter().map(|p| p.slices()[a]).collect();
        slices.sort_unstable();
        slices[(slices.len() - 1) / 2]
    })
}

/// The pieces of every value.
#[derive(Default)]
struct Shapes {
    pieces: Vec<Piece>,
}

/// Where no piece is.
const NONE: u32 = u32::MAX;

impl Shapes {
    /// One pass over the volume, row by row: a run of one value in a row joins the
    /// pieces that the nearest annotated voxels above and below it belong to. `None`
    /// where the values turn out to be noise.
    fn of(volume: &Volume, annotated: &[bool], values: &[i64]) -> Option<Self> {
        let [_, height, width] = volume.geometry.shape;
        let most = values.len().saturating_mul(BEGINNINGS).min(NONE as usize);
        let mut shapes = Self::default();
        // The piece of the last annotated voxel before this one along z and along y.
        let mut below = vec![NONE; height * width];
        let mut above = vec![NONE; width];
        let mut row = Row::default();
        let mut is_noise = false;
        for_each_value(volume, |i, value| {
            if is_noise {
                return;
            }
            let [z, y, x] = position(i, volume.geometry.shape);
            if x == 0 && y == 0 {
                above.fill(NONE);
            }
            if annotated[i] {
                row.push(x, value);
            }
            if x + 1 < width {
                return;
            }
            let below = &mut below[y * width..][..width];
            for run in row.runs() {
                let piece = match values.binary_search(&run.value) {
                    // Background, and what is no value of an annotated voxel.
                    Err(_) => NONE,
                    Ok(index) => {
                        let before = (run.at.iter()).flat_map(|x| [above[*x], below[*x]]);
                        let at = |x: usize| [z, y, x].map(|at| at as u32);
                        let of_run = Piece {
                            parent: NONE,
                            value: index as u32,
                            voxels: run.at.len(),
                            first: at(run.at[0]),
                            last: at(run.at[run.at.len() - 1]),
                        };
                        shapes.join(of_run, before.collect())
                    }
                };
                for x in run.at {
                    above[*x] = piece;
                    below[*x] = piece;
                }
            }
            row.clear();
            is_noise = shapes.pieces.len() >= most;
        });
        (!is_noise).then_some(shapes)
    }

    /// The piece that a run belongs to, which lies beside these others.
    fn join(&mut self, run: Piece, beside: Vec<u32>) -> u32 {
        let mut joined = NONE;
        let mut seen = NONE;
        for other in beside {
            if other == NONE || other == seen {
                continue;
            }
            seen = other;
            let other = self.root(other);
            if self.pieces[other as usize].value != run.value || other == joined {
                continue;
            }
            if joined == NONE {
                joined = other;
            } else {
                let of_other = self.pieces[other as usize];
                self.pieces[joined as usize].add(&of_other);
                self.pieces[other as usize].parent = joined;
            }
        }
        if joined == NONE {
            joined = self.pieces.len() as u32;
            let parent = joined;
            self.pieces.push(Piece { parent, ..run });
        } else {
            self.pieces[joined as usize].add(&run);
        }
        joined
    }

    fn root(&mut self, mut piece: u32) -> u32 {
        while self.pieces[piece as usize].parent != piece {
            // Half of the way is cut short each time.
            let parent = self.pieces[piece as usize].parent;
            let next = self.pieces[parent as usize].parent;
            self.pieces[piece as usize].parent = next;
            piece = next;
        }
        piece
    }

    /// Of each value its largest piece, in order of the values, which all have one.
    fn largest_of_each(&self, values: usize) -> Vec<Piece> {
        let mut largest: Vec<Option<Piece>> = vec![None; values];
        for (i, piece) in self.pieces.iter().enumerate() {
            let largest = &mut largest[piece.value as usize];
            if piece.parent as usize == i && largest.is_none_or(|l| piece.voxels > l.voxels) {
                *largest = Some(*piece);
            }
        }
        largest.into_iter().flatten().collect()
    }
}

/// The annotated voxels of one row.
#[derive(Default)]
struct Row {
    /// Positions along x.
    at: Vec<usize>,
    /// Value and its number of voxels, run after run.
    runs: Vec<(i64, usize)>,
}

/// Voxels of one value in a row with no other annotated voxel between them.
struct Run<'a> {
    value: i64,
    at: &'a [usize],
}

impl Row {
    fn push(&mut self, x: usize, value: i64) {
        self.at.push(x);
        match self.runs.last_mut() {
            Some((last, n)) if *last == value => *n += 1,
            _ => self.runs.push((value, 1)),
        }
    }

    fn runs(&self) -> impl Iterator<Item = Run<'_>> {
        let mut start = 0;
        self.runs.iter().map(move |&(value, n)| {
            let at = &self.at[start..start + n];
            start += n;
            Run { value, at }
        })
    }

    fn clear(&mut self) {
        self.at.clear();
        self.runs.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::values::values_of;
    use super::*;
    use crate::{Geometry, Samples};

    const SHAPE: [usize; 3] = [32, 64, 64];

    fn volume(shape: [usize; 3], value: impl Fn([usize; 3]) -> i32) -> Volume {
        let voxels: usize = shape.iter().product();
        let values = (0..voxels).map(|i| value(position(i, shape))).collect();
        Volume::new(Geometry::of_shape(shape), 1, Samples::I32(values)).unwrap()
    }

    fn asked_of(volume: &Volume, annotated: impl Fn([usize; 3], i64) -> bool) -> Option<Numbered> {
        let mut mask = vec![false; volume.geometry.voxels()];
        for_each_value(volume, |i, value| {
            mask[i] = annotated(position(i, volume.geometry.shape), value);
        });
        let found = values_of(volume, |i, _| mask[i]);
        numbered(volume, &mask, &found)
    }

    fn asked(volume: &Volume) -> Option<Numbered> {
        asked_of(volume, |_, _| true)
    }

    /// Balls on a grid, numbered through from 1, radius 3 to 5.
    fn balls([z, y, x]: [usize; 3]) -> i32 {
        let place = |v: usize| (v / 16, (v % 16) as f64 - 7.5);
        let ((k, dz), (j, dy), (i, dx)) = (place(z), place(y), place(x));
        let number = (k * 4 + j) * 4 + i + 1;
        let radius = 3.0 + (number * 7 % 5) as f64 / 2.0;
        match dz * dz + dy * dy + dx * dx < radius * radius {
            true => number as i32,
            false => 0,
        }
    }

    #[test]
    fn numbered_objects_are_recognised_dense_sparse_and_beyond_255() {
        let dense = asked(&volume(SHAPE, balls)).unwrap();
        assert_eq!((dense.values, dense.in_one_piece), (32, 32));
        assert!(
            dense.slices.iter().all(|n| (6..=10).contains(n)),
            "{dense:?}"
        );
        assert!(dense.as_classes().starts_with("--classes 0,1,2,3,"));
        // Every fifth slice of a direction; then a nucleus on two of these is one.
        for axis in 0..3 {
            let sparse = asked_of(&volume(SHAPE, balls), |p, _| p[axis] % 5 == 2);
            assert!(sparse.is_some_and(|n| n.in_one_piece == n.values), "{axis}");
        }
        // Unlabeled 255 between the slices, and nothing but paint annotated.
        let painted = volume(SHAPE, |p| if p[0] % 3 == 1 { balls(p) } else { 255 });
        assert!(asked_of(&painted, |_, v| v != 255).is_some());
        assert!(asked_of(&volume(SHAPE, balls), |_, v| v != 0).is_some());
        // Numbers from anywhere, of many small objects, in a thin stack.
        let sparse_numbers = volume(SHAPE, |p| balls(p) * 1000 - 7 * i32::from(balls(p) > 0));
        assert!(asked(&sparse_numbers).is_some());
        let many = volume([8, 96, 96], |[_, y, x]| match (y % 4 < 3, x % 4 < 3) {
            (true, true) => (y / 4 * 24 + x / 4 + 1) as i32,
            _ => 0,
        });
        let many = asked(&many).unwrap();
        assert_eq!((many.values, many.named), (576, None));
        // Crumbs do not hide an object, nor one value in two pieces among many.
        let crumbs = volume(SHAPE, |p| match p {
            [0, 0, x] if x < 32 => x as i32 + 1,
            p if balls(p) == 2 => 1,
            p => balls(p),
        });
        assert!(asked(&crumbs).is_some_and(|n| n.in_one_piece < n.values));
    }

    #[test]
    fn classes_are_not_asked_about() {
        let mut asked_about = Vec::new();
        let mut is_class = |name: &str, volume: &Volume| {
            if let Some(found) = asked(volume) {
                asked_about.push(format!("{name}: {found}"));
            }
        };
        is_class("two classes", &volume(SHAPE, |p| i32::from(balls(p) > 0)));
        is_class(
            "nine balls",
            &volume(SHAPE, |p| match balls(p) {
                n if n > 9 => 0,
                n => n,
            }),
        );
        // 25 classes in stripes across the diagonal, one piece or several each.
        for shape in [[16, 40, 40], [40, 60, 60]] {
            is_class(
                "stripes",
                &volume(shape, |[z, y, x]| ((z + y + x) / 4 % 25) as i32),
            );
        }
        // A class is in many balls.
        is_class("many pieces", &volume(SHAPE, |p| balls(p) % 12));
        // One piece each, on all slices of a direction: a whole body.
        is_class(
            "columns",
            &volume(SHAPE, |[_, y, x]| (y / 6 * 11 + x / 6) as i32),
        );
        // One piece each, on few slices, but of very different sizes: organs.
        is_class(
            "organs",
            &volume(SHAPE, |[z, y, x]| {
                let n = z / 16 * 16 + y / 16 * 4 + x / 16;
                let edge = [2, 3, 4, 6, 8, 10][n % 6];
                let inside = z % 16 < edge && y % 16 < edge && x % 16 < edge;
                if inside { n as i32 + 1 } else { 0 }
            }),
        );
        // Gray values taken for labels.
        is_class(
            "gray",
            &volume(SHAPE, |[z, y, x]| {
                ((z * 7919 + y * 104_729 + x * 1_299_709) % 251 * 3 / 2) as i32
            }),
        );
        is_class(
            "a ramp",
            &volume(SHAPE, |[z, y, x]| (z + y * 2 + x * 3) as i32),
        );
        assert!(asked_about.is_empty(), "{asked_about:#?}");
    }

    #[test]
    fn parts_of_a_piece_that_meet_late_are_one() {
        // A comb whose teeth meet in the last row, a ring, and a cup along z.
        let value = |[z, y, x]: [usize; 3]| match (z, y, x) {
            (0, 0..9, 0..9) if x % 2 == 0 || y == 8 => 1,
            (0, 0..9, 12..21) if !((1..8).contains(&y) && (13..20).contains(&x)) => 2,
            (0..4, 12..21, 0..9) if z == 3 || y == 12 || y == 20 || x == 0 || x == 8 => 3,
            _ => 0,
        };
        let volume = volume([5, 24, 24], value);
        let shapes = Shapes::of(&volume, &[true; 5 * 576], &[1, 2, 3]).unwrap();
        let found = values_of(&volume, |_, _| true);
        let counts: Vec<usize> = [1, 2, 3].map(|v| found[&v].count).to_vec();
        let largest = shapes.largest_of_each(3);
        let voxels: Vec<usize> = largest.iter().map(|p| p.voxels).collect();
        assert_eq!(voxels, counts);
        let slices: Vec<_> = largest.iter().map(Piece::slices).collect();
        assert_eq!(slices, [[1, 9, 9], [1, 9, 9], [4, 9, 9]]);
        assert_eq!(typical_slices(&largest), [1, 9, 9]);
    }
}
