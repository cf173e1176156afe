//! Text files as people's programs write them.
//!
//! In comes a file in any of the encodings that editors and shells choose without
//! asking: UTF-8 with or without a byte order mark (Notepad, Excel), UTF-16 in
//! either order (PowerShell), UTF-32, Windows-1252 with Latin-1 in it (old editors).
//! What leaves is a string, and a sentence where the encoding had to be guessed.

use std::borrow::Cow;
use std::path::Path;

use crate::Error;

/// A text file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// What it says, line ends as in the file.
    pub text: String,
    /// What a person should be told: a sentence that begins with the path, where
    /// the encoding was guessed.
    pub note: Option<String>,
}

impl Text {
    /// The text with every line end (Windows' two characters, old Macs' one) as a
    /// single `\n`.
    pub fn with_plain_lines(&self) -> Cow<'_, str> {
        match self.text.contains('\r') {
            true => self.text.replace("\r\n", "\n").replace('\r', "\n").into(),
            false => Cow::Borrowed(&self.text),
        }
    }
}

/// Reads a text file in whichever encoding it is.
///
/// # Errors
/// When the file cannot be read, holds zero bytes that no encoding explains, or
/// breaks the rules of the encoding that its first bytes state. The message names
/// the encoding.
pub fn read(path: &Path) -> Result<Text, Error> {
    let bytes = crate::read_file(path).map_err(Error::io(path, "reading"))?;
    let (encoding, text) = decode(&bytes).map_err(|(encoding, found)| {
        Error::field(
            path,
            "the encoding",
            format!("{} ({found})", encoding.name()),
            "must be text throughout",
            "The file may be damaged, or no text file: open it in an editor and save it as UTF-8.",
        )
    })?;
    let note = (encoding == Encoding::Windows1252).then(|| {
        format!(
            "{}: is not UTF-8, so it is read as {}. If names look wrong, save it as UTF-8.",
            path.display(),
            encoding.name()
        )
    });
    Ok(Text { text, note })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
    Utf32Le,
    Utf32Be,
    Windows1252,
}

impl Encoding {
    fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Utf16Le => "UTF-16, lowest byte first",
            Self::Utf16Be => "UTF-16, highest byte first",
            Self::Utf32Le => "UTF-32, lowest byte first",
            Self::Utf32Be => "UTF-32, highest byte first",
            Self::Windows1252 => "Windows-1252 (Latin-1)",
        }
    }
}

/// Byte order marks; UTF-32 before UTF-16, whose mark begins its own.
const MARKS: [(&[u8], Encoding); 5] = [
    (b"\xef\xbb\xbf", Encoding::Utf8),
    (b"\xff\xfe\0\0", Encoding::Utf32Le),
    (b"\0\0\xfe\xff", Encoding::Utf32Be),
    (b"\xff\xfe", Encoding::Utf16Le),
    (b"\xfe\xff", Encoding::Utf16Be),
];

/// The encoding and the text; the encoding and what breaks it where nothing fits.
fn decode(bytes: &[u8]) -> Result<(Encoding, String), (Encoding, String)> {
    let mark = MARKS.iter().find(|(mark, _)| bytes.starts_with(mark));
    let (encoding, body) = match mark {
        Some((mark, encoding)) => (*encoding, &bytes[mark.len()..]),
        None => (without_mark(bytes), bytes),
    };
    let text = match encoding {
        Encoding::Utf8 => std::str::from_utf8(body)
            .map(str::to_owned)
            .map_err(|e| format!("byte {} does not belong there", e.valid_up_to())),
        Encoding::Utf16Le => utf16(body, u16::from_le_bytes),
        Encoding::Utf16Be => utf16(body, u16::from_be_bytes),
        Encoding::Utf32Le => utf32(body, u32::from_le_bytes),
        Encoding::Utf32Be => utf32(body, u32::from_be_bytes),
        Encoding::Windows1252 => Ok(body.iter().map(|b| windows_1252(*b)).collect()),
    };
    match text {
        // No text holds NUL, but every second byte of UTF-16 and most files that
        // are no text do.
        Ok(text) => match text.find('\0') {
            Some(at) => Err((encoding, format!("character {at} is NUL"))),
            None => Ok((encoding, text)),
        },
        Err(found) => Err((encoding, found)),
    }
}

/// The likely encoding of a file that states none.
fn without_mark(bytes: &[u8]) -> Encoding {
    // The letters of file names, fields and numbers are ASCII: in UTF-16 one byte of
    // most pairs is 0, and nearly always the same one.
    let zeros = |offset: usize| {
        bytes
            .iter()
            .skip(offset)
            .step_by(2)
            .filter(|b| **b == 0)
            .count()
    };
    let (first, second) = (zeros(0), zeros(1));
    let most = bytes.len() / 4;
    let is_even = bytes.len().is_multiple_of(2);
    if is_even && second > most && first < second / 8 {
        Encoding::Utf16Le
    } else if is_even && first > most && second < first / 8 {
        Encoding::Utf16Be
    } else if std::str::from_utf8(bytes).is_ok() {
        Encoding::Utf8
    } else {
        Encoding::Windows1252
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, String> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err("it ends in the middle of a character".to_owned());
    }
    char::decode_utf16(pairs.iter().map(|pair| unit(*pair)))
        .collect::<Result<_, _>>()
        .map_err(|e| {
            format!(
                "half of a character, {:#06x}, stands alone",
                e.unpaired_surrogate()
            )
        })
}

fn utf32(bytes: &[u8], unit: fn([u8; 4]) -> u32) -> Result<String, String> {
    let (units, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err("it ends in the middle of a character".to_owned());
    }
    let character = |bytes: &[u8; 4]| {
        let code = unit(*bytes);
        char::from_u32(code).ok_or_else(|| format!("{code:#x} is no character"))
    };
    units.iter().map(character).collect()
}

/// A byte of Windows-1252: Latin-1, and printed characters where Latin-1 has
/// control codes.
fn windows_1252(byte: u8) -> char {
    /// 0x80 to 0x9f; the five that Windows leaves open stay what Latin-1 has.
    const PRINTED: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž',
        '\u{8f}', '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}',
        'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => PRINTED[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAYS: &str = "{\"labels\": {\"Läsion – µm\": 1, \"腫瘍\": 2, \"😀\": 3}}\r\n";

    fn utf16(text: &str, mark: &[u8], bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        let body = text.encode_utf16().flat_map(bytes);
        mark.iter().copied().chain(body).collect()
    }

    #[test]
    fn every_encoding_with_and_without_mark() {
        let utf32 = |mark: &[u8], bytes: fn(u32) -> [u8; 4]| -> Vec<u8> {
            let body = SAYS.chars().flat_map(|c| bytes(c as u32));
            mark.iter().copied().chain(body).collect()
        };
        for (name, bytes) in [
            ("plain", SAYS.as_bytes().to_vec()),
            ("mark", [b"\xef\xbb\xbf", SAYS.as_bytes()].concat()),
            ("16le", utf16(SAYS, b"\xff\xfe", u16::to_le_bytes)),
            ("16be", utf16(SAYS, b"\xfe\xff", u16::to_be_bytes)),
            ("16le, no mark", utf16(SAYS, b"", u16::to_le_bytes)),
            ("16be, no mark", utf16(SAYS, b"", u16::to_be_bytes)),
            ("32le", utf32(b"\xff\xfe\0\0", u32::to_le_bytes)),
            ("32be", utf32(b"\0\0\xfe\xff", u32::to_be_bytes)),
        ] {
            let (_, text) = decode(&bytes).unwrap();
            assert_eq!(text, SAYS, "{name}");
        }
        assert_eq!(decode(b"").unwrap().1, "");
    }

    #[test]
    fn latin_1_is_read_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dataset.json");
        std::fs::write(&path, b"L\xe4sion \x80 \x96 \xb5m").unwrap();
        let read = read(&path).unwrap();
        assert_eq!(read.text, "Läsion € – µm");
        let note = read.note.unwrap();
        assert!(
            note.contains("dataset.json") && note.contains("Latin-1"),
            "{note}"
        );
        std::fs::write(&path, "Läsion").unwrap();
        assert_eq!(super::read(&path).unwrap().note, None);
    }

    #[test]
    fn what_breaks_its_encoding_is_named() {
        for (bytes, part) in [
            (&b"\xff\xfea"[..], "UTF-16"),
            (b"\xff\xfe\x00\xd8a\0", "0xd800"),
            (b"\xef\xbb\xbfa\xff", "UTF-8"),
            (b"\xff\xfe\0\0\0\0\x11\0", "0x110000"),
            (b"a\0b", "NUL"),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff", "NUL"),
        ] {
            let (encoding, found) = decode(bytes).unwrap_err();
            let text = format!("{} {found}", encoding.name());
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn line_ends_become_plain() {
        let text = |text: &str| Text {
            text: text.to_owned(),
            note: None,
        };
        assert_eq!(text("a\r\nb\rc\n").with_plain_lines(), "a\nb\nc\n");
        assert_eq!(text("a\n").with_plain_lines(), "a\n");
    }
}
