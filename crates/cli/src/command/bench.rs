//! `bench`: what this machine does.
//!
//! Runs the forward pass as prediction does and the step as training does
//! (forward, loss, backward, optimizer), on random numbers and labels, without
//! loading and augmentation, and tells medians.

use std::io::BufRead;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum};
use rand::Rng;
use serde_json::{Value, json};
use unet3d_kernels::random::{Stream, generator};
use unet3d_kernels::{Context, Threads, is_obtainable};
use unet3d_predict::DEFAULT_MEMORY_BYTES;
use unet3d_train::loss::CrossEntropyDice;
use unet3d_train::optimizer::{MomentumForm, Optimizer, clear, clip_norm};
use unet3d_train::{Loss, LossConfig, OptimizerConfig, TrainConfig};
use unet3d_unet::{Engine, Executor, Mode, Network, Parameters, Plan, Preset, Profile};
use unet3d_volume::Label;

use super::End;
use crate::arguments::{Json, Machine, ProfileFlag};
use crate::console::{self, Console};
use crate::interrupt::Interrupt;
use crate::parse;
use crate::process;
use crate::profile_table::{self, Limits};
use crate::progress::Progress;

/// Measure what this machine does: forward pass and training step
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  unet3d bench
  unet3d bench --preset small --json
  unet3d bench --size 92,92,92 --profile

Without --size it takes 116,132,132 (the tile of the paper) or the nearest size that
the network can have above it, for `small` two patches of 64,64,64, for `blog`
132,132,132, for `twin2d` 1,572,572 (the 2D U-Net's). GFLOP/s are effective: the
arithmetic of the direct algorithm over the time. A step is forward, loss, backward
and SGD with momentum; loading and augmentation run beside it in training and are
left out here.")]
pub(crate) struct Bench {
    /// The network: small, paper, released, common, blog, twin2d [default: common]
    #[arg(long, value_name = "NAME")]
    preset: Option<Preset>,

    /// Configuration file (TOML) of a run: its network, patch and batch
    #[arg(long, value_name = "FILE", conflicts_with = "preset")]
    config: Option<PathBuf>,

    /// Input of the network in voxels [default: see below]
    #[arg(long, value_name = "Z,Y,X", value_parser = parse::shape)]
    size: Option<[usize; 3]>,

    /// Patches in a step [default: 1; small: 2]
    #[arg(long, value_name = "N", value_parser = count)]
    batch: Option<usize>,

    /// Channels of the image [default: 3]
    #[arg(long, value_name = "N", value_parser = count)]
    channels: Option<usize>,

    /// Number of classes [default: 3]
    #[arg(long, value_name = "N", value_parser = count)]
    classes: Option<usize>,

    /// How often each is run, after one run to warm up; the median counts
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = count)]
    repeats: usize,

    #[command(flatten)]
    profile: ProfileFlag,

    /// Run one pass for each line on standard input and answer with its seconds and
    /// the peak of resident bytes: for comparisons in turn with other programs
    #[arg(long, value_name = "PASS", hide = true, conflicts_with = "json")]
    serve: Option<Work>,

    #[command(flatten)]
    machine: Machine,

    #[command(flatten)]
    json: Json,
}

/// Numbers above 0.
fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err("must be a whole number above 0".into()),
    }
}

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Work {
    Forward,
    Step,
}

/// A checked bench.
struct Setup {
    /// Name of the network.
    name: String,
    network: Network,
    size: [usize; 3],
    batch: usize,
    threads: Threads,
    engine: Engine,
}

impl Bench {
    /// Checks, measures, tells.
    pub(super) fn run(self) -> anyhow::Result<End> {
        let console = Console::new(self.json.json);
        let setup = self.plan()?;
        if let Some(work) = self.serve {
            return setup.serve(work, console);
        }
        let interrupt = Interrupt::listen()?;
        let mut timings = Vec::new();
        for work in [Work::Forward, Work::Step] {
            match setup.measure(work, self.repeats, &interrupt, console)? {
                Some(timing) => timings.push(timing),
                None => {
                    console.note("Interrupted: there is no result.");
                    return Ok(End::Interrupted);
                }
            }
        }
        let [forward, step] = &timings[..] else {
            bail!("a pass was not measured");
        };
        setup.tell(forward, step, console)?;
        let mut object = setup.object(forward, step);
        if self.profile.profile {
            let limits = Limits::measure(setup.context());
            console.note(format_args!(
                "\n{}",
                profile_table::text(&step.profile, &limits)
            ));
            object["limits"] = json!(limits);
        }
        console.json(&object)?;
        Ok(End::Done)
    }

    /// The network, its size and the machine; refuses what cannot be run.
    fn plan(&self) -> anyhow::Result<Setup> {
        let engine = Engine {
            // Always: it takes microseconds, and says how much arithmetic a step has.
            profile: true,
            ..self.machine.engine()?
        };
        let (config, name) = match &self.config {
            Some(path) => {
                let text = unet3d_volume::text::read(path).with_context(|| {
                    format!("{}: the configuration cannot be read", path.display())
                })?;
                let config = TrainConfig::from_toml(&text.with_plain_lines(), path)?;
                let name = match config.network {
                    Some(_) => path.display().to_string(),
                    None => config.preset.to_string(),
                };
                (config, name)
            }
            None => {
                let preset = self.preset.unwrap_or(Preset::Common);
                let config = TrainConfig {
                    preset,
                    ..TrainConfig::default()
                };
                (config, preset.to_string())
            }
        };
        let own = config.network.as_ref();
        let channels = self.channels.or(own.map(|n| n.in_channels)).unwrap_or(3);
        let classes = self.classes.or(own.map(|n| n.classes)).unwrap_or(3);
        ensure!(
            classes <= Label::MAX_CLASSES,
            "--classes is {classes}, at most {} are possible",
            Label::MAX_CLASSES
        );
        let network = config.network(channels, classes)?;
        let is_preset = own.is_none();
        let (usual, patches) = match config.preset {
            Preset::Small if is_preset => ([64; 3], 2),
            Preset::Blog if is_preset => ([132; 3], 1),
            Preset::Twin2d if is_preset => ([1, 572, 572], 1),
            _ => ([116, 132, 132], 1),
        };
        let size = match self.size.or(config.patch) {
            Some(size) => size,
            None => [0, 1, 2].map(|axis| network.legal_size(axis, usual[axis])),
        };
        network.output_shape(size).context("--size")?;
        let setup = Setup {
            name,
            network,
            size,
            batch: self.batch.or(config.batch).unwrap_or(patches),
            threads: self.machine.start_threads()?,
            engine,
        };
        let needed = setup.peak_bytes(Work::Step)?;
        let given = self.machine.memory.unwrap_or(DEFAULT_MEMORY_BYTES);
        if given < needed {
            bail!(
                "--memory is {}, a training step of this size needs {}. Allow more, or take a smaller --size or --batch.",
                console::bytes(given),
                console::bytes(needed)
            );
        }
        ensure!(
            is_obtainable(needed),
            "memory: a training step of this size needs {}, which this computer does not have. Take a smaller --size or --batch.",
            console::bytes(needed)
        );
        Ok(setup)
    }
}

/// The optimizer of the paper.
const OPTIMIZER: OptimizerConfig = OptimizerConfig::Sgd {
    rate: RATE,
    momentum: 0.99,
    form: MomentumForm::Pytorch,
    weight_decay: 0.0,
};

/// Small, so that hundreds of steps on random labels stay finite.
const RATE: f64 = 1e-4;

/// Everything that one kind of pass needs, as prediction or training holds it.
struct Runner<'a> {
    setup: &'a Setup,
    executor: Executor,
    parameters: Parameters,
    input: Vec<f32>,
    learner: Option<Learner>,
}

/// What training holds beyond prediction.
struct Learner {
    labels: Vec<Label>,
    loss: CrossEntropyDice,
    d_logits: Vec<f32>,
    gradients: Vec<f32>,
    optimizer: Optimizer,
    steps: u64,
}

/// What was measured of one kind of pass.
struct Timing {
    /// Median.
    seconds: f64,
    /// Multiplications and additions of the direct algorithm, one pass.
    flops: f64,
    /// By plan, of all that the process holds for it.
    peak_bytes: u64,
    /// As measured.
    resident_bytes: Option<u64>,
    /// Median.
    minor_faults: Option<u64>,
    profile: Profile,
}

impl Setup {
    fn context(&self) -> Context<'_> {
        Context {
            threads: &self.threads,
            isa: self.engine.isa,
        }
    }

    fn unet_plan(&self, work: Work) -> anyhow::Result<Plan> {
        let mode = match work {
            Work::Forward => Mode::Predict,
            Work::Step => Mode::Train,
        };
        let threads = self.threads.count();
        Ok(
            Plan::new(&self.network, self.batch, self.size, mode, threads)?
                .with_method(&self.network, self.engine.method),
        )
    }

    /// Bytes that the pass holds: plan with batch and gradient of the logits,
    /// parameters, and in training their gradients, the optimizer's state and
    /// the labels.
    fn peak_bytes(&self, work: Work) -> anyhow::Result<u64> {
        let plan = self.unet_plan(work)?;
        let parameters = self.network.parameter_count();
        let (copies, labels) = match work {
            Work::Forward => (1, 0),
            // Labels twice: the loss has them in its own form too.
            Work::Step => (2 + OPTIMIZER.slots(), 2 * voxels(plan.output_shape())),
        };
        let floats = copies * parameters + self.network.running_count();
        Ok(plan.peak_bytes() + (size_of::<f32>() * floats + labels) as u64)
    }

    fn runner(&self, work: Work) -> anyhow::Result<Runner<'_>> {
        let plan = self.unet_plan(work)?;
        let classes = self.network.config().classes;
        let mut random = generator(0, Stream::Test, 0);
        let input = plan.input_shape().iter().product();
        let input = (0..input).map(|_| (random.next_u64() >> 40) as f32 / (1 << 23) as f32 - 1.0);
        let input = input.collect();
        let parameters = self.network.init(0);
        let learner = match work {
            Work::Forward => None,
            Work::Step => Some(Learner {
                labels: (0..voxels(plan.output_shape()))
                    .map(|_| Label::of_class(random.next_u64() as usize % classes))
                    .collect(),
                loss: CrossEntropyDice::new(&LossConfig::default(), &[], classes)?,
                d_logits: vec![0.0; plan.output_shape().iter().product()],
                gradients: vec![0.0; self.network.parameter_count()],
                optimizer: Optimizer::new(OPTIMIZER, self.network.parameter_count(), Vec::new()),
                steps: 0,
            }),
        };
        Ok(Runner {
            setup: self,
            executor: Executor::new(&self.network, &plan).with_engine(self.engine),
            parameters,
            input,
            learner,
        })
    }

    /// Warms up and measures; `None` when the person asked to stop.
    fn measure(
        &self,
        work: Work,
        repeats: usize,
        interrupt: &Interrupt,
        console: Console,
    ) -> anyhow::Result<Option<Timing>> {
        process::reset_peak();
        let mut runner = self.runner(work)?;
        let name = match work {
            Work::Forward => "forward",
            Work::Step => "step",
        };
        let mut bar = Progress::new(console, name, "pass");
        let (mut times, mut faults) = (Vec::new(), Vec::new());
        for pass in 0..=repeats {
            bar.update(pass as f64 / (repeats + 1) as f64, pass as u64, "");
            let (seconds, new_faults) = runner.timed();
            if interrupt.asked() {
                bar.finish();
                return Ok(None);
            }
            match pass {
                0 => runner
                    .executor
                    .profile_mut()
                    .into_iter()
                    .for_each(Profile::clear),
                _ => {
                    times.push(seconds);
                    faults.extend(new_faults);
                }
            }
        }
        bar.finish();
        let profile = runner.executor.profile().cloned();
        let profile = profile.context("the passes were not measured")?;
        let flops: f64 = profile
            .rows()
            .map(|row| (row.flops * row.calls) as f64)
            .sum();
        times.sort_by(f64::total_cmp);
        faults.sort_unstable();
        Ok(Some(Timing {
            seconds: times[repeats / 2],
            flops: flops / repeats as f64,
            peak_bytes: self.peak_bytes(work)?,
            resident_bytes: process::peak_resident_bytes(),
            minor_faults: faults.get(repeats / 2).copied(),
            profile,
        }))
    }

    /// Answers each line on standard input with one pass.
    fn serve(&self, work: Work, console: Console) -> anyhow::Result<End> {
        let mut runner = self.runner(work)?;
        runner.run();
        let parameters = self.network.parameter_count() + self.network.running_count();
        console.result(format_args!("ready {parameters}"))?;
        for line in std::io::stdin().lock().lines() {
            line.context("standard input")?;
            let (seconds, _) = runner.timed();
            let peak = process::peak_resident_bytes().unwrap_or(0);
            console.result(format_args!("{seconds} {peak}"))?;
        }
        Ok(End::Done)
    }

    fn tell(&self, forward: &Timing, step: &Timing, console: Console) -> anyhow::Result<()> {
        let config = self.network.config();
        console.result(format_args!(
            "{}, {} voxels x {}, {}, {}; {}, {}.\n",
            self.name,
            console::shape(self.size),
            self.batch,
            console::counted(config.in_channels, "channel"),
            console::counted(config.classes, "class"),
            console::counted(self.threads.count(), "thread"),
            self.engine.isa,
        ))?;
        let optional = |value: Option<String>| value.unwrap_or_else(|| "not known".into());
        let mut rows = vec![
            [
                "",
                "median",
                "GFLOP/s",
                "memory by plan",
                "measured",
                "page faults",
            ]
            .map(String::from)
            .to_vec(),
        ];
        for (name, timing) in [("forward", forward), ("step", step)] {
            rows.push(vec![
                name.into(),
                format!("{:.4} s", timing.seconds),
                format!("{:.0}", timing.gflops()),
                console::bytes(timing.peak_bytes),
                optional(timing.resident_bytes.map(console::bytes)),
                optional(timing.minor_faults.map(console::count)),
            ]);
        }
        console.result(console::table(&rows, "<>>>>>"))?;
        console.result(format_args!(
            "\n1,000 steps take {}.",
            console::duration(1000.0 * step.seconds)
        ))
    }

    /// What `--json` prints.
    fn object(&self, forward: &Timing, step: &Timing) -> Value {
        json!({
            "forward_s": forward.seconds,
            "step_s": step.seconds,
            "peak_bytes": step.peak_bytes,
            "resident_bytes": step.resident_bytes,
            "forward_peak_bytes": forward.peak_bytes,
            "forward_resident_bytes": forward.resident_bytes,
            "minor_faults": step.minor_faults,
            "effective_gflops": forward.gflops(),
            "step_effective_gflops": step.gflops(),
            "threads": self.threads.count(),
            "isa": self.engine.isa.name(),
            "preset": self.name,
            "size": self.size,
            "batch": self.batch,
            "channels": self.network.config().in_channels,
            "classes": self.network.config().classes,
            "parameters": self.network.parameter_count(),
        })
    }
}

impl Timing {
    fn gflops(&self) -> f64 {
        self.flops / self.seconds / 1e9
    }
}

impl Runner<'_> {
    /// One pass: seconds, and page faults where the system counts them.
    fn timed(&mut self) -> (f64, Option<u64>) {
        let faults = process::minor_faults();
        let start = Instant::now();
        self.run();
        let seconds = start.elapsed().as_secs_f64();
        let after = process::minor_faults();
        (
            seconds,
            after.zip(faults).map(|(after, before)| after - before),
        )
    }

    /// One pass; a step does what `Trainer::step` does with its batch.
    fn run(&mut self) {
        let threads = &self.setup.threads;
        let dropout = self.learner.as_ref().map(|learner| (0, learner.steps));
        let logits = self
            .executor
            .forward(threads, &self.parameters, &self.input, dropout);
        let Some(learner) = &mut self.learner else {
            return;
        };
        learner
            .loss
            .evaluate(threads, logits, &learner.labels, &mut learner.d_logits);
        clear(threads, &mut learner.gradients);
        self.executor.backward(
            threads,
            &self.parameters,
            &self.input,
            &learner.d_logits,
            &mut learner.gradients,
        );
        clip_norm(threads, &mut learner.gradients, None);
        self.executor.update_running(
            &mut self.parameters,
            TrainConfig::default().running_momentum,
        );
        learner.optimizer.step(
            threads,
            &mut self.parameters.values,
            &learner.gradients,
            RATE,
            learner.steps,
        );
        learner.steps += 1;
    }
}

/// Voxels of all samples of a shape `[n, d, h, w, c]`.
fn voxels([n, d, h, w, _]: [usize; 5]) -> usize {
    n * d * h * w
}
