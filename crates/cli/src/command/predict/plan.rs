//! What to predict and where to write it, with every path checked.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use anyhow::bail;
use unet3d_predict::Model;
use unet3d_volume::{Labels, NumberType, name};

use super::Predict;
use crate::listing::{self, Expected, Item};
use crate::output::{self, Planned};

/// One image and its results.
pub(super) struct Job {
    pub(super) item: Item,
    pub(super) out: PathBuf,
    pub(super) probabilities: Option<PathBuf>,
    pub(super) uncertainty: Option<PathBuf>,
}

/// All jobs, and what had to be decided to make them.
pub(super) struct Jobs {
    pub(super) jobs: Vec<Job>,
    /// Where the report goes, where one is wanted.
    pub(super) report: Option<PathBuf>,
    pub(super) notes: Vec<String>,
}

impl Job {
    /// Every file that it writes, with the flag that names it.
    fn outputs(&self) -> Vec<(&'static str, &Path)> {
        let asked = [
            ("--out", Some(&self.out)),
            ("--probabilities", self.probabilities.as_ref()),
            ("--uncertainty", self.uncertainty.as_ref()),
        ];
        let named = asked.into_iter();
        named
            .filter_map(|(flag, path)| Some((flag, path?.as_path())))
            .collect()
    }

    /// What its results will be for an image of `shape` `[z, y, x]`.
    pub(super) fn planned(&self, model: &Model, shape: [usize; 3]) -> Vec<Planned<'_>> {
        let classes = &model.pipeline.classes;
        let results = [
            (Some(&self.out), 1, Labels::number_type(classes)),
            (self.probabilities.as_ref(), classes.len(), NumberType::F32),
            (self.uncertainty.as_ref(), 1, NumberType::F32),
        ];
        let results = results.into_iter();
        results
            .filter_map(|(path, channels, number_type)| {
                Some(Planned {
                    path: path?,
                    shape,
                    channels,
                    number_type,
                })
            })
            .collect()
    }
}

/// What a result holds: class values, which any format takes, or numbers, which a
/// single PNG does not.
#[derive(Clone, Copy, PartialEq)]
enum Holds {
    Labels,
    Numbers,
}

/// One job for each image.
pub(super) fn jobs(command: &Predict, model: &Path, expected: &Expected) -> anyhow::Result<Jobs> {
    let found = listing::volumes(&command.images, expected)?;
    let items = found.items;
    let inputs: Vec<&Path> = items
        .iter()
        .flat_map(|i| i.paths.iter().map(PathBuf::as_path))
        .chain([model])
        .collect();
    let folders: Vec<&Path> = command
        .images
        .iter()
        .map(PathBuf::as_path)
        .filter(|p| p.is_dir())
        .collect();
    let wanted = [
        Some((&command.out, Holds::Labels)),
        command.probabilities.as_ref().map(|p| (p, Holds::Numbers)),
        command.uncertainty.as_ref().map(|p| (p, Holds::Numbers)),
    ];
    for (path, _) in wanted.into_iter().flatten() {
        check_place(path, items.len(), &folders)?;
    }
    let mut jobs: Vec<Job> = Vec::new();
    for item in items.iter() {
        let place = |i: usize| {
            let (path, holds) = wanted[i]?;
            Some(match into_folder(path) {
                true => path.join(result_name(item, holds)),
                false => path.clone(),
            })
        };
        let job = Job {
            item: item.clone(),
            out: place(0).unwrap_or_default(),
            probabilities: place(1),
            uncertainty: place(2),
        };
        let taken = |path: &Path| jobs.iter().flat_map(Job::outputs).any(|(_, p)| p == path);
        if let Some((_, twice)) = job.outputs().into_iter().find(|(_, path)| taken(path)) {
            bail!(
                "{}: two images would be written there, both are called {}. Predict them separately.",
                twice.display(),
                item.name()
            );
        }
        for (_, path) in job.outputs() {
            output::check_volume(path, &inputs, command.overwrite.overwrite)?;
        }
        output::check_distinct(&job.outputs())?;
        jobs.push(job);
    }
    Ok(Jobs {
        report: report(command, &jobs, &inputs)?,
        jobs,
        notes: found.notes,
    })
}

/// Where the report goes: beside the result of one image, or beside the folder of
/// results, which holds one file for each image and nothing else. Other calls may have
/// left theirs there: it takes a free name.
fn report(command: &Predict, jobs: &[Job], inputs: &[&Path]) -> anyhow::Result<Option<PathBuf>> {
    let replace = command.overwrite.overwrite;
    let default = || {
        let path = match jobs {
            [one] if one.out == command.out => output::beside(&one.out, ".html"),
            _ => match command.out.file_name() {
                Some(name) => {
                    let mut name = name.to_owned();
                    name.push(".html");
                    command.out.with_file_name(name)
                }
                // Such as `.`: nothing lies beside it.
                None => command.out.join("report.html"),
            },
        };
        if replace { path } else { output::free(&path) }
    };
    let Some(path) = command.report.path(default) else {
        return Ok(None);
    };
    output::check_file(&path, inputs, replace)?;
    for job in jobs {
        let outputs = [("--report", path.as_path())];
        output::check_distinct(&[&job.outputs()[..], &outputs].concat())?;
    }
    Ok(Some(path))
}

/// Whether results go into a folder of this name: one that is there, or a name without
/// the ending of a format.
fn into_folder(path: &Path) -> bool {
    path.is_dir()
        || path.to_string_lossy().ends_with(std::path::is_separator)
        || !unet3d_volume::is_name_of_volume(path) && !is_of_other_format(path)
}

/// Formats that are not written. Their names are no folders: somebody means the format.
fn is_of_other_format(path: &Path) -> bool {
    const OTHERS: [&str; 24] = [
        ".mha", ".mhd", ".nrrd", ".nhdr", ".dcm", ".h5", ".hdf5", ".hdf", ".zarr", ".mgz", ".mgh",
        ".mat", ".mrc", ".czi", ".lif", ".nd2", ".jpg", ".jpeg", ".bmp", ".gif", ".vtk", ".raw",
        ".zip", ".gz",
    ];
    let ending = name::ending(path).to_ascii_lowercase();
    OTHERS.contains(&&*ending)
}

/// Refuses a place for results that would make a mess of what is there.
fn check_place(path: &Path, images: usize, inputs: &[&Path]) -> anyhow::Result<()> {
    if !into_folder(path) {
        if images > 1 {
            bail!(
                "{}: is the name of a file, {images} images need a folder. Give the name of a folder, without .nii.gz or \
                 another ending.",
                path.display()
            );
        }
        return Ok(());
    }
    if path.is_file() {
        bail!(
            "{}: is a file, and results go into a folder where no ending of a format is given. \
             Give another name, or one that ends in .nii.gz or .tif.",
            path.display()
        );
    }
    if let Some(input) = inputs.iter().find(|input| output::same(input, path)) {
        bail!(
            "{}: holds the images; results among them would be taken for images the next time. \
             Give another folder.",
            input.display()
        );
    }
    let held = listing::entries(path).unwrap_or_default();
    if let Some(slice) = held
        .iter()
        .find(|p| unet3d_volume::is_name_of_written_slice(p))
    {
        bail!(
            "{}: holds the slices of one volume ({}); a result among them would look like one of them. \
             Give another folder.",
            path.display(),
            slice.file_name().unwrap_or_default().display()
        );
    }
    Ok(())
}

/// The name of a result in a folder: that of the image where its format can be
/// written, else the same with another ending.
fn result_name(item: &Item, holds: Holds) -> OsString {
    let name = Path::new(&item.name);
    let is_folder = item.paths[0].is_dir();
    let is_written = unet3d_volume::check_name(name).is_ok();
    let is_png = name::ends_with(&item.name, ".png");
    if is_folder {
        return item.name.clone();
    }
    let ending = match (is_written && unet3d_volume::is_name_of_volume(name), holds) {
        (true, Holds::Numbers) if is_png => ".tif",
        (true, _) => return item.name.clone(),
        (false, _) => ".nii.gz",
    };
    name::with_ending(name, ending)
        .file_name()
        .map_or_else(OsString::new, OsStr::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_files_by_name() {
        for (name, folder) in [
            ("out", true),
            ("out/", true),
            ("out.nii.gz/", true),
            ("results.v2", true),
            ("2024.01", true),
            ("out.nii.gz", false),
            ("out.TIF", false),
            ("out.npy", false),
            ("out.png", false),
            ("out.hdr", false),
            ("out.mha", false),
        ] {
            assert_eq!(into_folder(Path::new(name)), folder, "{name}");
        }
    }

    #[test]
    fn results_are_called_as_their_images() {
        for (name, labels, numbers) in [
            ("a.nii.gz", "a.nii.gz", "a.nii.gz"),
            ("a.hdr", "a.nii.gz", "a.nii.gz"),
            ("a.img.gz", "a.nii.gz", "a.nii.gz"),
            ("a.png", "a.png", "a.tif"),
            ("a.1.TIF", "a.1.TIF", "a.1.TIF"),
            ("brain", "brain.nii.gz", "brain.nii.gz"),
        ] {
            let item = Item::of(Path::new(name));
            assert_eq!(result_name(&item, Holds::Labels), labels);
            assert_eq!(result_name(&item, Holds::Numbers), numbers);
        }
    }
}
