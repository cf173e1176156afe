//! The `unet3d` program: arguments, then a checked plan, then one file a command.

fn main() {}
