//! Runs a plan: the list of nodes forwards and, read bottom-up, backwards.

mod backward;
mod forward;
mod lazy;

use std::ops::Range;
use std::time::Instant;

use unet3d_kernels::conv3d::Method;
use unet3d_kernels::{Context, Isa, Memory, Source, Threads};

use crate::network::Network;
use crate::plan::Plan;
use crate::plan::step::{Read, Step};
use crate::profile::{Clock, Profile};
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
    /// What is still to be done to each value when it is read.
    lazy: Vec<Option<Lazy>>,
    profile: Option<Profile>,
}

impl Executor {
    /// Allocates the memory of a plan of this network.
    pub fn new(network: &Network, plan: &Plan) -> Self {
        let applied = plan.applied.iter();
        Self {
            arena: Memory::zeroed(plan.arena),
            workspace: vec![0.0; plan.workspace],
            sums: vec![0.0; 2 * plan.most_channels],
            lazy: applied.map(|a| a.as_ref().map(Lazy::new)).collect(),
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
        if self.plan.method() != method {
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
        &self.arena[self.plan.logits.clone()]
    }
}

/// Ends a step; the next one begins.
fn lap<Work>(profile: &mut Option<Profile>, clock: &mut Clock, step: &Step<Work>) {
    if let Some(profile) = profile {
        profile.add(step, clock);
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

/// The source that a step reads, its data being `data`.
fn source<'a>(lazy: &'a [Option<Lazy>], read: &Read, data: &'a [f32]) -> Source<'a> {
    let applied = read.applied.and_then(|value| lazy[value].as_ref());
    Source {
        data,
        shape: read.shape,
        crop: read.crop,
        transform: applied.map(Lazy::transform),
    }
}

/// The sources of a convolution, the data of stored ones being `data`; how many there are.
fn sources<'a>(
    lazy: &'a [Option<Lazy>],
    reads: &[Read],
    data: [&'a [f32]; 2],
    input: &'a [f32],
) -> ([Source<'a>; 2], usize) {
    let of = |i: usize| {
        let i = i.min(reads.len() - 1);
        let stored = reads[i].place.is_some();
        source(lazy, &reads[i], if stored { data[i] } else { input })
    };
    ([of(0), of(1)], reads.len())
}

/// Places in the arena that are read, empty for the input of the network.
fn places(reads: &[Read]) -> [Range<usize>; 2] {
    [0, 1].map(|i| {
        let read = reads.get(i).and_then(|read| read.place.clone());
        read.unwrap_or(0..0)
    })
}
