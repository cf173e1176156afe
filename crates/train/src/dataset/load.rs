//! Files become cases.

use std::path::PathBuf;

use unet3d_volume::labels::{annotation_warnings, ask_whether_numbered, classes_of};
use unet3d_volume::place::place_slices;
use unet3d_volume::{
    Annotated, Class, Error as VolumeError, Geometry, Image, LabelScheme, Labels, Normalise,
    Padding, Samples, Volume,
};

use super::{CaseFiles, DataSet, Split};
use crate::{Case, Error};

impl DataSet {
    /// Reads and normalises the cases of a split. Where the scheme names no
    /// classes, call [`settle_classes`](Self::settle_classes) first.
    ///
    /// # Errors
    /// When a file cannot be read, does not fit the scheme, or image and labels
    /// differ in shape; names the case.
    pub fn load(&self, split: Split, normalise: &Normalise) -> Result<Vec<Case>, Error> {
        let cases = self.of(split).map(|files| self.load_case(files, normalise));
        cases.collect()
    }

    /// Reads and normalises one case.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_case(&self, files: &CaseFiles, normalise: &Normalise) -> Result<Case, Error> {
        let in_case = |source| Error::Case {
            case: files.name.clone(),
            source: Box::new(source),
        };
        let volume = read_channels(&files.images)?;
        let (image, padding) =
            Image::normalised(&volume, normalise, Padding::LeftOut).map_err(in_case)?;
        let mut notes = volume.notes;
        let path = files.images.first().map(|path| path.display());
        notes.extend(
            path.into_iter()
                .flat_map(|path| padding.iter().map(move |found| format!("{path}: {found}."))),
        );
        drop(volume.samples);
        let (labels, of_labels) = self.labels(files, &volume.geometry)?;
        notes.extend(of_labels);
        let mut case = Case::new(&files.name, image, labels)?;
        case.notes = notes;
        case.subject.clone_from(&files.subject);
        Ok(case)
    }

    /// Fills in the classes of the scheme, where it names none, with the values
    /// found in all training cases: one case alone may not show all.
    ///
    /// # Errors
    /// When a label file cannot be read, or its values look like numbers of objects.
    pub fn settle_classes(&mut self) -> Result<(), Error> {
        if let Some(name) = &self.scheme.objects {
            self.scheme.classes = LabelScheme::of_objects(name);
        }
        if !self.scheme.classes.is_empty() {
            return Ok(());
        }
        let mut all: Vec<Class> = Vec::new();
        for files in self.of(Split::Train).chain(self.of(Split::Validate)) {
            let (volume, scheme, mask) = self.open_labels(files, None)?;
            let source = files.labels.display().to_string();
            ask_whether_numbered(&volume, &scheme, mask.as_ref(), &source)?;
            let found = classes_of(&volume, &scheme, mask.as_ref(), &source)?;
            all.extend(found);
        }
        all.sort_by_key(|class| class.value);
        all.dedup_by_key(|class| class.value);
        self.scheme.classes = all;
        Ok(())
    }

    /// The labels of a case, and what was noticed while reading them.
    fn labels(&self, files: &CaseFiles, image: &Geometry) -> Result<(Labels, Vec<String>), Error> {
        let (volume, scheme, mask) = self.open_labels(files, Some(image))?;
        let source = files.labels.display().to_string();
        let labels = Labels::from_volume(&volume, &scheme, mask.as_ref(), &source)?;
        let warnings = annotation_warnings(&volume, &labels, &scheme.annotated, &source)?;
        let mut notes = volume.notes;
        notes.extend(warnings);
        notes.extend(mask.into_iter().flat_map(|mask| mask.notes));
        Ok((labels, notes))
    }

    /// The label volume of a case, the scheme with the case's own mask, and the
    /// mask. Where the geometry of the image is not given, it is read only for labels
    /// that may not be understood without.
    fn open_labels(
        &self,
        files: &CaseFiles,
        image: Option<&Geometry>,
    ) -> Result<(Volume, LabelScheme, Option<Volume>), Error> {
        let scheme = files.scheme(&self.scheme);
        let mask = match &scheme.annotated {
            Annotated::Mask(path) => Some(unet3d_volume::read(path)?),
            _ => None,
        };
        let mut labels = unet3d_volume::read(&files.labels)?;
        let is_stated = matches!(scheme.annotated, Annotated::Slices(_));
        let may_be_part = labels.geometry.world_from_volume.is_none()
            && (is_stated || labels.geometry.shape[0] == 1 || files.labels.is_dir());
        let read;
        let image = match (image, files.images.first()) {
            (None, Some(path)) if may_be_part => {
                read = unet3d_volume::read(path)?.geometry;
                Some(&read)
            }
            _ => image,
        };
        if let (Some(image), Some(path)) = (image, files.images.first()) {
            let annotated = Some(&scheme.annotated);
            labels = place_slices(labels, &files.labels, path, image, annotated)?;
        }
        Ok((labels, scheme, mask))
    }
}

/// Reads one file with all channels, or several with one or more each, which
/// then become `f32`.
///
/// # Errors
/// When a file cannot be read or the shapes differ.
pub fn read_channels(paths: &[PathBuf]) -> Result<Volume, Error> {
    let [first_path, rest @ ..] = paths else {
        return Err(Error::Data("a case without an image file".into()));
    };
    let first = unet3d_volume::read(first_path)?;
    if rest.is_empty() {
        return Ok(first);
    }
    let geometry = first.geometry.clone();
    let mut channels = first.channels;
    let mut samples = first.samples.to_f32();
    let mut notes = first.notes;
    for path in rest {
        let next = unet3d_volume::read(path)?;
        if next.geometry.shape != geometry.shape {
            return Err(Error::file(
                path,
                format!(
                    "shape is {:?} (z, y, x), that of {} is {:?}; the channels of a case must have one shape",
                    next.geometry.shape,
                    first_path.display(),
                    geometry.shape
                ),
            ));
        }
        channels += next.channels;
        samples.extend(next.samples.to_f32());
        notes.extend(next.notes);
    }
    let volume: Result<_, VolumeError> = Volume::new(geometry, channels, Samples::F32(samples));
    let mut volume = volume?;
    volume.notes = notes;
    Ok(volume)
}
