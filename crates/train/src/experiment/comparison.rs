//! The three networks that the paper compares, made from any 3D network.
//!
//! | | |
//! |---|---|
//! | 3D without BN | the network without normalisation |
//! | 3D with BN | normalised by the statistics of each patch by itself. That is batch normalisation as the paper trains and predicts with it, a batch of one and its current statistics; said so (`instance`), it stays the same where a batch holds several patches |
//! | 2D with BN | the same channels; kernels 1x3x3, poolings 1x2x2 |
//!
//! The 2D network "treats all labelled slices as independent images" (the paper).
//! It learns from single z slices, patches one slice deep, deformed within the
//! slice alone. Annotated slices of the other two directions are lines in a z
//! slice; it may learn from these too, and sees all of the slice's gray values.
//! A step shows it as many slices as the 3D patches are deep, 16 at most.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use unet3d_unet::{Network, Normalisation, UNetConfig};

use crate::trainer::classes_of;
use crate::{Case, Error, TrainConfig};

/// Slices in a step of the 2D network at most: more make its steps longer while
/// their gradient hardly becomes better.
const MOST_SLICES: usize = 16;

/// One of the networks that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Comparison {
    /// 3D without normalisation.
    #[serde(rename = "3d")]
    Plain3d,
    /// 3D with batch normalisation.
    #[serde(rename = "3d-bn")]
    Normalised3d,
    /// 2D with batch normalisation.
    #[serde(rename = "2d-bn")]
    Normalised2d,
}

impl Comparison {
    /// All, in the order of the paper's tables.
    pub const ALL: [Self; 3] = [Self::Plain3d, Self::Normalised3d, Self::Normalised2d];

    /// As files and flags call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain3d => "3d",
            Self::Normalised3d => "3d-bn",
            Self::Normalised2d => "2d-bn",
        }
    }

    /// As tables call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Plain3d => "3D without BN",
            Self::Normalised3d => "3D with BN",
            Self::Normalised2d => "2D with BN",
        }
    }

    /// This network's relative of a 3D network.
    pub fn of(self, network: &UNetConfig) -> UNetConfig {
        let mut config = network.clone();
        config.normalisation = match self {
            Self::Plain3d => Normalisation::None,
            Self::Normalised3d | Self::Normalised2d => Normalisation::Instance,
        };
        if self == Self::Normalised2d {
            for level in &mut config.levels {
                (level.kernel[0], level.pool[0]) = (1, 1);
            }
        }
        config
    }

    /// How this network is trained on `cases`, where `base` names the 3D network
    /// and says all else: patch and batch settled, no validation. Both 3D
    /// networks get the same patches; the 2D network their extent along y and x.
    ///
    /// # Errors
    /// When the configured network is none or not 3D, or no patch fits the memory.
    pub fn configure(self, base: &TrainConfig, cases: &[Case]) -> Result<TrainConfig, Error> {
        let classes = classes_of(cases)?;
        let network = base.network(cases[0].image.channels, classes)?;
        if network.config().levels.iter().all(|l| l.kernel[0] == 1) {
            return Err(Error::config(
                "preset",
                base.preset,
                "a 3D network is needed: its 2D counterpart is made from it",
            ));
        }
        let normalised = Network::new(Self::Normalised3d.of(network.config()))?;
        let base = TrainConfig {
            validate_every: 0,
            labels: None,
            ..base.clone()
        };
        let mut config = base.settle(&normalised, cases)?;
        config.network = Some(self.of(network.config()));
        let (patch, batch) = (
            config.patch.unwrap_or_default(),
            config.batch.unwrap_or_default(),
        );
        // Said before the work rather than when the first step is planned.
        normalised.output_shape(patch)?;
        if self == Self::Normalised2d {
            config.patch = Some([1, patch[1], patch[2]]);
            config.batch = Some((batch * patch[0]).clamp(1, MOST_SLICES.max(batch)));
            config.augment = config.augment.in_plane();
        }
        Ok(config)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Comparison {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let names = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|network| network.name() == name)
            .ok_or_else(|| format!("there is no network {name:?}; they are {}", names()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::protocol::testing::dense;
    use super::*;
    use unet3d_unet::Preset;

    #[test]
    fn the_papers_networks_come_out() {
        let common = UNetConfig::preset(Preset::Common, 3, 3);
        let count = |config: UNetConfig| Network::new(config).unwrap().parameter_count();
        let of = |network: Comparison| network.of(&common);
        // The twin's levels are those of the preset.
        let twin = UNetConfig::preset(Preset::Twin2d, 3, 3);
        assert_eq!(of(Comparison::Normalised2d).levels, twin.levels);
        assert_eq!(count(of(Comparison::Normalised2d)), 6_822_659);
        assert_eq!(count(of(Comparison::Normalised3d)), 19_075_523);
        assert_eq!(count(of(Comparison::Plain3d)), 19_070_851);
    }

    #[test]
    fn the_2d_network_sees_single_slices_deformed_within_themselves() {
        let cases = [dense("a", [40, 64, 64])];
        let base = TrainConfig::default();
        let configure = |n: Comparison| n.configure(&base, &cases).unwrap();
        let flat = configure(Comparison::Normalised2d);
        let deep = configure(Comparison::Normalised3d);
        let patch = deep.patch.unwrap();
        assert!(patch[0] > 16);
        assert_eq!(flat.patch.unwrap(), [1, patch[1], patch[2]]);
        assert_eq!(flat.batch, Some(16));
        assert_eq!(flat.augment.elastic.std_voxels, [0.0, 4.0, 4.0]);
        assert_eq!(flat.augment.rotation_degrees[1..], [[0.0; 2]; 2]);
        assert_eq!(deep.augment, base.augment);
        let plain = configure(Comparison::Plain3d);
        assert_eq!((plain.patch, plain.batch), (deep.patch, deep.batch));
    }

    #[test]
    fn a_2d_network_has_no_2d_counterpart() {
        let base = TrainConfig {
            preset: Preset::Twin2d,
            ..TrainConfig::default()
        };
        let error = Comparison::Plain3d.configure(&base, &[dense("a", [8; 3])]);
        assert!(error.unwrap_err().to_string().contains("3D network"));
    }

    #[test]
    fn names_are_read_back() {
        for network in Comparison::ALL {
            assert_eq!(network.name().parse(), Ok(network));
        }
        assert!("4d".parse::<Comparison>().is_err());
    }
}
