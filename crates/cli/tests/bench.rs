//! `bench`, at sizes that say nothing about the machine but everything about
//! what is printed; and the table of `--profile`.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use common::{Folder, blobs, model, program, run_well};

#[test]
fn bench_tells_all_in_json() {
    let folder = Folder::new();
    let ran = run_well(
        &folder,
        "bench --preset small --size 16 --batch 1 --repeats 1 --threads 1 --json",
    );
    let json = ran.json();
    for number in [
        "forward_s",
        "step_s",
        "peak_bytes",
        "effective_gflops",
        "step_effective_gflops",
    ] {
        assert!(json[number].as_f64() > Some(0.0), "{number}: {json}");
    }
    assert!(json["step_s"].as_f64() > json["forward_s"].as_f64());
    assert_eq!(json["threads"], 1);
    assert_eq!(json["preset"], "small");
    assert_eq!(json["size"], serde_json::json!([16, 16, 16]));
    assert_eq!(json["batch"], 1);
    assert_eq!(json["parameters"], 340_787);
    let isa: unet3d_kernels::Isa = json["isa"]
        .as_str()
        .expect("a name")
        .parse()
        .expect("known");
    // The suite may be run under another set than the best.
    let wanted = match std::env::var("UNET3D_ISA") {
        Ok(name) if !name.is_empty() => name.parse().expect("known"),
        _ => unet3d_kernels::Isa::best(),
    };
    assert_eq!(isa, wanted);
    if cfg!(target_os = "linux") {
        let resident = json["resident_bytes"].as_u64().expect("known on Linux");
        let planned = json["peak_bytes"].as_u64().expect("planned");
        // What the process holds beside: the program itself, stacks of threads.
        assert!(resident < planned + (64 << 20), "{json}");
        assert!(json["minor_faults"].is_u64(), "{json}");
    }
}

#[test]
fn bench_tells_a_person() {
    let folder = Folder::new();
    let ran = run_well(
        &folder,
        "bench --preset small --size 16,16,8 --repeats 1 --isa portable --profile",
    );
    for word in ["16 x 16 x 8 voxels x 2", "portable", "step", "1,000 steps"] {
        assert!(ran.stdout.contains(word), "{word}: {ran:?}");
    }
    for word in [
        "down0.conv1",
        "up0.upconv",
        "d weights",
        "of limit",
        "score",
    ] {
        assert!(ran.stderr.contains(word), "{word}: {ran:?}");
    }
}

#[test]
fn bench_takes_the_network_of_a_configuration() {
    let folder = Folder::new();
    let level = |kernel: &str| {
        format!(
            "[[network.levels]]\ndown = [8, 8]\nup = [8, 8, 8]\nkernel = {kernel}\npool = [1, 2, 2]\n"
        )
    };
    let text = format!(
        "patch = [4, 16, 16]\nbatch = 3\n[network]\nin_channels = 1\nclasses = 2\npadding = \"same\"\n\
         normalisation = \"instance\"\nactivation = \"relu\"\nup_activation = false\ndropout = 0.0\n\
         [network.biases]\nfirst = true\nconvolutions = true\nup_convolutions = true\nscore = true\n{}{}",
        level("[1, 3, 3]"),
        level("[3, 3, 3]")
    );
    folder.bytes("flat.toml", text.as_bytes());
    let json = run_well(&folder, "bench --config @flat.toml --repeats 1 --json").json();
    assert_eq!(json["size"], serde_json::json!([4, 16, 16]));
    assert_eq!((&json["batch"], &json["channels"]), (&3.into(), &1.into()));
}

#[test]
fn bench_serves_pass_by_pass() {
    let arguments = "bench --preset small --size 16 --serve step";
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let mut child = program(&arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut next = || lines.next().expect("a line").expect("read");
    assert_eq!(next(), "ready 340787");
    let mut input = child.stdin.take().expect("piped");
    for _ in 0..2 {
        writeln!(input).expect("asked");
        let line = next();
        let numbers: Vec<f64> = line
            .split(' ')
            .map(|n| n.parse().expect("a number"))
            .collect();
        assert!(numbers[0] > 0.0, "{line}");
        assert_eq!(numbers.len(), 2, "{line}");
    }
    drop(input);
    assert!(child.wait().expect("ended").success());
}

#[test]
fn train_and_predict_show_a_profile() {
    let folder = Folder::new();
    let (image, labels) = blobs([16, 20, 24], 1);
    folder.volume("data/imagesTr/a_0000.nii.gz", &image);
    folder.volume("data/labelsTr/a.nii.gz", &labels);
    folder.bytes("m.safetensors", &model(1).to_bytes().expect("bytes"));
    folder.volume("image.nii", &image);
    let train =
        "train @data -o @run --dense --iterations 2 --patch 16,16,16 --batch 1 --profile --json";
    for (arguments, passes) in [
        (train, ["d weights", "backward"]),
        (
            "predict @m.safetensors @image.nii -o @out.nii --profile --json",
            ["forward", "down2.conv1"],
        ),
    ] {
        let ran = run_well(&folder, arguments);
        for word in passes.iter().chain(&["down0.conv0", "of limit"]) {
            assert!(ran.stderr.contains(word), "{word}: {ran:?}");
        }
        let _ = ran.json();
    }
}
