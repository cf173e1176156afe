//! In training a convolution pools as it writes, except where activations may be dropped
//! before: there poolings are a pass of their own. With nothing dropped both give the same
//! logits, bit by bit, and gradients that differ by rounding.

#![allow(clippy::unwrap_used, reason = "tests")]

use unet3d_kernels::Threads;
use unet3d_unet::{
    Activation, Biases, Executor, Kind, Level, Mode, Network, Normalisation, Padding, Plan,
    UNetConfig,
};

/// A training pass of two samples: logits, gradients, and how many poolings were passes.
fn train(config: UNetConfig, size: [usize; 3], threads: usize) -> (Vec<f32>, Vec<f32>, usize) {
    let threads = Threads::new(threads).unwrap();
    let network = Network::new(config).unwrap();
    let plan = Plan::new(&network, 2, size, Mode::Train, threads.count()).unwrap();
    let mut parameters = network.init(5);
    for entry in &network.layout().entries {
        let values = &mut parameters.values[entry.range.clone()];
        for (i, value) in values.iter_mut().enumerate() {
            if entry.kind == Kind::Scale && i % 3 == 0 {
                *value = -0.5;
            }
            if entry.kind == Kind::Shift {
                *value = (i % 5) as f32 / 10.0 - 0.2;
            }
        }
    }
    let made = |shape: [usize; 5], prime: usize| -> Vec<f32> {
        let many = shape.iter().product();
        (0..many)
            .map(|i: usize| (i * prime % 101) as f32 / 50.0 - 1.0)
            .collect()
    };
    let input = made(plan.input_shape(), 37);
    let d_logits = made(plan.output_shape(), 29);
    let mut gradients = vec![0.0; network.parameter_count()];
    let mut executor = Executor::new(&network, &plan).with_profile();
    let logits = executor
        .forward(&threads, &parameters, &input, None)
        .to_vec();
    executor.backward(&threads, &parameters, &input, &d_logits, &mut gradients);
    let profile = executor.profile().unwrap();
    let passes = profile.rows().filter(|row| row.name.ends_with(".pool"));
    (logits, gradients, passes.count())
}

#[test]
fn pooling_with_the_convolution_trains_as_pooling_apart() {
    let leaky = Activation::LeakyRelu { slope: 0.1 };
    for (padding, normalisation, activation, flat) in [
        (Padding::Valid, Normalisation::None, leaky, false),
        (
            Padding::Valid,
            Normalisation::BatchCurrent,
            Activation::Relu,
            false,
        ),
        (Padding::Valid, Normalisation::Instance, leaky, true),
        (Padding::Same, Normalisation::None, Activation::Relu, false),
        (
            Padding::Same,
            Normalisation::Instance,
            Activation::Relu,
            false,
        ),
        (Padding::Same, Normalisation::BatchRunning, leaky, true),
    ] {
        let level = |down: [usize; 2], up, flat| Level {
            down,
            up,
            kernel: if flat { [1, 3, 3] } else { [3; 3] },
            pool: if flat { [1, 2, 2] } else { [2; 3] },
        };
        let config = UNetConfig {
            in_channels: 1,
            classes: 2,
            levels: vec![
                level([16, 16], [16, 16, 16], flat),
                level([16, 32], [32, 16, 16], false),
                level([32, 32], [0; 3], false),
            ],
            padding,
            normalisation,
            activation,
            up_activation: false,
            dropout: 0.0,
            biases: Biases {
                first: true,
                convolutions: normalisation == Normalisation::None,
                up_convolutions: true,
                score: true,
            },
            epsilon: 1e-5,
        };
        let size = match padding {
            Padding::Valid if flat => [24, 44, 60],
            Padding::Valid => [44, 44, 60],
            Padding::Same => [16, 32, 32],
        };
        let apart = UNetConfig {
            dropout: 0.1,
            ..config.clone()
        };
        let name = format!("{padding:?} {normalisation:?} {activation:?} {flat}");
        let (logits, gradients, passes) = train(config.clone(), size, 2);
        let (want_logits, want_gradients, all) = train(apart, size, 2);
        assert_eq!((passes, all), (0, 2), "{name}");
        assert!(logits == want_logits, "{name}");
        let one_thread = train(config.clone(), size, 1);
        assert!(
            one_thread.0 == logits && one_thread.1 == gradients,
            "{name}"
        );
        let network = Network::new(config).unwrap();
        for entry in &network.layout().entries {
            let [got, want] = [&gradients, &want_gradients].map(|all| &all[entry.range.clone()]);
            let largest = want.iter().map(|v| v.abs()).fold(1e-2, f32::max);
            for (got, want) in got.iter().zip(want) {
                let off = (got - want).abs();
                assert!(
                    off <= 2e-5 * largest,
                    "{name}, {}: {got} {want}",
                    entry.name
                );
            }
        }
    }
}
