//! Run folders as commands meet them: may a run begin or go on there, and where
//! did it end.

use std::path::Path;

use anyhow::{Context, anyhow, bail};
use unet3d_train::TrainConfig;
use unet3d_train::lock::Lock;
use unet3d_train::run::{Rescued, config_of, holds_a_run};

use crate::{model_file, output};

/// The configuration of the run in a folder that goes on, or `None` for a new one.
/// Looked at long before the data are read; the run itself looks again.
///
/// # Errors
/// Where no run can go on there, or a new one would meet what is there already.
pub(crate) fn configuration(folder: &Path, resume: bool) -> anyhow::Result<Option<TrainConfig>> {
    if resume {
        return config_of(folder).map(Some).context("--resume");
    }
    if folder.is_file() {
        bail!(
            "{}: a file stands there, a run needs a folder. Give another name.",
            folder.display()
        );
    }
    Lock::check_free(folder)?;
    if holds_a_run(folder) {
        bail!(
            "{}: the folder holds a run already. Go on with it (--resume), or choose another folder.",
            folder.display()
        );
    }
    // A link is not followed: it is replaced, and what it leads to stays.
    if let Ok(model) = model_file::find(folder)
        && !model.is_symlink()
    {
        bail!(
            "{}: is there, a new run in its folder would replace it. Move it away, or choose another folder.",
            model.display()
        );
    }
    Ok(None)
}

/// Refuses a new run whose files would replace those it learns from.
///
/// # Errors
/// Where the folder is the data set, or the list of cases has the name of a file of runs.
pub(crate) fn check_apart(folder: &Path, data: &Path) -> anyhow::Result<()> {
    if output::same(folder, data) || output::same(&folder.join("config.toml"), data) {
        bail!(
            "{}: the run would replace files of its own data. Give it a folder of its own.",
            folder.display()
        );
    }
    Ok(())
}

/// The error with which a run ends whose folder could not take its last state.
pub(crate) fn told(rescued: &Rescued) -> anyhow::Error {
    match &rescued.folder {
        Some(folder) => anyhow!(
            "{}. Nothing that was learned is lost: the whole run is in {} instead. \
             Predict from there, or go on there with --resume.",
            rescued.problem,
            folder.display()
        ),
        None => anyhow!(
            "{}. The run could not be saved anywhere else either. Free some space and train again.",
            rescued.problem
        ),
    }
}
