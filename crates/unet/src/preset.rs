//! Networks with a name, each with the parameter count that its source gives.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::config::{Activation, Biases, Level, Normalisation, Padding, UNetConfig};

/// A named network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Figure 2 of Cicek et al. 2016: no normalisation, biases as counted
    /// there. 19,069,955 parameters (3 channels, 3 classes).
    Paper,
    /// The authors' released network: batch normalisation after every
    /// convolution and up-convolution. 19,074,115.
    Released,
    /// The usual port: all biases, batch normalisation after the 14
    /// convolutions. 19,075,523.
    Common,
    /// The Keras model of the 2018 review: half the channels, dropout 0.3,
    /// running statistics. 4,272,771 with the running statistics.
    Blog,
    /// The paper's 2D counterpart: the same channels, 1 voxel deep. 6,822,659.
    Twin2d,
    /// Ours: 3 levels, 16 to 64 channels, same padding, instance
    /// normalisation; trains in minutes on a laptop.
    Small,
}

impl Preset {
    /// All of them, as `--help` lists them.
    pub const ALL: [Self; 6] = [
        Self::Small,
        Self::Paper,
        Self::Released,
        Self::Common,
        Self::Blog,
        Self::Twin2d,
    ];

    /// The name in files and flags.
    pub fn name(self) -> &'static str {
        match self {
            Self::Paper => "paper",
            Self::Released => "released",
            Self::Common => "common",
            Self::Blog => "blog",
            Self::Twin2d => "twin2d",
            Self::Small => "small",
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|preset| preset.name() == name)
            .ok_or_else(|| {
                let names: Vec<_> = Self::ALL.iter().map(|preset| preset.name()).collect();
                format!(
                    "there is no preset {name:?}; the presets are {}",
                    names.join(", ")
                )
            })
    }
}

/// Channels of the paper's figure 2, doubled before pooling; the
/// up-convolutions keep their channels.
const PAPER: [([usize; 2], [usize; 3]); 4] = [
    ([32, 64], [128, 64, 64]),
    ([64, 128], [256, 128, 128]),
    ([128, 256], [512, 256, 256]),
    ([256, 512], [0, 0, 0]),
];

/// Channels of the review's Keras model.
const BLOG: [([usize; 2], [usize; 3]); 4] = [
    ([32, 32], [32, 32, 32]),
    ([64, 64], [64, 64, 32]),
    ([128, 128], [128, 128, 64]),
    ([256, 128], [0, 0, 0]),
];

/// Channels of the small network: the usual doubling from level to level.
const SMALL: [([usize; 2], [usize; 3]); 3] = [
    ([16, 16], [16, 16, 16]),
    ([32, 32], [32, 32, 32]),
    ([64, 64], [0, 0, 0]),
];

fn levels(
    channels: &[([usize; 2], [usize; 3])],
    kernel: [usize; 3],
    pool: [usize; 3],
) -> Vec<Level> {
    channels
        .iter()
        .map(|&(down, up)| Level {
            down,
            up,
            kernel,
            pool,
        })
        .collect()
}

impl UNetConfig {
    /// The network of a preset for so many input channels and classes.
    pub fn preset(preset: Preset, in_channels: usize, classes: usize) -> Self {
        let all = Biases {
            first: true,
            convolutions: true,
            up_convolutions: true,
            score: true,
        };
        let common = Self {
            in_channels,
            classes,
            levels: levels(&PAPER, [3; 3], [2; 3]),
            padding: Padding::Valid,
            normalisation: Normalisation::BatchCurrent,
            activation: Activation::Relu,
            up_activation: false,
            dropout: 0.0,
            biases: all,
            epsilon: 1e-5,
        };
        match preset {
            Preset::Common => common,
            Preset::Paper => Self {
                normalisation: Normalisation::None,
                biases: Biases {
                    up_convolutions: false,
                    ..all
                },
                ..common
            },
            Preset::Released => Self {
                up_activation: true,
                biases: Biases {
                    convolutions: false,
                    up_convolutions: false,
                    ..all
                },
                ..common
            },
            Preset::Blog => Self {
                levels: levels(&BLOG, [3; 3], [2; 3]),
                normalisation: Normalisation::BatchRunning,
                dropout: 0.3,
                epsilon: 1e-3, // Keras' default
                ..common
            },
            Preset::Twin2d => Self {
                levels: levels(&PAPER, [1, 3, 3], [1, 2, 2]),
                ..common
            },
            Preset::Small => Self {
                levels: levels(&SMALL, [3; 3], [2; 3]),
                padding: Padding::Same,
                normalisation: Normalisation::Instance,
                ..common
            },
        }
    }
}
