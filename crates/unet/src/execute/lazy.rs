//! Normalisation, activation and dropout of a value, applied when it is read.

use unet3d_kernels::{Dropout, Transform};

use crate::plan::Applied;

/// What is still to be done to a stored value, and what its gradient needs.
pub(super) struct Lazy {
    pub(super) applied: Applied,
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

impl Lazy {
    pub(super) fn new(applied: &Applied) -> Self {
        let many = applied.shape.n * applied.shape.c;
        Self {
            applied: applied.clone(),
            scale: vec![1.0; many],
            shift: vec![0.0; many],
            mean: vec![0.0; many],
            inv_std: vec![1.0; many],
            coefficients: [(); 3].map(|()| vec![0.0; many]),
            dropout: None,
        }
    }

    pub(super) fn transform(&self) -> Transform<'_> {
        Transform {
            scale: &self.scale,
            shift: &self.shift,
            slope: self.applied.slope,
            dropout: self.dropout,
        }
    }
}
