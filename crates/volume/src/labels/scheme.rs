//! The label scheme: how a person says what the values of a label file mean.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, Serializer};

use super::{Class, Direction, Ends, Label, LabelsError, StatedSlices};

/// Which voxels of a label image are annotated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Annotated {
    /// Every voxel.
    Dense,
    /// Every voxel that does not have this value.
    Except(i64),
    /// The slices across these directions that hold any value but 0; in them 0
    /// is background. With several directions, a slice that only crosses painted
    /// slices of the others is not painted (see `painted.rs`).
    PaintedSlices(Vec<Direction>),
    /// These slices, painted or empty; in them 0 is background.
    Slices(StatedSlices),
    /// The voxels where this mask volume is not 0.
    /// A name that is no UTF-8 is kept in a configuration as far as text can.
    Mask(#[serde(serialize_with = "as_text")] PathBuf),
}

/// Configurations and models are text, and no name may keep one from being written.
fn as_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

impl Annotated {
    /// The flag that says this, for a sentence. For a command that is run: [`words`](Self::words).
    ///
    /// ```
    /// use unet3d_volume::Annotated;
    /// use unet3d_volume::labels::Direction::{X, Z};
    /// assert_eq!(Annotated::PaintedSlices(vec![Z, X]).flag(), "--painted-slices z,x");
    /// assert_eq!(Annotated::Slices("z=4,14".parse()?).flag(), "--annotated-slices z=4,14");
    /// # Ok::<(), String>(())
    /// ```
    pub fn flag(&self) -> String {
        match self {
            Self::Dense => "--dense".into(),
            Self::Except(value) => format!("--unlabeled {value}"),
            Self::PaintedSlices(directions) => {
                format!("--painted-slices {}", listed(directions))
            }
            Self::Slices(stated) => format!("--annotated-slices {stated}"),
            Self::Mask(path) => format!("--annotated {}", path.display()),
        }
    }

    /// The same as words of a command line, not quoted. A path that begins with a dash
    /// is named from the current folder, or it would be taken for a flag.
    pub fn words(&self) -> Vec<OsString> {
        match self {
            Self::Mask(path) => {
                let path = match path.as_os_str().as_encoded_bytes().first() {
                    Some(b'-') => &Path::new(".").join(path),
                    _ => path,
                };
                vec!["--annotated".into(), path.into()]
            }
            // No other flag has a space within a word.
            other => other.flag().split(' ').map(OsString::from).collect(),
        }
    }

    /// What becomes of a class between an annotated slice that shows it and one that does
    /// not: slices that somebody said are empty are where it ends.
    pub fn ends(&self) -> Ends {
        match self {
            Self::Slices(_) => Ends::Tapering,
            _ => Ends::Halfway,
        }
    }

    /// Whether 0 in an annotated slice is background.
    pub(crate) fn is_zero_background(&self) -> bool {
        matches!(self, Self::PaintedSlices(_) | Self::Slices(_))
    }
}

fn listed(directions: &[Direction]) -> String {
    let names: Vec<_> = directions.iter().map(|d| d.name()).collect();
    names.join(",")
}

/// How the values of label files are to be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelScheme {
    /// The classes in order of their index; empty where they are to be taken
    /// from the values found.
    pub classes: Vec<Class>,
    /// Which voxels are annotated.
    pub annotated: Annotated,
    /// The name of the one class that all values but 0 are, where they number objects
    /// of a kind; 0 is the background of these. The classes are then those of
    /// [`of_objects`](Self::of_objects).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<String>,
}

/// Name of the class that 0 is, where it is known to be none of what was painted.
pub(super) const BACKGROUND: &str = "background";

impl LabelScheme {
    /// A scheme under which each value is a class.
    pub fn new(classes: Vec<Class>, annotated: Annotated) -> Self {
        Self {
            classes,
            annotated,
            objects: None,
        }
    }

    /// The classes of numbered objects of this name: background, value 0, and they,
    /// value 1.
    pub fn of_objects(name: &str) -> Vec<Class> {
        let class = |value, name: &str| Class {
            value,
            name: name.into(),
        };
        vec![class(0, BACKGROUND), class(1, name)]
    }

    /// The value that stands for the class of a file's `value`.
    pub(super) fn class_value(&self, value: i64) -> i64 {
        match &self.objects {
            Some(_) => i64::from(value != 0),
            None => value,
        }
    }

    /// The flags that say this, as words of a command line, not quoted: whoever prints
    /// them quotes them for the shell.
    pub fn words(&self) -> Vec<OsString> {
        let classes: Vec<_> = self
            .classes
            .iter()
            .map(|class| format!("{}={}", class.value, class.name))
            .collect();
        let mut words = self.annotated.words();
        if let Some(name) = &self.objects {
            words.extend(["--objects".into(), name.into()]);
        } else if !classes.is_empty() {
            words.extend(["--classes".into(), classes.join(",").into()]);
        }
        words
    }

    /// Refuses what cannot be meant, before any file is read.
    ///
    /// # Errors
    /// Two classes of one value or name, a class whose value means unlabeled,
    /// more than [`Label::MAX_CLASSES`] classes, no direction or one twice, objects
    /// without a name or beside classes.
    pub fn check(&self) -> Result<(), LabelsError> {
        if self.classes.len() > Label::MAX_CLASSES {
            return Err(LabelsError::SchemeClasses {
                classes: self.classes.len(),
            });
        }
        for (i, class) in self.classes.iter().enumerate() {
            if let Some(other) = self.classes[..i]
                .iter()
                .find(|c| c.value == class.value || c.name == class.name)
            {
                return Err(LabelsError::SchemeTwice {
                    first: other.clone(),
                    second: class.clone(),
                });
            }
        }
        if let Some(name) = &self.objects {
            if name.trim().is_empty() || name == BACKGROUND {
                return Err(LabelsError::SchemeObjectsName { name: name.clone() });
            }
            if !self.classes.is_empty() && self.classes != Self::of_objects(name) {
                return Err(LabelsError::SchemeObjectsAndClasses { name: name.clone() });
            }
        }
        match &self.annotated {
            // Under numbered objects, 1 stands for all of them.
            Annotated::Except(_) if self.objects.is_some() => Ok(()),
            Annotated::Except(value) => match self.classes.iter().find(|c| c.value == *value) {
                Some(class) => Err(LabelsError::SchemeUnlabeledClass {
                    class: class.clone(),
                }),
                None => Ok(()),
            },
            Annotated::PaintedSlices(named) => {
                let twice = (1..named.len()).any(|i| named[..i].contains(&named[i]));
                match named.is_empty() || twice {
                    true => Err(LabelsError::SchemeAxes {
                        named: listed(named),
                    }),
                    false => Ok(()),
                }
            }
            // Slices are looked at where a volume says how many it has.
            Annotated::Dense | Annotated::Mask(_) | Annotated::Slices(_) => Ok(()),
        }
    }
}

/// Name of an axis as flags and messages call it.
pub(crate) fn axis_name(axis: usize) -> &'static str {
    ["z", "y", "x"].get(axis).copied().unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(value: i64, name: &str) -> Class {
        Class {
            value,
            name: name.into(),
        }
    }

    fn scheme(classes: &[Class], annotated: Annotated) -> LabelScheme {
        LabelScheme::new(classes.to_vec(), annotated)
    }

    #[test]
    fn objects_have_a_name_and_no_classes_beside() {
        let objects = |name: &str, classes: &[Class]| LabelScheme {
            objects: Some(name.into()),
            ..scheme(classes, Annotated::Except(1))
        };
        let both = LabelScheme::of_objects("nucleus");
        for good in [objects("nucleus", &[]), objects("nucleus", &both)] {
            assert!(good.check().is_ok(), "{good:?}");
            let words = good.words();
            assert_eq!(words[2..], ["--objects", "nucleus"], "{words:?}");
        }
        let other = [class(1, "nucleus")];
        let bad = [
            objects("", &[]),
            objects(" ", &[]),
            objects("background", &[]),
            objects("nucleus", &other),
        ];
        for scheme in bad {
            assert!(scheme.check().is_err(), "{scheme:?}");
        }
    }

    #[test]
    fn schemes_that_cannot_be_meant_are_refused() {
        let a = class(1, "a");
        let bad = [
            scheme(&[a.clone(), class(1, "b")], Annotated::Dense),
            scheme(&[a.clone(), class(2, "a")], Annotated::Dense),
            scheme(std::slice::from_ref(&a), Annotated::Except(1)),
            scheme(&[], Annotated::PaintedSlices(vec![])),
            scheme(&[], Annotated::PaintedSlices(vec![Direction::Y; 2])),
            scheme(
                &(0..256)
                    .map(|v| class(v, &v.to_string()))
                    .collect::<Vec<_>>(),
                Annotated::Dense,
            ),
        ];
        for scheme in bad {
            assert!(scheme.check().is_err(), "{scheme:?}");
        }
        assert!(scheme(&[a], Annotated::Except(0)).check().is_ok());
    }

    #[test]
    fn flags_are_those_a_person_types() {
        assert_eq!(Annotated::Dense.flag(), "--dense");
        assert_eq!(Annotated::Except(-1).flag(), "--unlabeled -1");
        assert_eq!(Annotated::Mask("m.nii".into()).flag(), "--annotated m.nii");
        let planes = vec![Direction::Axial, Direction::X];
        assert_eq!(
            Annotated::PaintedSlices(planes).flag(),
            "--painted-slices axial,x"
        );
    }

    #[test]
    fn flags_name_the_classes_that_were_named() {
        let words = |classes: &[Class]| scheme(classes, Annotated::Except(0)).words();
        let named = [class(1, "a b"), class(-2, "c")];
        assert_eq!(words(&[]), ["--unlabeled", "0"]);
        assert_eq!(
            words(&named),
            ["--unlabeled", "0", "--classes", "1=a b,-2=c"]
        );
    }

    #[test]
    fn a_mask_is_one_word_and_never_a_flag() {
        let words = |path: &str| Annotated::Mask(path.into()).words();
        assert_eq!(words("my mask.nii"), ["--annotated", "my mask.nii"]);
        let dashed = Path::new(".").join("-m.nii").into_os_string();
        assert_eq!(words("-m.nii"), ["--annotated".into(), dashed]);
    }
}
