//! Normalisation, activation and dropout of a value, applied when it is read.

use unet3d_kernels::{Dropout, Shape, Transform};

use crate::graph::Node;
use crate::network::Network;
use crate::plan::{Mode, Plan};

/// What is still to be done to a stored value, and what its gradient needs.
pub(super) struct Lazy {
    /// Scale and shift entries, and the running statistics.
    pub(super) norm: Option<Norm>,
    /// Whether its statistics are needed: not where running ones are used.
    pub(super) measured: bool,
    /// Factor of negative values.
    pub(super) slope: f32,
    /// Rate and index of the dropout.
    pub(super) rate: Option<(f32, usize)>,
    pub(super) shape: Shape,
    /// Each `n * c`, as the transform applies them.
    pub(super) scale: Vec<f32>,
    pub(super) shift: Vec<f32>,
    /// Each `n * c`, of the last forward pass.
    pub(super) mean: Vec<f32>,
    pub(super) inv_std: Vec<f32>,
    /// `[a, b, c]` of `dy = a g + b y + c`, each `n * c`; training only.
    pub(super) coefficients: [Vec<f32>; 3],
    /// Of this step.
    pub(super) dropout: Option<Dropout>,
}

/// Entries of a normalisation in the layouts.
#[derive(Clone, Copy)]
pub(super) struct Norm {
    pub(super) scale: usize,
    pub(super) shift: usize,
    pub(super) running: Option<[usize; 2]>,
}

impl Lazy {
    pub(super) fn transform(&self) -> Transform<'_> {
        Transform {
            scale: &self.scale,
            shift: &self.shift,
            slope: self.slope,
            dropout: self.dropout,
        }
    }
}

/// Collects the Norm, Activation and Dropout nodes by value.
pub(super) fn of_network(network: &Network, plan: &Plan) -> Vec<Option<Lazy>> {
    let mut lazy: Vec<Option<Lazy>> = plan.shapes.iter().map(|_| None).collect();
    for node in &network.graph().nodes {
        let (&Node::Norm { value, .. }
        | &Node::Activation { value, .. }
        | &Node::Dropout { value, .. }) = node
        else {
            continue;
        };
        let shape = plan.shapes[value];
        let many = shape.n * shape.c;
        let of_value = lazy[value].get_or_insert_with(|| Lazy {
            norm: None,
            measured: false,
            slope: 1.0,
            rate: None,
            shape,
            scale: vec![1.0; many],
            shift: vec![0.0; many],
            mean: vec![0.0; many],
            inv_std: vec![1.0; many],
            coefficients: [(); 3].map(|()| vec![0.0; many]),
            dropout: None,
        });
        match *node {
            Node::Norm {
                scale,
                shift,
                running,
                ..
            } => {
                of_value.norm = Some(Norm {
                    scale,
                    shift,
                    running,
                });
                of_value.measured = running.is_none() || plan.mode == Mode::Train;
            }
            Node::Activation { slope, .. } => of_value.slope = slope,
            Node::Dropout { rate, index, .. } => of_value.rate = Some((rate, index)),
            _ => {}
        }
    }
    lazy
}
