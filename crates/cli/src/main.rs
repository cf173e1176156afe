//! The `unet3d` program: arguments, then a checked plan, then one file a command.

mod arguments;

mod parse;

mod label_flags;

mod output;

mod command;

mod console;

use std::process::ExitCode;

use clap::Parser;

use crate::command::End;

fn main() -> ExitCode {
    // Arguments that cannot be read end here, with code 2.
    let arguments = arguments::Arguments::parse();
    match arguments.command.run() {
        Ok(End::Done) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            console::Console::new(false).note(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
