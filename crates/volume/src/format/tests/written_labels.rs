//! Label files as other programs see them: a range to show, a colour for each
//! class, names; and the same values as without.

use std::fs;

use super::*;
use crate::labels::colour_of_class;

fn classes() -> Vec<Class> {
    let class = |value, name: &str| Class {
        value,
        name: name.to_owned(),
    };
    vec![
        class(0, "background"),
        class(1, "nucleus \u{3b1}"),
        class(9, "wall"),
    ]
}

fn labels(number_type: NumberType) -> Volume {
    let samples = each_type!(number_type, T, variant => {
        variant((0..60).map(|i| [0u8, 1, 9][i % 3] as T).collect())
    });
    let mut geometry = Geometry::of_shape([3, 4, 5]);
    geometry.spacing_mm = Some([2.0, 1.0, 1.0]);
    Volume::new(geometry, 1, samples).expect("valid")
}

#[test]
fn labels_are_read_back_as_they_were() {
    let folder = scratch();
    for number_type in NumberType::ALL {
        for name in ["a.nii", "a.nii.gz", "a.tif", "a.npy", "slices/"] {
            let before = labels(number_type);
            let path = folder.path().join(name);
            write_labels(&path, &before, &classes()).expect(name);
            let after = read(&path).expect(name);
            assert_eq!(after.samples, before.samples, "{name}");
            assert_eq!(after.channels, 1, "{name}");
            assert!(after.notes.is_empty(), "{name}: {:?}", after.notes);
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn tiff_shows_classes_in_imagej() {
    let folder = scratch();
    let path = folder.path().join("a.tif");
    let utf16 =
        |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    for (number_type, range) in [
        (NumberType::U8, "min=0.0\nmax=255.0\n"),
        (NumberType::U16, "min=0.0\nmax=9.0\n"),
        (NumberType::I16, "min=32768.0\nmax=32777.0\n"),
        (NumberType::F32, "min=0.0\nmax=9.0\n"),
    ] {
        write_labels(&path, &labels(number_type), &classes()).expect("written");
        let bytes = fs::read(&path).expect("read");
        let name = number_type.name();
        assert!(contains(&bytes, range.as_bytes()), "{name}");
        assert!(contains(&bytes, b"JIJIofni\x01\0\0\0"), "{name}");
        assert!(contains(&bytes, &utf16("9 wall\n")), "{name}");
        assert!(contains(&bytes, &utf16("1 nucleus \u{3b1}\n")), "{name}");
        // The table of a page: all reds, of which that of class 9 is one.
        let reds: Vec<u8> = [0, u16::from(colour_of_class(1)[0]) * 257]
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect();
        let tables = bytes.windows(4).filter(|w| *w == &reds[..]).count();
        assert_eq!(
            tables,
            if number_type == NumberType::U8 { 3 } else { 0 },
            "{name}"
        );
    }
    // Types that ImageJ lacks have the names in tifffile's description.
    write_labels(&path, &labels(NumberType::I64), &classes()).expect("written");
    let bytes = fs::read(&path).expect("read");
    assert!(contains(&bytes, br#"{"value":1,"name":"nucleus \u03b1"}"#));
    assert!(bytes.iter().take_while(|b| **b != b'}').count() < bytes.len());
}

#[test]
fn nifti_names_classes_and_their_range() {
    let folder = scratch();
    let path = folder.path().join("a.nii");
    write_labels(&path, &labels(NumberType::U8), &classes()).expect("written");
    let bytes = fs::read(&path).expect("read");
    let f32_at = |at: usize| f32::from_le_bytes(bytes[at..at + 4].try_into().expect("four"));
    let i32_at = |at: usize| i32::from_le_bytes(bytes[at..at + 4].try_into().expect("four"));
    assert_eq!(bytes[68..70], 1002i16.to_le_bytes());
    assert_eq!((f32_at(124), f32_at(128)), (9.0, 0.0));
    assert_eq!(bytes[348], 1, "extensions follow");
    assert_eq!(i32_at(356), 6, "a comment");
    assert_eq!(i32_at(352) % 16, 0);
    assert_eq!(f32_at(108), (352 + i32_at(352)) as f32);
    assert!(contains(&bytes[360..], "9 wall\n".as_bytes()));
    // An image has none of it.
    write(&path, &labels(NumberType::U8)).expect("written");
    let bytes = fs::read(&path).expect("read");
    assert_eq!(bytes[68..70], [0, 0]);
    assert_eq!(bytes.len(), 352 + 60);
}
