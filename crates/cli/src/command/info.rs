//! `info`: what a volume, a model or a run is.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use unet3d_kernels::Isa;
use unet3d_volume::labels::describe_values;
use unet3d_volume::{Geometry, Volume};

use super::End;
use crate::arguments::Json;
use crate::console::{self, Console, shown};
use crate::model_file;

/// Values up to which a volume of whole numbers is shown as labels: no
/// convention in use has more classes, every image has more gray values.
const LABEL_VALUES: usize = 20;

/// Tell what a volume, a model or a training run is
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  unet3d info brain.nii.gz
  unet3d info run/")]
pub(crate) struct Info {
    /// Volume, model file or run folder; without it, what this program and machine are
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,

    #[command(flatten)]
    json: Json,
}

impl Info {
    /// Looks and tells.
    pub(super) fn run(self) -> anyhow::Result<End> {
        let console = Console::new(self.json.json);
        let (object, lines) = match &self.path {
            None => program()?,
            Some(path) if is_model(path) => model(path)?,
            Some(path) => volume(path, console)?,
        };
        for (name, value) in &lines {
            if value.contains('\n') {
                console.result(format_args!("{name}\n{value}"))?;
            } else {
                console.result(format_args!("{name:<14} {value}"))?;
            }
        }
        console.json(&object)?;
        Ok(End::Done)
    }
}

type Facts = (Value, Vec<(&'static str, String)>);

fn is_model(path: &Path) -> bool {
    path.to_string_lossy().ends_with(".safetensors")
        || path.is_dir() && model_file::find(path).is_ok()
}

fn program() -> anyhow::Result<Facts> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let version = env!("CARGO_PKG_VERSION");
    let isas: Vec<&str> = Isa::available().into_iter().map(Isa::name).collect();
    Ok((
        json!({
            "kind": "program",
            "version": version,
            "threads": threads,
            "isa": Isa::best().name(),
            "isas": isas,
        }),
        vec![
            ("program", format!("unet3d {version}")),
            ("cores", threads.to_string()),
            (
                "instructions",
                format!("{} (available: {})", Isa::best().name(), isas.join(", ")),
            ),
        ],
    ))
}

fn model(path: &Path) -> anyhow::Result<Facts> {
    let (model, file) = model_file::read(path)?;
    let config = model.network.config();
    let pipeline = &model.pipeline;
    let classes: Vec<String> = pipeline
        .classes
        .iter()
        .map(|c| format!("{}={}", c.value, c.name))
        .collect();
    let channels: Vec<String> = config
        .levels
        .iter()
        .map(|l| format!("{}, {}", l.down[0], l.down[1]))
        .collect();
    let lines = vec![
        ("model", file.display().to_string()),
        (
            "parameters",
            console::count(model.network.parameter_count() as u64),
        ),
        ("input", console::counted(config.in_channels, "channel")),
        ("classes", classes.join(", ")),
        (
            "levels",
            format!(
                "{} (channels {})",
                config.levels.len(),
                channels.join(" | ")
            ),
        ),
        (
            "patch",
            format!("{} voxels", console::shape(pipeline.patch)),
        ),
        ("spacing", spacing(pipeline.spacing_mm)),
        (
            "normalisation",
            serde_json::to_string(&pipeline.normalise)?.replace('"', ""),
        ),
        (
            "calibration",
            pipeline.calibration.map_or("none".into(), |c| {
                format!(
                    "temperature {:.2}{}; calibration error {:.3} before, {:.3} after",
                    c.temperature,
                    if c.mirrored {
                        " of mirrored predictions"
                    } else {
                        ""
                    },
                    c.ece_before,
                    c.ece_after
                )
            }),
        ),
        ("trained", trained(&pipeline.record)),
    ];
    let object = json!({
        "kind": if path.is_dir() { "run" } else { "model" },
        "model": shown(&file),
        "parameters": model.network.parameter_count(),
        "network": config,
        "pipeline": pipeline,
    });
    Ok((object, lines))
}

/// The record's plain entries, as `iterations 500, seed 0`.
fn trained(record: &Value) -> String {
    let Value::Object(entries) = record else {
        return "not recorded".into();
    };
    let plain = entries
        .iter()
        .filter(|(_, v)| v.is_number() || v.is_string() || v.is_boolean());
    let text: Vec<_> = plain
        .map(|(k, v)| {
            format!(
                "{k} {}",
                v.as_str().map_or_else(|| v.to_string(), str::to_owned)
            )
        })
        .collect();
    if text.is_empty() {
        "not recorded".into()
    } else {
        text.join(", ")
    }
}

fn volume(path: &Path, console: Console) -> anyhow::Result<Facts> {
    let volume = unet3d_volume::read(path)?;
    console.notes(&volume.notes);
    let Geometry {
        shape,
        spacing_mm,
        world_from_volume,
        ..
    } = &volume.geometry;
    let ranges = ranges(&volume);
    let mut lines = vec![
        ("volume", path.display().to_string()),
        (
            "shape",
            format!("{} voxels (z, y, x)", console::shape(*shape)),
        ),
        ("channels", volume.channels.to_string()),
        ("type", volume.type_name().to_owned()),
        ("spacing", spacing(*spacing_mm)),
        (
            "orientation",
            world_from_volume
                .as_ref()
                .map_or_else(|| "not stated".into(), orientation),
        ),
    ];
    for range in &ranges {
        let mut text = match (range.low, range.high) {
            (Some(low), Some(high)) => format!("{low} to {high}, mean {:.4}", range.mean),
            _ => "no finite sample".into(),
        };
        if range.not_finite > 0 {
            text.push_str(&format!(
                ", {}",
                console::counted(range.not_finite, "NaN or infinite sample")
            ));
        }
        lines.push(("range", text));
    }
    let found = describe_values(&volume, &path.display().to_string()).ok();
    let found = found.filter(|f| f.distinct <= LABEL_VALUES);
    let values: Option<Vec<Value>> = found.as_ref().map(|f| {
        let values = f.values.iter();
        values
            .map(|v| json!({ "value": v.value, "voxels": v.voxels, "share": v.share, "slices": v.slices }))
            .collect()
    });
    if let Some(found) = &found {
        let mut rows = vec![
            ["value", "voxels", "share", "on slices z", "y", "x"]
                .map(String::from)
                .to_vec(),
        ];
        for v in &found.values {
            let mut row = vec![
                v.value.to_string(),
                console::count(v.voxels as u64),
                console::percent(v.share),
            ];
            row.extend((0..3).map(|a| format!("{} of {}", v.slices[a], shape[a])));
            rows.push(row);
        }
        lines.push(("values", console::table(&rows, ">>>>>>")));
    }
    let object = json!({
        "kind": "volume",
        "path": shown(path),
        "shape": shape,
        "channels": volume.channels,
        "type": volume.type_name(),
        "spacing_mm": spacing_mm,
        "world_from_volume": world_from_volume,
        "range": ranges.iter().map(|r| json!({ "min": r.low, "max": r.high, "mean": r.mean, "not_finite": r.not_finite })).collect::<Vec<_>>(),
        "values": values,
    });
    Ok((object, lines))
}

/// What one channel holds.
pub(crate) struct Range {
    pub(crate) low: Option<f64>,
    pub(crate) high: Option<f64>,
    pub(crate) mean: f64,
    pub(crate) not_finite: usize,
}

/// The range of each channel.
pub(crate) fn ranges(volume: &Volume) -> Vec<Range> {
    let voxels = volume.geometry.voxels();
    (0..volume.channels)
        .map(|c| {
            let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
            let (mut sum, mut not_finite) = (0.0, 0);
            for i in c * voxels..(c + 1) * voxels {
                let value = volume.samples.f64_at(i);
                if value.is_finite() {
                    low = low.min(value);
                    high = high.max(value);
                    sum += value;
                } else {
                    not_finite += 1;
                }
            }
            let any = not_finite < voxels;
            Range {
                low: any.then_some(low),
                high: any.then_some(high),
                mean: sum / (voxels - not_finite).max(1) as f64,
                not_finite,
            }
        })
        .collect()
}

pub(crate) fn spacing(spacing_mm: Option<[f64; 3]>) -> String {
    match spacing_mm {
        Some(spacing_mm) => {
            // Binary fractions read as 0.0017599999999999998 otherwise.
            let [z, y, x] = spacing_mm.map(|mm| (mm * 1e9).round() / 1e9);
            format!("{z} x {y} x {x} mm (z, y, x)")
        }
        None => "not stated".into(),
    }
}

/// Where each axis mostly points, as neuroimaging writes it: `z S, y A, x R`.
fn orientation(world_from_volume: &[[f64; 4]; 3]) -> String {
    const POSITIVE: [char; 3] = ['R', 'A', 'S'];
    const NEGATIVE: [char; 3] = ['L', 'P', 'I'];
    let letter = |axis: usize| {
        let column = [0, 1, 2].map(|row| world_from_volume[row][axis]);
        let mut main = 0;
        for row in 1..3 {
            if column[row].abs() > column[main].abs() {
                main = row;
            }
        }
        if column[main] < 0.0 {
            NEGATIVE[main]
        } else {
            POSITIVE[main]
        }
    };
    format!(
        "z towards {}, y towards {}, x towards {}",
        letter(0),
        letter(1),
        letter(2)
    )
}
