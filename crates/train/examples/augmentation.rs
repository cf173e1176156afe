//! Draws what augmentation does, to be looked at, and says how long it takes.
//!
//! `cargo run --release -p unet3d-train --example augmentation [-- OUT.png]`
//!
//! The volume is made up: grid lines every 16 voxels over a brightness that
//! rises along x, and balls; labels on every 8th slice along z and y, wall and
//! inside of the balls and background. The picture shows the middle slice along
//! z, in columns: the undeformed patch; elastic deformation alone (three times
//! the paper's, so that the eye sees it); rotation and scaling alone; gray values alone; all of the
//! default; all with zero outside, near a corner. Upper row: image, lower row: labels
//! of the output part (gray: not annotated).

#![allow(clippy::print_stdout, reason = "an example speaks")]

use std::fs::File;
use std::io::BufWriter;
use std::time::Instant;

use unet3d_kernels::random::{Stream, generator};
use unet3d_train::Case;
use unet3d_train::augment::{AugmentConfig, Augmenter, Border};
use unet3d_train::sampler::{Location, PatchShape};
use unet3d_volume::{Class, Geometry, Image, Label, Labels};

const SHAPE: [usize; 3] = [144, 200, 220];
/// Pixels of the picture for each voxel.
const ZOOM: usize = 2;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out = std::env::args().nth(1);
    let out = out.unwrap_or_else(|| "augmentation.png".to_owned());
    let case = made_up();
    let patch = PatchShape::new([60, 132, 132], [44, 100, 100])?;
    let middle = [70, 100, 110];
    let columns = [
        (AugmentConfig::none(), middle),
        (strong_elastic(), middle),
        (rotation_and_scaling(), middle),
        (gray_alone(), middle),
        (AugmentConfig::default(), middle),
        (zero_outside(), [70, 16, 24]),
    ];
    let mut picture = Picture::new(columns.len() * 140, 2 * 140);
    for (column, (config, centre)) in columns.into_iter().enumerate() {
        let mut augmenter = Augmenter::new(config, patch)?;
        let mut input = vec![0.0; patch.input_voxels()];
        let mut labels = vec![Label::UNLABELED; patch.output_voxels()];
        let mut rng = generator(3, Stream::Augmentation, column as u64);
        let location = Location { case: 0, centre };
        augmenter.make_patch(&case, location, &mut rng, &mut input, &mut labels);
        let [_, height, width] = patch.input;
        for y in 0..height {
            for x in 0..width {
                let value = input[(patch.input[0] / 2 * height + y) * width + x];
                let gray = (value * 200.0 + 28.0).clamp(0.0, 255.0) as u8;
                picture.set(column * 140 + 4 + x, 4 + y, [gray; 3]);
            }
        }
        let [_, height, width] = patch.output;
        for y in 0..height {
            for x in 0..width {
                let label = labels[(patch.output[0] / 2 * height + y) * width + x];
                let colour = match label.class() {
                    None => [90; 3],
                    Some(0) => [240, 200, 60],
                    Some(1) => [200, 60, 60],
                    Some(_) => [30, 60, 120],
                };
                picture.set(column * 140 + 20 + x, 144 + 16 + y, colour);
            }
        }
    }
    picture.write(&out)?;
    println!("{out}: written");
    time_it()
}

fn time_it() -> Result<(), Box<dyn std::error::Error>> {
    let middle = [72, 100, 110];
    let shapes = [
        ("paper", [116, 132, 132], [28, 44, 44], 3, middle),
        (
            "paper, 7/8 outside",
            [116, 132, 132],
            [28, 44, 44],
            3,
            [0; 3],
        ),
        ("small", [64, 64, 64], [64, 64, 64], 1, middle),
    ];
    for (name, input_shape, output, channels, centre) in shapes {
        let patch = PatchShape::new(input_shape, output)?;
        let mut case = made_up();
        case.image.voxels = case
            .image
            .voxels
            .iter()
            .flat_map(|&v| vec![v; channels])
            .collect();
        case.image.channels = channels;
        let mut input = vec![0.0; patch.input_voxels() * channels];
        let mut labels = vec![Label::UNLABELED; patch.output_voxels()];
        for (what, config) in [
            ("none", AugmentConfig::none()),
            ("default", AugmentConfig::default()),
        ] {
            let mut augmenter = Augmenter::new(config, patch)?;
            let location = Location { case: 0, centre };
            let mut best_s = f64::INFINITY;
            for step in 0..5 {
                let mut rng = generator(1, Stream::Augmentation, step);
                let start = Instant::now();
                augmenter.make_patch(&case, location, &mut rng, &mut input, &mut labels);
                best_s = best_s.min(start.elapsed().as_secs_f64());
            }
            println!(
                "{name} {input_shape:?} x {channels}, {what}: {:.1} ms",
                best_s * 1e3
            );
        }
    }
    Ok(())
}

fn strong_elastic() -> AugmentConfig {
    let mut config = AugmentConfig::none();
    config.elastic.enabled = true;
    config.elastic.std_voxels = [12.0; 3];
    config
}

fn rotation_and_scaling() -> AugmentConfig {
    AugmentConfig {
        rotation_degrees: [[20.0; 2], [0.0; 2], [0.0; 2]],
        scaling: [1.3; 2],
        ..AugmentConfig::none()
    }
}

fn gray_alone() -> AugmentConfig {
    let mut config = AugmentConfig::none();
    config.gray.enabled = true;
    config.gray.black = [0.2; 2];
    config.gray.slope = [0.2, 2.0];
    config
}

fn zero_outside() -> AugmentConfig {
    AugmentConfig {
        border: Border::Zero,
        ..AugmentConfig::default()
    }
}

fn made_up() -> Case {
    let [depth, height, width] = SHAPE;
    let geometry = Geometry::of_shape(SHAPE);
    let mut voxels = Vec::with_capacity(geometry.voxels());
    let mut labels = Vec::with_capacity(geometry.voxels());
    for z in 0..depth {
        for y in 0..height {
            for x in 0..width {
                let ball = [z % 48, y % 50, x % 55];
                let distance = ball.iter().zip([24.0, 25.0, 27.0]);
                let radius = distance
                    .map(|(&p, c)| (p as f32 - c).powi(2))
                    .sum::<f32>()
                    .sqrt();
                let class = match radius {
                    r if r < 12.0 => 0,
                    r if r < 17.0 => 1,
                    _ => 2,
                };
                let line = [y, x].iter().any(|p| p % 16 == 0);
                let value = 0.5 * x as f32 / width as f32 + [0.0, 0.4, 0.1][class];
                voxels.push(if line { 1.0 } else { value });
                let annotated = z % 8 == 0 || y % 8 == 0;
                labels.push(if annotated {
                    Label::of_class(class)
                } else {
                    Label::UNLABELED
                });
            }
        }
    }
    let names = ["inside", "wall", "background"].iter().zip(0..);
    let class = |(name, value): (&&str, i64)| Class {
        value,
        name: (*name).to_owned(),
    };
    Case {
        name: "made up".to_owned(),
        subject: None,
        notes: Vec::new(),
        image: Image {
            geometry: geometry.clone(),
            channels: 1,
            voxels,
        },
        labels: Labels {
            geometry,
            classes: names.map(class).collect(),
            voxels: labels,
        },
    }
}

/// An RGB picture, its pixels drawn `ZOOM` times as large.
struct Picture {
    width: usize,
    pixels: Vec<u8>,
}

impl Picture {
    fn new(width: usize, height: usize) -> Self {
        let pixels = vec![255; width * height * ZOOM * ZOOM * 3];
        Self { width, pixels }
    }

    fn set(&mut self, x: usize, y: usize, colour: [u8; 3]) {
        for dy in 0..ZOOM {
            for dx in 0..ZOOM {
                let pixel = (y * ZOOM + dy) * self.width * ZOOM + x * ZOOM + dx;
                self.pixels[pixel * 3..][..3].copy_from_slice(&colour);
            }
        }
    }

    fn write(&self, path: &str) -> Result<(), Box<dyn std::error::Error>> {
        let width = self.width * ZOOM;
        let height = self.pixels.len() / 3 / width;
        let file = BufWriter::new(File::create(path)?);
        let mut encoder = png::Encoder::new(file, width as u32, height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.write_header()?.write_image_data(&self.pixels)?;
        Ok(())
    }
}
