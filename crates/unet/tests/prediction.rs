//! A plan for prediction pools as it convolves, keeps of a skip only what is read, and
//! up-convolves a deep tile in slabs: its logits are those of a plan for training, bit by
//! bit, in less memory where it crops. The plan for training is one that pools afterwards,
//! as one with dropout does; nothing is dropped.

#![allow(clippy::unwrap_used, reason = "tests")]

use unet3d_kernels::Threads;
use unet3d_kernels::conv3d::Method;
use unet3d_unet::{
    Activation, Biases, Executor, Level, Mode, Network, Normalisation, Padding, Plan, UNetConfig,
};

fn network(padding: Padding, normalisation: Normalisation) -> Network {
    let level = |down: [usize; 2], up| Level {
        down,
        up,
        kernel: [3; 3],
        pool: [2; 3],
    };
    let config = UNetConfig {
        in_channels: 1,
        classes: 2,
        levels: vec![
            level([16, 16], [16, 16, 16]),
            level([16, 32], [32, 16, 16]),
            level([32, 32], [0; 3]),
        ],
        padding,
        normalisation,
        activation: Activation::Relu,
        up_activation: false,
        dropout: 0.0,
        biases: Biases {
            first: true,
            convolutions: true,
            up_convolutions: true,
            score: true,
        },
        epsilon: 1e-5,
    };
    Network::new(config).unwrap()
}

/// The same, with dropout.
fn with_dropout(network: &Network) -> Network {
    let config = UNetConfig {
        dropout: 0.5,
        ..network.config().clone()
    };
    Network::new(config).unwrap()
}

#[test]
fn a_plan_for_prediction_gives_what_one_for_training_gives() {
    let threads = Threads::new(2).unwrap();
    for padding in [Padding::Valid, Padding::Same] {
        for normalisation in [Normalisation::None, Normalisation::Instance] {
            let network = network(padding, normalisation);
            let size = match padding {
                Padding::Valid => [44, 48, 60],
                Padding::Same => [16, 24, 20],
            };
            let parameters = network.init(5);
            let dropping = with_dropout(&network);
            let predict = Plan::new(&network, 2, size, Mode::Predict, 2).unwrap();
            let train = Plan::new(&dropping, 2, size, Mode::Train, 2).unwrap();
            let input: usize = predict.input_shape().iter().product();
            let input: Vec<f32> = (0..input)
                .map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0)
                .collect();
            let [one, other] = [(&network, &predict), (&dropping, &train)].map(|(of, plan)| {
                let mut executor = Executor::new(of, plan);
                executor
                    .forward(&threads, &parameters, &input, None)
                    .to_vec()
            });
            assert!(one.iter().all(|v| v.is_finite()));
            assert!(one == other, "{padding:?} {normalisation:?}");
            // Direct kernels keep skips whole and pool afterwards. Where nothing is
            // cropped, what these volumes save is less than Winograd's transforms take.
            if padding == Padding::Valid {
                let plain = predict.clone().with_method(&network, Method::Direct);
                assert!(predict.peak_bytes() < plain.peak_bytes());
            }
        }
    }
}

#[test]
fn a_deep_tile_is_up_convolved_in_slabs_to_the_same_logits() {
    let threads = Threads::new(2).unwrap();
    let plain = network(Padding::Valid, Normalisation::None);
    let activated = Network::new(UNetConfig {
        up_activation: true,
        ..plain.config().clone()
    })
    .unwrap();
    // In depth no kernels and no windows at the first level.
    let mut levels = plain.config().levels.clone();
    (levels[0].kernel, levels[0].pool) = ([1, 3, 3], [1, 2, 2]);
    let flat = Network::new(UNetConfig {
        levels,
        ..plain.config().clone()
    })
    .unwrap();
    let measured = network(Padding::Valid, Normalisation::Instance);
    for (name, network, method, depth) in [
        ("two slabs", &plain, Method::default(), 92),
        ("a slab for the rest", &plain, Method::default(), 108),
        ("direct", &plain, Method::Direct, 92),
        ("activated", &activated, Method::default(), 92),
        ("flat", &flat, Method::default(), 64),
        ("measured", &measured, Method::default(), 108),
    ] {
        let parameters = network.init(5);
        let size = [depth, 44, 60];
        let dropping = with_dropout(network);
        let run = |network: &Network, mode| {
            let plan = Plan::new(network, 1, size, mode, 2).unwrap();
            let plan = plan.with_method(network, method);
            let mut executor = Executor::new(network, &plan).with_profile();
            let input: usize = plan.input_shape().iter().product();
            let input: Vec<f32> = (0..input)
                .map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0)
                .collect();
            executor.forward(&threads, &parameters, &input, None);
            let profile = executor.profile().unwrap();
            assert!(profile.rows().all(|row| row.calls == 1), "{name}");
            (executor.logits().to_vec(), profile.rows().count())
        };
        let (one, rows) = run(network, Mode::Predict);
        let (other, all) = run(&dropping, Mode::Train);
        assert!(one.iter().all(|v| v.is_finite()));
        // Poolings have no rows where the convolution does them.
        let poolings = if method == Method::Direct { 0 } else { 2 };
        assert_eq!(rows + poolings, all, "{name}");
        if network.config().normalisation == Normalisation::None {
            assert!(one == other, "{name}");
        }
        // Statistics are sums of the blocks' sums, and slabs have other blocks.
        let furthest = one
            .iter()
            .zip(&other)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(furthest < 1e-4, "{name}: {furthest}");
    }
}
