//! Slices as PNG pictures: the image as gray or colour, labels as colours over it.

use std::fmt::Write;

use base64::Engine;
use unet3d_volume::{Geometry, Label, Volume};

use super::palette;

/// Largest side of a picture in samples. Larger slices are shown coarser: 640
/// is wider than the report shows a picture on a common screen.
const MAX_SIDE: usize = 640;

/// Share of the samples that may be darker than black or brighter than white,
/// so that a few hot voxels do not turn the rest black.
const CLIPPED: f64 = 0.005;

/// Samples looked at to find the gray range.
const RANGE_SAMPLES: usize = 1 << 18;

/// How strongly a class colours the image under it: enough to tell colours
/// apart, little enough to see edges through it.
const OPACITY: f32 = 0.55;

/// How bright the image stays where nothing is annotated.
const DIMMED: f32 = 0.75;

/// Turns slices of one volume into pictures.
pub(super) struct Painter<'a> {
    volume: &'a Volume,
    /// Darkest and brightest sample shown, by channel.
    range: Vec<(f32, f32)>,
}

impl<'a> Painter<'a> {
    /// Measures the range of gray values once.
    pub(super) fn new(volume: &'a Volume) -> Self {
        let voxels = volume.geometry.voxels();
        let stride = voxels.div_ceil(RANGE_SAMPLES).max(1);
        let range = (0..volume.channels.min(3))
            .map(|c| {
                let mut seen: Vec<f32> = (0..voxels)
                    .step_by(stride)
                    .map(|i| volume.samples.f32_at(c * voxels + i))
                    .filter(|v| v.is_finite())
                    .collect();
                seen.sort_unstable_by(f32::total_cmp);
                let at = |share: f64| {
                    let last = seen.len().saturating_sub(1);
                    seen.get((share * last as f64) as usize).copied()
                };
                let low = at(CLIPPED).unwrap_or(0.0);
                let high = at(1.0 - CLIPPED).unwrap_or(1.0);
                (low, if high > low { high } else { low + 1.0 })
            })
            .collect();
        Self { volume, range }
    }

    /// Slice `index` along `axis`, with something over it, as an HTML image whose
    /// proportions are those in space.
    pub(super) fn slice(&self, axis: usize, index: usize, overlay: Overlay<'_>) -> String {
        let plane = Plane::new(&self.volume.geometry, axis, index);
        let step = plane.rows.max(plane.columns).div_ceil(MAX_SIDE).max(1);
        let (rows, columns) = (plane.rows.div_ceil(step), plane.columns.div_ceil(step));
        let mut rgb = Vec::with_capacity(rows * columns * 3);
        for row in 0..rows {
            for column in 0..columns {
                let voxel = plane.voxel(row * step, column * step);
                rgb.extend(match overlay {
                    Overlay::Nothing => self.colour(voxel),
                    Overlay::Doubts(doubts) => palette::of_doubt(doubts[voxel]),
                    Overlay::Labels(labels) => match labels[voxel].class() {
                        Some(class) => mix(self.gray(voxel), palette::of_class(class), OPACITY),
                        None => self.gray(voxel).map(|v| (f32::from(v) * DIMMED) as u8),
                    },
                });
            }
        }
        let mut html = String::new();
        let (width, height) = plane.extent;
        let _ = write!(
            html,
            "<img alt=\"\" style=\"aspect-ratio:{width:.3}/{height:.3}\" src=\"data:image/png;base64,{}\">",
            base64::engine::general_purpose::STANDARD.encode(png(&rgb, columns, rows))
        );
        html
    }

    /// One channel as gray, two or three as red, green and blue.
    fn colour(&self, voxel: usize) -> [u8; 3] {
        match self.range.len() {
            1 => [self.level(0, voxel); 3],
            2 => [
                self.level(0, voxel),
                self.level(1, voxel),
                self.level(0, voxel),
            ],
            _ => [0, 1, 2].map(|c| self.level(c, voxel)),
        }
    }

    /// The mean of the channels: under the colours of classes, colours of the
    /// image would only confuse.
    fn gray(&self, voxel: usize) -> [u8; 3] {
        let channels = self.range.len();
        let sum: usize = (0..channels)
            .map(|c| usize::from(self.level(c, voxel)))
            .sum();
        [(sum / channels.max(1)) as u8; 3]
    }

    /// A sample between black (0) and white (255).
    fn level(&self, channel: usize, voxel: usize) -> u8 {
        let (low, high) = self.range[channel];
        let index = channel * self.volume.geometry.voxels() + voxel;
        let value = self.volume.samples.f32_at(index);
        (255.0 * ((value - low) / (high - low)).clamp(0.0, 1.0)) as u8
    }
}

/// What a picture shows over the image, `[z, y, x]`.
#[derive(Clone, Copy)]
pub(super) enum Overlay<'a> {
    /// The image alone.
    Nothing,
    /// The colour of each class.
    Labels(&'a [Label]),
    /// How doubtful each voxel is, 0 to 1, in place of the image.
    Doubts(&'a [f32]),
}

/// Where the voxels of a slice are.
struct Plane {
    start: usize,
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
    /// Width and height in space (in voxels where the spacing is not known).
    extent: (f64, f64),
}

impl Plane {
    fn new(geometry: &Geometry, axis: usize, index: usize) -> Self {
        let strides = [geometry.shape[1] * geometry.shape[2], geometry.shape[2], 1];
        let (row, column) = [(1, 2), (0, 2), (0, 1)][axis];
        let spacing = geometry.spacing_mm.unwrap_or([1.0; 3]);
        // Relative to the finer of the two, so that CSS gets ordinary numbers.
        let unit = spacing[row].min(spacing[column]);
        let extent = |a: usize| geometry.shape[a] as f64 * spacing[a] / unit;
        Self {
            start: index * strides[axis],
            rows: geometry.shape[row],
            columns: geometry.shape[column],
            row_stride: strides[row],
            column_stride: strides[column],
            extent: (extent(column), extent(row)),
        }
    }

    fn voxel(&self, row: usize, column: usize) -> usize {
        self.start + row * self.row_stride + column * self.column_stride
    }
}

fn mix(under: [u8; 3], over: [u8; 3], opacity: f32) -> [u8; 3] {
    [0, 1, 2].map(|i| (f32::from(under[i]) * (1.0 - opacity) + f32::from(over[i]) * opacity) as u8)
}

/// An RGB picture as PNG; empty if that fails, which memory alone can cause.
fn png(rgb: &[u8], columns: usize, rows: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, columns as u32, rows as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let written = encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(rgb));
    if written.is_err() {
        out.clear();
    }
    out
}
