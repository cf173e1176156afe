//! The network against PyTorch: logits, every gradient, ten losses.
//!
//! scripts/golden.py computed the files in tests/data in float64. Here the same
//! networks, built from the configuration that each file carries, must agree
//! within the bounds of docs/numerics.md. A failing test lists all tensors that
//! differ in network order; in a forward pass the first is the one to look at,
//! in the gradients the last (backward runs from the end).

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test has no public interface, and its panic is a failure"
)]

mod case;
mod compare;

use case::Case;
use compare::{Comparison, largest, relative, sum};
use unet3d_kernels::conv3d::Method;
use unet3d_kernels::softmax::{Problem, weighted_loss};
use unet3d_kernels::{Isa, Threads};
use unet3d_unet::{Executor, Mode, Normalisation, Plan, Preset, UNetConfig};

#[test]
fn no_normalisation_valid() {
    small("none_valid");
}

#[test]
fn no_normalisation_leaky_same_mixed_kernels() {
    small("none_leaky_same");
}

#[test]
fn batch_current_same_flat_top_level() {
    small("batch_current_same");
}

#[test]
fn batch_current_after_up_convolutions_too() {
    small("batch_current_released");
}

#[test]
fn batch_running_valid_flat_top_level() {
    small("batch_running_valid");
}

#[test]
fn instance_wide_same() {
    small("instance_wide_same");
}

#[test]
fn instance_leaky_valid() {
    small("instance_leaky_valid");
}

#[test]
fn preset_common() {
    preset("common", Preset::Common);
}

#[test]
fn preset_blog() {
    preset("blog", Preset::Blog);
}

#[test]
fn preset_paper() {
    preset("paper", Preset::Paper);
}

#[test]
fn preset_released() {
    preset("released", Preset::Released);
}

#[test]
fn preset_twin2d() {
    preset("twin2d", Preset::Twin2d);
}

#[test]
fn preset_small() {
    preset("small", Preset::Small);
}

/// The formula of the presets' parameters gives what the script stored.
#[test]
fn formula_repeats_the_script() {
    let case = Case::read("none_valid");
    let (stored, computed) = (case.stored_parameters(), case.computed_parameters());
    assert!(stored.values == computed.values, "parameters");
    let (_, input) = case.tensor("input");
    assert!(input == case.computed_input(input.len()), "input");
}

/// A small network, complete, by every way to convolve and every instruction set of
/// this machine.
fn small(name: &str) {
    for isa in Isa::available() {
        for method in [Method::Fastest, Method::Direct] {
            small_by(name, method, isa);
        }
    }
}

fn small_by(name: &str, method: Method, isa: Isa) {
    let case = Case::read(name);
    let mut comparison = Comparison::new(&format!("{name}, {method:?}, {}", isa.name()));
    let threads = Threads::new(2).unwrap();
    let (shape, input) = case.tensor("input");
    let (batch, size) = (shape[0], [shape[1], shape[2], shape[3]]);
    let mut parameters = case.stored_parameters();
    let (network, about) = (&case.network, &case.about);
    let (terms, depth) = (about.terms, case.depth());
    let logit_error = relative(terms, depth);

    // Prediction.
    let plan = Plan::new(network, batch, size, Mode::Predict, 2).unwrap();
    let (shape, want) = case.tensor("logits_predict");
    comparison.holds(
        "the plan's output shape is that of the logits",
        plan.output_shape() == *shape,
    );
    let got = Executor::new(network, &plan)
        .with_isa(isa)
        .with_method(method)
        .forward(&threads, &parameters, &input, None)
        .to_vec();
    comparison.tensor(
        "logits at prediction",
        &shape,
        &got,
        &want,
        logit_error * largest(&want),
    );

    // The first training step: logits, loss, gradients, running statistics.
    let plan = Plan::new(network, batch, size, Mode::Train, 2).unwrap();
    let mut executor = Executor::new(network, &plan)
        .with_isa(isa)
        .with_method(method);
    let (shape, want) = case.tensor("logits_train");
    let logits = executor
        .forward(&threads, &parameters, &input, None)
        .to_vec();
    comparison.tensor(
        "logits in training",
        &shape,
        &logits,
        &want,
        logit_error * largest(&want),
    );
    // A change of every logit by e changes the cross-entropy by at most 2 e.
    let loss_error = 2.0 * logit_error * largest(&want);

    let loss = Loss::new(&case, &threads);
    let losses = case.losses();
    let (first, d_logits) = loss.of(&logits);
    comparison.number("loss of step 0", first, losses[0], loss_error);
    let mut gradients = vec![0.0; parameters.values.len()];
    executor.backward(&threads, &parameters, &input, &d_logits, &mut gradients);
    for entry in &network.layout().entries {
        let (shape, want) = case.tensor(&format!("gradient/{}", entry.name));
        let got = network.layout().tensor(entry, &gradients);
        let scale = about.gradients[&entry.name];
        // Forward and backward: twice the depth; then the sum over the voxels.
        let bound = scale.magnitude * (relative(terms, 2 * depth) + sum(scale.terms));
        comparison.tensor(
            &format!("gradient of {}", entry.name),
            &shape,
            &got,
            &want,
            bound,
        );
        if entry.name.ends_with("weight") {
            let zeros = want.iter().filter(|v| **v == 0.0).count();
            let what = format!("gradient of {} is mostly not zero", entry.name);
            comparison.holds(&what, 2 * zeros <= want.len());
        }
    }
    if about.config.normalisation == Normalisation::BatchRunning {
        executor.update_running(&mut parameters, about.running_momentum.unwrap());
    }
    for entry in &network.running_layout().entries {
        let (shape, want) = case.tensor(&format!("running_after/{}", entry.name));
        let got = network.running_layout().tensor(entry, &parameters.running);
        // Means are of activations of order 1, whatever their average.
        let bound = logit_error * largest(&want).max(1.0);
        comparison.tensor(
            &format!("{} after a step", entry.name),
            &shape,
            &got,
            &want,
            bound,
        );
    }

    // Ten steps of SGD: v = momentum v + g; p = p - rate v.
    let sgd = about.sgd.unwrap();
    let mut velocity = vec![0.0f32; gradients.len()];
    for step in 1..sgd.steps {
        for ((p, v), g) in parameters
            .values
            .iter_mut()
            .zip(&mut velocity)
            .zip(&gradients)
        {
            *v = sgd.momentum * *v + g;
            *p -= sgd.rate * *v;
        }
        let logits = executor
            .forward(&threads, &parameters, &input, None)
            .to_vec();
        let (value, d_logits) = loss.of(&logits);
        // Each step adds its own error to the parameters.
        comparison.number(
            &format!("loss of step {step}"),
            value,
            losses[step],
            loss_error * (step + 1) as f64,
        );
        gradients.fill(0.0);
        executor.backward(&threads, &parameters, &input, &d_logits, &mut gradients);
    }
    comparison.finish();
}

/// A preset of full width: its configuration, and its logits at the smallest legal size.
fn preset(name: &str, preset: Preset) {
    let case = Case::read(name);
    let mut comparison = Comparison::new(name);
    let threads = Threads::new(2).unwrap();
    let built = UNetConfig::preset(preset, 3, 3);
    comparison.holds(
        "the preset is the network of the script",
        built == case.about.config,
    );
    let [batch, d, h, w, c] = case.about.input.unwrap();
    let plan = Plan::new(&case.network, batch, [d, h, w], Mode::Predict, 2).unwrap();
    let (shape, want) = case.tensor("logits_predict");
    comparison.holds(
        "the plan's output shape is that of the logits",
        plan.output_shape() == *shape,
    );
    let parameters = case.computed_parameters();
    let input = case.computed_input(batch * d * h * w * c);
    // At the best instruction set alone: a full network in plain code takes a minute.
    let mut executor = Executor::new(&case.network, &plan);
    let got = executor.forward(&threads, &parameters, &input, None);
    let bound = relative(case.about.terms, case.depth()) * largest(&want);
    comparison.tensor("logits", &shape, got, &want, bound);
    comparison.finish();
}

/// The loss of a case: labels with unlabeled voxels, class weights.
struct Loss<'a> {
    threads: &'a Threads,
    weights: &'a [f32],
    labels: Vec<u8>,
}

impl<'a> Loss<'a> {
    fn new(case: &'a Case, threads: &'a Threads) -> Self {
        Self {
            threads,
            weights: &case.about.class_weights,
            labels: case.labels(),
        }
    }

    /// Value and gradient.
    fn of(&self, logits: &[f32]) -> (f64, Vec<f32>) {
        let problem = Problem {
            classes: self.weights.len(),
            class_weights: self.weights,
            cross_entropy: 1.0,
            dice: 0.0,
        };
        let mut d_logits = vec![f32::NAN; logits.len()];
        let mut scratch = vec![0.0; problem.scratch_len(self.labels.len())];
        let losses = weighted_loss(
            self.threads,
            &problem,
            logits,
            &self.labels,
            &mut d_logits,
            &mut scratch,
        );
        (losses.cross_entropy, d_logits)
    }
}
