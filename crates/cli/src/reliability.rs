//! Probabilities in a file against the truth.
//!
//! Comes in: a volume with a channel for each class, as `predict --probabilities`
//! writes it, and true labels. Leaves: the expected calibration error.

use std::path::Path;

use anyhow::{Context, bail};
use unet3d_metrics::Reliability;
use unet3d_volume::Labels;
use unet3d_volume::place::{How, Outside, bring};
use unet3d_volume::words::counted;

use crate::console::Console;

/// Expected calibration error of the most probable class, over the voxels that
/// are annotated in `truth` and not in `except`; `None` where there are none. A file
/// that covers a part of the truth is compared with that part.
///
/// # Errors
/// Where the file cannot be read or does not go with the truth.
pub(crate) fn calibration_error(
    path: &Path,
    (truth, source): (&Labels, &str),
    except: Option<&Labels>,
    by_index: bool,
) -> anyhow::Result<Option<f64>> {
    let volume = unet3d_volume::read(path)?;
    let names = [source, &path.display().to_string()];
    let how = How {
        by_index,
        outside: Outside::LeftOut,
    };
    let (volume, _) =
        bring(&mut truth.geometry.clone(), volume, names, how).context("--probabilities")?;
    // Notes go to standard error under --json too.
    Console::new(false).notes(&volume.notes);
    let (shape, classes) = (truth.geometry.shape, truth.classes.len());
    if volume.channels != classes {
        bail!(
            "--probabilities {}: shape {:?} [z, y, x] with {}, the truth has {shape:?} and {}; \
             both must be the same. Were they made by `unet3d predict --probabilities` of the same image? \
             Where the truth does not show every class of the model, name them all with --classes.",
            path.display(),
            volume.geometry.shape,
            counted(volume.channels, "channel"),
            counted(classes, "class"),
        );
    }
    let voxels = truth.voxels.len();
    let mut reliability = Reliability::default();
    for (i, label) in truth.voxels.iter().enumerate() {
        let Some(class) = label.class() else { continue };
        if except.is_some_and(|e| e.voxels[i].is_annotated()) || !volume.is_filled(i) {
            continue;
        }
        let (mut best, mut certainty) = (0, f32::NEG_INFINITY);
        for c in 0..classes {
            let p = volume.samples.f32_at(c * voxels + i);
            if !(0.0..=1.0).contains(&p) {
                bail!(
                    "--probabilities {}: voxel {i} of channel {c} is {p}, must be from 0 to 1. Is it another file?",
                    path.display()
                );
            }
            if p > certainty {
                (best, certainty) = (c, p);
            }
        }
        reliability.add(f64::from(certainty), best == class, 1.0);
    }
    Ok(reliability.expected_error())
}
