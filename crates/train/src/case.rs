//! One volume to learn from: its image as the network reads it, and its labels.

use unet3d_volume::place::{Apart, Relation, Why, relate};
use unet3d_volume::{Image, Labels};

use crate::Error;

/// An image with its annotation, voxel on voxel.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Name for people and reports.
    pub name: String,
    /// Whom or what the volume shows: cases of one subject are never split
    /// between training and validation.
    pub subject: Option<String>,
    /// Normalised, `[z, y, x, c]`.
    pub image: Image,
    /// `[z, y, x]`.
    pub labels: Labels,
    /// What was noticed while its files were read and a person should be told,
    /// as [`unet3d_volume::Volume::notes`].
    pub notes: Vec<String>,
}

impl Case {
    /// A case of an image and its labels, which lie on one grid
    /// ([`bring`](unet3d_volume::place::bring) puts them there).
    ///
    /// # Errors
    /// When their shapes or their places in the world differ.
    pub fn new(name: impl Into<String>, image: Image, labels: Labels) -> Result<Self, Error> {
        let name = name.into();
        if image.geometry.shape != labels.geometry.shape {
            return Err(Error::Data(format!(
                "{name}: the image is {:?} voxels (z, y, x), the labels are {:?}, they must be equal. \
                 Were the labels made for another image, or for a resampled one?",
                image.geometry.shape, labels.geometry.shape
            )));
        }
        let why = match relate(&image.geometry, &labels.geometry) {
            Ok(Relation::Same | Relation::FirstSays | Relation::SecondSays) => None,
            Ok(_) => Some(Why::Axes),
            Err(why) => Some(why),
        };
        if let Some(why) = why {
            let apart = Apart {
                first: (image.geometry, "the image".to_owned()),
                second: (labels.geometry, "the labels".to_owned()),
                why,
            };
            return Err(Error::Case {
                case: name,
                source: Box::new(unet3d_volume::Error::Apart(Box::new(apart))),
            });
        }
        Ok(Self {
            name,
            subject: None,
            image,
            labels,
            notes: Vec::new(),
        })
    }

    /// Number of annotated voxels of each class.
    pub fn voxels_by_class(&self) -> Vec<u64> {
        let mut counts = vec![0; self.labels.classes.len()];
        for class in self.labels.voxels.iter().filter_map(|l| l.class()) {
            counts[class] += 1;
        }
        counts
    }

    /// Bytes that the case keeps in memory.
    pub fn bytes(&self) -> u64 {
        (self.image.voxels.len() * size_of::<f32>() + self.labels.voxels.len()) as u64
    }
}
