//! One file a command. Each turns its raw arguments into a checked plan, in
//! which everything that can be refused has been, and then runs the plan.

mod demo;
mod fill;
mod train;

pub(crate) mod predict;

mod suggest;

pub(crate) mod evaluate;
mod sparsify;

mod phantom;

mod check;
mod convert;
pub(crate) mod info;

mod bench;

mod experiment;

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
    Demo(demo::Demo),
    Fill(Box<fill::Fill>),
    Train(Box<train::Train>),
    Predict(predict::Predict),
    Suggest(Box<suggest::Suggest>),
    Evaluate(evaluate::Evaluate),
    Sparsify(sparsify::Sparsify),
    Phantom(phantom::Phantom),
    Check(check::Check),
    Info(info::Info),
    Convert(convert::Convert),
    Bench(Box<bench::Bench>),
    Experiment(experiment::Experiment),
}

impl Command {
    /// Plans and runs.
    ///
    /// # Errors
    /// Whatever a file or flag can cause, told for the person.
    pub(crate) fn run(self) -> anyhow::Result<End> {
        match self {
            Self::Demo(command) => command.run(),
            Self::Fill(command) => command.run(),
            Self::Train(command) => command.run(),
            Self::Predict(command) => command.run(),
            Self::Suggest(command) => command.run(),
            Self::Evaluate(command) => command.run(),
            Self::Sparsify(command) => command.run(),
            Self::Phantom(command) => command.run(),
            Self::Check(command) => command.run(),
            Self::Info(command) => command.run(),
            Self::Convert(command) => command.run(),
            Self::Bench(command) => command.run(),
            Self::Experiment(command) => command.run(),
        }
    }
}
