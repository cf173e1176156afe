//! What is compared: networks, and baselines that need no training.

use serde::{Deserialize, Serialize};
use unet3d_train::experiment::{Baseline, Comparison};

/// A column of the paper's tables, or one of ours beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Method {
    /// A network, trained.
    Network(Comparison),
    /// Without training.
    Baseline(Baseline),
}

impl Method {
    /// As files call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Network(network) => network.name(),
            Self::Baseline(baseline) => baseline.name(),
        }
    }

    /// As tables call it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Network(network) => network.title(),
            Self::Baseline(baseline) => baseline.title(),
        }
    }
}

/// These networks, then these baselines.
pub(super) fn methods(networks: &[Comparison], baselines: &[Baseline]) -> Vec<Method> {
    let networks = networks.iter().copied().map(Method::Network);
    networks
        .chain(baselines.iter().copied().map(Method::Baseline))
        .collect()
}
