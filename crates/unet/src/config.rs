//! Which network: everything that changes shapes or values, as plain data.

use serde::{Deserialize, Serialize};

/// Whether convolutions shrink their input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// Outputs only where the kernel fits: a 3-wide kernel takes 2 voxels.
    Valid,
    /// Zeros around, output as large as the input.
    Same,
}

/// Normalisation after a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalisation {
    /// None.
    None,
    /// Over batch and space with the statistics of what is being computed,
    /// at prediction too (the paper).
    BatchCurrent,
    /// Over batch and space in training; at prediction with running averages.
    BatchRunning,
    /// Over space, each sample by itself.
    Instance,
}

/// Activation after normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `x` where positive, `slope * x` elsewhere.
    LeakyRelu {
        /// Factor for negative values.
        slope: f32,
    },
}

/// One level of the U: two convolutions on the way down, two on the way up
/// (the lowest level has only the first two).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// Output channels of the two convolutions on the way down.
    pub down: [usize; 2],
    /// Output channels of the up-convolution into this level and of the two
    /// convolutions after it; unused at the lowest level.
    pub up: [usize; 3],
    /// Kernel along `[z, y, x]`, each 1 or 3.
    pub kernel: [usize; 3],
    /// Pooling between this level and the next lower one along `[z, y, x]`,
    /// each 1 or 2; unused at the lowest level.
    pub pool: [usize; 3],
}

/// Which layers carry a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Biases {
    /// The first convolution of the network.
    pub first: bool,
    /// All other 3x3x3 convolutions.
    pub convolutions: bool,
    /// The up-convolutions.
    pub up_convolutions: bool,
    /// The last, 1x1x1 convolution.
    pub score: bool,
}

/// A 3D U-Net (Cicek et al. 2016) and its relatives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UNetConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Number of classes.
    pub classes: usize,
    /// From the full resolution down.
    pub levels: Vec<Level>,
    /// Valid or same.
    pub padding: Padding,
    /// After each 3x3x3 convolution.
    pub normalisation: Normalisation,
    /// After each normalisation.
    pub activation: Activation,
    /// Normalisation and activation after the up-convolutions too.
    pub up_activation: bool,
    /// Share of activations dropped in training, after each 3x3x3
    /// convolution's activation; 0 for none.
    pub dropout: f32,
    /// Which layers carry a bias.
    pub biases: Biases,
    /// Added to the variance before the square root.
    #[serde(default = "default_epsilon")]
    pub epsilon: f32,
}

/// 1e-5, the value of Caffe and PyTorch (Keras: 1e-3).
fn default_epsilon() -> f32 {
    1e-5
}

/// Why a configuration describes no network.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("network configuration: {field} is {found}, must be {rule}")]
pub struct ConfigError {
    /// Path of the field, such as `levels[1].kernel`.
    pub field: String,
    /// The value found.
    pub found: String,
    /// What is allowed.
    pub rule: &'static str,
}

impl UNetConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field whose value is not allowed.
    pub fn check(&self) -> Result<(), ConfigError> {
        let fail = |field: String, found: String, rule| Err(ConfigError { field, found, rule });
        if self.in_channels == 0 {
            return fail("in_channels".into(), "0".into(), "at least 1");
        }
        if self.classes == 0 {
            return fail("classes".into(), "0".into(), "at least 1");
        }
        if self.levels.is_empty() {
            return fail("levels".into(), "empty".into(), "at least one level");
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return fail(
                "dropout".into(),
                self.dropout.to_string(),
                "at least 0 and below 1",
            );
        }
        if !(self.epsilon > 0.0 && self.epsilon.is_finite()) {
            return fail("epsilon".into(), self.epsilon.to_string(), "above 0");
        }
        if let Activation::LeakyRelu { slope } = self.activation
            && !(0.0..1.0).contains(&slope)
        {
            return fail(
                "activation.slope".into(),
                slope.to_string(),
                "at least 0 and below 1",
            );
        }
        for (l, level) in self.levels.iter().enumerate() {
            let lowest = l + 1 == self.levels.len();
            if level.down.contains(&0) {
                return fail(
                    format!("levels[{l}].down"),
                    format!("{:?}", level.down),
                    "at least 1 each",
                );
            }
            if !lowest && level.up.contains(&0) {
                return fail(
                    format!("levels[{l}].up"),
                    format!("{:?}", level.up),
                    "at least 1 each",
                );
            }
            if level.kernel.iter().any(|k| *k != 1 && *k != 3) {
                return fail(
                    format!("levels[{l}].kernel"),
                    format!("{:?}", level.kernel),
                    "1 or 3 each",
                );
            }
            if !lowest && level.pool.iter().any(|p| *p != 1 && *p != 2) {
                return fail(
                    format!("levels[{l}].pool"),
                    format!("{:?}", level.pool),
                    "1 or 2 each",
                );
            }
        }
        Ok(())
    }
}
