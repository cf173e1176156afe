//! Does it pay to annotate what `suggest` names?
//!
//! Comes in: a volume whose truth is known everywhere. From two annotated slices
//! a direction three more are added each round; after each a network is trained
//! from scratch with the same budget. Leaves: the IoU of every round, as CSV and
//! as a table. The three are the first three that the command `suggest` names,
//! whatever their directions; or the best one of each direction; or one of each
//! direction by even spacing or by chance.
//!
//! Even spacing is planned ahead: all slices of a round are spaced evenly,
//! which nobody who annotates one by one can do. Scores are of the whole volume,
//! so that all strategies are judged on the same voxels, and beside it of the
//! voxels that a strategy did not annotate.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;
use unet3d_metrics::{Confusion, Scores};
use unet3d_predict::suggest::{SliceRef, Strategy, ranked, suggest_one_each};
use unet3d_train::experiment::fingerprint;
use unet3d_train::lock::Lock;
use unet3d_train::run::Sitting;
use unet3d_train::{Budget, Case, FillConfig, TrainConfig, fill};
use unet3d_volume::labels::evenly_spaced;
use unet3d_volume::place::{How, Outside, bring};
use unet3d_volume::{Annotated, Image, LabelScheme, Labels, Volume};

use super::record;
use crate::arguments::{Json, Machine};
use crate::command::End;
use crate::console::{self, Console};
use crate::interrupt::Interrupt;
use crate::label_flags::read_under;
use crate::learning_flags::LearningFlags;
use crate::listing::Item;
use crate::output;
use crate::results::Results;
use crate::watch::Watch;

/// Slices a direction in the first round.
const FIRST: usize = 2;

/// Slices added each round: one a direction, or as many wherever.
const ADDED: usize = 3;

/// Steps of each training where nobody says: what two cores do in about a minute.
const ITERATIONS: u64 = 150;

/// The file of the finished rounds, one a line.
const ROUNDS: &str = "rounds.jsonl";

/// Compare ways to choose the next slice, on a volume whose truth is known
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  unet3d experiment suggest image.tif truth.tif -o suggest/ --iterations 150

Every way begins with two slices a direction and adds three a round:
  ranked    the best three by doubt and distance, in whatever directions
  one-each  the best of each direction by the same measure, as `unet3d suggest` names them
  even      all slices of a round evenly spaced, whatever those of the round before
  random    one of each direction, by chance

Each round is kept in OUT; the same command goes on where it was ended.")]
pub(crate) struct Suggest {
    /// The image
    #[arg(value_name = "IMAGE")]
    image: PathBuf,

    /// Its true labels, every voxel of them
    #[arg(value_name = "TRUTH")]
    truth: PathBuf,

    /// Folder for the results
    #[arg(short, long, value_name = "OUT")]
    out: PathBuf,

    /// The last round has three times as many slices: N a direction, but for `ranked`
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u64).range(2..=50))]
    most: u64,

    /// Seeds of training and of chance (in place of --seed)
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [0, 1, 2])]
    seeds: Vec<u64>,

    /// Match image and truth in the order in which their voxels are stored, whatever
    /// their files say of their place in the world
    #[arg(long)]
    ignore_geometry: bool,

    #[command(flatten)]
    learning: LearningFlags,

    #[command(flatten)]
    machine: Machine,

    #[command(flatten)]
    json: Json,
}

/// How slices are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Way {
    /// All strategies begin alike.
    Start,
    /// By the measure of the command `suggest`, slices of all directions together.
    Ranked,
    /// By the same measure, one of each direction, as the command names them.
    OneEach,
    Even,
    Random,
}

impl Way {
    const COMPARED: [Self; 4] = [Self::Ranked, Self::OneEach, Self::Even, Self::Random];

    fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Ranked => "ranked",
            Self::OneEach => "one-each",
            Self::Even => "even",
            Self::Random => "random",
        }
    }
}

/// One training and its score.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Round {
    way: Way,
    seed: u64,
    /// Annotated slices a direction on average, a third of all.
    count: usize,
    /// Mean IoU of all voxels.
    iou: f64,
    /// Mean IoU of the voxels that were not annotated.
    iou_elsewhere: f64,
    /// What was annotated, along z, y, x.
    annotated: [Vec<usize>; 3],
    /// What each strategy adds next, axis and index.
    ranked: Vec<(usize, usize)>,
    one_each: Vec<(usize, usize)>,
    random: Vec<(usize, usize)>,
}

/// The volume and the budget that all rounds share.
struct Setting {
    image: Volume,
    truth: Labels,
    config: TrainConfig,
    rounds: Vec<Round>,
    file: PathBuf,
}

impl Suggest {
    /// Runs what is missing and writes the tables.
    ///
    /// # Errors
    /// Where the volumes do not go together or a file cannot be written.
    pub(crate) fn run(self) -> anyhow::Result<End> {
        let console = Console::new(self.json.json);
        let lock = Lock::take(&self.out)?;
        lock.note().into_iter().for_each(|note| console.note(note));
        let mut setting = self.setting()?;
        let threads = self.machine.start_threads()?;
        let interrupt = Interrupt::listen()?;
        let most = usize::try_from(self.most).unwrap_or(usize::MAX);
        for &seed in &self.seeds {
            for count in FIRST..=most {
                let ways: &[Way] = if count == FIRST {
                    &[Way::Start]
                } else {
                    &Way::COMPARED
                };
                for &way in ways {
                    if setting.find(way, seed, count).is_some() {
                        continue;
                    }
                    console.note(format_args!(
                        "{}, {}, seed {seed}:",
                        way.name(),
                        console::counted(ADDED * count, "slice")
                    ));
                    let mut watch =
                        Watch::new(console, interrupt.clone(), setting.config.memory_bytes);
                    let done = setting.round(way, seed, count, |labels, config| {
                        let config = FillConfig {
                            sitting: Sitting {
                                engine: self.machine.engine()?,
                                ..Sitting::default()
                            },
                            ..config
                        };
                        let result = fill(&setting.image, labels, &config, &threads, &mut watch)?;
                        let doubts = result.uncertainty.unwrap_or_default();
                        Ok((!result.stopped).then_some((result.labels, doubts)))
                    })?;
                    watch.close();
                    let Some(round) = done else {
                        console.note("Interrupted; what is finished is kept.");
                        return Ok(End::Interrupted);
                    };
                    console.note(format_args!("  mean IoU {:.3}", round.iou));
                    setting.keep(round, console)?;
                }
            }
        }
        // The folder may hold more: of other seeds, or of a larger --most.
        let asked = |r: &&Round| self.seeds.contains(&r.seed) && r.count <= most;
        let rounds: Vec<Round> = setting.rounds.iter().filter(asked).cloned().collect();
        output::write_file(&self.out.join("suggest.csv"), csv(&rounds).as_bytes())?;
        let table = table(&rounds, most);
        output::write_file(&self.out.join("suggest.md"), table.as_bytes())?;
        console.result(&table)?;
        console.json(&rounds)?;
        Ok(End::Done)
    }

    /// Reads and checks everything, and what is finished.
    fn setting(&self) -> anyhow::Result<Setting> {
        self.machine.engine()?;
        ensure!(
            self.learning.seed.is_none(),
            "--seed: every way is trained with each of --seeds. Give --seeds {} instead.",
            self.learning.seed.unwrap_or_default()
        );
        let base = TrainConfig {
            budget: Budget::iterations(ITERATIONS),
            ..FillConfig::default().train
        };
        let config = self.learning.settle(base, &self.machine)?;
        output::check_folder(&self.out)?;
        let by_index = self.ignore_geometry;
        let mut image = Item::of(&self.image).read(by_index)?;
        let truth = Item::of(&self.truth).read(by_index)?;
        let source = self.truth.display().to_string();
        let names = [&self.image.display().to_string(), &source[..]];
        let how = How {
            by_index,
            // All of it is scored.
            outside: Outside::Refused,
        };
        let (truth, _) = bring(&mut image.geometry, truth, names, how)?;
        let console = Console::new(self.json.json);
        console.notes(&image.notes);
        console.notes(&truth.notes);
        let dense = LabelScheme::new(Vec::new(), Annotated::Dense);
        let truth = read_under(&dense, &truth, &source, by_index)?;
        let most = usize::try_from(self.most).unwrap_or(usize::MAX);
        ensure!(
            truth.geometry.shape.iter().all(|n| *n >= most),
            "--most is {most}, but {source} has only {:?} slices. Ask for fewer.",
            truth.geometry.shape
        );
        self.claim(&image, &truth, &config)?;
        let file = self.out.join(ROUNDS);
        let text = if file.exists() {
            unet3d_volume::read_text(&file)
                .with_context(|| format!("{}: cannot be read", file.display()))?
        } else {
            String::new()
        };
        Ok(Setting {
            image,
            truth,
            config,
            rounds: text
                .lines()
                .map(serde_json::from_str)
                .collect::<Result<_, _>>()
                .with_context(|| {
                    format!(
                        "{}: was changed by hand or is damaged. Give another folder",
                        file.display()
                    )
                })?,
            file,
        })
    }

    /// Makes the folder this experiment's, or refuses one that holds rounds of
    /// other data or settings: what is finished is only comparable under the same.
    fn claim(&self, image: &Volume, truth: &Labels, config: &TrainConfig) -> anyhow::Result<()> {
        let normalised = Image::from_volume(image, &config.normalise)?;
        let case = Case::new("volume", normalised, truth.clone())?;
        let about = json!({
            "experiment": "suggest",
            "data": fingerprint(&[case]),
            // Every round has a seed of its own.
            "train": TrainConfig { seed: 0, ..config.clone() },
        });
        record::check_folder(&self.out, &about, &[ROUNDS, "suggest.csv", "suggest.md"])?;
        let file = self.out.join(record::ABOUT);
        output::write_file(&file, &serde_json::to_vec_pretty(&about)?)
    }
}

type Filled = Option<(Labels, Vec<f32>)>;

impl Setting {
    fn find(&self, way: Way, seed: u64, count: usize) -> Option<&Round> {
        let way = if count == FIRST { Way::Start } else { way };
        self.rounds
            .iter()
            .find(|r| (r.way, r.seed, r.count) == (way, seed, count))
    }

    /// Trains and scores one round; `None` where the person asked to stop.
    fn round(
        &self,
        way: Way,
        seed: u64,
        count: usize,
        fill: impl FnOnce(&Labels, FillConfig) -> anyhow::Result<Filled>,
    ) -> anyhow::Result<Option<Round>> {
        let annotated = self.annotated(way, seed, count)?;
        let (_, labels) = self.truth.hold_out(&annotated)?;
        let config = FillConfig {
            train: TrainConfig {
                seed,
                ..self.config.clone()
            },
            // Every slice teaches; the truth is known anyway.
            hold_out: false,
            uncertainty: true,
            ..FillConfig::default()
        };
        let Some((filled, doubts)) = fill(&labels, config)? else {
            return Ok(None);
        };
        let iou = |except: Option<&Labels>| -> anyhow::Result<f64> {
            let confusion = Confusion::compare(&self.truth, &filled, except)?;
            let scores = Scores::new(&confusion, &self.truth.classes);
            scores.mean_iou.context("nothing is left to score")
        };
        let places = |slices: Vec<SliceRef>| -> Vec<(usize, usize)> {
            slices.iter().map(|s| (s.axis, s.index)).collect()
        };
        let one_each = |strategy| places(suggest_one_each(&doubts, &labels, strategy));
        Ok(Some(Round {
            way,
            seed,
            count,
            iou: iou(None)?,
            iou_elsewhere: iou(Some(&labels))?,
            annotated,
            ranked: places(ranked(&doubts, &labels, ADDED, Strategy::Uncertainty)),
            one_each: one_each(Strategy::Uncertainty),
            // Another seed each round, or it would draw alike.
            random: one_each(Strategy::Random(seed.wrapping_add(1000 * count as u64))),
        }))
    }

    /// The slices that a round annotates.
    fn annotated(&self, way: Way, seed: u64, count: usize) -> anyhow::Result<[Vec<usize>; 3]> {
        let shape = self.truth.geometry.shape;
        if matches!(way, Way::Start | Way::Even) {
            return Ok(shape.map(|n| evenly_spaced(n, count)));
        }
        let before = self.find(way, seed, count - 1);
        let before = before.context("the round before is missing")?;
        let mut annotated = before.annotated.clone();
        let next = match way {
            Way::Random => &before.random,
            Way::OneEach => &before.one_each,
            Way::Ranked | Way::Start | Way::Even => &before.ranked,
        };
        for (axis, index) in next {
            annotated[*axis].push(*index);
            annotated[*axis].sort_unstable();
        }
        Ok(annotated)
    }

    fn keep(&mut self, round: Round, console: Console) -> anyhow::Result<()> {
        self.rounds.push(round);
        let lines = self.rounds.iter().map(serde_json::to_string);
        let lines: Vec<String> = lines.collect::<Result<_, _>>()?;
        let text = lines.join("\n") + "\n";
        let mut results = Results::new(console);
        results.keep(&self.file, |path| output::write_file(path, text.as_bytes()));
        results.finish()
    }
}

fn csv(rounds: &[Round]) -> String {
    let mut out = String::from("way,seed,slices,iou,iou_elsewhere\n");
    for r in rounds {
        let _ = writeln!(
            out,
            "{},{},{},{:.5},{:.5}",
            r.way.name(),
            r.seed,
            ADDED * r.count,
            r.iou,
            r.iou_elsewhere
        );
    }
    out
}

/// Means over the seeds, with their standard deviation.
fn table(rounds: &[Round], most: usize) -> String {
    let mut out = String::from("| slices |");
    Way::COMPARED.iter().for_each(|way| {
        let _ = write!(out, " {} |", way.name());
    });
    out.push_str("\n|---|---|---|---|---|\n");
    for count in FIRST..=most {
        let _ = write!(out, "| {} |", ADDED * count);
        for way in Way::COMPARED {
            let way = if count == FIRST { Way::Start } else { way };
            let of_way = rounds.iter().filter(|r| r.way == way && r.count == count);
            let found: Vec<f64> = of_way.map(|r| r.iou).collect();
            let n = found.len() as f64;
            let mean = found.iter().sum::<f64>() / n;
            let squares: f64 = found.iter().map(|v| (v - mean).powi(2)).sum();
            let _ = match found.len() {
                0 => write!(out, " |"),
                1 => write!(out, " {mean:.3} |"),
                _ => write!(out, " {mean:.3} ± {:.3} |", (squares / (n - 1.0)).sqrt()),
            };
        }
        out.push('\n');
    }
    let seeds = rounds.iter().filter(|r| r.way == Way::Start).count();
    let _ = writeln!(
        out,
        "\nMean IoU of the whole volume, mean and standard deviation over {}.",
        console::counted(seeds, "seed")
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(way: Way, seed: u64, count: usize, iou: f64) -> Round {
        Round {
            way,
            seed,
            count,
            iou,
            iou_elsewhere: iou,
            annotated: [vec![1], vec![2], vec![3]],
            ranked: vec![(0, 5), (0, 6), (0, 7)],
            one_each: vec![(0, 5), (1, 6)],
            random: vec![(2, 7)],
        }
    }

    #[test]
    fn tables_show_means_and_leave_open_what_is_missing() {
        let rounds = [
            round(Way::Start, 0, 2, 0.5),
            round(Way::Start, 1, 2, 0.7),
            round(Way::OneEach, 0, 3, 0.8),
        ];
        let table = table(&rounds, 3);
        assert!(
            table.contains("| 6 | 0.600 ± 0.141 | 0.600 ± 0.141 | 0.600 ± 0.141 | 0.600 ± 0.141 |"),
            "{table}"
        );
        assert!(table.contains("| 9 | | 0.800 | | |"), "{table}");
        assert_eq!(csv(&rounds).lines().count(), 4);
        let line = serde_json::to_string(&rounds[2]).unwrap();
        let back: Round = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (back.way, back.one_each),
            (Way::OneEach, vec![(0, 5), (1, 6)])
        );
    }
}
