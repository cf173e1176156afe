//! Commands that are printed for a person to run: pasted into a shell, each does what
//! it says, whatever the names of files and classes hold.
//!
//! Comes in: the command, paths, flags with their values. Leaves: one line, begun by
//! the program as it was started, quoted for the shell of the system: POSIX shells
//! (sh, bash, zsh), or cmd and PowerShell on Windows.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

/// A command of this program, word by word.
#[derive(Clone, Debug)]
pub(crate) struct CommandLine {
    words: Vec<OsString>,
}

impl CommandLine {
    /// `unet3d COMMAND`, without arguments so far.
    pub(crate) fn new(command: &str) -> Self {
        Self {
            words: vec![command.into()],
        }
    }

    /// A file or folder. One whose name begins with a dash would be taken for a flag:
    /// it is named from the current folder.
    pub(crate) fn path(self, path: &Path) -> Self {
        let word = match path.as_os_str().as_encoded_bytes().first() {
            Some(b'-') => Path::new(".").join(path).into_os_string(),
            _ => path.as_os_str().to_owned(),
        };
        self.word(&word)
    }

    /// A flag, a value, or what stands in the place of one (`OUT`).
    pub(crate) fn word(mut self, word: impl AsRef<OsStr>) -> Self {
        self.words.push(word.as_ref().to_owned());
        self
    }

    /// Several words.
    pub(crate) fn words(mut self, words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let words = words.into_iter();
        self.words.extend(words.map(|w| w.as_ref().to_owned()));
        self
    }

    /// A flag where it applies.
    pub(crate) fn flag_if(self, applies: bool, flag: &str) -> Self {
        if applies { self.word(flag) } else { self }
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(program())?;
        for word in &self.words {
            write!(f, " {}", quoted(word, Shell::of_system()))?;
        }
        Ok(())
    }
}

/// Words as a person types them in a command.
pub(crate) fn words(words: &[OsString]) -> String {
    let quoted: Vec<String> = words
        .iter()
        .map(|w| quoted(w, Shell::of_system()))
        .collect();
    quoted.join(" ")
}

/// How the person started the program: `cargo run` is known by the variables that it
/// sets for what it runs.
pub(crate) fn program() -> &'static str {
    let is_of_cargo = ["CARGO", "CARGO_MANIFEST_DIR"].map(|name| env::var_os(name).is_some());
    match is_of_cargo {
        [true, true] => program_of_cargo(env::current_exe().ok()),
        _ => "unet3d",
    }
}

/// What runs this program again where cargo started it: programs of a profile lie in
/// the folder of its name.
fn program_of_cargo(executable: Option<PathBuf>) -> &'static str {
    let executable = executable.unwrap_or_default();
    match executable.parent().and_then(Path::file_name) {
        Some(profile) if profile == "release" => "cargo run --release --",
        Some(profile) if profile == "debug" => "cargo run --",
        // Cargo runs another program, which runs this one.
        _ => "unet3d",
    }
}

/// Whose rules a command follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shell {
    /// sh, bash, zsh and others alike.
    Posix,
    /// cmd and PowerShell, as far as both agree.
    Windows,
}

impl Shell {
    fn of_system() -> Self {
        if cfg!(windows) {
            Self::Windows
        } else {
            Self::Posix
        }
    }

    /// Whether a character means itself without quotes. A comma makes a list in
    /// PowerShell; a backslash is a part of a path for Windows alone.
    fn is_plain(self, c: char) -> bool {
        c.is_alphanumeric()
            || "./-_+=:".contains(c)
            || match self {
                Self::Posix => ",@%".contains(c),
                Self::Windows => c == '\\',
            }
    }
}

/// A word as the shell reads it back.
fn quoted(word: &OsStr, shell: Shell) -> String {
    let Some(text) = word.to_str() else {
        return match shell {
            Shell::Posix => escaped(word.as_encoded_bytes()),
            Shell::Windows => quoted(word.to_string_lossy().as_ref().as_ref(), shell),
        };
    };
    // zsh replaces a word that begins with = by a program of that name.
    let is_plain =
        !text.is_empty() && !text.starts_with('=') && text.chars().all(|c| shell.is_plain(c));
    match shell {
        _ if is_plain => text.to_owned(),
        Shell::Posix if text.chars().any(char::is_control) => escaped(text.as_bytes()),
        Shell::Posix => format!("'{}'", text.replace('\'', r"'\''")),
        Shell::Windows => in_double_quotes(text),
    }
}

/// `$'...'`, which holds every byte and shows none that a terminal would obey: line
/// breaks, control characters and what is no UTF-8, as octal numbers.
fn escaped(bytes: &[u8]) -> String {
    let mut out = String::from("$'");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\'' | '\\' => out.extend(['\\', c]),
                c if c.is_control() => {
                    let mut buffer = [0; 4];
                    out.push_str(&octal(c.encode_utf8(&mut buffer).as_bytes()));
                }
                c => out.push(c),
            }
        }
        out.push_str(&octal(chunk.invalid()));
    }
    out.push('\'');
    out
}

fn octal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:03o}")).collect()
}

/// Double quotes as Windows programs read them: a quote within is `\"`, and the
/// backslashes before a quote count twice.
fn in_double_quotes(text: &str) -> String {
    let mut out = String::from('"');
    let mut backslashes = 0;
    for c in text.chars() {
        if c == '"' {
            out.push_str(&"\\".repeat(backslashes + 1));
        }
        backslashes = if c == '\\' { backslashes + 1 } else { 0 };
        out.push(c);
    }
    out.push_str(&"\\".repeat(backslashes));
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posix(word: &str) -> String {
        quoted(word.as_ref(), Shell::Posix)
    }

    fn windows(word: &str) -> String {
        quoted(word.as_ref(), Shell::Windows)
    }

    #[test]
    fn plain_words_stay_as_they_are() {
        for word in [
            "fill",
            "a/b-1_x.nii.gz",
            "--unlabeled",
            "z,y,x",
            "0=inside,1=tubule",
            "Größe.tif",
            "画像.tif",
        ] {
            assert_eq!(posix(word), word);
        }
        assert_eq!(windows(r"C:\data\a.tif"), r"C:\data\a.tif");
    }

    #[test]
    fn other_words_are_quoted_for_posix_shells() {
        for (word, expected) in [
            ("", "''"),
            ("my data/the image.tif", "'my data/the image.tif'"),
            ("it's.tif", r"'it'\''s.tif'"),
            ("$HOME.tif", "'$HOME.tif'"),
            ("a(1).tif", "'a(1).tif'"),
            ("~x", "'~x'"),
            ("=ls", "'=ls'"),
            ("a*b?[c]", "'a*b?[c]'"),
            ("say \"a\"", "'say \"a\"'"),
            (r"back\slash", r"'back\slash'"),
            ("two\nlines", r"$'two\012lines'"),
            ("a\u{1b}[31m'b", r"$'a\033[31m\'b'"),
            ("no\u{a0}break", "'no\u{a0}break'"),
        ] {
            assert_eq!(posix(word), expected);
        }
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_no_utf_8_keep_their_bytes() {
        use std::os::unix::ffi::OsStrExt as _;
        let name = OsStr::from_bytes(b"caf\xe9 1.tif");
        assert_eq!(quoted(name, Shell::Posix), r"$'caf\351 1.tif'");
    }

    #[test]
    fn words_are_in_double_quotes_on_windows() {
        for (word, expected) in [
            ("", r#""""#),
            (r"C:\my data\a.tif", r#""C:\my data\a.tif""#),
            (r"C:\my data\", r#""C:\my data\\""#),
            (r#"1=say "a""#, r#""1=say \"a\"""#),
            (r#"a b\"c"#, r#""a b\\\"c""#),
            ("z,y,x", r#""z,y,x""#),
            ("a&b", r#""a&b""#),
        ] {
            assert_eq!(windows(word), expected);
        }
    }

    #[test]
    fn a_path_is_never_a_flag() {
        let line = CommandLine::new("info").path(Path::new("-x.nii"));
        assert_eq!(line.words[1], "./-x.nii");
        let line = CommandLine::new("info").path(Path::new("a/-x.nii"));
        assert_eq!(line.words[1], "a/-x.nii");
    }

    #[test]
    fn cargo_runs_the_profile_that_it_ran() {
        let of = |path: &str| program_of_cargo(Some(path.into()));
        assert_eq!(of("/p/target/release/unet3d"), "cargo run --release --");
        assert_eq!(
            of("/p/target/x86_64-unknown-linux-gnu/release/unet3d"),
            "cargo run --release --"
        );
        assert_eq!(of("/p/target/debug/unet3d"), "cargo run --");
        assert_eq!(of("/home/a/.cargo/bin/unet3d"), "unet3d");
        assert_eq!(program_of_cargo(None), "unet3d");
    }
}
