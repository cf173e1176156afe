//! Properties of TIFF files that the tests common to all formats do not reach.

use std::fs::File;
use std::io::BufWriter;

use super::*;
use crate::{Geometry, Samples};

#[test]
fn big_tiff_is_read_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("big.tif");
    let volume = Volume::new(
        Geometry::of_shape([3, 4, 5]),
        2,
        Samples::U16((0..120).collect()),
    )
    .expect("valid");
    let mut writer = BufWriter::new(File::create(&path).expect("created"));
    write::write_as(&mut writer, &path, &volume, None, true).expect("written");
    drop(writer);
    assert_eq!(&std::fs::read(&path).expect("there")[..4], b"II+\0");
    assert_eq!(crate::read(&path).expect("read"), volume);
}

/// One page of 1 x 17 x 16 pixels, three planes of uncompressed 16 x 16 tiles
/// that do not fit the rows.
#[test]
fn planes_in_tiles_that_do_not_fit_are_read() {
    let (width, height, tile) = (16u16, 17u16, 16u16);
    let tiles = 6u16;
    let tile_bytes = u32::from(tile) * u32::from(tile);
    // After the header: 11 entries, the link, and two lists of 32-bit numbers.
    let lists = 8 + 2 + 11 * 12 + 4;
    let samples = lists + 2 * 4 * u32::from(tiles) + 6;
    let mut bytes = b"II*\0\x08\0\0\0\x0b\0".to_vec();
    let mut entry = |tag: u16, field_type: u16, count: u32, value: u32| {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(field_type.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    };
    entry(256, 3, 1, width.into());
    entry(257, 3, 1, height.into());
    entry(258, 3, 3, samples - 6);
    entry(259, 3, 1, 1);
    entry(262, 3, 1, 2);
    entry(277, 3, 1, 3);
    entry(284, 3, 1, 2);
    entry(322, 3, 1, tile.into());
    entry(323, 3, 1, tile.into());
    entry(324, 4, tiles.into(), lists);
    entry(325, 4, tiles.into(), lists + 4 * u32::from(tiles));
    bytes.extend([0; 4]);
    for i in 0..u32::from(tiles) {
        bytes.extend((samples + i * tile_bytes).to_le_bytes());
    }
    for _ in 0..tiles {
        bytes.extend(tile_bytes.to_le_bytes());
    }
    bytes.extend([8, 0, 8, 0, 8, 0]);
    for tile in 0..tiles {
        bytes.extend(vec![tile as u8; tile_bytes as usize]);
    }

    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("planes.tif");
    std::fs::write(&path, bytes).expect("written");
    let found = crate::read(&path).expect("read");
    let expected = |c: usize, y: usize| (2 * c + y / 16) as u8;
    let values = (0..3).flat_map(|c| (0..17).flat_map(move |y| [expected(c, y); 16]));
    assert_eq!(found.channels, 3);
    assert_eq!(found.samples, Samples::U8(values.collect()));
}
