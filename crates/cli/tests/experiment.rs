//! The three experiments from files to tables, with networks far too little
//! trained to be of use: what matters here is that each runs, keeps what is
//! finished, goes on, and refuses what cannot be meant.

#![allow(clippy::panic, reason = "a test says so by panicking")]

mod common;

use std::fs;

use common::{Folder, Ran, blobs, program, run, run_well};

/// Flags of a quick run.
const QUICK: &str = "--iterations 2 --patch 8,16,16 --batch 1 --classes 1=inside,2=background";

/// Two volumes and their dense labels.
fn volumes() -> Folder {
    let folder = Folder::new();
    for (name, shape) in [("a", [20, 24, 24]), ("b", [16, 24, 28])] {
        let (image, labels) = blobs(shape, name.len());
        folder.volume(&format!("{name}.nii"), &image);
        folder.volume(&format!("{name}-labels.nii"), &labels);
    }
    folder
}

const PAIRS: &str = "@a.nii @a-labels.nii @b.nii @b-labels.nii --dense";

fn text(folder: &Folder, name: &str) -> String {
    let path = folder.path(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Times of the finished runs: what is kept is not touched again.
fn records(folder: &Folder, out: &str) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder.path(out).join("runs")).expect("runs") {
        let path = entry.expect("an entry").path();
        assert!(path.is_file(), "an unfinished run is left: {path:?}");
        let name = path.file_name().expect("a name").to_string_lossy();
        found.push((name.into_owned(), fs::read(&path).expect("read")));
    }
    found.sort();
    found
}

#[test]
fn slices_cv_compares_three_networks_and_keeps_what_is_finished() {
    let folder = volumes();
    let command = |more: &str| {
        format!(
            "experiment slices-cv {PAIRS} --slices z=3,y=2,x=2 --folds 2 -o @cv {QUICK} --json {more}"
        )
    };
    let json = run_well(&folder, &command("")).json();
    // Two folds, three networks and interpolation.
    assert_eq!((&json["runs"], &json["finished"]), (&8.into(), &8.into()));
    let average = &json["mean_iou"]["average"];
    for network in ["3D without BN", "3D with BN", "2D with BN", "interpolation"] {
        let iou = average[network].as_f64();
        assert!(iou.is_some_and(|iou| (0.0..=1.0).contains(&iou)), "{json}");
    }
    assert!(average["interpolation"].as_f64() > Some(0.5), "{json}");
    let csv = text(&folder, "cv/results.csv");
    assert_eq!(csv.lines().count(), 1 + 8);
    assert!(csv.starts_with("experiment,part,setup,network,seed,mean_iou,foreground_iou"));
    let markdown = text(&folder, "cv/results.md");
    for word in [
        "0.863",
        "subset 2",
        "2D with BN",
        "Foreground IoU",
        "1, 16, 16",
    ] {
        assert!(markdown.contains(word), "{word} in {markdown}");
    }
    assert!(text(&folder, "cv/results.svg").ends_with("</svg>\n"));

    // Once more: nothing is made anew. With another seed: only what is missing.
    let before = records(&folder, "cv");
    run_well(&folder, &command(""));
    assert_eq!(records(&folder, "cv"), before);
    let json = run_well(&folder, &command("--seeds 2")).json();
    assert_eq!(json["finished"], 14);
    let after = records(&folder, "cv");
    assert!(before.iter().all(|record| after.contains(record)));
    assert!(text(&folder, "cv/results.md").contains(" ± "));
}

#[test]
fn slices_count_scores_all_set_ups_of_a_volume_on_the_same_voxels() {
    let folder = volumes();
    let ran = run_well(
        &folder,
        &format!("experiment slices-count @a.nii @a-labels.nii --dense -o @count {QUICK} --json"),
    );
    let json = ran.json();
    assert_eq!(json["runs"], 8, "four set-ups, a network and interpolation");
    let few = json["mean_iou"]["1,1,1"]["a, interpolation"].as_f64();
    let many = json["mean_iou"]["5,5,3"]["a, interpolation"].as_f64();
    assert!(many > few, "{json}");
    let csv = text(&folder, "count/results.csv");
    // 17 x 19 x 19 voxels are on no slice of 3, 5, 5.
    assert_eq!(csv.matches(",6137,").count(), 8, "{csv}");
    assert!(csv.contains("\"2,2,1\""), "{csv}");
}

#[test]
fn volumes_leaves_out_one_after_the_other() {
    let folder = volumes();
    let ran = run_well(
        &folder,
        &format!(
            "experiment volumes {PAIRS} --slices z=2,y=2,x=2 -o @volumes {QUICK} --json --networks 3d-bn,2d-bn"
        ),
    );
    let json = ran.json();
    // Two volumes, two networks and the location prior.
    assert_eq!(json["finished"], 6, "{json}");
    assert!(json["mean_iou"]["b"]["location prior"].is_number());
    let csv = text(&folder, "volumes/results.csv");
    // All of volume a is scored, whatever slices are learned from.
    assert!(csv.contains(&format!(",{},", 20 * 24 * 24)), "{csv}");
}

#[test]
fn volumes_of_a_data_set_by_group_by_fold_and_by_its_split() {
    let folder = Folder::new();
    for i in 0..4 {
        let (image, labels) = blobs([12, 16, 16], i);
        folder.volume(&format!("data/imagesTr/c{i}.nii"), &image);
        folder.volume(&format!("data/labelsTr/c{i}.nii"), &labels);
    }
    folder.bytes(
        "data/dataset.json",
        br#"{"labels": {"inside": 1, "background": 2}, "file_ending": ".nii"}"#,
    );
    folder.bytes(
        "data/split.tsv",
        b"case\tsubject\tsplit\nc0\tp\ttrain\nc1\tp\ttrain\nc2\tq\tvalidate\nc3\tr\ttrain\n",
    );
    let parts = |flags: &str, out: &str| {
        let json = run_well(
            &folder,
            &format!(
                "experiment volumes @data -o @{out} --iterations 1 --patch 8,16,16 --batch 1 --networks 3d-bn --json {flags}"
            ),
        )
        .json();
        let rows = json["mean_iou"].as_object().expect("rows").keys().cloned();
        rows.collect::<Vec<_>>()
    };
    let scheme = "--dense --classes 1=inside,2=background";
    assert_eq!(parts(scheme, "subjects"), ["p", "q", "r", "average"]);
    // Three groups, but of four volumes: the paper's rows are others.
    let markdown = text(&folder, "subjects/results.md");
    assert!(!markdown.contains("| paper"), "{markdown}");
    assert_eq!(
        parts(&format!("{scheme} --groups u,v,u,v"), "groups"),
        ["u", "v", "average"]
    );
    assert_eq!(
        parts(&format!("{scheme} --folds 2"), "folds"),
        ["fold 1", "fold 2", "average"]
    );
    assert_eq!(parts(&format!("{scheme} --split"), "split"), ["validate"]);
    let markdown = text(&folder, "split/results.md");
    for said in [
        "Learned from 3 volumes, tested on 1, as split.tsv says.",
        "trained for 1 step.",
    ] {
        assert!(markdown.contains(said), "{said}: {markdown}");
    }
    // A split that this program would draw is none of the data set's own.
    fs::remove_file(folder.path("data/split.tsv")).expect("removed");
    refused(
        &folder,
        &format!("experiment volumes @data -o @drawn {scheme} --split"),
        &["--split", "without a split", "--folds"],
    );
}

#[cfg(unix)]
#[test]
fn an_interrupted_experiment_goes_on_where_it_was() {
    use std::process::Stdio;
    use std::time::Duration;

    let folder = volumes();
    let arguments = |out: &str| {
        let command = format!(
            "experiment slices-cv {PAIRS} --slices z=3,y=2,x=2 --folds 2 -o @{out} --networks 3d-bn --iterations 30 \
             --patch 8,16,16 --batch 1 --config @config.toml --json"
        );
        let words = command
            .split_whitespace()
            .map(|word| match word.strip_prefix('@') {
                Some(name) => folder.path(name).display().to_string(),
                None => word.to_owned(),
            });
        words.collect::<Vec<_>>()
    };
    folder.bytes("config.toml", b"checkpoint_every = 2\n");
    let undisturbed = Ran::of(program(&arguments("whole")).output().expect("ended"));
    let child = program(&arguments("stopped"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let checkpoint = folder.path("stopped/runs/01-subset-1-3d-bn-seed0/checkpoint.safetensors");
    for _ in 0..6000 {
        if checkpoint.exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let sent = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(sent.expect("kill").success());
    let ran = Ran::of(child.wait_with_output().expect("ended"));
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert!(ran.stderr.contains("same command again"), "{ran:?}");
    assert_eq!(ran.json()["interrupted"], true);
    assert!(text(&folder, "stopped/results.md").contains("runs are finished"));

    let resumed = Ran::of(program(&arguments("stopped")).output().expect("ended"));
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    assert_eq!(
        resumed.json()["mean_iou"],
        undisturbed.json()["mean_iou"],
        "the same bits"
    );
    records(&folder, "stopped");
}

#[test]
fn suggest_compares_ways_and_keeps_to_its_volume() {
    let folder = volumes();
    let command = |name: &str, more: &str| {
        format!(
            "experiment suggest @{name}.nii @{name}-labels.nii -o @out --most 3 --iterations 1 --patch 8,16,16 --batch 1 {more}"
        )
    };
    let json = run_well(&folder, &command("a", "--seeds 0,1 --json")).json();
    // For each seed the start, then a round of each of the four ways.
    assert_eq!(json.as_array().map(Vec::len), Some(10), "{json}");
    for round in json.as_array().expect("rounds") {
        let axes = round["annotated"].as_array().expect("axes").iter();
        let slices: usize = axes.map(|a| a.as_array().map_or(0, Vec::len)).sum();
        assert_eq!(slices as u64, 3 * round["count"].as_u64().expect("a count"));
    }
    // What was not asked for this time is kept, but not tabulated.
    run_well(&folder, &command("a", "--seeds 1"));
    let csv = text(&folder, "out/suggest.csv");
    assert_eq!(csv.lines().count(), 1 + 5, "{csv}");
    assert!(csv.contains("ranked,1,9,"), "{csv}");
    let before = text(&folder, "out/rounds.jsonl");
    assert_eq!(before.lines().count(), 10);

    let other = "other volumes or labels";
    refused(&folder, &command("b", "--seeds 1"), &[other, "-o"]);
    refused(&folder, &command("a", "--lr 0.1"), &["train.optimizer"]);
    refused(&folder, &command("a", "--seed 4"), &["--seeds 4"]);
    fs::remove_file(folder.path("out/experiment.json")).expect("removed");
    refused(&folder, &command("a", ""), &["experiment.json is missing"]);
    assert_eq!(text(&folder, "out/rounds.jsonl"), before);
}

#[test]
fn an_experiment_replaces_no_file_of_others() {
    let folder = volumes();
    for (command, names) in [
        (
            "experiment slices-cv @a.nii @a-labels.nii --dense --slices z=3,y=3,x=3 --iterations 1 -o @",
            ["results.csv", "results.md", "results.svg"],
        ),
        (
            "experiment suggest @a.nii @a-labels.nii --iterations 1 -o @",
            ["rounds.jsonl", "suggest.csv", "suggest.md"],
        ),
    ] {
        for name in names {
            folder.bytes(&format!("{name}.d/{name}"), b"of somebody else");
            refused(
                &folder,
                &format!("{command}{name}.d"),
                &[name, "experiment.json is missing", "-o"],
            );
            assert_eq!(
                text(&folder, &format!("{name}.d/{name}")),
                "of somebody else"
            );
        }
    }
}

/// Code 1 and an error with all of `words`.
#[track_caller]
fn refused(folder: &Folder, arguments: &str, words: &[&str]) {
    let ran = run(folder, arguments);
    assert_eq!(ran.code, Some(1), "{arguments}: {ran:?}");
    assert!(!ran.stderr.contains("panicked"), "{ran:?}");
    assert_eq!(ran.stdout, "", "{ran:?}");
    for word in words {
        assert!(
            ran.stderr.contains(word),
            "{word:?} is missing in: {}",
            ran.stderr
        );
    }
}

#[test]
fn experiment_under_other_settings_in_the_same_folder() {
    let folder = volumes();
    let command = |more: &str| {
        format!(
            "experiment slices-count @a.nii @a-labels.nii --dense --setup z=1,y=1,x=1 -o @out {QUICK} {more}"
        )
    };
    run_well(&folder, &command(""));
    let before = records(&folder, "out");
    let ran = run(&folder, &command("--lr 0.1"));
    assert_eq!(ran.code, Some(1));
    for word in ["train.optimizer", "another folder (-o)", ".json"] {
        assert!(ran.stderr.contains(word), "{word}: {}", ran.stderr);
    }
    refused(
        &folder,
        &format!(
            "experiment slices-count @b.nii @b-labels.nii --dense --setup z=1,y=1,x=1 -o @out {QUICK}"
        ),
        &["other volumes or labels"],
    );
    // Told by their cause, though they change the labels too.
    let thinned = command("--slices z=5,y=5,x=5");
    refused(&folder, &thinned, &["settings.slices_zyx", "[5,5,5]"]);
    let renamed = command("").replace("1=inside", "1=within");
    refused(&folder, &renamed, &["classes", "within"]);
    assert_eq!(records(&folder, "out"), before);
    folder.bytes("out/runs/01-a-slices-1-1-1-3d-bn-seed0.json", b"{");
    refused(&folder, &command(""), &["no finished run", "Remove it"]);
}

#[test]
fn experiments_that_cannot_be_meant() {
    let folder = volumes();
    let before = folder.files();
    let cv = format!("experiment slices-cv {PAIRS} -o @out {QUICK}");
    refused(&folder, &cv, &["a:", "--slices"]);
    refused(
        &folder,
        &format!("{cv} --slices z=2,y=13,x=13"),
        &["a:", "most of its slices"],
    );
    refused(
        &folder,
        &format!("{cv} --slices z=1,y=1,x=0 --folds 5"),
        &["folds is 5", "4 annotated slices"],
    );
    refused(
        &folder,
        &format!("{cv} --slices z=2,y=2,x=2 --background sky"),
        &["--background", "inside"],
    );
    refused(
        &folder,
        &format!("{cv} --slices z=2,y=2,x=2 --preset twin2d"),
        &["preset is twin2d", "3D network"],
    );
    refused(
        &folder,
        &format!("{cv} --slices z=2,y=2,x=2 --memory 1MB"),
        &["memory"],
    );
    let count = format!("experiment slices-count @a.nii @a-labels.nii --dense -o @out {QUICK}");
    refused(
        &folder,
        &format!("{count} --slices z=3,y=5,x=4"),
        &["a: 4 annotated slices along x", "asks for 5", "--setup"],
    );
    refused(
        &folder,
        &format!("{count} --slices z=3,y=5,x=5"),
        &["none is left to test on"],
    );
    let volumes = format!("experiment volumes {PAIRS} -o @out {QUICK}");
    refused(&folder, &format!("{volumes} --groups x,x"), &["1 group"]);
    refused(
        &folder,
        &format!("{volumes} --groups x"),
        &["1 group for 2 volumes"],
    );
    refused(&folder, &format!("{volumes} --folds 3"), &["folds is 3"]);
    refused(&folder, &format!("{volumes} --split"), &["--split"]);
    refused(
        &folder,
        "experiment volumes @a.nii @a-labels.nii @b.nii @b-labels.nii -o @out --annotated @a-labels.nii",
        &["--annotated", "one mask for 2 volumes"],
    );
    refused(
        &folder,
        &format!("{volumes} --memory 100kB"),
        &["--memory", "the volumes alone"],
    );
    refused(
        &folder,
        "experiment volumes @a.nii @a-labels.nii @b.nii -o @out --dense",
        &["3 files", "even number"],
    );
    refused(
        &folder,
        "experiment volumes @a.nii @a-labels.nii @a.nii @b-labels.nii -o @out --dense",
        &["named twice"],
    );
    let copy = fs::read(folder.path("a.nii")).expect("read");
    folder.bytes("c.nii", &copy);
    refused(
        &folder,
        "experiment volumes @a.nii @a-labels.nii @c.nii @a-labels.nii -o @out --dense",
        &["a.nii", "c.nii", "same image"],
    );
    for (name, case) in [("c.nii", "c"), ("a.nii", "d")] {
        let image = fs::read(folder.path(name)).expect("read");
        folder.bytes(&format!("twice/imagesTr/{case}.nii"), &image);
        let labels = fs::read(folder.path("a-labels.nii")).expect("read");
        folder.bytes(&format!("twice/labelsTr/{case}.nii"), &labels);
    }
    refused(
        &folder,
        "experiment slices-cv @twice -o @out --dense --slices z=2,y=2,x=2",
        &["imagesTr/c.nii", "imagesTr/d.nii", "same image"],
    );
    for name in ["c.nii", "twice/imagesTr", "twice/labelsTr", "twice"] {
        let path = folder.path(name);
        let removed = if path.is_dir() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        };
        removed.expect("removed");
    }
    refused(
        &folder,
        "experiment volumes @a.nii @a-labels.nii @b.nii @b-labels.nii -o @out",
        &["--unlabeled", "--dense"],
    );
    refused(
        &folder,
        "experiment volumes @a.nii -o @out --dense",
        &["one file"],
    );
    assert_eq!(folder.files(), before, "something was left behind");
}
