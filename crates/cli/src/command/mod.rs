//! One file a command. Each turns its raw arguments into a checked plan, in
//! which everything that can be refused has been, and then runs the plan.

mod predict;

mod evaluate;
mod sparsify;

mod convert;
mod info;

use clap::Subcommand;

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All was done.
    Done,
    /// The person asked to stop; what there was is saved.
    Interrupted,
    /// `check` found errors in what it examined.
    FoundErrors,
}

/// The commands, in the order of daily use.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    Predict(predict::Predict),
    Evaluate(evaluate::Evaluate),
    Sparsify(sparsify::Sparsify),
    Info(info::Info),
    Convert(convert::Convert),
}

impl Command {
    /// Plans and runs.
    ///
    /// # Errors
    /// Whatever a file or flag can cause, told for the person.
    pub(crate) fn run(self) -> anyhow::Result<End> {
        match self {
            Self::Predict(command) => command.run(),
            Self::Evaluate(command) => command.run(),
            Self::Sparsify(command) => command.run(),
            Self::Info(command) => command.run(),
            Self::Convert(command) => command.run(),
        }
    }
}
