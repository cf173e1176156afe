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

/// Levels of a network at most: 16 halve a volume of 32768 voxels to one, more
/// than any volume has along an axis.
pub const MOST_LEVELS: usize = 16;

/// Channels of one value at most, a hundred times those of the widest U-Nets in
/// use: with all other limits, sizes then never leave the range of numbers.
pub const MOST_CHANNELS: usize = 1 << 16;

/// Classes at most: a label is one byte, one value of which means unlabeled.
pub const MOST_CLASSES: usize = 255;

/// Parameters of a network at most: 8 GiB, of which training needs four times as
/// much.
pub const MOST_PARAMETERS: usize = 1 << 31;

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
        if !is_width(self.in_channels) {
            let found = self.in_channels.to_string();
            return fail("in_channels".into(), found, WIDTHS);
        }
        if !(1..=MOST_CLASSES).contains(&self.classes) {
            let rule = "from 1 to 255, as a label is one byte";
            return fail("classes".into(), self.classes.to_string(), rule);
        }
        if !(1..=MOST_LEVELS).contains(&self.levels.len()) {
            let found = format!("a list of {}", self.levels.len());
            return fail("levels".into(), found, "from 1 to 16 levels");
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
            if !level.down.iter().all(|c| is_width(*c)) {
                return fail(
                    format!("levels[{l}].down"),
                    format!("{:?}", level.down),
                    WIDTHS,
                );
            }
            if !lowest && !level.up.iter().all(|c| is_width(*c)) {
                return fail(format!("levels[{l}].up"), format!("{:?}", level.up), WIDTHS);
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

/// What [`is_width`] asks.
const WIDTHS: &str = "from 1 to 65536 channels";

fn is_width(channels: usize) -> bool {
    (1..=MOST_CHANNELS).contains(&channels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Network, Preset};

    #[test]
    fn sizes_beyond_all_reason_are_refused_by_name() {
        type Spoil = fn(&mut UNetConfig, usize);
        let spoils: [(&str, Spoil); 5] = [
            ("in_channels", |c, n| c.in_channels = n),
            ("classes", |c, n| c.classes = n),
            ("levels[0].down", |c, n| c.levels[0].down[1] = n),
            ("levels[2].down", |c, n| c.levels[2].down[0] = n),
            ("levels[1].up", |c, n| c.levels[1].up[2] = n),
        ];
        for (field, spoil) in spoils {
            for n in [0, MOST_CHANNELS + 1, 1 << 31, 1 << 32, 1 << 63, usize::MAX] {
                let mut config = UNetConfig::preset(Preset::Small, 1, 2);
                spoil(&mut config, n);
                let error = Network::new(config).unwrap_err();
                assert_eq!(error.field, field);
                assert!(error.found.contains(&n.to_string()), "{error}");
            }
        }
        // What the lowest level does not use may be anything.
        let mut config = UNetConfig::preset(Preset::Small, 1, 2);
        config.levels[2].up = [0, usize::MAX, 1 << 40];
        config.levels[2].pool = [0, usize::MAX, 7];
        assert!(Network::new(config).is_ok());
    }

    #[test]
    fn the_parameters_of_all_layers_together_are_bounded() {
        let mut config = UNetConfig::preset(Preset::Small, 1, 2);
        config.levels[1].down = [MOST_CHANNELS; 2];
        let error = Network::new(config).unwrap_err();
        assert!(error.to_string().contains("parameters"), "{error}");
        assert!(error.rule.contains(&MOST_PARAMETERS.to_string()), "{error}");
    }

    #[test]
    fn many_levels_answer_at_once() {
        let with = |levels: usize, padding| {
            let mut config = UNetConfig::preset(Preset::Small, 1, 2);
            let level = Level {
                down: [1; 2],
                up: [1; 3],
                ..config.levels[0].clone()
            };
            config.levels = vec![level; levels];
            config.padding = padding;
            Network::new(config)
        };
        for levels in [MOST_LEVELS + 1, 72, 5000] {
            let error = with(levels, Padding::Same).unwrap_err();
            assert_eq!(error.field, "levels");
            assert!(error.found.contains(&levels.to_string()), "{error}");
        }
        for padding in [Padding::Same, Padding::Valid] {
            let network = with(MOST_LEVELS, padding).unwrap();
            let smallest = network.legal_size(0, 1);
            assert!(smallest >= 1 << 15 && network.is_legal(0, smallest));
            // No size is beyond the search for the nearest.
            for size in [0, 1, smallest + 1, 1 << 40, 1 << 62, usize::MAX] {
                let _ = network.output_shape([size, smallest, smallest]);
                let _ = network.legal_size(0, size);
            }
        }
    }
}
