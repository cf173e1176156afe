//! A volume: samples, shape, spacing, orientation and channels.

use std::ops::ControlFlow;

pub use crate::format::Forms;
use crate::place::Orientation;
pub use crate::samples::{NumberType, Samples};
use crate::samples::{Sample, each_samples, each_type, sample_count};
use crate::words::counted;
use crate::{Error, Filled, Scaling};

/// Where the voxels of a volume are. Two are equal where shape, spacing and place
/// are, whatever their headers hold beside.
#[derive(Clone, Debug)]
pub struct Geometry {
    /// Voxels along `[z, y, x]`.
    pub shape: [usize; 3],
    /// Distance of neighbouring voxels in mm along `[z, y, x]`; `None` where
    /// the file does not say.
    pub spacing_mm: Option<[f64; 3]>,
    /// Rows world x, y, z in mm (right, anterior, superior positive, as in
    /// NIfTI); columns volume z, y, x and the translation: `world = m * [z, y, x, 1]`.
    /// `None` where the file does not say.
    pub world_from_volume: Option<[[f64; 4]; 3]>,
    /// How a NIfTI header put it, so that a result can keep forms, codes and unit of
    /// its image; `None` where the file was of another format.
    pub forms: Option<Forms>,
}

impl PartialEq for Geometry {
    fn eq(&self, other: &Self) -> bool {
        (self.shape, self.spacing_mm, self.world_from_volume)
            == (other.shape, other.spacing_mm, other.world_from_volume)
    }
}

/// An image or a label image as its file holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume {
    /// Shape, spacing and orientation.
    pub geometry: Geometry,
    /// Number of channels.
    pub channels: usize,
    /// `[c, z, y, x]`, `channels * geometry.voxels()` of them.
    pub samples: Samples,
    /// The scaling that the file's header names and that is applied already: how
    /// exactly the samples give what was written. `None` where there is none.
    pub scaling: Option<Scaling>,
    /// What was noticed while reading and a person should be told: a sentence
    /// each that begins with the path, as errors do. Empty for most files.
    pub notes: Vec<String>,
    /// What the file filled, where the volume was placed in a larger grid
    /// ([`place`](crate::place)); samples outside of it are 0 and mean nothing.
    /// `None`: the file filled all of it.
    pub placed: Option<Filled>,
}

/// An image as the network reads it: normalised, channels innermost.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Shape, spacing and orientation.
    pub geometry: Geometry,
    /// Number of channels.
    pub channels: usize,
    /// `[z, y, x, c]`, `geometry.voxels() * channels` of them.
    pub voxels: Vec<f32>,
}

impl Geometry {
    /// A geometry of which only the shape is known.
    pub fn of_shape(shape: [usize; 3]) -> Self {
        Self {
            shape,
            spacing_mm: None,
            world_from_volume: None,
            forms: None,
        }
    }

    /// Number of voxels.
    pub fn voxels(&self) -> usize {
        self.shape.iter().product()
    }

    /// Distance of neighbouring voxels in mm along `[z, y, x]`: the spacing, or
    /// the lengths of the axes of the orientation where only that is known.
    pub fn spacing(&self) -> Option<[f64; 3]> {
        self.spacing_mm.or_else(|| {
            let m = self.world_from_volume?;
            Some(std::array::from_fn(|axis| {
                m.iter()
                    .map(|row| row[axis] * row[axis])
                    .sum::<f64>()
                    .sqrt()
            }))
        })
    }

    /// Which way the axes point, to the nearest; `None` where the file does not say.
    pub fn orientation(&self) -> Option<Orientation> {
        Orientation::of(self)
    }

    /// `[z, y, x]` of the voxel that stands at `index` of a `[z, y, x]` array.
    pub fn position(&self, index: usize) -> [usize; 3] {
        position(index, self.shape)
    }
}

/// `[z, y, x]` of the voxel that stands at `index` of an array of `shape`.
pub(crate) fn position(index: usize, [_, y, x]: [usize; 3]) -> [usize; 3] {
    [index / (y * x), index / x % y, index % x]
}

impl Volume {
    /// A volume whose parts agree.
    ///
    /// # Errors
    /// When there is no channel or no voxel, the number of samples is not
    /// `channels * z * y * x`, or a spacing is not a positive finite number.
    pub fn new(geometry: Geometry, channels: usize, samples: Samples) -> Result<Self, Error> {
        let wrong = |field, found: String, rule: &str| {
            Err(Error::Inconsistent {
                field,
                found,
                rule: rule.to_owned(),
            })
        };
        let [z, y, x] = geometry.shape;
        if channels == 0 {
            return wrong(
                "the number of channels",
                "0".to_owned(),
                "must be at least 1",
            );
        }
        if geometry.shape.contains(&0) {
            return wrong(
                "the shape z, y, x",
                format!("{z} x {y} x {x}"),
                "each axis must have at least 1 voxel",
            );
        }
        if sample_count(channels, geometry.shape)? != samples.len() {
            return wrong(
                "the number of samples",
                samples.len().to_string(),
                &format!(
                    "must be that of {} of {z} x {y} x {x} voxels",
                    counted(channels, "channel")
                ),
            );
        }
        if let Some(spacing) = geometry.spacing_mm
            && !spacing.iter().all(|s| s.is_finite() && *s > 0.0)
        {
            return wrong(
                "the spacing z, y, x in mm",
                format!("{spacing:?}"),
                "each must be a positive number",
            );
        }
        if let Some(world) = geometry.world_from_volume
            && !world.iter().flatten().all(|v| v.is_finite())
        {
            return wrong(
                "the transformation from volume to world",
                format!("{world:?}"),
                "each entry must be finite",
            );
        }
        Ok(Self {
            geometry,
            channels,
            samples,
            scaling: None,
            notes: Vec::new(),
            placed: None,
        })
    }

    /// The voxels of the ranges along `[z, y, x]`, where they are in the world.
    ///
    /// # Errors
    /// When a range is empty or leaves the volume.
    pub fn crop(&self, ranges: [std::ops::Range<usize>; 3]) -> Result<Self, Error> {
        let shape = self.geometry.shape;
        for (axis, range) in ranges.iter().enumerate() {
            if range.is_empty() || range.end > shape[axis] {
                return Err(Error::Inconsistent {
                    field: "the part to keep",
                    found: format!(
                        "{}:{} along {}",
                        range.start,
                        range.end,
                        ['z', 'y', 'x'][axis]
                    ),
                    rule: format!("must be at least one voxel of the {} there", shape[axis]),
                });
            }
        }
        let [z, y, x] = ranges.clone();
        let kept = ranges.clone().map(|range| range.len());
        let samples = each_type!(self.samples.number_type(), T, variant => {
            let mut part = Vec::<T>::with_capacity(self.channels * kept.iter().product::<usize>());
            if let Some(values) = T::of_samples(&self.samples) {
                for c in 0..self.channels {
                    for (z, y) in z.clone().flat_map(|z| y.clone().map(move |y| (z, y))) {
                        let start = self.index(c, [z, y, x.start]);
                        part.extend_from_slice(&values[start..start + kept[2]]);
                    }
                }
            }
            variant(part)
        });
        let world_from_volume = self.geometry.world_from_volume.map(|rows| {
            rows.map(|row| {
                let shift: f64 = (0..3)
                    .map(|axis| row[axis] * ranges[axis].start as f64)
                    .sum();
                [row[0], row[1], row[2], row[3] + shift]
            })
        });
        let start = [0, 1, 2].map(|axis| ranges[axis].start);
        let geometry = Geometry {
            shape: kept,
            world_from_volume,
            spacing_mm: self.geometry.spacing_mm,
            forms: self.geometry.forms.as_ref().map(|f| f.beginning_at(start)),
        };
        let placed = self.placed.as_ref().map(|placed| placed.cropped(&ranges));
        Ok(Self {
            scaling: self.scaling,
            notes: self.notes.clone(),
            placed,
            ..Self::new(geometry, self.channels, samples)?
        })
    }

    /// Whether the file filled the voxel at `index` of a `[z, y, x]` array, rather
    /// than that a placed box leaves it out.
    pub fn is_filled(&self, index: usize) -> bool {
        let placed = self.placed.as_ref();
        placed.is_none_or(|placed| placed.holds(self.geometry.position(index)))
    }

    /// The same samples with the channels as slices: what a stack is whose file
    /// says "channels" where it means "slices".
    ///
    /// # Errors
    /// When there is more than one slice, or one channel.
    pub fn channels_as_slices(mut self) -> Result<Self, Error> {
        let [depth, height, width] = self.geometry.shape;
        if depth != 1 || self.channels == 1 {
            return Err(Error::Inconsistent {
                field: "the volume",
                found: format!(
                    "{} of {}",
                    counted(self.channels, "channel"),
                    counted(depth, "slice")
                ),
                rule: "must be one slice of several channels for its channels to become slices"
                    .to_owned(),
            });
        }
        self.geometry.shape = [self.channels, height, width];
        self.channels = 1;
        self.notes.clear();
        Ok(self)
    }

    /// Name of the sample type: `uint8`, `float32` and so on.
    pub fn type_name(&self) -> &'static str {
        self.samples.number_type().name()
    }

    /// Position of a sample in [`samples`](Self::samples).
    pub fn index(&self, channel: usize, [z, y, x]: [usize; 3]) -> usize {
        let [depth, height, width] = self.geometry.shape;
        ((channel * depth + z) * height + y) * width + x
    }

    /// All samples as whole numbers, `[c, z, y, x]`: the values of a label image. A
    /// value is whole within the precision of the header's [`Scaling`], where there
    /// is one.
    ///
    /// # Errors
    /// [`Error::NotWhole`] with the first sample that is not one.
    pub fn to_integers(&self) -> Result<Vec<i64>, Error> {
        let mut integers = Vec::with_capacity(self.samples.len());
        self.for_each_integer(|_, value| integers.push(value))?;
        Ok(integers)
    }

    /// Calls `visit(index, value)` with every sample as a whole number, in the
    /// order `[c, z, y, x]`, without making a copy of the volume.
    ///
    /// # Errors
    /// [`Error::NotWhole`] with the first sample that is not one.
    pub fn for_each_integer(&self, mut visit: impl FnMut(usize, i64)) -> Result<(), Error> {
        let found = self.try_each_whole(|index, value| match value {
            Some(value) => {
                visit(index, value);
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(index),
        });
        match found {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(index) => {
                let voxels = self.geometry.voxels();
                Err(Error::NotWhole {
                    value: self.samples.text_at(index),
                    channel: index / voxels,
                    at: self.geometry.position(index % voxels),
                    scaling: self.scaling,
                })
            }
        }
    }

    /// Calls `visit(index, value)` with every sample in order, until it breaks off:
    /// as a whole number within the precision of the scaling, or `None`. All that
    /// reads labels comes through here.
    pub(crate) fn try_each_whole<B>(
        &self,
        mut visit: impl FnMut(usize, Option<i64>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        each_samples!(&self.samples, values => {
            match self.scaling {
                None => {
                    for (index, value) in values.iter().enumerate() {
                        visit(index, value.whole())?;
                    }
                }
                Some(scaling) => {
                    for (index, value) in values.iter().enumerate() {
                        visit(index, scaling.whole(value.as_f64()))?;
                    }
                }
            }
            ControlFlow::Continue(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crop_keeps_voxels_and_their_place_in_the_world() {
        let world = [
            [0.0, 0.0, 3.0, 10.0],
            [0.0, 2.0, 0.0, 20.0],
            [1.0, 0.0, 0.0, 30.0],
        ];
        let geometry = Geometry {
            shape: [2, 3, 4],
            world_from_volume: Some(world),
            spacing_mm: Some([1.0, 2.0, 3.0]),
            forms: None,
        };
        let volume = Volume::new(geometry, 2, Samples::I16((0..48).collect())).unwrap();
        let part = volume.crop([1..2, 1..3, 2..4]).unwrap();
        assert_eq!(part.geometry.shape, [1, 2, 2]);
        assert_eq!(
            part.samples,
            Samples::I16(vec![18, 19, 22, 23, 42, 43, 46, 47])
        );
        let world = part.geometry.world_from_volume.unwrap();
        assert_eq!(world.map(|row| row[3]), [16.0, 22.0, 31.0]);
        for bad in [[0..3, 0..1, 0..1], [0..1, 1..1, 0..1]] {
            assert!(volume.crop(bad).is_err());
        }
    }

    #[test]
    fn parts_that_disagree_are_refused() {
        let geometry = Geometry::of_shape([2, 3, 4]);
        assert!(Volume::new(geometry.clone(), 1, Samples::U8(vec![0; 24])).is_ok());
        assert!(Volume::new(geometry.clone(), 2, Samples::U8(vec![0; 24])).is_err());
        assert!(Volume::new(geometry.clone(), 0, Samples::U8(vec![])).is_err());
        assert!(Volume::new(Geometry::of_shape([0, 3, 4]), 1, Samples::U8(vec![])).is_err());
        assert!(
            Volume::new(
                Geometry::of_shape([usize::MAX, 3, 4]),
                1,
                Samples::U8(vec![])
            )
            .is_err()
        );
        let spacing_mm = Some([1.0, f64::NAN, 1.0]);
        let strange = Geometry {
            spacing_mm,
            ..geometry
        };
        assert!(Volume::new(strange, 1, Samples::U8(vec![0; 24])).is_err());
    }

    #[test]
    fn a_sample_that_is_no_label_is_located() {
        let mut samples = vec![1.0f32; 48];
        samples[24 + 12 + 4 + 2] = 0.5;
        let volume =
            Volume::new(Geometry::of_shape([2, 3, 4]), 2, Samples::F32(samples)).expect("valid");
        let error = volume.to_integers().expect_err("0.5 is no label");
        assert!(
            matches!(
                &error,
                Error::NotWhole {
                    channel: 1,
                    at: [1, 1, 2],
                    ..
                }
            ),
            "{error}"
        );
        assert_eq!(volume.index(1, [1, 1, 2]), 24 + 12 + 4 + 2);
    }
}
