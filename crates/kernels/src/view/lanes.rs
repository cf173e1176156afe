//! A [`Transform`] of neighbouring channels in vectors. Rounds as the scalar one rounds.

use pulp::Simd;

use super::{Dropout, Transform};

/// The first floats of a slice as a vector.
#[inline(always)]
pub(crate) fn vector<S: Simd>(from: &[f32]) -> S::f32s {
    let [vector] = crate::micro::row_from::<S, 1>(from);
    vector
}

/// `activation(scale * y + shift)`, rounded as [`Transform::apply`] rounds.
#[inline(always)]
pub(crate) fn activated<S: Simd>(
    simd: S,
    y: S::f32s,
    scale: S::f32s,
    shift: S::f32s,
    slope: f32,
) -> S::f32s {
    let u = simd.add_f32s(simd.mul_f32s(y, scale), shift);
    let positive = simd.greater_than_f32s(u, simd.splat_f32s(0.0));
    simd.select_f32s(positive, u, simd.mul_f32s(u, simd.splat_f32s(slope)))
}

/// The first floats of a slice as a vector; where not `WHOLE`, only `many` of
/// them and zeros: the channels that are left.
#[inline(always)]
pub(crate) fn load_lanes<S: Simd, const WHOLE: bool>(
    simd: S,
    from: &[f32],
    many: usize,
) -> S::f32s {
    if WHOLE {
        vector::<S>(from)
    } else {
        simd.partial_load_f32s(&from[..many])
    }
}

/// The other way, as [`load_lanes`].
#[inline(always)]
pub(crate) fn store_lanes<S: Simd, const WHOLE: bool>(
    simd: S,
    value: S::f32s,
    to: &mut [f32],
    many: usize,
) {
    if WHOLE {
        to[..S::F32_LANES].copy_from_slice(crate::micro::row_of::<S, 1>(&[value]));
    } else {
        simd.partial_store_f32s(&mut to[..many], value);
    }
}

/// A [`Transform`] of neighbouring channels, held in registers. Rounds as the
/// scalar one rounds.
#[derive(Clone, Copy)]
pub(crate) struct Lanes<S: Simd> {
    scale: S::f32s,
    shift: S::f32s,
    slope: f32,
    dropout: Option<Dropout>,
}

impl<S: Simd> Lanes<S> {
    /// Of the channels from `nc = n * C + c` on, `many` of them.
    #[inline(always)]
    pub(crate) fn of<const WHOLE: bool>(
        simd: S,
        transform: &Transform<'_>,
        nc: usize,
        many: usize,
    ) -> Self {
        Self {
            scale: load_lanes::<S, WHOLE>(simd, &transform.scale[nc..], many),
            shift: load_lanes::<S, WHOLE>(simd, &transform.shift[nc..], many),
            slope: transform.slope,
            dropout: transform.dropout,
        }
    }

    /// [`Transform::apply`] to the elements from `index` on.
    #[inline(always)]
    pub(crate) fn apply(&self, simd: S, y: S::f32s, index: usize) -> S::f32s {
        let z = activated(simd, y, self.scale, self.shift, self.slope);
        match self.dropout {
            Some(dropout) => simd.mul_f32s(z, factors::<S>(dropout, index)),
            None => z,
        }
    }

    /// The gradient `dz` by the transformed values as one by
    /// `u = scale * y + shift`.
    #[inline(always)]
    pub(crate) fn back(&self, simd: S, y: S::f32s, dz: S::f32s, index: usize) -> S::f32s {
        let u = simd.add_f32s(simd.mul_f32s(y, self.scale), self.shift);
        let positive = simd.greater_than_f32s(u, simd.splat_f32s(0.0));
        let slower = simd.mul_f32s(dz, simd.splat_f32s(self.slope));
        let g = simd.select_f32s(positive, dz, slower);
        match self.dropout {
            Some(dropout) => simd.mul_f32s(g, factors::<S>(dropout, index)),
            None => g,
        }
    }
}

/// [`Dropout::factor`] of the elements from `index` on.
#[inline(always)]
pub(super) fn factors<S: Simd>(dropout: Dropout, index: usize) -> S::f32s {
    let mut factors = [0.0; crate::micro::PANEL];
    for (i, factor) in factors[..S::F32_LANES].iter_mut().enumerate() {
        *factor = dropout.of((index as u32).wrapping_add(i as u32));
    }
    vector::<S>(&factors)
}
