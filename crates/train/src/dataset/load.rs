//! Files become cases.
//!
//! The files of a case meet by their place in the world: each further channel and
//! the labels on the grid of the first channel, a mask on that of the labels. Cases
//! that are stored along other axes than the first are then turned to lie as it does.

use std::path::PathBuf;

use unet3d_volume::labels::{annotation_warnings, ask_whether_numbered, classes_of};
use unet3d_volume::place::{How, Outside, Turn, bring, bring_mask, place_slices};
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
    /// The first case that says how it lies settles the orientation of all that are
    /// read after it, those of other splits too: read what is learned from first.
    ///
    /// # Errors
    /// When a file cannot be read, does not fit the scheme, or the files of a case do
    /// not lie on one grid; names the case.
    pub fn load(&mut self, split: Split, normalise: &Normalise) -> Result<Vec<Case>, Error> {
        let files: Vec<CaseFiles> = self.of(split).cloned().collect();
        let mut cases = Vec::with_capacity(files.len());
        for files in &files {
            let case = self.load_case(files, normalise)?;
            self.settle_orientation(&case);
            cases.push(case);
        }
        Ok(cases)
    }

    /// Has all cases that are read from now on lie as this one does, where it says
    /// how and none said it before.
    pub fn settle_orientation(&mut self, case: &Case) {
        if !self.ignore_geometry && self.orientation.is_none() {
            self.orientation = case.image.geometry.orientation();
        }
    }

    /// Reads and normalises one case, turned as [`orientation`](Self::orientation) says.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_case(&self, files: &CaseFiles, normalise: &Normalise) -> Result<Case, Error> {
        let in_case = |source| Error::Case {
            case: files.name.clone(),
            source: Box::new(source),
        };
        let mut volume = read_channels(&files.images, self.ignore_geometry)?;
        // Before the image is turned: directions are those of the image as it is stored.
        let (mut labels, of_labels) = self.labels(files, &mut volume.geometry)?;
        let mut notes = std::mem::take(&mut volume.notes);
        notes.extend(of_labels);
        let stored_shape = volume.geometry.shape;
        let turn = self.turn(&volume.geometry);
        if let Some((turn, how)) = &turn {
            volume = turn.volume(&volume);
            labels = turn.labels(&labels);
            notes.push(format!("{}: {how}", files.images[0].display()));
        }
        let normalised = Image::normalised(&volume, normalise, Padding::LeftOut);
        let (image, padding) = normalised.map_err(|error| {
            in_case(match &turn {
                Some((turn, _)) => error.before_turn(turn, stored_shape),
                None => error,
            })
        })?;
        drop(volume);
        let path = files.images[0].display();
        notes.extend(padding.iter().map(|found| format!("{path}: {found}.")));
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

    /// How a case that lies as `image` is to be turned, and a sentence that says so.
    fn turn(&self, image: &Geometry) -> Option<(Turn, String)> {
        let (wanted, stored) = (self.orientation?, image.orientation()?);
        let turn = stored.turn_to(wanted);
        (!self.ignore_geometry && !turn.is_none()).then(|| {
            (
                turn,
                format!(
                    "is stored as {stored} (x, y, z), the cases before it as {wanted}; it was turned to lie \
                     as these do, without loss, and its slices are counted as turned."
                ),
            )
        })
    }

    /// The labels of a case on the grid of its image, and what was noticed while
    /// reading them. Where the image states less of its place than they do, it learns
    /// it from them.
    fn labels(
        &self,
        files: &CaseFiles,
        image: &mut Geometry,
    ) -> Result<(Labels, Vec<String>), Error> {
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
    /// mask, on the grid of its image. Where that is not given, it is read only for
    /// labels that may not be understood without.
    fn open_labels(
        &self,
        files: &CaseFiles,
        image: Option<&mut Geometry>,
    ) -> Result<(Volume, LabelScheme, Option<Volume>), Error> {
        let scheme = files.scheme(&self.scheme);
        let source = files.labels.display().to_string();
        let mut labels = unet3d_volume::read(&files.labels)?;
        // Directions and slices are those of the image.
        let has_directions = matches!(
            scheme.annotated,
            Annotated::Slices(_) | Annotated::PaintedSlices(_)
        );
        let may_be_part = labels.geometry.world_from_volume.is_none()
            && (labels.geometry.shape[0] == 1 || files.labels.is_dir());
        let mut read = None;
        let image = match image {
            None if has_directions || may_be_part => {
                let path = &files.images[..files.images.len().min(1)];
                let image = read_channels(path, self.ignore_geometry)?;
                Some(read.insert(image.geometry))
            }
            given => given,
        };
        if let (Some(image), Some(path)) = (image, files.images.first()) {
            let annotated = Some(&scheme.annotated);
            labels = place_slices(labels, &files.labels, path, image, annotated)?;
            let name = path.display().to_string();
            let how = How {
                by_index: self.ignore_geometry,
                outside: Outside::of_labels(annotated),
            };
            (labels, _) = bring(image, labels, [&name, &source], how)?;
        }
        let mask = match &scheme.annotated {
            Annotated::Mask(path) => {
                let names = [&source[..], &path.display().to_string()];
                let mask = unet3d_volume::read(path)?;
                let ignore = self.ignore_geometry;
                Some(bring_mask(&labels.geometry, mask, names, ignore)?)
            }
            _ => None,
        };
        Ok((labels, scheme, mask))
    }
}

/// What a person should know of cases that do not say how they lie, among others
/// that do: a sentence, `None` where all say it or none.
pub fn unoriented<'a>(cases: impl Iterator<Item = &'a Case>) -> Option<String> {
    let (mut silent, mut known) = (Vec::new(), None);
    for case in cases {
        match case.image.geometry.orientation() {
            Some(orientation) => known = known.or(Some(orientation)),
            None => silent.push(&case.name),
        }
    }
    let (known, first) = (known?, silent.first()?);
    let (who, are) = match silent.len() {
        1 => (
            format!("case {first}"),
            "does not state its orientation; it is",
        ),
        n => (
            format!("case {first} and {} more", n - 1),
            "do not state their orientation; they are",
        ),
    };
    Some(format!(
        "{who} {are} taken to be stored as the others, {known} (x, y, z)."
    ))
}

/// Reads one file with all channels, or several with one or more each, which
/// then become `f32` on the grid of the first. `by_index` matches them in the order in
/// which their voxels are stored, whatever the files state of their place.
///
/// # Errors
/// When a file cannot be read or does not lie on the grid of the first.
pub fn read_channels(paths: &[PathBuf], by_index: bool) -> Result<Volume, Error> {
    let [first_path, rest @ ..] = paths else {
        return Err(Error::Data("a case without an image file".into()));
    };
    let first = unet3d_volume::read(first_path)?;
    if rest.is_empty() {
        return Ok(first);
    }
    let mut geometry = first.geometry.clone();
    let mut channels = first.channels;
    let mut samples = first.samples.to_f32();
    let mut notes = first.notes;
    let how = How {
        by_index,
        outside: Outside::Refused,
    };
    for path in rest {
        let names = [first_path, path].map(|path| path.display().to_string());
        let next = unet3d_volume::read(path)?;
        let (next, _) = bring(&mut geometry, next, [&names[0], &names[1]], how)?;
        channels += next.channels;
        samples.extend(next.samples.to_f32());
        notes.extend(next.notes);
    }
    let volume: Result<_, VolumeError> = Volume::new(geometry, channels, Samples::F32(samples));
    let mut volume = volume?;
    volume.notes = notes;
    Ok(volume)
}
