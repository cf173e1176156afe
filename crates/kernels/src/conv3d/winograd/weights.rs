//! Kernels into the frequencies of tiles, once a call.

#![allow(
    unsafe_code,
    reason = "tasks write chunks of all frequencies, which are no contiguous parts"
)]

use pulp::{Simd, WithSimd};

use super::cut::Cut;
use super::form::{self, MOST};
use super::input::CHANNELS;
use super::tile::{copy, load, store};
use crate::Context;
use crate::conv3d::Size;
use crate::micro::{Aligned, PANEL, PAST_CACHES, stream, streamed};
use crate::threads::Shared;

/// `G g` along the three axes of the output channels in `range`:
/// `[frequency][panel][i][PANEL]`.
pub(super) fn transform_weights(
    context: Context<'_>,
    size: &Size,
    cut: &Cut,
    weights: &[f32],
    range: std::ops::Range<usize>,
    to: &mut [f32],
) {
    // A task is a panel and a stretch of input channels.
    let stretches = size.in_c.div_ceil(CHANNELS);
    let panels = range.len() / PANEL;
    let shared = Shared::new(to);
    context.threads.for_each(panels * stretches, |task| {
        let (panel, i0) = (task / stretches, task % stretches * CHANNELS);
        context.isa.run(Weights {
            size,
            cut,
            weights,
            first: range.start + panel * PANEL,
            channels: i0..(i0 + CHANNELS).min(size.in_c),
            shared: &shared,
            past_caches: shared.len() >= PAST_CACHES,
            at: panel * size.in_c * PANEL,
            stride: range.len() * size.in_c,
        });
    });
}

/// Input channels whose transformed weights are gathered before they are written:
/// a frequency's are 512 bytes in a row then, not 64.
const TOGETHER: usize = 8;

/// The transform of some input channels' weights to one panel.
struct Weights<'a> {
    size: &'a Size,
    cut: &'a Cut,
    weights: &'a [f32],
    /// First output channel of the panel.
    first: usize,
    channels: std::ops::Range<usize>,
    shared: &'a Shared<'a, f32>,
    past_caches: bool,
    /// Offset of the panel, distance of frequencies.
    at: usize,
    stride: usize,
}

impl WithSimd for Weights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let [kd, kh, kw] = self.size.kernel;
        let ([md, mh, mw], [ad, ah, aw]) = (self.cut.m, self.cut.a);
        let zero = simd.splat_f32s(0.0);
        let mut by_w = Aligned([zero; 9 * MOST]);
        let mut by_h = Aligned([zero; 3 * MOST * MOST]);
        let (by_w, by_h) = (&mut by_w.0, &mut by_h.0);
        let mut gathered = Aligned([0.0; MOST * MOST * MOST * TOGETHER * PANEL]);
        let gathered = &mut gathered.0;
        let last = self.channels.end;
        for i in self.channels {
            let place = i % TOGETHER * PANEL;
            for lane in (0..PANEL).step_by(S::F32_LANES) {
                for dh in 0..kd * kh {
                    let mut taps = [zero; 3];
                    for w in 0..kw {
                        let at = ((dh * kw + w) * self.size.in_c + i) * self.size.out_c;
                        taps[w] = load::<S>(self.weights, at + self.first + lane);
                    }
                    let line = form::weights(simd, mw, taps);
                    by_w[dh * aw..][..aw].copy_from_slice(&line[..aw]);
                }
                for d in 0..kd {
                    for fw in 0..aw {
                        let mut taps = [zero; 3];
                        for h in 0..kh {
                            taps[h] = by_w[(d * kh + h) * aw + fw];
                        }
                        let line = form::weights(simd, mh, taps);
                        for fh in 0..ah {
                            by_h[(d * ah + fh) * aw + fw] = line[fh];
                        }
                    }
                }
                for fhw in 0..ah * aw {
                    let mut taps = [zero; 3];
                    for d in 0..kd {
                        taps[d] = by_h[d * ah * aw + fhw];
                    }
                    let line = form::weights(simd, md, taps);
                    for fd in 0..ad {
                        let at = (fd * ah * aw + fhw) * TOGETHER * PANEL + place + lane;
                        store::<S>(gathered, at, line[fd]);
                    }
                }
            }
            if (i + 1) % TOGETHER == 0 || i + 1 == last {
                let first = i / TOGETHER * TOGETHER;
                let many = (i + 1 - first) * PANEL;
                for (f, from) in gathered
                    .chunks_exact(TOGETHER * PANEL)
                    .take(ad * ah * aw)
                    .enumerate()
                {
                    let at = self.at + f * self.stride + first * PANEL;
                    // SAFETY: tasks differ in their panel or in their channels i.
                    let to = unsafe { self.shared.part(at..at + many) };
                    if self.past_caches {
                        stream::<S>(to, &from[..many]);
                    } else {
                        copy::<S>(to, &from[..many]);
                    }
                }
            }
        }
        if self.past_caches {
            streamed();
        }
    }
}
