//! Outputs: what exists is spared unless `--overwrite` says otherwise, and what cannot
//! be written is found before the work.

mod common;

use common::{Folder, Ran, blobs, model, run, run_well, sparse};

const SHAPE: [usize; 3] = [16, 20, 24];

fn folder() -> Folder {
    let folder = Folder::new();
    let (image, labels) = blobs(SHAPE, 1);
    folder.volume("image.nii", &image);
    folder.volume("labels.nii", &sparse(&labels));
    folder.volume("dense.nii", &labels);
    folder.bytes("m.unet3d.safetensors", &model(1).to_bytes().expect("bytes"));
    folder
}

/// Runs what must be refused before anything is done; the same files are there.
#[track_caller]
fn refused(folder: &Folder, arguments: &str, words: &[&str]) -> Ran {
    let before = folder.files();
    let ran = run(folder, arguments);
    assert_eq!(ran.code, Some(1), "{arguments}: {ran:?}");
    for word in words {
        assert!(ran.stderr.contains(word), "{word:?} is missing: {ran:?}");
    }
    assert_eq!(folder.files(), before, "{arguments}");
    ran
}

#[test]
fn nothing_that_exists_is_replaced_unless_asked() {
    let fill = "fill @image.nii @labels.nii -o @out.nii --unlabeled 0";
    let predict = "predict @m.unet3d.safetensors @image.nii -o @out.nii";
    let evaluate = "evaluate @dense.nii @dense.nii --dense --summary @out.json";
    for (command, existing, flag) in [
        (format!("{fill} --iterations 1"), "out.nii", ""),
        (format!("{fill} --iterations 1"), "out.unet3d.safetensors", "--model"),
        (format!("{fill} --iterations 1"), "out.html", "--report"),
        (format!("{fill} --iterations 1 --uncertainty @u.npy"), "u.npy", "--uncertainty"),
        (format!("{fill} --method interpolate"), "out.nii", ""),
        (format!("{fill} --method interpolate"), "out.html", "--report"),
        (predict.to_owned(), "out.nii", ""),
        (format!("{predict} --probabilities @p.npy"), "p.npy", ""),
        (format!("{predict} --uncertainty @u.npy"), "u.npy", ""),
        ("predict @m.unet3d.safetensors @image.nii -o @dir".to_owned(), "dir/image.nii", ""),
        ("convert @image.nii @out.tif".to_owned(), "out.tif", ""),
        ("convert @image.nii @slices/".to_owned(), "slices/z0000.png", ""),
        ("sparsify @dense.nii -o @out.nii --slices z=2".to_owned(), "out.nii", ""),
        (evaluate.to_owned(), "out.json", "--summary"),
        ("suggest @m.unet3d.safetensors @image.nii @labels.nii --unlabeled 0 --uncertainty @u.npy".to_owned(), "u.npy", ""),
    ] {
        let folder = folder();
        folder.bytes(existing, b"of yesterday");
        let name = existing.split('/').next().expect("a name");
        refused(&folder, &command, &[name, "--overwrite", flag]);
        let bytes = std::fs::read(folder.path(existing)).expect("read");
        assert_eq!(bytes, b"of yesterday", "{command}");
        run_well(&folder, &format!("{command} --overwrite"));
        let now = std::fs::read(folder.path(existing)).expect("read");
        assert_ne!(now, bytes, "{command}");
    }
}

#[test]
fn a_conversion_given_twice_leaves_the_first_result_as_it_is() {
    let folder = folder();
    run_well(&folder, "convert @image.nii @out.npy");
    let ran = run_well(&folder, "convert @image.nii @out.npy");
    assert!(ran.stdout.contains("Left as it was"), "{ran:?}");
    refused(
        &folder,
        "convert @dense.nii @out.npy",
        &["out.npy", "--overwrite"],
    );
    refused(
        &folder,
        "convert @image.nii @out.npy --crop 0:2,0:2,0:2",
        &["--overwrite"],
    );
}

#[test]
fn what_fill_prints_to_go_on_with_replaces_its_own_result() {
    let folder = folder();
    let ran = run_well(
        &folder,
        "fill @image.nii @labels.nii -o @out.nii --unlabeled 0 --iterations 1",
    );
    let lines: Vec<_> = ran
        .stdout
        .lines()
        .filter(|l| l.contains("fill") && l.contains("out.nii"))
        .collect();
    assert!(
        !lines.is_empty() && lines.iter().all(|l| l.contains("--overwrite")),
        "{ran:?}"
    );
}

#[test]
fn results_never_lie_among_the_slices_of_another() {
    let folder = folder();
    let predict = "predict @m.unet3d.safetensors @image.nii -o";
    for out in ["@dir/", "@plain"] {
        run_well(&folder, &format!("{predict} {out}"));
        refused(
            &folder,
            &format!("{predict} {out}"),
            &["image.nii", "--overwrite"],
        );
    }
    assert!(folder.path("dir/image.nii").is_file() && folder.path("plain/image.nii").is_file());
    // Another image of the same folder finds its place.
    folder.volume("other.nii", &blobs(SHAPE, 2).0);
    run_well(&folder, "predict @m.unet3d.safetensors @other.nii -o @dir/");
    assert!(folder.path("dir/other.nii").is_file());
    // A folder of slices is one result, nothing else goes into it.
    run_well(&folder, "convert @image.nii @stack/");
    for flags in ["", "--overwrite"] {
        refused(
            &folder,
            &format!("{predict} @stack {flags}"),
            &["slices of one volume"],
        );
    }
    // Nor do results go among the images.
    folder.volume("images/a.nii", &blobs(SHAPE, 3).0);
    for flags in ["", "--overwrite"] {
        refused(
            &folder,
            &format!("predict @m.unet3d.safetensors @images -o @images/ {flags}"),
            &["images", "another folder"],
        );
    }
}

#[test]
fn without_an_ending_out_is_a_folder_for_one_image_as_for_many() {
    let folder = folder();
    folder.volume("other.nii.gz", &blobs(SHAPE, 2).0);
    let predict =
        |images: &str, out: &str| format!("predict @m.unet3d.safetensors {images} -o {out}");
    for out in ["one", "one.v2", "deep/er"] {
        run_well(
            &folder,
            &predict("@image.nii", &format!("@{out} --uncertainty @{out}-u")),
        );
        for file in [format!("{out}/image.nii"), format!("{out}-u/image.nii")] {
            assert!(folder.path(&file).is_file(), "{file}");
        }
    }
    run_well(&folder, &predict("@image.nii @other.nii.gz", "@many"));
    assert!(folder.path("many/image.nii").is_file() && folder.path("many/other.nii.gz").is_file());
    // A file beside a folder: each flag by its own name.
    run_well(
        &folder,
        &predict("@image.nii", "@mixed --probabilities @p.npy"),
    );
    assert!(folder.path("mixed/image.nii").is_file() && folder.path("p.npy").is_file());
    refused(
        &folder,
        &predict("@image.nii @other.nii.gz", "@two.nii.gz"),
        &["2 images need a folder"],
    );
    refused(
        &folder,
        &predict("@image.nii", "@out.mha"),
        &["out.mha", "format"],
    );
    refused(
        &folder,
        &predict("@image.nii", "@image.nii/x"),
        &["image.nii"],
    );
    folder.bytes("file", b"x");
    refused(&folder, &predict("@image.nii", "@file"), &["is a file"]);
}

#[test]
fn what_a_format_cannot_hold_is_found_before_the_work() {
    let folder = folder();
    let predict = "predict @m.unet3d.safetensors @image.nii -o @out.nii";
    folder.volume("slice.nii", &blobs([1, 20, 24], 1).0);
    let slice = "predict @m.unet3d.safetensors @slice.nii -o @out.nii";
    for command in [
        format!("{slice} --probabilities @p.png"),
        format!("{slice} --uncertainty @u.png"),
        format!("{predict} --uncertainty @u.png"),
        "fill @image.nii @labels.nii -o @out.nii --unlabeled 0 --iterations 1 --uncertainty @u.png"
            .into(),
    ] {
        let ran = refused(&folder, &command, &["png"]);
        assert!(!ran.stderr.contains("Memory at most"), "{ran:?}");
    }
    // A folder of results takes the format that can.
    run_well(&folder, "convert @slice.nii @slice.png");
    run_well(
        &folder,
        "predict @m.unet3d.safetensors @slice.png -o @l --uncertainty @u",
    );
    assert!(folder.path("l/slice.png").is_file() && folder.path("u/slice.tif").is_file());
}

#[test]
fn names_that_are_too_long_are_found_before_the_work() {
    let folder = folder();
    let name = |bytes: usize| format!("{}.nii.gz", "m".repeat(bytes - 7));
    let fill =
        |out: &str| format!("fill @image.nii @labels.nii -o @{out} --unlabeled 0 --iterations 1");
    for (out, words) in [
        (name(256), ["256 bytes", ""]),
        (name(250), ["--model", "262 bytes"]),
    ] {
        let ran = refused(&folder, &fill(&out), &words);
        assert!(!ran.stderr.contains("Memory at most"), "{ran:?}");
    }
    refused(
        &folder,
        &format!("convert @image.nii @{}", name(256)),
        &["256 bytes"],
    );
}

#[test]
fn a_new_run_replaces_neither_models_nor_its_own_data() {
    let folder = folder();
    folder.volume("data/imagesTr/a.nii", &blobs(SHAPE, 1).0);
    folder.volume("data/labelsTr/a.nii", &blobs(SHAPE, 1).1);
    folder.bytes("data/split.tsv", b"case\tsplit\tremark\na\ttrain\tmine\n");
    folder.bytes("kept/best.unet3d.safetensors", b"a model");
    let list = "[labels]\ndense = true\n[[case]]\nimage = \"image.nii\"\nlabels = \"dense.nii\"\n";
    folder.bytes("config.toml", list.as_bytes());
    let few = "--dense --iterations 1";
    refused(
        &folder,
        &format!("train @data -o @data {few}"),
        &["data", "its own data"],
    );
    refused(
        &folder,
        &format!("train @data -o @kept {few}"),
        &["best.unet3d", "replace"],
    );
    let here = folder.path("");
    let ran = run(
        &folder,
        &format!("train @config.toml -o {} --iterations 1", here.display()),
    );
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("its own data"), "{ran:?}");
    let kept = std::fs::read_to_string(folder.path("config.toml")).expect("there");
    assert_eq!(kept, list);
}
