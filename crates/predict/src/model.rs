//! A model: everything that turns an image into labels, as one value.
//!
//! A network alone is of little use: without the normalisation it was trained
//! with, the spacing it expects and the meaning of its classes it predicts
//! nonsense silently. So they travel together, in memory and in the file.

use std::fmt;

use serde::{Deserialize, Serialize};
use unet3d_metrics::Calibration;
use unet3d_unet::{Network, Parameters};
use unet3d_volume::normalise::{FoundPadding, Normalise, Padding};
use unet3d_volume::words::counted;
use unet3d_volume::{Class, Error, Image, Orientation, Volume};

use crate::ModelError;

/// A network, its parameters and the pipeline around it.
#[derive(Clone)]
pub struct Model {
    /// The network.
    pub network: Network,
    /// Its weights and running statistics.
    pub parameters: Parameters,
    /// What happens before and after the network.
    pub pipeline: Pipeline,
}

impl fmt::Debug for Model {
    /// What it is for, without its millions of parameters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("parameters", &self.network.parameter_count())
            .field("pipeline", &self.pipeline)
            .finish_non_exhaustive()
    }
}

/// What happens to an image before the network sees it, and what the network's
/// outputs mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pipeline {
    /// How samples become the network's input.
    pub normalise: Normalise,
    /// What becomes of padding then; models of earlier versions counted it.
    #[serde(default)]
    pub padding: Padding,
    /// Spacing of the training images in mm along `[z, y, x]`; `None` where
    /// their files did not say.
    pub spacing_mm: Option<[f64; 3]>,
    /// How the training images lay; images stored otherwise are turned for the
    /// network and the result back. `None` where their files did not say, and in
    /// models of versions that did not keep it: images are then taken as stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orientation: Option<Orientation>,
    /// The classes in the order of the network's outputs.
    pub classes: Vec<Class>,
    /// Input of one training step, voxels along `[z, y, x]`.
    pub patch: [usize; 3],
    /// How the network's probabilities become honest ones; `None` where nothing
    /// was held out that could tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// How the model came about (data, iterations, scores), for people and for
    /// `info`; nothing in prediction depends on it.
    pub record: serde_json::Value,
}

impl Pipeline {
    /// The image that the network sees, and the padding that was left out of it.
    ///
    /// # Errors
    /// As [`Image::from_volume`].
    pub fn image(&self, volume: &Volume) -> Result<(Image, Vec<FoundPadding>), Error> {
        Image::normalised(volume, &self.normalise, self.padding)
    }

    /// Temperature of the probabilities of a prediction that is a mean over mirror
    /// images or is not, 1 where none was fitted to such.
    pub fn temperature(&self, mirrored: bool) -> f64 {
        let fitted = self.calibration.filter(|c| c.mirrored == mirrored);
        fitted.map_or(1.0, |c| c.temperature)
    }
}

impl Model {
    /// Whether the parts agree with each other: as many classes as outputs, as
    /// many parameters as the network has, a spacing that is one.
    ///
    /// # Errors
    /// Names the field, the value found and the rule.
    pub(crate) fn check(&self) -> Result<(), ModelError> {
        let Self {
            network,
            parameters,
            pipeline,
        } = self;
        let config = network.config();
        let inconsistent = |field: &str, found: String, rule: String| {
            Err(ModelError::Inconsistent {
                field: field.to_owned(),
                found,
                rule,
            })
        };
        if pipeline.classes.len() != config.classes {
            return inconsistent(
                "pipeline.classes",
                counted(pipeline.classes.len(), "class"),
                format!("the network has {}", counted(config.classes, "output")),
            );
        }
        for (i, class) in pipeline.classes.iter().enumerate() {
            if pipeline.classes[..i].iter().any(|c| c.value == class.value) {
                return inconsistent(
                    "pipeline.classes",
                    format!("value {} twice", class.value),
                    "values of classes are distinct".to_owned(),
                );
            }
        }
        if let Some(spacing) = pipeline.spacing_mm
            && !spacing.iter().all(|s| s.is_finite() && *s > 0.0)
        {
            return inconsistent(
                "pipeline.spacing_mm",
                format!("{spacing:?}"),
                "a spacing is positive and finite".to_owned(),
            );
        }
        if let Some(calibration) = &pipeline.calibration
            && !(calibration.temperature.is_finite() && calibration.temperature > 0.0)
        {
            return inconsistent(
                "pipeline.calibration",
                format!("temperature {}", calibration.temperature),
                "a temperature is positive and finite".to_owned(),
            );
        }
        for (field, found, expected) in [
            (
                "parameters.values",
                parameters.values.len(),
                network.parameter_count(),
            ),
            (
                "parameters.running",
                parameters.running.len(),
                network.running_count(),
            ),
        ] {
            if found != expected {
                return inconsistent(
                    field,
                    counted(found, "number"),
                    format!("the network has {expected}"),
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unet3d_volume::{Geometry, Samples};

    #[test]
    fn models_of_earlier_versions_count_padding_as_they_learned_it() {
        let pipeline = Pipeline {
            normalise: Normalise::ZScore,
            padding: Padding::LeftOut,
            spacing_mm: None,
            orientation: None,
            classes: Vec::new(),
            patch: [8; 3],
            calibration: None,
            record: serde_json::Value::Null,
        };
        let mut json = serde_json::to_value(&pipeline).unwrap();
        let again: Pipeline = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(again, pipeline);
        json.as_object_mut().unwrap().remove("padding");
        let old: Pipeline = serde_json::from_value(json).unwrap();
        assert_eq!(old.padding, Padding::Counted);
        let gray = (0..8 * 16 * 16).map(|i| match i % 16 < 4 {
            true => -3024,
            false => i * 7919 % 211,
        });
        let geometry = Geometry::of_shape([8, 16, 16]);
        let volume = Volume::new(geometry, 1, Samples::I32(gray.collect())).unwrap();
        let (new, found) = pipeline.image(&volume).unwrap();
        let (counted, none) = old.image(&volume).unwrap();
        assert_eq!((found.len(), none.len()), (1, 0));
        assert_ne!(new, counted);
    }
}
