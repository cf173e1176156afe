//! Files made to do harm, and files that are honest but unsupported: each must
//! be refused with words that name the field.

use std::fs;
use std::io::Write as _;

use super::*;

/// Writes `bytes` under `name` and returns what reading them says.
fn refusal(name: &str, bytes: &[u8]) -> String {
    let folder = scratch();
    let path = folder.path().join(name);
    fs::write(&path, bytes).expect("written");
    match read(&path) {
        Ok(volume) => panic!("{name} was accepted as {:?}", volume.geometry),
        Err(error) => error.to_string(),
    }
}

/// The bytes of a sound file.
fn sound(name: &str, number_type: NumberType, channels: usize) -> Vec<u8> {
    let folder = scratch();
    let path = folder.path().join(name);
    write(&path, &volume(number_type, channels, [3, 4, 5])).expect("written");
    fs::read(path).expect("read")
}

#[test]
fn nifti_headers_that_lie_are_refused_by_field() {
    let whole = sound("a.nii", NumberType::I16, 1);
    let cases: &[(&str, usize, &[u8])] = &[
        ("sizeof_hdr", 0, &540i32.to_le_bytes()),
        ("dim[0]", 40, &9i16.to_le_bytes()),
        ("dim[2]", 44, &0i16.to_le_bytes()),
        ("dim[3]", 46, &(-5i16).to_le_bytes()),
        ("the length of the file", 46, &30000i16.to_le_bytes()),
        ("datatype", 70, &32i16.to_le_bytes()),
        ("vox_offset", 108, &f32::NAN.to_le_bytes()),
        ("vox_offset", 108, &(-1f32).to_le_bytes()),
        ("sform_code", 254, &1i16.to_le_bytes()),
        ("magic", 344, b"n+2\0"),
        ("magic", 344, b"ni1\0"),
    ];
    for &(field, at, value) in cases {
        let mut bytes = whole.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        let message = refusal("a.nii", &bytes);
        assert!(message.contains(field), "{field}: {message}");
    }
    let mut time = whole;
    for (at, size) in [(40, 5i16), (48, 2), (50, 3)] {
        time[at..at + 2].copy_from_slice(&size.to_le_bytes());
    }
    assert!(refusal("a.nii", &time).contains("one axis longer than 1"));
}

#[test]
fn a_compressed_header_cannot_reserve_the_whole_memory() {
    use std::io::Write as _;
    let mut header = sound("a.nii", NumberType::F64, 1)[..352].to_vec();
    for (at, size) in [
        (40, 4i16),
        (42, 32767),
        (44, 32767),
        (46, 32767),
        (48, 32767),
    ] {
        header[at..at + 2].copy_from_slice(&size.to_le_bytes());
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&header).expect("compressed");
    let message = refusal("a.nii.gz", &encoder.finish().expect("compressed"));
    assert!(
        message.contains("must fit") || message.contains("cannot hold"),
        "{message}"
    );
}

#[test]
fn a_flipped_bit_in_compressed_samples_is_noticed() {
    let mut bytes = sound("a.nii.gz", NumberType::U8, 1);
    // The last eight bytes are checksum and length.
    let checksum = bytes.len() - 8;
    bytes[checksum] ^= 1;
    assert!(refusal("a.nii.gz", &bytes).contains("checking the compressed samples"));
}

fn npy(dictionary: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((dictionary.len() as u16).to_le_bytes());
    bytes.extend(dictionary.as_bytes());
    bytes.extend(data);
    bytes
}

#[test]
fn npy_headers_that_lie_are_refused_by_field() {
    let header = |descr: &str, shape: &str| {
        format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n")
    };
    for (word, dictionary) in [
        ("shape", header("'<u2'", "(2, 3)")),
        ("shape", header("'<u2'", "()")),
        ("shape", header("'<u2'", "(0, 3, 4)")),
        ("shape", header("'<u2'", "(-1, 3, 4)")),
        ("shape", header("'<u2'", "(99999999999999999999999, 3, 4)")),
        (
            "must fit",
            header("'<u2'", "(4294967295, 4294967295, 4294967295)"),
        ),
        ("length of the file", header("'<u2'", "(4294967, 4294, 42)")),
        ("channels first", header("'<u2'", "(30, 64, 64, 3)")),
        ("descr", header("'<c8'", "(2, 3, 4)")),
        ("descr", header("'|O'", "(2, 3, 4)")),
        ("descr", header("'\u{e9}\u{e9}'", "(2, 3, 4)")),
        ("descr", header("[('a', '<u2')]", "(2, 3, 4)")),
        ("shape", header("'<u2'", &"(".repeat(60000))),
        (
            "fortran_order",
            "{'descr': '<u2', 'shape': (2, 3, 4)}\n".to_owned(),
        ),
        ("fortran_order", "nonsense".to_owned()),
    ] {
        let message = refusal("a.npy", &npy(&dictionary, &[0; 48]));
        assert!(message.contains(word), "{word}: {message}");
    }
    assert!(refusal("a.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff").contains("length"));
}

/// Offset of the first entry of a tag in a little-endian TIFF of one page.
fn entry(bytes: &[u8], tag: u16) -> usize {
    let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let page = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]) as usize;
    (0..usize::from(u16_at(page)))
        .map(|i| page + 2 + 12 * i)
        .find(|&at| u16_at(at) == tag)
        .expect("the tag is there")
}

#[test]
fn tiff_pages_that_lie_are_refused() {
    let whole = sound("a.tif", NumberType::U16, 1);
    let with = |tag: u16, value: u32| {
        let mut bytes = whole.clone();
        let at = entry(&bytes, tag) + 8;
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        bytes
    };
    for (name, tag, value, word) in [
        ("width", 256, u32::MAX, "cannot hold"),
        ("width", 256, 0, "page"),
        ("width", 256, 6, "page"),
        ("bits", 258, 1, ""),
        ("compression", 259, 34712, ""),
        ("photometric", 262, 5, ""),
        ("strip", 273, u32::MAX, "page"),
        ("format", 339, 9, ""),
    ] {
        let message = refusal("a.tif", &with(tag, value));
        assert!(message.contains(word), "{name}: {message}");
    }
    // The link after the last page leads back to the first.
    let mut ring = whole.clone();
    let mut at = 4;
    loop {
        let page =
            u32::from_le_bytes([ring[at], ring[at + 1], ring[at + 2], ring[at + 3]]) as usize;
        if page == 0 {
            break;
        }
        at = page + 2 + 12 * usize::from(u16::from_le_bytes([ring[page], ring[page + 1]]));
    }
    let first: [u8; 4] = [ring[4], ring[5], ring[6], ring[7]];
    ring[at..at + 4].copy_from_slice(&first);
    assert!(refusal("a.tif", &ring).contains("earlier page"));
    // Far more pages than there are.
    let text = whole
        .windows(8)
        .position(|w| w == b"images=3")
        .expect("an ImageJ description");
    let mut many = whole.clone();
    many[text..text + 8].copy_from_slice(b"images=9");
    assert!(refusal("a.tif", &many).contains("images"));
}

#[test]
fn pngs_that_lie_are_refused() {
    let folder = scratch();
    let path = folder.path().join("a.png");
    write(&path, &volume(NumberType::U8, 1, [1, 4, 5])).expect("written");
    let whole = fs::read(&path).expect("read");
    let mut wide = whole.clone();
    wide[16..20].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(refusal("a.png", &wide).contains("PNG"));
    let mut flipped = whole;
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x40;
    assert!(refusal("a.png", &flipped).contains("PNG"));
}

#[test]
fn writing_where_one_must_not_leaves_no_trace() {
    let folder = scratch();
    let file = folder.path().join("file");
    fs::write(&file, b"x").expect("written");
    let image = volume(NumberType::U8, 1, [3, 4, 5]);
    for name in [
        "file/a.nii",
        "absent/a.tif",
        "absent/deeper/folder",
        "a.img",
        "a.png",
    ] {
        let error = write(&folder.path().join(name), &image).expect_err(name);
        assert!(error.to_string().contains(name), "{error}");
    }
    // A plain file is no folder of slices to be replaced.
    assert!(write(&file, &image).is_err());
    assert_eq!(fs::read(&file).expect("still there"), b"x");
    let mut long = volume(NumberType::U8, 1, [1, 1, 5]);
    long.geometry.shape = [1, 1, 40000];
    long.samples = Samples::U8(vec![0; 40000]);
    let error = write(&folder.path().join("a.nii"), &long).expect_err("too long");
    assert!(error.to_string().contains("32767"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
}

/// Real volumes, where the variable says that there are some.
#[test]
fn real_volumes_are_read() {
    let Some(data) = std::env::var_os("UNET3D_DATA") else {
        // Not by `eprintln`, which is shown only where a test fails.
        let line = "skipped real_volumes_are_read: UNET3D_DATA names no folder of real volumes";
        let _ = writeln!(std::io::stderr(), "{line}");
        return;
    };
    let data = Path::new(&data);
    for (name, shape, spacing) in [
        ("fib25/image.tif", [250, 250, 250], None),
        (
            "nuclei/1135_image.tif",
            [100, 100, 100],
            Some([0.000284, 0.000127, 0.000127]),
        ),
        (
            "hippocampus/imagesTr/hippocampus_001.nii.gz",
            [35, 51, 35],
            Some([1.0; 3]),
        ),
    ] {
        let found = read(&data.join(name)).expect(name);
        assert_eq!(found.geometry.shape, shape, "{name}");
        assert!(
            close(found.geometry.spacing_mm, spacing),
            "{name} {:?}",
            found.geometry
        );
    }
}
