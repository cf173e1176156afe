//! A tile's input from the volume; outside the volume, its mirror image.
//!
//! Mirroring does not repeat the voxel at the border (... c b a b c ...), as in
//! Ronneberger et al. 2015, section 2, and goes on as often as needed, so that
//! the context may be larger than the volume. An axis of one voxel repeats it.

use unet3d_kernels::Threads;
use unet3d_volume::Image;

/// Fills `input` (`d h w c`) with the box of `image` that begins at the voxel
/// `start` (`[z, y, x]`, may lie outside) and has the shape `shape`.
pub(crate) fn gather(
    image: &Image,
    start: [isize; 3],
    shape: [usize; 3],
    threads: &Threads,
    input: &mut [f32],
) {
    let [_, rows, columns] = image.geometry.shape;
    let channels = image.channels;
    let source =
        |axis: usize, i: usize| reflect(start[axis] + i as isize, image.geometry.shape[axis]);
    // Columns inside the volume are one copy; the others are looked up.
    let inside_start = (-start[2]).clamp(0, shape[2] as isize) as usize;
    let inside_end =
        (columns as isize - start[2]).clamp(inside_start as isize, shape[2] as isize) as usize;
    let outside: Vec<(usize, usize)> = (0..inside_start)
        .chain(inside_end..shape[2])
        .map(|x| (x, source(2, x)))
        .collect();
    let plane = shape[1] * shape[2] * channels;
    threads.for_each_part(
        input,
        &mut [],
        shape[0],
        |z| z * plane..(z + 1) * plane,
        |z, part, _| {
            for (y, row) in part.chunks_exact_mut(shape[2] * channels).enumerate() {
                let first = (source(0, z) * rows + source(1, y)) * columns * channels;
                let from = &image.voxels[first..first + columns * channels];
                if inside_end > inside_start {
                    let offset = (start[2] + inside_start as isize) as usize * channels;
                    let inside = &mut row[inside_start * channels..inside_end * channels];
                    inside.copy_from_slice(&from[offset..offset + inside.len()]);
                }
                for &(to, x) in &outside {
                    row[to * channels..(to + 1) * channels]
                        .copy_from_slice(&from[x * channels..(x + 1) * channels]);
                }
            }
        },
    );
}

/// The voxel of an axis of `voxels` that stands at `i` of its endless mirror image.
fn reflect(i: isize, voxels: usize) -> usize {
    if voxels == 1 {
        return 0;
    }
    let last = voxels as isize - 1;
    let i = i.rem_euclid(2 * last);
    (if i > last { 2 * last - i } else { i }) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use unet3d_volume::Geometry;

    #[test]
    fn mirrors_without_repeating_the_border_and_as_often_as_needed() {
        let seen = |n: usize| (-6..9).map(|i| reflect(i, n)).collect::<Vec<_>>();
        assert_eq!(seen(1), [0; 15]);
        assert_eq!(seen(2), [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0]);
        assert_eq!(seen(4), [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2]);
    }

    #[test]
    fn boxes_inside_across_and_beyond_the_volume() {
        let shape = [2, 3, 5];
        let image = Image {
            geometry: Geometry::of_shape(shape),
            channels: 2,
            voxels: (0..60).map(|v| v as f32).collect(),
        };
        let threads = Threads::new(2).unwrap();
        for start in [[0, 0, 0], [-3, -7, -4], [1, 2, 3], [-1, 9, 20], [0, 1, -30]] {
            for tile in [[1, 1, 1], [2, 3, 5], [5, 2, 11], [1, 4, 2]] {
                let mut input = vec![f32::NAN; tile.iter().product::<usize>() * 2];
                gather(&image, start, tile, &threads, &mut input);
                for (i, found) in input.iter().enumerate() {
                    let at = [
                        i / 2 / tile[2] / tile[1],
                        i / 2 / tile[2] % tile[1],
                        i / 2 % tile[2],
                    ];
                    let [z, y, x] = [0, 1, 2].map(|a| reflect(start[a] + at[a] as isize, shape[a]));
                    let expected = ((z * 3 + y) * 5 + x) * 2 + i % 2;
                    assert_eq!(*found, expected as f32, "{start:?} {tile:?} {at:?}");
                }
            }
        }
    }
}
