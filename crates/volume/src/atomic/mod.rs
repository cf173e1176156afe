//! Files that appear whole or not at all: the one way in which this program
//! writes what somebody will look for later.
//!
//! What is written goes to a temporary name in the same folder (so
//! on the same disk), is flushed to the disk and then renamed. On any failure the
//! temporary is removed again; where its writer was killed, the next writer of the
//! same name removes it.
//!
//! A link that stands where a file is to be written is replaced by the file. What
//! it pointed to stays as it is: nothing outside the named folder is changed.

mod error;
mod identity;
mod temporary;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

pub use self::error::WriteError;
pub use self::identity::{Identity, is_at};
use self::temporary::{Ending, Temporary};

/// Writes a file through `content`, which receives an empty file open for
/// writing, and makes it appear at `path`.
///
/// # Errors
/// Those of `content`, and where the file cannot be written; what stood at `path`
/// is then still there.
pub fn write_file<E: From<WriteError>>(
    path: &Path,
    content: impl FnOnce(&mut BufWriter<File>) -> Result<(), E>,
) -> Result<(), E> {
    check_target(path)?;
    temporary::sweep(path, Ending::New);
    let (temporary, file) = Temporary::file(path)?;
    let mut writer = BufWriter::new(file);
    content(&mut writer)?;
    // The file stays open, and so locked, until it has its name.
    let file = flush(writer, path)?;
    fs::rename(temporary.path(), path)
        .map_err(WriteError::while_(path, "renaming the finished file"))?;
    temporary.keep();
    drop(file);
    sync_folder_of(path);
    Ok(())
}

/// Writes a file of these bytes.
///
/// # Errors
/// Where the file cannot be written; what stood at `path` is then still there.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    write_file(path, |file| {
        file.write_all(bytes)
            .map_err(WriteError::while_(path, "writing"))
    })
}

/// Flushes a file into `path` inside a folder that [`write_folder`] renames later.
///
/// # Errors
/// Those of `content`, and where the file cannot be written.
pub fn write_inside<E: From<WriteError>>(
    path: &Path,
    content: impl FnOnce(&mut BufWriter<File>) -> Result<(), E>,
) -> Result<(), E> {
    let created = File::create_new(path).map_err(WriteError::while_(path, "creating"))?;
    let mut writer = BufWriter::new(created);
    content(&mut writer)?;
    Ok(flush(writer, path).map(drop)?)
}

/// Fills a folder through `content`, which receives the path of an empty one,
/// and makes it appear at `path`, in place of a folder that may be there.
/// Whether that one may be replaced is for the caller to check.
///
/// # Errors
/// Those of `content`, and where the folder cannot be written; what stood at
/// `path` is then still there.
pub fn write_folder<E: From<WriteError>>(
    path: &Path,
    content: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    check_target(path)?;
    temporary::sweep(path, Ending::New);
    let temporary = Temporary::folder(path)?;
    content(temporary.path())?;
    sync_folder(temporary.path());
    replace_folder(temporary, path)
        .map_err(WriteError::while_(path, "renaming the finished folder"))?;
    sync_folder_of(path);
    // Only now: where a writer was killed between its two renamings, the old
    // folder was all that there was.
    temporary::sweep(path, Ending::Old);
    Ok(())
}

/// Proves that files can be written in a folder, by one that is taken away again.
///
/// # Errors
/// Where the system refuses.
pub fn check_folder(folder: &Path) -> Result<(), WriteError> {
    let probe = folder.join("probe");
    let (_temporary, mut file) = Temporary::file(&probe)?;
    file.write_all(b"x")
        .map_err(WriteError::while_(&probe, "writing"))
}

/// Refuses a path where a pipe, a device or a socket stands. Nothing of the kind
/// can be replaced by a file, and as root it would be.
///
/// # Errors
/// Says what stands there.
pub fn check_target(path: &Path) -> Result<(), WriteError> {
    // Follows links: /dev/stdout is one, and may lead to a file.
    let strange = fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir());
    let of_the_system = || {
        let folder = folder_of(path).canonicalize().unwrap_or_default();
        folder == Path::new("/dev")
            || ["/dev/fd", "/proc", "/sys"]
                .iter()
                .any(|system| folder.starts_with(system))
    };
    if strange || (cfg!(unix) && of_the_system()) {
        let problem = "this is a pipe, a device or a place of the operating system, not a file";
        let source = io::Error::new(io::ErrorKind::Unsupported, problem);
        return Err(WriteError::while_(path, "writing")(source));
    }
    Ok(())
}

/// Gives the temporary folder its name. No system call exchanges two folders
/// everywhere: the old one steps aside, and comes back if the new one cannot take
/// its place.
fn replace_folder(temporary: Temporary, path: &Path) -> io::Result<()> {
    if path.symlink_metadata().is_err() {
        fs::rename(temporary.path(), path)?;
        temporary.keep();
        return Ok(());
    }
    let aside = temporary::free_name(path, Ending::Old)?;
    fs::rename(path, &aside)?;
    if let Err(error) = fs::rename(temporary.path(), path) {
        fs::rename(&aside, path)?;
        return Err(error);
    }
    temporary.keep();
    temporary::remove(&aside)
}

fn flush(writer: BufWriter<File>, path: &Path) -> Result<File, WriteError> {
    let file = writer
        .into_inner()
        .map_err(|error| error.into_error())
        .and_then(|file| file.sync_all().map(|()| file));
    file.map_err(WriteError::while_(path, "writing"))
}

/// The folder that a path lies in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn sync_folder_of(path: &Path) {
    sync_folder(folder_of(path));
}

/// Makes a rename survive a power cut. Not every system can open a folder, and
/// the file is already whole, so a failure is not reported.
fn sync_folder(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

/// Writes all of `bytes`, with the path in the error.
pub(crate) fn put(writer: &mut impl Write, path: &Path, bytes: &[u8]) -> Result<(), crate::Error> {
    writer
        .write_all(bytes)
        .map_err(crate::Error::io(path, "writing"))
}

#[cfg(test)]
mod tests;
