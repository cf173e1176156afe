//! Properties of TIFF files that the tests common to all formats do not reach.

use std::fs::File;
use std::io::BufWriter;

use super::*;
use crate::{Geometry, Samples};

#[test]
fn big_tiff_is_read_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("big.tif");
    let volume = Volume::new(
        Geometry::of_shape([3, 4, 5]),
        2,
        Samples::U16((0..120).collect()),
    )
    .expect("valid");
    let mut writer = BufWriter::new(File::create(&path).expect("created"));
    write::write_as(&mut writer, &path, &volume, true).expect("written");
    drop(writer);
    assert_eq!(&std::fs::read(&path).expect("there")[..4], b"II+\0");
    assert_eq!(crate::read(&path).expect("read"), volume);
}
