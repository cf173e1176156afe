//! Gray values as pictures: which are black and which white, one channel gray, several
//! as colours.

use unet3d_volume::{Geometry, Image, Volume};

use super::plane::Plane;

/// Share of the samples that may be darker than black or brighter than white, so that
/// a few hot voxels do not turn the rest black.
const CLIPPED: f64 = 0.005;

/// Samples looked at to find the gray range.
const RANGE_SAMPLES: usize = 1 << 18;

/// Channels shown: red, green and blue.
const SHOWN: usize = 3;

/// Where gray values come from.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// A volume as its file holds it.
    File(&'a Volume),
    /// An image as the network reads it.
    Normalised(&'a Image),
}

impl<'a> Source<'a> {
    /// Shape and spacing.
    pub(crate) fn geometry(self) -> &'a Geometry {
        match self {
            Self::File(volume) => &volume.geometry,
            Self::Normalised(image) => &image.geometry,
        }
    }

    pub(super) fn channels(self) -> usize {
        match self {
            Self::File(volume) => volume.channels,
            Self::Normalised(image) => image.channels,
        }
    }

    fn sample(self, channel: usize, voxel: usize) -> f32 {
        match self {
            Self::File(volume) => {
                let index = channel * volume.geometry.voxels() + voxel;
                volume.samples.f32_at(index)
            }
            Self::Normalised(image) => image.voxels[voxel * image.channels + channel],
        }
    }
}

/// Turns slices of an image into gray or coloured pixels.
pub(super) struct Gray<'a> {
    source: Source<'a>,
    /// What is black and what is white, for each channel shown.
    pub(super) range: Vec<[f32; 2]>,
}

impl<'a> Gray<'a> {
    /// Measures the range of gray values once.
    pub(super) fn new(source: Source<'a>) -> Self {
        let channels = source.channels().min(SHOWN);
        let range = (0..channels).map(|c| range(source, c)).collect();
        Self { source, range }
    }

    /// The image alone: one byte a pixel where it has one channel, else three.
    pub(super) fn pixels(&self, plane: &Plane) -> Vec<u8> {
        let mut out = Vec::with_capacity(plane.rows * plane.columns * self.bytes_a_pixel());
        for row in 0..plane.rows {
            for column in 0..plane.columns {
                let level = |c: usize| self.level(c, plane, row, column);
                match self.range.len() {
                    0 | 1 => out.push(level(0)),
                    // Magenta and green: apart for colour-blind eyes too.
                    2 => out.extend([level(0), level(1), level(0)]),
                    _ => out.extend([level(0), level(1), level(2)]),
                }
            }
        }
        out
    }

    /// 1 (gray) or 3 (red, green, blue).
    pub(super) fn bytes_a_pixel(&self) -> usize {
        if self.range.len() < 2 { 1 } else { 3 }
    }

    /// The mean of a pixel's voxels between black (0) and white (255).
    fn level(&self, channel: usize, plane: &Plane, row: usize, column: usize) -> u8 {
        let Some([black, white]) = self.range.get(channel) else {
            return 0;
        };
        let (mut sum, mut voxels) = (0.0, 0.0);
        for voxel in plane.voxels_of(row, column) {
            sum += self.source.sample(channel, voxel);
            voxels += 1.0f32;
        }
        // What is no number is black: a cast of it gives 0.
        (255.0 * ((sum / voxels - black) / (white - black)).clamp(0.0, 1.0)) as u8
    }
}

fn range(source: Source<'_>, channel: usize) -> [f32; 2] {
    let voxels = source.geometry().voxels();
    let stride = voxels.div_ceil(RANGE_SAMPLES).max(1);
    let mut seen: Vec<f32> = (0..voxels)
        .step_by(stride)
        .map(|i| source.sample(channel, i))
        .filter(|v| v.is_finite())
        .collect();
    seen.sort_unstable_by(f32::total_cmp);
    for last in [false, true] {
        leave_out_padding(&mut seen, last);
    }
    let [low, high] = ends(&seen).unwrap_or([0.0, 1.0]);
    [low, if high > low { high } else { low + 1.0 }]
}

/// Leaves out the least or the greatest value where it fills a part of the volume and
/// is so far from the rest that little gray would be left to show that: padding, as
/// CT writes outside of its field of view.
fn leave_out_padding(sorted: &mut Vec<f32>, last: bool) {
    let end = if last { sorted.last() } else { sorted.first() };
    let Some(end) = end.copied() else { return };
    let rest = match last {
        false => &sorted[sorted.partition_point(|v| *v <= end)..],
        true => &sorted[..sorted.partition_point(|v| *v < end)],
    };
    let is_rare = (sorted.len() - rest.len()) as f64 <= CLIPPED * sorted.len() as f64;
    let Some([low, high]) = ends(rest).filter(|_| !is_rare) else {
        return;
    };
    let gap = if last { end - high } else { low - end };
    if high > low && gap > high - low {
        *sorted = rest.to_vec();
    }
}

/// What is black and what is white.
fn ends(sorted: &[f32]) -> Option<[f32; 2]> {
    let last = sorted.len().checked_sub(1)? as f64;
    Some([CLIPPED, 1.0 - CLIPPED].map(|share| sorted[(share * last) as usize]))
}

#[cfg(test)]
mod tests {
    use unet3d_volume::Samples;

    use super::*;

    fn volume(channels: usize, samples: Vec<f32>) -> Volume {
        let voxels = samples.len() / channels;
        let shape = [1, 10, voxels / 10];
        Volume::new(Geometry::of_shape(shape), channels, Samples::F32(samples)).expect("a volume")
    }

    #[test]
    fn padding_takes_no_part_of_the_range() {
        // A fifth at -32768, as CT writes the outside of its field of view.
        let samples = (0..1000).map(|i| match i % 5 {
            0 => -32768.0,
            _ => (i % 97) as f32,
        });
        let ct = volume(1, samples.collect());
        let [[black, white]] = Gray::new(Source::File(&ct)).range[..] else {
            panic!("one channel");
        };
        assert!(black >= 0.0 && white >= 90.0, "{black} to {white}");
    }

    #[test]
    fn odd_images_still_have_a_range() {
        for value in [0.0, 7.5, f32::NAN, f32::INFINITY, -1e30] {
            let flat = volume(1, vec![value; 100]);
            let gray = Gray::new(Source::File(&flat));
            assert!(gray.range[0][1] > gray.range[0][0] || value == -1e30);
            let plane = Plane::new(flat.geometry.shape, 0, 0, 1);
            assert_eq!(gray.pixels(&plane).len(), 100);
        }
        // Two values alone: neither is padding to the other's image.
        let two = volume(1, (0..100).map(|i| (i % 2) as f32).collect());
        assert_eq!(Gray::new(Source::File(&two)).range, [[0.0, 1.0]]);
    }

    #[test]
    fn channels_are_colours_and_both_sources_agree() {
        let two = volume(2, (0..200).map(|i| (i * i % 251) as f32).collect());
        let gray = Gray::new(Source::File(&two));
        let plane = Plane::new(two.geometry.shape, 0, 0, 1);
        let pixels = gray.pixels(&plane);
        assert_eq!(pixels.len(), 300);
        assert!(pixels.chunks(3).all(|p| p[0] == p[2]));
        let image = Image {
            geometry: two.geometry.clone(),
            channels: 2,
            voxels: (0..100)
                .flat_map(|i| [i, 100 + i].map(|i: usize| (i * i % 251) as f32))
                .collect(),
        };
        assert_eq!(Gray::new(Source::Normalised(&image)).pixels(&plane), pixels);
    }
}
