//! What every kernel is handed beside its problem.

use crate::{Isa, Threads};

/// Threads and instruction set, handed to every kernel.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Workers.
    pub threads: &'a Threads,
    /// Vector instructions.
    pub isa: Isa,
}
