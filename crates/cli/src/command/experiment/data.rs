//! The volumes of an experiment: pairs of files, or a data set as `train` takes it.

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use unet3d_train::dataset::{self, CaseFiles, DataSet, Split};
use unet3d_train::experiment::same_image;
use unet3d_train::{Case, Error};
use unet3d_volume::{Annotated, LabelScheme, Normalise};

use crate::command::train::{ask, load_case, same_channels, tell_notes};
use crate::console::{Console, counted};
use crate::label_flags::LabelFlags;
use crate::parse;
use unet3d_volume::name::stem;

/// Which volumes, and what their labels mean.
#[derive(Args, Debug)]
pub(super) struct DataFlags {
    /// Image and labels of each volume in turn, or one data set: a folder or TOML
    /// list as `unet3d train` takes it
    #[arg(value_name = "IMAGE LABELS", required = true, num_args = 1..)]
    paths: Vec<PathBuf>,

    /// Thin the labels out to this many evenly spaced slices across each direction,
    /// as a person might have annotated them
    #[arg(long, value_name = "z=N,y=N,x=N", value_parser = parse::slices)]
    pub(super) slices: Option<[usize; 3]>,

    #[command(flatten)]
    labels: LabelFlags,
}

/// The volumes, read.
pub(super) struct Data {
    /// The cases, all with the same classes and channels. Names are unique.
    pub(super) cases: Vec<Case>,
    /// The data set's own split; `None` where it has none.
    pub(super) split: Option<OwnSplit>,
}

/// A split that comes with the data.
pub(super) struct OwnSplit {
    /// Which of the cases it holds out.
    pub(super) is_validate: Vec<bool>,
    /// Where it is written: `as split.tsv says`.
    pub(super) how: String,
}

impl DataFlags {
    /// Reads the volumes.
    ///
    /// # Errors
    /// Where a file cannot be read, image and labels do not go together, or
    /// nobody says what the label values mean.
    pub(super) fn read(&self, normalise: &Normalise) -> anyhow::Result<Data> {
        let scheme = self.labels.scheme()?;
        let mut set = match &self.paths[..] {
            [path] => data_set(path, scheme.as_ref())?,
            paths => pairs(paths, scheme)?,
        };
        set.ignore_geometry = self.labels.ignore_geometry;
        set.settle_classes()?;
        let used = set.cases.iter().filter(|files| files.split != Split::Test);
        let used: Vec<CaseFiles> = used.cloned().collect();
        let mut cases = Vec::new();
        for files in &used {
            cases.push(load_case(&mut set, files, normalise)?);
        }
        same_channels(cases.iter())?;
        tell_notes(cases.iter(), &self.paths[0], Console::new(false));
        let used = used.iter();
        if let Some((earlier, later)) = same_image(&cases) {
            let file = |i| used.clone().nth(i).map(|f| f.images[0].display());
            if let (Some(earlier), Some(later)) = (file(earlier), file(later)) {
                bail!(
                    "{later}: is the same image as {earlier}; a volume that is both learned from and tested \
                     would spoil the experiment. Name one of them."
                );
            }
        }
        let split = set.is_split_given.then(|| OwnSplit {
            is_validate: used.map(|files| files.split == Split::Validate).collect(),
            how: set.how_split.clone(),
        });
        Ok(Data { cases, split })
    }

    /// The same with labels thinned out to the slices asked for.
    pub(super) fn read_thinned(&self, normalise: &Normalise) -> anyhow::Result<Data> {
        let mut data = self.read(normalise)?;
        if let Some(slices) = self.slices {
            for case in &mut data.cases {
                case.labels = case.labels.sparsify(slices);
            }
        }
        Ok(data)
    }
}

/// The data set at `path`, as `train` finds it.
fn data_set(path: &Path, scheme: Option<&LabelScheme>) -> anyhow::Result<DataSet> {
    let is_list = path.extension().is_some_and(|ending| ending == "toml");
    if !path.is_dir() && !is_list && path.exists() {
        bail!(
            "{}: is one file, neither a data set nor a pair. Give image and labels of each volume in turn, \
                 a data set folder, or a TOML list of cases.",
            path.display()
        );
    }
    match dataset::find(path, scheme) {
        Err(Error::NoScheme { labels }) => Err(ask(path, &labels)),
        found => {
            let found = found?;
            Console::new(false).notes(&found.notes);
            Ok(found)
        }
    }
}

/// A data set of files named one by one.
fn pairs(paths: &[PathBuf], scheme: Option<LabelScheme>) -> anyhow::Result<DataSet> {
    if !paths.len().is_multiple_of(2) {
        bail!(
            "{} named: image and labels of each volume are needed in turn, an even number. Is a label file missing?",
            counted(paths.len(), "file")
        );
    }
    let Some(scheme) = scheme else {
        return Err(ask(&paths[1], &paths[1]));
    };
    if let (Annotated::Mask(mask), 3..) = (&scheme.annotated, paths.len()) {
        bail!(
            "--annotated {} is one mask for {} volumes. Give a TOML list of cases, in which each has its own.",
            mask.display(),
            paths.len() / 2
        );
    }
    let files = |pair: &[PathBuf]| CaseFiles {
        name: stem(&pair[0]).display().to_string(),
        subject: None,
        images: vec![pair[0].clone()],
        labels: pair[1].clone(),
        mask: None,
        annotated_slices: None,
        split: Split::Train,
    };
    let mut cases: Vec<CaseFiles> = paths.chunks_exact(2).map(files).collect();
    if let Some(twice) = (1..cases.len()).find(|&i| {
        let earlier = &cases[..i];
        earlier.iter().any(|c| c.images == cases[i].images)
    }) {
        bail!(
            "{}: is named twice; a volume that is both learned from and tested would spoil the experiment.",
            cases[twice].images[0].display()
        );
    }
    // Files of one name in several folders: told apart by their number.
    let names: Vec<String> = cases.iter().map(|c| c.name.clone()).collect();
    for (i, case) in cases.iter_mut().enumerate() {
        if names.iter().filter(|name| **name == case.name).count() > 1 {
            case.name = format!("{} {}", case.name, i + 1);
        }
    }
    Ok(DataSet {
        name: "volumes".into(),
        cases,
        scheme,
        how_split: String::new(),
        is_split_given: false,
        notes: Vec::new(),
        ignore_geometry: false,
        orientation: None,
    })
}
