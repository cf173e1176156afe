//! Whole files of modest size: configurations, descriptions, models.
//!
//! A pipe or a device in the place of one is refused before it is opened: opening
//! a pipe waits for a writer who may never come, and a device may never end.

use std::fs;
use std::io;
use std::path::Path;

/// Reads a file.
///
/// # Errors
/// Where it cannot be read, or no file stands there (of kind `Unsupported` for a
/// pipe, a device or a socket).
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    check(path)?;
    fs::read(path)
}

/// Reads a file of UTF-8 text.
///
/// # Errors
/// As [`read_file`], and where the content is no UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    check(path)?;
    fs::read_to_string(path)
}

fn check(path: &Path) -> io::Result<()> {
    let found = fs::metadata(path)?;
    if found.is_dir() {
        let problem = "this is a folder, a file is expected";
        return Err(io::Error::new(io::ErrorKind::IsADirectory, problem));
    }
    if !found.is_file() {
        let problem = "this is a pipe or a device, a file is expected; \
                       write what it gives into a file and name that";
        return Err(io::Error::new(io::ErrorKind::Unsupported, problem));
    }
    Ok(())
}
