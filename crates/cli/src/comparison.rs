//! Whether the network was worth its training: what the held-out slices say of it and
//! of interpolation between the other slices.
//!
//! Both are scored on the same voxels. That is hard on interpolation: a held-out slice
//! is as far from the slices that are left as no voxel is once all slices are used.

use unet3d_train::fill::FillResult;

/// Difference of mean IoU below which neither is called better: slices cannot tell
/// differences of 0.012 from none (docs/decisions/0011), and nobody gains by 0.02.
const ABOUT_EQUAL: f64 = 0.02;

/// Two mean IoU on the slices held out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comparison {
    network: f64,
    interpolation: f64,
}

/// Which of both does better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Network,
    AboutEqual,
    Interpolation,
}

impl Comparison {
    /// What a fill says; `None` where one of both was not scored.
    pub(crate) fn of(result: &FillResult) -> Option<Self> {
        Some(Self {
            network: result.expected.as_ref()?.held_out.mean_iou?,
            interpolation: result.interpolation.as_ref()?.overall.mean_iou?,
        })
    }

    /// Which of both does better.
    pub(crate) fn verdict(self) -> Verdict {
        match self.network - self.interpolation {
            d if d > ABOUT_EQUAL => Verdict::Network,
            d if d < -ABOUT_EQUAL => Verdict::Interpolation,
            _ => Verdict::AboutEqual,
        }
    }

    /// What has to be said before everything else: that the network may not be what to
    /// use. `None` where it does better.
    pub(crate) fn first(self) -> Option<String> {
        let Self {
            network,
            interpolation,
        } = self;
        match self.verdict() {
            Verdict::Network => None,
            Verdict::AboutEqual => Some(format!(
                "Interpolation does about as well here as the network: on the held-out slices it reaches a mean IoU of \
                 {interpolation:.3}, the network {network:.3}. Elsewhere interpolation is likely to do better than that: \
                 no other voxel is as far from an annotated slice. `--method interpolate` takes seconds. For a better \
                 network, annotate more slices or train longer (--minutes)."
            )),
            Verdict::Interpolation => Some(format!(
                "Interpolation does better here than the network: on the held-out slices it reaches a mean IoU of \
                 {interpolation:.3}, the network {network:.3}. Fill with `--method interpolate`, which takes seconds. \
                 For a better network, annotate more slices or train longer (--minutes)."
            )),
        }
    }

    /// What is worth knowing after the scores where the network does better; `None`
    /// where [`first`](Self::first) has said all.
    pub(crate) fn after(self) -> Option<String> {
        (self.verdict() == Verdict::Network).then(|| {
            format!(
                "Without a network, interpolation between the other annotated slices reaches a mean IoU of {:.3} on the \
                 held-out slices; the network reaches {:.3}. Elsewhere interpolation is likely to do better than that: \
                 no other voxel is as far from an annotated slice.",
                self.interpolation, self.network
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(network: f64, interpolation: f64) -> Comparison {
        Comparison {
            network,
            interpolation,
        }
    }

    #[test]
    fn the_better_one_is_named_and_small_differences_are_none() {
        for (network, interpolation, verdict) in [
            (0.859, 0.392, Verdict::Network),
            (0.60, 0.57, Verdict::Network),
            (0.60, 0.59, Verdict::AboutEqual),
            (0.60, 0.60, Verdict::AboutEqual),
            (0.60, 0.61, Verdict::AboutEqual),
            (0.60, 0.63, Verdict::Interpolation),
            (0.0, 1.0, Verdict::Interpolation),
        ] {
            let found = of(network, interpolation).verdict();
            assert_eq!(found, verdict, "{network} {interpolation}");
        }
    }

    #[test]
    fn one_sentence_is_said_either_before_or_after_the_scores() {
        for (network, interpolation) in [(0.8, 0.4), (0.6, 0.6), (0.4, 0.8)] {
            let found = of(network, interpolation);
            let (first, after) = (found.first(), found.after());
            assert!(first.is_some() != after.is_some(), "{found:?}");
            let said = first.or(after).unwrap_or_default();
            for number in [network, interpolation] {
                assert!(said.contains(&format!("{number:.3}")), "{said}");
            }
        }
    }

    #[test]
    fn where_interpolation_does_better_it_is_advised_first() {
        let said = of(0.4, 0.8).first().expect("said first");
        for part in [
            "Interpolation does better here than the network",
            "--method interpolate",
            "annotate more slices",
            "--minutes",
        ] {
            assert!(said.contains(part), "{said}");
        }
    }
}
