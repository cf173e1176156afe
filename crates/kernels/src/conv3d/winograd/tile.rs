//! One tile there and back: the three-dimensional transforms, a vector of
//! channels at a time, axis by axis in a buffer that fits the first-level cache
//! (216 vectors of AVX-512 are 14 KB).

#![allow(
    unsafe_code,
    reason = "strided loads and stores of vectors; bounds are asserted once a tile"
)]

use pulp::Simd;

use super::cut::Cut;
use super::form::{Input, Line, MOST, Output, OutputAdjoint};
use crate::micro::PANEL;
use crate::threads::Shared;

/// Vectors of a tile.
const VECTORS: usize = MOST * MOST * MOST;

/// Room for one tile on its way. Aligned: vectors that straddle two cache lines
/// halve the speed of the transforms.
#[repr(align(64))]
pub(super) struct Buffer<S: Simd>([S::f32s; VECTORS]);

impl<S: Simd> Buffer<S> {
    #[inline(always)]
    pub(super) fn new(simd: S) -> Self {
        Self([simd.splat_f32s(0.0); VECTORS])
    }
}

/// How transformed tiles lie in memory.
#[derive(Clone, Copy)]
pub(super) struct Tiles {
    /// How many there is room for.
    pub(super) many: usize,
    pub(super) channels: usize,
    /// `[frequency][panel][tile][PANEL]`, as a register tile wants one chunk of
    /// them; else `[frequency][tile][channel]`, so that memory is touched in
    /// long runs.
    pub(super) chunk: bool,
}

impl Tiles {
    /// Floats of all frequencies.
    pub(super) fn len(self, cut: &Cut) -> usize {
        cut.frequencies() * self.frequency()
    }

    /// Floats of one frequency.
    pub(super) fn frequency(self) -> usize {
        self.many * self.channels
    }

    /// Distances of tiles and of panels.
    #[inline(always)]
    pub(super) fn strides(self) -> (usize, usize) {
        if self.chunk {
            (PANEL, self.many * PANEL)
        } else {
            (self.channels, PANEL)
        }
    }

    /// The frequencies of one vector of channels of one tile.
    #[inline(always)]
    pub(super) fn lines(self, cut: &Cut, tile: usize, channel: usize) -> Lines {
        let ([_, ah, aw], (tiles, panels)) = (cut.a, self.strides());
        Lines {
            at: tile * tiles + channel / PANEL * panels + channel % PANEL,
            stride: [ah * aw, aw, 1].map(|many| many * self.frequency()),
        }
    }
}

/// Floats of the outputs of one vector of channels of the largest tile, 4x4x4, whatever
/// the vector.
pub(super) const OUTPUTS: usize = 64 * PANEL;

/// Where an output of a tile is in [`OUTPUTS`] floats.
#[inline(always)]
pub(super) fn output_at<S: Simd>([d, h, w]: [usize; 3]) -> usize {
    ((d * 4 + h) * 4 + w) * S::F32_LANES
}

/// All of them.
#[inline(always)]
pub(super) fn output_lines<S: Simd>() -> Lines {
    Lines {
        at: 0,
        stride: [[1, 0, 0], [0, 1, 0], [0, 0, 1]].map(output_at::<S>),
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

impl Lines {
    /// Offset of the last of so many along each axis.
    #[inline(always)]
    fn last(&self, many: [usize; 3]) -> usize {
        self.at
            + (many[0] - 1) * self.stride[0]
            + (many[1] - 1) * self.stride[1]
            + (many[2] - 1) * self.stride[2]
    }
}

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

/// Whole vectors; a call for each few lines would cost as much as they.
#[inline(always)]
pub(super) fn copy<S: Simd>(to: &mut [f32], from: &[f32]) {
    for at in (0..from.len()).step_by(S::F32_LANES) {
        store::<S>(to, at, load::<S>(from, at));
    }
}

/// Runs `$body` with the constant `$form`, the form of one axis: with constants
/// every line of a tile stays in registers.
macro_rules! by_form {
    ($m:expr, $form:ident => $body:expr) => {
        match $m {
            4 => {
                const $form: usize = 4;
                $body
            }
            3 => {
                const $form: usize = 3;
                $body
            }
            2 => {
                const $form: usize = 2;
                $body
            }
            _ => {
                const $form: usize = 1;
                $body
            }
        }
    };
}

/// One vector of channels from `x` through `B'` to the frequencies of `to`.
///
/// # Safety
/// Nobody else writes to these frequencies of `to`, nor reads them.
#[inline(always)]
pub(super) unsafe fn input<S: Simd>(
    simd: S,
    m: [usize; 3],
    buffer: &mut Buffer<S>,
    (x, from): (&[f32], Lines),
    (to, into): (&Shared<'_, f32>, Lines),
) {
    let sink = Places::new::<S>(to, into, m.map(|m| Input::SIZES[m].1));
    through::<S, Input>(simd, m, buffer, (x, from), None, &sink);
}

/// One vector of channels from `dy` through `A` to the frequencies of `to`.
///
/// # Safety
/// Nobody else writes to these frequencies of `to`, nor reads them.
#[inline(always)]
pub(super) unsafe fn output_adjoint<S: Simd>(
    simd: S,
    m: [usize; 3],
    buffer: &mut Buffer<S>,
    (dy, from): (&[f32], Lines),
    (to, into): (&Shared<'_, f32>, Lines),
) {
    let sink = Places::new::<S>(to, into, m.map(|m| OutputAdjoint::SIZES[m].1));
    through::<S, OutputAdjoint>(simd, m, buffer, (dy, from), None, &sink);
}

/// One vector of channels from the frequencies of `p` through `A'` to the outputs of `to`,
/// and a bias added to each.
///
/// # Safety
/// Nobody else writes to these outputs of `to`, nor reads them.
#[inline(always)]
pub(super) unsafe fn output<S: Simd>(
    simd: S,
    m: [usize; 3],
    buffer: &mut Buffer<S>,
    (p, from): (&[f32], Lines),
    bias: Option<S::f32s>,
    (to, into): (&Shared<'_, f32>, Lines),
) {
    let sink = Places::new::<S>(to, into, m.map(|m| Output::SIZES[m].1));
    through::<S, Output>(simd, m, buffer, (p, from), bias, &sink);
}

/// Where a transformed tile goes.
struct Places {
    to: *mut f32,
    stride: [usize; 3],
}

impl Places {
    #[inline(always)]
    fn new<S: Simd>(to: &Shared<'_, f32>, into: Lines, many: [usize; 3]) -> Self {
        assert!(into.last(many) + S::F32_LANES <= to.len());
        Self {
            // SAFETY: inside by the assert.
            to: unsafe { to.as_mut_ptr().add(into.at) },
            stride: into.stride,
        }
    }

    /// The first `many` values of the line along d at `[h, w]` of the tile.
    #[inline(always)]
    fn put<S: Simd>(&self, [h, w]: [usize; 2], line: [S::f32s; MOST], many: usize) {
        let at = h * self.stride[1] + w * self.stride[2];
        for d in 0..many {
            // SAFETY: `new` has asserted that all of the tile is inside; that
            // nobody else is there is the contract of the three transforms.
            unsafe {
                self.to
                    .add(at + d * self.stride[0])
                    .cast::<S::f32s>()
                    .write_unaligned(line[d]);
            }
        }
    }
}

/// Along w from memory, along h in the buffer, along d out of it.
#[inline(always)]
fn through<S: Simd, L: Line>(
    simd: S,
    m: [usize; 3],
    buffer: &mut Buffer<S>,
    (from, lines): (&[f32], Lines),
    bias: Option<S::f32s>,
    sink: &Places,
) {
    let sizes = m.map(|m| L::SIZES[m]);
    let many = sizes.map(|(many, _)| many);
    assert!(lines.last(many) + S::F32_LANES <= from.len());
    let buffer = &mut buffer.0;
    let (out_w, out_h) = (sizes[2].1, sizes[1].1);
    if m[1] == 4 && m[2] == 4 {
        planes::<S, L, 4>(simd, buffer, (from, lines), many[0]);
    } else {
        by_form!(m[2], M => along_w::<S, L, M>(simd, buffer, (from, lines), [many[0], many[1]]));
        by_form!(m[1], M => along_h::<S, L, M>(simd, buffer, many[0], out_w));
    }
    if let Some(bias) = bias {
        // The second point of each form is 1, whose powers are the factors with which its
        // product goes into the outputs: what is added to it is added to all of them.
        let d = usize::from(m[0] > 1);
        for h in 0..out_h.min(MOST) {
            for w in 0..out_w.min(MOST) {
                let value = &mut buffer[(d * MOST + h) * MOST + w];
                *value = simd.add_f32s(*value, bias);
            }
        }
    }
    by_form!(m[0], M => along_d::<S, L, M>(simd, buffer, [out_h, out_w], sink));
}

/// Along w and h, a plane at a time in registers.
#[inline(always)]
fn planes<S: Simd, L: Line, const M: usize>(
    simd: S,
    buffer: &mut [S::f32s; VECTORS],
    (from, lines): (&[f32], Lines),
    depth: usize,
) {
    let (taken, given) = L::SIZES[M];
    for d in 0..depth {
        let mut plane = [[simd.splat_f32s(0.0); MOST]; MOST];
        let start = from.as_ptr().wrapping_add(lines.at + d * lines.stride[0]);
        for h in 0..taken {
            let mut line = [simd.splat_f32s(0.0); MOST];
            let row = start.wrapping_add(h * lines.stride[1]);
            for w in 0..taken {
                let at = row.wrapping_add(w * lines.stride[2]);
                // SAFETY: `through` has asserted that the tile is inside `from`.
                line[w] = unsafe { at.cast::<S::f32s>().read_unaligned() };
            }
            plane[h] = L::apply(simd, M, line);
        }
        let to = &mut buffer[d * MOST * MOST..][..MOST * MOST];
        for w in 0..given {
            let mut line = [simd.splat_f32s(0.0); MOST];
            for h in 0..taken {
                line[h] = plane[h][w];
            }
            let line = L::apply(simd, M, line);
            for h in 0..given {
                to[h * MOST + w] = line[h];
            }
        }
    }
}

#[inline(always)]
fn along_w<S: Simd, L: Line, const M: usize>(
    simd: S,
    buffer: &mut [S::f32s; VECTORS],
    (from, lines): (&[f32], Lines),
    [depth, height]: [usize; 2],
) {
    let (taken, given) = L::SIZES[M];
    for d in 0..depth {
        for h in 0..height {
            let start = lines.at + d * lines.stride[0] + h * lines.stride[1];
            let mut line = [simd.splat_f32s(0.0); MOST];
            for w in 0..taken {
                // SAFETY: `through` has asserted that the tile is inside `from`.
                line[w] = unsafe {
                    from.as_ptr()
                        .add(start + w * lines.stride[2])
                        .cast::<S::f32s>()
                        .read_unaligned()
                };
            }
            let line = L::apply(simd, M, line);
            let to = &mut buffer[(d * MOST + h) * MOST..][..MOST];
            to[..given].copy_from_slice(&line[..given]);
        }
    }
}

#[inline(always)]
fn along_h<S: Simd, L: Line, const M: usize>(
    simd: S,
    buffer: &mut [S::f32s; VECTORS],
    depth: usize,
    width: usize,
) {
    if M == 1 {
        return;
    }
    let (taken, given) = L::SIZES[M];
    for d in 0..depth {
        let plane = &mut buffer[d * MOST * MOST..][..MOST * MOST];
        for w in 0..width.min(MOST) {
            let mut line = [simd.splat_f32s(0.0); MOST];
            for h in 0..taken {
                line[h] = plane[h * MOST + w];
            }
            let line = L::apply(simd, M, line);
            for h in 0..given {
                plane[h * MOST + w] = line[h];
            }
        }
    }
}

#[inline(always)]
fn along_d<S: Simd, L: Line, const M: usize>(
    simd: S,
    buffer: &[S::f32s; VECTORS],
    [height, width]: [usize; 2],
    sink: &Places,
) {
    let (taken, given) = L::SIZES[M];
    for h in 0..height.min(MOST) {
        for w in 0..width.min(MOST) {
            let mut line = [simd.splat_f32s(0.0); MOST];
            for d in 0..taken {
                line[d] = buffer[(d * MOST + h) * MOST + w];
            }
            sink.put::<S>([h, w], L::apply(simd, M, line), given);
        }
    }
}
