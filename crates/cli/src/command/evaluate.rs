//! `evaluate`: how well predictions agree with the truth.

mod summary;
mod surface;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use unet3d_metrics::{Confusion, Report, Scores, SurfaceReport};
use unet3d_volume::labels::{classes_of, describe_values};
use unet3d_volume::place::{How, Outside, bring, bring_either, place_slices};
use unet3d_volume::{Annotated, Class, LabelScheme, Labels, Volume};

use super::End;
use crate::arguments::{Json, Overwrite};
use crate::console::{self, Console};
use crate::label_flags::{LabelFlags, mask, read_under};
use crate::listing::{self, FolderFlag, Item};
use crate::output;
use crate::reliability;
use summary::{Counted, Summary};
use surface::SurfaceFlags;

/// Score predictions against the truth: IoU and Dice by class, distances of surfaces
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  unet3d evaluate filled.tif truth.tif --except sparse.tif
  unet3d evaluate predictions/ data/labelsTs/ --dense --json
  unet3d evaluate predictions/ data/labelsTs/ --surface --tolerance-mm 2
  unet3d evaluate predictions/ data/labelsTs/ --summary predictions/summary.json
  unet3d evaluate labels.tif truth.tif --dense --probabilities probabilities.npy

Folders are matched by file name, with _0000 or without. Only voxels annotated in TRUTH count; --except
leaves out those annotated in SPARSE, which is what the network learned from.
The label flags say what is annotated in TRUTH; with --except, --unlabeled holds
for both files, and the others say it of SPARSE alone. Where no flag is given:
TRUTH counts whole when each of its values also occurs in PREDICTION, and a
value of SPARSE that TRUTH does not have means not annotated. Where that settles
nothing the command stops and asks.

Files meet by their place in the world: one stored along other axes is turned, one
that covers a part of the other is placed there, with background around it, and
anything else is refused. TRUTH that is annotated in part has unlabeled around it.

A class that occurs in neither file has no score and is left out of the mean.

--surface needs a TRUTH that is annotated everywhere: where nothing is annotated,
nobody knows where surfaces are. Surface at the voxels that --except leaves out does
not count. A class in only one of the two files has infinite distances, which enter no
mean, and a surface Dice of 0, which does.")]
pub(crate) struct Evaluate {
    /// A label volume, or a folder of them
    #[arg(value_name = "PREDICTION")]
    prediction: PathBuf,

    /// The right labels: a volume, or a folder with the same file names
    #[arg(value_name = "TRUTH")]
    truth: PathBuf,

    /// Leave out the voxels annotated in SPARSE (a volume or a folder)
    #[arg(long, value_name = "SPARSE")]
    except: Option<PathBuf>,

    /// Write the scores to FILE as nnU-Net writes its summary.json (label 0 is
    /// background there and left out)
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,

    /// Also measure how far these probabilities of the classes, as `predict` writes
    /// them, are off: their expected calibration error (one file only)
    #[arg(long, value_name = "FILE")]
    probabilities: Option<PathBuf>,

    #[command(flatten)]
    folder: FolderFlag,

    #[command(flatten)]
    overwrite: Overwrite,

    #[command(flatten)]
    json: Json,

    #[command(flatten)]
    labels: LabelFlags,

    #[command(flatten)]
    surface: SurfaceFlags,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    report: &'a Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    surface: Option<&'a SurfaceReport>,
    /// Expected calibration error; the inner `None` where nothing could be compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    ece: Option<Option<f64>>,
}

impl Evaluate {
    /// Pairs the files, counts, tells.
    pub(super) fn run(self) -> anyhow::Result<End> {
        let console = Console::new(self.json.json);
        let mut notes = Vec::new();
        let pairs = listing::pairs(
            &self.prediction,
            &self.truth,
            self.folder.folder,
            &mut notes,
        )?;
        if let (Some(path), 2..) = (&self.probabilities, pairs.len()) {
            bail!(
                "--probabilities {}: belongs to one prediction, {} were given. Evaluate them one by one.",
                path.display(),
                pairs.len()
            );
        }
        let sparse = match &self.except {
            Some(path) => Some(self.sparse_items(path, &pairs, &mut notes)?),
            None => None,
        };
        console.notes(&notes);
        if let Some(path) = &self.summary {
            let items = pairs.iter().flat_map(|(p, t)| [p, t]);
            let items = items.chain(sparse.iter().flatten());
            let mut inputs: Vec<_> = items.flat_map(|item| &item.paths).map(|p| &**p).collect();
            inputs.extend(self.labels.annotated.as_deref());
            output::check_file(path, &inputs, self.overwrite.overwrite).context("--summary")?;
        }
        let meaning = Meaning::new(&self.labels, self.except.is_some(), &self.truth)?;
        let read = |i: usize, classes: &[Class]| {
            let (prediction, truth) = &pairs[i];
            let except = sparse.as_ref().map(|s| &s[i]);
            // What is noticed is told once, when a file is read for the first time.
            let is_first = classes.is_empty() || !meaning.classes.is_empty();
            let console = is_first.then_some(console);
            File::read(prediction, truth, except, &meaning, classes, console)
        };
        // Scores of several files need one list of classes: where nobody gave
        // it, it is gathered before anything is counted.
        let mut classes = meaning.classes.clone();
        let mut single = None;
        if classes.is_empty() {
            for i in 0..pairs.len() {
                let file = read(i, &[])?;
                for class in &file.truth.classes {
                    if classes.iter().all(|c| c.value != class.value) {
                        classes.push(class.clone());
                    }
                }
                single = Some(file);
            }
            classes.sort_by_key(|c| c.value);
        }
        let mut cases = Vec::new();
        let mut surfaces = self.surface.start(pairs.len(), console);
        let mut calibration_error = None;
        for (i, (_, truth)) in pairs.iter().enumerate() {
            let file = match single.take() {
                Some(file) if pairs.len() == 1 && file.truth.classes == classes => file,
                _ => read(i, &classes)?,
            };
            if let Some(path) = &self.probabilities {
                calibration_error = reliability::calibration_error(
                    path,
                    (&file.truth, &file.source),
                    file.except.as_ref(),
                    meaning.by_index,
                )?;
            }
            cases.push((truth.name(), file.count()?));
            if let Some(surfaces) = &mut surfaces {
                let labels = [&file.truth, &file.prediction];
                let except = file.except.as_ref();
                surfaces.measure(truth.name(), &file.source, labels, except)?;
            }
        }
        let surface = surfaces.and_then(|s| s.finish());
        let report = Report::new(&classes, &cases);
        let ece = self.probabilities.is_some().then_some(calibration_error);
        tell(
            console,
            &Told {
                report: &report,
                surface: surface.as_ref(),
                ece,
            },
        )?;
        if let Some(path) = &self.summary {
            let counted: Vec<_> = pairs
                .iter()
                .zip(&cases)
                .map(|((prediction, truth), (_, confusion))| Counted {
                    prediction_file: prediction.source(),
                    reference_file: truth.source(),
                    confusion,
                })
                .collect();
            let text = Summary::new(&classes, &counted).to_text()?;
            output::write_file(path, text.as_bytes())?;
            console.note(format_args!("Wrote {}", path.display()));
        }
        Ok(End::Done)
    }

    /// The sparse annotation of each pair.
    fn sparse_items(
        &self,
        path: &Path,
        pairs: &[listing::Pair],
        notes: &mut Vec<String>,
    ) -> anyhow::Result<Vec<Item>> {
        if pairs.len() == 1 && pairs[0].1.paths[0] == self.truth {
            return Ok(vec![Item::of(path)]);
        }
        let found =
            listing::pairs(path, &self.truth, self.folder.folder, notes).context("--except")?;
        pairs
            .iter()
            .map(|(_, truth)| {
                let sparse = found
                    .iter()
                    .find(|(_, t)| t == truth)
                    .map(|(s, _)| s.clone());
                sparse.with_context(|| {
                    format!(
                        "--except {}: no file of the name {}",
                        path.display(),
                        truth.name()
                    )
                })
            })
            .collect()
    }
}

/// Prints scores as tables, or as JSON.
fn tell(console: Console, told: &Told<'_>) -> anyhow::Result<()> {
    let &Told {
        report,
        surface,
        ece,
    } = told;
    if report.cases.len() > 1 {
        let mut heading = vec!["case", "mean IoU", "mean Dice"];
        heading.extend(
            surface
                .map(|_| ["surface Dice", "HD95"])
                .into_iter()
                .flatten(),
        );
        let mut rows = vec![heading.into_iter().map(String::from).collect()];
        for (i, case) in report.cases.iter().enumerate() {
            let mut row = vec![
                case.name.clone(),
                score(case.scores.mean_iou),
                score(case.scores.mean_dice),
            ];
            if let Some(mean) = surface.map(|s| &s.cases[i].mean) {
                row.push(score(mean.surface_dice));
                row.push(surface::distance(mean, mean.hausdorff95));
            }
            rows.push(row);
        }
        console.result(console::table(&rows, "<>>>>"))?;
        console.result(format_args!(
            "\nMeans over {}:",
            console::counted(report.cases.len(), "file")
        ))?;
    }
    console.result(class_table(&report.overall))?;
    if let Some(surface) = surface {
        console.result(format_args!("\n{}", surface::table(surface)))?;
    }
    if let Some(ece) = ece {
        console.result(format_args!(
            "\nExpected calibration error: {}",
            ece.map_or("nothing to compare".into(), |e| format!("{e:.4}"))
        ))?;
    }
    console.json(told)
}

/// What flags (or the data set's description) say of the label values.
struct Meaning {
    classes: Vec<Class>,
    /// Of TRUTH, where said.
    truth: Option<Annotated>,
    /// Of SPARSE, where said.
    sparse: Option<Annotated>,
    /// What the values of all volumes number, where they number objects.
    objects: Option<String>,
    /// Whether files are matched in the order in which their voxels are stored.
    by_index: bool,
}

impl Meaning {
    /// The scheme of volumes of which these voxels are annotated.
    fn scheme(&self, classes: &[Class], annotated: Annotated) -> LabelScheme {
        LabelScheme {
            objects: self.objects.clone(),
            ..LabelScheme::new(classes.to_vec(), annotated)
        }
    }

    fn new(flags: &LabelFlags, except: bool, truth: &Path) -> anyhow::Result<Self> {
        let said = flags.scheme()?.map(|s| s.annotated);
        let described = described_scheme(truth);
        let truth = match &said {
            Some(Annotated::PaintedSlices(_) | Annotated::Slices(_) | Annotated::Mask(_))
                if except =>
            {
                Some(Annotated::Dense)
            }
            Some(said) => Some(said.clone()),
            None => described.as_ref().map(|d| d.annotated.clone()),
        };
        let classes = match (&flags.classes[..], described) {
            ([], _) if flags.objects.is_some() => Vec::new(),
            ([], Some(described)) => described.classes,
            (classes, _) => classes.to_vec(),
        };
        Ok(Self {
            classes,
            truth,
            sparse: said.filter(|s| *s != Annotated::Dense),
            objects: flags.objects.clone(),
            by_index: flags.ignore_geometry,
        })
    }
}

/// The scheme that a data set's own description gives to a folder of labels.
fn described_scheme(truth: &Path) -> Option<LabelScheme> {
    // As in labelsTr of a data set folder. Where the description is missing or
    // broken the values decide, or the question is asked.
    let folder = truth.parent().filter(|_| truth.is_dir())?;
    let is_described = folder.join("dataset.json").is_file();
    let found = is_described.then(|| unet3d_train::dataset::find(folder, None));
    found?.ok().map(|data_set| data_set.scheme)
}

/// One pair, read.
struct File {
    source: String,
    prediction: Labels,
    truth: Labels,
    /// Voxels to leave out.
    except: Option<Labels>,
}

impl File {
    /// Reads a pair over `classes`, or where that is empty over the values found.
    fn read(
        prediction: &Item,
        truth: &Item,
        except: Option<&Item>,
        meaning: &Meaning,
        classes: &[Class],
        console: Option<Console>,
    ) -> anyhow::Result<Self> {
        let (prediction_source, source) = (prediction.source(), truth.source());
        let by_index = meaning.by_index;
        let predicted = prediction.read(by_index)?;
        let truth = truth.read(by_index)?;
        // Around a dense map is background; around a part of it nobody annotated.
        let around_truth = match &meaning.truth {
            None | Some(Annotated::Dense) => Outside::Background,
            Some(_) => Outside::Unlabeled,
        };
        let outside = [around_truth, Outside::Background];
        let names = [&source[..], &prediction_source];
        let (truth, predicted) = bring_either(truth, predicted, names, by_index, outside)?;
        if let Some(console) = console {
            console.notes(&predicted.notes);
            console.notes(&truth.notes);
        }
        let mut dense = meaning.scheme(classes, Annotated::Dense);
        let predicted_classes = classes_of(&predicted, &dense, None, &prediction_source)?;
        let annotated = match &meaning.truth {
            Some(annotated) => annotated.clone(),
            None => guess_dense(&truth, &source, &predicted, &prediction_source)?,
        };
        let mut scheme = meaning.scheme(classes, annotated);
        if classes.is_empty() {
            let mask = mask(&scheme, &truth, &source, by_index)?;
            let mut found = classes_of(&truth, &scheme, mask.as_ref(), &source)?;
            for class in predicted_classes {
                if found.iter().all(|c| c.value != class.value) {
                    found.push(class);
                }
            }
            found.sort_by_key(|c| c.value);
            dense.classes.clone_from(&found);
            scheme.classes = found;
        }
        let except = match except {
            Some(item) => Some(read_except(
                item,
                &truth,
                &source,
                &scheme.classes,
                meaning,
                console,
            )?),
            None => None,
        };
        Ok(Self {
            prediction: read_under(&dense, &predicted, &prediction_source, by_index)?,
            truth: read_under(&scheme, &truth, &source, by_index)?,
            source,
            except,
        })
    }

    fn count(&self) -> anyhow::Result<Confusion> {
        let confusion = Confusion::compare(&self.truth, &self.prediction, self.except.as_ref())
            .with_context(|| self.source.clone())?;
        if confusion.voxels() == 0 {
            bail!(
                "{}: no voxel is left to score: all that are annotated are left out by --except.",
                self.source
            );
        }
        Ok(confusion)
    }
}

/// Dense, where nothing speaks against it: each value of the truth is one that
/// the prediction, which is dense by nature, uses as a class.
fn guess_dense(
    truth: &Volume,
    source: &str,
    predicted: &Volume,
    predicted_source: &str,
) -> anyhow::Result<Annotated> {
    let found = describe_values(truth, source)?;
    let used = describe_values(predicted, predicted_source)?;
    let is_class = |value: i64| used.values.iter().any(|u| u.value == value);
    if found.distinct > found.values.len() || !found.values.iter().all(|v| is_class(v.value)) {
        bail!("{source}: what its values mean is not said.\n\n{found}");
    }
    Ok(Annotated::Dense)
}

fn read_except(
    item: &Item,
    truth: &Volume,
    truth_source: &str,
    classes: &[Class],
    meaning: &Meaning,
    console: Option<Console>,
) -> anyhow::Result<Labels> {
    let source = item.source();
    let by_index = meaning.by_index;
    let sparse = item.read(by_index)?;
    let grid = &truth.geometry;
    let (part, whole) = (&item.paths[0], Path::new(truth_source));
    let sparse = place_slices(sparse, part, whole, grid, meaning.sparse.as_ref())?;
    let how = How {
        by_index,
        outside: Outside::of_labels(meaning.sparse.as_ref()),
    };
    let names = [truth_source, &source];
    let (sparse, _) = bring(&mut truth.geometry.clone(), sparse, names, how).context("--except")?;
    if let Some(console) = console {
        console.notes(&sparse.notes);
    }
    let annotated = match &meaning.sparse {
        Some(annotated) => annotated.clone(),
        None => {
            let found = describe_values(&sparse, &source)?;
            let known = describe_values(truth, truth_source)?;
            let is_new = |value: i64| {
                known.values.iter().all(|v| v.value != value)
                    && classes.iter().all(|c| c.value != value)
            };
            let new: Vec<i64> = found
                .values
                .iter()
                .map(|v| v.value)
                .filter(|&v| is_new(v))
                .collect();
            let [value] = new[..] else {
                bail!("--except {source}: what its values mean is not said.\n\n{found}");
            };
            if let Some(console) = console {
                console.note(format_args!(
                "{source}: value {value} does not occur in {truth_source}, so it is taken as not annotated (--unlabeled {value})."
            ));
            }
            Annotated::Except(value)
        }
    };
    let scheme = meaning.scheme(classes, annotated);
    read_under(&scheme, &sparse, &source, by_index)
}

/// The scores of each class and their mean as a table.
pub(crate) fn class_table(scores: &Scores) -> String {
    let mut rows = vec![
        ["class", "value", "IoU", "Dice", "voxels"]
            .map(String::from)
            .to_vec(),
    ];
    for c in &scores.classes {
        rows.push(vec![
            c.name.clone(),
            c.value.to_string(),
            score(c.iou),
            score(c.dice),
            console::count(c.voxels),
        ]);
    }
    rows.push(vec![
        "mean".into(),
        String::new(),
        score(scores.mean_iou),
        score(scores.mean_dice),
        console::count(scores.voxels),
    ]);
    console::table(&rows, "<>>>>")
}

/// `0.873`, or what an absent score means.
pub(crate) fn score(value: Option<f64>) -> String {
    value.map_or_else(|| "absent".into(), |v| format!("{v:.3}"))
}
