//! Times every convolution kernel at the sizes of the `common` preset:
//! `cargo run --release -p unet3d-bench --bin kernels [-- FILTER]`, FILTER being a
//! part of a line such as "winograd 32>64".
//!
//! Prints effective GFLOP/s (the arithmetic of the direct algorithm over the
//! best time), forward and weight gradient, for the best instruction set.
#![allow(clippy::print_stdout, reason = "a program that prints a table")]

use std::time::Instant;

use unet3d_kernels::conv3d::{Context, KERNELS, Problem};
use unet3d_kernels::{Isa, Memory, Shape, Source, Target, Threads, Transform, View};

/// Runs of each kernel; the fastest counts, the machine being shared.
const RUNS: usize = 15;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let filter = std::env::args().nth(1).unwrap_or_default();
    let threads = Threads::new(0)?;
    let context = Context {
        threads: &threads,
        isa: Isa::best(),
    };
    println!("{} threads, {}", threads.count(), context.isa);
    println!(
        "{:>16} {:>10} {:>10} {:>9} {:>9}",
        "input d,h,w", "channels", "kernel", "forward", "weights"
    );
    for (space, in_c, out_c) in [
        ([116, 132, 132], 3, 32),
        ([116, 132, 132], 1, 16),
        ([54, 130, 130], 32, 64),
        ([52, 62, 62], 64, 128),
        ([24, 30, 30], 128, 256),
        ([9, 11, 11], 256, 512),
        ([14, 18, 18], 768, 256),
        ([32, 48, 48], 192, 64),
        ([30, 46, 46], 64, 64),
        ([64, 64, 64], 16, 16),
    ] {
        let shape = Shape {
            n: 1,
            space,
            c: in_c,
        };
        let mut x = Memory::zeroed(shape.len());
        for (i, x) in x.iter_mut().enumerate() {
            *x = (i % 17) as f32 / 8.0 - 1.0;
        }
        let (scale, shift) = (vec![0.7; in_c], vec![0.1; in_c]);
        let transform = Transform {
            scale: &scale,
            shift: &shift,
            slope: 0.0,
            dropout: None,
        };
        let source = Source {
            data: &x,
            shape,
            crop: [0; 3],
            transform: Some(transform),
        };
        let problem = Problem {
            input: View::of(&source),
            kernel: [3; 3],
            out_c,
        };
        let (size, y) = (problem.size(), problem.output());
        let weights = vec![0.1; size.weights()];
        let (mut out, mut gradient) = (Memory::zeroed(y.len()), vec![0.0; size.weights()]);
        for kernel in KERNELS[1..].iter().filter(|kernel| {
            let name = format!("{} {in_c}>{out_c}", kernel.name());
            kernel.supports(&size) && name.contains(&filter)
        }) {
            let mut scratch = Memory::zeroed(kernel.scratch(&size, threads.count()));
            let mut best = [f64::INFINITY; 2];
            for _ in 0..RUNS {
                let start = Instant::now();
                let target = Target {
                    data: &mut out,
                    shape: y,
                    crop: [0; 3],
                    accumulate: false,
                    moments: None,
                };
                kernel.forward(context, &problem, &weights, None, target, &mut scratch);
                best[0] = best[0].min(start.elapsed().as_secs_f64());
                let start = Instant::now();
                kernel.backward_weights(context, &problem, &out, &mut gradient, &mut scratch);
                best[1] = best[1].min(start.elapsed().as_secs_f64());
            }
            let [forward, weights] = best.map(|time| size.flops() as f64 / time / 1e9);
            let [d, h, w] = space;
            println!(
                "{:>16} {:>10} {:>10} {forward:>9.0} {weights:>9.0}",
                format!("{d},{h},{w}"),
                format!("{in_c}>{out_c}"),
                kernel.name()
            );
        }
    }
    Ok(())
}
