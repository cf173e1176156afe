//! Faults around the program: two runs in one folder, folders that vanish, killed
//! writers, links, pipes, names that would move the cursor, damaged models, sizes
//! beyond all computers. Nothing is lost, nothing hangs, nothing is silent.
//! docs/correctness.md lists these tests under "Faults".

#![allow(clippy::panic, reason = "a test says so by panicking")]

mod common;

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{Folder, Ran, blobs, model, program, run, run_well, sparse};
use unet3d_train::lock::Lock;

/// A data set in the usual layout, a pair of volumes, a configuration of quick steps.
fn data_set() -> Folder {
    let folder = Folder::new();
    for i in 0..2 {
        let (image, labels) = blobs([24, 16, 20], i);
        folder.volume(&format!("data/imagesTr/case{i}.nii"), &image);
        folder.volume(&format!("data/labelsTr/case{i}.nii"), &sparse(&labels));
    }
    folder.bytes(
        "data/dataset.json",
        br#"{"labels": {"inside": 1, "outside": 2, "ignore": 0}, "file_ending": ".nii"}"#,
    );
    config(&folder, 6);
    folder
}

/// Writes a configuration of so many steps.
fn config(folder: &Folder, iterations: u32) {
    let text = format!(
        "patch = [16, 16, 16]\nbatch = 1\ncheckpoint_every = 2\nvalidate_every = 50\n[budget]\niterations = {iterations}\n"
    );
    folder.bytes("config.toml", text.as_bytes());
}

const TRAIN: &str = "train @data -o @run --config @config.toml";
const FILL: &str = "fill @data/imagesTr/case0.nii @data/labelsTr/case0.nii -o @out.nii --unlabeled 0 \
                    --config @config.toml";

/// Starts the program; `@name` stands for a path in `folder`.
fn start(folder: &Folder, arguments: &str) -> Child {
    let arguments: Vec<String> = arguments
        .split_whitespace()
        .map(|word| match word.strip_prefix('@') {
            Some(name) => folder.path(name).display().to_string(),
            None => word.to_owned(),
        })
        .collect();
    let mut command = program(&arguments);
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("started")
}

/// Waits for what must come soon: 60 s are enough on the slowest machine.
#[track_caller]
fn wait_until(what: &str, mut is_there: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if is_there() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("waited for {what}");
}

/// Runs the program, which must end by itself.
#[track_caller]
fn run_to_its_end(folder: &Folder, arguments: &str) -> Ran {
    let mut child = start(folder, arguments);
    let mut ended = false;
    for _ in 0..6000 {
        if child.try_wait().expect("waited").is_some() {
            ended = true;
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    if !ended {
        child.kill().expect("killed");
    }
    assert!(ended, "hangs: {arguments}");
    Ran::of(child.wait_with_output().expect("ended"))
}

/// Refused with code 1 and an error that holds all of `words`.
#[track_caller]
fn refused(folder: &Folder, arguments: &str, words: &[&str]) -> Ran {
    let ran = run_to_its_end(folder, arguments);
    assert_eq!(ran.code, Some(1), "{arguments}: {ran:?}");
    assert!(!ran.stderr.contains("panicked"), "{ran:?}");
    for word in words {
        assert!(
            ran.stderr.contains(word),
            "{word:?} is missing in: {}",
            ran.stderr
        );
    }
    ran
}

/// Hidden files that are left.
fn hidden(folder: &Folder) -> Vec<String> {
    let files = folder.files().into_iter();
    files
        .filter(|name| name.starts_with('.') || name.contains("/."))
        .collect()
}

#[test]
fn two_runs_in_one_folder() {
    let folder = data_set();
    run_well(&folder, TRAIN);
    let volumes = "@data/imagesTr/case0.nii @data/labelsTr/case0.nii";
    let before = folder.files();
    let bytes = fs::read(folder.path("run/checkpoint.safetensors")).expect("read");
    let process = format!("process {}", std::process::id());
    for (place, command) in [
        ("run", format!("{TRAIN} --resume")),
        ("run", format!("{FILL} --run @run --resume")),
        ("new", "train @data -o @new --config @config.toml".into()),
        ("new", format!("{FILL} --run @new")),
        ("new", "demo -o @new --iterations 1 --patch 16,32,32".into()),
        (
            "new",
            format!(
                "experiment slices-cv {volumes} --unlabeled 0 -o @new --folds 3 --networks 3d-bn \
                 --iterations 1 --patch 8,16,16 --batch 1"
            ),
        ),
        (
            "new",
            format!(
                "experiment suggest {volumes} -o @new --iterations 1 --patch 8,16,16 --batch 1 --most 3"
            ),
        ),
    ] {
        let lock = Lock::take(&folder.path(place)).expect("locked");
        let ran = run(&folder, &command);
        assert_eq!(ran.code, Some(1), "{command}: {ran:?}");
        for word in ["another run", &process, place] {
            assert!(
                ran.stderr.contains(word),
                "{command}: {word} is missing: {ran:?}"
            );
        }
        assert_eq!(ran.stdout, "");
        drop(lock);
        assert_eq!(folder.files(), before, "{command}");
    }
    let after = fs::read(folder.path("run/checkpoint.safetensors")).expect("read");
    assert_eq!(bytes, after);
}

#[test]
fn a_killed_run_frees_its_folder_and_its_temporary_files_go() {
    let folder = data_set();
    config(&folder, 100_000);
    let mut resume = "";
    for _ in 0..3 {
        let checkpoint = folder.path("run/checkpoint.safetensors");
        let written = || {
            fs::metadata(&checkpoint)
                .and_then(|file| file.modified())
                .ok()
        };
        let before = written();
        let mut child = start(&folder, &format!("{TRAIN} {resume}"));
        wait_until("a checkpoint of this run", || written() > before);
        // Meanwhile nobody else.
        refused(&folder, &format!("{TRAIN} --resume"), &["another run"]);
        child.kill().expect("killed");
        child.wait().expect("ended");
        resume = "--resume";
    }
    // What a kill in the middle of writing leaves, of this program's processes.
    for name in [
        "checkpoint.safetensors",
        "last.unet3d.safetensors",
        "config.toml",
        "log.jsonl",
    ] {
        folder.bytes(&format!("run/.{name}.123-0.tmp"), b"half");
        folder.bytes(&format!("run/.{name}.4000000-7.tmp"), b"half");
    }
    folder.bytes(".other.nii.1-0.tmp", b"of another name");
    folder.bytes(".volume.nii.1-0.tmp", b"half");
    fs::create_dir_all(folder.path(".slices.1-0.tmp/half")).expect("made");
    // A few steps more, under the number of them that the run was begun with.
    let mut child = start(&folder, &format!("{TRAIN} --resume"));
    let is_clean = || {
        !hidden(&folder)
            .iter()
            .any(|name| name.starts_with("run/") && name.ends_with(".tmp"))
    };
    wait_until("clean folders", is_clean);
    child.kill().expect("killed");
    child.wait().expect("ended");
    for out in ["volume.nii", "slices"] {
        run_well(&folder, &format!("convert @data/imagesTr/case0.nii @{out}"));
    }
    let left: Vec<String> = hidden(&folder)
        .into_iter()
        .filter(|name| !name.starts_with("run/"))
        .collect();
    assert_eq!(left, [".other.nii.1-0.tmp"]);
    assert!(!folder.path(".slices.1-0.tmp").exists());
}

#[test]
fn a_run_folder_that_vanishes_while_it_is_written() {
    // What was learned is there in the end: the folder is made again.
    let folder = data_set();
    config(&folder, 30);
    let take_away = |arguments: &str, spoil: bool| {
        let child = start(&folder, arguments);
        let checkpoint = folder.path("run/checkpoint.safetensors");
        wait_until("a checkpoint", || checkpoint.exists());
        // The program may be writing in it at this moment.
        wait_until("an empty place", || {
            fs::remove_dir_all(folder.path("run")).is_ok()
                && (!spoil || fs::write(folder.path("run"), "in the way").is_ok())
        });
        Ran::of(child.wait_with_output().expect("ended"))
    };
    let ran = take_away(TRAIN, false);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("made again"), "{ran:?}");
    run_well(&folder, "predict @run @data/imagesTr/case0.nii -o @p.nii");
    run_well(&folder, &format!("{TRAIN} --resume"));
    assert_eq!(hidden(&folder), Vec::<String>::new());

    // Where it cannot be, the run is beside it, and that is told.
    fs::remove_dir_all(folder.path("run")).expect("removed");
    let ran = take_away(TRAIN, true);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("run-rescued instead"), "{ran:?}");
    assert!(ran.stderr.contains("--resume"), "{ran:?}");
    run_well(
        &folder,
        "predict @run-rescued @data/imagesTr/case0.nii -o @q.nii",
    );
    run_well(
        &folder,
        "train @data -o @run-rescued --config @config.toml --resume",
    );

    // A result of fill is not in the run's folder, so it is there all the same.
    fs::remove_file(folder.path("run")).expect("removed");
    fs::remove_dir_all(folder.path("run-rescued")).expect("removed");
    let ran = take_away(&format!("{FILL} --run @run"), true);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("run-rescued instead"), "{ran:?}");
    for name in ["out.nii", "out.html", "out.unet3d.safetensors"] {
        assert!(folder.path(name).is_file(), "{name}");
    }
}

#[test]
fn a_bad_line_in_the_log_does_not_forbid_resuming() {
    let folder = data_set();
    run_well(&folder, TRAIN);
    let path = folder.path("run/log.jsonl");
    let text = fs::read_to_string(&path).expect("read");
    for bad in ["garbage", "\u{1b}[2J", "{\"kind\":\"step\"}", "[[[[[["] {
        let lines: Vec<&str> = text
            .lines()
            .enumerate()
            .map(|(i, line)| if i == 2 { bad } else { line })
            .collect();
        fs::write(&path, lines.join("\n")).expect("written");
        let ran = run_well(&folder, &format!("{TRAIN} --resume"));
        assert!(ran.stderr.contains("log.jsonl"), "{ran:?}");
        assert!(ran.stderr.contains("the run goes on"), "{ran:?}");
    }
}

#[test]
fn predict_twice_into_one_folder() {
    let folder = Folder::new();
    folder.bytes("m.safetensors", &model(1).to_bytes().expect("bytes"));
    for (seed, name) in ["a.nii", "b.nii", "slices"].into_iter().enumerate() {
        folder.volume(name, &blobs([16, 16, 16], seed).0);
    }
    for name in ["a.nii", "slices"] {
        let first = run_well(&folder, &format!("predict @m.safetensors @{name} -o @out/"));
        let files = folder.files();
        // The same again would replace it, and says so.
        let ran = refused(
            &folder,
            &format!("predict @m.safetensors @{name} -o @out/"),
            &["--overwrite"],
        );
        assert_eq!(folder.files(), files, "{first:?} then {ran:?}");
        run_well(
            &folder,
            &format!("predict @m.safetensors @{name} -o @out/ --overwrite"),
        );
        assert_eq!(folder.files(), files);
    }
    // Another one lies beside the first, never within.
    run_well(&folder, "predict @m.safetensors @b.nii -o @out/");
    let results = fs::read_dir(folder.path("out")).expect("listed");
    let mut shapes = Vec::new();
    for result in results {
        let path = result.expect("an entry").path();
        let volume = unet3d_volume::read(&path).unwrap_or_else(|e| panic!("{e}"));
        shapes.push(volume.geometry.shape);
    }
    assert_eq!(shapes, [[16; 3]; 3], "{:?}", folder.files());
}

#[cfg(unix)]
#[test]
fn links_where_temporary_files_will_be() {
    use std::os::unix::fs::symlink;

    let folder = data_set();
    folder.bytes("precious", b"precious");
    fs::create_dir_all(folder.path("run")).expect("made");
    let names = [
        "checkpoint.safetensors",
        "last.unet3d.safetensors",
        "config.toml",
        "log.jsonl",
    ];
    for name in names {
        symlink(
            folder.path("precious"),
            folder.path(&format!("run/.{name}.part")),
        )
        .expect("linked");
        // In the place of a file too: it is replaced, not followed.
        if name != "checkpoint.safetensors" {
            symlink(folder.path("precious"), folder.path(&format!("run/{name}"))).expect("linked");
        }
    }
    symlink(folder.path("precious"), folder.path("out.nii")).expect("linked");
    run_well(&folder, TRAIN);
    run_well(
        &folder,
        "predict @run @data/imagesTr/case0.nii -o @again.nii",
    );
    run_well(&folder, "convert @data/imagesTr/case0.nii @again.npy");
    assert_eq!(
        fs::read(folder.path("precious")).expect("read"),
        b"precious"
    );
    // A link as the lock itself.
    let other = data_set();
    other.bytes("precious", b"precious");
    fs::create_dir_all(other.path("run")).expect("made");
    symlink(other.path("precious"), other.path("run/.lock")).expect("linked");
    refused(&other, TRAIN, &[".lock"]);
    assert_eq!(fs::read(other.path("precious")).expect("read"), b"precious");
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_in_the_place_of_files() {
    let folder = data_set();
    folder.bytes("model.safetensors", &model(1).to_bytes().expect("bytes"));
    folder.volume("image.nii", &blobs([16, 16, 16], 1).0);
    fs::create_dir_all(folder.path("piped/imagesTr")).expect("made");
    fs::create_dir_all(folder.path("piped/labelsTr")).expect("made");
    fs::create_dir_all(folder.path("begun")).expect("made");
    for name in [
        "pipe",
        "pipe.toml",
        "pipe.safetensors",
        "pipe.nii",
        "piped/dataset.json",
        "begun/config.toml",
    ] {
        let made = Command::new("mkfifo").arg(folder.path(name)).status();
        assert!(made.expect("mkfifo").success());
    }
    let told = |arguments: &str, name: &str| {
        refused(&folder, arguments, &["a pipe or a device", name]);
    };
    // Read.
    told("train @data -o @new --config @pipe.toml", "pipe.toml");
    told("train @data -o @new --config /dev/zero", "/dev/zero");
    told("train @data -o @begun --resume", "config.toml");
    told("train @piped -o @new", "dataset.json");
    told("train @pipe.toml -o @new", "pipe.toml");
    told("bench --config @pipe", "pipe");
    told("info @pipe.safetensors", "pipe.safetensors");
    told("predict @pipe @image.nii -o @p.nii", "pipe");
    told("predict /dev/zero @image.nii -o @p.nii", "/dev/zero");
    let written = |arguments: &str| {
        refused(&folder, arguments, &["not a file"]);
    };
    // Written.
    for flag in ["--model", "--report"] {
        for place in ["@pipe", "/dev/null", "/dev/stdout", "/proc/self/fd/1"] {
            written(&format!("{FILL} {flag} {place}"));
        }
    }
    written("convert @image.nii @pipe.nii");
    assert!(!folder.path("new").exists());
    // Still pipes, of which nothing was read and into which nothing was written.
    use std::os::unix::fs::FileTypeExt;
    let kind = fs::symlink_metadata(folder.path("pipe.nii"))
        .expect("there")
        .file_type();
    assert!(kind.is_fifo());
}

/// Bytes that act on a terminal, in UTF-8: control characters but ends of lines, of
/// both sets, and what turns the direction of writing.
fn acts(text: &str) -> Option<char> {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .find(|c| c.is_control() && *c != '\n' || turns(*c))
}

#[test]
fn names_that_act_on_a_terminal() {
    let folder = Folder::new();
    let names = [
        "in\u{1b}]0;title\u{7}side\u{9b}2J",
        "out\r\u{8}\u{202e}side\u{7f}Ä",
    ];
    for i in 0..2 {
        let (image, labels) = blobs([24, 16, 20], i);
        folder.volume(&format!("imagesTr/c\u{1b}[31m\u{202e}{i}.nii"), &image);
        folder.volume(
            &format!("labelsTr/c\u{1b}[31m\u{202e}{i}.nii"),
            &sparse(&labels),
        );
        folder.volume(&format!("truth/c\u{1b}[31m\u{202e}{i}.nii"), &labels);
    }
    let description = serde_json::json!({
        "labels": {names[0]: 1, names[1]: 2, "ignore": 0}, "file_ending": ".nii",
        "name": "set\u{1b}[5m",
    });
    folder.bytes("dataset.json", description.to_string().as_bytes());
    config(&folder, 4);
    let place = folder.path("");
    let place = place.to_str().expect("UTF-8").trim_end_matches('/');
    let case = format!("{place}/imagesTr/c\u{1b}[31m\u{202e}0.nii");
    let labels = case.replace("imagesTr", "labelsTr");
    let classes = format!("1={},2={}", names[0], names[1]);
    let words = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
    let mut commands = vec![
        words(&format!(
            "train {place} -o {place}/run --config {place}/config.toml"
        )),
        words(&format!("info {place}/run")),
        words(&format!("info {place}/run --json")),
        words(&format!("check {place}")),
        words(&format!("check {place} --json")),
        words(&format!("info {case}")),
        words(&format!(
            "predict {place}/run {place}/imagesTr -o {place}/predicted"
        )),
        words(&format!("evaluate {place}/predicted {place}/truth --dense")),
        words(&format!(
            "fill {case} {labels} -o {place}/o\u{1b}[0m.nii --unlabeled 0 --iterations 2 --patch 16"
        )),
        // Errors.
        words(&format!("info {place}/no\u{1b}[31m\u{9b}thing.nii")),
        words(&format!("info {place} --flag\u{1b}[31m")),
        words("\u{1b}[31mcommand"),
        words(&format!("train {place}/list.toml -o {place}/r2")),
    ];
    commands[8].extend(["--classes".into(), classes]);
    folder.bytes(
        "list.toml",
        "[[case]]\nname = \"\\u001b[31m\"\nimage = 7\n".as_bytes(),
    );
    for arguments in &commands {
        let ran = Ran::of(program(arguments).output().expect("started"));
        for (stream, text) in [("output", &ran.stdout), ("error", &ran.stderr)] {
            assert_eq!(
                acts(text),
                None,
                "{arguments:?} on standard {stream}: {text:?}"
            );
        }
        assert!(!ran.stderr.contains("panicked"), "{ran:?}");
    }
    // Shown, not left out; letters stay letters.
    let ran = Ran::of(program(&commands[1]).output().expect("started"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.stdout.contains("in\\u{1b}]0;title") && ran.stdout.contains('Ä'),
        "{ran:?}"
    );
    let json = Ran::of(program(&commands[2]).output().expect("started")).json();
    assert!(json.to_string().contains("2J"), "{json}");
    assert_eq!(json["pipeline"]["classes"][0]["name"], names[0], "{json}");
}

#[test]
fn a_damaged_model_is_not_used() {
    let folder = Folder::new();
    folder.volume("image.nii", &blobs([16, 16, 16], 1).0);
    let sound = model(1).to_bytes().expect("bytes");
    folder.bytes("m.safetensors", &sound);
    run_well(&folder, "predict @m.safetensors @image.nii -o @p.nii");
    // In the metadata, in the names of tensors, in the first and last weights.
    for at in [200, 1000, 4000, sound.len() / 2, sound.len() - 100] {
        let mut damaged = sound.clone();
        damaged[at..at + 100].fill(0);
        folder.bytes("m.safetensors", &damaged);
        for command in [
            "info @m.safetensors",
            "predict @m.safetensors @image.nii -o @q.nii",
        ] {
            refused(&folder, command, &["m.safetensors"]);
        }
    }
    let mut damaged = sound.clone();
    let last = damaged.len() - 50;
    damaged[last] ^= 1;
    folder.bytes("m.safetensors", &damaged);
    refused(
        &folder,
        "info @m.safetensors",
        &["damaged", "checksum", "again"],
    );
    assert!(!folder.path("q.nii").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn memory_that_the_system_refuses_is_an_error() {
    let folder = data_set();
    folder.bytes("m.safetensors", &model(1).to_bytes().expect("bytes"));
    folder.volume("image.nii", &blobs([100, 260, 260], 1).0);
    // No more than a GiB of addresses: allocations beyond it fail, as they do where
    // a computer has no more.
    let limited = |arguments: &str, words: &[&str]| {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "ulimit -v 1000000; exec \"$@\"",
            "sh",
            env!("CARGO_BIN_EXE_unet3d"),
        ]);
        for word in arguments.split_whitespace() {
            match word.strip_prefix('@') {
                Some(name) => command.arg(folder.path(name)),
                None => command.arg(word),
            };
        }
        let ran = Ran::of(command.output().expect("started"));
        assert_eq!(ran.code, Some(1), "{arguments}: {ran:?}");
        assert!(ran.stderr.contains("error: "), "{ran:?}");
        for word in words {
            assert!(ran.stderr.contains(word), "{word}: {ran:?}");
        }
    };
    let big = "--threads 1 --memory 900GiB";
    limited(
        &format!("predict @m.safetensors @image.nii -o @p.nii {big}"),
        &["memory", "this computer does not"],
    );
    limited(
        &format!("train @data -o @run --iterations 1 --patch 256 --batch 4 {big}"),
        &["memory", "this computer does not have"],
    );
    limited(
        &format!("bench --preset common {big}"),
        &["memory", "this computer does not have"],
    );
    // A network of twenty gigabytes and more in training.
    folder.bytes("wide.toml", wide("[4000, 4000]", 2).as_bytes());
    limited(
        &format!("train @data -o @run --config @wide.toml {big}"),
        &["memory", "this computer does not have"],
    );
}

/// A configuration whose network has levels of this width.
fn wide(down: &str, levels: usize) -> String {
    let level = format!(
        "[[network.levels]]\ndown = {down}\nup = [4, 4, 4]\nkernel = [3, 3, 3]\npool = [1, 1, 1]\n"
    );
    format!(
        "patch = [8, 8, 8]\nbatch = 1\n[network]\nin_channels = 1\nclasses = 2\npadding = \"same\"\n\
         normalisation = \"none\"\nactivation = \"relu\"\nup_activation = false\ndropout = 0.0\n\
         biases = {{ first = true, convolutions = true, up_convolutions = true, score = true }}\n{}",
        level.repeat(levels)
    )
}

#[test]
fn networks_beyond_all_reason_are_refused_at_once() {
    let folder = data_set();
    for (down, levels, words) in [
        ("[2147483648, 4]", 2, ["levels[0].down", "2147483648"]),
        ("[4, 4294967296]", 2, ["levels[0].down", "4294967296"]),
        ("[9223372036854775807, 1]", 1, ["levels[0].down", "65536"]),
        ("[0, 1]", 1, ["levels[0].down", "from 1"]),
        ("[65536, 65536]", 3, ["parameters", "2147483648"]),
        ("[1, 1]", 72, ["levels", "16 levels"]),
        ("[1, 1]", 17, ["levels", "17"]),
    ] {
        folder.bytes("wide.toml", wide(down, levels).as_bytes());
        for command in [
            "train @data -o @run --config @wide.toml",
            "bench --config @wide.toml",
        ] {
            // The benchmark makes input channels and classes its own.
            if command.starts_with("train") || words[0].starts_with("levels") {
                refused(&folder, command, &words);
            }
        }
    }
    for flags in [
        "--patch 9223372036854775807",
        "--patch 18446744073709551615",
        "--batch 18446744073709551615",
    ] {
        refused(&folder, &format!("train @data -o @run {flags}"), &[]);
    }
    assert!(!folder.path("run/config.toml").exists());
}

#[test]
fn run_folders_say_what_is_wrong_and_what_helps() {
    let folder = data_set();
    run_well(&folder, TRAIN);
    let run = |command: &str| format!("{command} --config @config.toml");
    // A run is there.
    refused(&folder, TRAIN, &["holds a run already", "--resume"]);
    let ran = refused(
        &folder,
        &format!("{FILL} --run @run"),
        &["holds a run already", "--resume"],
    );
    assert!(
        !ran.stderr.contains("case0.nii:"),
        "the image is not to blame: {ran:?}"
    );
    // None is.
    folder.bytes("file", b"");
    fs::create_dir_all(folder.path("empty")).expect("made");
    folder.bytes("other/notes.txt", b"");
    for (name, words) in [
        ("file", "this is a file"),
        ("nothing", "no such folder"),
        ("empty", "is empty"),
        ("other", "neither config.toml nor checkpoint.safetensors"),
    ] {
        for command in [
            format!("train @data -o @{name} --resume"),
            format!("{FILL} --run @{name} --resume"),
        ] {
            refused(&folder, &command, &["--resume", name, words]);
        }
    }
    refused(
        &folder,
        &run("train @data -o @file"),
        &["file", "a run needs a folder"],
    );
    refused(
        &folder,
        &format!("{FILL} --run @file"),
        &["file", "a run needs a folder"],
    );
    // Another one is: other settings, other data, a newer program, damage.
    refused(
        &folder,
        &format!("{TRAIN} --resume --seed 7"),
        &["begun with seed = 0", "now it is 7"],
    );
    refused(&folder, &format!("{FILL} --run @run --resume"), &["run"]);
    let config = fs::read(folder.path("run/config.toml")).expect("read");
    folder.bytes("run/config.toml", b"patch = \"no\"\n");
    refused(
        &folder,
        "train @data -o @run --resume",
        &["config.toml", "patch", "remove config.toml"],
    );
    fs::remove_file(folder.path("run/config.toml")).expect("removed");
    run_well(&folder, "train @data -o @run --resume");
    assert_eq!(
        fs::read(folder.path("run/config.toml")).expect("read"),
        config
    );
    let checkpoint = folder.path("run/checkpoint.safetensors");
    let bytes = fs::read(&checkpoint).expect("read");
    fs::write(&checkpoint, &bytes[..bytes.len() / 2]).expect("written");
    refused(
        &folder,
        "train @data -o @run --resume",
        &["checkpoint.safetensors", "damaged", "models beside it"],
    );
    assert_eq!(hidden(&folder), Vec::<String>::new());
}

#[cfg(unix)]
#[test]
fn a_run_folder_without_permission_says_so() {
    use std::os::unix::fs::PermissionsExt;

    let folder = data_set();
    run_well(&folder, TRAIN);
    let place = folder.path("run");
    let set = |mode| fs::set_permissions(&place, fs::Permissions::from_mode(mode)).expect("set");
    set(0o000);
    // Root may read everything.
    if fs::read_dir(&place).is_ok() {
        set(0o755);
        common::skipped(
            "a_run_folder_without_permission_says_so",
            "permissions do not bind this user",
        );
        return;
    }
    refused(&folder, &format!("{TRAIN} --resume"), &["run", "ermission"]);
    refused(&folder, TRAIN, &["run", "ermission"]);
    set(0o755);
    run_well(&folder, &format!("{TRAIN} --resume"));
}

#[test]
fn names_as_long_as_the_disk_takes() {
    let folder = data_set();
    for length in [230, 244, 251] {
        let name = format!("{}.nii", "n".repeat(length));
        run_well(
            &folder,
            &format!("convert @data/imagesTr/case0.nii @{name}"),
        );
        assert!(folder.path(&name).is_file());
    }
    let name = format!("{}.nii", "n".repeat(252));
    let before = folder.files();
    refused(
        &folder,
        &format!("convert @data/imagesTr/case0.nii @{name}"),
        &["too long", "shorter"],
    );
    assert_eq!(folder.files(), before);
}
