use super::*;
use crate::Error;

/// All names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("listed");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn refusal(path: &Path) -> Error {
    Error::field(path, "x", 1, "must be 2", "A test.")
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[test]
fn a_failure_leaves_nothing_and_keeps_the_old() {
    let folder = temporary();
    let path = folder.path().join("a.bin");
    fs::write(&path, b"old").expect("written");
    let result = write_file(&path, |writer| {
        put(writer, &path, b"half")?;
        Err(refusal(&path))
    });
    assert!(result.is_err());
    assert_eq!(fs::read(&path).expect("still there"), b"old");
    assert_eq!(names(folder.path()), ["a.bin"]);

    write_bytes(&path, b"new").expect("written");
    assert_eq!(fs::read(&path).expect("there"), b"new");
    assert_eq!(names(folder.path()), ["a.bin"]);
}

#[test]
fn a_folder_is_replaced_whole_or_not_at_all() {
    let folder = temporary();
    let path = folder.path().join("slices");
    let fill = |name: &'static str| {
        move |inside: &Path| {
            let file = inside.join(name);
            write_inside(&file, |writer| put(writer, &file, b"x"))
        }
    };
    write_folder(&path, fill("a")).expect("written");
    assert!(
        write_folder(&path, |inside| {
            fill("b")(inside)?;
            Err(refusal(inside))
        })
        .is_err()
    );
    assert!(path.join("a").exists() && !path.join("b").exists());
    write_folder(&path, fill("c")).expect("written");
    assert_eq!(names(&path), ["c"]);
    assert_eq!(names(folder.path()), ["slices"]);
}

#[test]
fn a_missing_folder_is_named() {
    let folder = temporary();
    let error = write_bytes(&folder.path().join("no/a.bin"), b"").expect_err("the folder");
    assert!(error.to_string().contains("creating failed"), "{error}");
    assert!(error.to_string().contains("no/a.bin"), "{error}");
}

/// A disk takes names of 255 bytes, so the temporary one may not be longer.
#[test]
fn every_name_that_the_disk_takes_can_be_written() {
    let folder = temporary();
    for length in [99, 100, 101, 240, 251, 255] {
        for letter in ["m", "ä", "語"] {
            let name = letter.repeat(length / letter.len());
            write_bytes(&folder.path().join(&name), b"x").expect("a legal name");
            let inside = folder.path().join(format!("{name}-"));
            if name.len() < 255 {
                write_folder::<WriteError>(&inside, |_| Ok(())).expect("a legal name");
            }
        }
    }
    let error = write_bytes(&folder.path().join("n".repeat(256)), b"x").expect_err("too long");
    assert!(error.to_string().contains("shorter"), "{error}");
    assert!(
        names(folder.path())
            .iter()
            .all(|name| !name.starts_with('.'))
    );
}

/// What a writer of `name` that was killed leaves: nobody holds its lock.
fn leave(folder: &Path, name: &str) {
    fs::write(folder.join(name), b"half").expect("written");
}

#[test]
fn what_killed_writers_left_is_removed_by_the_next_of_that_name() {
    let folder = temporary();
    let place = folder.path();
    for left in [".a.tif.1-0.tmp", ".a.tif.4194304-17.tmp"] {
        leave(place, left);
    }
    fs::create_dir_all(place.join(".a.tif.77-0.tmp/sub")).expect("made");
    // Of this very process id, as each program in a container has the same.
    leave(place, &format!(".a.tif.{}-0.tmp", std::process::id()));
    // Another name, and what only looks alike.
    let others = [
        ".a.tif.bak.1-0.tmp",
        ".a.tif.1-0.tmpx",
        ".a.tif.x-0.tmp",
        ".a.tif.1-.tmp",
        ".a.tif.tmp",
        ".b.tif.1-0.tmp",
        "a.tif.1-0.tmp",
    ];
    others.iter().for_each(|other| leave(place, other));
    write_bytes(&place.join("a.tif"), b"new").expect("written");
    let mut expected = others.map(str::to_owned).to_vec();
    expected.push("a.tif".into());
    expected.sort();
    assert_eq!(names(place), expected);

    // Folders of slices alike, with what stepped aside for them.
    let slices = temporary();
    let place = slices.path();
    fs::create_dir_all(place.join(".s.1-0.old")).expect("made");
    fs::create_dir_all(place.join(".s.1-1.tmp/half")).expect("made");
    assert!(write_folder(&place.join("s"), |inside| Err(refusal(inside))).is_err());
    // The old folder may be all there is: it stays until there is a new one.
    assert_eq!(names(place), [".s.1-0.old"]);
    write_folder::<Error>(&place.join("s"), |_| Ok(())).expect("written");
    assert_eq!(names(place), ["s"]);

    // Long names, whose temporary ones are cut.
    let long = temporary();
    let name = "l".repeat(250);
    let path = long.path().join(&name);
    let mut hidden = Vec::new();
    write_file::<Error>(&path, |_| {
        hidden = names(long.path());
        Ok(())
    })
    .expect("written");
    assert_eq!(hidden.len(), 1);
    leave(long.path(), &hidden[0]);
    write_bytes(&path, b"new").expect("written");
    assert_eq!(names(long.path()), [name]);
}

#[test]
fn what_somebody_still_writes_is_left_alone() {
    let folder = temporary();
    let path = folder.path().join("a.bin");
    write_file(&path, |outer| {
        put(outer, &path, b"outer")?;
        // Another writer of the same name, from beginning to end.
        write_bytes(&path, b"inner")?;
        assert_eq!(fs::read(&path).expect("there"), b"inner");
        Ok::<(), Error>(())
    })
    .expect("written");
    assert_eq!(fs::read(&path).expect("there"), b"outer");
    assert_eq!(names(folder.path()), ["a.bin"]);

    let slices = folder.path().join("slices");
    write_folder(&slices, |_| {
        write_folder(&slices, |inside| {
            let file = inside.join("inner");
            write_inside(&file, |writer| put(writer, &file, b"x"))
        })?;
        assert_eq!(names(&slices), ["inner"]);
        Ok::<(), Error>(())
    })
    .expect("written");
    assert!(names(&slices).is_empty());
}

#[test]
fn many_writers_of_one_name_leave_one_whole_file() {
    let folder = temporary();
    let path = folder.path().join("a.bin");
    std::thread::scope(|scope| {
        for writer in 0..8u8 {
            let path = &path;
            scope.spawn(move || {
                for _ in 0..20 {
                    write_bytes(path, &[writer; 5000]).expect("written");
                }
            });
        }
    });
    let bytes = fs::read(&path).expect("there");
    assert!(bytes.len() == 5000 && bytes.iter().all(|byte| *byte == bytes[0]));
    assert_eq!(names(folder.path()), ["a.bin"]);
}

#[cfg(unix)]
mod links {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Somebody may put a link where a temporary name will be: it is not followed.
    #[test]
    fn no_temporary_name_leads_elsewhere() {
        let folder = temporary();
        let place = folder.path();
        let precious = place.join("precious");
        fs::write(&precious, b"precious").expect("written");
        let process = std::process::id();
        let hidden = [
            format!(".a.bin.{process}-0.tmp"),
            format!(".a.bin.{process}-1.tmp"),
            ".a.bin.part".into(),
            format!(".a.bin.{process}.tmp"),
        ];
        for name in &hidden {
            symlink(&precious, place.join(name)).expect("linked");
        }
        write_bytes(&place.join("a.bin"), b"new").expect("written");
        assert_eq!(fs::read(&precious).expect("there"), b"precious");
        assert_eq!(fs::read(place.join("a.bin")).expect("there"), b"new");
    }

    #[test]
    fn a_link_is_replaced_and_what_it_led_to_stays() {
        let folder = temporary();
        let place = folder.path();
        fs::write(place.join("file"), b"elsewhere").expect("written");
        fs::create_dir(place.join("folder")).expect("made");
        fs::write(place.join("folder/inside"), b"elsewhere").expect("written");
        symlink("file", place.join("link")).expect("linked");
        symlink("nothing", place.join("broken")).expect("linked");
        for link in ["link", "broken"] {
            write_bytes(&place.join(link), b"new").expect("written");
            let found = place.join(link).symlink_metadata().expect("there");
            assert!(found.is_file(), "{link}");
        }
        assert_eq!(fs::read(place.join("file")).expect("there"), b"elsewhere");
        assert!(!place.join("nothing").exists());

        symlink("folder", place.join("slices")).expect("linked");
        write_folder::<Error>(&place.join("slices"), |_| Ok(())).expect("written");
        assert!(
            place
                .join("slices")
                .symlink_metadata()
                .expect("there")
                .is_dir()
        );
        assert_eq!(names(&place.join("folder")), ["inside"]);
    }

    #[test]
    fn devices_and_sockets_are_refused() {
        let folder = temporary();
        let socket = folder.path().join("socket.nii");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
        let linked = folder.path().join("linked.nii");
        symlink("/dev/null", &linked).expect("linked");
        let system = [
            "/dev/null",
            "/dev/stdout",
            "/dev/fd/1",
            "/dev/new.nii",
            "/proc/self/fd/1",
        ];
        let paths = system.iter().map(Path::new);
        for path in paths.chain([&*socket, &*linked]) {
            let error = write_bytes(path, b"x").expect_err("not a file").to_string();
            assert!(error.contains("not a file"), "{error}");
            let error = write_folder::<Error>(path, |_| Ok(())).expect_err("not a file");
            assert!(error.to_string().contains("not a file"), "{error}");
        }
        assert_eq!(names(folder.path()), ["linked.nii", "socket.nii"]);
    }
}
