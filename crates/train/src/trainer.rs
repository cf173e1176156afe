//! A network while it learns: parameters, optimizer, batches and the memory of
//! a step. No file is touched here.

use std::sync::Arc;

use unet3d_kernels::Threads;
use unet3d_unet::{Engine, Executor, Kind, Mode, Network, Parameters, Plan, Profile};

use crate::batch::{Prefetcher, Recipe};
use crate::loss::{CrossEntropyDice, Loss};
use crate::optimizer::Optimizer;
use crate::sampler::{PatchShape, Sampler};
use crate::{Case, Error, TrainConfig};

/// Batches ready before the step that uses them: one being used, one waiting,
/// one being made. More would only take memory.
pub(crate) const BATCHES_AHEAD: usize = 2;

/// A network while it learns. [`step`](Self::step) is in `step.rs`.
pub struct Trainer {
    pub(crate) config: TrainConfig,
    pub(crate) network: Network,
    pub(crate) executor: Executor,
    pub(crate) parameters: Parameters,
    pub(crate) gradients: Vec<f32>,
    pub(crate) d_logits: Vec<f32>,
    pub(crate) optimizer: Optimizer,
    pub(crate) loss: Box<dyn Loss>,
    pub(crate) recipe: Recipe,
    pub(crate) batches: Prefetcher,
    /// Steps done.
    pub(crate) steps: u64,
}

/// What a step changes: enough to go on from there with the same bits.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Steps done.
    pub steps: u64,
    /// Weights and running statistics.
    pub parameters: Parameters,
    /// State of the optimizer.
    pub optimizer: Vec<f32>,
}

impl Trainer {
    /// A trainer at step 0 that minimises the configured loss.
    ///
    /// # Errors
    /// When configuration and cases do not go together.
    pub fn new(config: &TrainConfig, cases: Arc<[Case]>, threads: &Threads) -> Result<Self, Error> {
        let classes = classes_of(&cases)?;
        let loss = CrossEntropyDice::new(&config.loss, &cases, classes)?;
        Self::with_loss(config, cases, Box::new(loss), threads)
    }

    /// A trainer with a loss of one's own; `config.loss` is not looked at.
    ///
    /// # Errors
    /// When configuration and cases do not go together.
    pub fn with_loss(
        config: &TrainConfig,
        cases: Arc<[Case]>,
        loss: Box<dyn Loss>,
        threads: &Threads,
    ) -> Result<Self, Error> {
        config.check()?;
        let classes = classes_of(&cases)?;
        let network = config.network(cases[0].image.channels, classes)?;
        let config = config.settle(&network, &cases)?;
        let (patch, patches) = (
            config.patch.unwrap_or_default(),
            config.batch.unwrap_or_default(),
        );
        let shape = PatchShape::new(patch, network.output_shape(patch)?)?;
        let plan = Plan::new(&network, patches, patch, Mode::Train, threads.count())?;
        let sampler = Sampler::new(cases, shape, &config.sampler)?;
        let recipe = Recipe::new(
            Arc::new(sampler),
            config.augment.clone(),
            patches,
            config.seed,
        )?;
        let weights = network.layout().entries.iter();
        let weights = weights.filter(|e| matches!(e.kind, Kind::Weight | Kind::UpWeight));
        let decayed = weights.map(|entry| entry.range.clone());
        Ok(Self {
            parameters: network.init(config.seed),
            gradients: vec![0.0; network.parameter_count()],
            d_logits: vec![0.0; plan.output_shape().iter().product()],
            optimizer: Optimizer::new(
                config.optimizer.clone(),
                network.parameter_count(),
                decayed.collect(),
            ),
            executor: Executor::new(&network, &plan),
            batches: Prefetcher::new(&recipe, 1, BATCHES_AHEAD, 0)?,
            loss,
            recipe,
            network,
            config,
            steps: 0,
        })
    }

    /// Runs the network this way.
    pub fn with_engine(mut self, engine: Engine) -> Self {
        self.executor = self.executor.with_engine(engine);
        self
    }

    /// Where the time went, where the engine was asked to measure it.
    pub fn profile(&self) -> Option<&Profile> {
        self.executor.profile()
    }

    /// The configuration, with patch and batch settled.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The training cases.
    pub fn cases(&self) -> &Arc<[Case]> {
        self.recipe.sampler().cases()
    }

    /// Steps done.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The parameters as they are now.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// What to keep to go on from here.
    pub fn state(&self) -> State {
        State {
            steps: self.steps,
            parameters: self.parameters.clone(),
            optimizer: self.optimizer.state.clone(),
        }
    }

    /// Goes on from a state of a trainer with the same configuration and cases.
    ///
    /// # Errors
    /// When the state is one of another network or optimizer.
    pub fn restore(&mut self, state: State) -> Result<(), Error> {
        for (what, found, expected) in [
            (
                "parameters",
                state.parameters.values.len(),
                self.parameters.values.len(),
            ),
            (
                "running statistics",
                state.parameters.running.len(),
                self.parameters.running.len(),
            ),
            (
                "optimizer values",
                state.optimizer.len(),
                self.optimizer.state.len(),
            ),
        ] {
            if found != expected {
                return Err(Error::Data(format!(
                    "the checkpoint has {found} {what}, this network and optimizer have {expected}. \
                     Was the configuration changed since?"
                )));
            }
        }
        self.batches = Prefetcher::new(&self.recipe, 1, BATCHES_AHEAD, state.steps)?;
        self.steps = state.steps;
        self.parameters = state.parameters;
        self.optimizer.state = state.optimizer;
        Ok(())
    }
}

/// Number of classes, the same in all cases.
pub(crate) fn classes_of(cases: &[Case]) -> Result<usize, Error> {
    let Some(first) = cases.first() else {
        return Err(Error::Data(
            "there is no training case, at least one is needed".into(),
        ));
    };
    if let Some(other) = cases
        .iter()
        .find(|c| c.labels.classes != first.labels.classes)
    {
        return Err(Error::Data(format!(
            "case {} has other classes than case {}: {:?} and {:?}. All cases of a run share one list of classes",
            other.name, first.name, other.labels.classes, first.labels.classes
        )));
    }
    Ok(first.labels.classes.len())
}
