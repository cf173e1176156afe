//! One tile there and back: the three-dimensional transforms, a vector of
//! channels at a time, axis by axis in a buffer that fits the first-level cache
//! (216 vectors of AVX2 are 7 KB).

#![allow(
    unsafe_code,
    reason = "loads and stores of vectors; bounds are asserted in each"
)]

use pulp::Simd;

use super::cut::Cut;
use super::form::{self, MOST};
use crate::threads::Shared;

/// Vectors of a tile.
const BUFFER: usize = MOST * MOST * MOST;

/// Reads a vector of floats.
#[inline(always)]
pub(super) fn load<S: Simd>(from: &[f32], at: usize) -> S::f32s {
    assert!(at + S::F32_LANES <= from.len());
    // SAFETY: inside the slice by the assert; vectors are plain floats.
    unsafe { from.as_ptr().add(at).cast::<S::f32s>().read_unaligned() }
}

/// Writes a vector of floats.
#[inline(always)]
pub(super) fn store<S: Simd>(to: &mut [f32], at: usize, value: S::f32s) {
    assert!(at + S::F32_LANES <= to.len());
    // SAFETY: inside the slice by the assert; vectors are plain floats.
    unsafe {
        to.as_mut_ptr()
            .add(at)
            .cast::<S::f32s>()
            .write_unaligned(value)
    }
}

/// Takes the frequencies of transformed tiles.
pub(super) trait Sink<S: Simd> {
    /// Writes a vector.
    fn put(&mut self, at: usize, value: S::f32s);
}

/// Memory of one worker.
pub(super) struct Own<'a>(pub(super) &'a mut [f32]);

impl<S: Simd> Sink<S> for Own<'_> {
    #[inline(always)]
    fn put(&mut self, at: usize, value: S::f32s) {
        store::<S>(self.0, at, value);
    }
}

/// Memory of all workers, each of which writes its own tiles.
#[derive(Clone, Copy)]
pub(super) struct Common<'a>(&'a Shared<'a, f32>);

impl<'a> Common<'a> {
    /// # Safety
    /// Nobody else writes to the tiles that are put here, nor reads them.
    pub(super) unsafe fn new(shared: &'a Shared<'a, f32>) -> Self {
        Self(shared)
    }
}

impl<S: Simd> Sink<S> for Common<'_> {
    #[inline(always)]
    fn put(&mut self, at: usize, value: S::f32s) {
        // SAFETY: by the contract of `new`; the part lives for this store only.
        store::<S>(unsafe { self.0.part(at..at + S::F32_LANES) }, 0, value);
    }
}

/// Where the voxels of a tile, or its frequencies, lie in memory.
#[derive(Clone, Copy)]
pub(super) struct Lines {
    /// Offset of the first.
    pub(super) at: usize,
    /// Distance of neighbours along `[d, h, w]`.
    pub(super) stride: [usize; 3],
}

/// Runs `$body` with the constants `MD`, `MH`, `MW` (0 where the form of the
/// axis is known only at run time): with constants every line of a tile stays
/// in registers.
macro_rules! with_forms {
    ($cut:expr, $body:ident :: <$simd:ty> ($($argument:expr),* $(,)?)) => {
        match $cut.m {
            [4, 4, 4] => $body::<$simd, 4, 4, 4>($($argument),*),
            [3, 3, 3] => $body::<$simd, 3, 3, 3>($($argument),*),
            [1, 4, 4] => $body::<$simd, 1, 4, 4>($($argument),*),
            _ => $body::<$simd, 0, 0, 0>($($argument),*),
        }
    };
}
pub(super) use with_forms;

/// The form of an axis: the constant, or what the cut says.
#[inline(always)]
fn form_of<const M: usize>(cut: &Cut, axis: usize) -> usize {
    if M == 0 { cut.m[axis] } else { M }
}

/// A line of values, zeros from `$n` on. A macro because a closure that is not
/// inlined would be compiled without the vector instructions.
macro_rules! line {
    ($simd:ident, $n:expr, |$k:ident| $value:expr) => {{
        let mut line = [$simd.splat_f32s(0.0); MOST];
        for $k in 0..MOST {
            if $k < $n {
                line[$k] = $value;
            }
        }
        line
    }};
}

/// Takes the lines of outputs of a tile. A trait because a closure that is not
/// inlined would be compiled without the vector instructions.
pub(super) trait Write<S: Simd> {
    /// The outputs along w of row `[d, h]` of the tile.
    fn write(&mut self, simd: S, at: [usize; 2], line: [S::f32s; MOST]);
}

/// One vector of channels from `x` (`a` voxels along each axis) through `B'` to
/// the frequencies of `to`.
#[inline(always)]
pub(super) fn input<S: Simd, const MD: usize, const MH: usize, const MW: usize>(
    simd: S,
    cut: &Cut,
    x: &[f32],
    from: Lines,
    to: &mut impl Sink<S>,
    into: Lines,
) {
    let m = [
        form_of::<MD>(cut, 0),
        form_of::<MH>(cut, 1),
        form_of::<MW>(cut, 2),
    ];
    let a = m.map(form::inputs);
    let mut buffer = [simd.splat_f32s(0.0); BUFFER];
    for d in 0..a[0] {
        // Along w, from memory into the buffer [d][h][w]; then along h, in it.
        for h in 0..a[1] {
            let start = from.at + d * from.stride[0] + h * from.stride[1];
            let line = form::input(
                simd,
                m[2],
                line!(simd, a[2], |w| load::<S>(x, start + w * from.stride[2])),
            );
            buffer[(d * MOST + h) * MOST..][..MOST].copy_from_slice(&line);
        }
        for w in 0..a[2] {
            let line = form::input(
                simd,
                m[1],
                line!(simd, a[1], |h| buffer[(d * MOST + h) * MOST + w]),
            );
            for h in 0..a[1] {
                buffer[(d * MOST + h) * MOST + w] = line[h];
            }
        }
    }
    // Along d, out of the buffer.
    for h in 0..a[1] {
        for w in 0..a[2] {
            let line = form::input(
                simd,
                m[0],
                line!(simd, a[0], |d| buffer[(d * MOST + h) * MOST + w]),
            );
            let start = into.at + h * into.stride[1] + w * into.stride[2];
            for d in 0..a[0] {
                to.put(start + d * into.stride[0], line[d]);
            }
        }
    }
}

/// One vector of channels from `dy` (`m` voxels along each axis, of which
/// `inside` are in the volume) through `A` to the frequencies of `to`.
#[allow(clippy::too_many_arguments, reason = "from here to there")]
#[inline(always)]
pub(super) fn output_adjoint<S: Simd, const MD: usize, const MH: usize, const MW: usize>(
    simd: S,
    cut: &Cut,
    inside: [usize; 3],
    dy: &[f32],
    from: Lines,
    to: &mut impl Sink<S>,
    into: Lines,
) {
    let m = [
        form_of::<MD>(cut, 0),
        form_of::<MH>(cut, 1),
        form_of::<MW>(cut, 2),
    ];
    let a = m.map(form::inputs);
    let zero = simd.splat_f32s(0.0);
    let mut buffer = [zero; BUFFER];
    let whole = inside[2] == m[2];
    for d in 0..inside[0] {
        for h in 0..inside[1] {
            let start = from.at + d * from.stride[0] + h * from.stride[1];
            let line = if whole {
                line!(simd, m[2], |w| load::<S>(dy, start + w * from.stride[2]))
            } else {
                line!(simd, inside[2], |w| load::<S>(
                    dy,
                    start + w * from.stride[2]
                ))
            };
            let line = form::output_adjoint(simd, m[2], line);
            buffer[(d * MOST + h) * MOST..][..MOST].copy_from_slice(&line);
        }
        for w in 0..a[2] {
            // Rows outside are still zero.
            let line = form::output_adjoint(
                simd,
                m[1],
                line!(simd, m[1], |h| buffer[(d * MOST + h) * MOST + w]),
            );
            for h in 0..a[1] {
                buffer[(d * MOST + h) * MOST + w] = line[h];
            }
        }
    }
    for h in 0..a[1] {
        for w in 0..a[2] {
            let line = form::output_adjoint(
                simd,
                m[0],
                line!(simd, m[0], |d| buffer[(d * MOST + h) * MOST + w]),
            );
            let start = into.at + h * into.stride[1] + w * into.stride[2];
            for d in 0..a[0] {
                to.put(start + d * into.stride[0], line[d]);
            }
        }
    }
}

/// One vector of channels from the frequencies of `p` through `A'`; each line
/// along w of the `inside` outputs is handed to `write([d, h], values)`.
#[inline(always)]
pub(super) fn output<S: Simd, const MD: usize, const MH: usize, const MW: usize>(
    simd: S,
    cut: &Cut,
    p: &[f32],
    from: Lines,
    inside: [usize; 3],
    mut write: impl Write<S>,
) {
    let m = [
        form_of::<MD>(cut, 0),
        form_of::<MH>(cut, 1),
        form_of::<MW>(cut, 2),
    ];
    let a = m.map(form::inputs);
    let mut buffer = [simd.splat_f32s(0.0); BUFFER];
    // Along d, from memory into the buffer.
    for h in 0..a[1] {
        for w in 0..a[2] {
            let start = from.at + h * from.stride[1] + w * from.stride[2];
            let line = line!(simd, a[0], |d| load::<S>(p, start + d * from.stride[0]));
            let line = form::output(simd, m[0], line);
            for d in 0..m[0] {
                buffer[(d * MOST + h) * MOST + w] = line[d];
            }
        }
    }
    for d in 0..inside[0] {
        // Along h, in the buffer; then along w, out of it.
        for w in 0..a[2] {
            let line = form::output(
                simd,
                m[1],
                line!(simd, a[1], |h| buffer[(d * MOST + h) * MOST + w]),
            );
            for h in 0..m[1] {
                buffer[(d * MOST + h) * MOST + w] = line[h];
            }
        }
        for h in 0..inside[1] {
            let line = line!(simd, a[2], |w| buffer[(d * MOST + h) * MOST + w]);
            write.write(simd, [d, h], form::output(simd, m[2], line));
        }
    }
}
