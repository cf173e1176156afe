//! One folder, one run: whoever writes in a folder holds its lock.
//!
//! The lock is one of the operating system, on the file `.lock` in the folder. It
//! ends with its process however that ends, so a crash never locks anybody out.
//! The file holds the process id, to be told to whoever comes second, and goes
//! away with the lock.
//!
//! Some disks of the network have no locks. A run there goes on without, and says
//! so: refusing would shut out people whose only large disk is of that kind.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use unet3d_volume::atomic::{Identity, is_at};

use crate::Error;

/// Name of the file.
const FILE: &str = ".lock";

/// Times to try where others take and give back the lock at the same moment.
const ATTEMPTS: usize = 100;

/// The right to write in a folder, given back when dropped.
#[derive(Debug)]
pub struct Lock {
    folder: PathBuf,
    file: File,
    /// Which folder it is, whatever its name.
    identity: Option<Identity>,
    /// Whether the folder was made for it.
    made_folder: bool,
    /// Why there is no lock, where the disk has none.
    missing: Option<String>,
}

impl Lock {
    /// Takes the lock of a folder, which is made where it is missing.
    ///
    /// # Errors
    /// When another process has it (names the folder and the process), or the
    /// folder cannot be written.
    pub fn take(folder: &Path) -> Result<Self, Error> {
        let made_folder = !folder.exists();
        fs::create_dir_all(folder).map_err(Error::writing(folder))?;
        let path = folder.join(FILE);
        for _ in 0..ATTEMPTS {
            let mut file = open(&path).map_err(Error::writing(&path))?;
            let missing = match file.try_lock() {
                Ok(()) if is_at(&file, &path) => None,
                // Who had it has given it back, and the file with it.
                Ok(()) => continue,
                Err(TryLockError::WouldBlock) => return Err(busy(folder, &mut file)),
                Err(TryLockError::Error(error)) => Some(format!(
                    "{}: this disk has no locks ({error}), so nothing keeps a second run out of the folder",
                    folder.display()
                )),
            };
            // Only to be told: without it the lock is as good.
            let _ = file
                .set_len(0)
                .and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()));
            return Ok(Self {
                identity: fs::metadata(folder).ok().and_then(|m| Identity::of(&m)),
                folder: folder.to_path_buf(),
                file,
                made_folder,
                missing,
            });
        }
        Err(Error::file(
            folder,
            "its lock changes hands all the time. Is another run begun there again and again?",
        ))
    }

    /// Refuses a folder in which somebody writes. Nothing is made.
    ///
    /// # Errors
    /// Names the folder and the process.
    pub fn check_free(folder: &Path) -> Result<(), Error> {
        match folder.join(FILE).exists() {
            true => Self::take(folder).map(drop),
            false => Ok(()),
        }
    }

    /// What a person should know: that there is no lock after all.
    pub fn note(&self) -> Option<&str> {
        self.missing.as_deref()
    }

    /// Whether the folder is still the one that was locked: it may have been
    /// removed, and another one made in its place.
    pub fn holds(&self) -> bool {
        is_at(&self.file, &self.folder.join(FILE))
    }

    /// Whether the folder at its path is still the same, be the lock gone or not.
    pub(crate) fn is_same_folder(&self) -> bool {
        let now = fs::metadata(&self.folder).ok();
        self.identity.is_some() && now.and_then(|m| Identity::of(&m)) == self.identity
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Elsewhere files that are open stay where they are.
        if cfg!(unix) && self.holds() {
            let _ = fs::remove_file(self.folder.join(FILE));
        }
        if self.made_folder {
            // Refuses a folder with anything in it.
            let _ = fs::remove_dir(&self.folder);
        }
    }
}

/// Opens the file without following a link and without changing it.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    loop {
        match options.clone().create_new(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return opened,
        }
        match path.symlink_metadata() {
            Ok(found) if !found.is_file() => {
                let problem = "no file stands there, but something else. Remove it";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        match options.open(path) {
            // Given back since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
    }
}

fn busy(folder: &Path, file: &mut File) -> Error {
    let mut text = String::new();
    // Some systems let nobody read what is locked.
    let read = file
        .rewind()
        .and_then(|()| file.take(32).read_to_string(&mut text));
    let process = match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(process)) => format!(" (process {process})"),
        _ => String::new(),
    };
    Error::file(
        folder,
        format!(
            "another run{process} is writing in this folder. Wait until it has ended, or choose another folder. \
             Nothing was changed"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn one_at_a_time_and_nothing_is_left() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("run");
        Lock::check_free(&folder).unwrap();
        assert!(!folder.exists());
        let lock = Lock::take(&folder).unwrap();
        assert!(lock.holds() && lock.note().is_none());
        for second in [Lock::take(&folder).map(drop), Lock::check_free(&folder)] {
            let error = second.unwrap_err().to_string();
            let process = format!("process {}", std::process::id());
            assert!(error.contains(&process), "{error}");
            assert!(error.contains(folder.to_str().unwrap()), "{error}");
        }
        drop(lock);
        assert!(!folder.exists(), "made for the lock alone");

        // A folder with something in it, or that was there before, stays.
        drop(Lock::take(place.path()).unwrap());
        assert_eq!(names(place.path()), 0);
        let lock = Lock::take(&folder).unwrap();
        fs::write(folder.join("a"), "a").unwrap();
        drop(lock);
        assert_eq!(names(&folder), 1);
    }

    #[test]
    fn a_lock_left_by_a_crash_shuts_nobody_out() {
        let folder = tempfile::tempdir().unwrap();
        for left in ["1\n", "", "no number", "99999999999999999999"] {
            fs::write(folder.path().join(FILE), left).unwrap();
            Lock::check_free(folder.path()).unwrap();
            drop(Lock::take(folder.path()).unwrap());
        }
    }

    #[test]
    fn a_folder_that_vanished_is_not_held() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("run");
        let lock = Lock::take(&folder).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert!(!lock.holds());
        let other = Lock::take(&folder).unwrap();
        assert!(!lock.holds() && other.holds());
        drop(lock);
        assert!(other.holds(), "the lock of another is not taken away");
    }

    #[test]
    fn of_many_at_once_one_has_it() {
        let place = tempfile::tempdir().unwrap();
        let holders = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let Ok(lock) = Lock::take(place.path()) else {
                            continue;
                        };
                        let before = holders.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        assert_eq!(before, 0);
                        holders.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
        assert_eq!(names(place.path()), 0);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        std::os::unix::fs::symlink(&precious, folder.path().join(FILE)).unwrap();
        let error = Lock::take(folder.path()).unwrap_err().to_string();
        assert!(error.contains(FILE), "{error}");
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    }
}
