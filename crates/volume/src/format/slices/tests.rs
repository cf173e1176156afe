//! Folders: order of slices, what may be replaced, what is refused.

use super::*;
use crate::{Samples, read, write};

fn volume(depth: usize, fill: u8) -> Volume {
    let samples = (0..depth * 6).map(|i| i as u8 + fill).collect();
    Volume::new(Geometry::of_shape([depth, 2, 3]), 1, Samples::U8(samples)).expect("valid")
}

#[test]
fn slices_are_ordered_as_people_count() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for z in 0..12u8 {
        write(&folder.path().join(format!("s{z}.png")), &volume(1, z)).expect("written");
    }
    fs::write(folder.path().join("notes.txt"), "passed over").expect("written");
    let found = read(folder.path()).expect("read");
    assert_eq!(found.geometry.shape, [12, 2, 3]);
    let firsts: Vec<_> = (0..12).map(|z| found.samples.i64_at(z * 6)).collect();
    assert_eq!(firsts, (0..12).map(Some).collect::<Vec<_>>());
}

#[test]
fn only_own_slices_are_replaced() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out");
    write(&out, &volume(5, 0)).expect("a new folder");
    write(&out, &volume(3, 9)).expect("replaced");
    assert_eq!(read(&out).expect("read"), volume(3, 9));
    fs::write(out.join("thesis.txt"), "ten years of work").expect("written");
    let error = write(&out, &volume(4, 0)).expect_err("must not replace");
    assert!(error.to_string().contains("thesis.txt"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
}

#[test]
fn strange_folders_are_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    assert!(read(folder.path()).is_err(), "empty");
    write(&folder.path().join("a.png"), &volume(1, 0)).expect("written");
    write(&folder.path().join("b.tif"), &volume(1, 0)).expect("written");
    assert!(read(folder.path()).is_err(), "mixed");
    fs::remove_file(folder.path().join("a.png")).expect("removed");
    write(&folder.path().join("c.tif"), &volume(2, 0)).expect("written");
    let error = read(folder.path()).expect_err("a stack among slices");
    assert!(error.to_string().contains("c.tif"), "{error}");
    assert!(
        write(&folder.path().join("d.png"), &volume(2, 0)).is_err(),
        "a stack as PNG"
    );
}
