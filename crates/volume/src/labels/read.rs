//! A label file's values and a scheme become [`Labels`].

use super::left_out;
use super::objects::numbered;
use super::painted::painted_slices;
use super::scheme::{BACKGROUND, axis_name};
use super::values::{Seen, check_whole, for_each_value, values_of};
use super::{
    Annotated, Class, Direction, Label, LabelScheme, Labels, LabelsError, slices_in_words,
};
use crate::volume::position;
use crate::{Error, Filled, Volume};

impl Labels {
    /// Reads the values of `volume` under `scheme`.
    ///
    /// `mask` is the volume that [`Annotated::Mask`] names and is looked at
    /// under that scheme only. `source` is what errors call the label image.
    /// Classes that the scheme leaves empty are the values of the annotated
    /// voxels, ascending, named `class V` (0 in painted or stated slices:
    /// `background`). What un-annotated voxels hold is not looked at. Of a volume
    /// that was placed in a larger grid only what its file covers can be annotated,
    /// under any scheme but stated slices.
    ///
    /// # Errors
    /// Several channels; values that are not whole; an annotated value outside
    /// the classes given; more than [`Label::MAX_CLASSES`] values; nothing
    /// annotated; a single class found where none is given (where classes are
    /// given, [`require_two_classes`](Self::require_two_classes) is the
    /// caller's to ask: one case of a data set may well show only one);
    /// paint of several directions that cannot be told apart; a stated slice
    /// that is not there, or all paint outside of those stated; a mask that is
    /// missing or of another shape.
    pub fn from_volume(
        volume: &Volume,
        scheme: &LabelScheme,
        mask: Option<&Volume>,
        source: &str,
    ) -> Result<Self, Error> {
        let (annotated, found) = annotated_values(volume, scheme, mask, source)?;
        let classes = settle_classes(&found, scheme, source, volume.geometry.shape)?;
        let labels = Self {
            geometry: volume.geometry.clone(),
            voxels: to_labels(volume, &annotated, &classes, scheme),
            classes,
        };
        if scheme.classes.is_empty() && scheme.objects.is_none() {
            labels.require_two_classes(&scheme.annotated, source)?;
        }
        Ok(labels)
    }

    /// Refuses labels from which nothing can be learned: all of one class.
    ///
    /// # Errors
    /// When the annotated voxels are of fewer than two classes.
    pub fn require_two_classes(&self, annotated: &Annotated, source: &str) -> Result<(), Error> {
        let counts = self.class_voxels();
        let present: Vec<_> = (0..counts.len()).filter(|&c| counts[c] > 0).collect();
        match present[..] {
            [] => Err(nothing_annotated(annotated, source).into()),
            [only] => Err(LabelsError::OneClass {
                source_name: source.into(),
                annotated: annotated.flag(),
                class: super::error::Listed(vec![self.classes[only].clone()]),
                cause: one_class_cause(annotated, self.classes[only].value),
            }
            .into()),
            _ => Ok(()),
        }
    }
}

/// The classes that `volume` shows under `scheme`: those the scheme names, or
/// where it names none those found, were it only one.
///
/// # Errors
/// As [`Labels::from_volume`].
pub fn classes_of(
    volume: &Volume,
    scheme: &LabelScheme,
    mask: Option<&Volume>,
    source: &str,
) -> Result<Vec<Class>, Error> {
    let (_, found) = annotated_values(volume, scheme, mask, source)?;
    Ok(settle_classes(
        &found,
        scheme,
        source,
        volume.geometry.shape,
    )?)
}

/// Refuses values that look like numbers of objects where the scheme does not say
/// what they are: whoever is about to learn from them asks first.
///
/// # Errors
/// [`LabelsError::NumberedObjects`], and as [`Labels::from_volume`].
pub fn ask_whether_numbered(
    volume: &Volume,
    scheme: &LabelScheme,
    mask: Option<&Volume>,
    source: &str,
) -> Result<(), Error> {
    if !scheme.classes.is_empty() || scheme.objects.is_some() {
        return Ok(());
    }
    let (annotated, found) = annotated_values(volume, scheme, mask, source)?;
    match numbered(volume, &annotated, &found) {
        None => Ok(()),
        Some(found) => Err(LabelsError::NumberedObjects {
            source_name: source.into(),
            found: Box::new(found),
        }
        .into()),
    }
}

/// Name of a class that nobody named.
pub(super) fn name_of_value(value: i64) -> String {
    format!("class {value}")
}

type Found = std::collections::BTreeMap<i64, Seen>;

/// Which voxels are annotated, and the values of these.
fn annotated_values(
    volume: &Volume,
    scheme: &LabelScheme,
    mask: Option<&Volume>,
    source: &str,
) -> Result<(Vec<bool>, Found), LabelsError> {
    scheme.check()?;
    check_whole(volume, source)?;
    let mut annotated = annotated_voxels(volume, &scheme.annotated, mask, source)?;
    // Of stated slices somebody said that they are annotated as a whole: a program that
    // cut the file to what was painted has cut off nothing but background.
    let is_stated = matches!(scheme.annotated, Annotated::Slices(_));
    if volume.placed.is_some() && !is_stated {
        // What the file does not cover nobody annotated, under any other scheme.
        for (i, annotated) in annotated.iter_mut().enumerate() {
            *annotated &= volume.is_filled(i);
        }
    }
    let found = values_of(volume, |i, _| annotated[i]);
    if found.is_empty() {
        return Err(nothing_annotated(&scheme.annotated, source));
    }
    Ok((annotated, found))
}

/// `[z, y, x]`: is the voxel annotated?
fn annotated_voxels(
    volume: &Volume,
    annotated: &Annotated,
    mask: Option<&Volume>,
    source: &str,
) -> Result<Vec<bool>, LabelsError> {
    let shape = volume.geometry.shape;
    let mut out = vec![false; volume.geometry.voxels()];
    match annotated {
        Annotated::Dense => out.fill(true),
        Annotated::Except(unlabeled) => {
            for_each_value(volume, |i, value| out[i] = value != *unlabeled);
        }
        Annotated::PaintedSlices(directions) => {
            let axes = axes_of(directions, volume, source)?;
            if let Some(Filled::Slices { axis, .. }) = &volume.placed {
                // The slices that are there were annotated, the empty ones too.
                if axes != [*axis] {
                    return Err(LabelsError::OnlySlicesAcross {
                        source_name: source.into(),
                        annotated: annotated.flag(),
                        axis: axis_name(*axis),
                    });
                }
                out.fill(true);
                return Ok(out);
            }
            for_each_value(volume, |i, value| out[i] = value != 0);
            let taken = painted_slices(&out, shape, &axes)
                .map_err(|ambiguous| ambiguous.into_error(source, &annotated.flag()))?;
            take(&mut out, shape, &taken);
        }
        Annotated::Slices(stated) => {
            let slices = stated.resolve(&volume.geometry, source)?;
            if let Some(Filled::Slices { axis, indices }) = &volume.placed {
                let is_missing = |a: usize, i: usize| a != *axis || !indices.contains(&i);
                let mut stated_slices = (0..3).flat_map(|a| slices[a].iter().map(move |&i| (a, i)));
                if let Some((a, index)) = stated_slices.find(|&(a, i)| is_missing(a, i)) {
                    let mut held: [Vec<usize>; 3] = Default::default();
                    held[*axis].clone_from(indices);
                    return Err(LabelsError::StatedNotHeld {
                        source_name: source.into(),
                        stated: stated.to_string(),
                        axis: axis_name(a),
                        index,
                        held: slices_in_words(&held),
                    });
                }
            }
            left_out::refuse_if_all(volume, &slices, stated, source)?;
            let taken = [0, 1, 2].map(|axis: usize| {
                let mut taken = vec![false; shape[axis]];
                slices[axis].iter().for_each(|&index| taken[index] = true);
                taken
            });
            take(&mut out, shape, &taken);
        }
        Annotated::Mask(path) => {
            let mask = mask.ok_or_else(|| LabelsError::MaskMissing {
                source_name: source.into(),
                mask: path.clone(),
            })?;
            if mask.geometry.shape != shape {
                return Err(LabelsError::MaskShape {
                    source_name: source.into(),
                    mask: path.clone(),
                    mask_shape: mask.geometry.shape,
                    labels_shape: shape,
                });
            }
            check_whole(mask, &path.display().to_string())?;
            for_each_value(mask, |i, value| out[i] = value != 0);
        }
    }
    Ok(out)
}

/// The axes of these directions, each once.
pub(super) fn axes_of(
    directions: &[Direction],
    volume: &Volume,
    source: &str,
) -> Result<Vec<usize>, LabelsError> {
    let mut axes = Vec::with_capacity(directions.len());
    for direction in directions {
        let axis = direction.axis(&volume.geometry, source)?;
        if axes.contains(&axis) {
            return Err(LabelsError::SchemeAxes {
                named: format!("{direction}, which is {} here", axis_name(axis)),
            });
        }
        axes.push(axis);
    }
    Ok(axes)
}

/// Makes the voxels of these slices true and all others false.
fn take(out: &mut [bool], shape: [usize; 3], taken: &[Vec<bool>; 3]) {
    for (i, out) in out.iter_mut().enumerate() {
        let p = position(i, shape);
        *out = (0..3).any(|a| taken[a][p[a]]);
    }
}

/// The classes: those given, which must hold every value found, or those found.
fn settle_classes(
    found: &Found,
    scheme: &LabelScheme,
    source: &str,
    shape: [usize; 3],
) -> Result<Vec<Class>, LabelsError> {
    if let Some(name) = &scheme.objects {
        return Ok(LabelScheme::of_objects(name));
    }
    if scheme.classes.is_empty() {
        if found.len() > Label::MAX_CLASSES {
            return Err(LabelsError::TooManyValues {
                source_name: source.into(),
                values: found.len(),
            });
        }
        let zero_is_background = scheme.annotated.is_zero_background();
        return Ok(found
            .keys()
            .map(|&value| Class {
                value,
                name: match value {
                    0 if zero_is_background => BACKGROUND.into(),
                    _ => name_of_value(value),
                },
            })
            .collect());
    }
    let outside = found
        .iter()
        .filter(|(value, _)| scheme.classes.iter().all(|c| c.value != **value))
        .min_by_key(|(_, seen)| seen.first);
    match outside {
        None => Ok(scheme.classes.clone()),
        Some((&value, seen)) => Err(LabelsError::OutsideScheme {
            source_name: source.into(),
            value,
            position: position(seen.first, shape),
            count: seen.count,
            classes: super::error::Listed(scheme.classes.clone()),
            annotated: scheme.annotated.flag(),
        }),
    }
}

fn to_labels(
    volume: &Volume,
    annotated: &[bool],
    classes: &[Class],
    scheme: &LabelScheme,
) -> Vec<Label> {
    let mut by_value: Vec<(i64, Label)> = classes
        .iter()
        .enumerate()
        .map(|(i, c)| (c.value, Label::of_class(i)))
        .collect();
    by_value.sort_unstable_by_key(|&(value, _)| value);
    let mut out = vec![Label::UNLABELED; annotated.len()];
    // Neighbours mostly have the same value: look up only where it changes.
    let mut last = by_value[0];
    for_each_value(volume, |i, value| {
        if annotated[i] {
            let value = scheme.class_value(value);
            if value != last.0
                && let Ok(k) = by_value.binary_search_by_key(&value, |&(v, _)| v)
            {
                last = by_value[k];
            }
            out[i] = last.1;
        }
    });
    out
}

fn nothing_annotated(annotated: &Annotated, source: &str) -> LabelsError {
    let cause = match annotated {
        Annotated::Dense => "The volume is empty.".into(),
        Annotated::Except(value) => {
            format!("Every voxel has the value {value}; another value may mean unlabeled.")
        }
        Annotated::PaintedSlices(_) => {
            "Every voxel is 0: nothing was painted, or the wrong file was given.".into()
        }
        Annotated::Slices(_) => "No slice is stated; name those that were annotated.".into(),
        Annotated::Mask(_) => "The mask is 0 everywhere; it may be the wrong file.".into(),
    };
    LabelsError::NothingAnnotated {
        source_name: source.into(),
        annotated: annotated.flag(),
        cause,
    }
}

fn one_class_cause(annotated: &Annotated, value: i64) -> String {
    match annotated {
        Annotated::Dense => {
            "The wrong file may have been given, or only unlabeled voxels beside one class (then name their value with --unlabeled).".into()
        }
        Annotated::Except(0) if value != 0 => {
            "If only the structures were painted and 0 is also the background of the painted slices, use --painted-slices z (or y, x).".into()
        }
        Annotated::Except(unlabeled) => format!(
            "If {unlabeled} is a class and not the mark of unlabeled voxels, use --dense, or name another value with --unlabeled."
        ),
        Annotated::PaintedSlices(_) if value == 0 => {
            "Nothing is painted; the wrong file may have been given.".into()
        }
        Annotated::PaintedSlices(_) => "The painted slices hold no background.".into(),
        Annotated::Slices(_) if value == 0 => {
            "Nothing is painted, on these slices or elsewhere; the wrong file may have been given.".into()
        }
        Annotated::Slices(_) => "The stated slices hold no background.".into(),
        Annotated::Mask(_) => "The mask may cover too little.".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Geometry, Samples};

    const U: Option<usize> = None;

    fn volume(shape: [usize; 3], samples: Samples) -> Volume {
        Volume {
            geometry: Geometry::of_shape(shape),
            channels: 1,
            samples,
            scaling: None,
            notes: Vec::new(),
            placed: None,
        }
    }

    fn row(values: &[i16]) -> Volume {
        volume([1, 1, values.len()], Samples::I16(values.to_vec()))
    }

    fn classes(names: &[(i64, &str)]) -> Vec<Class> {
        let class = |&(value, name): &(i64, &str)| Class {
            value,
            name: name.into(),
        };
        names.iter().map(class).collect()
    }

    fn scheme(annotated: Annotated) -> LabelScheme {
        LabelScheme::new(vec![], annotated)
    }

    fn read(volume: &Volume, scheme: &LabelScheme) -> Result<Labels, String> {
        Labels::from_volume(volume, scheme, None, "l.nii").map_err(|e| e.to_string())
    }

    fn indices(labels: &Labels) -> Vec<Option<usize>> {
        labels.voxels.iter().map(|l| l.class()).collect()
    }

    #[test]
    fn numbers_of_objects_are_one_class_and_0_is_what_the_scheme_says() {
        let objects = |annotated| LabelScheme {
            objects: Some("nucleus".into()),
            ..scheme(annotated)
        };
        let v = row(&[7, 0, 300, -2, 1, 0]);
        let labels = read(&v, &objects(Annotated::Dense)).unwrap();
        assert_eq!(labels.classes, LabelScheme::of_objects("nucleus"));
        assert_eq!(
            indices(&labels),
            [Some(1), Some(0), Some(1), Some(1), Some(1), Some(0)]
        );
        // The value of the file, not that of the class, is what is not annotated.
        let labels = read(&v, &objects(Annotated::Except(1))).unwrap();
        assert_eq!(
            indices(&labels),
            [Some(1), Some(0), Some(1), Some(1), U, Some(0)]
        );
        let labels = read(&v, &objects(Annotated::Except(0))).unwrap();
        assert_eq!(labels.class_voxels(), [0, 4]);
        assert!(
            labels
                .require_two_classes(&Annotated::Except(0), "l")
                .is_err()
        );
        let many = (0..1000).map(|i| f64::from(i) * 1e9).collect();
        let many = volume([10, 10, 10], Samples::F64(many));
        let labels = read(
            &many,
            &objects(Annotated::PaintedSlices(vec![Direction::Z])),
        )
        .unwrap();
        assert_eq!(labels.class_voxels(), [1, 999]);
        assert!(
            read(&many, &scheme(Annotated::Dense))
                .unwrap_err()
                .contains("--objects NAME")
        );
    }

    #[test]
    fn values_that_look_numbered_are_asked_about_unless_somebody_named_them() {
        // 4 x 6 cubes of 3 x 3 x 3, numbered from 300 on in steps of 7.
        let value = |i: usize| {
            let [z, y, x] = position(i, [8, 24, 24]);
            let inside = (2..5).contains(&z) && y % 6 < 3 && x % 4 < 3;
            if inside {
                300 + 7 * (y / 6 * 6 + x / 4) as i64
            } else {
                0
            }
        };
        let values: Vec<i64> = (0..8 * 576).map(value).collect();
        let floats = values.iter().map(|v| *v as f32).collect();
        for samples in [Samples::I64(values), Samples::F32(floats)] {
            let v = volume([8, 24, 24], samples);
            let ask = |scheme: &LabelScheme| ask_whether_numbered(&v, scheme, None, "l.nii");
            for annotated in [
                Annotated::Dense,
                Annotated::Except(-1),
                Annotated::PaintedSlices(vec![Direction::Z]),
            ] {
                let question = ask(&scheme(annotated)).unwrap_err().to_string();
                for part in [
                    "l.nii: are its values classes",
                    "24 values but 0",
                    "--objects nucleus",
                    "--classes 0,300,307,",
                ] {
                    assert!(question.contains(part), "{part}: {question}");
                }
            }
            let named = LabelScheme::new(classes(&[(0, "a"), (300, "b")]), Annotated::Dense);
            let objects = LabelScheme {
                objects: Some("cube".into()),
                ..scheme(Annotated::Dense)
            };
            assert!(ask(&named).is_ok() && ask(&objects).is_ok());
        }
        assert!(
            ask_whether_numbered(&row(&[0, 1, 2, 2]), &scheme(Annotated::Dense), None, "l").is_ok()
        );
    }

    #[test]
    fn labels_a_hair_off_by_the_scaling_are_read_and_others_name_it() {
        let scaling = Some(crate::Scaling::new(9.0 / 65535.0, 4.5, true));
        let scaled = |values: &[f32]| Volume {
            scaling,
            ..volume([1, 1, values.len()], Samples::F32(values.to_vec()))
        };
        let v = scaled(&[0.0, 1.000_045_8, 2.000_061, 9.0, 0.999_984_7]);
        let labels = read(&v, &scheme(Annotated::Except(9))).unwrap();
        assert_eq!(indices(&labels), [Some(0), Some(1), Some(2), U, Some(1)]);
        assert_eq!(v.to_integers().unwrap(), [0, 1, 2, 9, 1]);
        let found = super::super::describe_values(&v, "l").unwrap();
        assert_eq!(found.values[0].value, 1);
        // A mask with the same scaling, in which 0 is as nearly 0.
        let by_mask = scheme(Annotated::Mask("m".into()));
        let mask = scaled(&[0.000_02, 1.000_02, 0.999_98, 0.0, 1.0]);
        let labels = Labels::from_volume(&row(&[5, 6, 7, 8, 6]), &by_mask, Some(&mask), "l");
        assert_eq!(indices(&labels.unwrap()), [U, Some(0), Some(1), U, Some(0)]);
        let off = scaled(&[0.0, 1.002]);
        let error = read(&off, &scheme(Annotated::Dense)).unwrap_err();
        assert!(
            error.contains("value 1.002") && error.contains("scl_slope"),
            "{error}"
        );
        let error = off.to_integers().unwrap_err().to_string();
        assert!(error.contains("scl_slope"), "{error}");
        // Without a scaling nothing rounds.
        let plain = volume([1, 1, 2], Samples::F32(vec![0.0, 0.999_984_7]));
        let error = read(&plain, &scheme(Annotated::Dense)).unwrap_err();
        assert!(
            error.contains("0.9999847") && !error.contains("scl_slope"),
            "{error}"
        );
    }

    #[test]
    fn dense_takes_every_value_as_a_class_in_ascending_order() {
        let labels = read(&row(&[7, -2, 0, 7]), &scheme(Annotated::Dense)).unwrap();
        assert_eq!(
            labels.classes,
            classes(&[(-2, "class -2"), (0, "class 0"), (7, "class 7")])
        );
        assert_eq!(indices(&labels), [Some(2), Some(0), Some(1), Some(2)]);
    }

    #[test]
    fn the_unlabeled_value_is_no_class() {
        let labels = read(&row(&[3, 0, 1, 2, 3]), &scheme(Annotated::Except(3))).unwrap();
        assert_eq!(labels.classes.len(), 3);
        assert_eq!(indices(&labels), [U, Some(0), Some(1), Some(2), U]);
        assert_eq!(labels.annotated_voxels(), 3);
        assert_eq!(labels.class_voxels(), [1, 1, 1]);
    }

    #[test]
    fn classes_given_keep_their_order_and_need_not_all_occur() {
        let scheme = LabelScheme::new(
            classes(&[(9, "nine"), (1, "one"), (5, "five")]),
            Annotated::Except(0),
        );
        let labels = read(&row(&[1, 9, 0, 1]), &scheme).unwrap();
        assert_eq!(indices(&labels), [Some(1), Some(0), U, Some(1)]);
        // One class of several given is fine here, and refused on request.
        let one = read(&row(&[1, 0, 1, 1]), &scheme).unwrap();
        let error = one
            .require_two_classes(&scheme.annotated, "l.nii")
            .unwrap_err();
        assert!(error.to_string().contains("1 (one)"), "{error}");
    }

    #[test]
    fn a_value_outside_the_classes_is_named_with_place_count_and_flags() {
        let scheme = LabelScheme::new(classes(&[(1, "cell"), (2, "membrane")]), Annotated::Dense);
        let v = volume([2, 1, 3], Samples::F32(vec![1.0, 2.0, 2.0, 1.0, 0.0, 0.0]));
        let error = read(&v, &scheme).unwrap_err();
        for part in [
            "l.nii: value 0 at [z, y, x] = [1, 0, 1] (2 such voxels)",
            "1 (cell), 2 (membrane)",
            "--unlabeled 0",
            "--painted-slices z",
        ] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }

    #[test]
    fn zero_is_background_in_painted_slices_and_unlabeled_elsewhere() {
        let v = volume(
            [3, 2, 2],
            Samples::U8(vec![0, 0, 0, 0, 0, 4, 4, 0, 0, 0, 0, 0]),
        );
        let labels = read(&v, &scheme(Annotated::PaintedSlices(vec![Direction::Z]))).unwrap();
        assert_eq!(
            labels.classes,
            classes(&[(0, "background"), (4, "class 4")])
        );
        let middle = [Some(0), Some(1), Some(1), Some(0)];
        assert_eq!(indices(&labels), [[U; 4], middle, [U; 4]].concat());
    }

    #[test]
    fn stated_slices_go_on_where_a_file_was_cut_to_its_paint() {
        let placed = Volume {
            placed: Some(Filled::Box([0..1, 0..2, 0..1])),
            ..volume([3, 2, 2], Samples::U8([vec![4], vec![0; 11]].concat()))
        };
        let read = |annotated| read(&placed, &scheme(annotated)).unwrap();
        let stated = read(Annotated::Slices("z=0,2".parse().unwrap()));
        assert_eq!(stated.annotated_slices()[0], [0, 2]);
        assert_eq!(stated.class_voxels(), [7, 1]);
        let painted = read(Annotated::PaintedSlices(vec![Direction::Z]));
        assert_eq!(painted.annotated_voxels(), 2);
    }

    #[test]
    fn only_the_mask_says_what_is_annotated() {
        let v = row(&[1, 2, 300, 1]);
        let by_mask = LabelScheme::new(
            classes(&[(1, "a"), (2, "b")]),
            Annotated::Mask("m.nii".into()),
        );
        let mask = row(&[1, -1, 0, 0]);
        let labels = Labels::from_volume(&v, &by_mask, Some(&mask), "l.nii").unwrap();
        assert_eq!(indices(&labels), [Some(0), Some(1), U, U]);

        let message = |mask: Option<&Volume>| {
            Labels::from_volume(&v, &by_mask, mask, "l.nii")
                .unwrap_err()
                .to_string()
        };
        assert!(message(Some(&row(&[1, 1]))).starts_with("m.nii: shape [1, 1, 2]"));
        assert!(message(Some(&row(&[0; 4]))).contains("The mask is 0 everywhere"));
        assert!(message(None).contains("which was not given"));
        let half = volume([1, 1, 4], Samples::F64(vec![0.5; 4]));
        assert!(message(Some(&half)).starts_with("m.nii: value 0.5"));
    }

    #[test]
    fn files_that_cannot_be_meant_name_the_likely_cause() {
        let ids = volume([1, 20, 20], Samples::U16((0..400).collect()));
        let cases = [
            (
                row(&[0, 0]),
                Annotated::Except(0),
                "Every voxel has the value 0",
            ),
            (
                row(&[0, 0]),
                Annotated::PaintedSlices(vec![Direction::Y]),
                "nothing was painted",
            ),
            (row(&[0, 1, 1]), Annotated::Except(0), "--painted-slices z"),
            (row(&[5, 5]), Annotated::Dense, "every annotated voxel is 5"),
            (ids, Annotated::Dense, "instance numbers"),
            (
                Volume {
                    channels: 3,
                    ..row(&[1, 2, 3])
                },
                Annotated::Dense,
                "3 channels",
            ),
            (
                volume([1, 1, 2], Samples::F32(vec![1.0, f32::NAN])),
                Annotated::Dense,
                "whole numbers",
            ),
            (
                volume([1, 1, 3], Samples::U8(vec![1, 2])),
                Annotated::Dense,
                "2 samples found for 3 voxels",
            ),
        ];
        for (v, annotated, part) in cases {
            let error = read(&v, &scheme(annotated)).unwrap_err();
            assert!(error.contains(part), "{part} in {error}");
        }
    }

    #[test]
    fn classes_of_a_volume_may_be_a_single_one() {
        let found = classes_of(&row(&[0, 0]), &scheme(Annotated::Dense), None, "l").unwrap();
        assert_eq!(found, classes(&[(0, "class 0")]));
    }
}
