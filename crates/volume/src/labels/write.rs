//! Labels back to a volume of class values.

use super::{Class, Labels, LabelsError};
use crate::{Error, Geometry, NumberType, Samples, Volume};

impl Labels {
    /// The class values as a volume of the smallest integer type that holds
    /// those of all classes (and `unlabeled_value`, where a voxel is
    /// unlabeled), geometry kept. Unlabeled voxels get `unlabeled_value`;
    /// [`check_unlabeled_value`](Self::check_unlabeled_value) says whether
    /// they could still be told apart.
    pub fn to_volume(&self, unlabeled_value: i64) -> Volume {
        let mut values: Vec<i64> = self.classes.iter().map(|c| c.value).collect();
        // The type depends on the classes, not on which of them occur: files of
        // one data set then have one type.
        let unlabeled = self.voxels.iter().any(|l| !l.is_annotated());
        let all = values
            .iter()
            .copied()
            .chain(unlabeled.then_some(unlabeled_value));
        let (low, high) = all.fold((0, 0), |(low, high), v| (low.min(v), high.max(v)));
        // One table look-up a voxel: class index, then unlabeled.
        let classes = values.len();
        values.push(unlabeled_value);
        let value = |i: usize| values[self.voxels[i].class().unwrap_or(classes)];

        macro_rules! first_that_fits {
            ($($variant:ident: $type:ty),*) => {
                $(if <$type>::try_from(low).is_ok() && <$type>::try_from(high).is_ok() {
                    Samples::$variant((0..self.voxels.len()).map(|i| value(i) as $type).collect())
                } else)* {
                    Samples::I64((0..self.voxels.len()).map(value).collect())
                }
            };
        }
        let samples = first_that_fits!(U8: u8, I8: i8, U16: u16, I16: i16, U32: u32, I32: i32);
        Volume {
            geometry: self.geometry.clone(),
            channels: 1,
            samples,
            scaling: None,
            notes: Vec::new(),
            placed: None,
        }
    }

    /// The type of [`to_volume`](Self::to_volume) where every voxel has a class.
    pub fn number_type(classes: &[Class]) -> NumberType {
        let none = Self {
            geometry: Geometry::of_shape([0; 3]),
            classes: classes.to_vec(),
            voxels: Vec::new(),
        };
        none.to_volume(0).samples.number_type()
    }

    /// The value that unlabeled voxels are written with where nobody chose:
    /// 0 where it is no class, else 255, else the first free one below 0.
    pub fn unlabeled_value(&self) -> i64 {
        let free = |value: &i64| self.classes.iter().all(|c| c.value != *value);
        [0, 255]
            .into_iter()
            .chain((1..).map(|v: i64| -v))
            .find(free)
            .unwrap_or(i64::MIN) // never: there are at most 255 classes
    }

    /// Refuses a value for unlabeled voxels that is that of a class.
    ///
    /// # Errors
    /// When `value` is the value of a class and some voxel is unlabeled.
    pub fn check_unlabeled_value(&self, value: i64) -> Result<(), Error> {
        match self.classes.iter().find(|c| c.value == value) {
            Some(class) if self.annotated_voxels() < self.voxels.len() => {
                Err(LabelsError::UnlabeledIsClass {
                    value,
                    name: class.name.clone(),
                    free: self.unlabeled_value(),
                }
                .into())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Label;

    fn labels(values: &[i64], voxels: &[Option<usize>]) -> Labels {
        Labels {
            geometry: Geometry {
                spacing_mm: Some([1.0, 2.0, 3.0]),
                ..Geometry::of_shape([1, 1, voxels.len()])
            },
            classes: values
                .iter()
                .map(|&value| Class {
                    value,
                    name: value.to_string(),
                })
                .collect(),
            voxels: voxels
                .iter()
                .map(|v| v.map_or(Label::UNLABELED, Label::of_class))
                .collect(),
        }
    }

    #[test]
    fn the_smallest_type_that_holds_all_classes_is_written() {
        let voxels = [Some(1), None, Some(0)];
        let write = |values: &[i64], unlabeled| labels(values, &voxels).to_volume(unlabeled);
        let of = |values: &[i64]| Labels::number_type(&labels(values, &[]).classes);
        assert_eq!(
            (of(&[0, 2]), of(&[0, 256]), of(&[-1])),
            (NumberType::U8, NumberType::U16, NumberType::I8)
        );
        let v = write(&[0, 2], 255);
        assert_eq!(v.samples, Samples::U8(vec![2, 255, 0]));
        assert_eq!(v.geometry.spacing_mm, Some([1.0, 2.0, 3.0]));
        assert_eq!(write(&[0, 2], -1).samples, Samples::I8(vec![2, -1, 0]));
        assert_eq!(write(&[0, 200], -1).samples, Samples::I16(vec![200, -1, 0]));
        assert_eq!(write(&[0, 256], 9).samples, Samples::U16(vec![256, 9, 0]));
        assert_eq!(
            write(&[0, 70_000], 9).samples,
            Samples::U32(vec![70_000, 9, 0])
        );
        assert_eq!(
            write(&[-1, 70_000], 9).samples,
            Samples::I32(vec![70_000, 9, -1])
        );
        assert_eq!(
            write(&[-1, 1 << 40], 9).samples,
            Samples::I64(vec![1 << 40, 9, -1])
        );
        // Where nothing is unlabeled its value does not widen the type.
        let all = labels(&[0, 2], &[Some(1), Some(0)]).to_volume(-1);
        assert_eq!(all.samples, Samples::U8(vec![2, 0]));
    }

    #[test]
    fn the_unlabeled_value_is_0_then_255_then_below_0() {
        let chosen = |values: &[i64]| labels(values, &[Some(0), None]).unlabeled_value();
        assert_eq!(chosen(&[1, 2]), 0);
        assert_eq!(chosen(&[0, 2]), 255);
        assert_eq!(chosen(&[0, 255, -1]), -2);
    }

    #[test]
    fn a_class_value_for_unlabeled_voxels_is_refused() {
        let some = labels(&[0, 1], &[Some(1), None]);
        assert!(some.check_unlabeled_value(3).is_ok());
        let error = some.check_unlabeled_value(1).unwrap_err().to_string();
        assert!(error.contains("such as 255"), "{error}");
        assert!(labels(&[0, 1], &[Some(1)]).check_unlabeled_value(1).is_ok());
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        use crate::{Annotated, LabelScheme};
        let before = labels(&[0, 3, 9], &[Some(2), None, Some(0), Some(1), None]);
        let scheme = LabelScheme::new(
            before.classes.clone(),
            Annotated::Except(before.unlabeled_value()),
        );
        let volume = before.to_volume(before.unlabeled_value());
        let after = Labels::from_volume(&volume, &scheme, None, "l").unwrap();
        assert_eq!(before, after);
    }
}
