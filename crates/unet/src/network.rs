//! A configuration with its graph: what is the same for every input size.

use rand::Rng;
use unet3d_kernels::random::{Stream, generator};

use crate::config::{ConfigError, MOST_PARAMETERS, UNetConfig};
use crate::graph::Graph;
use crate::layout::{Kind, Layout};

/// A network without its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    config: UNetConfig,
    graph: Graph,
}

/// The numbers that make a network a particular one.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    /// What is trained, as [`Network::layout`] says.
    pub values: Vec<f32>,
    /// Running statistics, as [`Network::running_layout`] says.
    pub running: Vec<f32>,
}

/// An input size that the network cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// A size along one axis that convolutions, poolings and crops do not fit.
    #[error(
        "input size {size} along {axis} does not fit the network; the nearest sizes that do are {nearest}"
    )]
    Illegal {
        /// `z`, `y` or `x`.
        axis: char,
        /// The size found.
        size: usize,
        /// The nearest legal sizes below and above.
        nearest: String,
    },
    /// More voxels than a computer can address.
    #[error(
        "a batch of {batch}, each of {input:?} voxels (z, y, x), needs more memory than any computer has; \
         take fewer or smaller patches"
    )]
    TooLarge {
        /// Samples.
        batch: usize,
        /// Voxels along `[z, y, x]`.
        input: [usize; 3],
    },
}

impl Network {
    /// The network of a configuration.
    ///
    /// # Errors
    /// When the configuration describes no network.
    pub fn new(config: UNetConfig) -> Result<Self, ConfigError> {
        let graph = Graph::new(&config)?;
        let parameters = graph.layout.len();
        if parameters > MOST_PARAMETERS {
            return Err(ConfigError {
                field: "the number of parameters of all levels".into(),
                found: parameters.to_string(),
                rule: "at most 2147483648; take fewer channels or levels",
            });
        }
        Ok(Self { config, graph })
    }

    /// What it was made from.
    pub fn config(&self) -> &UNetConfig {
        &self.config
    }

    /// Its nodes.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Names and places of the trained parameters.
    pub fn layout(&self) -> &Layout {
        &self.graph.layout
    }

    /// Names and places of the running statistics.
    pub fn running_layout(&self) -> &Layout {
        &self.graph.running
    }

    /// Number of trained parameters.
    pub fn parameter_count(&self) -> usize {
        self.layout().len()
    }

    /// Number of running statistics.
    pub fn running_count(&self) -> usize {
        self.running_layout().len()
    }

    /// Start values: weights normal with `std = sqrt(2 / fan_in)` (MSRA; for an
    /// up-convolution `fan_in` is the number of weights that reach one output),
    /// biases and shifts 0, scales and running variances 1.
    pub fn init(&self, seed: u64) -> Parameters {
        let mut values = vec![0.0; self.parameter_count()];
        for (index, entry) in self.layout().entries.iter().enumerate() {
            let slice = &mut values[entry.range.clone()];
            // An up-convolution's output voxel is reached by one tap alone.
            let fan_in = match entry.kind {
                Kind::Weight => entry.shape[1..].iter().product(),
                Kind::UpWeight => entry.shape[0],
                Kind::Scale => {
                    slice.fill(1.0);
                    continue;
                }
                _ => continue,
            };
            let std = (2.0 / fan_in as f64).sqrt();
            let mut random = generator(seed, Stream::Parameters, index as u64);
            slice.fill_with(|| (std * normal(&mut random)) as f32);
        }
        let mut running = vec![0.0; self.running_count()];
        for entry in &self.running_layout().entries {
            if entry.kind == Kind::RunningVariance {
                running[entry.range.clone()].fill(1.0);
            }
        }
        Parameters { values, running }
    }
}

/// A standard normal number (Box and Muller 1958).
fn normal(random: &mut impl Rng) -> f64 {
    let uniform = |bits: u64| ((bits >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    let (a, b) = (uniform(random.next_u64()), uniform(random.next_u64()));
    (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Preset;
    use crate::config::{Biases, Normalisation};

    fn network(preset: Preset) -> Network {
        Network::new(UNetConfig::preset(preset, 3, 3)).unwrap()
    }

    #[test]
    fn presets_have_the_parameters_that_their_sources_count() {
        let counts = Preset::ALL.map(|preset| (preset, network(preset).parameter_count()));
        assert_eq!(
            counts,
            [
                (Preset::Small, 340_787),
                (Preset::Paper, 19_069_955),
                (Preset::Released, 19_074_115),
                (Preset::Common, 19_075_523),
                (Preset::Blog, 4_270_403),
                (Preset::Twin2d, 6_822_659),
            ]
        );
        let blog = network(Preset::Blog);
        assert_eq!(blog.parameter_count() + blog.running_count(), 4_272_771);
        let plain = UNetConfig {
            normalisation: Normalisation::None,
            biases: Biases {
                first: true,
                convolutions: true,
                up_convolutions: false,
                score: true,
            },
            ..UNetConfig::preset(Preset::Twin2d, 3, 3)
        };
        assert_eq!(Network::new(plain).unwrap().parameter_count(), 6_817_091);
        let one = Network::new(UNetConfig::preset(Preset::Common, 1, 1)).unwrap();
        assert_eq!(one.parameter_count(), 19_073_665);
    }

    #[test]
    fn start_weights_have_the_variance_of_msra() {
        let network = network(Preset::Common);
        let parameters = network.init(1);
        let entry = network.layout().find("down2.conv1.weight").unwrap();
        let weights = &parameters.values[entry.range.clone()];
        let variance =
            weights.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>() / weights.len() as f64;
        let want = 2.0 / (128.0 * 27.0);
        assert!((variance / want - 1.0).abs() < 0.01, "{variance} {want}");
        assert_eq!(parameters, network.init(1));
        assert_ne!(parameters, network.init(2));
    }

    #[test]
    fn tensors_survive_the_change_of_order() {
        let network = network(Preset::Small);
        let layout = network.layout();
        let values: Vec<f32> = (0..layout.len()).map(|i| i as f32).collect();
        let mut back = vec![0.0; values.len()];
        for entry in &layout.entries {
            layout.set_tensor(entry, &mut back, &layout.tensor(entry, &values));
        }
        assert_eq!(values, back);
    }
}
