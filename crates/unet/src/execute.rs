//! Runs a plan: the list of nodes forwards and, read bottom-up, backwards.

mod backward;
mod forward;
mod lazy;

use std::ops::Range;
use std::time::Instant;

use unet3d_kernels::conv3d::{Context, Method};
use unet3d_kernels::{Isa, Memory, Source, Threads};

use crate::graph::ValueId;
use crate::network::Network;
use crate::plan::Plan;
use crate::profile::{Clock, Pass, Profile};
use lazy::Lazy;

/// How to run, whatever is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Engine {
    /// Vector instructions; another set rounds otherwise.
    pub isa: Isa,
    /// Which kernels convolve; others round otherwise.
    pub method: Method,
    /// Whether to measure each node.
    pub profile: bool,
}

/// A plan with its memory. Allocates when made and never again.
pub struct Executor {
    network: Network,
    plan: Plan,
    isa: Isa,
    arena: Memory,
    workspace: Vec<f64>,
    sums: Vec<f64>,
    /// Length of the partial sums that the last convolution left in the workspace.
    moments: usize,
    /// What is still to be done to each value when it is read.
    lazy: Vec<Option<Lazy>>,
    /// Parts of each value: itself, or the two of a concatenation.
    parts: Vec<Vec<(ValueId, [usize; 3])>>,
    profile: Option<Profile>,
}

impl Executor {
    /// Allocates the memory of a plan of this network.
    pub fn new(network: &Network, plan: &Plan) -> Self {
        let most = plan
            .shapes
            .iter()
            .map(|shape| shape.n * shape.c)
            .max()
            .unwrap_or(0);
        Self {
            arena: Memory::zeroed(plan.arena),
            workspace: vec![0.0; plan.workspace],
            sums: vec![0.0; 2 * most],
            moments: 0,
            lazy: lazy::of_network(network, plan),
            parts: (0..plan.shapes.len())
                .map(|value| plan.parts(network, value))
                .collect(),
            network: network.clone(),
            plan: plan.clone(),
            isa: Isa::best(),
            profile: None,
        }
    }

    /// Forces an instruction set.
    pub fn with_isa(mut self, isa: Isa) -> Self {
        self.isa = isa;
        self
    }

    /// Convolves with other kernels. Their memory may differ from the planned one.
    pub fn with_method(mut self, method: Method) -> Self {
        if self.plan.method != method {
            self.plan = self.plan.with_method(&self.network, method);
            self.arena = Memory::zeroed(self.plan.arena);
            self.workspace.resize(self.plan.workspace, 0.0);
        }
        self
    }

    /// Runs this way.
    pub fn with_engine(self, engine: Engine) -> Self {
        let this = self.with_isa(engine.isa).with_method(engine.method);
        if engine.profile {
            this.with_profile()
        } else {
            this
        }
    }

    /// Measures each node from now on.
    pub fn with_profile(mut self) -> Self {
        self.profile = Some(Profile::new(&self.network, &self.plan));
        self
    }

    /// What was measured, where that was asked for.
    pub fn profile(&self) -> Option<&Profile> {
        self.profile.as_ref()
    }

    /// The same, to begin anew.
    pub fn profile_mut(&mut self) -> Option<&mut Profile> {
        self.profile.as_mut()
    }

    /// Begins to measure, where that was asked for.
    fn clock(&self) -> Clock {
        self.profile.as_ref().map(|_| Instant::now())
    }

    /// Ends a pass of a node; the next one begins.
    fn lap(&mut self, clock: &mut Clock, node: usize, pass: Pass) {
        if let Some(profile) = &mut self.profile {
            profile.add(node, pass, clock);
        }
    }

    /// What it runs.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    fn context<'a>(&self, threads: &'a Threads) -> Context<'a> {
        Context {
            threads,
            isa: self.isa,
        }
    }

    /// The logits of the last forward pass, `n d h w classes`.
    pub fn logits(&self) -> &[f32] {
        let place = self
            .plan
            .values
            .last()
            .and_then(Option::clone)
            .unwrap_or(0..0);
        &self.arena[place]
    }
}

/// Two stretches of the arena to write to and up to two to read from.
struct Split<'a> {
    read: [&'a [f32]; 2],
    write: [&'a mut [f32]; 3],
}

/// Cuts the arena. The plan keeps buffers that are alive at one time apart, so
/// an overlap is an error of the plan, not of the user.
#[expect(clippy::expect_used, reason = "the plan has placed these apart")]
fn cut<const N: usize>(arena: &mut [f32], places: [Range<usize>; N]) -> [&mut [f32]; N] {
    arena
        .get_disjoint_mut(places)
        .expect("buffers of one step overlap")
}

/// The same, for what is only read and what is written.
fn split(arena: &mut [f32], read: [Range<usize>; 2], write: [Range<usize>; 3]) -> Split<'_> {
    let [r0, r1] = read;
    let [w0, w1, w2] = write;
    let [r0, r1, w0, w1, w2] = cut(arena, [r0, r1, w0, w1, w2]);
    Split {
        read: [r0, r1],
        write: [w0, w1, w2],
    }
}

/// The sources of a value's parts, the data of stored parts being `read`.
fn sources<'a>(
    plan: &Plan,
    lazy: &'a [Option<Lazy>],
    parts: &[(ValueId, [usize; 3])],
    read: [&'a [f32]; 2],
    input: &'a [f32],
) -> ([Source<'a>; 2], usize) {
    let source = |part: usize| {
        let (value, crop) = parts[part.min(parts.len() - 1)];
        let kept = plan.kept(value);
        Source {
            data: if value == 0 {
                input
            } else {
                read[part.min(parts.len() - 1)]
            },
            shape: plan.stored(value),
            crop: std::array::from_fn(|axis| crop[axis] - kept.start[axis]),
            transform: lazy[plan.origin[value]].as_ref().map(Lazy::transform),
        }
    };
    ([source(0), source(1)], parts.len())
}

/// Places of a value's parts in the arena, empty for the input of the network.
fn places(plan: &Plan, parts: &[(ValueId, [usize; 3])]) -> [Range<usize>; 2] {
    let place = |part: usize| {
        let value = parts.get(part).map(|(value, _)| *value);
        value
            .and_then(|value| plan.values[value].clone())
            .unwrap_or(0..0)
    };
    [place(0), place(1)]
}
