//! Probabilities as the network gives them, `[z, y, x, class]`, to what files hold,
//! `[class, z, y, x]`, in place: they are the largest thing that a prediction makes,
//! and a second copy would take as much memory as all that was planned.

/// Reorders `[plane, voxel, channel]` to `[channel, plane, voxel]`, where a plane has
/// `plane_voxels` voxels. Takes memory for two planes of all channels.
///
/// # Panics
/// When the length is not a multiple of `plane_voxels * channels`.
pub fn channels_first(values: &mut [f32], plane_voxels: usize, channels: usize) {
    if values.is_empty() || channels == 1 {
        return;
    }
    let plane = plane_voxels * channels;
    assert!(values.len().is_multiple_of(plane), "whole planes");
    // Each plane by itself, [voxel, channel] to [channel, voxel].
    let mut scratch = vec![0.0; plane];
    for values in values.chunks_exact_mut(plane) {
        for (i, of_voxel) in values.chunks_exact(channels).enumerate() {
            for (channel, value) in of_voxel.iter().enumerate() {
                scratch[channel * plane_voxels + i] = *value;
            }
        }
        values.copy_from_slice(&scratch);
    }
    // Then blocks of one plane and channel: [plane, channel] to [channel, plane].
    let planes = values.len() / plane;
    let mut moved = vec![false; planes * channels];
    let block = |i: usize| i * plane_voxels..(i + 1) * plane_voxels;
    // The block that belongs where block `to` is.
    let source = |to: usize| (to % planes) * channels + to / planes;
    let held = &mut scratch[..plane_voxels];
    for start in 0..moved.len() {
        if moved[start] || source(start) == start {
            continue;
        }
        held.copy_from_slice(&values[block(start)]);
        let mut to = start;
        loop {
            moved[to] = true;
            let from = source(to);
            if from == start {
                values[block(to)].copy_from_slice(held);
                break;
            }
            values.copy_within(block(from), to * plane_voxels);
            to = from;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_goes_to_its_place() {
        for planes in [1, 2, 3, 5, 8] {
            for channels in [1, 2, 3, 4, 7] {
                for plane_voxels in [1, 2, 6] {
                    let voxels = planes * plane_voxels;
                    let mut values: Vec<f32> = (0..voxels * channels).map(|i| i as f32).collect();
                    let expected: Vec<f32> = (0..channels)
                        .flat_map(|c| (0..voxels).map(move |i| (i * channels + c) as f32))
                        .collect();
                    channels_first(&mut values, plane_voxels, channels);
                    assert_eq!(values, expected, "{planes} {plane_voxels} {channels}");
                }
            }
        }
        channels_first(&mut [], 4, 2);
    }
}
