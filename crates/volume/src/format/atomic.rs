//! Files that appear whole or not at all.
//!
//! What is written goes to a temporary name in the same folder (so on the same
//! disk), is flushed to the disk and then renamed. The temporary name begins
//! with a dot and carries the process id, so that two programs never share
//! one; on any failure it is removed again.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::Error;

/// Names to try where one process writes the same path several times at once.
const ATTEMPTS: u32 = 1000;

/// Writes a file through `content`, which receives an empty file open for
/// writing, and makes it appear at `path`.
pub(crate) fn write_file(
    path: &Path,
    content: impl FnOnce(&mut BufWriter<File>) -> Result<(), Error>,
) -> Result<(), Error> {
    let (temporary, file) = reserve(path, |temporary| {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(temporary)
    })?;
    let mut guard = Guard {
        path: temporary,
        armed: true,
    };
    let mut writer = BufWriter::new(file);
    content(&mut writer)?;
    let failed = |error| Error::io(path, "writing")(error);
    let file = writer
        .into_inner()
        .map_err(|error| failed(error.into_error()))?;
    file.sync_all().map_err(failed)?;
    drop(file);
    fs::rename(&guard.path, path).map_err(Error::io(path, "renaming the finished file"))?;
    guard.armed = false;
    sync_folder_of(path);
    Ok(())
}

/// Flushes a file into `path` inside a folder that [`write_folder`] renames later.
pub(crate) fn write_inside(
    path: &Path,
    content: impl FnOnce(&mut BufWriter<File>) -> Result<(), Error>,
) -> Result<(), Error> {
    let failed = |error| Error::io(path, "writing")(error);
    let mut writer = BufWriter::new(File::create(path).map_err(failed)?);
    content(&mut writer)?;
    writer
        .into_inner()
        .map_err(|error| failed(error.into_error()))?
        .sync_all()
        .map_err(failed)
}

/// Fills a folder through `content`, which receives the path of an empty one,
/// and makes it appear at `path`, in place of a folder that may be there.
/// Whether that one may be replaced is for the caller to check.
pub(crate) fn write_folder(
    path: &Path,
    content: impl FnOnce(&Path) -> Result<(), Error>,
) -> Result<(), Error> {
    let (temporary, ()) = reserve(path, |temporary| fs::create_dir(temporary))?;
    let mut guard = Guard {
        path: temporary,
        armed: true,
    };
    content(&guard.path)?;
    sync_folder(&guard.path);
    let failed = |error| Error::io(path, "renaming the finished folder")(error);
    if path.exists() {
        // No system call exchanges two folders everywhere: the old one steps
        // aside, and comes back if the new one cannot take its place.
        let (aside, ()) = reserve(path, |aside| fs::create_dir(aside))?;
        fs::remove_dir(&aside).map_err(failed)?;
        fs::rename(path, &aside).map_err(failed)?;
        if let Err(error) = fs::rename(&guard.path, path) {
            fs::rename(&aside, path).map_err(failed)?;
            return Err(failed(error));
        }
        guard.armed = false;
        fs::remove_dir_all(&aside).map_err(failed)?;
    } else {
        fs::rename(&guard.path, path).map_err(failed)?;
        guard.armed = false;
    }
    sync_folder_of(path);
    Ok(())
}

/// Makes something under the first free temporary name beside `path`.
fn reserve<T>(
    path: &Path,
    mut make: impl FnMut(&Path) -> io::Result<T>,
) -> Result<(PathBuf, T), Error> {
    let failed = |error| Error::io(path, "creating")(error);
    let Some(name) = path.file_name() else {
        return Err(failed(io::ErrorKind::InvalidInput.into()));
    };
    let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
    for attempt in 0..ATTEMPTS {
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}-{attempt}.tmp", std::process::id()));
        let temporary = path.with_file_name(hidden);
        match make(&temporary) {
            Ok(made) => return Ok((temporary, made)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(failed(error)),
        }
    }
    Err(failed(last))
}

/// Removes what is half-written unless it was renamed in time.
struct Guard {
    path: PathBuf,
    armed: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.armed {
            // The error that brought us here is the one to report.
            let _ = if self.path.is_dir() {
                fs::remove_dir_all(&self.path)
            } else {
                fs::remove_file(&self.path)
            };
        }
    }
}

fn sync_folder_of(path: &Path) {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => sync_folder(folder),
        _ => sync_folder(Path::new(".")),
    }
}

/// Makes a rename survive a power cut. Not every system can open a folder, and
/// the file is already whole, so a failure is not reported.
fn sync_folder(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

/// Writes all of `bytes`, with the path in the error.
pub(crate) fn put(writer: &mut impl Write, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    writer.write_all(bytes).map_err(Error::io(path, "writing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_leaves_nothing_and_keeps_the_old() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.bin");
        fs::write(&path, b"old").expect("written");
        let result = write_file(&path, |writer| {
            put(writer, &path, b"half")?;
            Err(Error::field(&path, "x", 1, "must be 2", "A test."))
        });
        assert!(result.is_err());
        assert_eq!(fs::read(&path).expect("still there"), b"old");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);

        write_file(&path, |writer| put(writer, &path, b"new")).expect("written");
        assert_eq!(fs::read(&path).expect("there"), b"new");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }

    #[test]
    fn a_folder_is_replaced_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("slices");
        let fill = |name: &'static str| {
            move |inside: &Path| {
                let file = inside.join(name);
                write_inside(&file, |writer| put(writer, &file, b"x"))
            }
        };
        write_folder(&path, fill("a")).expect("written");
        assert!(
            write_folder(&path, |inside| {
                fill("b")(inside)?;
                Err(Error::field(inside, "x", 1, "must be 2", "A test."))
            })
            .is_err()
        );
        assert!(path.join("a").exists() && !path.join("b").exists());
        write_folder(&path, fill("c")).expect("written");
        assert!(!path.join("a").exists() && path.join("c").exists());
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }

    #[test]
    fn a_missing_folder_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let error = write_file(&folder.path().join("no/a.bin"), |_| Ok(()))
            .expect_err("the folder is missing");
        assert!(error.to_string().contains("creating failed"), "{error}");
    }
}
