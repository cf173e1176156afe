//! Names of files, byte for byte.
//!
//! A name need not be UTF-8: archives made under Latin-1 unpack to names that
//! are not. Names are therefore cut as the system keeps them, never by way of
//! text, so that a result bears exactly the name of its image.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Endings of two parts that count as one.
const DOUBLE: [&str; 5] = [".nii.gz", ".hdr.gz", ".img.gz", ".ome.tif", ".ome.tiff"];

/// The name of a file without its ending, where `.nii.gz` and `.ome.tif` are one
/// ending each. What follows the last dot is an ending only where it holds a
/// letter: `scan.1` has none.
///
/// ```
/// use unet3d_volume::name::stem;
/// assert_eq!(stem("a/brain.nii.gz".as_ref()), "brain");
/// assert_eq!(stem("scan.1".as_ref()), "scan.1");
/// ```
pub fn stem(path: &Path) -> OsString {
    let name = path.file_name().unwrap_or_default();
    without_last(name, ending_bytes(name))
}

/// The ending that [`stem`] leaves out, with its dot; empty where there is none.
pub fn ending(path: &Path) -> &str {
    let name = path.file_name().unwrap_or_default();
    let bytes = name.as_encoded_bytes();
    let ending = &bytes[bytes.len() - ending_bytes(name)..];
    // Endings are ASCII, or they are none.
    std::str::from_utf8(ending).unwrap_or_default()
}

/// The same folder and stem with another ending: `brain.nii.gz` with `.html` is
/// `brain.html`.
pub fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = stem(path);
    name.push(ending);
    path.with_file_name(name)
}

/// Whether a name ends so, in any case of its letters.
pub fn ends_with(name: &OsStr, ending: &str) -> bool {
    let (bytes, ending) = (name.as_encoded_bytes(), ending.as_bytes());
    bytes.len() >= ending.len() && bytes[bytes.len() - ending.len()..].eq_ignore_ascii_case(ending)
}

/// A name without this ending, in any case of its letters; `None` where it ends
/// otherwise or nothing would be left. The ending must be ASCII.
pub fn strip_ending(name: &OsStr, ending: &str) -> Option<OsString> {
    let applies = ending.is_ascii() && name.len() > ending.len() && ends_with(name, ending);
    applies.then(|| without_last(name, ending.len()))
}

/// `case_0001` is channel 1 of `case`, as nnU-Net names the files of channels;
/// `None` for a name without such a number.
pub fn channel(stem: &OsStr) -> Option<(OsString, usize)> {
    const DIGITS: usize = 4;
    let bytes = stem.as_encoded_bytes();
    let at = bytes.len().checked_sub(DIGITS + 1).filter(|at| *at > 0)?;
    let number = std::str::from_utf8(&bytes[at..]).ok()?.strip_prefix('_')?;
    let is_number = number.bytes().all(|b| b.is_ascii_digit());
    let number = is_number.then(|| number.parse().ok()).flatten()?;
    Some((without_last(stem, DIGITS + 1), number))
}

/// Whether the system, not a person, put a file there: hidden files (macOS leaves
/// `._x` beside every `x` it copies), and what Windows and macOS keep of a
/// folder's looks.
pub fn is_of_system(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    let by_name = ["Thumbs.db", "ehthumbs.db", "desktop.ini", "Icon\r"];
    name.as_encoded_bytes().starts_with(b".")
        || by_name.iter().any(|own| name.eq_ignore_ascii_case(own))
}

/// Length of the ending of a name, its dot included.
fn ending_bytes(name: &OsStr) -> usize {
    if let Some(ending) = DOUBLE
        .iter()
        .find(|e| name.len() > e.len() && ends_with(name, e))
    {
        return ending.len();
    }
    let bytes = name.as_encoded_bytes();
    match bytes.iter().rposition(|b| *b == b'.') {
        // A dot in front hides a file, it begins no ending.
        Some(dot) if dot > 0 => {
            let ending = &bytes[dot + 1..];
            let is_ending = ending.is_ascii() && ending.iter().any(u8::is_ascii_alphabetic);
            if is_ending { bytes.len() - dot } else { 0 }
        }
        _ => 0,
    }
}

/// A name without its last `count` bytes, which are ASCII.
#[cfg(unix)]
fn without_last(name: &OsStr, count: usize) -> OsString {
    use std::os::unix::ffi::OsStrExt;
    let bytes = name.as_bytes();
    OsStr::from_bytes(&bytes[..bytes.len() - count]).to_owned()
}

/// A name without its last `count` bytes, which are ASCII and therefore as many
/// code units.
#[cfg(windows)]
fn without_last(name: &OsStr, count: usize) -> OsString {
    use std::os::windows::ffi::{OsStrExt, OsStringExt};
    let units: Vec<u16> = name.encode_wide().collect();
    OsString::from_wide(&units[..units.len() - count])
}

/// A name without its last `count` bytes, which are ASCII.
#[cfg(not(any(unix, windows)))]
fn without_last(name: &OsStr, count: usize) -> OsString {
    let text = name.to_string_lossy();
    text[..text.len() - count].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stems_and_endings() {
        for (name, of_stem, of_ending) in [
            ("a/brain.nii.gz", "brain", ".nii.gz"),
            ("BRAIN.NII.GZ", "BRAIN", ".NII.GZ"),
            ("x.ome.tif", "x", ".ome.tif"),
            ("x.tif", "x", ".tif"),
            ("scan1.5.tif", "scan1.5", ".tif"),
            ("slices", "slices", ""),
            ("a.1", "a.1", ""),
            (".hidden", ".hidden", ""),
            (".nii.gz", ".nii", ".gz"),
            ("läsion.png", "läsion", ".png"),
            ("punkt.ä", "punkt.ä", ""),
            ("", "", ""),
        ] {
            let path = Path::new(name);
            assert_eq!(stem(path), of_stem, "{name}");
            assert_eq!(ending(path), of_ending, "{name}");
        }
        assert_eq!(
            with_ending(Path::new("a/b.nii.gz"), ".html"),
            Path::new("a/b.html")
        );
        assert_eq!(strip_ending("c.TIF".as_ref(), ".tif"), Some("c".into()));
        assert_eq!(strip_ending(".tif".as_ref(), ".tif"), None);
        assert_eq!(strip_ending("c.png".as_ref(), ".tif"), None);
    }

    #[test]
    fn channels_have_four_digits() {
        for (name, expected) in [
            ("a_0000", Some(("a", 0))),
            ("a_b_0012", Some(("a_b", 12))),
            ("a_000", None),
            ("a_00000", None),
            ("a0000", None),
            ("_0000", None),
            ("a_+001", None),
            ("ä_0001", Some(("ä", 1))),
        ] {
            let expected = expected.map(|(case, number)| (OsString::from(case), number));
            assert_eq!(channel(name.as_ref()), expected, "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_no_text_are_kept() {
        use std::os::unix::ffi::OsStrExt;
        let name = |bytes: &'static [u8]| OsStr::from_bytes(bytes);
        let path = Path::new(name(b"L\xe4sion_0001.nii.gz"));
        assert_eq!(stem(path), name(b"L\xe4sion_0001"));
        assert_eq!(ending(path), ".nii.gz");
        assert_eq!(
            channel(&stem(path)),
            Some((name(b"L\xe4sion").to_owned(), 1))
        );
        assert_eq!(ending(Path::new(name(b"a.\xe4b"))), "");
        assert_eq!(stem(Path::new(name(b"\xff.tif"))), name(b"\xff"));
    }

    #[test]
    fn what_the_system_leaves() {
        for name in [
            "._a.nii",
            ".DS_Store",
            "Thumbs.db",
            "THUMBS.DB",
            "desktop.ini",
        ] {
            assert!(is_of_system(Path::new(name)), "{name}");
        }
        assert!(!is_of_system(Path::new("thumbs.nii")));
    }
}
