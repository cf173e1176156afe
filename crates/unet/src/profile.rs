//! Where the time of a pass goes: calls and seconds for each node, beside the
//! arithmetic and the memory traffic that the node cannot do without.
//!
//! An [`Executor`](crate::Executor) that was asked for it fills one row for each
//! node and pass. All rows are made beforehand; a pass only adds to them.

use std::time::Instant;

use unet3d_kernels::upconv3d;

use crate::graph::{Node, ValueId};
use crate::network::Network;
use crate::plan::Plan;

/// The part of a node's work that a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// The forward pass.
    Forward,
    /// Backward: the gradient through pooling, dropout, activation and normalisation.
    Activation,
    /// Backward: the gradient of the weights.
    Weights,
    /// Backward: the gradient of the input.
    Input,
    /// Backward: all gradients of a node that computes them together.
    Backward,
}

impl Pass {
    /// All of them, in the order of a step.
    pub const ALL: [Self; 5] = [
        Self::Forward,
        Self::Activation,
        Self::Weights,
        Self::Input,
        Self::Backward,
    ];

    /// Lower-case name, as tables show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Activation => "d activation",
            Self::Weights => "d weights",
            Self::Input => "d input",
            Self::Backward => "backward",
        }
    }
}

/// What one pass of one node has taken, and what one call of it needs at least.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Name of the node as in the layout, such as `down0.conv1`.
    pub name: String,
    /// Shape of what the node writes, `[n, d, h, w, c]`.
    pub shape: [usize; 5],
    /// Which pass.
    pub pass: Pass,
    /// Multiplications and additions of the direct algorithm, one call. Only
    /// convolutions and up-convolutions count.
    pub flops: u64,
    /// Bytes of one call's operands in f32, each read or written once.
    pub bytes: u64,
    /// How often it ran.
    pub calls: u64,
    /// Seconds of all calls together.
    pub seconds: f64,
    /// Seconds of the fastest call, which other programs on the machine have
    /// disturbed least; infinite before the first.
    pub fastest_s: f64,
}

/// Rows for all nodes and passes of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// All passes of node 0, then those of node 1, ...
    rows: Vec<Row>,
}

/// The time of the last lap; `None` where nobody asked for a profile.
pub(crate) type Clock = Option<Instant>;

impl Profile {
    /// A profile in which nothing has run yet.
    pub(crate) fn new(network: &Network, plan: &Plan) -> Self {
        let rows = network.graph().nodes.iter().flat_map(|node| {
            let of_node = Of {
                network,
                plan,
                node,
            };
            Pass::ALL.map(|pass| of_node.row(pass))
        });
        Self {
            rows: rows.collect(),
        }
    }

    /// The rows of what has run: nodes in the order of the graph, each with its
    /// passes in the order of a step.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.calls > 0)
    }

    /// Forgets what has run.
    pub fn clear(&mut self) {
        for row in &mut self.rows {
            (row.calls, row.seconds, row.fastest_s) = (0, 0.0, f64::INFINITY);
        }
    }

    /// Adds a call of a node that began at `clock` and has just ended.
    pub(crate) fn add(&mut self, node: usize, pass: Pass, clock: &mut Clock) {
        let now = Instant::now();
        if let Some(began) = clock.replace(now) {
            self.add_seconds(node, pass, now.duration_since(began).as_secs_f64());
        }
    }

    /// Adds a call of a node that took so long.
    pub(crate) fn add_seconds(&mut self, node: usize, pass: Pass, seconds: f64) {
        let row = &mut self.rows[node * Pass::ALL.len() + pass as usize];
        row.calls += 1;
        row.seconds += seconds;
        row.fastest_s = row.fastest_s.min(seconds);
    }
}

/// A node in its network and plan.
struct Of<'a> {
    network: &'a Network,
    plan: &'a Plan,
    node: &'a Node,
}

impl Of<'_> {
    fn row(&self, pass: Pass) -> Row {
        let shape = self.plan.shapes[self.writes()];
        let [d, h, w] = shape.space;
        let (flops, floats) = self.needs(pass);
        Row {
            name: self.name(),
            shape: [shape.n, d, h, w, shape.c],
            pass,
            flops,
            bytes: 4 * floats as u64,
            calls: 0,
            seconds: 0.0,
            fastest_s: f64::INFINITY,
        }
    }

    /// The value that the node makes or changes.
    fn writes(&self) -> ValueId {
        match *self.node {
            Node::Conv { to, .. }
            | Node::Pool { to, .. }
            | Node::UpConv { to, .. }
            | Node::Concat { to, .. } => to,
            Node::Norm { value, .. }
            | Node::Activation { value, .. }
            | Node::Dropout { value, .. } => value,
        }
    }

    fn name(&self) -> String {
        let entries = &self.network.layout().entries;
        let stem = |entry: usize| {
            let name = &entries[entry].name;
            name.rsplit_once('.')
                .map_or(name.as_str(), |(stem, _)| stem)
                .to_owned()
        };
        match *self.node {
            Node::Conv { weight, .. } | Node::UpConv { weight, .. } => stem(weight),
            Node::Norm { scale, .. } => stem(scale),
            // Named after the level that it leaves.
            Node::Pool { from, .. } => {
                let maker = self
                    .network
                    .graph()
                    .nodes
                    .iter()
                    .find_map(|node| match node {
                        Node::Conv { to, weight, .. } if *to == from => Some(stem(*weight)),
                        _ => None,
                    });
                let maker = maker.unwrap_or_default();
                let level = maker.split('.').next().unwrap_or_default();
                format!("{level}.pool")
            }
            Node::Activation { .. } => "activation".into(),
            Node::Dropout { .. } => "dropout".into(),
            Node::Concat { .. } => "concat".into(),
        }
    }

    /// Direct arithmetic, and floats that are read or written at least.
    fn needs(&self, pass: Pass) -> (u64, usize) {
        let shapes = &self.plan.shapes;
        // Value and gradient in, gradient out; of a pooled value the gradients by the
        // maxima and by what a skip keeps come in. Where nothing is applied to the value,
        // its gradient is only summed for the bias.
        let activation = |value: ValueId| {
            let nodes = &self.network.graph().nodes;
            let is_applied =
                |node: &Node| matches!(node, Node::Activation { value: v, .. } if *v == value);
            let pooled = nodes.iter().find_map(|node| match *node {
                Node::Pool { from, to, .. } if from == value => Some(to),
                _ => None,
            });
            let kept = nodes.iter().find_map(|node| match *node {
                Node::Concat { skip, to, .. } if skip == value => {
                    Some(shapes[to].n * shapes[to].voxels() * shapes[skip].c)
                }
                _ => None,
            });
            let len = shapes[value].len();
            let floats = match pooled {
                _ if !nodes.iter().any(is_applied) => len,
                Some(maxima) => 2 * len + shapes[maxima].len() + kept.unwrap_or(0),
                None => 3 * len,
            };
            (0, floats)
        };
        match *self.node {
            Node::Conv {
                from, to, kernel, ..
            } => {
                let size = self.plan.conv_size(from, to, kernel);
                let y = self.plan.stored(to).len();
                let (x, w) = (shapes[from].len(), size.weights());
                // A pooling convolution writes the maxima too.
                let maxima = self.plan.fused[to].map_or(0, |fused| shapes[fused.to].len());
                match pass {
                    Pass::Activation => activation(to),
                    Pass::Forward => (size.flops(), x + y + w + maxima),
                    _ => (size.flops(), x + y + w),
                }
            }
            Node::UpConv {
                from, to, window, ..
            } => {
                let size = upconv3d::Size {
                    input: shapes[from],
                    window,
                    out_c: shapes[to].c,
                };
                let (x, y, w) = (shapes[from].len(), shapes[to].len(), size.weights());
                // Every output voxel is reached by one tap.
                let flops = 2 * y as u64 * shapes[from].c as u64;
                match pass {
                    Pass::Activation => activation(to),
                    // Both gradients: input read and written, each operand once.
                    Pass::Backward => (2 * flops, 2 * x + y + 2 * w),
                    _ => (flops, x + y + w),
                }
            }
            Node::Pool { from, to, .. } => (0, shapes[from].len() + shapes[to].len()),
            Node::Norm { value, .. } => (0, shapes[value].len()),
            Node::Activation { .. } | Node::Dropout { .. } | Node::Concat { .. } => (0, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Executor, Mode, Preset, UNetConfig};
    use unet3d_kernels::Threads;

    #[test]
    fn a_step_fills_each_row_once() {
        let network = Network::new(UNetConfig::preset(Preset::Small, 3, 3)).unwrap();
        let plan = Plan::new(&network, 1, [16; 3], Mode::Train, 1).unwrap();
        let threads = Threads::new(1).unwrap();
        let parameters = network.init(1);
        let input = vec![0.5; plan.input_shape().iter().product()];
        let d_logits = vec![1e-3; plan.output_shape().iter().product()];
        let mut gradients = vec![0.0; network.parameter_count()];
        let mut executor = Executor::new(&network, &plan).with_profile();
        executor.forward(&threads, &parameters, &input, None);
        executor.backward(&threads, &parameters, &input, &d_logits, &mut gradients);
        let profile = executor.profile().unwrap();
        assert!(
            profile
                .rows()
                .all(|row| row.calls == 1 && row.seconds == row.fastest_s)
        );
        let passes = |name: &str| -> Vec<Pass> {
            let rows = profile.rows().filter(|row| row.name == name);
            rows.map(|row| row.pass).collect()
        };
        use Pass::{Activation, Backward, Forward, Input, Weights};
        assert_eq!(passes("down0.conv0"), [Forward, Activation, Weights]);
        assert_eq!(passes("up0.conv0"), [Forward, Activation, Weights, Input]);
        assert_eq!(passes("up0.upconv"), [Forward, Activation, Backward]);
        assert!(passes("down0.pool").is_empty(), "a part of down0.conv1");
        assert_eq!(passes("down0.norm1"), [Forward]);
        let row = profile
            .rows()
            .find(|row| row.name == "down0.conv1")
            .unwrap();
        assert_eq!(row.shape, [1, 16, 16, 16, 16]);
        assert_eq!(row.flops, 2 * 16u64.pow(3) * 27 * 16 * 16);
        let maxima = 8u64.pow(3) * 16;
        assert_eq!(row.bytes, 4 * (2 * 16u64.pow(4) + 27 * 16 * 16 + maxima));
    }

    #[test]
    fn the_papers_tile_costs_533_gflop() {
        let network = Network::new(UNetConfig::preset(Preset::Common, 3, 3)).unwrap();
        let plan = Plan::new(&network, 1, [116, 132, 132], Mode::Predict, 1).unwrap();
        let rows = Profile::new(&network, &plan).rows;
        let forward = rows.iter().filter(|row| row.pass == Pass::Forward);
        let flops: u64 = forward.map(|row| row.flops).sum();
        assert!((532e9..535e9).contains(&(flops as f64)), "{flops}");
    }
}
