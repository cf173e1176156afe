//! `phantom`: a data set that is made up, so that its truth is known everywhere:
//! several specimens of one kind with the sizes and annotation of the paper.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};
use unet3d_volume::labels::evenly_spaced;
use unet3d_volume::{Annotated, LabelScheme, Phantom as Specimen};

use super::End;
use crate::arguments::{Json, Seed};
use crate::command_line::CommandLine;
use crate::console::{self, Console, shown};
use crate::label_flags::read_under;
use crate::{output, parse};

/// Value of voxels that are not annotated, as in the paper's data.
const UNLABELED: i64 = 3;

/// Samples where nobody says: the paper's three.
const SAMPLES: usize = 3;

/// Ending of all volumes: opens in Fiji with its spacing and three channels.
const ENDING: &str = ".tif";

/// Make a data set with a known truth: samples of one artificial kind of tissue
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  unet3d phantom --paper -o paper        the sizes and annotated slices of the paper's samples
  unet3d phantom -o small --samples 4 --shape 64,112,112 --slices z=3,y=3,x=3

  unet3d check paper
  unet3d train paper -o run
  unet3d fill paper/imagesTr/sample1.tif paper/labelsTr/sample1.tif -o filled.tif --unlabeled 3
  unet3d evaluate filled.tif paper/truth/sample1.tif --except paper/labelsTr/sample1.tif --unlabeled 3

Tubules with lumen and wall between other tissue, in three channels of a confocal
microscope, like the kidney data of the 3D U-Net paper. Each sample is another
specimen under the same stains. DIR gets imagesTr, labelsTr (annotated slices: 0
inside, 1 tubule, 2 background, 3 not annotated), truth (every voxel), and
dataset.json. The same options and seed give the same bits.")]
pub(crate) struct Phantom {
    /// Folder to write into: a new or an empty one
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,

    /// The paper's three samples: 64x244x248, 56x244x245 and 59x244x246 voxels with
    /// its numbers of annotated slices
    #[arg(long, conflicts_with_all = ["samples", "shape", "slices"])]
    paper: bool,

    /// Number of samples [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=999))]
    samples: Option<u16>,

    /// Voxels; once for all samples, or once for each [default: 64,244,248]
    #[arg(long, value_name = "Z,Y,X", value_parser = parse::shape)]
    shape: Vec<[usize; 3]>,

    /// Annotated slices across each direction, evenly spaced; once for all samples,
    /// or once for each [default: z=21,y=5,x=7]
    #[arg(long, value_name = "z=N,y=N,x=N", value_parser = parse::slices)]
    slices: Vec<[usize; 3]>,

    /// Memory that making a sample may take
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = parse::memory)]
    memory: u64,

    #[command(flatten)]
    seed: Seed,

    #[command(flatten)]
    json: Json,
}

/// A sample to be made.
struct Sample {
    name: String,
    specimen: Specimen,
    /// Annotated slices across z, y, x.
    slices: [usize; 3],
}

impl Phantom {
    /// Checks, makes one sample after the other.
    pub(super) fn run(self) -> anyhow::Result<End> {
        let console = Console::new(self.json.json);
        let started = Instant::now();
        let samples = self.plan()?;
        self.check_folder()?;
        let mut cases = Vec::new();
        for (i, sample) in samples.iter().enumerate() {
            console.note(format_args!(
                "Making {} of {}: {} voxels.",
                i + 1,
                samples.len(),
                console::shape(sample.specimen.shape)
            ));
            cases.push(self.make(sample)?);
        }
        // Last, so that a folder with a description is complete.
        let description = serde_json::to_string_pretty(&description(&samples))?;
        output::write_file(&self.out.join("dataset.json"), description.as_bytes())?;
        self.tell(&cases, console)?;
        console.json(&json!({
            "out": shown(&self.out),
            "seed": self.seed.seed,
            "unlabeled": UNLABELED,
            "cases": cases,
            "elapsed_s": started.elapsed().as_secs_f64(),
        }))?;
        Ok(End::Done)
    }

    fn plan(&self) -> anyhow::Result<Vec<Sample>> {
        let count = usize::from(self.samples.unwrap_or(SAMPLES as u16));
        let (shape, slices) = Specimen::PAPER_SAMPLES[0];
        let each = |given: &[[usize; 3]], default: [usize; 3], flag: &str| match given.len() {
            0 => Ok(vec![default; count]),
            1 => Ok(vec![given[0]; count]),
            n if n == count => Ok(given.to_vec()),
            n => bail!(
                "{flag} is given {} for {}: once for all, or once for each.",
                console::counted(n, "time"),
                console::counted(count, "sample")
            ),
        };
        let plans: Vec<_> = match self.paper {
            true => Specimen::PAPER_SAMPLES.to_vec(),
            false => {
                let shapes = each(&self.shape, shape, "--shape")?;
                let slices = each(&self.slices, slices, "--slices")?;
                shapes.into_iter().zip(slices).collect()
            }
        };
        for (shape, _) in &plans {
            let needed = Specimen::build_bytes(*shape).unwrap_or(u64::MAX);
            if needed > self.memory {
                bail!(
                    "--shape: {} voxels need {} of memory, --memory allows {}. Make the samples smaller, or allow more.",
                    console::shape(*shape),
                    console::bytes(needed),
                    console::bytes(self.memory)
                );
            }
        }
        let width = plans.len().to_string().len();
        let sample = |(i, (shape, slices)): (usize, ([usize; 3], [usize; 3]))| Sample {
            // Zeros in front, so that names sort as numbers do.
            name: format!("sample{:0width$}", i + 1),
            specimen: Specimen {
                sample: i as u64,
                ..Specimen::new(shape, self.seed.seed)
            },
            slices,
        };
        Ok(plans.into_iter().enumerate().map(sample).collect())
    }

    /// Refuses a folder that holds anything: what is left there of an earlier data
    /// set would count as part of this one.
    fn check_folder(&self) -> anyhow::Result<()> {
        output::check_folder(&self.out)?;
        let held = fs::read_dir(&self.out)
            .with_context(|| self.out.display().to_string())?
            .next()
            .transpose()?;
        if let Some(entry) = held {
            bail!(
                "{}: holds {} already, which could be taken for part of this data set. Give a new or an empty folder.",
                self.out.display(),
                Path::new(&entry.file_name()).display()
            );
        }
        for folder in ["imagesTr", "labelsTr", "truth"] {
            output::check_folder(&self.out.join(folder))?;
        }
        Ok(())
    }

    /// Makes and writes a sample; what `--json` says of it.
    fn make(&self, sample: &Sample) -> anyhow::Result<Value> {
        let (image, truth) = sample.specimen.build();
        let dense = LabelScheme::new(Specimen::classes(), Annotated::Dense);
        let labels = read_under(&dense, &truth, &sample.name, false)?.sparsify(sample.slices);
        let file = format!("{}{ENDING}", sample.name);
        let path = |folder: &str| self.out.join(folder).join(&file);
        unet3d_volume::write(&path("imagesTr"), &image)?;
        unet3d_volume::write_labels(
            &path("labelsTr"),
            &labels.to_volume(UNLABELED),
            &dense.classes,
        )?;
        unet3d_volume::write_labels(&path("truth"), &truth, &dense.classes)?;
        let shape = sample.specimen.shape;
        let kept = [0, 1, 2].map(|a| evenly_spaced(shape[a], sample.slices[a]));
        Ok(json!({
            "name": sample.name,
            "image": shown(&path("imagesTr")),
            "labels": shown(&path("labelsTr")),
            "truth": shown(&path("truth")),
            "shape": shape,
            "slices": { "z": kept[0], "y": kept[1], "x": kept[2] },
            "annotated_share": labels.annotated_voxels() as f64 / labels.voxels.len() as f64,
        }))
    }

    fn tell(&self, cases: &[Value], console: Console) -> anyhow::Result<()> {
        let mut rows = vec![
            ["sample", "voxels", "slices z, y, x", "annotated"]
                .map(String::from)
                .to_vec(),
        ];
        let numbers = |value: &Value, separator: &str| {
            let numbers = value.as_array().into_iter().flatten();
            let text: Vec<String> = numbers.map(Value::to_string).collect();
            text.join(separator)
        };
        for case in cases {
            let count = |axis: &str| case["slices"][axis].as_array().map_or(0, Vec::len);
            rows.push(vec![
                case["name"].as_str().unwrap_or_default().to_owned(),
                numbers(&case["shape"], " x "),
                format!("{}, {}, {}", count("z"), count("y"), count("x")),
                console::percent(case["annotated_share"].as_f64().unwrap_or_default()),
            ]);
        }
        console.result(console::table(&rows, "<<<>"))?;
        let out = self.out.display();
        let check = CommandLine::new("check").path(&self.out);
        let train = CommandLine::new("train")
            .path(&self.out)
            .words(["-o", "RUN"]);
        console.result(format_args!(
            "\nWrote {out}: images, sparse labels (3 is not annotated) and the truth of every voxel.\n\nNext:\n  \
             Look whether all is as it should be:\n    {check}\n  \
             Train on all samples:\n    {train}"
        ))
    }
}

/// What `train`, `check` and other programs read of the data set.
fn description(samples: &[Sample]) -> Value {
    let channels = Specimen::CHANNELS.iter().enumerate();
    let channels: serde_json::Map<String, Value> = channels
        .map(|(i, name)| (i.to_string(), json!(name)))
        .collect();
    let classes = Specimen::classes().into_iter();
    let mut labels: serde_json::Map<String, Value> = classes
        .map(|class| (class.name, json!(class.value)))
        .collect();
    labels.insert("ignore".into(), json!(UNLABELED));
    json!({
        "name": "phantom",
        "description": "Tubules with lumen and wall, made up by unet3d; truth/ holds the class of every voxel",
        "channel_names": channels,
        "labels": labels,
        "numTraining": samples.len(),
        "file_ending": ENDING,
    })
}
