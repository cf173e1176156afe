//! `check`: what is wrong with a volume or a data set, before hours are spent on it.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use unet3d_train::dataset::{DataSet, Split};
use unet3d_volume::labels::{annotated_in_words, annotation_warnings};
use unet3d_volume::place::{How, Outside, bring, place_slices};
use unet3d_volume::{Class, LabelScheme, Labels, Orientation, Volume};

use super::End;
use super::info::ranges;
use crate::absent::{self, Judge};
use crate::arguments::Json;
use crate::console::{Console, counted};
use crate::filling::told_slices;
use crate::label_flags::{LabelFlags, read_or_ask};
use crate::listing::{self, Expected, FolderAs, FolderFlag, Item};

/// Examine volumes or a data set and list what is wrong
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  unet3d check data/                          a data set: imagesTr/ and labelsTr/
  unet3d check list.toml                      a data set: a list of cases, as for `train`
  unet3d check image.tif labels.tif --unlabeled 0
  unet3d check images/

A data set is examined case by case; other folders volume by volume.
Of two volumes with label flags, the second holds the labels of the first. Errors
are what training or prediction would refuse; warnings are what is often a
mistake. Ends with code 1 when there are errors.")]
pub(crate) struct Check {
    /// Volumes, folders of volumes, or a data set
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    labels: LabelFlags,

    #[command(flatten)]
    folder: FolderFlag,

    #[command(flatten)]
    json: Json,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Severity {
    Error,
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    severity: Severity,
    message: String,
}

/// What is annotated in a label file.
#[derive(Clone, Debug, Serialize)]
struct Annotation {
    labels: String,
    /// In words.
    annotated: String,
    /// Slices annotated as a whole.
    slices: serde_json::Value,
}

#[derive(Serialize)]
struct Outcome<'a> {
    volumes: usize,
    errors: usize,
    warnings: usize,
    findings: &'a [Finding],
    annotation: &'a [Annotation],
}

/// What was found so far, and what later volumes are compared with.
#[derive(Default)]
struct Examination {
    findings: Vec<Finding>,
    annotation: Vec<Annotation>,
    volumes: usize,
    /// Hash of the samples and the first source that has it.
    seen: Vec<(u64, String)>,
    /// Spacing and channels of the first image, with its source.
    first: Option<(Option<[f64; 3]>, usize, String)>,
    /// How the first image lies that says it, with its source.
    first_orientation: Option<(Orientation, String)>,
    /// Whether the files of a case are matched in the order in which they are stored.
    by_index: bool,
}

impl Check {
    /// Examines everything, then tells.
    pub(super) fn run(self) -> anyhow::Result<End> {
        let console = Console::new(self.json.json);
        let scheme = self.labels.scheme()?;
        let mut examination = Examination {
            by_index: self.labels.ignore_geometry,
            ..Examination::default()
        };
        // A file, or a folder of slices that is one volume.
        let is_volume = |path: &Path| {
            let may_be_stack = self.folder.folder != Some(FolderAs::Volumes);
            path.is_file() || (may_be_stack && listing::is_stack(path).unwrap_or(false))
        };
        match &self.paths[..] {
            [folder] if is_data_set(folder) => {
                examination.data_set(folder, scheme.as_ref(), self.labels.objects.as_deref());
            }
            [image, labels] if scheme.is_some() && is_volume(image) && is_volume(labels) => {
                let pair = (Item::of(image), Item::of(labels));
                examination.case(&pair.0, Some(&pair.1), scheme.as_ref(), false);
            }
            paths => {
                for path in paths {
                    let expected = Expected {
                        slices: self.folder.folder,
                        ..Expected::default()
                    };
                    match listing::volumes(std::slice::from_ref(path), &expected) {
                        Ok(found) => {
                            console.notes(&found.notes);
                            found.items.iter().for_each(|item| {
                                examination.case(item, None, None, true);
                            });
                        }
                        Err(error) => examination.error(format!("{error:#}")),
                    }
                }
            }
        }
        examination.tell(console)
    }
}

/// Whether a path is a data set: a list of cases, or a folder that says so
/// itself or has one of the usual subfolders, the other of which may be missing.
fn is_data_set(path: &Path) -> bool {
    let is_list = || {
        path.extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("toml"))
    };
    path.join("dataset.json").is_file()
        || path.join("imagesTr").is_dir()
        || path.join("labelsTr").is_dir()
        || (path.is_file() && is_list())
}

impl Examination {
    fn error(&mut self, message: String) {
        self.findings.push(Finding {
            severity: Severity::Error,
            message,
        });
    }

    fn warning(&mut self, message: String) {
        self.findings.push(Finding {
            severity: Severity::Warning,
            message,
        });
    }

    /// What was noticed while a volume was read.
    fn notes(&mut self, volume: &Volume) {
        volume
            .notes
            .iter()
            .for_each(|note| self.warning(note.clone()));
    }

    /// Every case of a data set folder.
    fn data_set(&mut self, folder: &Path, scheme: Option<&LabelScheme>, objects: Option<&str>) {
        let found = unet3d_train::dataset::find(folder, scheme).and_then(|mut data_set| {
            if let Some(name) = objects {
                data_set.take_as_objects(name)?;
            }
            Ok(data_set)
        });
        let data_set = match found {
            Ok(data_set) => data_set,
            Err(error) => return self.error(error.to_string()),
        };
        let mut voxels = Vec::new();
        for note in &data_set.notes {
            self.warning(note.clone());
        }
        for case in &data_set.cases {
            let image = Item {
                name: case.name.clone().into(),
                paths: case.images.clone(),
            };
            let labels = Item::of(&case.labels);
            let scheme = case.scheme(&data_set.scheme);
            let read = self.case(&image, Some(&labels), Some(&scheme), true);
            voxels.extend(read.map(|labels| (case.split, labels.class_voxels())));
        }
        // What could not be read may well show what the others do not.
        if voxels.len() == data_set.cases.len() {
            self.absent_classes(folder, &data_set.scheme.classes, &voxels);
        }
        self.unused_images(folder, &data_set);
    }

    /// Classes that are declared and occur in no case, or in none that is learned from
    /// or held out; `voxels` are those of each class, case by case.
    fn absent_classes(&mut self, folder: &Path, classes: &[Class], voxels: &[(Split, Vec<usize>)]) {
        // Where none are declared, they are those found.
        let of = |splits: &[Split]| {
            let mut sum = vec![0; classes.len()];
            for (_, voxels) in voxels.iter().filter(|(split, _)| splits.contains(split)) {
                sum.iter_mut().zip(voxels).for_each(|(sum, n)| *sum += n);
            }
            sum
        };
        let all = of(&[Split::Train, Split::Validate, Split::Test]);
        let nowhere = absent::without_voxels(classes, &all);
        let elsewhere = |split| {
            let names = absent::without_voxels(classes, &of(&[split]));
            let names = names.into_iter().filter(|name| !nowhere.contains(name));
            names.collect::<Vec<_>>()
        };
        let mut found = vec![
            absent::not_learned(&nowhere, "case"),
            absent::not_learned(&elsewhere(Split::Train), "case to learn from"),
        ];
        if voxels.iter().any(|(split, _)| *split == Split::Validate) {
            found.push(absent::not_scored(
                &elsewhere(Split::Validate),
                Judge::Cases,
            ));
        }
        for message in found.into_iter().flatten() {
            self.warning(format!("{}: {message}", folder.display()));
        }
    }

    /// Images that no case uses: training would pass over them in silence.
    fn unused_images(&mut self, folder: &Path, data_set: &DataSet) {
        let Ok(images) = listing::entries(&folder.join("imagesTr")) else {
            return;
        };
        let is_used = |path: &PathBuf| {
            let name = path.file_name();
            data_set
                .cases
                .iter()
                .any(|c| c.images.iter().any(|i| i.file_name() == name))
        };
        let unused: Vec<String> = images
            .iter()
            .filter(|path| unet3d_volume::is_name_of_volume(path) && !is_used(path))
            .map(|path| path.display().to_string())
            .collect();
        if !unused.is_empty() {
            self.warning(format!(
                "{}: {} without labels: {}. Training does not use them.",
                folder.display(),
                counted(unused.len(), "image"),
                listing::some_of(&unused)
            ));
        }
    }

    /// One image and, where given, its labels, which it leaves. In a set, what only
    /// weakens the whole is a warning.
    fn case(
        &mut self,
        image: &Item,
        labels: Option<&Item>,
        scheme: Option<&LabelScheme>,
        in_set: bool,
    ) -> Option<Labels> {
        let mut volume = self.volume(image, labels.is_some() || !in_set);
        let (labels, scheme) = (labels?, scheme?);
        let source = labels.source();
        let mut label_volume = match labels.read(self.by_index) {
            Ok(volume) => volume,
            Err(error) => {
                self.error(format!("{error:#}"));
                return None;
            }
        };
        self.volumes += 1;
        if let Some(volume) = &mut volume {
            let names = [&image.source()[..], &source];
            let how = How {
                by_index: self.by_index,
                outside: Outside::of_labels(Some(&scheme.annotated)),
            };
            let (grid, annotated) = (&mut volume.geometry, Some(&scheme.annotated));
            let (part, whole) = (&labels.paths[0], &image.paths[0]);
            let placed = place_slices(label_volume, part, whole, grid, annotated)
                .and_then(|placed| bring(grid, placed, names, how));
            label_volume = match placed {
                Ok((brought, _)) => brought,
                Err(error) => {
                    self.error(error.to_string());
                    return None;
                }
            };
        }
        self.notes(&label_volume);
        match read_or_ask(scheme, &label_volume, &source, self.by_index) {
            Err(error) => {
                self.error(format!("{error:#}"));
                None
            }
            Ok(read) => {
                self.annotation.push(Annotation {
                    annotated: annotated_in_words(&read),
                    slices: told_slices(&read),
                    labels: source.clone(),
                });
                match annotation_warnings(&label_volume, &read, &scheme.annotated, &source) {
                    Ok(warnings) => warnings.into_iter().for_each(|w| self.warning(w)),
                    Err(error) => self.error(error.to_string()),
                }
                if let Err(error) = read.require_two_classes(&scheme.annotated, &source) {
                    let message = error.to_string();
                    if in_set {
                        self.warning(message)
                    } else {
                        self.error(message)
                    }
                } else if !in_set {
                    let names = absent::without_voxels(&read.classes, &read.class_voxels());
                    if let Some(message) = absent::not_learned(&names, "annotated voxel") {
                        self.warning(format!("{source}: {message}"));
                    }
                }
                Some(read)
            }
        }
    }

    /// One volume by itself; `None` where it cannot be read.
    fn volume(&mut self, item: &Item, is_image: bool) -> Option<Volume> {
        let source = item.source();
        let volume = match item.read(self.by_index) {
            Ok(volume) => volume,
            Err(error) => {
                self.error(format!("{error:#}"));
                return None;
            }
        };
        self.volumes += 1;
        self.notes(&volume);
        for (channel, range) in ranges(&volume).iter().enumerate() {
            if range.not_finite > 0 {
                self.error(format!(
                    "{source}: channel {channel} has {}, all must be finite. \
                     Replace them (often by 0) before training.",
                    counted(range.not_finite, "NaN or infinite sample")
                ));
            }
            if range.low.is_some() && range.low == range.high {
                self.warning(format!(
                    "{source}: channel {channel} is {} everywhere, an image should vary. It may be empty or the wrong file.",
                    range.low.unwrap_or_default()
                ));
            }
        }
        if is_image {
            self.compare_with_first(&volume, &source);
        }
        let hash = hash(&volume);
        match self.seen.iter().find(|(h, _)| *h == hash) {
            Some((_, other)) => {
                let message = format!(
                    "{source}: has the same samples as {other}. A copy in both training and validation makes scores too good."
                );
                self.warning(message);
            }
            None => self.seen.push((hash, source)),
        }
        Some(volume)
    }

    fn compare_with_first(&mut self, volume: &Volume, source: &str) {
        let mut own_spacing_mm = volume.geometry.spacing_mm;
        let own = volume.geometry.orientation();
        match (own, self.first_orientation.clone()) {
            (Some(own), None) => self.first_orientation = Some((own, source.to_owned())),
            (Some(own), Some((first, other))) if own != first && !self.by_index => {
                self.warning(format!(
                    "{source}: is stored as {own} (x, y, z), {other} as {first}. `unet3d train` turns images to lie as \
                     the first, and `unet3d predict` as those the model learned from."
                ));
                // Axis by axis only what lies alike can be compared.
                own_spacing_mm = own.turn_to(first).geometry(&volume.geometry).spacing_mm;
            }
            _ => {}
        }
        let Some((spacing_mm, channels, other)) = self.first.clone() else {
            self.first = Some((own_spacing_mm, volume.channels, source.to_owned()));
            return;
        };
        if volume.channels != channels {
            self.error(format!(
                "{source}: {}, {other} has {channels}; all images of a data set need the same channels.",
                counted(volume.channels, "channel")
            ));
        }
        match (own_spacing_mm, spacing_mm) {
            (Some(a), Some(b)) if differs(a, b) => self.warning(format!(
                "{source}: spacing {a:?} mm [z, y, x], {other} has {b:?}; structures differ in size for the network. \
                 Bring all images to one spacing, or check that the headers are right."
            )),
            (None, Some(_)) | (Some(_), None) => self.warning(format!(
                "{source}: states {} spacing, unlike {other}.",
                if spacing_mm.is_some() { "no" } else { "a" }
            )),
            _ => {}
        }
    }

    fn tell(&self, console: Console) -> anyhow::Result<End> {
        let count = |s: Severity| self.findings.iter().filter(|f| f.severity == s).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        let densely = |a: &&Annotation| a.annotated == "every voxel";
        let dense = self.annotation.iter().filter(densely).count();
        for annotation in self.annotation.iter().filter(|a| !densely(a)) {
            console.result(format_args!(
                "{}: annotated: {}.",
                annotation.labels, annotation.annotated
            ))?;
        }
        if dense > 0 {
            console.result(format_args!(
                "{} annotated in every voxel.",
                counted(dense, "volume")
            ))?;
        }
        for finding in &self.findings {
            let word = match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            console.result(format_args!("{word}: {}", finding.message))?;
        }
        console.result(format_args!(
            "{} read, {}, {}.",
            counted(self.volumes, "volume"),
            counted(errors, "error"),
            counted(warnings, "warning")
        ))?;
        console.json(&Outcome {
            volumes: self.volumes,
            errors,
            warnings,
            findings: &self.findings,
            annotation: &self.annotation,
        })?;
        Ok(if errors > 0 {
            End::FoundErrors
        } else {
            End::Done
        })
    }
}

/// Spacings that differ by more than rounding in headers does.
fn differs(a: [f64; 3], b: [f64; 3]) -> bool {
    /// Headers keep spacings as f32 and people round to a percent or so.
    const RELATIVE: f64 = 0.02;
    (0..3).any(|i| (a[i] - b[i]).abs() > RELATIVE * a[i].max(b[i]))
}

/// FNV-1a over shape and samples: a fingerprint to find copies with, no more.
fn hash(volume: &Volume) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut feed = |bits: u64| hash = (hash ^ bits).wrapping_mul(0x0100_0000_01b3);
    volume.geometry.shape.iter().for_each(|&n| feed(n as u64));
    for i in 0..volume.samples.len() {
        feed(volume.samples.f64_at(i).to_bits());
    }
    hash
}
