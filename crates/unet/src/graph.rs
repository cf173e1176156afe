//! The U as data: a list of nodes of seven kinds, read top-down for the forward
//! pass and bottom-up for the backward pass.
//!
//! A value is what a node makes. Convolutions, up-convolutions and poolings
//! write theirs to memory. Normalisation, activation and dropout change what a
//! stored value means: they are applied when it is next read. A concatenation
//! is only a way of reading two values.

use crate::config::{Activation, ConfigError, Normalisation, Padding, UNetConfig};
use crate::layout::{Kind, Layout};

/// Index of a value. 0 is the input of the network.
pub type ValueId = usize;

/// A step of the network. Numbers named `weight`, `bias`, ... are entries of
/// the [`Layout`].
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the fields are the operands")]
pub enum Node {
    /// Convolution; the 1x1x1 score too.
    Conv {
        from: ValueId,
        to: ValueId,
        weight: usize,
        bias: Option<usize>,
        kernel: Footprint,
    },
    /// Normalisation of a value; `running` are its mean and variance in the
    /// running layout.
    Norm {
        value: ValueId,
        scale: usize,
        shift: usize,
        running: Option<[usize; 2]>,
    },
    /// Activation of a value.
    Activation { value: ValueId, slope: f32 },
    /// Dropout of a value, the `index`-th of the network.
    Dropout {
        value: ValueId,
        rate: f32,
        index: usize,
    },
    /// Max pooling.
    Pool {
        from: ValueId,
        to: ValueId,
        window: [usize; 3],
    },
    /// Up-convolution, kernel and stride `window`.
    UpConv {
        from: ValueId,
        to: ValueId,
        weight: usize,
        bias: Option<usize>,
        window: [usize; 3],
    },
    /// `[up, skip]`, the skip cropped to the middle.
    Concat {
        up: ValueId,
        skip: ValueId,
        to: ValueId,
    },
}

/// The inputs that one output of a convolution sees, along `[z, y, x]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// How many.
    pub size: [usize; 3],
    /// Zeros before and behind the input.
    pub pad: [usize; 3],
}

/// The nodes of a network, its values' channels and its parameters' places.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// In the order of the forward pass.
    pub nodes: Vec<Node>,
    /// Channels of each value.
    pub channels: Vec<usize>,
    /// Trained parameters.
    pub layout: Layout,
    /// Running statistics.
    pub running: Layout,
}

impl Graph {
    /// Spells out a configuration.
    ///
    /// # Errors
    /// When the configuration describes no network.
    pub fn new(config: &UNetConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let graph = Self {
            nodes: Vec::new(),
            channels: vec![config.in_channels],
            layout: Layout::default(),
            running: Layout::default(),
        };
        let mut builder = Builder {
            config,
            graph,
            dropouts: 0,
        };
        builder.unet();
        Ok(builder.graph)
    }
}

struct Builder<'a> {
    config: &'a UNetConfig,
    graph: Graph,
    dropouts: usize,
}

impl Builder<'_> {
    fn unet(&mut self) {
        let levels = &self.config.levels;
        let lowest = levels.len() - 1;
        let mut value = 0;
        let mut skips = Vec::new();
        for (l, level) in levels.iter().enumerate() {
            value = self.double_conv(value, &format!("down{l}"), level.down, level.kernel);
            if l < lowest {
                skips.push(value);
                let to = self.value(level.down[1]);
                self.graph.nodes.push(Node::Pool {
                    from: value,
                    to,
                    window: level.pool,
                });
                value = to;
            }
        }
        for (l, level) in levels.iter().enumerate().take(lowest).rev() {
            let up = self.up_conv(value, l, level.up[0], level.pool);
            let skip = skips[l];
            let to = self.value(level.up[0] + self.graph.channels[skip]);
            self.graph.nodes.push(Node::Concat { up, skip, to });
            value = self.double_conv(
                to,
                &format!("up{l}"),
                [level.up[1], level.up[2]],
                level.kernel,
            );
        }
        self.conv(
            value,
            "score",
            self.config.classes,
            [1; 3],
            self.config.biases.score,
        );
    }

    fn double_conv(
        &mut self,
        from: ValueId,
        name: &str,
        channels: [usize; 2],
        kernel: [usize; 3],
    ) -> ValueId {
        let mut value = from;
        for (i, out_c) in channels.into_iter().enumerate() {
            let biases = self.config.biases;
            let bias = if value == 0 {
                biases.first
            } else {
                biases.convolutions
            };
            value = self.conv(value, &format!("{name}.conv{i}"), out_c, kernel, bias);
            self.normalise_and_activate(value, &format!("{name}.norm{i}"));
            if self.config.dropout > 0.0 {
                let node = Node::Dropout {
                    value,
                    rate: self.config.dropout,
                    index: self.dropouts,
                };
                self.graph.nodes.push(node);
                self.dropouts += 1;
            }
        }
        value
    }

    fn conv(
        &mut self,
        from: ValueId,
        name: &str,
        out_c: usize,
        kernel: [usize; 3],
        bias: bool,
    ) -> ValueId {
        let in_c = self.graph.channels[from];
        let to = self.value(out_c);
        let shape = [vec![out_c, in_c], kernel.to_vec()].concat();
        let weight = self
            .graph
            .layout
            .push(format!("{name}.weight"), shape, Kind::Weight);
        let bias = bias.then(|| {
            self.graph
                .layout
                .push(format!("{name}.bias"), vec![out_c], Kind::Bias)
        });
        let pad = match self.config.padding {
            Padding::Valid => [0; 3],
            Padding::Same => kernel.map(|k| (k - 1) / 2),
        };
        self.graph.nodes.push(Node::Conv {
            from,
            to,
            weight,
            bias,
            kernel: Footprint { size: kernel, pad },
        });
        to
    }

    fn up_conv(&mut self, from: ValueId, l: usize, out_c: usize, window: [usize; 3]) -> ValueId {
        let in_c = self.graph.channels[from];
        let to = self.value(out_c);
        let shape = [vec![in_c, out_c], window.to_vec()].concat();
        let name = format!("up{l}.upconv");
        let weight = self
            .graph
            .layout
            .push(format!("{name}.weight"), shape, Kind::UpWeight);
        let bias = (self.config.biases.up_convolutions).then(|| {
            self.graph
                .layout
                .push(format!("{name}.bias"), vec![out_c], Kind::Bias)
        });
        self.graph.nodes.push(Node::UpConv {
            from,
            to,
            weight,
            bias,
            window,
        });
        if self.config.up_activation {
            self.normalise_and_activate(to, &format!("up{l}.upnorm"));
        }
        to
    }

    fn normalise_and_activate(&mut self, value: ValueId, name: &str) {
        let c = vec![self.graph.channels[value]];
        if self.config.normalisation != Normalisation::None {
            let scale = self
                .graph
                .layout
                .push(format!("{name}.scale"), c.clone(), Kind::Scale);
            let shift = self
                .graph
                .layout
                .push(format!("{name}.shift"), c.clone(), Kind::Shift);
            let running = (self.config.normalisation == Normalisation::BatchRunning).then(|| {
                let running = &mut self.graph.running;
                [
                    running.push(format!("{name}.running_mean"), c.clone(), Kind::RunningMean),
                    running.push(format!("{name}.running_var"), c, Kind::RunningVariance),
                ]
            });
            self.graph.nodes.push(Node::Norm {
                value,
                scale,
                shift,
                running,
            });
        }
        let slope = match self.config.activation {
            Activation::Relu => 0.0,
            Activation::LeakyRelu { slope } => slope,
        };
        self.graph.nodes.push(Node::Activation { value, slope });
    }

    fn value(&mut self, channels: usize) -> ValueId {
        self.graph.channels.push(channels);
        self.graph.channels.len() - 1
    }
}
