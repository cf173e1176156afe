//! The chain of pages, walked once before any is decoded.
//!
//! This finds the number of pages, loops in the chain, and the bytes of the
//! description (which is meant to be ASCII, but is Latin-1 or UTF-8 in the
//! wild). It also finds the pages whose samples are indices into a palette, or
//! are white where they are 0: both are how programs store label images, whose
//! values count as they are stored. [`AsStored`] shows such pages to the
//! decoder as plain gray.

use std::collections::HashSet;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::Error;

const DESCRIPTION: u16 = 270;
const PHOTOMETRIC: u16 = 262;
/// Bilevel or gray with 0 white; gray with 0 black; palette.
const WHITE_IS_ZERO: u16 = 0;
const BLACK_IS_ZERO: u16 = 1;
const PALETTE: u16 = 3;

/// What is known of a file before its first page is decoded.
pub(super) struct Chain {
    pub(super) pages: usize,
    pub(super) description: String,
    pub(super) big_endian: bool,
    /// Place and new value of bytes, in the order of places.
    patches: Vec<(u64, u8)>,
}

impl Chain {
    pub(super) fn walk(
        file: &mut (impl Read + Seek),
        file_bytes: u64,
        path: &Path,
    ) -> Result<Self, Error> {
        let mut walker = Walker {
            file,
            big_endian: false,
            big_tiff: false,
        };
        let wrong = |error: io::Error| {
            Error::field(
                path,
                "the list of pages",
                format!("unreadable ({error})"),
                "must lie within the file",
                "The file may be truncated: copy it again.",
            )
        };
        let mut next = walker.header().map_err(wrong)?;
        let mut chain = Self {
            pages: 0,
            description: String::new(),
            big_endian: walker.big_endian,
            patches: Vec::new(),
        };
        let mut seen = HashSet::new();
        while next != 0 {
            if !seen.insert(next) {
                return Err(Error::field(
                    path,
                    format!("the link from page {}", chain.pages),
                    format!("to byte {next}, an earlier page"),
                    "must lead to a new page",
                    "The file is damaged: save it again with the program that made it.",
                ));
            }
            next = walker.page(next, file_bytes, &mut chain).map_err(wrong)?;
            chain.pages += 1;
        }
        chain.patches.sort_unstable();
        Ok(chain)
    }
}

struct Walker<'a, F> {
    file: &'a mut F,
    big_endian: bool,
    big_tiff: bool,
}

impl<F: Read + Seek> Walker<'_, F> {
    fn header(&mut self) -> io::Result<u64> {
        let mut start = [0; 4];
        self.file.rewind()?;
        self.file.read_exact(&mut start)?;
        self.big_endian = start[0] == b'M';
        self.big_tiff = start.contains(&43);
        if self.big_tiff {
            self.file.seek(SeekFrom::Start(8))?;
        }
        self.offset()
    }

    /// Notes what a page says; returns where the next one stands.
    fn page(&mut self, at: u64, file_bytes: u64, chain: &mut Chain) -> io::Result<u64> {
        self.file.seek(SeekFrom::Start(at))?;
        let (entries, entry_bytes, count_bytes) = match self.big_tiff {
            true => (self.number(8)?, 20, 8),
            false => (self.number(2)?, 12, 2),
        };
        let end = entries
            .checked_mul(entry_bytes)
            .and_then(|bytes| bytes.checked_add(at)?.checked_add(count_bytes))
            .filter(|&end| end <= file_bytes)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        for i in 0..entries {
            let entry = at + count_bytes + i * entry_bytes;
            self.file.seek(SeekFrom::Start(entry))?;
            let tag = self.number(2)? as u16;
            let field_type = self.number(2)?;
            let offset_bytes = if self.big_tiff { 8 } else { 4 };
            let count = self.number(offset_bytes)?;
            let value_at = entry + 4 + offset_bytes as u64;
            match tag {
                // Type 3 is a 16-bit number.
                PHOTOMETRIC if field_type == 3 && count == 1 => {
                    let found = self.number(2)? as u16;
                    if matches!(found, WHITE_IS_ZERO | PALETTE) {
                        let low = value_at + u64::from(self.big_endian);
                        chain.patches.push((low, BLACK_IS_ZERO as u8));
                    }
                }
                DESCRIPTION if chain.pages == 0 => {
                    let at = match count <= offset_bytes as u64 {
                        true => value_at,
                        false => self.offset()?,
                    };
                    if at.checked_add(count).is_none_or(|end| end > file_bytes) {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    self.file.seek(SeekFrom::Start(at))?;
                    let mut bytes = Vec::new();
                    self.file.by_ref().take(count).read_to_end(&mut bytes)?;
                    chain.description = match String::from_utf8(bytes) {
                        Ok(text) => text,
                        Err(error) => error.as_bytes().iter().map(|&b| char::from(b)).collect(),
                    };
                }
                _ => {}
            }
        }
        self.file.seek(SeekFrom::Start(end))?;
        // Some writers end the file without the last link.
        match self.offset() {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            link => link,
        }
    }

    fn offset(&mut self) -> io::Result<u64> {
        self.number(if self.big_tiff { 8 } else { 4 })
    }

    fn number(&mut self, bytes: usize) -> io::Result<u64> {
        let mut own = [0; 8];
        self.file.read_exact(&mut own[..bytes])?;
        if self.big_endian {
            own[..bytes].reverse();
        }
        Ok(u64::from_le_bytes(own))
    }
}

/// A file in which some bytes read as others.
pub(super) struct AsStored<F> {
    file: F,
    at: u64,
    patches: Vec<(u64, u8)>,
}

impl<F: Read + Seek> AsStored<F> {
    pub(super) fn new(mut file: F, chain: &Chain) -> io::Result<Self> {
        file.rewind()?;
        Ok(Self {
            file,
            at: 0,
            patches: chain.patches.clone(),
        })
    }
}

impl<F: Read> Read for AsStored<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let found = self.file.read(buffer)?;
        let end = self.at + found as u64;
        let first = self.patches.partition_point(|&(place, _)| place < self.at);
        for &(place, value) in self.patches[first..].iter().take_while(|p| p.0 < end) {
            buffer[(place - self.at) as usize] = value;
        }
        self.at = end;
        Ok(found)
    }
}

impl<F: Seek> Seek for AsStored<F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = self.file.seek(to)?;
        Ok(self.at)
    }
}
