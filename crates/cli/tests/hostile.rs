//! Files that say they are large: each is read or refused within four times its
//! size and 64 MiB of address space (the program itself included), and within
//! seconds of work. The shell's limits enforce both, so what matters is that
//! the program ends by itself: with 0 or 1, not by a signal and not by a panic.

#![cfg(target_os = "linux")]

mod common;

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use common::{Folder, Ran};

/// Seconds of work that end a run. One is promised for the finished program;
/// this one may be without optimisation, on a slow machine. What this catches
/// are minutes.
const MOST_SECONDS: u64 = 20;

/// What a run under the limits says, where it did not end well.
fn fault(path: &Path) -> Option<String> {
    let bytes: u64 = match path.is_dir() {
        true => std::fs::read_dir(path)
            .expect("listed")
            .map(|entry| entry.expect("an entry").metadata().expect("seen").len())
            .sum(),
        false => std::fs::metadata(path).expect("there").len(),
    };
    let kib = 4 * bytes / 1024 + 64 * 1024;
    let script = format!("ulimit -v {kib}; ulimit -t {MOST_SECONDS}; exec \"$0\" info \"$1\"");
    let ran = Ran::of(
        Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_unet3d")])
            .arg(path)
            .output()
            .expect("started"),
    );
    let is_clear = ran.code == Some(0) || ran.code == Some(1) && ran.stderr.contains("error: ");
    let strange = ["panicked", "allocation", "overflow"];
    match is_clear && !strange.iter().any(|word| ran.stderr.contains(word)) {
        true => None,
        false => Some(format!("{}: {ran:?}", path.display())),
    }
}

fn assert_all(folder: &Folder, files: &[(String, Vec<u8>)]) {
    let failures: Vec<String> = files
        .iter()
        .filter_map(|(name, bytes)| fault(&folder.bytes(name, bytes)))
        .collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

/// A TIFF file of one page: entries of tag, type, count and value; `data` stands
/// right after the header, at byte 8.
fn tiff(entries: &[(u16, u16, u32, u32)], data: &[u8]) -> Vec<u8> {
    let mut entries = entries.to_vec();
    entries.sort_unstable();
    let at = 8 + data.len() as u32;
    let mut bytes = b"II*\0".to_vec();
    bytes.extend(at.to_le_bytes());
    bytes.extend(data);
    bytes.extend((entries.len() as u16).to_le_bytes());
    for (tag, field_type, count, value) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(field_type.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend([0; 4]);
    bytes
}

/// The entries of a page in one strip at byte 8.
fn page(
    width: u32,
    height: u32,
    bits: u32,
    packing: u32,
    length: u32,
) -> Vec<(u16, u16, u32, u32)> {
    vec![
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, bits),
        (259, 3, 1, packing),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (277, 3, 1, 1),
        (278, 4, 1, height),
        (279, 4, 1, length),
    ]
}

fn described(text: &str) -> Vec<u8> {
    let mut data = vec![0; 16];
    data.extend(text.as_bytes());
    let mut entries = page(4, 4, 8, 1, 16);
    entries.push((270, 2, text.len() as u32, 24));
    tiff(&entries, &data)
}

fn zlib(bytes: usize) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let block = vec![0; 1 << 20];
    for _ in 0..bytes >> 20 {
        encoder.write_all(&block).expect("compressed");
    }
    encoder.finish().expect("compressed")
}

#[test]
fn tiff_directories_that_lie() {
    let folder = Folder::new();
    let mut files = Vec::new();
    // Each tag with a list of millions.
    for (i, &(tag, ..)) in page(4, 4, 8, 1, 16).iter().enumerate() {
        for count in [1 << 22, u32::MAX] {
            for field_type in [1, 3, 4, 7, 16] {
                let mut entries = page(4, 4, 8, 1, 16);
                entries[i] = (tag, field_type, count, 8);
                files.push((
                    format!("{tag}-{field_type}-{count}.tif"),
                    tiff(&entries, &[0; 16]),
                ));
            }
        }
    }
    for (tag, count) in [
        (270, 1 << 27),
        (347, 1 << 27),
        (33629, u32::MAX),
        (34412, 1 << 30),
        (339, 1 << 24),
    ] {
        let mut entries = page(4, 4, 8, if tag == 347 { 7 } else { 1 }, 16);
        entries.push((tag, 1, count, 8));
        files.push((format!("{tag}.tif"), tiff(&entries, &[0; 16])));
    }
    // Sizes without samples, in every packing and depth.
    for packing in [1, 2, 3, 4, 5, 7, 8, 32773, 34712, 50000] {
        for bits in [1, 8, 16, 64] {
            for (width, height) in [
                (60_000, 60_000),
                (u32::MAX, 1),
                (1, u32::MAX),
                (u32::MAX, u32::MAX),
            ] {
                let name = format!("{packing}-{bits}-{width}-{height}.tif");
                files.push((
                    name,
                    tiff(&page(width, height, bits, packing, 16), &[1; 16]),
                ));
            }
        }
    }
    // Tiles, samples of a pixel and strips without end.
    for (width, length) in [(1 << 20, 1 << 20), (1 << 31, 16), (16, 1 << 31), (1, 1)] {
        let mut entries = page(50_000, 50_000, 8, 8, 16);
        entries.retain(|e| !matches!(e.0, 273 | 278 | 279));
        entries.extend([
            (322, 4, 1, width),
            (323, 4, 1, length),
            (324, 4, 1, 8),
            (325, 4, 1, 16),
        ]);
        files.push((
            format!("tile-{width}-{length}.tif"),
            tiff(&entries, &[1; 16]),
        ));
    }
    for (samples, rows) in [(65_535, 1), (0, 1), (1, 0)] {
        let mut entries = page(60_000, 60_000, 8, 8, 16);
        for entry in &mut entries {
            match entry.0 {
                277 => entry.3 = samples,
                278 => entry.3 = rows,
                _ => {}
            }
        }
        files.push((
            format!("samples-{samples}-{rows}.tif"),
            tiff(&entries, &[1; 16]),
        ));
    }
    assert_all(&folder, &files);
}

#[test]
fn tiff_pages_that_unpack_to_less_than_they_announce() {
    let folder = Folder::new();
    let mut files = Vec::new();
    // 48 MB that are there, of 900 MB that are announced.
    let packed = zlib(48 << 20);
    let length = packed.len() as u32;
    files.push((
        "short.tif".to_owned(),
        tiff(&page(30_000, 30_000, 8, 8, length), &packed),
    ));
    files.push((
        "bits.tif".to_owned(),
        tiff(&page(60_000, 60_000, 1, 8, length), &packed),
    ));
    // A thousand strips that share their bytes.
    let strip = zlib(4 << 20);
    let (strips, at) = (1000u32, 8 + strip.len() as u32);
    let mut data = strip.clone();
    (0..strips).for_each(|_| data.extend(8u32.to_le_bytes()));
    (0..strips).for_each(|_| data.extend((strip.len() as u32).to_le_bytes()));
    let mut entries = page(1 << 20, 4 * strips, 8, 8, 0);
    for entry in &mut entries {
        match entry.0 {
            273 => *entry = (273, 4, strips, at),
            278 => entry.3 = 4,
            279 => *entry = (279, 4, strips, at + 4 * strips),
            _ => {}
        }
    }
    files.push(("shared.tif".to_owned(), tiff(&entries, &data)));
    // A JPEG that says it is huge, in a page that says so too.
    let jpeg = b"\xff\xd8\xff\xc0\x00\x0b\x08\xff\xff\xff\xff\x01\x01\x11\x00\xff\xd9";
    files.push((
        "jpeg.tif".to_owned(),
        tiff(&page(65_535, 65_535, 8, 7, 17), jpeg),
    ));
    assert_all(&folder, &files);
}

#[test]
fn chains_of_pages_that_overlap() {
    let folder = Folder::new();
    // Every 14 bytes a directory of 4000 entries that runs over all the others.
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    let mut many = Vec::new();
    for i in 0..20_000u32 {
        many.extend(1u16.to_le_bytes());
        many.extend([0u16, 1].iter().flat_map(|v| v.to_le_bytes()));
        many.extend(1u32.to_le_bytes());
        many.extend((8 + 14 * i).to_le_bytes());
    }
    bytes.extend(&many);
    // A sound chain of many small pages is sound.
    let mut chain = b"II*\0\x08\0\0\0".to_vec();
    for i in 0..20_000u32 {
        chain.extend(2u16.to_le_bytes());
        for tag in [256u16, 257] {
            chain.extend(tag.to_le_bytes());
            chain.extend(4u16.to_le_bytes());
            chain.extend(1u32.to_le_bytes());
            chain.extend(1u32.to_le_bytes());
        }
        let next = if i < 19_999 { 8 + 30 * (i + 1) } else { 8 };
        chain.extend(next.to_le_bytes());
    }
    assert_all(
        &folder,
        &[
            ("many.tif".to_owned(), bytes),
            ("ring.tif".to_owned(), chain),
        ],
    );
}

#[test]
fn descriptions_that_lie() {
    let folder = Folder::new();
    let mut texts = Vec::new();
    for count in [
        "100000000",
        "4000000000",
        "18446744073709551615",
        "99999999999999999999999",
    ] {
        for key in [
            "images",
            "slices",
            "channels",
            "images=1\nslices",
            "images=1\nchannels",
        ] {
            texts.push(format!("ImageJ=1.54f\n{key}={count}\n"));
        }
        texts.push(format!("ImageJ=1\nimages={count}\nslices={count}\n"));
        texts.push(format!(
            "ImageJ=1\nimages={count}\nchannels={count}\nslices=1\n"
        ));
        texts.push(format!("{{\"shape\": [{count}, 4, 4]}}"));
        texts.push(format!(
            "{{\"shape\": [{count}, {count}, 4, 4], \"axes\": \"ZCYX\"}}"
        ));
        texts.push(format!(
            "<OME><Pixels SizeX=\"4\" SizeY=\"4\" SizeZ=\"{count}\" SizeC=\"{count}\" SizeT=\"1\" DimensionOrder=\"XYZCT\"/></OME>"
        ));
    }
    texts.push("{\"shape\":".repeat(50_000));
    texts.push(format!("{{\"shape\": {}", "[".repeat(100_000)));
    // Namespaces within namespaces, elements, attributes and blocks without end.
    let nested =
        |n: usize| -> String { (0..n).map(|i| format!("<a xmlns:b{i}=\"c{i}\">")).collect() };
    texts.push(format!(
        "<OME>{}{}</OME>",
        nested(5000),
        "</a>".repeat(5000)
    ));
    texts.push(format!("<OME>{}", nested(5000)));
    let namespaces: String = (0..5000).map(|i| format!(" xmlns:b{i}=\"c{i}\"")).collect();
    texts.push(format!("<OME{namespaces}>{}</OME>", "<a/>".repeat(20_000)));
    let pixels = "<Pixels SizeX=\"4\" SizeY=\"4\" SizeZ=\"1\" SizeC=\"1\" SizeT=\"1\" DimensionOrder=\"XYZCT\">";
    texts.push(format!(
        "<OME>{pixels}{}</Pixels></OME>",
        "<TiffData/>".repeat(100_000)
    ));
    texts.push(format!("<OME>{}</OME>", "<Pixels/>".repeat(100_000)));
    texts.push(format!("<OME>{}", "<!-- ".repeat(50_000)));
    texts.push(format!("<OME a=\"{}", "&amp;".repeat(50_000)));
    let files: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(i, text)| (format!("{i}.tif"), described(text)))
        .collect();
    assert_all(&folder, &files);
}

/// A chunk of a PNG with its checksum.
fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(name);
    crc.update(data);
    let mut bytes = (data.len() as u32).to_be_bytes().to_vec();
    bytes.extend(name);
    bytes.extend(data);
    bytes.extend(crc.sum().to_be_bytes());
    bytes
}

fn png(
    width: u32,
    height: u32,
    [bits, colour, interlace]: [u8; 3],
    more: &[u8],
    data: &[u8],
) -> Vec<u8> {
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([bits, colour, 0, 0, interlace]);
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    bytes.extend(chunk(b"IHDR", &header));
    bytes.extend(more);
    bytes.extend(chunk(b"IDAT", data));
    bytes.extend(chunk(b"IEND", b""));
    bytes
}

#[test]
fn pictures_that_lie_or_expand() {
    let folder = Folder::new();
    let some = zlib(48 << 20);
    let mut files = Vec::new();
    // Whole pictures of fewer than 8 bits: a byte of memory for each pixel.
    let real = zlib((3000 * 22_400 + 22_400) as usize);
    for (bits, width) in [(1, 24_000), (2, 12_000), (4, 6000)] {
        files.push((
            format!("real-{bits}.png"),
            png(width, 22_400, [bits, 0, 0], &[], &real),
        ));
    }
    for interlace in [0, 1] {
        for (bits, colour) in [(1, 0), (8, 0), (16, 0), (8, 2), (16, 6), (1, 3)] {
            for (width, height) in [
                (57_900, 57_900),
                (0x7fff_ffff, 1),
                (1, 0x7fff_ffff),
                (0x7fff_ffff, 0x7fff_ffff),
            ] {
                let name = format!("{interlace}-{bits}-{colour}-{width}-{height}.png");
                files.push((
                    name,
                    png(width, height, [bits, colour, interlace], &[], &some[..600]),
                ));
            }
        }
    }
    // What stands beside the picture is not unpacked.
    let profile = chunk(b"iCCP", &[b"a\0\0".to_vec(), some.clone()].concat());
    let text = chunk(b"zTXt", &[b"a\0\0".to_vec(), some].concat());
    for (name, more) in [("profile", profile), ("text", text)] {
        files.push((
            format!("{name}.png"),
            png(4, 4, [8, 0, 0], &more, &zlib(1 << 20)),
        ));
    }
    assert_all(&folder, &files);
}

#[test]
fn nifti_and_npy_that_lie() {
    let folder = Folder::new();
    let mut header = vec![0u8; 352];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &348i32.to_le_bytes());
    put(108, &352f32.to_le_bytes());
    put(344, b"n+1\0");
    let nifti = |dim: [i16; 5], datatype: i16, slope: f32, data: usize| {
        let mut bytes = header.clone();
        for (i, n) in dim.iter().enumerate() {
            bytes[40 + 2 * i..42 + 2 * i].copy_from_slice(&n.to_le_bytes());
        }
        bytes[70..72].copy_from_slice(&datatype.to_le_bytes());
        bytes[112..116].copy_from_slice(&slope.to_le_bytes());
        bytes.resize(352 + data, 0);
        bytes
    };
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).expect("compressed");
        encoder.finish().expect("compressed")
    };
    let mut files = Vec::new();
    for dim in [
        [3, 32767, 32767, 32767, 1],
        [4, 32767, 32767, 32767, 32767],
        [3, 400, 400, 400, 1],
    ] {
        for datatype in [2, 4, 64] {
            for slope in [0.0, 2.0] {
                let name = format!("{dim:?}-{datatype}-{slope}.nii");
                let bytes = nifti(dim, datatype, slope, 1000);
                files.push((format!("{name}.gz"), gzip(&bytes)));
                files.push((name, bytes));
            }
        }
    }
    // 60 MB of zeros that are there, of 64 MB that are announced.
    files.push((
        "short.nii.gz".to_owned(),
        gzip(&nifti([3, 400, 400, 400, 1], 2, 0.0, 60_000_000)),
    ));
    // Scaled, each byte becomes four.
    files.push((
        "scaled.nii".to_owned(),
        nifti([3, 200, 200, 500, 1], 2, 2.0, 20_000_000),
    ));
    for (shape, descr) in [
        ("(4294967295, 4294967295, 4294967295)", "<f8"),
        ("(400, 400, 4000)", "|u1"),
        ("(18446744073709551615, 1, 1)", "|u1"),
        ("(1, 1, 1, 99999999)", "|u1"),
    ] {
        for order in ["True", "False"] {
            let text =
                format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
            let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
            bytes.extend((text.len() as u16).to_le_bytes());
            bytes.extend(text.as_bytes());
            bytes.extend([0; 100]);
            files.push((
                format!("{descr}-{shape}-{order}.npy").replace('|', ""),
                bytes,
            ));
        }
    }
    files.push((
        "header.npy".to_owned(),
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(),
    ));
    assert_all(&folder, &files);
}

/// A folder of slices whose first is large and whose others are not there.
#[test]
fn folders_that_lie() {
    let folder = Folder::new();
    let rows = zlib(36 << 20);
    folder.bytes("slices/z0.png", &png(6000, 6000, [8, 0, 0], &[], &rows));
    for i in 1..100 {
        folder.bytes(&format!("slices/z{i}.png"), b"nothing");
    }
    let fault = fault(&folder.path("slices"));
    assert!(fault.is_none(), "{fault:?}");
}

/// Files made by others to do harm, where the variable says that there are some.
#[test]
fn collected_files_are_read_or_refused() {
    let Some(cases) = std::env::var_os("UNET3D_CASES") else {
        common::skipped(
            "collected_files_are_read_or_refused",
            "UNET3D_CASES names no folder of files",
        );
        return;
    };
    let mut failures = Vec::new();
    for entry in std::fs::read_dir(cases).expect("listed") {
        let path = entry.expect("an entry").path();
        if path
            .extension()
            .is_some_and(|e| e != "toml" && e != "safetensors")
        {
            failures.extend(fault(&path));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn pipes_devices_and_sockets_are_refused_at_once() {
    let folder = Folder::new();
    let image = folder.volume("image.nii.gz", &common::blobs([8, 8, 8], 0).0);
    for name in ["pipe", "pipe.tif", "pipe.nii.gz"] {
        let made = Command::new("mkfifo").arg(folder.path(name)).status();
        assert!(made.expect("started").success(), "{name}");
    }
    let socket = std::os::unix::net::UnixListener::bind(folder.path("socket.npy"));
    std::os::unix::fs::symlink(folder.path("pipe"), folder.path("link.tif")).expect("linked");
    let before = folder.files();
    // One that hangs would never end: the shell gives up on its behalf.
    let run = |arguments: &[&str]| {
        let script = "timeout 30 \"$0\" \"$@\"";
        Ran::of(
            Command::new("sh")
                .args(["-c", script, env!("CARGO_BIN_EXE_unet3d")])
                .args(arguments.iter().map(|a| match a.strip_prefix('@') {
                    Some(name) => folder.path(name).into_os_string(),
                    None => a.into(),
                }))
                .output()
                .expect("started"),
        )
    };
    let mut calls: Vec<Vec<&str>> = Vec::new();
    for input in [
        "@pipe",
        "@pipe.tif",
        "@pipe.nii.gz",
        "@socket.npy",
        "@link.tif",
        "/dev/null",
    ] {
        calls.push(vec!["info", input]);
        calls.push(vec!["convert", input, "@out.nii.gz"]);
        calls.push(vec![
            "fill",
            input,
            "@image.nii.gz",
            "-o",
            "@out.nii.gz",
            "--dense",
        ]);
        calls.push(vec![
            "fill",
            "@image.nii.gz",
            input,
            "-o",
            "@out.nii.gz",
            "--dense",
        ]);
    }
    for output in ["@pipe.tif", "@pipe.nii.gz", "@link.tif"] {
        calls.push(vec!["convert", "@image.nii.gz", output, "--overwrite"]);
    }
    for call in calls {
        let ran = run(&call);
        assert_eq!(ran.code, Some(1), "{call:?} {ran:?}");
        assert!(
            ["must be a file or a folder", "not a file"]
                .iter()
                .any(|words| ran.stderr.contains(words)),
            "{call:?} {ran:?}"
        );
    }
    assert_eq!(folder.files(), before);
    drop(socket);
    assert!(image.is_file());
}
