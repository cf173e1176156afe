//! `evaluate`: how well predictions agree with the truth.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use unet3d_metrics::Confusion;
use unet3d_volume::labels::{classes_of, describe_values};
use unet3d_volume::{Annotated, Class, Label, LabelScheme, Labels, Volume};

use super::End;
use crate::arguments::Json;
use crate::console::{self, Console};
use crate::label_flags::{LabelFlags, read_under};
use crate::listing::{self, Item};

/// Score predictions against the truth: IoU and Dice by class
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  unet3d evaluate filled.tif truth.tif --except sparse.tif
  unet3d evaluate predictions/ data/labelsTs/ --dense --json

Folders are matched by file name. Only voxels annotated in TRUTH count; --except
leaves out those annotated in SPARSE, which is what the network learned from.
The label flags say what is annotated in TRUTH; with --except, --unlabeled holds
for both files, and the others say it of SPARSE alone. Where no flag is given:
TRUTH counts whole when each of its values also occurs in PREDICTION, and a
value of SPARSE that TRUTH does not have means not annotated. Where that settles
nothing the command stops and asks.

A class that occurs in neither file has no score and is left out of the mean.")]
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

    #[command(flatten)]
    labels: LabelFlags,

    #[command(flatten)]
    json: Json,
}

/// Scores of one file or of all together.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Scores {
    /// Mean IoU over the classes that occur; `null` where none does.
    pub(crate) mean_iou: Option<f64>,
    /// Mean Dice over the classes that occur.
    pub(crate) mean_dice: Option<f64>,
    /// Each class.
    pub(crate) classes: Vec<ClassScores>,
    /// Voxels counted.
    pub(crate) voxels: u64,
    /// Row: truth, column: prediction, in the order of the classes.
    pub(crate) confusion: Vec<Vec<u64>>,
}

/// Scores of one class.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ClassScores {
    value: i64,
    name: String,
    pub(crate) iou: Option<f64>,
    pub(crate) dice: Option<f64>,
    /// Voxels of the truth.
    pub(crate) voxels: u64,
}

#[derive(Serialize)]
struct Case {
    name: String,
    #[serde(flatten)]
    scores: Scores,
}

impl Evaluate {
    /// Pairs the files, counts, tells.
    pub(super) fn run(self) -> anyhow::Result<End> {
        let console = Console::new(self.json.json);
        let pairs = listing::pairs(&self.prediction, &self.truth)?;
        let sparse = match &self.except {
            Some(path) => Some(self.sparse_items(path, &pairs)?),
            None => None,
        };
        let meaning = Meaning::new(&self.labels, self.except.is_some(), &self.truth)?;
        let mut files = Vec::new();
        let mut classes: Vec<Class> = Vec::new();
        for (i, (prediction, truth)) in pairs.iter().enumerate() {
            let except = sparse.as_ref().map(|s| &s[i]);
            let file = File::read(prediction, truth, except, &meaning, console)?;
            for class in &file.classes {
                if classes.iter().all(|c| c.value != class.value) {
                    classes.push(class.clone());
                }
            }
            files.push((truth.name.clone(), file));
        }
        if meaning.classes.is_empty() {
            classes.sort_by_key(|c| c.value);
        }
        let mut sum = Confusion::new(classes.len());
        let mut cases = Vec::new();
        for (name, file) in &files {
            let confusion = file.count(&classes)?;
            sum.add(&confusion);
            cases.push(Case {
                name: name.clone(),
                scores: scores(&confusion, &classes),
            });
        }
        let total = scores(&sum, &classes);
        if total.voxels == 0 {
            bail!(
                "no voxel is left to score: every voxel annotated in {} is annotated in {} too.",
                self.truth.display(),
                self.except.as_deref().unwrap_or(Path::new("SPARSE")).display()
            );
        }
        if cases.len() > 1 {
            let mut rows = vec![["case", "mean IoU", "mean Dice"].map(String::from).to_vec()];
            rows.extend(cases.iter().map(|c| {
                vec![c.name.clone(), score(c.scores.mean_iou), score(c.scores.mean_dice)]
            }));
            console.result(console::table(&rows, "<>>"))?;
            console.result(format_args!("\nAll {} files together:", cases.len()))?;
        }
        console.result(class_table(&total))?;
        let mut object = serde_json::to_value(&total)?;
        if cases.len() > 1 {
            object["cases"] = serde_json::to_value(&cases)?;
        }
        console.json(&object)?;
        Ok(End::Done)
    }

    /// The sparse annotation of each pair.
    fn sparse_items(&self, path: &Path, pairs: &[listing::Pair]) -> anyhow::Result<Vec<Item>> {
        if pairs.len() == 1 && pairs[0].1.paths[0] == self.truth {
            return Ok(vec![Item::of(path)]);
        }
        let found = listing::pairs(path, &self.truth).context("--except")?;
        pairs
            .iter()
            .map(|(_, truth)| {
                let sparse = found.iter().find(|(_, t)| t == truth).map(|(s, _)| s.clone());
                sparse.with_context(|| {
                    format!("--except {}: no file of the name {}", path.display(), truth.name)
                })
            })
            .collect()
    }
}

/// What flags (or the data set's description) say of the label values.
struct Meaning {
    classes: Vec<Class>,
    /// Of TRUTH, where said.
    truth: Option<Annotated>,
    /// Of SPARSE, where said.
    sparse: Option<Annotated>,
}

impl Meaning {
    fn new(flags: &LabelFlags, except: bool, truth: &Path) -> anyhow::Result<Self> {
        let said = flags.scheme()?.map(|s| s.annotated);
        let described = described_scheme(truth)?;
        let truth = match &said {
            Some(Annotated::PaintedSlices(_) | Annotated::Mask(_)) if except => Some(Annotated::Dense),
            Some(said) => Some(said.clone()),
            None => described.as_ref().map(|d| d.annotated.clone()),
        };
        let classes = match (&flags.classes[..], described) {
            ([], Some(described)) => described.classes,
            (classes, _) => classes.to_vec(),
        };
        Ok(Self {
            classes,
            truth,
            sparse: said.filter(|s| *s != Annotated::Dense),
        })
    }
}

/// The scheme that a data set's own description gives to a folder of labels.
fn described_scheme(_truth: &Path) -> anyhow::Result<Option<LabelScheme>> {
    Ok(None)
}

/// One pair, read.
struct File {
    source: String,
    prediction: Volume,
    prediction_source: String,
    truth: Labels,
    /// Voxels to leave out.
    except: Option<Labels>,
    classes: Vec<Class>,
}

impl File {
    fn read(
        prediction: &Item,
        truth: &Item,
        except: Option<&Item>,
        meaning: &Meaning,
        console: Console,
    ) -> anyhow::Result<Self> {
        let (prediction_source, source) = (prediction.source(), truth.source());
        let predicted = prediction.read()?;
        let truth = truth.read()?;
        same_shape(&predicted, &prediction_source, &truth, &source)?;
        let dense = LabelScheme {
            classes: meaning.classes.clone(),
            annotated: Annotated::Dense,
        };
        let predicted_classes = classes_of(&predicted, &dense, None, &prediction_source)?;
        let annotated = match &meaning.truth {
            Some(annotated) => annotated.clone(),
            None => {
                let found = describe_values(&truth, &source)?;
                let known = |value| predicted_classes.iter().any(|c| c.value == value);
                if found.distinct > found.values.len() || found.values.iter().any(|v| !known(v.value)) {
                    bail!("{found}");
                }
                Annotated::Dense
            }
        };
        let scheme = LabelScheme {
            annotated,
            ..dense.clone()
        };
        let mut classes = classes_of(&truth, &scheme, None, &source)?;
        for class in predicted_classes {
            if classes.iter().all(|c| c.value != class.value) {
                classes.push(class);
            }
        }
        let labels = read_under(
            &LabelScheme {
                classes: classes.clone(),
                ..scheme
            },
            &truth,
            &source,
        )?;
        let except = match except {
            Some(item) => Some(read_except(item, &truth, &source, &classes, meaning, console)?),
            None => None,
        };
        Ok(Self {
            source,
            prediction: predicted,
            prediction_source,
            truth: labels,
            except,
            classes,
        })
    }

    fn count(&self, classes: &[Class]) -> anyhow::Result<Confusion> {
        let scheme = LabelScheme {
            classes: classes.to_vec(),
            annotated: Annotated::Dense,
        };
        let prediction = read_under(&scheme, &self.prediction, &self.prediction_source)?;
        // From the file's own class order to the common one.
        let index: Vec<Label> = self
            .truth
            .classes
            .iter()
            .filter_map(|c| classes.iter().position(|k| k.value == c.value))
            .map(Label::of_class)
            .collect();
        let truth: Vec<Label> = self
            .truth
            .voxels
            .iter()
            .enumerate()
            .map(|(i, label)| match label.class() {
                Some(class) if !self.leaves_out(i) => index[class],
                _ => Label::UNLABELED,
            })
            .collect();
        let mut confusion = Confusion::new(classes.len());
        confusion.count(&truth, &prediction.voxels);
        if confusion.voxels() == 0 {
            bail!("{}: no voxel is left to score.", self.source);
        }
        Ok(confusion)
    }

    fn leaves_out(&self, voxel: usize) -> bool {
        self.except.as_ref().is_some_and(|e| e.voxels[voxel].class().is_some())
    }
}

fn read_except(
    item: &Item,
    truth: &Volume,
    truth_source: &str,
    classes: &[Class],
    meaning: &Meaning,
    console: Console,
) -> anyhow::Result<Labels> {
    let source = item.source();
    let sparse = item.read()?;
    same_shape(&sparse, &source, truth, truth_source)?;
    let annotated = match &meaning.sparse {
        Some(annotated) => annotated.clone(),
        None => {
            let found = describe_values(&sparse, &source)?;
            let known = describe_values(truth, truth_source)?;
            let is_new = |value: i64| {
                known.values.iter().all(|v| v.value != value) && classes.iter().all(|c| c.value != value)
            };
            let new: Vec<i64> = found.values.iter().map(|v| v.value).filter(|&v| is_new(v)).collect();
            let [value] = new[..] else {
                bail!("{found}");
            };
            console.note(format_args!(
                "{source}: value {value} does not occur in {truth_source}, so it is taken as not annotated (--unlabeled {value})."
            ));
            Annotated::Except(value)
        }
    };
    read_under(
        &LabelScheme {
            classes: classes.to_vec(),
            annotated,
        },
        &sparse,
        &source,
    )
}

/// Refuses two volumes of different shape.
pub(crate) fn same_shape(a: &Volume, a_source: &str, b: &Volume, b_source: &str) -> anyhow::Result<()> {
    if a.geometry.shape != b.geometry.shape {
        bail!(
            "{a_source}: shape {:?} [z, y, x], {b_source} has {:?}; both must be of one shape. \
             They may belong to different volumes, or to different resolutions of one.",
            a.geometry.shape,
            b.geometry.shape
        );
    }
    Ok(())
}

/// The scores of a confusion matrix.
pub(crate) fn scores(confusion: &Confusion, classes: &[Class]) -> Scores {
    let overlap = confusion.overlap();
    Scores {
        mean_iou: overlap.mean_iou,
        mean_dice: overlap.mean_dice,
        classes: classes
            .iter()
            .zip(&overlap.classes)
            .map(|(class, o)| ClassScores {
                value: class.value,
                name: class.name.clone(),
                iou: o.iou,
                dice: o.dice,
                voxels: o.voxels,
            })
            .collect(),
        voxels: confusion.voxels(),
        confusion: confusion.rows(),
    }
}

/// The scores of each class and their mean as a table.
pub(crate) fn class_table(scores: &Scores) -> String {
    let mut rows = vec![["class", "value", "IoU", "Dice", "voxels"].map(String::from).to_vec()];
    for c in &scores.classes {
        rows.push(vec![
            c.name.clone(),
            c.value.to_string(),
            score(c.iou),
            score(c.dice),
            c.voxels.to_string(),
        ]);
    }
    rows.push(vec![
        "mean".into(),
        String::new(),
        score(scores.mean_iou),
        score(scores.mean_dice),
        scores.voxels.to_string(),
    ]);
    console::table(&rows, "<>>>>")
}

/// `0.873`, or what an absent score means.
pub(crate) fn score(value: Option<f64>) -> String {
    value.map_or("absent".into(), |v| format!("{v:.3}"))
}
