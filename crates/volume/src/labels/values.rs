//! The values of a label image: whole numbers, where they first occur and how often.

use std::collections::BTreeMap;

use super::LabelsError;
use crate::samples::{Sample, each_samples};
use crate::volume::position;
use crate::{Samples, Volume};

/// Where a value was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Seen {
    /// Index of the first voxel that has the value.
    pub(super) first: usize,
    /// Number of voxels that have it.
    pub(super) count: usize,
}

/// Refuses what cannot be a label image under any scheme: several channels, a
/// wrong number of samples, values that are not whole.
pub(super) fn check_whole(volume: &Volume, source: &str) -> Result<(), LabelsError> {
    if volume.channels != 1 {
        return Err(LabelsError::Channels {
            source_name: source.into(),
            channels: volume.channels,
        });
    }
    let expected = volume.geometry.voxels();
    each_samples!(&volume.samples, s => {
        if s.len() != expected {
            return Err(LabelsError::Length {
                source_name: source.into(),
                found: s.len(),
                expected,
            });
        }
        let Some(first) = s.iter().position(|v| v.whole().is_none()) else {
            return Ok(());
        };
        Err(LabelsError::NotWhole {
            source_name: source.into(),
            value: volume.samples.text_at(first),
            position: position(first, volume.geometry.shape),
            count: s.iter().filter(|v| v.whole().is_none()).count(),
        })
    })
}

/// Calls `f(index, value)` for every voxel in order. The samples must have
/// passed [`check_whole`].
pub(super) fn for_each_value(samples: &Samples, mut f: impl FnMut(usize, i64)) {
    each_samples!(samples, s => for (i, v) in s.iter().enumerate() {
        f(i, v.whole().unwrap_or_default());
    });
}

/// The values of the voxels that `keep(index, value)` says, sorted.
pub(super) fn values_of(
    samples: &Samples,
    keep: impl Fn(usize, i64) -> bool,
) -> BTreeMap<i64, Seen> {
    let mut seen: BTreeMap<i64, Seen> = BTreeMap::new();
    // Neighbours mostly have the same value: runs are counted, then looked up.
    let mut run: Option<(i64, Seen)> = None;
    let mut close = |run: Option<(i64, Seen)>| {
        if let Some((value, part)) = run {
            seen.entry(value)
                .and_modify(|s| s.count += part.count)
                .or_insert(part);
        }
    };
    for_each_value(samples, |i, value| {
        if !keep(i, value) {
            return;
        }
        match &mut run {
            Some((v, part)) if *v == value => part.count += 1,
            _ => close(run.replace((value, Seen { first: i, count: 1 }))),
        }
    });
    close(run);
    seen
}
