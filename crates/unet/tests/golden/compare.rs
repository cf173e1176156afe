//! Compares tensors within a bound and lists every one that differs.
//!
//! The bounds are those of docs/numerics.md, section "Golden values".

use std::fmt::Write;

/// Unit roundoff of `f32`: half the distance from 1 to the next number.
const UNIT: f64 = 1.0 / (1u64 << 24) as f64;

/// Roundings that one term of a sum passes through on its way: the product,
/// the addition, the transform as the operation loads it (normalisation), and
/// one in reserve for statistics. Other sources of the bound are in its formula.
const ROUNDINGS: f64 = 4.0;

/// Relative error to expect of `depth` convolutions in sequence, each adding
/// `terms` products: rounding errors are independent, so they grow with the
/// root of their number.
pub fn relative(terms: usize, depth: usize) -> f64 {
    ROUNDINGS * UNIT * ((terms * depth) as f64).sqrt()
}

/// Relative error to expect of one sum of `terms` numbers.
pub fn sum(terms: usize) -> f64 {
    UNIT * (terms as f64).sqrt()
}

/// Largest magnitude.
pub fn largest(values: &[f32]) -> f64 {
    values.iter().fold(0.0f64, |m, v| m.max(f64::from(v.abs())))
}

/// What was compared, in the order of the network, and what differed.
pub struct Comparison {
    case: String,
    compared: usize,
    failures: Vec<String>,
}

impl Comparison {
    pub fn new(case: &str) -> Self {
        Self {
            case: case.into(),
            compared: 0,
            failures: Vec::new(),
        }
    }

    /// `got` against `want` (both of `shape`), entry by entry within `bound`.
    pub fn tensor(&mut self, name: &str, shape: &[usize], got: &[f32], want: &[f32], bound: f64) {
        self.compared += 1;
        if got.len() != want.len() {
            let text = format!("{name}: {} values, {} expected", got.len(), want.len());
            return self.failures.push(text);
        }
        let errors = got
            .iter()
            .zip(want)
            .map(|(g, w)| (f64::from(*g) - f64::from(*w)).abs());
        // A NaN differs by infinity: it must not hide in a maximum.
        let errors = errors.map(|e| if e.is_nan() { f64::INFINITY } else { e });
        let (mut worst, mut at, mut beyond) = (0.0, 0, 0);
        for (i, error) in errors.enumerate() {
            beyond += usize::from(error > bound);
            if error > worst {
                (worst, at) = (error, i);
            }
        }
        if beyond > 0 {
            self.failures.push(format!(
                "{name}: off by {worst:.3e} at {:?} ({:e} instead of {:e}), bound {bound:.3e}; \
                 {beyond} of {} values beyond it",
                position(at, shape),
                got[at],
                want[at],
                got.len(),
            ));
        }
    }

    /// One number.
    pub fn number(&mut self, name: &str, got: f64, want: f64, bound: f64) {
        self.compared += 1;
        let error = (got - want).abs();
        if error.is_nan() || error > bound {
            let text =
                format!("{name}: {got} instead of {want}, off by {error:.3e}, bound {bound:.3e}");
            self.failures.push(text);
        }
    }

    /// Something that is right or wrong.
    pub fn holds(&mut self, what: &str, holds: bool) {
        self.compared += 1;
        if !holds {
            self.failures.push(format!("does not hold: {what}"));
        }
    }

    /// Fails with all that differs, the first of them first.
    pub fn finish(self) {
        let mut text = String::new();
        for failure in &self.failures {
            write!(text, "\n  {failure}").unwrap();
        }
        let (case, compared, failed) = (self.case, self.compared, self.failures.len());
        assert!(
            failed == 0,
            "{case}: {failed} of {compared} comparisons failed, in network order:{text}"
        );
    }
}

/// Index along each axis of flat index `at`.
fn position(mut at: usize, shape: &[usize]) -> Vec<usize> {
    let mut position = vec![0; shape.len()];
    for (p, extent) in position.iter_mut().zip(shape).rev() {
        (*p, at) = (at % extent, at / extent);
    }
    position
}
