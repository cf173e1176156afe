//! Files that are unusual and sound: they are read as the libraries that people
//! use read them, with a note where that is worth telling.

use std::fs;
use std::io::Write as _;

use super::*;

fn bytes_of(name: &str, volume: &Volume) -> Vec<u8> {
    let folder = scratch();
    let path = folder.path().join(name);
    write(&path, volume).expect("written");
    fs::read(path).expect("read")
}

fn read_bytes(name: &str, bytes: &[u8]) -> Result<Volume, Error> {
    let folder = scratch();
    let path = folder.path().join(name);
    fs::write(&path, bytes).expect("written");
    read(&path)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("compressed");
    encoder.finish().expect("compressed")
}

#[test]
fn nifti_headers_are_read_as_nibabel_reads_them() {
    let before = volume(NumberType::I16, 1, [3, 4, 5]);
    let whole = bytes_of("a.nii", &before);
    // Changes of the header, and a word of the note; none where nothing is told.
    /// Bytes put at offsets, and what is then told.
    type Changed<'a> = (&'a [(usize, &'a [u8])], Option<&'a str>);
    let cases: &[Changed<'_>] = &[
        // Sizes of 0 beyond z.
        (
            &[(40, &4i16.to_le_bytes()), (48, &0i16.to_le_bytes())],
            None,
        ),
        (
            &[
                (40, &5i16.to_le_bytes()),
                (48, &0i16.to_le_bytes()),
                (50, &0i16.to_le_bytes()),
            ],
            None,
        ),
        (
            &[
                (40, &7i16.to_le_bytes()),
                (50, &0i16.to_le_bytes()),
                (54, &0i16.to_le_bytes()),
            ],
            None,
        ),
        // Sizes of axes that are not used.
        (
            &[(48, &0i16.to_le_bytes()), (50, &(-7i16).to_le_bytes())],
            None,
        ),
        (&[(72, &8i16.to_le_bytes())], Some("bitpix is 8")),
        (&[(72, &0i16.to_le_bytes())], Some("bitpix is 0")),
        (&[(72, &(-16i16).to_le_bytes())], Some("bitpix is -16")),
        (&[(108, &0f32.to_le_bytes())], None),
        (&[(108, &352.7f32.to_le_bytes())], None),
    ];
    for (i, (changes, note)) in cases.iter().enumerate() {
        let mut bytes = whole.clone();
        for (at, value) in *changes {
            bytes[*at..at + value.len()].copy_from_slice(value);
        }
        for (name, bytes) in [("a.nii", bytes.clone()), ("a.nii.gz", gzip(&bytes))] {
            let after = read_bytes(name, &bytes).unwrap_or_else(|e| panic!("{i}: {e}"));
            assert_eq!(after.samples, before.samples, "{i}");
            assert_eq!(after.geometry.shape, [3, 4, 5], "{i}");
            match note {
                Some(word) => assert!(after.notes[0].contains(word), "{i}: {:?}", after.notes),
                None => assert!(after.notes.is_empty(), "{i}: {:?}", after.notes),
            }
        }
    }
    // Units: those of time and reserved bits say nothing of space.
    for (code, factor, is_noted) in [
        (2u8, 1.0, false),
        (2 | 8, 1.0, false),
        (3 | 16, 1e-3, false),
        (3 | 192, 1e-3, false),
        (5, 1.0, true),
        (7 | 8, 1.0, true),
    ] {
        let mut bytes = whole.clone();
        bytes[123] = code;
        bytes[80..84].copy_from_slice(&4f32.to_le_bytes());
        let after = read_bytes("a.nii", &bytes).unwrap_or_else(|e| panic!("{code}: {e}"));
        let x = after.geometry.spacing_mm.expect("stated")[2];
        assert!((x - 4.0 * factor).abs() < 1e-6 * factor, "{code}: {x}");
        let noted = after.notes.iter().any(|note| note.contains("xyzt_units"));
        assert_eq!(noted, is_noted, "{code}: {:?}", after.notes);
    }
}

#[test]
fn what_follows_a_compressed_volume_does_no_harm() {
    let before = volume(NumberType::I16, 1, [3, 4, 5]);
    let plain = bytes_of("a.nii", &before);
    let (head, tail) = plain.split_at(400);
    let whole = gzip(&plain);
    for (what, bytes, is_noted) in [
        ("zeros", [&whole[..], &[0; 512]].concat(), false),
        ("one zero", [&whole[..], &[0]].concat(), false),
        ("members", [gzip(head), gzip(tail)].concat(), false),
        (
            "zeros between members",
            [gzip(head), vec![0; 100], gzip(tail)].concat(),
            false,
        ),
        ("an empty member", [&whole[..], &gzip(b"")].concat(), false),
        ("junk", [&whole[..], b"junk"].concat(), true),
    ] {
        let after = read_bytes("a.nii.gz", &bytes).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(after.samples, before.samples, "{what}");
        assert_eq!(
            !after.notes.is_empty(),
            is_noted,
            "{what}: {:?}",
            after.notes
        );
    }
    assert!(read_bytes("a.nii.gz", &gzip(head)).is_err(), "half of it");
}

/// More than is believed without a look: 45 MB of a file of 50 kB.
#[test]
fn what_compresses_a_thousandfold_is_read() {
    let geometry = Geometry::of_shape([45, 1000, 1000]);
    let mut values = vec![0u8; 45_000_000];
    values[44_999_999] = 7;
    let before = Volume::new(geometry, 1, Samples::U8(values)).expect("valid");
    let folder = scratch();
    for name in ["a.nii.gz", "a.tif"] {
        let path = folder.path().join(name);
        write(&path, &before).expect("written");
        let bytes = fs::metadata(&path).expect("there").len();
        assert!(bytes < 400_000, "{name}: {bytes}");
        assert!(read(&path).expect(name).samples == before.samples, "{name}");
    }
    let slice = before.crop([44..45, 0..1000, 0..1000]).expect("a slice");
    let path = folder.path().join("a.png");
    write(&path, &slice).expect("written");
    assert!(read(&path).expect("read").samples == slice.samples);
}

#[test]
fn gaps_in_a_folder_of_slices_are_told() {
    let folder = scratch();
    for z in [1, 2, 3, 5, 6, 9] {
        let slice = volume(NumberType::U8, 1, [1, 4, 5]);
        write(&folder.path().join(format!("cell_{z:03}.tif")), &slice).expect("written");
    }
    let found = read(folder.path()).expect("read");
    assert_eq!(found.geometry.shape, [6, 4, 5]);
    assert_eq!(found.notes.len(), 1, "{:?}", found.notes);
    let note = &found.notes[0];
    assert!(note.contains("from 1 to 9 without 4, 7 to 8"), "{note}");
    for (z, more) in [(4, "4x6"), (7, "float")] {
        let mut odd = volume(NumberType::U8, 1, [1, 4, 5]);
        match more {
            "4x6" => odd = volume(NumberType::U8, 1, [1, 4, 6]),
            _ => odd.samples = Samples::F32(vec![0.0; 20]),
        }
        let name = format!("cell_{z:03}.tif");
        write(&folder.path().join(&name), &odd).expect("written");
        let error = read(folder.path()).expect_err(more).to_string();
        assert!(error.contains(&name), "{error}");
        fs::remove_file(folder.path().join(&name)).expect("removed");
    }
}

#[test]
fn arrays_whose_channels_seem_last_are_refused_with_the_cure() {
    let npy = |shape: &str, count: usize| {
        let text = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes.resize(bytes.len() + count, 0);
        read_bytes("a.npy", &bytes)
    };
    for (shape, count) in [
        ("(7, 32, 32, 5)", 35840),
        ("(7, 32, 32, 3)", 21504),
        ("(2, 64, 64, 8)", 65536),
        ("(20, 9, 9, 1)", 1620),
    ] {
        let error = npy(shape, count).expect_err(shape).to_string();
        assert!(error.contains("moveaxis"), "{shape}: {error}");
    }
    for (shape, count) in [
        ("(5, 7, 32, 32)", 35840),
        ("(2, 8, 9, 8)", 1152),
        ("(3, 64, 64, 16)", 196_608),
    ] {
        let found = npy(shape, count).unwrap_or_else(|e| panic!("{shape}: {e}"));
        assert!(found.channels < 6, "{shape}");
    }
}
