//! Folders as they come from people's computers: files that are not volumes beside
//! those that are, names of any kind, and descriptions in any encoding.

use std::fs;
use std::path::Path;

use unet3d_volume::Normalise;

use super::tests::{folder, text, volume, write};
use super::{Split, find, write_split};

const LABELS: &str = r#""labels": {"background": 0, "a": 1}"#;

fn names(folder: &Path) -> Vec<String> {
    let found = find(folder, None).unwrap();
    found.cases.into_iter().map(|c| c.name).collect()
}

fn refused(folder: &Path) -> String {
    find(folder, None).unwrap_err().to_string()
}

#[test]
fn only_names_that_the_ending_makes_count() {
    let json = format!(r#"{{"channel_names": {{"0": "CT"}}, "file_ending": ".nii.gz", {LABELS}}}"#);
    let folder = folder(2, 1, &json);
    for sub in ["imagesTr", "labelsTr"] {
        for name in [
            "c0.json",
            "c1_0000.json",
            "Thumbs.db",
            "desktop.ini",
            ".DS_Store",
            "._c0.nii.gz",
            "README",
            "README.md",
            "c0.nii.gz.part",
            "c0.png",
            "c0.nii",
        ] {
            text(folder.path(), &format!("{sub}/{name}"), "no volume");
        }
        for sub_folder in ["old", "old.nii.gz", "c0"] {
            fs::create_dir(folder.path().join(sub).join(sub_folder)).unwrap();
        }
        write(folder.path(), &format!("{sub}/old/c7.nii.gz"), 1);
    }
    assert_eq!(names(folder.path()), ["c0", "c1"]);
    let mut found = find(folder.path(), None).unwrap();
    assert_eq!(
        found
            .load(Split::Train, &Normalise::default())
            .unwrap()
            .len(),
        2
    );
    assert_eq!(found.notes, Vec::<String>::new());
}

#[test]
fn endings_in_any_case_and_without_dot() {
    for (ending, name) in [(".nii.gz", "x.NII.GZ"), ("tif", "x.TIF"), (".Png", "x.png")] {
        let folder = tempfile::tempdir().unwrap();
        for sub in ["imagesTr", "labelsTr"] {
            let slice = unet3d_volume::Volume::new(
                unet3d_volume::Geometry::of_shape([1, 3, 3]),
                1,
                unet3d_volume::Samples::U8(vec![0, 1, 0, 1, 0, 1, 0, 1, 0]),
            );
            let path = folder.path().join(sub).join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            unet3d_volume::write(&path, &slice.unwrap()).unwrap();
        }
        text(
            folder.path(),
            "dataset.json",
            &format!(r#"{{"file_ending": "{ending}", {LABELS}}}"#),
        );
        assert_eq!(names(folder.path()), ["x"], "{ending}");
    }
    let wrong = folder(1, 1, &format!(r#"{{"file_ending": 3, {LABELS}}}"#));
    assert!(refused(wrong.path()).contains("file_ending is 3"));
}

#[test]
fn without_a_stated_ending_volumes_count() {
    let folder = folder(1, 1, &format!("{{{LABELS}}}"));
    for name in ["Thumbs.db", "c0.json", "notes.txt"] {
        text(folder.path(), &format!("labelsTr/{name}"), "");
        text(folder.path(), &format!("imagesTr/{name}"), "");
    }
    fs::create_dir(folder.path().join("labelsTr/old")).unwrap();
    // A folder of slices is a volume as well.
    write(folder.path(), "imagesTr/stack/", 9);
    write(folder.path(), "labelsTr/stack/", 1);
    assert_eq!(names(folder.path()), ["c0", "stack"]);
    write(folder.path(), "imagesTr/c0.nii", 9);
    let error = refused(folder.path());
    assert!(
        error.contains("c0.nii.gz") && error.contains("file_ending"),
        "{error}"
    );
}

#[test]
fn channels_are_as_many_as_the_description_names() {
    let with = |count: usize, stated: &str| {
        let json = format!(r#"{{{stated} "file_ending": ".nii.gz", {LABELS}}}"#);
        let folder = folder(2, count, &json);
        (find(folder.path(), None), folder)
    };
    let two = r#""channel_names": {"0": "T1", "1": "T2"},"#;
    let old = r#""modality": {"0": "T1", "1": "T2"},"#;
    for stated in [two, old, ""] {
        let found = with(2, stated).0.unwrap();
        assert!(found.cases.iter().all(|c| c.images.len() == 2), "{stated}");
    }
    let (more, _folder) = with(3, two);
    let more = more.unwrap();
    assert!(more.cases.iter().all(|c| c.images.len() == 2));
    assert!(more.notes[0].contains("c0_0002"), "{:?}", more.notes);
    let fewer = with(
        3,
        r#""channel_names": {"0": "a", "1": "b", "2": "c", "3": "d"},"#,
    );
    let error = fewer.0.unwrap_err().to_string();
    assert!(
        error.contains("channel 3 is missing") && error.contains("c0_0003.nii.gz"),
        "{error}"
    );
}

#[test]
fn a_picture_in_colours_is_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let json = format!(
        r#"{{"channel_names": {{"0": "R", "1": "G", "2": "B"}}, "file_ending": ".png", {LABELS}}}"#
    );
    text(folder.path(), "dataset.json", &json);
    for (name, channels) in [("imagesTr/c_0000.png", 3), ("labelsTr/c.png", 1)] {
        let geometry = unet3d_volume::Geometry::of_shape([1, 2, 2]);
        let samples = unet3d_volume::Samples::U8([0, 1].repeat(2 * channels));
        let picture = unet3d_volume::Volume::new(geometry, channels, samples).unwrap();
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        unet3d_volume::write(&path, &picture).unwrap();
    }
    let mut found = find(folder.path(), None).unwrap();
    let cases = found.load(Split::Train, &Normalise::default()).unwrap();
    assert_eq!(cases[0].image.channels, 3);
}

#[test]
fn a_numbered_name_may_be_that_of_a_case() {
    let json = format!(r#"{{"channel_names": {{"0": "CT"}}, "file_ending": ".nii.gz", {LABELS}}}"#);
    let folder = tempfile::tempdir().unwrap();
    text(folder.path(), "dataset.json", &json);
    for case in ["pancreas_0001", "pancreas_0002", "pancreas"] {
        write(folder.path(), &format!("labelsTr/{case}.nii.gz"), 1);
        write(folder.path(), &format!("imagesTr/{case}_0000.nii.gz"), 9);
    }
    let found = find(folder.path(), None).unwrap();
    for case in &found.cases {
        let image = format!("{}_0000.nii.gz", case.name);
        assert_eq!(case.images, [folder.path().join("imagesTr").join(image)]);
    }
    // One file a case, numbered.
    let plain = tempfile::tempdir().unwrap();
    text(plain.path(), "dataset.json", &format!("{{{LABELS}}}"));
    for case in ["scan_0001", "scan_0002", "scan"] {
        for sub in ["labelsTr", "imagesTr"] {
            write(plain.path(), &format!("{sub}/{case}.nii.gz"), 1);
        }
    }
    assert_eq!(names(plain.path()), ["scan", "scan_0001", "scan_0002"]);
    assert!(
        find(plain.path(), None)
            .unwrap()
            .cases
            .iter()
            .all(|c| c.images.len() == 1)
    );
}

#[test]
fn lists_of_cases_in_the_description() {
    let json = format!(
        r#"{{"dataset": {{"b": {{"images": ["raw/1.nii.gz"], "label": "seg/1.nii.gz"}},
            "a": {{"images": ["raw\\2.nii.gz", "raw/1.nii.gz"], "label": "seg\\2.nii.gz"}}}}, "numTraining": 3, {LABELS}}}"#
    );
    let folder = tempfile::tempdir().unwrap();
    text(folder.path(), "dataset.json", &json);
    for name in [
        "raw/1.nii.gz",
        "raw/2.nii.gz",
        "raw/3.nii.gz",
        "seg/1.nii.gz",
        "seg/2.nii.gz",
    ] {
        write(folder.path(), name, 1);
    }
    let found = find(folder.path(), None).unwrap();
    assert_eq!(
        found
            .cases
            .iter()
            .map(|c| c.images.len())
            .collect::<Vec<_>>(),
        [2, 1]
    );
    assert!(
        found.notes[0].contains("numTraining is 3, 2 cases"),
        "{:?}",
        found.notes
    );
    fs::remove_file(folder.path().join("raw/2.nii.gz")).unwrap();
    let error = refused(folder.path());
    assert!(error.contains("2.nii.gz: case a has no image"), "{error}");
}

#[test]
fn a_file_of_another_ending_is_named() {
    let folder = folder(1, 1, &format!(r#"{{"file_ending": ".nii.gz", {LABELS}}}"#));
    let path = folder.path().join("imagesTr/c0.nii.gz");
    fs::remove_file(path).unwrap();
    write(folder.path(), "imagesTr/c0_0000.nii", 9);
    let error = refused(folder.path());
    assert!(
        error.contains("c0_0000.nii is there") && error.contains("asks for .nii.gz"),
        "{error}"
    );
}

#[test]
fn descriptions_in_any_encoding() {
    let json = r#"{"name": "Läsion", "labels": {"background": 0, "Läsion": 1}}"#;
    let folder = folder(1, 1, json);
    let path = folder.path().join("dataset.json");
    let utf16: Vec<u8> = json.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let latin1: Vec<u8> = json.chars().map(|c| c as u8).collect();
    for (bytes, notes) in [
        ([b"\xef\xbb\xbf", json.as_bytes()].concat(), 0),
        ([b"\xff\xfe", &utf16[..]].concat(), 0),
        (utf16, 0),
        (latin1, 1),
        (json.replace(", ", ",\r\n").into_bytes(), 0),
        (json.replace(", ", ",\r").into_bytes(), 0),
    ] {
        fs::write(&path, bytes).unwrap();
        let found = find(folder.path(), None).unwrap();
        assert_eq!(
            (&*found.name, &*found.scheme.classes[1].name),
            ("Läsion", "Läsion")
        );
        assert_eq!(found.notes.len(), notes);
    }
    fs::write(&path, b"\xff\xfe{\0\"").unwrap();
    assert!(refused(folder.path()).contains("UTF-16"));

    let list = "name = \"Läsion\"\r\n[labels]\r\ndense = true\r\n[[case]]\r\nimage = \"a.nii\"\r\nlabels = \"b.nii\"\r\n";
    let path = folder.path().join("list.toml");
    for text in [
        list.to_owned(),
        format!("\u{feff}{list}"),
        list.replace("\r\n", "\r"),
    ] {
        fs::write(&path, text).unwrap();
        assert_eq!(find(&path, None).unwrap().name, "Läsion");
    }
}

#[test]
fn splits_as_spreadsheets_save_them() {
    let folder = folder(3, 1, &format!("{{{LABELS}}}"));
    let table = "case\tsubject\tsplit\r\nc0\tMäuschen\ttrain\r\n\"c1\"\t\ttest\r\nc2\tm\ttrain\r\n";
    let utf16: Vec<u8> = table.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let latin1: Vec<u8> = table.chars().map(|c| c as u8).collect();
    for (bytes, notes) in [
        ([b"\xef\xbb\xbf", table.as_bytes()].concat(), 0),
        ([b"\xff\xfe", &utf16[..]].concat(), 0),
        (latin1, 1),
        (table.replace("\r\n", "\r").into_bytes(), 0),
    ] {
        fs::write(folder.path().join("split.tsv"), bytes).unwrap();
        let found = find(folder.path(), None).unwrap();
        assert_eq!(found.cases[0].subject.as_deref(), Some("Mäuschen"));
        assert_eq!(
            (found.cases[1].split, &found.cases[1].subject),
            (Split::Test, &None)
        );
        assert_eq!(found.notes.len(), notes);
    }
    text(
        folder.path(),
        "split.tsv",
        "case\tsplit\nc0\ttrain\nc0\ttest\n",
    );
    assert!(refused(folder.path()).contains("line 3: case c0 is there twice"));
}

#[test]
fn any_name_survives_its_split_file() {
    let case = find(folder(1, 1, &format!("{{{LABELS}}}")).path(), None).unwrap();
    let odd = [
        "tab\tin",
        "line\nin",
        " space ",
        "\"quoted\"",
        "5\" disk",
        "Läsion",
        "c\rd",
        "腫",
    ];
    let cases: Vec<_> = odd
        .iter()
        .enumerate()
        .map(|(i, name)| super::CaseFiles {
            name: (*name).to_owned(),
            subject: (i % 2 == 0).then(|| odd[odd.len() - 1 - i].to_owned()),
            split: if i == 3 { Split::Test } else { Split::Train },
            ..case.cases[0].clone()
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    write_split(&cases, &folder.path().join("split.tsv")).unwrap();
    let mut read = cases.clone();
    for case in &mut read {
        (case.subject, case.split) = (None, Split::Validate);
    }
    super::split::settle(&mut read, folder.path(), false, &mut Vec::new()).unwrap();
    assert_eq!(read, cases);
}

#[cfg(unix)]
#[test]
fn names_that_are_no_utf_8() {
    use std::os::unix::ffi::OsStrExt;
    let folder = folder(1, 1, &format!(r#"{{"file_ending": ".nii.gz", {LABELS}}}"#));
    for sub in ["imagesTr", "labelsTr"] {
        let name = std::ffi::OsStr::from_bytes(b"L\xe4sion.nii.gz");
        unet3d_volume::write(&folder.path().join(sub).join(name), &volume(1)).unwrap();
    }
    let mut found = find(folder.path(), None).unwrap();
    assert_eq!(found.cases.len(), 2);
    assert_eq!(
        found
            .load(Split::Train, &Normalise::default())
            .unwrap()
            .len(),
        2
    );
    serde_json::to_string(&found.record()).unwrap();
}

#[test]
fn nnu_nets_spacing_beside_tiff_files() {
    let folder = tempfile::tempdir().unwrap();
    text(
        folder.path(),
        "dataset.json",
        &format!(r#"{{"file_ending": ".tif", {LABELS}}}"#),
    );
    for (sub, name) in [("imagesTr", "cell6_0000.tif"), ("labelsTr", "cell6.tif")] {
        write(folder.path(), &format!("{sub}/{name}"), 1);
        text(
            folder.path(),
            &format!("{sub}/cell6.json"),
            r#"{"spacing": [2.0, 1.0, 0.5]}"#,
        );
    }
    let mut found = find(folder.path(), None).unwrap();
    let case = &found.load(Split::Train, &Normalise::default()).unwrap()[0];
    assert_eq!(case.image.geometry.spacing_mm, Some([2.0, 1.0, 0.5]));
}
