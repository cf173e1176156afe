//! Directories of a TIFF file: lists of tagged values, classic and BigTIFF.
//!
//! Everything that a directory says is compared with the length of the file
//! before memory is asked for: a list of values must lie within the file, and
//! the caller says how long it may be. (The `tiff` crate allocates what the
//! directory says: 100 bytes then take 128 MB.)

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use crate::Error;

/// No sound directory has more entries: there are some 500 known tags.
const MOST_ENTRIES: u64 = 4096;

pub(super) mod tag {
    //! The tags that are looked at, by their names in the TIFF definition.
    pub(in super::super) const NEW_SUBFILE_TYPE: u16 = 254;
    pub(in super::super) const SUBFILE_TYPE: u16 = 255;
    pub(in super::super) const IMAGE_WIDTH: u16 = 256;
    pub(in super::super) const IMAGE_LENGTH: u16 = 257;
    pub(in super::super) const BITS_PER_SAMPLE: u16 = 258;
    pub(in super::super) const COMPRESSION: u16 = 259;
    pub(in super::super) const PHOTOMETRIC: u16 = 262;
    pub(in super::super) const FILL_ORDER: u16 = 266;
    pub(in super::super) const DESCRIPTION: u16 = 270;
    pub(in super::super) const STRIP_OFFSETS: u16 = 273;
    pub(in super::super) const SAMPLES_PER_PIXEL: u16 = 277;
    pub(in super::super) const ROWS_PER_STRIP: u16 = 278;
    pub(in super::super) const STRIP_BYTE_COUNTS: u16 = 279;
    pub(in super::super) const X_RESOLUTION: u16 = 282;
    pub(in super::super) const Y_RESOLUTION: u16 = 283;
    pub(in super::super) const PLANAR_CONFIGURATION: u16 = 284;
    pub(in super::super) const PREDICTOR: u16 = 317;
    pub(in super::super) const TILE_WIDTH: u16 = 322;
    pub(in super::super) const TILE_LENGTH: u16 = 323;
    pub(in super::super) const TILE_OFFSETS: u16 = 324;
    pub(in super::super) const TILE_BYTE_COUNTS: u16 = 325;
    pub(in super::super) const SAMPLE_FORMAT: u16 = 339;
    pub(in super::super) const JPEG_TABLES: u16 = 347;
    /// MetaMorph: its count is the number of planes.
    pub(in super::super) const UIC2: u16 = 33629;
    /// Zeiss LSM: a block of numbers.
    pub(in super::super) const LSM_INFO: u16 = 34412;
}

/// One tagged value or list of values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) tag: u16,
    /// Type of each value, as the definition numbers them.
    field_type: u16,
    pub(super) count: u64,
    /// Byte of the file at which the first value stands.
    pub(super) at: u64,
}

/// The entries of one directory.
pub(super) struct Directory {
    entries: Vec<Entry>,
    /// Where the next directory stands; 0 after the last.
    pub(super) next: u64,
    /// Bytes that the directory itself takes.
    pub(super) bytes: u64,
}

impl Directory {
    pub(super) fn entry(&self, tag: u16) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.tag == tag)
    }
}

/// An open TIFF file.
pub(super) struct TiffFile<'a> {
    pub(super) reader: BufReader<File>,
    pub(super) big_endian: bool,
    big_tiff: bool,
    pub(super) file_bytes: u64,
    pub(super) path: &'a Path,
    /// Where the first directory stands.
    pub(super) first: u64,
}

impl<'a> TiffFile<'a> {
    pub(super) fn open(path: &'a Path) -> Result<Self, Error> {
        let opened = |error| Error::io(path, "opening")(error);
        let file = File::open(path).map_err(opened)?;
        let file_bytes = file.metadata().map_err(opened)?.len();
        let mut own = Self {
            reader: BufReader::with_capacity(1 << 16, file),
            big_endian: false,
            big_tiff: false,
            file_bytes,
            path,
            first: 0,
        };
        let mut start = [0; 4];
        own.reader
            .read_exact(&mut start)
            .map_err(|error| own.unreadable("the header", error))?;
        own.big_endian = start[0] == b'M';
        own.big_tiff = start.contains(&43);
        let at = if own.big_tiff { 8 } else { 4 };
        own.first = own.offset_at(at, "the header")?;
        Ok(own)
    }

    /// Reads the directory at a byte of the file.
    pub(super) fn directory(&mut self, at: u64, page: usize) -> Result<Directory, Error> {
        let name = format!("the directory of page {page}");
        let (entry_bytes, count_bytes) = match self.big_tiff {
            true => (20, 8),
            false => (12, 2),
        };
        let entries = self.number_at(at, count_bytes, &name)?;
        if entries > MOST_ENTRIES {
            return Err(Error::field(
                self.path,
                name,
                format!("{entries} entries long"),
                format!("must have at most {MOST_ENTRIES}"),
                DAMAGED,
            ));
        }
        let block_bytes = entries * entry_bytes as u64;
        let first = at + count_bytes as u64;
        let mut block = vec![0; block_bytes as usize];
        self.read_at(first, &mut block, &name)?;
        let offset_bytes = if self.big_tiff { 8 } else { 4 };
        let mut directory = Directory {
            entries: Vec::new(),
            // Some writers end the file without the last link.
            next: match first + block_bytes + offset_bytes as u64 <= self.file_bytes {
                true => self.offset_at(first + block_bytes, &name)?,
                false => 0,
            },
            bytes: count_bytes as u64 + block_bytes + offset_bytes as u64,
        };
        for (i, bytes) in block.chunks_exact(entry_bytes).enumerate() {
            let field_type = self.number(&bytes[2..4]) as u16;
            let count = self.number(&bytes[4..4 + offset_bytes]);
            let own = first + (i * entry_bytes + 4 + offset_bytes) as u64;
            let is_inside = value_bytes(field_type)
                .is_some_and(|size| count.saturating_mul(size) <= offset_bytes as u64);
            directory.entries.push(Entry {
                tag: self.number(&bytes[..2]) as u16,
                field_type,
                count,
                at: match is_inside {
                    true => own,
                    false => self.number(&bytes[4 + offset_bytes..]),
                },
            });
        }
        Ok(directory)
    }

    /// The first value of a list of whole numbers; `None` where the tag is absent.
    pub(super) fn one(&mut self, directory: &Directory, tag: u16) -> Result<Option<u64>, Error> {
        Ok(self
            .list(directory, tag, 1)?
            .and_then(|values| values.first().copied()))
    }

    /// The first `most` values of a list of whole numbers, fewer where it is
    /// shorter; `None` where the tag is absent.
    pub(super) fn list(
        &mut self,
        directory: &Directory,
        tag: u16,
        most: usize,
    ) -> Result<Option<Vec<u64>>, Error> {
        let Some(&entry) = directory.entry(tag) else {
            return Ok(None);
        };
        let size = match entry.field_type {
            // Bytes, 16, 32 and 64 bits, offsets of directories.
            1 | 3 | 4 | 13 | 16 | 18 => value_bytes(entry.field_type).unwrap_or(1) as usize,
            other => {
                return Err(Error::field(
                    self.path,
                    format!("the type of tag {tag}"),
                    other,
                    "must be one of whole numbers",
                    DAMAGED,
                ));
            }
        };
        let count = usize::try_from(entry.count).unwrap_or(usize::MAX).min(most);
        let bytes = self.bytes_of(&entry, count * size)?;
        Ok(Some(
            bytes.chunks_exact(size).map(|b| self.number(b)).collect(),
        ))
    }

    /// A fraction, as resolutions are given.
    pub(super) fn fraction(
        &mut self,
        directory: &Directory,
        tag: u16,
    ) -> Result<Option<f64>, Error> {
        let Some(&entry) = directory.entry(tag) else {
            return Ok(None);
        };
        if entry.field_type != 5 || entry.count == 0 {
            return Ok(None);
        }
        let bytes = self.bytes_of(&entry, 8)?;
        let (n, d) = (self.number(&bytes[..4]), self.number(&bytes[4..]));
        Ok((n > 0 && d > 0).then(|| n as f64 / d as f64))
    }

    /// All bytes of a value.
    pub(super) fn all_bytes(&mut self, entry: &Entry) -> Result<Vec<u8>, Error> {
        let size = value_bytes(entry.field_type).unwrap_or(1);
        let bytes = entry.count.saturating_mul(size);
        self.bytes_of(entry, usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    /// The first `count` bytes of a value, which must lie within the file.
    fn bytes_of(&mut self, entry: &Entry, count: usize) -> Result<Vec<u8>, Error> {
        let name = format!("the value of tag {}", entry.tag);
        self.check_inside(entry.at, count as u64, &name)?;
        let mut bytes = vec![0; count];
        self.read_at(entry.at, &mut bytes, &name)?;
        Ok(bytes)
    }

    /// Refuses what does not lie within the file.
    pub(super) fn check_inside(&self, at: u64, bytes: u64, name: &str) -> Result<(), Error> {
        if at
            .checked_add(bytes)
            .is_some_and(|end| end <= self.file_bytes)
        {
            return Ok(());
        }
        Err(Error::field(
            self.path,
            name,
            format!("{bytes} bytes from byte {at} on"),
            format!("must lie within the {} bytes of the file", self.file_bytes),
            "The file may be truncated: copy it again.",
        ))
    }

    fn read_at(&mut self, at: u64, buffer: &mut [u8], name: &str) -> Result<(), Error> {
        self.check_inside(at, buffer.len() as u64, name)?;
        self.reader
            .seek(SeekFrom::Start(at))
            .and_then(|_| self.reader.read_exact(buffer))
            .map_err(|error| self.unreadable(name, error))
    }

    fn offset_at(&mut self, at: u64, name: &str) -> Result<u64, Error> {
        self.number_at(at, if self.big_tiff { 8 } else { 4 }, name)
    }

    fn number_at(&mut self, at: u64, bytes: usize, name: &str) -> Result<u64, Error> {
        let mut own = [0; 8];
        self.read_at(at, &mut own[..bytes], name)?;
        Ok(self.number(&own[..bytes]))
    }

    /// A whole number of up to 8 bytes in the order of the file.
    fn number(&self, bytes: &[u8]) -> u64 {
        let shifted = |number: u64, &byte: &u8| number << 8 | u64::from(byte);
        match self.big_endian {
            true => bytes.iter().fold(0, shifted),
            false => bytes.iter().rev().fold(0, shifted),
        }
    }

    fn unreadable(&self, name: &str, error: io::Error) -> Error {
        Error::field(
            self.path,
            name,
            format!("unreadable ({error})"),
            "must lie within the file",
            "The file may be truncated: copy it again.",
        )
    }
}

/// What to do about a file that contradicts itself.
pub(super) const DAMAGED: &str =
    "The file is damaged: save it again with the program that made it.";

/// Bytes of a value of a type, `None` for types that nobody knows.
fn value_bytes(field_type: u16) -> Option<u64> {
    Some(match field_type {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16 | 17 | 18 => 8,
        _ => return None,
    })
}
