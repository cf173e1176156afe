//! The values of a label image: whole numbers, where they first occur and how often.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::LabelsError;
use crate::Volume;
use crate::volume::position;

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
            slices: volume.geometry.shape[0],
        });
    }
    let expected = volume.geometry.voxels();
    let found = volume.samples.len();
    if found != expected {
        return Err(LabelsError::Length {
            source_name: source.into(),
            found,
            expected,
        });
    }
    let (mut first, mut count) = (None, 0);
    let _ = volume.try_each_whole(|i, value| {
        if value.is_none() {
            first.get_or_insert(i);
            count += 1;
        }
        ControlFlow::<()>::Continue(())
    });
    match first {
        None => Ok(()),
        Some(first) => Err(LabelsError::NotWhole {
            source_name: source.into(),
            value: volume.samples.text_at(first),
            position: position(first, volume.geometry.shape),
            count,
            scaling: volume.scaling,
        }),
    }
}

/// Calls `f(index, value)` for every voxel in order. The volume must have passed
/// [`check_whole`].
pub(super) fn for_each_value(volume: &Volume, mut f: impl FnMut(usize, i64)) {
    let _ = volume.try_each_whole(|i, value| {
        f(i, value.unwrap_or_default());
        ControlFlow::<()>::Continue(())
    });
}

/// The values of the voxels that `keep(index, value)` says, sorted.
pub(super) fn values_of(volume: &Volume, keep: impl Fn(usize, i64) -> bool) -> BTreeMap<i64, Seen> {
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
    for_each_value(volume, |i, value| {
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
