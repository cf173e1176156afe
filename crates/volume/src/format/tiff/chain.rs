//! The chain of pages, walked once before any is decoded.
//!
//! This finds the pages that belong to the volume, loops in the chain, and the
//! bytes of the description (which is meant to be ASCII, but is Latin-1 or
//! UTF-8 in the wild). Pages that are marked as previews, pyramid levels or
//! masks do not belong to the volume: Zeiss LSM puts one after each slice.

use std::collections::HashSet;

use super::directory::{DAMAGED, Directory, TiffFile, tag};
use crate::Error;

/// Bits of `NewSubfileType`: a smaller copy of another page; a mask of one.
const REDUCED: u64 = 1;
const MASK: u64 = 4;

/// What is known of a file before its first page is decoded.
pub(super) struct Chain {
    /// The pages of the volume.
    pub(super) pages: Vec<At>,
    /// Pages that are marked as previews, pyramid levels or masks.
    pub(super) passed_over: usize,
    pub(super) description: String,
}

/// Where a page stands, and how large it says it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct At {
    pub(super) offset: u64,
    /// Number in the file, from 0.
    pub(super) number: usize,
    pub(super) width: u64,
    pub(super) height: u64,
}

impl Chain {
    pub(super) fn walk(file: &mut TiffFile<'_>) -> Result<Self, Error> {
        let path = file.path;
        let (mut full, mut reduced) = (Vec::new(), Vec::new());
        let mut description = String::new();
        let mut seen = HashSet::new();
        let mut directory_bytes = 0;
        let mut next = file.first;
        while next != 0 {
            let number = seen.len();
            if !seen.insert(next) {
                return Err(Error::field(
                    path,
                    format!("the link from page {}", number.saturating_sub(1)),
                    format!("to byte {next}, an earlier page"),
                    "must lead to a new page",
                    DAMAGED,
                ));
            }
            let directory = file.directory(next, number)?;
            directory_bytes += directory.bytes;
            // Else a hundred kilobytes could hold a billion entries.
            if directory_bytes > file.file_bytes {
                return Err(Error::field(
                    path,
                    "the list of pages",
                    format!("{directory_bytes} bytes long after page {number}"),
                    format!("must fit the {} bytes of the file", file.file_bytes),
                    DAMAGED,
                ));
            }
            if number == 0 {
                description = describe(file, &directory)?;
            }
            let at = At {
                offset: next,
                number,
                width: file.one(&directory, tag::IMAGE_WIDTH)?.unwrap_or(0),
                height: file.one(&directory, tag::IMAGE_LENGTH)?.unwrap_or(0),
            };
            if at.width == 0 || at.height == 0 {
                return Err(Error::field(
                    path,
                    format!("the size of page {number} (ImageWidth and ImageLength)"),
                    format!("{} x {}", at.width, at.height),
                    "must be at least 1 x 1",
                    DAMAGED,
                ));
            }
            let kind = file.one(&directory, tag::NEW_SUBFILE_TYPE)?.unwrap_or(0);
            let old_kind = file.one(&directory, tag::SUBFILE_TYPE)?;
            match kind & (REDUCED | MASK) != 0 || old_kind == Some(2) {
                true => reduced.push(at),
                false => full.push(at),
            }
            next = directory.next;
        }
        // A file of nothing but previews is what it is.
        if full.is_empty() {
            std::mem::swap(&mut full, &mut reduced);
        }
        if full.is_empty() {
            return Err(Error::field(
                path,
                "the number of pages",
                0,
                "must be at least 1",
                DAMAGED,
            ));
        }
        Ok(Self {
            pages: full,
            passed_over: reduced.len(),
            description,
        })
    }
}

fn describe(file: &mut TiffFile<'_>, directory: &Directory) -> Result<String, Error> {
    let Some(&entry) = directory.entry(tag::DESCRIPTION) else {
        return Ok(String::new());
    };
    let bytes = file.all_bytes(&entry)?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => error.as_bytes().iter().map(|&b| char::from(b)).collect(),
    })
}
