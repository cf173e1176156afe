//! The Euclidean distance transform: how far each point is from the nearest marked one.
//!
//! In come the points that are marked, on a lattice `[z, y, x]` with a spacing; out
//! comes for each the square of the distance. Exact up to rounding in f64, in time
//! proportional to the number of points: along x by two sweeps, along y and z by the
//! lower envelope of parabolas (Felzenszwalb and Huttenlocher 2012).

/// Lines that are worked on together along y and z: they are neighbours along x, so that
/// a fetched cache line of eight f64 is used whole.
const TOGETHER: usize = 8;

/// Squared distance of each point of `shape` to the nearest point of which `marked`
/// holds, in the square of the unit of `spacing`; infinite where none is marked.
///
/// `marked` is asked once for each point, by its index in `[z, y, x]`.
pub(super) fn squared_distances(
    shape: [usize; 3],
    spacing: [f64; 3],
    marked: impl Fn(usize) -> bool,
) -> Vec<f64> {
    let [depth, height, width] = shape;
    let mut squares: Vec<f64> = (0..depth * height * width)
        .map(|i| if marked(i) { 0.0 } else { f64::INFINITY })
        .collect();
    if width > 0 {
        squares
            .chunks_exact_mut(width)
            .for_each(|row| sweep(row, spacing[2]));
    }
    for plane in squares.chunks_exact_mut((height * width).max(1)) {
        columns(plane, width, spacing[1]);
    }
    columns(&mut squares, height * width, spacing[0]);
    squares
}

/// Squared distances along a row whose marked points are 0, the others infinite.
fn sweep(row: &mut [f64], step: f64) {
    let visit = |points: &mut dyn Iterator<Item = &mut f64>| {
        let mut since = None;
        for square in points {
            if *square == 0.0 {
                since = Some(0.0);
            } else if let Some(steps) = &mut since {
                *steps += 1.0;
                *square = square.min((*steps * step) * (*steps * step));
            }
        }
    };
    visit(&mut row.iter_mut());
    visit(&mut row.iter_mut().rev());
}

/// The envelope along the first axis of a `[n, inner]` array.
fn columns(values: &mut [f64], inner: usize, step: f64) {
    let n = values.len().checked_div(inner).unwrap_or(0);
    if n < 2 {
        return;
    }
    let mut lines = vec![0.0; n * TOGETHER];
    let mut envelope = Envelope::default();
    for first in (0..inner).step_by(TOGETHER) {
        let count = TOGETHER.min(inner - first);
        for (k, row) in values.chunks_exact(inner).enumerate() {
            for c in 0..count {
                lines[c * n + k] = row[first + c];
            }
        }
        for line in lines.chunks_exact_mut(n).take(count) {
            envelope.lower(line, step);
        }
        for (k, row) in values.chunks_exact_mut(inner).enumerate() {
            for c in 0..count {
                row[first + c] = lines[c * n + k];
            }
        }
    }
}

/// The lower envelope of the parabolas `value[q] + ((p - q) step)^2`.
#[derive(Default)]
struct Envelope {
    /// Parabolas of the envelope from left to right: place, value, and the place
    /// from which it is the lowest.
    parts: Vec<(f64, f64, f64)>,
}

impl Envelope {
    /// Replaces each value of `line` by the envelope there.
    fn lower(&mut self, line: &mut [f64], step: f64) {
        self.parts.clear();
        for (q, &value) in line.iter().enumerate() {
            if value.is_infinite() {
                continue;
            }
            let q = q as f64;
            let mut from = f64::NEG_INFINITY;
            while let Some(&(p, at_p, starts)) = self.parts.last() {
                // Where the new parabola and the last one meet.
                from = ((value - at_p) / (step * step) + q * q - p * p) / (2.0 * (q - p));
                if from > starts {
                    break;
                }
                self.parts.pop();
                from = f64::NEG_INFINITY;
            }
            self.parts.push((q, value, from));
        }
        let mut parts = self.parts.iter().peekable();
        let Some(mut part) = parts.next() else { return };
        for (p, value) in line.iter_mut().enumerate() {
            let p = p as f64;
            while let Some(next) = parts.next_if(|next| next.2 < p) {
                part = next;
            }
            let (q, at_q, _) = *part;
            let far = (p - q) * step;
            *value = at_q + far * far;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition: every marked point is tried.
    fn reference(shape: [usize; 3], spacing: [f64; 3], marked: &[bool]) -> Vec<f64> {
        let place = |i: usize| {
            [
                i / (shape[1] * shape[2]),
                i / shape[2] % shape[1],
                i % shape[2],
            ]
        };
        let square = |a: usize, b: usize| -> f64 {
            let (a, b) = (place(a), place(b));
            let far = |k: usize| (a[k] as f64 - b[k] as f64) * spacing[k];
            (0..3).map(|k| far(k) * far(k)).sum()
        };
        let sites: Vec<usize> = (0..marked.len()).filter(|&i| marked[i]).collect();
        (0..marked.len())
            .map(|i| {
                let squares = sites.iter().map(|&s| square(i, s));
                squares.fold(f64::INFINITY, f64::min)
            })
            .collect()
    }

    #[test]
    fn nothing_marked_is_infinitely_far_and_no_point_is_no_error() {
        let squares = squared_distances([2, 3, 4], [1.0; 3], |_| false);
        assert!(squares.len() == 24 && squares.iter().all(|s| s.is_infinite()));
        assert!(squared_distances([0, 3, 4], [1.0; 3], |_| true).is_empty());
        assert!(squared_distances([2, 3, 0], [1.0; 3], |_| true).is_empty());
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(
            shape in [1usize..7, 1usize..10, 1usize..19],
            spacing in [0.1f64..9.0, 0.1f64..9.0, 0.1f64..9.0],
            seed in any::<u64>(),
            one_in in 1u64..60,
        ) {
            let mix = |i: usize| (seed ^ i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
            let marked: Vec<bool> = (0..shape.iter().product()).map(|i| mix(i) % one_in == 0).collect();
            let found = squared_distances(shape, spacing, |i| marked[i]);
            for (a, b) in found.iter().zip(reference(shape, spacing, &marked)) {
                // Sums of three squares, each rounded.
                prop_assert!(*a == b || (a - b).abs() <= 8.0 * f64::EPSILON * b, "{a} {b}");
            }
        }
    }
}
