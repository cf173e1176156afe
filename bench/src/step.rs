//! Times the forward pass and the training step of a preset:
//! `cargo run --release -p unet3d-bench --bin step -- PRESET z,y,x [BATCH [THREADS]]`.
#![allow(clippy::print_stdout, reason = "a program that prints a table")]

use std::time::Instant;

use unet3d_kernels::Threads;
use unet3d_unet::{Executor, Mode, Network, Plan, Preset, UNetConfig};

/// Runs of each pass; the median counts.
const RUNS: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let preset: Preset = arguments.first().map_or("common", String::as_str).parse()?;
    let size = arguments.get(1).map_or("116,132,132", String::as_str);
    let sizes: Vec<usize> = size.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let input = [sizes[0], sizes[1], sizes[2]];
    let batch = arguments.get(2).map_or(Ok(1), |n| n.parse())?;
    let threads = Threads::new(arguments.get(3).map_or(Ok(0), |n| n.parse())?)?;
    let network = Network::new(UNetConfig::preset(preset, 3, 3))?;
    let parameters = network.init(1);
    for mode in [Mode::Predict, Mode::Train] {
        let plan = Plan::new(&network, batch, input, mode, threads.count())?;
        let mut executor = Executor::new(&network, &plan);
        let length = |shape: [usize; 5]| shape.iter().product::<usize>();
        let x: Vec<f32> = (0..length(plan.input_shape()))
            .map(|i| (i % 97) as f32 / 48.0 - 1.0)
            .collect();
        let d_logits = vec![1e-5; length(plan.output_shape())];
        let mut gradients = vec![0.0; network.parameter_count()];
        let mut times = Vec::new();
        for _ in 0..RUNS {
            let start = Instant::now();
            executor.forward(&threads, &parameters, &x, None);
            let forward = start.elapsed().as_secs_f64();
            if mode == Mode::Train {
                executor.backward(&threads, &parameters, &x, &d_logits, &mut gradients);
            }
            times.push((start.elapsed().as_secs_f64(), forward));
        }
        times.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (all, forward) = times[RUNS / 2];
        println!(
            "{preset} {size} x{batch} {mode:?}: {all:.3} s (forward {forward:.3} s), plan {:.2} GB",
            plan.peak_bytes() as f64 / 1e9
        );
    }
    Ok(())
}
