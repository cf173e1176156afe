//! Where the time of a pass goes: calls and seconds for each node, beside the
//! arithmetic and the memory traffic that the node cannot do without.
//!
//! An [`Executor`](crate::Executor) that was asked for it fills one row for each
//! node and pass. All rows are made beforehand; a pass only adds to them.

use std::time::Instant;

use crate::graph::Node;
use crate::network::Network;
use crate::plan::Plan;
use crate::plan::step::Step;

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
    /// Seconds of the calls that have ended: what is beyond is of slabs of the next.
    finished_s: f64,
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
        let nodes = network.graph().nodes.iter();
        let rows = nodes.flat_map(|node| {
            let name = name(network, node);
            Pass::ALL.map(|pass| Row {
                name: name.clone(),
                shape: [0; 5],
                pass,
                flops: 0,
                bytes: 0,
                calls: 0,
                seconds: 0.0,
                fastest_s: f64::INFINITY,
                finished_s: 0.0,
            })
        });
        let mut profile = Self {
            rows: rows.collect(),
        };
        for step in &*plan.forward {
            profile.plan(step);
        }
        for step in &*plan.backward {
            profile.plan(step);
        }
        profile
    }

    /// What a step needs at least joins its row.
    fn plan<Work>(&mut self, step: &Step<Work>) {
        let [d, h, w] = step.shape.space;
        let row = self.row(step);
        row.shape = [step.shape.n, d, h, w, step.shape.c];
        row.flops += step.cost.flops;
        row.bytes += 4 * step.cost.floats as u64;
    }

    fn row<Work>(&mut self, step: &Step<Work>) -> &mut Row {
        &mut self.rows[step.node * Pass::ALL.len() + step.pass as usize]
    }

    /// The rows of what has run: nodes in the order of the graph, each with its
    /// passes in the order of a step.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.calls > 0)
    }

    /// Forgets what has run.
    pub fn clear(&mut self) {
        for row in &mut self.rows {
            (row.calls, row.seconds, row.finished_s) = (0, 0.0, 0.0);
            row.fastest_s = f64::INFINITY;
        }
    }

    /// Adds a step that began at `clock` and has just ended. Slabs of one node are one
    /// call; those of the up-convolution and the convolution come in turn.
    pub(crate) fn add<Work>(&mut self, step: &Step<Work>, clock: &mut Clock) {
        let now = Instant::now();
        let Some(began) = clock.replace(now) else {
            return;
        };
        let is_last = step.is_last;
        let row = self.row(step);
        row.seconds += now.duration_since(began).as_secs_f64();
        if is_last {
            row.calls += 1;
            row.fastest_s = row.fastest_s.min(row.seconds - row.finished_s);
            row.finished_s = row.seconds;
        }
    }
}

/// Name of a node, as in the layout.
fn name(network: &Network, node: &Node) -> String {
    let entries = &network.layout().entries;
    let stem = |entry: usize| {
        let name = &entries[entry].name;
        name.rsplit_once('.')
            .map_or(name.as_str(), |(stem, _)| stem)
            .to_owned()
    };
    match *node {
        Node::Conv { weight, .. } | Node::UpConv { weight, .. } => stem(weight),
        Node::Norm { scale, .. } => stem(scale),
        // Named after the level that it leaves.
        Node::Pool { from, .. } => {
            let maker = network.graph().nodes.iter().find_map(|node| match node {
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
