//! Every command that the program prints does what it says when it is pasted into a
//! shell, whatever the names of files and classes hold.
//!
//! What is printed is given to a real `sh`, in which `unet3d` is the program under
//! test, and read back by a splitter of words that knows the rules of POSIX.

#![cfg(unix)]
#![allow(clippy::panic, reason = "a test says so by panicking")]

mod common;

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Folder, Ran, blobs, program, sparse};

/// Names that a shell would take apart, expand or obey.
const FOLDERS: [&str; 5] = [
    "my data",
    "it's \"raw\"",
    "$HOME & (co); `id`",
    "Größe 画像 #1",
    "a*b?[c]~{d,e}!\\ |<x>",
];

/// A folder with a volume, its sparse labels and a mask, under names as these.
fn volumes(name: &str) -> Folder {
    let folder = Folder::new();
    let (image, labels) = blobs([24, 20, 24], 1);
    let sparse = sparse(&labels);
    folder.volume(&format!("{name}/the image.nii.gz"), &image);
    folder.volume(&format!("{name}/the labels.nii.gz"), &sparse);
    folder.volume("plain.nii.gz", &image);
    folder
}

/// Runs the program in a folder; names are relative to it, as people give them.
fn within(folder: &Folder, arguments: &[&str]) -> Ran {
    let mut command = program(arguments);
    let ran = command.current_dir(folder.path("."));
    Ran::of(ran.output().expect("started"))
}

fn well(folder: &Folder, arguments: &[&str]) -> Ran {
    let ran = within(folder, arguments);
    assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
    ran
}

/// The printed commands, without the spaces before them.
fn printed<'a>(ran: &'a Ran, command: &str) -> Vec<&'a str> {
    let begin = format!("unet3d {command} ");
    let lines = ran.stdout.lines().chain(ran.stderr.lines());
    let lines = lines.map(str::trim_start);
    lines.filter(|line| line.starts_with(&begin)).collect()
}

fn the_one<'a>(ran: &'a Ran, command: &str) -> &'a str {
    let found = printed(ran, command);
    assert_eq!(found.len(), 1, "{command}: {ran:?}");
    found[0]
}

/// Pastes a line into a shell.
fn paste(folder: &Folder, line: &str) -> Ran {
    let script = format!("unet3d() {{ \"$PROGRAM\" \"$@\"; }}\n{line}\n");
    let output = Command::new("sh")
        .args(["-c", &script])
        .env("PROGRAM", env!("CARGO_BIN_EXE_unet3d"))
        .env_remove("CARGO")
        .env_remove("CARGO_MANIFEST_DIR")
        .current_dir(folder.path("."))
        .stdin(Stdio::null())
        .output();
    let ran = Ran::of(output.expect("sh"));
    assert_eq!(ran.code, Some(0), "{line}: {ran:?}");
    ran
}

/// The words of a line, by the rules of POSIX shells, and `$'...'`.
fn words(line: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut chars = line.chars().peekable();
    let push = |word: &mut Option<Vec<u8>>, c: char| {
        let mut buffer = [0; 4];
        word.get_or_insert_default()
            .extend(c.encode_utf8(&mut buffer).as_bytes());
    };
    while let Some(c) = chars.next() {
        match c {
            ' ' => out.extend(
                word.take()
                    .map(|w| String::from_utf8_lossy(&w).into_owned()),
            ),
            '\'' => {
                word.get_or_insert_default();
                for c in chars.by_ref().take_while(|c| *c != '\'') {
                    push(&mut word, c);
                }
            }
            '\\' => push(&mut word, chars.next().expect("a character")),
            '$' if chars.peek() == Some(&'\'') => {
                chars.next();
                while let Some(c) = chars.next().filter(|c| *c != '\'') {
                    match (c, chars.peek().copied()) {
                        ('\\', Some('0'..='7')) => {
                            let digits: String = chars.by_ref().take(3).collect();
                            let byte = u8::from_str_radix(&digits, 8).expect("octal");
                            word.get_or_insert_default().push(byte);
                        }
                        ('\\', _) => push(&mut word, chars.next().expect("a character")),
                        _ => push(&mut word, c),
                    }
                }
            }
            c if "$`\"*?[]{}()<>|&;#~!".contains(c) => {
                panic!("a shell would not read {c} as it stands: {line}")
            }
            c => push(&mut word, c),
        }
    }
    out.extend(word.map(|w| String::from_utf8_lossy(&w).into_owned()));
    out
}

#[test]
fn commands_after_a_fill_run_whatever_the_names() {
    for name in FOLDERS {
        let folder = volumes(name);
        let path = |file: &str| format!("{name}/{file}");
        let [image, labels, out] =
            ["the image.nii.gz", "the labels.nii.gz", "out 1.nii.gz"].map(path);
        let ran = well(
            &folder,
            &[
                "fill",
                &image,
                &labels,
                "-o",
                &out,
                "--unlabeled",
                "0",
                "--classes",
                "1=in 'side' $x,2=out (\"far\")",
                "--iterations",
                "1",
                "--patch",
                "16,16,16",
            ],
        );
        // Read back word by word,
        let suggest = the_one(&ran, "suggest");
        let read = words(suggest);
        for word in [&image, &labels, "1=in 'side' $x,2=out (\"far\")"] {
            assert!(read.iter().any(|w| w == word), "{word}: {suggest}");
        }
        // run as they are,
        let suggested = paste(&folder, suggest);
        let predict = the_one(&ran, "predict");
        paste(
            &folder,
            &predict.replace("IMAGE -o OUT", "plain.nii.gz -o again.npy"),
        );
        assert!(folder.path("again.npy").is_file(), "{predict}");
        // and so does what `suggest` prints, and longer training.
        let fill = the_one(&suggested, "fill");
        paste(
            &folder,
            &format!(
                "{} --iterations 1 --patch 16,16,16",
                fill.replace("-o OUT", "-o filled.npy")
            ),
        );
        assert!(folder.path("filled.npy").is_file(), "{fill}");
        let longer = printed(&ran, "fill");
        let longer = longer.last().expect("a command");
        let minutes = longer.find("--minutes 30").expect("minutes");
        let read = words(&longer[..minutes]);
        assert_eq!(read[2..4], [image.clone(), labels.clone()], "{longer}");
        // The report shows the same commands.
        let report = std::fs::read_to_string(folder.path(&path("out 1.html"))).expect("a report");
        assert!(report.contains("unet3d suggest"));
        // Interpolation says what to do next as well.
        let plain = path("plain.npy");
        let ran = well(
            &folder,
            &[
                "fill",
                &image,
                &labels,
                "-o",
                &plain,
                "--unlabeled",
                "0",
                "--method",
                "interpolate",
            ],
        );
        let fill = the_one(&ran, "fill");
        paste(&folder, &format!("{fill} --iterations 1 --patch 16,16,16"));
        assert!(folder.path(&path("plain-network.npy")).is_file(), "{fill}");
    }
}

#[test]
fn names_that_begin_with_a_dash_are_no_flags() {
    let folder = volumes(".");
    for (from, to) in [
        ("the image.nii.gz", "-image.nii.gz"),
        ("the labels.nii.gz", "--labels.nii.gz"),
    ] {
        std::fs::rename(folder.path(from), folder.path(to)).expect("renamed");
    }
    let ran = well(
        &folder,
        &[
            "fill",
            "--annotated=--labels.nii.gz",
            "-o=-out.nii.gz",
            "--iterations=1",
            "--patch=16,16,16",
            "--",
            "-image.nii.gz",
            "--labels.nii.gz",
        ],
    );
    let suggested = paste(&folder, the_one(&ran, "suggest"));
    let fill = the_one(&suggested, "fill").replace("-o OUT", "-o filled.npy");
    paste(&folder, &format!("{fill} --iterations 1 --patch 16,16,16"));
    let predict = the_one(&ran, "predict");
    paste(
        &folder,
        &predict.replace("IMAGE -o OUT", "./-image.nii.gz -o again.npy"),
    );
}

#[test]
fn a_mask_with_spaces_is_one_word() {
    let folder = volumes("my data");
    let (_, labels) = blobs([24, 20, 24], 1);
    folder.volume("my data/the mask.nii.gz", &sparse(&labels));
    let ran = well(
        &folder,
        &[
            "fill",
            "my data/the image.nii.gz",
            "my data/the labels.nii.gz",
            "-o",
            "out.nii.gz",
            "--annotated",
            "my data/the mask.nii.gz",
            "--iterations",
            "1",
            "--patch",
            "16,16,16",
        ],
    );
    let suggest = the_one(&ran, "suggest");
    assert!(
        words(suggest)
            .iter()
            .any(|w| w == "my data/the mask.nii.gz"),
        "{suggest}"
    );
    paste(&folder, suggest);
}

#[test]
fn control_characters_are_escaped() {
    let name = "two\nlines \u{1b}[31m";
    let folder = volumes(name);
    let path = |file: &str| format!("{name}/{file}");
    let (image, labels) = (path("the image.nii.gz"), path("the labels.nii.gz"));
    let ran = well(
        &folder,
        &[
            "fill",
            &image,
            &labels,
            "-o",
            "out.nii.gz",
            "--unlabeled",
            "0",
            "--iterations",
            "1",
            "--patch",
            "16,16,16",
        ],
    );
    let suggest = the_one(&ran, "suggest");
    assert!(!suggest.contains(char::is_control), "{suggest:?}");
    assert!(words(suggest).contains(&image), "{suggest}");
}

/// Starts the program in a folder, waits for a line on standard error, lets `then`
/// happen, presses Ctrl-C.
fn interrupted_after(folder: &Folder, arguments: &[&str], line: &str, then: impl Fn()) -> Ran {
    let mut child = program(arguments)
        .current_dir(folder.path("."))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut stderr = BufReader::new(child.stderr.take().expect("standard error"));
    let mut said = String::new();
    while !said.contains(line) {
        let read = stderr.read_line(&mut said).expect("read");
        assert!(read > 0, "it ended before it said {line:?}: {said}");
    }
    then();
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(sent.expect("kill").success());
    stderr.read_to_string(&mut said).expect("read");
    let mut ran = Ran::of(child.wait_with_output().expect("ended"));
    ran.stderr = said;
    ran
}

#[test]
fn an_interrupted_training_says_how_to_go_on() {
    let folder = Folder::new();
    let (image, labels) = blobs([24, 20, 24], 1);
    folder.volume("my data/imagesTr/a.nii.gz", &image);
    folder.volume("my data/labelsTr/a.nii.gz", &sparse(&labels));
    folder.bytes(
        "my data/dataset.json",
        br#"{"labels": {"inside": 1, "outside": 2, "ignore": 0}, "file_ending": ".nii.gz"}"#,
    );
    let ran = interrupted_after(
        &folder,
        &[
            "train",
            "my data",
            "-o",
            "the run",
            "--iterations",
            "100000",
            "--patch",
            "16,16,16",
        ],
        "Memory at most",
        || (),
    );
    assert_eq!(ran.code, Some(130), "{ran:?}");
    let resume = the_one(&ran, "train");
    let expected = ["unet3d", "train", "my data", "-o", "the run", "--resume"];
    assert_eq!(words(resume), expected);
    let report = std::fs::read_to_string(folder.path("the run/report.html")).expect("a report");
    assert!(report.contains("interrupted") && report.contains("--resume"));
    let steps = || {
        let log = std::fs::read_to_string(folder.path("the run/log.jsonl")).expect("a log");
        log.lines().filter(|l| l.contains("\"step\"")).count()
    };
    let done = steps();
    let read = words(resume);
    let read: Vec<&str> = read[1..].iter().map(String::as_str).collect();
    let again = interrupted_after(&folder, &read, "Memory at most", || ());
    assert_eq!(again.code, Some(130), "{again:?}");
    assert!(steps() > done);
    assert_eq!(the_one(&again, "train"), resume);
    let predict = the_one(&ran, "predict");
    paste(
        &folder,
        &predict.replace("IMAGE -o OUT", "'my data/imagesTr/a.nii.gz' -o out.npy"),
    );
}

#[test]
fn commands_begin_as_the_program_was_started() {
    let folder = volumes("d");
    let arguments = [
        "fill",
        "d/the image.nii.gz",
        "d/the labels.nii.gz",
        "-o",
        "out.npy",
        "--unlabeled",
        "0",
        "--method",
        "interpolate",
        "--json",
    ];
    let said = |variables: &[(&str, &str)]| {
        let mut command = program(&arguments);
        command
            .current_dir(folder.path("."))
            .envs(variables.iter().copied());
        let ran = Ran::of(command.output().expect("started"));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        std::fs::remove_file(folder.path("out.npy")).expect("removed");
        std::fs::remove_file(folder.path("out.html")).expect("removed");
        ran.stderr
    };
    // The tests are built in the profile that cargo calls by the folder's name.
    let profile = Path::new(env!("CARGO_BIN_EXE_unet3d")).parent();
    let by_cargo = match profile.and_then(Path::file_name).and_then(OsStr::to_str) {
        Some("release") => "cargo run --release -- fill",
        Some("debug") => "cargo run -- fill",
        _ => "unet3d fill",
    };
    let cargo = ("CARGO", "/usr/bin/cargo");
    let folder_of_cargo = ("CARGO_MANIFEST_DIR", "/source/crates/cli");
    assert!(said(&[cargo, folder_of_cargo]).contains(by_cargo));
    // What a script sets by itself is no sign of cargo.
    for variables in [&[][..], &[cargo], &[folder_of_cargo]] {
        let said = said(variables);
        assert!(said.contains("    unet3d fill"), "{variables:?}: {said}");
    }
}

#[test]
fn the_splitter_of_words_reads_as_a_shell_does() {
    let line = r"a 'b c' 'it'\''s' $'x\012\'y' '' z";
    assert_eq!(words(line), ["a", "b c", "it's", "x\n'y", "", "z"]);
    let printed = Command::new("sh")
        .args(["-c", r#"printf '<%s>' a 'b c' 'it'\''s' '' z"#])
        .output()
        .expect("sh");
    assert_eq!(printed.stdout, b"<a><b c><it's><><z>");
}

#[test]
fn a_folder_that_vanishes_during_training_is_made_again() {
    let folder = volumes("d");
    let ran = interrupted_after(
        &folder,
        &[
            "fill",
            "d/the image.nii.gz",
            "d/the labels.nii.gz",
            "-o",
            "results/a/out.nii.gz",
            "--unlabeled",
            "0",
            "--iterations",
            "100000",
            "--patch",
            "16,16,16",
        ],
        "Memory at most",
        || std::fs::remove_dir_all(folder.path("results")).expect("removed"),
    );
    assert_eq!(ran.code, Some(130), "{ran:?}");
    for file in ["out.nii.gz", "out.unet3d.safetensors", "out.html"] {
        let path = folder.path(&format!("results/a/{file}"));
        assert!(path.is_file(), "{file}: {ran:?}");
    }
    assert!(ran.stderr.contains("made again"), "{ran:?}");
}

#[test]
fn what_was_learned_is_kept_where_its_folder_became_a_file() {
    let folder = volumes("d");
    let results = folder.path("results");
    let ran = interrupted_after(
        &folder,
        &[
            "fill",
            "d/the image.nii.gz",
            "d/the labels.nii.gz",
            "-o",
            "results/out.nii.gz",
            "--unlabeled",
            "0",
            "--iterations",
            "100000",
            "--patch",
            "16,16,16",
        ],
        "Memory at most",
        || {
            std::fs::remove_dir_all(&results).expect("removed");
            std::fs::write(&results, b"a file").expect("written");
        },
    );
    assert_eq!(ran.code, Some(1), "{ran:?}");
    // Beside it, in the current folder; the report can be made again.
    for file in ["out.nii.gz", "out.unet3d.safetensors"] {
        assert!(folder.path(file).is_file(), "{file}: {ran:?}");
        assert!(
            ran.stderr.contains(&format!("as ./{file} instead")),
            "{ran:?}"
        );
        assert!(ran.stdout.contains(&format!("./{file}")), "{ran:?}");
    }
    let volume = unet3d_volume::read(&folder.path("out.nii.gz")).expect("read");
    assert_eq!(volume.geometry.shape, [24, 20, 24]);
    assert!(ran.stderr.contains("results/out.html"), "{ran:?}");
    assert!(!ran.stdout.contains("out.html"), "{ran:?}");
    // What is printed names the files where they are.
    paste(&folder, the_one(&ran, "suggest"));
}

#[test]
fn a_report_that_cannot_be_written_costs_nothing_else() {
    let folder = volumes("d");
    let ran = interrupted_after(
        &folder,
        &[
            "fill",
            "d/the image.nii.gz",
            "d/the labels.nii.gz",
            "-o",
            "out.nii.gz",
            "--unlabeled",
            "0",
            "--uncertainty",
            "doubts.npy",
            "--iterations",
            "100000",
            "--patch",
            "16,16,16",
            "--json",
        ],
        "Memory at most",
        || {
            for name in ["out.html", "doubts.npy"] {
                std::fs::create_dir(folder.path(name)).expect("a folder in its place");
            }
        },
    );
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let json = ran.json();
    for (name, is_there) in [
        ("segmentation", true),
        ("model", true),
        ("uncertainty", false),
        ("report", false),
    ] {
        assert_eq!(json[name].is_string(), is_there, "{name}: {json}");
    }
    for part in ["error: ", "doubts.npy", "out.html"] {
        assert!(ran.stderr.contains(part), "{part}: {ran:?}");
    }
    assert!(folder.path("out.nii.gz").is_file() && folder.path("out.unet3d.safetensors").is_file());
}

#[test]
fn what_was_learned_is_kept_where_the_volume_cannot_be_segmented() {
    let folder = volumes("my data");
    // After one such step no prediction is a number.
    folder.bytes(
        "config.toml",
        b"[optimizer]\nkind = \"adam\"\nrate = 1e37\n",
    );
    let ran = within(
        &folder,
        &[
            "fill",
            "my data/the image.nii.gz",
            "my data/the labels.nii.gz",
            "-o",
            "my data/out.nii.gz",
            "--unlabeled",
            "0",
            "--iterations",
            "1",
            "--patch",
            "16,16,16",
            "--config",
            "config.toml",
        ],
    );
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let model = "my data/out.unet3d.safetensors";
    assert!(folder.path(model).is_file(), "{ran:?}");
    assert!(!folder.path("my data/out.nii.gz").exists(), "{ran:?}");
    assert!(ran.stderr.contains("not finite"), "{ran:?}");
    let expected = [
        "unet3d",
        "predict",
        model,
        "my data/the image.nii.gz",
        "-o",
        "my data/out.nii.gz",
    ];
    assert_eq!(words(the_one(&ran, "predict")), expected);
}

#[test]
fn stated_slices_of_several_directions_are_pasted_whole() {
    let folder = volumes("my data");
    // The labels are 0 off the slices 3, 11 and 19 across z, which are stated with one
    // that is empty across another direction.
    let stated = "z=3,11,19,x=0..4:2";
    let ran = well(
        &folder,
        &[
            "fill",
            "my data/the image.nii.gz",
            "my data/the labels.nii.gz",
            "-o",
            "out.nii.gz",
            "--annotated-slices",
            stated,
            "--iterations",
            "1",
            "--patch",
            "16,16,16",
        ],
    );
    let suggested = paste(&folder, the_one(&ran, "suggest"));
    let fill = the_one(&suggested, "fill").replace("-o OUT", "-o filled.npy");
    paste(&folder, &format!("{fill} --iterations 1 --patch 16,16,16"));
}
