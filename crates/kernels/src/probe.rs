//! What this machine can do at most: multiply-adds, and bytes moved.
//!
//! The limits that a profile holds each layer against. Both are measured, since
//! clocks, caches and neighbours on a shared machine are written nowhere.

use std::hint::black_box;
use std::time::Instant;

use pulp::{Simd, WithSimd};

use crate::Context;
use crate::micro::{is_portable, mul_add};

/// Runs of each probe; the best counts, as everything else only slows it down.
const RUNS: usize = 7;

/// Rounds of the loop of multiply-adds: about 10 ms, long enough for the clock
/// to settle under wide vectors.
const ROUNDS: usize = 2_000_000;

/// Floats of each of the two buffers of [`bytes_per_s`] that are wanted: 128 MiB,
/// more than the last-level cache that one of the workers can call its own.
pub const COPY_FLOATS: usize = 32 << 20;

/// Multiplications and additions a second in f32, of all workers together.
pub fn flops_per_s(context: Context<'_>) -> f64 {
    let seconds = best(|| {
        context.threads.pool().broadcast(|_| {
            black_box(context.isa.run(MultiplyAdds));
        });
    });
    let one = context.isa.run(Flops) * ROUNDS;
    (one * context.threads.count()) as f64 / seconds
}

/// Bytes a second of a copy by all workers, those read and those written
/// together. `from` and `to` should be larger than the caches.
///
/// # Panics
/// When their lengths differ.
pub fn bytes_per_s(context: Context<'_>, from: &[f32], to: &mut [f32]) -> f64 {
    /// A megabyte: many for each worker, each far larger than what begins it.
    const PART: usize = 1 << 18;
    assert_eq!(from.len(), to.len(), "lengths of the buffers");
    let len = to.len();
    let seconds = best(|| {
        context.threads.for_each_part(
            black_box(&mut *to),
            &mut [],
            len.div_ceil(PART),
            |part| part * PART..((part + 1) * PART).min(len),
            |part, to, _| to.copy_from_slice(&from[part * PART..][..to.len()]),
        );
    });
    (2 * size_of_val(from)) as f64 / seconds
}

/// The shortest of several runs, in seconds.
fn best(mut run: impl FnMut()) -> f64 {
    let times = (0..RUNS).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    });
    times.fold(f64::INFINITY, f64::min)
}

/// Independent sums: a multiply-add takes 4 cycles and two begin in each, so 8
/// keep the machine busy and 12 leave some slack. Plain code is compiled to
/// vectors of half the width, of which 4 already are 8.
const SUMS: usize = 12;
const PORTABLE_SUMS: usize = 4;

/// [`ROUNDS`] of one multiply-add to each sum.
struct MultiplyAdds;

impl WithSimd for MultiplyAdds {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        if is_portable::<S>() {
            rounds::<S, PORTABLE_SUMS>(simd)
        } else {
            rounds::<S, SUMS>(simd)
        }
    }
}

#[inline(always)]
fn rounds<S: Simd, const N: usize>(simd: S) -> f32 {
    // Neither known to the compiler nor ever denormal or infinite.
    let factor = simd.splat_f32s(black_box(0.999));
    let summand = simd.splat_f32s(black_box(0.001));
    let mut sums = [simd.splat_f32s(black_box(1.0)); N];
    for _ in 0..ROUNDS {
        for sum in &mut sums {
            *sum = mul_add(simd, *sum, factor, summand);
        }
    }
    sums.into_iter().map(|sum| simd.reduce_sum_f32s(sum)).sum()
}

/// Multiplications and additions of one round.
struct Flops;

impl WithSimd for Flops {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        let sums = if is_portable::<S>() {
            PORTABLE_SUMS
        } else {
            SUMS
        };
        2 * sums * S::F32_LANES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Isa, Threads};

    #[test]
    fn every_level_has_plausible_limits() {
        let threads = Threads::new(1).unwrap();
        let (from, mut to) = (vec![1.0; 1 << 20], vec![0.0; 1 << 20]);
        for isa in Isa::available() {
            let context = Context {
                threads: &threads,
                isa,
            };
            // From a phone of 2010 to well beyond any core.
            let flops = flops_per_s(context);
            assert!((1e8..1e13).contains(&flops), "{isa}: {flops}");
            let bytes = bytes_per_s(context, &from, &mut to);
            assert!((1e8..1e13).contains(&bytes), "{isa}: {bytes}");
        }
        assert_eq!(from, to);
    }
}
