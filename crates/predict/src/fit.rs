//! Whether an image suits a model, before any work is done.

use unet3d_volume::Geometry;
use unet3d_volume::place::Turn;

use crate::{Error, Model};

/// Ratio of spacings above which structures look to the network so much larger
/// or smaller than in training that results suffer visibly. Augmentation scales
/// by some 10 to 25 %, and differences of that size are harmless.
const SPACING_RATIO: f64 = 1.5;

/// How an image is to be turned before this model sees it, and a sentence that says
/// so; `None` where it lies as the training images did, or one of the two is not
/// known to lie in any way.
pub fn turn_for(model: &Model, geometry: &Geometry) -> Option<(Turn, String)> {
    let (learned, stored) = (model.pipeline.orientation?, geometry.orientation()?);
    let turn = stored.turn_to(learned);
    (!turn.is_none()).then(|| {
        (
            turn,
            format!(
                "the image is stored as {stored}, the model learned from images stored as {learned}: \
                 it was turned for the network, and the result back, without loss"
            ),
        )
    })
}

/// Compares an image (normalised or not, and turned by [`turn_for`] where that says so) with what the model was trained on.
/// Returns warnings in words: a prediction is possible but likely poor.
///
/// # Errors
/// When the image has another number of channels than the model.
pub fn check_fit(
    model: &Model,
    channels: usize,
    geometry: &Geometry,
) -> Result<Vec<String>, Error> {
    let expected = model.network.config().in_channels;
    if channels != expected {
        return Err(Error::Channels {
            image: channels,
            model: expected,
        });
    }
    let mut warnings = Vec::new();
    if let (Some(learned), None) = (model.pipeline.orientation, geometry.orientation()) {
        warnings.push(format!(
            "the image does not state its orientation; it is taken to be stored as those that the model \
             learned from, {learned} (x, y, z)"
        ));
    }
    if let (Some(image), Some(trained)) = (geometry.spacing_mm, model.pipeline.spacing_mm) {
        warnings.extend(compare_spacing(image, trained));
    }
    Ok(warnings)
}

/// A warning where the spacings (mm along z, y, x) differ strongly.
fn compare_spacing(image: [f64; 3], trained: [f64; 3]) -> Option<String> {
    let (axis, ratio) = (0..3)
        .map(|a| (a, (image[a] / trained[a]).max(trained[a] / image[a])))
        .filter(|(_, ratio)| ratio.is_finite())
        .max_by(|a, b| a.1.total_cmp(&b.1))?;
    let text = |s: [f64; 3]| format!("{:.4} x {:.4} x {:.4} mm", s[0], s[1], s[2]);
    (ratio > SPACING_RATIO).then(|| {
        format!(
            "spacing (z, y, x): the image has {}, the model was trained at {}, a factor of {ratio:.2} along {}. \
             Structures appear in another size than in training; resample the image to the model's spacing",
            text(image),
            text(trained),
            ['z', 'y', 'x'][axis],
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_strong_differences_of_spacing_are_told() {
        assert_eq!(compare_spacing([2.0, 1.76, 1.76], [2.04, 1.76, 1.76]), None);
        assert_eq!(compare_spacing([0.0, 1.0, 1.0], [1.0, 1.0, 1.0]), None);
        for (image, trained) in [([4.0, 1.0, 1.0], 2.0), ([1.0, 1.0, 1.0], 2.0)] {
            let text = compare_spacing(image, [trained, 1.0, 1.0]).unwrap();
            assert!(text.contains("a factor of 2.00 along z"), "{text}");
        }
    }
}
