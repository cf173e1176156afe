//! Models as files: finding, reading and writing one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use unet3d_predict::Model;

use crate::output;

/// Ending of model files: what they are, then the container.
pub(crate) const ENDING: &str = ".unet3d.safetensors";

/// Files of a run that hold a model, the best one first.
const IN_RUN: [&str; 2] = ["best.unet3d.safetensors", "last.unet3d.safetensors"];

/// The model file that `path` stands for: itself, or the best of a run folder.
///
/// # Errors
/// Where there is none.
pub(crate) fn find(path: &Path) -> anyhow::Result<PathBuf> {
    let metadata = fs::metadata(path)
        .with_context(|| format!("{}: cannot be opened. Check the spelling", path.display()))?;
    if !metadata.is_dir() {
        return Ok(path.to_owned());
    }
    let found = IN_RUN
        .iter()
        .map(|name| path.join(name))
        .find(|file| file.is_file());
    found.with_context(|| {
        format!(
            "{}: the folder holds no model ({}). Give a model file or the folder of a training run; \
             a run writes its first model after its first validation.",
            path.display(),
            IN_RUN.join(" or ")
        )
    })
}

/// Reads the model that `path` stands for.
///
/// # Errors
/// Where it cannot be read or is no model.
pub(crate) fn read(path: &Path) -> anyhow::Result<(Model, PathBuf)> {
    let file = find(path)?;
    let bytes = unet3d_volume::read_file(&file)
        .with_context(|| format!("{}: cannot be read", file.display()))?;
    if bytes.is_empty() {
        bail!(
            "{}: the file is empty, a model was expected.",
            file.display()
        );
    }
    let model = Model::from_bytes(&bytes).with_context(|| file.display().to_string())?;
    Ok((model, file))
}

/// Writes a model, whole or not at all.
///
/// # Errors
/// Where the disk refuses.
pub(crate) fn write(path: &Path, model: &Model) -> anyhow::Result<()> {
    let bytes = model
        .to_bytes()
        .with_context(|| path.display().to_string())?;
    output::write_file(path, &bytes)
}
