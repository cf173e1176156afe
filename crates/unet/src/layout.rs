//! Parameters as one contiguous buffer with named slices.
//!
//! In memory a convolution's weights are `kd kh kw i o`, as the kernels read
//! them. Files and other frameworks have `o i kd kh kw` (up-convolutions
//! `i o kd kh kw`); [`Layout::tensor`] and [`Layout::set_tensor`] translate.

use std::ops::Range;

/// What a named slice is; decides its order, its start value and its decay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Weights of a convolution, `o i kd kh kw` in files.
    Weight,
    /// Weights of an up-convolution, `i o kd kh kw` in files.
    UpWeight,
    /// A bias, one number a channel.
    Bias,
    /// Factor of a normalisation, one number a channel.
    Scale,
    /// Summand of a normalisation, one number a channel.
    Shift,
    /// Running mean.
    RunningMean,
    /// Running variance.
    RunningVariance,
}

/// A named slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Such as `down0.conv1.weight`.
    pub name: String,
    /// Extents in the order of files.
    pub shape: Vec<usize>,
    /// Where it is in the buffer.
    pub range: Range<usize>,
    /// What it is.
    pub kind: Kind,
}

/// Names, shapes and places of the slices of a buffer, without gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// In the order of the buffer.
    pub entries: Vec<Entry>,
}

impl Layout {
    /// Length of the buffer.
    #[expect(
        clippy::len_without_is_empty,
        reason = "a length of numbers, not of a collection"
    )]
    pub fn len(&self) -> usize {
        self.entries.last().map_or(0, |entry| entry.range.end)
    }

    /// The slice of that name.
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// The slice of `values` in the order of files.
    pub fn tensor(&self, entry: &Entry, values: &[f32]) -> Vec<f32> {
        let memory = &values[entry.range.clone()];
        let mut file = vec![0.0; memory.len()];
        permute(entry, |at_file, at_memory| {
            file[at_file] = memory[at_memory]
        });
        file
    }

    /// Sets the slice of `values` from numbers in the order of files.
    ///
    /// # Panics
    /// When `file` has not as many numbers as the slice.
    pub fn set_tensor(&self, entry: &Entry, values: &mut [f32], file: &[f32]) {
        let memory = &mut values[entry.range.clone()];
        assert_eq!(file.len(), memory.len(), "{}", entry.name);
        permute(entry, |at_file, at_memory| {
            memory[at_memory] = file[at_file]
        });
    }

    /// Appends a slice; returns its index.
    pub(crate) fn push(&mut self, name: String, shape: Vec<usize>, kind: Kind) -> usize {
        let start = self.len();
        let range = start..start + shape.iter().product::<usize>();
        self.entries.push(Entry {
            name,
            shape,
            range,
            kind,
        });
        self.entries.len() - 1
    }
}

/// Calls `f(offset in files, offset in memory)` for every number.
fn permute(entry: &Entry, mut f: impl FnMut(usize, usize)) {
    let (outer, inner) = match entry.kind {
        Kind::Weight | Kind::UpWeight => (entry.shape[0], entry.shape[1]),
        _ => {
            (0..entry.range.len()).for_each(|i| f(i, i));
            return;
        }
    };
    let taps: usize = entry.shape[2..].iter().product();
    // The channels that are innermost in memory, and the others.
    let is_up = entry.kind == Kind::UpWeight;
    let (fast, slow) = if is_up {
        (inner, outer)
    } else {
        (outer, inner)
    };
    // Whole cache lines of memory.
    for line in (0..fast).step_by(LINE) {
        for s in 0..slow {
            for tap in 0..taps {
                for q in line..fast.min(line + LINE) {
                    let (a, b) = if is_up { (s, q) } else { (q, s) };
                    f((a * inner + b) * taps + tap, (tap * slow + s) * fast + q);
                }
            }
        }
    }
}

/// Floats of a cache line.
const LINE: usize = 16;
