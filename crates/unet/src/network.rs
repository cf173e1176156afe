//! A configuration with its graph: what is the same for every input size.

use rand::Rng;
use unet3d_kernels::random::{Stream, generator};

use crate::config::{ConfigError, MOST_PARAMETERS, Padding, UNetConfig};
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

    /// Output extent for an input extent, `[z, y, x]`.
    ///
    /// # Errors
    /// When the input does not fit: names the axis and the nearest legal sizes.
    pub fn output_shape(&self, input: [usize; 3]) -> Result<[usize; 3], SizeError> {
        let mut output = [0; 3];
        for axis in 0..3 {
            output[axis] = self.output_size(axis, input[axis]).ok_or_else(|| {
                let above = self.legal_size(axis, input[axis]);
                let below = (1..input[axis])
                    .rev()
                    .find(|n| self.output_size(axis, *n).is_some());
                SizeError::Illegal {
                    axis: ['z', 'y', 'x'][axis],
                    size: input[axis],
                    nearest: below.map_or(String::new(), |below| format!("{below} and "))
                        + &above.to_string(),
                }
            })?;
        }
        Ok(output)
    }

    /// The smallest legal input size along an axis that is at least `at_least`.
    pub fn legal_size(&self, axis: usize, at_least: usize) -> usize {
        // Legal sizes recur with the product of the poolings, from the
        // network's shrinkage on: the search always ends. What is larger than
        // any volume is refused elsewhere.
        const MOST: usize = 1 << 40;
        (at_least.clamp(1, MOST)..2 * MOST)
            .find(|n| self.is_legal(axis, *n))
            .unwrap_or(at_least)
    }

    /// Whether an input may have this size along an axis.
    pub fn is_legal(&self, axis: usize, size: usize) -> bool {
        self.output_size(axis, size).is_some()
    }

    /// Output size along one axis, `None` where `n` is not legal.
    fn output_size(&self, axis: usize, n: usize) -> Option<usize> {
        let levels = &self.config.levels;
        let lowest = levels.len() - 1;
        let shrink = |level: usize| match self.config.padding {
            Padding::Same => 0,
            Padding::Valid => 2 * (levels[level].kernel[axis] - 1),
        };
        let convolved = |n: usize, level: usize| n.checked_sub(shrink(level)).filter(|n| *n > 0);
        let mut skips = Vec::with_capacity(lowest);
        let mut n = n;
        for (l, level) in levels.iter().enumerate() {
            n = convolved(n, l)?;
            if l < lowest {
                skips.push(n);
                let window = level.pool[axis];
                if !n.is_multiple_of(window) {
                    return None;
                }
                n /= window;
            }
        }
        for l in (0..lowest).rev() {
            n *= levels[l].pool[axis];
            let crop = skips[l].checked_sub(n)?;
            if crop % 2 != 0 {
                return None;
            }
            n = convolved(n, l)?;
        }
        Some(n)
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
    fn the_papers_input_gives_the_papers_output() {
        for preset in [
            Preset::Paper,
            Preset::Released,
            Preset::Common,
            Preset::Blog,
        ] {
            assert_eq!(
                network(preset).output_shape([116, 132, 132]),
                Ok([28, 44, 44]),
                "{preset}"
            );
        }
        assert_eq!(
            network(Preset::Small).output_shape([40, 56, 40]),
            Ok([40, 56, 40])
        );
        assert_eq!(
            network(Preset::Twin2d).output_shape([1, 132, 132]),
            Ok([1, 44, 44])
        );
    }

    #[test]
    fn legal_sizes_are_4_modulo_8_from_92_on() {
        let paper = network(Preset::Paper);
        for n in 1..200 {
            let legal = n >= 92 && n % 8 == 4;
            let output = paper.output_shape([n, 132, 116]);
            assert_eq!(output.is_ok(), legal, "{n}");
            if legal {
                assert_eq!(output, Ok([n - 88, 44, 28]), "{n}");
            }
        }
        let error = paper.output_shape([132, 130, 132]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "input size 130 along y does not fit the network; the nearest sizes that do are 124 and 132"
        );
        let error = paper.output_shape([20, 132, 132]).unwrap_err();
        assert!(error.to_string().ends_with("are 92"), "{error}");
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
