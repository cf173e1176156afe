//! From stored samples to the image that the network reads.
//!
//! In comes a [`Volume`] of any sample type, channel after channel; out goes an
//! [`Image`] of `f32`, channels innermost, each channel brought to a range that
//! a network learns from. Real data need it: maxima of volumes of one data set
//! run from 112 to 1.7 million. How it is done is part of a model, so
//! [`Normalise`] is serialisable and everything in it is deterministic. What fills
//! the space around the recorded is found first and left out ([`Padding`]).

mod padding;

use serde::{Deserialize, Serialize};

pub use padding::{FoundPadding, Padding};

use crate::samples::each_samples;
use crate::volume::position;
use crate::words::counted;
use crate::{Error, Image, Volume};

/// Percentiles that [`Normalise::ZScore`] clips at. A few hot pixels or a
/// bright vessel may be thousands of times the rest and would own mean and
/// deviation; half a percent at either end is more than such outliers fill and
/// less than any structure that people segment.
const CLIP_PERCENT: [f64; 2] = [0.5, 99.5];

/// How the gray values of a channel are normalised. Statistics are those of
/// the channel in its own volume, [`Padding`] left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalise {
    /// Clipped at the percentiles 0.5 and 99.5, then mean 0 and standard
    /// deviation 1.
    #[default]
    ZScore,
    /// These percentiles become 0 and 1; what lies outside is clipped.
    Percentile {
        /// Percentile (0 to 100) that becomes 0.
        low: f64,
        /// Percentile that becomes 1.
        high: f64,
    },
    /// These gray values become 0 and 1 in every channel of every volume; what
    /// lies outside is clipped. For calibrated values, such as Hounsfield units.
    Range {
        /// Value that becomes 0.
        low: f64,
        /// Value that becomes 1.
        high: f64,
    },
    /// `(value - mean) / std`, with one pair for each channel or one for all. Padding
    /// becomes what the nearest other value does.
    Fixed {
        /// Mean of each channel.
        mean: Vec<f64>,
        /// Standard deviation of each channel.
        std: Vec<f64>,
    },
    /// Values as they are.
    None,
}

/// What can be wrong with an image or the numbers it is normalised by.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "each field is explained by its message")]
pub enum NormaliseError {
    /// NaN, infinity, or a value beyond `f32`.
    #[error(
        "image: value {value} in channel {channel} at [z, y, x] = {position:?} ({} in this channel), every value must be a finite number of at most 3.4e38. It may mark voxels outside the scanned region, or come from a division by zero; replace these voxels (by 0, say) and try again.", counted(*.count, "such voxel")
    )]
    NotFinite {
        value: String,
        channel: usize,
        position: [usize; 3],
        count: usize,
    },
    /// The samples do not fill the shape.
    #[error("image: {} found for {expected}. The file may be truncated.", counted(*.found, "sample"))]
    Length { found: usize, expected: usize },
    /// Percentiles that are none or in the wrong order.
    #[error("normalisation: percentiles {low} and {high}, 0 <= low < high <= 100 is needed.")]
    Percentiles { low: f64, high: f64 },
    /// An empty range.
    #[error("normalisation: range {low} to {high}, two finite numbers with low < high are needed.")]
    Range { low: f64, high: f64 },
    /// Fixed numbers that do not fit the channels.
    #[error(
        "normalisation: {} and {} for {}, one pair for each channel or one for all is needed. The image may have another number of channels than those trained on.", counted(*.means, "mean"), counted(*.stds, "standard deviation"), counted(*.channels, "channel")
    )]
    FixedCount {
        means: usize,
        stds: usize,
        channels: usize,
    },
    /// A fixed number that cannot be meant.
    #[error(
        "normalisation: mean {mean} and standard deviation {std}, finite numbers with a deviation above 0 are needed."
    )]
    FixedValue { mean: f64, std: f64 },
}

impl Normalise {
    /// Refuses numbers that cannot be meant, before any file is read.
    ///
    /// # Errors
    /// Percentiles or a range in the wrong order; deviations that are not positive.
    pub fn check(&self) -> Result<(), NormaliseError> {
        match self {
            Self::Percentile { low, high } if !(0.0 <= *low && low < high && *high <= 100.0) => {
                Err(NormaliseError::Percentiles {
                    low: *low,
                    high: *high,
                })
            }
            Self::Range { low, high } if !(low < high && low.is_finite() && high.is_finite()) => {
                Err(NormaliseError::Range {
                    low: *low,
                    high: *high,
                })
            }
            Self::Fixed { mean, std } => {
                let wrong = |&(mean, std): &(&f64, &f64)| {
                    !(mean.is_finite() && std.is_finite() && *std > 0.0)
                };
                match mean.iter().zip(std).find(wrong) {
                    Some((&mean, &std)) => Err(NormaliseError::FixedValue { mean, std }),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

impl Image {
    /// Normalises each channel of `volume`. Values are rounded to `f32` first.
    ///
    /// Padding is left out of all statistics, and becomes what the nearest end of the
    /// clipping range does. A channel that is the same everywhere becomes 0 (under `Percentile` and
    /// `ZScore`). Where the clipping percentiles coincide though the channel is
    /// not constant (a black image with few bright spots), its extremes
    /// take their place.
    ///
    /// # Errors
    /// NaN or infinity, naming channel, position and count; numbers in `how`
    /// that cannot be meant or do not fit the number of channels.
    pub fn from_volume(volume: &Volume, how: &Normalise) -> Result<Self, Error> {
        Ok(Self::normalised(volume, how, Padding::LeftOut)?.0)
    }

    /// The same, with padding counted or left out, and what padding was found. It is
    /// looked for where `how` takes anything from the image, or cannot clip.
    ///
    /// # Errors
    /// As [`from_volume`](Self::from_volume).
    pub fn normalised(
        volume: &Volume,
        how: &Normalise,
        padding: Padding,
    ) -> Result<(Self, Vec<FoundPadding>), Error> {
        how.check()?;
        let is_looked_for = padding == Padding::LeftOut
            && !matches!(how, Normalise::Range { .. } | Normalise::None);
        let voxels = volume.geometry.voxels();
        let channels = volume.channels;
        let mut out = vec![0.0; voxels * channels];
        let mut channel_values = vec![0.0; voxels];
        let mut all_found = Vec::new();
        for c in 0..channels {
            load_channel(volume, c, &mut channel_values)?;
            let found = match is_looked_for {
                true => padding::padding(&channel_values, volume.geometry.shape),
                false => Vec::new(),
            };
            all_found.extend(found.iter().map(|&(value, share)| FoundPadding {
                channel: (channels > 1).then_some(c),
                value,
                share,
            }));
            let recorded = Recorded {
                values: &channel_values,
                padding: found.into_iter().map(|(value, _)| value).collect(),
            };
            let map = Map::of_channel(&recorded, c, channels, how)?;
            for (out, &v) in out[c..].iter_mut().step_by(channels).zip(&channel_values) {
                *out = map.apply(v);
            }
        }
        let image = Self {
            geometry: volume.geometry.clone(),
            channels,
            voxels: out,
        };
        Ok((image, all_found))
    }
}

/// The values of a channel without its padding.
struct Recorded<'a> {
    values: &'a [f32],
    padding: Vec<f32>,
}

impl Recorded<'_> {
    fn iter(&self) -> impl Iterator<Item = f32> {
        let values = self.values.iter().copied();
        values.filter(|v| !self.padding.contains(v))
    }

    /// The least and the greatest.
    fn ends(&self) -> [f64; 2] {
        let least = self.iter().fold(f32::INFINITY, f32::min);
        let most = self.iter().fold(f32::NEG_INFINITY, f32::max);
        [least.into(), most.into()]
    }
}

/// `(clamp(v, low, high) - shift) * scale`.
#[derive(Debug)]
struct Map {
    low: f64,
    high: f64,
    shift: f64,
    scale: f64,
}

impl Map {
    fn apply(&self, v: f32) -> f32 {
        ((f64::from(v).clamp(self.low, self.high) - self.shift) * self.scale) as f32
    }

    /// `low` to 0, `high` to 1, clipped; everything to 0 where they coincide.
    fn to_unit([low, high]: [f64; 2]) -> Self {
        let scale = if high > low { 1.0 / (high - low) } else { 0.0 };
        Self {
            low,
            high,
            shift: low,
            scale,
        }
    }

    fn of_channel(
        values: &Recorded<'_>,
        channel: usize,
        channels: usize,
        how: &Normalise,
    ) -> Result<Self, NormaliseError> {
        const OPEN: [f64; 2] = [f64::NEG_INFINITY, f64::INFINITY];
        Ok(match how {
            Normalise::ZScore => {
                let [low, high] = clip_range(values, CLIP_PERCENT);
                let clipped = || values.iter().map(|v| f64::from(v).clamp(low, high));
                let n = values.iter().count().max(1) as f64;
                let mean = clipped().sum::<f64>() / n;
                let variance = clipped().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
                let scale = if high > low {
                    variance.sqrt().recip()
                } else {
                    0.0
                };
                Self {
                    low,
                    high,
                    shift: if high > low { mean } else { low },
                    scale,
                }
            }
            Normalise::Percentile { low, high } => Self::to_unit(clip_range(values, [*low, *high])),
            Normalise::Range { low, high } => Self::to_unit([*low, *high]),
            Normalise::Fixed { mean, std } => {
                let count = mean.len();
                if count != std.len() || (count != 1 && count != channels) {
                    return Err(NormaliseError::FixedCount {
                        means: mean.len(),
                        stds: std.len(),
                        channels,
                    });
                }
                let i = if count == 1 { 0 } else { channel };
                let [low, high] = match values.padding[..] {
                    [] => OPEN,
                    // Nothing but padding lies beyond.
                    _ => values.ends(),
                };
                Self {
                    low,
                    high,
                    shift: mean[i],
                    scale: std[i].recip(),
                }
            }
            Normalise::None => Self {
                low: OPEN[0],
                high: OPEN[1],
                shift: 0.0,
                scale: 1.0,
            },
        })
    }
}

/// One channel as `f32`, all of it finite.
#[allow(
    clippy::unnecessary_cast,
    reason = "one of the ten types is f32 itself"
)]
fn load_channel(volume: &Volume, channel: usize, out: &mut [f32]) -> Result<(), NormaliseError> {
    let voxels = out.len();
    each_samples!(&volume.samples, s => {
        let expected = voxels * volume.channels;
        if s.len() != expected {
            return Err(NormaliseError::Length { found: s.len(), expected });
        }
        let s = &s[channel * voxels..][..voxels];
        for (out, v) in out.iter_mut().zip(s.iter().map(|&v| v as f32)) {
            *out = v;
        }
        let Some(first) = out.iter().position(|v| !v.is_finite()) else {
            return Ok(());
        };
        Err(NormaliseError::NotFinite {
            value: volume.samples.text_at(channel * voxels + first),
            channel,
            position: position(first, volume.geometry.shape),
            count: out.iter().filter(|v| !v.is_finite()).count(),
        })
    })
}

/// The two percentiles; the extremes where the percentiles coincide.
fn clip_range(values: &Recorded<'_>, percent: [f64; 2]) -> [f64; 2] {
    let mut copy: Vec<f32> = values.iter().collect();
    let [low, high] = percent.map(|p| percentile(&mut copy, p));
    if low < high || copy.is_empty() {
        return [low, high];
    }
    values.ends()
}

/// Percentile of finite values, linear between the two nearest ranks
/// (rank `(n - 1) percent / 100`); reorders `values`. 0 where there are none.
fn percentile(values: &mut [f32], percent: f64) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let rank = (values.len() - 1) as f64 * percent / 100.0;
    let below = (rank.floor() as usize).min(values.len() - 1);
    let (_, &mut low, above) = values.select_nth_unstable_by(below, f32::total_cmp);
    let high = above.iter().copied().fold(f32::INFINITY, f32::min);
    let high = if above.is_empty() { low } else { high };
    f64::from(low) + (f64::from(high) - f64::from(low)) * (rank - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Geometry, Samples};
    use proptest::prelude::*;

    fn volume(channels: usize, samples: Samples, voxels: usize) -> Volume {
        Volume {
            geometry: Geometry::of_shape([1, 1, voxels]),
            channels,
            samples,
            scaling: None,
            notes: Vec::new(),
            placed: None,
        }
    }

    fn ramp() -> Volume {
        volume(
            2,
            Samples::U16((0..=100).chain((0..=100).map(|v| v * 600)).collect()),
            101,
        )
    }

    #[test]
    fn percentiles_are_linear_between_ranks() {
        let mut v = [3.0, 1.0, 2.0, 4.0];
        assert_eq!(percentile(&mut v, 0.0), 1.0);
        assert_eq!(percentile(&mut v, 100.0), 4.0);
        assert_eq!(percentile(&mut v, 50.0), 2.5);
        assert_eq!(percentile(&mut [7.0], 30.0), 7.0);
        assert_eq!(percentile(&mut [], 30.0), 0.0);
    }

    #[test]
    fn z_score_has_mean_0_and_deviation_1_in_each_channel_alike() {
        let image = Image::from_volume(&ramp(), &Normalise::ZScore).unwrap();
        for c in 0..2 {
            let v: Vec<f64> = image.voxels[c..]
                .iter()
                .step_by(2)
                .map(|&v| v.into())
                .collect();
            let mean = v.iter().sum::<f64>() / 101.0;
            let variance = v.iter().map(|v| v * v).sum::<f64>() / 101.0;
            assert!(
                mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-6,
                "{mean} {variance}"
            );
        }
        // Channels differ by a factor that normalisation removes.
        for v in image.voxels.chunks(2) {
            assert!((v[0] - v[1]).abs() < 1e-6);
        }
    }

    #[test]
    fn one_hot_pixel_does_not_move_the_rest() {
        let mut values: Vec<f32> = (0..1000).map(|i| (i % 10) as f32).collect();
        let before = Image::from_volume(
            &volume(1, Samples::F32(values.clone()), 1000),
            &Normalise::ZScore,
        );
        values[5] = 1.7e6;
        let after = Image::from_volume(&volume(1, Samples::F32(values), 1000), &Normalise::ZScore);
        let (before, after) = (before.unwrap(), after.unwrap());
        for i in (0..1000).filter(|&i| i != 5) {
            assert!(
                (before.voxels[i] - after.voxels[i]).abs() < 0.01,
                "voxel {i}"
            );
        }
    }

    #[test]
    fn unit_ranges_and_fixed_numbers_by_hand() {
        let by = |how| Image::from_volume(&ramp(), &how).unwrap().voxels;
        let v = by(Normalise::Percentile {
            low: 10.0,
            high: 90.0,
        });
        assert_eq!((v[0], v[100], v[2 * 100]), (0.0, 0.5, 1.0));
        let v = by(Normalise::Range {
            low: 0.0,
            high: 50.0,
        });
        assert_eq!((v[0], v[2 * 25], v[2 * 80]), (0.0, 0.5, 1.0));
        let v = by(Normalise::Fixed {
            mean: vec![10.0, 600.0],
            std: vec![2.0, 60.0],
        });
        assert_eq!((v[2 * 20], v[2 * 20 + 1]), (5.0, 190.0));
        let v = by(Normalise::None);
        assert_eq!((v[2 * 20], v[2 * 20 + 1]), (20.0, 12000.0));
    }

    #[test]
    fn constant_channels_become_0_and_few_bright_spots_survive() {
        let constant = volume(1, Samples::I16(vec![-7; 50]), 50);
        let mut spots = vec![0u8; 5000];
        spots[77] = 200;
        let spots = volume(1, Samples::U8(spots), 5000);
        for how in [
            Normalise::ZScore,
            Normalise::Percentile {
                low: 1.0,
                high: 99.0,
            },
        ] {
            let image = Image::from_volume(&constant, &how).unwrap();
            assert!(image.voxels.iter().all(|&v| v == 0.0), "{how:?}");
            let image = Image::from_volume(&spots, &how).unwrap();
            assert!(image.voxels[77] > image.voxels[0] + 0.9, "{how:?}");
            assert!(image.voxels.iter().all(|v| v.is_finite()), "{how:?}");
        }
    }

    #[test]
    fn values_that_are_not_finite_are_named() {
        let mut values = vec![1.0; 12];
        values[7] = f64::NAN;
        values[9] = f64::INFINITY;
        values[11] = 1e300;
        let v = Volume {
            geometry: Geometry::of_shape([1, 2, 3]),
            channels: 2,
            samples: Samples::F64(values),
            scaling: None,
            notes: Vec::new(),
            placed: None,
        };
        let text = Image::from_volume(&v, &Normalise::None)
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("value NaN in channel 1 at [z, y, x] = [0, 0, 1] (3 such voxels"),
            "{text}"
        );
    }

    #[test]
    fn numbers_that_cannot_be_meant_are_refused() {
        let bad = [
            Normalise::Percentile {
                low: 50.0,
                high: 50.0,
            },
            Normalise::Percentile {
                low: -1.0,
                high: 50.0,
            },
            Normalise::Percentile {
                low: f64::NAN,
                high: 50.0,
            },
            Normalise::Range {
                low: 1.0,
                high: f64::INFINITY,
            },
            Normalise::Fixed {
                mean: vec![0.0],
                std: vec![0.0],
            },
            Normalise::Fixed {
                mean: vec![0.0; 3],
                std: vec![1.0; 3],
            },
            Normalise::Fixed {
                mean: vec![0.0; 2],
                std: vec![1.0],
            },
        ];
        for how in bad {
            assert!(Image::from_volume(&ramp(), &how).is_err(), "{how:?}");
        }
    }

    proptest! {
        #[test]
        fn percentile_agrees_with_sorting(mut v in prop::collection::vec(-1e6f32..1e6, 1..200), p in 0.0..=100.0f64) {
            let mut sorted = v.clone();
            sorted.sort_by(f32::total_cmp);
            let rank = (v.len() - 1) as f64 * p / 100.0;
            let (a, b) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
            let expected = f64::from(a) + f64::from(b - a) * rank.fract();
            let found = percentile(&mut v, p);
            prop_assert!((found - expected).abs() <= 1e-6 * expected.abs().max(1.0) + 0.1);
            prop_assert!(found >= f64::from(a) && found <= f64::from(b));
        }
    }
}
