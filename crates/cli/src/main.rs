//! The `unet3d` program: arguments, then a checked plan, then one file a command.

mod arguments;

mod parse;

mod label_flags;

mod learning_flags;

mod output;

mod listing;

mod model_file;

mod run_folder;

mod command;

mod absent;

mod expectation;

mod filling;

mod interpolating;

mod reliability;

mod report;

mod console;

mod command_line;

mod comparison;

mod results;

mod interrupt;

mod progress;

mod process;

mod profile_table;

mod watch;

use std::process::ExitCode;

use clap::Parser;

use crate::command::End;

fn main() -> ExitCode {
    // Arguments that cannot be read end here, with code 2.
    let arguments = match arguments::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return console::usage(&error),
    };
    match arguments.command.run() {
        Ok(End::Done) => ExitCode::SUCCESS,
        Ok(End::Interrupted) => ExitCode::from(interrupt::EXIT_CODE),
        Ok(End::FoundErrors) => ExitCode::FAILURE,
        Err(error) => {
            console::Console::new(false).note(format_args!("error: {}", told(&error)));
            ExitCode::FAILURE
        }
    }
}

/// An error with its causes, each said once: many name their cause themselves.
pub(crate) fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{}: {cause}", text.trim_end_matches('.'));
        }
    }
    text
}
