//! Where AMX does not exist: nothing can be made of it.

use super::{Product, Rows};

/// Nobody has one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Amx {}

impl Amx {
    pub(crate) fn try_new() -> Option<Self> {
        None
    }
}

/// Nobody has these either.
pub(crate) struct Tiles(Amx);

impl Tiles {
    pub(crate) fn new(amx: Amx) -> Self {
        Self(amx)
    }

    pub(crate) fn pack(&self, _: Rows<'_>, _: &mut [f32]) {
        match self.0 {}
    }

    pub(crate) fn pack_transposed(&self, _: Rows<'_>, _: &mut [f32]) {
        match self.0 {}
    }

    pub(crate) fn multiply(&self, _: Product<'_>) {
        match self.0 {}
    }
}
