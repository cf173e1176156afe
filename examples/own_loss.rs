//! Trains on arrays in memory with a loss of one's own: the focal loss, which
//! makes voxels count less the surer the network is of them.
//!
//! `cargo run --release -p unet3d-train --example own_loss`

use std::sync::Arc;

use unet3d_kernels::Threads;
use unet3d_train::{Case, Loss, LossValue, TrainConfig, Trainer};
use unet3d_volume::{Class, Geometry, Image, Label, Labels};

/// Mean over annotated voxels of `-(1 - p)^2 ln p`, `p` being the probability
/// of the right class.
struct Focal;

impl Loss for Focal {
    fn evaluate(
        &mut self,
        _threads: &Threads,
        logits: &[f32],
        labels: &[Label],
        d_logits: &mut [f32],
    ) -> LossValue {
        let classes = logits.len() / labels.len();
        let annotated = labels.iter().filter(|l| l.class().is_some()).count().max(1) as f64;
        d_logits.fill(0.0); // voxels that nobody annotated stay so
        let mut total = 0.0;
        for (voxel, label) in labels.iter().enumerate() {
            let Some(right) = label.class() else { continue };
            let z = &logits[voxel * classes..][..classes];
            let largest = z.iter().copied().fold(f32::MIN, f32::max);
            let sum: f64 = z.iter().map(|z| f64::from(z - largest).exp()).sum();
            let ln_p = |c: usize| f64::from(z[c] - largest) - sum.ln();
            let p = ln_p(right).exp();
            total -= (1.0 - p).powi(2) * ln_p(right);
            // By the logarithm of the right probability; that of each logit follows.
            let slope = 2.0 * (1.0 - p) * p * ln_p(right) - (1.0 - p).powi(2);
            for c in 0..classes {
                let hit = if c == right { 1.0 } else { 0.0 };
                d_logits[voxel * classes + c] = (slope * (hit - ln_p(c).exp()) / annotated) as f32;
            }
        }
        LossValue {
            total: total / annotated,
            ..LossValue::default()
        }
    }
}

/// A bright bar along x in a dark volume; three slices annotated.
fn bar() -> Case {
    let geometry = Geometry::of_shape([24, 32, 32]);
    let is_bar = |i: usize| (8..16).contains(&(i / 1024)) && (10..22).contains(&(i / 32 % 32));
    let image = Image {
        voxels: (0..geometry.voxels())
            .map(|i| f32::from(u8::from(is_bar(i))))
            .collect(),
        geometry: geometry.clone(),
        channels: 1,
    };
    let label = |i: usize| match i / 1024 {
        4 | 12 | 20 => Label::of_class(usize::from(is_bar(i))),
        _ => Label::UNLABELED,
    };
    let class = |value, name: &str| Class {
        value,
        name: name.into(),
    };
    let labels = Labels {
        voxels: (0..geometry.voxels()).map(label).collect(),
        classes: vec![class(0, "outside"), class(1, "bar")],
        geometry,
    };
    Case {
        name: "bar".into(),
        subject: None,
        notes: Vec::new(),
        image,
        labels,
    }
}

#[allow(clippy::print_stdout, reason = "an example speaks")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let threads = Threads::new(0)?;
    let config = TrainConfig {
        patch: Some([16; 3]),
        ..TrainConfig::default()
    };
    let mut trainer = Trainer::with_loss(&config, Arc::new([bar()]), Box::new(Focal), &threads)?;
    let steps = 40;
    for step in 0..steps {
        let record = trainer.step(&threads, f64::from(step) / f64::from(steps))?;
        if record.step % 10 == 1 || record.step == u64::from(steps as u32) {
            println!(
                "step {:3}  focal loss {:.4}",
                record.step, record.loss.total
            );
        }
    }
    Ok(())
}
