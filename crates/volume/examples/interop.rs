//! Reads a volume and says what it found, or converts it: the Rust side of
//! `scripts/interop.sh`, which compares with nibabel, tifffile and NumPy.
//!
//! ```text
//! interop IN        one JSON object: type, channels, shape, spacing, orientation
//! interop IN OUT    converts; the samples can then be compared as NPY
//! ```

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let from = arguments
        .next()
        .context("the path of a volume is missing")?;
    let volume = unet3d_volume::read(Path::new(&from))?;
    if let Some(to) = arguments.next() {
        unet3d_volume::write(Path::new(&to), &volume)?;
    }
    let summary = json!({
        "type": volume.type_name(),
        "channels": volume.channels,
        "shape": volume.geometry.shape,
        "spacing_mm": volume.geometry.spacing_mm,
        "world_from_volume": volume.geometry.world_from_volume,
    });
    #[allow(clippy::print_stdout, reason = "the script reads it there")]
    {
        println!("{summary}");
    }
    Ok(())
}
