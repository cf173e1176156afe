//! Times every convolution kernel and the up-convolutions at the sizes of the `common` preset:
//! `cargo run --release -p unet3d-bench --bin kernels [-- FILTER]`, FILTER being a
//! part of a line such as "winograd 32>64".
//!
//! Prints effective GFLOP/s (the arithmetic of the direct algorithm over the
//! best time), forward and gradients, for the best instruction set or for the one that
//! follows FILTER.
#![allow(clippy::print_stdout, reason = "a program that prints a table")]

use std::time::Instant;

use unet3d_kernels::conv3d::{KERNELS, Problem};
use unet3d_kernels::{
    Context, Isa, Memory, Region, Shape, Source, Target, Threads, Transform, View, upconv3d,
};

/// Runs of each kernel; the fastest counts, the machine being shared.
const RUNS: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let filter = std::env::args().nth(1).unwrap_or_default();
    let threads = Threads::new(0)?;
    let context = Context {
        threads: &threads,
        isa: std::env::args()
            .nth(2)
            .map_or(Ok(Isa::best()), |name| name.parse())?,
    };
    println!("{} threads, {}", threads.count(), context.isa);
    println!(
        "{:>16} {:>10} {:>10} {:>9} {:>9}",
        "input d,h,w", "channels", "kernel", "forward", "weights"
    );
    for (space, in_c, out_c, kernel_size) in [
        ([116, 132, 132], 3, 32, 3),
        ([116, 132, 132], 1, 16, 3),
        ([44, 116, 116], 64, 3, 1),
        ([44, 116, 116], 3, 64, 1),
        ([54, 130, 130], 32, 64, 3),
        ([52, 62, 62], 64, 128, 3),
        ([24, 30, 30], 128, 256, 3),
        ([9, 11, 11], 256, 512, 3),
        ([14, 18, 18], 768, 256, 3),
        ([32, 48, 48], 192, 64, 3),
        ([30, 46, 46], 64, 64, 3),
        ([64, 64, 64], 16, 16, 3),
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
            kernel: [kernel_size; 3],
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
                    kept: Region::all(y),
                    pooled: None,
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
    up_convolutions(context, &filter);
    Ok(())
}

/// The same for the up-convolutions, whose input gradient is a pass of its own.
fn up_convolutions(context: Context<'_>, filter: &str) {
    println!(
        "{:>16} {:>10} {:>10} {:>9} {:>9} {:>9}",
        "input d,h,w", "channels", "kernel", "forward", "input", "weights"
    );
    for (space, in_c, out_c) in [
        ([7, 9, 9], 512, 512),
        ([10, 14, 14], 256, 256),
        ([16, 24, 24], 128, 128),
        ([28, 44, 44], 64, 64),
    ] {
        let channels = format!("{in_c}>{out_c}");
        if !format!("up {channels}").contains(filter) {
            continue;
        }
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
        let problem = upconv3d::Problem {
            input: Source {
                data: &x,
                shape,
                crop: [0; 3],
                transform: Some(Transform {
                    scale: &scale,
                    shift: &shift,
                    slope: 0.0,
                    dropout: None,
                }),
            },
            window: [2; 3],
            out_c,
        };
        let size = problem.size();
        let weights = vec![0.1; size.weights()];
        let mut y = Memory::zeroed(size.output().len());
        let mut dx = Memory::zeroed(shape.len());
        let mut gradient = vec![0.0; size.weights()];
        let mut scratch = Memory::zeroed(upconv3d::scratch(&size, context.threads.count()));
        let mut best = [f64::INFINITY; 3];
        for _ in 0..RUNS {
            let start = Instant::now();
            upconv3d::forward(context, &problem, &weights, None, &mut y, &mut scratch);
            best[0] = best[0].min(start.elapsed().as_secs_f64());
            let start = Instant::now();
            upconv3d::backward_input(context, &problem, &weights, &y, &mut dx, &mut scratch);
            best[1] = best[1].min(start.elapsed().as_secs_f64());
            let start = Instant::now();
            upconv3d::backward_weights(context, &problem, &y, &mut gradient, &mut scratch);
            best[2] = best[2].min(start.elapsed().as_secs_f64());
        }
        let [forward, input, weights] = best.map(|time| size.flops() as f64 / time / 1e9);
        let [d, h, w] = space;
        println!(
            "{:>16} {channels:>10} {:>10} {forward:>9.0} {input:>9.0} {weights:>9.0}",
            format!("{d},{h},{w}"),
            "up"
        );
    }
}
