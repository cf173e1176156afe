//! Names for what is half-written, and who may remove it.
//!
//! `.NAME.PROCESS-NUMBER.tmp` beside NAME: hidden, of this process, and made only
//! where nothing stands, so that no link is followed. Long names are cut, as the
//! temporary one may not be longer than a disk takes.
//!
//! Its writer holds a lock of the operating system on it. Locks end with their
//! process, so whoever gets the lock of a temporary knows that nobody writes it
//! any more and may remove it. A process id alone would not tell: in a container
//! each program has the same, and another computer on the same disk its own.
//! Where a disk has no locks, nothing is removed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::{WriteError, folder_of, is_at};

/// Names to try where one process writes the same path several times at once.
const ATTEMPTS: u32 = 1000;

/// Bytes of a name that its temporary one begins with: disks that take the
/// shortest names (eCryptfs) take 143.
const LONGEST: usize = 100;

/// What a hidden name holds.
#[derive(Clone, Copy)]
pub(super) enum Ending {
    /// What is being written.
    New,
    /// A folder that steps aside for a new one.
    Old,
}

impl Ending {
    fn text(self) -> &'static str {
        match self {
            Self::New => ".tmp",
            Self::Old => ".old",
        }
    }
}

/// Something half-written. Removed when dropped, unless it was kept.
pub(super) struct Temporary {
    path: PathBuf,
    /// Of a folder, its lock; that of a file is the file.
    _lock: Option<File>,
    is_kept: bool,
}

impl Temporary {
    /// An empty file beside `path`, locked and open for writing.
    pub(super) fn file(path: &Path) -> Result<(Self, File), WriteError> {
        let make = |temporary: &Path| {
            let mut options = OpenOptions::new();
            let file = options.write(true).create_new(true).open(temporary)?;
            Ok(is_ours(temporary, &file).then_some(file))
        };
        let (path, file) = reserve(path, make)?;
        Ok((Self::new(path, None), file))
    }

    /// An empty folder beside `path`, locked where the system can.
    pub(super) fn folder(path: &Path) -> Result<Self, WriteError> {
        let make = |temporary: &Path| {
            fs::create_dir(temporary)?;
            // Not every system opens folders.
            let lock = File::open(temporary).ok();
            let ours = lock.as_ref().is_none_or(|lock| is_ours(temporary, lock));
            Ok(ours.then_some(lock))
        };
        let (path, lock) = reserve(path, make)?;
        Ok(Self::new(path, lock))
    }

    fn new(path: PathBuf, lock: Option<File>) -> Self {
        Self {
            path,
            _lock: lock,
            is_kept: false,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// It has its name now.
    pub(super) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_kept {
            // The error that brought us here is the one to report.
            let _ = remove(&self.path);
        }
    }
}

/// A hidden name beside `path` at which nothing stands.
pub(super) fn free_name(path: &Path, ending: Ending) -> io::Result<PathBuf> {
    (0..ATTEMPTS)
        .map(|attempt| hidden(path, attempt, ending))
        .find(|name| name.symlink_metadata().is_err())
        .ok_or_else(|| io::ErrorKind::AlreadyExists.into())
}

/// Removes what killed writers of `path` left. Nobody waits for this, so what
/// cannot be removed stays, untold.
pub(super) fn sweep(path: &Path, ending: Ending) {
    let Ok(entries) = fs::read_dir(folder_of(path)) else {
        return;
    };
    let start = format!("{}.", start(path));
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let Some(numbers) = name
            .strip_prefix(&start)
            .and_then(|rest| rest.strip_suffix(ending.text()))
        else {
            continue;
        };
        let is_number =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let is_temporary = numbers
            .split_once('-')
            .is_some_and(|(process, attempt)| is_number(process) && is_number(attempt));
        // Never opens what could block (a pipe) or lead elsewhere (a link).
        let kind = entry.file_type();
        if is_temporary && kind.is_ok_and(|kind| kind.is_file() || kind.is_dir()) {
            remove_if_left(&entry.path());
        }
    }
}

/// Removes a file, a link, or a folder with all that is in it.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match path.symlink_metadata()?.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    }
}

/// Removes a temporary whose writer is gone.
fn remove_if_left(path: &Path) {
    let opened = match path.is_dir() {
        true => File::open(path),
        // Disks of the network lock only what is open for writing.
        false => OpenOptions::new().read(true).write(true).open(path),
    };
    if let Ok(file) = opened
        && file.try_lock().is_ok()
        // It may have got its name meanwhile, and the next writer this one. What is
        // there and locked here is nobody's: whoever made it has ended, or looks for
        // the lock and takes another name.
        && is_at(&file, path)
    {
        let _ = remove(path);
    }
}

/// Makes something under the first free temporary name beside `path`; `make` says
/// `None` where it was taken away at once.
fn reserve<T>(
    path: &Path,
    mut make: impl FnMut(&Path) -> io::Result<Option<T>>,
) -> Result<(PathBuf, T), WriteError> {
    let failed = |error| WriteError::while_(path, "creating")(error);
    if path.file_name().is_none() {
        return Err(failed(io::ErrorKind::InvalidInput.into()));
    }
    for attempt in 0..ATTEMPTS {
        let temporary = hidden(path, attempt, Ending::New);
        match make(&temporary) {
            Ok(Some(made)) => return Ok((temporary, made)),
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Err(failed(io::ErrorKind::AlreadyExists.into()))
}

/// Locks a new temporary. False where a sweeper was faster and has removed it, or
/// is about to. Without locks nobody sweeps.
fn is_ours(path: &Path, file: &File) -> bool {
    !matches!(file.try_lock(), Err(TryLockError::WouldBlock)) && is_at(file, path)
}

fn hidden(path: &Path, attempt: u32, ending: Ending) -> PathBuf {
    let process = std::process::id();
    let name = format!("{}.{process}-{attempt}{}", start(path), ending.text());
    path.with_file_name(name)
}

/// How temporary names of `path` begin: as its name does. Long names that begin
/// alike share it, which does no harm: only what nobody writes is removed.
fn start(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let end = (0..=LONGEST.min(name.len()))
        .rev()
        .find(|end| name.is_char_boundary(*end));
    format!(".{}", &name[..end.unwrap_or(0)])
}
