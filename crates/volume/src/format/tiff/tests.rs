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

/// What a page is beside gray of one sample.
#[derive(Clone)]
struct Kind {
    width: u32,
    height: u32,
    bits: u16,
    packing: u16,
    more: Vec<(u16, u16, u32, u32)>,
}

const PLAIN: Kind = Kind {
    width: 5,
    height: 3,
    bits: 8,
    packing: 1,
    more: Vec::new(),
};

/// A little-endian file of these pages, each in one strip; `texts` are values of
/// tags of the first page.
fn file(pages: &[(Kind, Vec<u8>)], texts: &[(u16, u16, &[u8])]) -> Vec<u8> {
    let mut bytes = b"II*\0\0\0\0\0".to_vec();
    let mut link = 4;
    for (i, (kind, data)) in pages.iter().enumerate() {
        let data_at = bytes.len() as u32;
        bytes.extend(data);
        let mut entries = vec![
            (256, 4, 1, kind.width),
            (257, 4, 1, kind.height),
            (258, 3, 1, kind.bits.into()),
            (259, 3, 1, kind.packing.into()),
            (262, 3, 1, 1),
            (273, 4, 1, data_at),
            (279, 4, 1, data.len() as u32),
        ];
        for &(tag, field_type, text) in texts.iter().filter(|_| i == 0) {
            let size = if field_type == 4 { 4 } else { 1 };
            entries.push((
                tag,
                field_type,
                text.len() as u32 / size,
                bytes.len() as u32,
            ));
            bytes.extend(text);
        }
        entries.extend(&kind.more);
        entries.sort_unstable();
        let at = bytes.len() as u32;
        bytes[link..link + 4].copy_from_slice(&at.to_le_bytes());
        bytes.extend((entries.len() as u16).to_le_bytes());
        for (tag, field_type, count, value) in entries {
            bytes.extend(u16::to_le_bytes(tag));
            bytes.extend(u16::to_le_bytes(field_type));
            bytes.extend(u32::to_le_bytes(count));
            bytes.extend(u32::to_le_bytes(value));
        }
        link = bytes.len();
        bytes.extend([0; 4]);
    }
    bytes
}

fn read_bytes(bytes: &[u8]) -> Result<Volume, Error> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.tif");
    std::fs::write(&path, bytes).expect("written");
    crate::read(&path)
}

/// A page of 15 pixels that are all `value`.
fn plain(value: u8) -> (Kind, Vec<u8>) {
    (PLAIN, vec![value; 15])
}

/// A smaller page, marked with these entries.
fn small(more: &[(u16, u16, u32, u32)]) -> (Kind, Vec<u8>) {
    let kind = Kind {
        width: 2,
        height: 1,
        more: more.to_vec(),
        ..PLAIN
    };
    (kind, vec![99; 2])
}

fn firsts(volume: &Volume) -> Vec<i64> {
    let size = volume.geometry.shape[1] * volume.geometry.shape[2];
    (0..volume.samples.len() / size)
        .filter_map(|z| volume.samples.i64_at(z * size))
        .collect()
}

#[test]
fn previews_and_pyramids_are_passed_over() {
    for mark in [
        (254, 4, 1, 1),
        (254, 4, 1, 4),
        (254, 4, 1, 5),
        (255, 3, 1, 2),
    ] {
        // After each page, after all, before all.
        for order in [[0, 9, 1, 9, 2, 9], [0, 1, 2, 9, 9, 9], [9, 9, 9, 0, 1, 2]] {
            let pages: Vec<_> = order
                .iter()
                .map(|&v| if v == 9 { small(&[mark]) } else { plain(v) })
                .collect();
            let found = read_bytes(&file(&pages, &[])).expect("read");
            assert_eq!(firsts(&found), [0, 1, 2], "{mark:?} {order:?}");
            assert!(found.notes[0].contains("3 pages"), "{:?}", found.notes);
        }
    }
    // A file of previews alone is what it is.
    let alone = file(&[small(&[(254, 4, 1, 1)])], &[]);
    assert_eq!(read_bytes(&alone).expect("read").geometry.shape, [1, 1, 2]);
}

#[test]
fn pages_of_several_sizes_are_refused_for_that() {
    let larger = Kind {
        width: 50,
        height: 30,
        ..PLAIN
    };
    for pages in [
        vec![plain(0), plain(1), small(&[])],
        vec![small(&[]), plain(1)],
        vec![plain(0), (larger, vec![0; 1500])],
    ] {
        let error = read_bytes(&file(&pages, &[]))
            .expect_err("sizes")
            .to_string();
        assert!(
            error.contains("several sizes") && !error.contains("truncated"),
            "{error}"
        );
    }
}

#[test]
fn samples_of_few_bits_are_unpacked() {
    for (bits, width) in [(1u16, 11u32), (2, 5), (4, 3), (1, 8)] {
        let values: Vec<u8> = (0..3 * width)
            .map(|i| (i * 5 % (1 << bits)) as u8)
            .collect();
        let mut data = Vec::new();
        for row in values.chunks(width as usize) {
            let mut packed = vec![0u8; (row.len() * usize::from(bits)).div_ceil(8)];
            for (i, value) in row.iter().enumerate() {
                let at = i * usize::from(bits);
                packed[at / 8] |= value << (8 - usize::from(bits) - at % 8);
            }
            data.extend(packed);
        }
        let page = Kind {
            width,
            bits,
            ..PLAIN
        };
        let found = read_bytes(&file(&[(page, data)], &[])).expect("read");
        assert_eq!(found.samples, Samples::U8(values), "{bits} bits");
    }
}

#[test]
fn what_is_not_supported_is_named() {
    for (tag, value, word) in [
        (259, 4, "CCITT fax"),
        (259, 34712, "JPEG 2000"),
        (259, 50000, "Zstandard"),
        (259, 50001, "WebP"),
        (262, 5, "CMYK"),
        (262, 6, "YCbCr"),
        (262, 4, "mask"),
        (258, 12, "12 bits"),
        (317, 7, "Predictor"),
    ] {
        let mut bytes = file(&[plain(0)], &[(317, 3, &[1])]);
        let at = bytes
            .windows(4)
            .position(|w| w[..2] == u16::to_le_bytes(tag) && matches!(w[2..], [3, 0]))
            .expect("the tag is there");
        bytes[at + 4..at + 8].copy_from_slice(&1u32.to_le_bytes());
        bytes[at + 8..at + 12].copy_from_slice(&u32::to_le_bytes(value));
        let error = read_bytes(&bytes).expect_err(word).to_string();
        assert!(
            error.contains(word) && !error.contains("truncated"),
            "{error}"
        );
    }
    let half = Kind {
        bits: 16,
        more: vec![(339, 3, 1, 3)],
        ..PLAIN
    };
    let error = read_bytes(&file(&[(half, vec![0; 30])], &[]))
        .expect_err("half")
        .to_string();
    assert!(error.contains("16 bits, real numbers"), "{error}");
}

#[test]
fn pages_that_were_left_out_are_zero() {
    let deflated = {
        use std::io::Write as _;
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&[7; 15]).expect("compressed");
        encoder.finish().expect("compressed")
    };
    let packed = Kind {
        packing: 8,
        ..PLAIN
    };
    let pages = [(packed.clone(), deflated), (packed, Vec::new())];
    let found = read_bytes(&file(&pages, &[])).expect("read");
    assert_eq!(firsts(&found), [7, 0]);
}

#[test]
fn metamorph_stacks_are_read_or_refused_for_the_true_reason() {
    let planes: Vec<u8> = (0..4).flat_map(|z| [z; 15]).collect();
    let stack = |data: &[u8], count: usize, packing: u16| {
        let kind = Kind { packing, ..PLAIN };
        // UIC2: six numbers for each plane, counted as planes.
        let uic2 = vec![0; 24 * 4];
        let mut bytes = file(&[(kind, data.to_vec())], &[(33629, 4, &uic2)]);
        let at = bytes
            .windows(4)
            .rposition(|w| w == [0x5d, 0x83, 4, 0])
            .expect("the tag is there");
        bytes[at + 4..at + 8].copy_from_slice(&(count as u32).to_le_bytes());
        read_bytes(&bytes)
    };
    let found = stack(&planes, 4, 1).expect("read");
    assert_eq!(found.geometry.shape, [4, 3, 5]);
    assert_eq!(firsts(&found), [0, 1, 2, 3]);
    assert!(found.notes[0].contains("MetaMorph"), "{:?}", found.notes);
    assert_eq!(
        stack(&planes[..15], 1, 1)
            .expect("one plane")
            .geometry
            .shape,
        [1, 3, 5]
    );
    let error = stack(&planes, 4000, 1).expect_err("too few").to_string();
    assert!(error.contains("4000 planes"), "{error}");
    let error = stack(&planes, 4, 5).expect_err("compressed").to_string();
    assert!(
        error.contains("compressed") && !error.contains("truncated"),
        "{error}"
    );
}

#[test]
fn zeiss_stacks_have_spacing_and_no_time() {
    let block = |slices: i32, times: i32| {
        let mut block = vec![0; 200];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(16, &slices.to_le_bytes());
        put(24, &times.to_le_bytes());
        put(40, &1e-7f64.to_le_bytes());
        put(48, &2e-7f64.to_le_bytes());
        put(56, &5e-7f64.to_le_bytes());
        block
    };
    let pages = [
        plain(1),
        small(&[(254, 4, 1, 1)]),
        plain(2),
        small(&[(254, 4, 1, 1)]),
    ];
    let found = read_bytes(&file(&pages, &[(34412, 1, &block(2, 1))])).expect("read");
    assert_eq!(firsts(&found), [1, 2]);
    let spacing = found.geometry.spacing_mm.expect("stated");
    for (found, expected) in spacing.iter().zip([5e-4, 2e-4, 1e-4]) {
        assert!((found / expected - 1.0).abs() < 1e-9, "{spacing:?}");
    }
    for (slices, times) in [(1, 2), (7, 1), (-2, 1)] {
        let error = read_bytes(&file(&pages, &[(34412, 1, &block(slices, times))]));
        assert!(error.expect_err("refused").to_string().contains("Zeiss"));
    }
}

#[test]
fn channels_of_a_single_slice_are_noted_and_cured() {
    for channels in [1u8, 2, 3, 4, 5, 16] {
        let pages: Vec<_> = (0..channels).map(plain).collect();
        let text = format!(
            "ImageJ=1.11a\nimages={channels}\nchannels={channels}\nhyperstack=true\nmode=grayscale\n"
        );
        let found = read_bytes(&file(&pages, &[(270, 2, text.as_bytes())])).expect("read");
        assert_eq!(
            (found.channels, found.geometry.shape[0]),
            (channels.into(), 1)
        );
        assert_eq!(
            !found.notes.is_empty(),
            channels >= 4,
            "{channels}: {:?}",
            found.notes
        );
        if channels > 1 {
            let stack = found.channels_as_slices().expect("one slice");
            assert_eq!(
                (stack.channels, stack.geometry.shape[0]),
                (1, channels.into())
            );
            assert_eq!(firsts(&stack), (0..i64::from(channels)).collect::<Vec<_>>());
            assert!(stack.channels_as_slices().is_err());
        }
    }
}

#[test]
fn jpeg_strips_are_decoded() {
    // 8 x 8 pixels of one gray: a quantisation table of ones, the tables of
    // codes for one DC difference of 0 and an end of block.
    let mut jpeg = b"\xff\xd8\xff\xdb\x00\x43\x00".to_vec();
    jpeg.extend([1; 64]);
    jpeg.extend(b"\xff\xc0\x00\x0b\x08\x00\x08\x00\x08\x01\x01\x11\x00");
    for class in [0x00, 0x10] {
        jpeg.extend(b"\xff\xc4\x00\x14");
        jpeg.push(class);
        jpeg.extend([1]);
        jpeg.extend([0; 15]);
        jpeg.push(0);
    }
    jpeg.extend(b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\x3f\xff\xd9");
    let kind = Kind {
        width: 8,
        height: 8,
        packing: 7,
        ..PLAIN
    };
    let found = read_bytes(&file(&[(kind, jpeg.clone())], &[])).expect("read");
    assert_eq!(found.samples, Samples::U8(vec![128; 64]));
    let other = Kind {
        width: 9,
        height: 8,
        packing: 7,
        ..PLAIN
    };
    let error = read_bytes(&file(&[(other, jpeg)], &[])).expect_err("another size");
    assert!(error.to_string().contains("JPEG of 8 x 8"), "{error}");
}
