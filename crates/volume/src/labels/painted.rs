//! Which slices a person painted, where 0 is both background and "not looked at".
//!
//! Along one direction a slice is painted when it holds any value but 0.
//! Along several that rule would fail: one painted z slice puts paint into
//! nearly every y and x slice, and all of them would count as annotated. So
//! the smallest explanation is looked for: a set of slices along the named
//! directions that together hold all the paint.
//!
//! 1. Take the slice that holds most paint not yet explained (ties: the
//!    direction named first, then the lower index), until all is explained.
//! 2. Drop slices all of whose paint lies on others that were taken.
//! 3. A run of L neighbouring slices taken must not be explainable by fewer
//!    than 2 L slices of another named direction: a tube painted solid in 3D
//!    could have been painted in any direction, a line lies in two planes.
//!    Then nobody can tell which voxels are background, and it is an error.
//!
//! Whatever is uncertain ends as unlabeled or as an error, never as background.

use super::LabelsError;
use super::scheme::axis_name;
use crate::volume::position;

/// Why painted slices could not be told.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ambiguous {
    /// A voxel of the paint in question.
    pub(super) position: [usize; 3],
    /// The direction the paint was taken for, and its number of slices.
    pub(super) taken: (usize, usize),
    /// The direction that explains it about as well, and its number of slices.
    pub(super) other: (usize, usize),
}

impl Ambiguous {
    pub(super) fn into_error(self, source: &str, annotated: &str) -> LabelsError {
        LabelsError::PaintedAmbiguous {
            source_name: source.into(),
            annotated: annotated.into(),
            position: self.position,
            axis: axis_name(self.taken.0),
            slices: self.taken.1,
            other_axis: axis_name(self.other.0),
            other_slices: self.other.1,
        }
    }
}

/// For each of z, y, x and each slice along it: was it painted?
///
/// `paint` is `[z, y, x]`, `axes` names each direction at most once.
pub(super) fn painted_slices(
    paint: &[bool],
    shape: [usize; 3],
    axes: &[usize],
) -> Result<[Vec<bool>; 3], Ambiguous> {
    if let [axis] = *axes {
        let mut taken = shape.map(|n| vec![false; n]);
        for p in painted(paint, shape) {
            taken[axis][p[axis]] = true;
        }
        return Ok(taken);
    }
    let mut taken = cover(paint, shape, axes);
    drop_redundant(paint, shape, axes, &mut taken);
    check_runs(paint, shape, axes, &taken)?;
    Ok(taken)
}

/// Positions of the paint.
fn painted(paint: &[bool], shape: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    let indices = paint.iter().enumerate().filter(|&(_, &p)| p);
    indices.map(move |(i, _)| position(i, shape))
}

/// How many of the slices taken a voxel lies on.
fn slices_through(p: [usize; 3], axes: &[usize], taken: &[Vec<bool>; 3]) -> usize {
    axes.iter().filter(|&&a| taken[a][p[a]]).count()
}

/// Step 1: the greedy cover.
fn cover(paint: &[bool], shape: [usize; 3], axes: &[usize]) -> [Vec<bool>; 3] {
    let mut taken = shape.map(|n| vec![false; n]);
    let mut unexplained = shape.map(|n| vec![0usize; n]);
    for p in painted(paint, shape) {
        for &a in axes {
            unexplained[a][p[a]] += 1;
        }
    }
    let mut rest = paint.to_vec();
    loop {
        let (mut most, mut axis, mut index) = (0, 0, 0);
        for &a in axes {
            for (i, &count) in unexplained[a].iter().enumerate() {
                if count > most {
                    (most, axis, index) = (count, a, i);
                }
            }
        }
        if most == 0 {
            return taken;
        }
        taken[axis][index] = true;
        let mut bounds = shape.map(|n| 0..n);
        bounds[axis] = index..index + 1;
        for z in bounds[0].clone() {
            for y in bounds[1].clone() {
                for x in bounds[2].clone() {
                    if std::mem::take(&mut rest[(z * shape[1] + y) * shape[2] + x]) {
                        for &a in axes {
                            unexplained[a][[z, y, x][a]] -= 1;
                        }
                    }
                }
            }
        }
    }
}

/// Step 2: slices without paint of their own go, one direction after the other:
/// slices of one direction share no voxel, so all of it still lies on a slice.
fn drop_redundant(paint: &[bool], shape: [usize; 3], axes: &[usize], taken: &mut [Vec<bool>; 3]) {
    for &axis in axes {
        let mut own = vec![false; shape[axis]];
        for p in painted(paint, shape) {
            own[p[axis]] |= taken[axis][p[axis]] && slices_through(p, axes, taken) == 1;
        }
        taken[axis] = own;
    }
}

/// Step 3: no run of slices may be explained about as well by another direction.
fn check_runs(
    paint: &[bool],
    shape: [usize; 3],
    axes: &[usize],
    taken: &[Vec<bool>; 3],
) -> Result<(), Ambiguous> {
    for &axis in axes {
        for &other in axes.iter().filter(|&&o| o != axis) {
            // `own[i][j]`: slice i of `axis` has paint of its own on slice j of `other`.
            let mut own = vec![vec![false; shape[other]]; shape[axis]];
            let mut first = vec![None; shape[axis]];
            for p in painted(paint, shape) {
                if taken[axis][p[axis]] && slices_through(p, axes, taken) == 1 {
                    own[p[axis]][p[other]] = true;
                    first[p[axis]].get_or_insert(p);
                }
            }
            let mut start = 0;
            for run in taken[axis].chunk_by(|a, b| a == b) {
                let slices = start..start + run.len();
                start = slices.end;
                let needed = (0..shape[other])
                    .filter(|&j| own[slices.clone()].iter().any(|row| row[j]))
                    .count();
                if let (true, Some(position)) = (run[0], first[slices.start])
                    && needed < 2 * run.len()
                {
                    return Err(Ambiguous {
                        position,
                        taken: (axis, run.len()),
                        other: (other, needed),
                    });
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 3] = [24, 24, 24];

    fn paint(f: impl Fn([usize; 3]) -> bool) -> Vec<bool> {
        (0..SHAPE.iter().product())
            .map(|i| f(position(i, SHAPE)))
            .collect()
    }

    fn indices(taken: &[Vec<bool>; 3]) -> [Vec<usize>; 3] {
        [0, 1, 2].map(|a| (0..taken[a].len()).filter(|&i| taken[a][i]).collect())
    }

    fn ball([z, y, x]: [usize; 3]) -> bool {
        let d = |v: usize| (v as f64 - 11.5).powi(2);
        d(z) + d(y) + d(x) < 9.0f64.powi(2)
    }

    #[test]
    fn one_direction_takes_every_slice_with_paint() {
        let p = paint(|[z, y, x]| z == 3 && y == 4 && x == 5 || z == 9 && x == 1);
        let taken = painted_slices(&p, SHAPE, &[0]).unwrap();
        assert_eq!(indices(&taken), [vec![3, 9], vec![], vec![]]);
    }

    #[test]
    fn slices_that_only_cross_painted_ones_are_not_painted() {
        let p = paint(|v| ball(v) && (v[0] == 12 || v[1] == 8 || v[2] == 10 || v[2] == 14));
        let taken = painted_slices(&p, SHAPE, &[0, 1, 2]).unwrap();
        assert_eq!(indices(&taken), [vec![12], vec![8], vec![10, 14]]);
        // The order in which the directions are named does not matter here.
        let again = painted_slices(&p, SHAPE, &[2, 0, 1]).unwrap();
        assert_eq!(taken, again);
    }

    #[test]
    fn a_small_spot_belongs_to_the_slice_that_shows_it_whole() {
        let p = paint(|[z, y, x]| z == 5 && (3..6).contains(&y) && (7..9).contains(&x));
        let taken = painted_slices(&p, SHAPE, &[2, 1, 0]).unwrap();
        assert_eq!(indices(&taken), [vec![5], vec![], vec![]]);
    }

    #[test]
    fn neighbouring_slices_of_a_wide_structure_are_accepted() {
        let p = paint(|v| ball(v) && (v[0] == 10 || v[0] == 11 || v[1] == 8));
        let taken = painted_slices(&p, SHAPE, &[0, 1]).unwrap();
        assert_eq!(indices(&taken), [vec![10, 11], vec![8], vec![]]);
    }

    #[test]
    fn a_solid_tube_a_line_and_a_stray_voxel_are_ambiguous() {
        let tube = paint(|[_, y, x]| (4..9).contains(&y) && (4..9).contains(&x));
        let error = painted_slices(&tube, SHAPE, &[0, 1, 2]).unwrap_err();
        assert_eq!((error.taken, error.other), ((1, 5), (2, 5)));

        let line = paint(|[z, y, _]| z == 4 && y == 9);
        assert!(painted_slices(&line, SHAPE, &[0, 1]).is_err());

        let stray = paint(|v| ball(v) && v[0] == 12 || v == [2, 3, 4]);
        let error = painted_slices(&stray, SHAPE, &[0, 1, 2]).unwrap_err();
        assert_eq!(error.position, [2, 3, 4]);
    }

    #[test]
    fn a_solid_volume_counts_wholly_along_one_direction() {
        let wide = [4, 9, 9];
        let taken = painted_slices(&vec![true; 324], wide, &[0, 1, 2]).unwrap();
        assert_eq!(indices(&taken), [vec![0, 1, 2, 3], vec![], vec![]]);
    }
}
