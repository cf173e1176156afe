//! All runs of an experiment, known before the first: settings, memory, names.

use anyhow::{Context, bail};
use serde_json::{Value, json};
use unet3d_kernels::Threads;
use unet3d_train::experiment::{fingerprint, needs};
use unet3d_train::{Case, TrainConfig};
use unet3d_unet::Engine;

use super::method::Method;
use super::study::Study;
use crate::console;

/// One run to be made.
pub(super) struct Run {
    /// Index of the part.
    pub(super) part: usize,
    /// What is trained, if anything.
    pub(super) method: Method,
    /// Seed of a network.
    pub(super) seed: Option<u64>,
    /// How a network is trained.
    pub(super) config: Option<TrainConfig>,
    /// Everything that decides what the run computes.
    pub(super) configuration: Value,
    /// Name of its file and folder.
    pub(super) name: String,
}

/// All runs, and what is known before the first.
pub(super) struct Plan {
    /// In the order in which they are made.
    pub(super) runs: Vec<Run>,
    /// Share of the training voxels that is annotated, by part.
    pub(super) annotated: Vec<f64>,
    /// Memory at the peak.
    pub(super) peak_bytes: u64,
    /// Protocol and data: what all runs have in common.
    pub(super) about: Value,
}

impl Plan {
    /// Splits every part once, settles how each network is trained on it, and
    /// reckons its memory. `seeds` is how often a network is trained.
    ///
    /// # Errors
    /// Where a part or a network is refused.
    pub(super) fn new(
        study: &Study,
        seeds: u64,
        base: &TrainConfig,
        cases: &[Case],
        engine: Engine,
        threads: &Threads,
    ) -> anyhow::Result<Self> {
        let parts = study.protocol.parts();
        let data_bytes: u64 = cases.iter().map(Case::bytes).sum();
        if let Some(given) = base.memory_bytes.filter(|given| *given <= data_bytes) {
            bail!(
                "--memory is {}, the volumes alone take {}. Allow more memory, or name fewer or smaller volumes.",
                console::bytes(given),
                console::bytes(data_bytes)
            );
        }
        // The volumes stay in memory while a run has its own copy of them.
        let base = TrainConfig {
            memory_bytes: base.memory_bytes.map(|given| given - data_bytes),
            ..base.clone()
        };
        let about = json!({
            "experiment": study.name,
            // Before the data, which they change: a difference is told by its cause.
            "classes": cases[0].labels.classes,
            "normalise": base.normalise,
            "settings": study.settings,
            "data": fingerprint(cases),
        });
        let mut plan = Self {
            runs: Vec::new(),
            annotated: Vec::new(),
            peak_bytes: 0,
            about,
        };
        for (number, part) in parts.iter().enumerate() {
            let split = study.protocol.split(cases, number)?;
            plan.annotated.push(annotated_share(&split.training));
            for method in &study.methods {
                let beside = || {
                    format!(
                        "{} beside {} of volumes",
                        method.title(),
                        console::bytes(data_bytes)
                    )
                };
                let config = match method {
                    Method::Network(network) => {
                        let settled = network.configure(&base, &split.training);
                        Some(settled.with_context(beside)?)
                    }
                    Method::Baseline(_) => None,
                };
                if let Some(config) = &config {
                    let needed =
                        needs(config, &split, true, engine, threads).with_context(beside)?;
                    plan.peak_bytes = plan.peak_bytes.max(needed.peak_bytes() + data_bytes);
                }
                let seeds = if config.is_some() { seeds } else { 1 };
                for seed in base.seed..base.seed + seeds {
                    let seed = config.is_some().then_some(seed);
                    let config = config.clone().map(|config| TrainConfig {
                        seed: seed.unwrap_or(config.seed),
                        ..config
                    });
                    plan.runs.push(Run {
                        part: number,
                        method: *method,
                        seed,
                        configuration: json!({
                            "about": plan.about,
                            "part": part.name,
                            "setup": part.setup,
                            "train": config,
                        }),
                        name: file_name(number, &part.name, part.setup.as_deref(), *method, seed),
                        config,
                    });
                }
            }
        }
        // A whole table first, then the next seed.
        plan.runs.sort_by_key(|run| run.seed.unwrap_or(base.seed));
        Ok(plan)
    }
}

fn annotated_share(cases: &[Case]) -> f64 {
    let annotated: usize = cases.iter().map(|c| c.labels.annotated_voxels()).sum();
    let all: usize = cases.iter().map(|c| c.labels.voxels.len()).sum();
    annotated as f64 / all.max(1) as f64
}

/// `01-subset-1-3d-bn-seed0`: the number keeps names apart that differ only in
/// what a file name cannot hold.
fn file_name(
    number: usize,
    part: &str,
    setup: Option<&str>,
    method: Method,
    seed: Option<u64>,
) -> String {
    let mut name = format!("{:02}-{}", number + 1, slug(part));
    if let Some(setup) = setup {
        name += &format!("-slices-{}", slug(setup));
    }
    name += &format!("-{}", method.name());
    if let Some(seed) = seed {
        name += &format!("-seed{seed}");
    }
    name
}

fn slug(text: &str) -> String {
    // Long enough to tell, short enough for any file system.
    const LONGEST: usize = 60;
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    text.chars().take(LONGEST).map(plain).collect()
}
