//! `_0000`, `_0001`, ...: files of channels, or images that somebody numbered.
//!
//! nnU-Net names the files of a case's channels so; scanners and people number
//! patients so. The numbers are channels only where they run from 0000 without a gap
//! and are as many as the model or the data set has; where nobody says how many that
//! is, only where several cases agree in it. Otherwise every file is an image.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use unet3d_volume::name;

use super::{Expected, Found, Item, entries, file_name};
use crate::console::counted;

/// A case and the ending of its files, in lower case.
type Key = (OsString, String);

/// The numbered files of each case.
type Groups = BTreeMap<Key, BTreeMap<usize, PathBuf>>;

/// The volumes that the files of `folder` are.
pub(super) fn together(folder: &Path, paths: Vec<PathBuf>, expected: &Expected, found: &mut Found) {
    let groups = groups(&paths);
    let channels = expected.channels.or_else(|| agreed(&groups));
    let names: BTreeSet<OsString> = paths.iter().map(|p| file_name(p).to_owned()).collect();
    let mut apart = Vec::new();
    for path in paths {
        let key = key(&path);
        let group = key.as_ref().and_then(|((case, ending), _)| {
            let group = groups.get(&(case.clone(), ending.clone()))?;
            Some((case, group))
        });
        let Some((case, group)) = group else {
            found.items.push(Item::of(&path));
            continue;
        };
        let name = of_case(case, &path);
        // Alone, `_0000` is the whole image: of one channel, or with all in one file.
        let is_alone = expected.channels.is_some() && group.keys().eq(&[0]);
        if (is_alone || is_case(group, channels)) && !names.contains(&name) {
            if group.values().next() == Some(&path) {
                let paths = group.values().cloned().collect();
                found.items.push(Item { name, paths });
            }
        } else {
            if group.len() > 1 && group.values().next() == Some(&path) {
                apart.push((case.clone(), group.len()));
            }
            found.items.push(Item::of(&path));
        }
    }
    tell(folder, &apart, expected, &groups, channels, found);
}

/// Says what was taken for what, where it could have been otherwise.
fn tell(
    folder: &Path,
    apart: &[(OsString, usize)],
    expected: &Expected,
    groups: &Groups,
    channels: Option<usize>,
    found: &mut Found,
) {
    if let Some((case, count)) = apart.first() {
        let others = match apart.len() {
            1 => String::new(),
            n => format!(" (and those of {})", counted(n - 1, "other name")),
        };
        let why = match expected.channels {
            Some(n) => format!("as an image here has {}", counted(n, "channel")),
            None => "as nothing says how many channels an image has".to_owned(),
        };
        found.notes.push(format!(
            "{}: the {count} files {}_NNNN{others} are taken for images, not for the channels of one, {why}. \
             Channels count from _0000 without a gap.",
            folder.display(),
            case.display(),
        ));
    } else if let (None, Some(channels)) = (expected.channels, channels)
        && let Some((case, _)) = groups.keys().next()
    {
        found.notes.push(format!(
            "{}: files such as {}_0000 are taken for the {channels} channels of one image.",
            folder.display(),
            case.display(),
        ));
    }
}

/// A file that was named itself, with the files of the other channels beside it. A
/// channel of an image that is there already adds nothing.
pub(super) fn named(path: &Path, expected: &Expected, found: &mut Found) {
    let single = || Item::of(path);
    let Some(channels) = expected.channels.filter(|n| *n > 1) else {
        return found.items.push(single());
    };
    let siblings = crate::output::parent(path);
    let named_so = siblings == Path::new(".") && !path.starts_with(".");
    let siblings = entries(siblings)
        .unwrap_or_default()
        .into_iter()
        .map(|p| match named_so {
            true => PathBuf::from(file_name(&p)),
            false => p,
        });
    let groups = groups(&siblings.filter(|p| p.is_file()).collect::<Vec<_>>());
    let Some((key, _)) = key(path) else {
        return found.items.push(single());
    };
    let Some(group) = groups.get(&key).filter(|g| is_case(g, Some(channels))) else {
        return found.items.push(single());
    };
    let item = Item {
        name: of_case(&key.0, path),
        paths: group.values().cloned().collect(),
    };
    if found.items.contains(&item) {
        return;
    }
    let others = item
        .paths
        .iter()
        .filter(|p| file_name(p) != file_name(path));
    let others: Vec<_> = others.map(|p| file_name(p).display().to_string()).collect();
    found.notes.push(format!(
        "{}: is read with {} beside it, as the {channels} channels of one image.",
        path.display(),
        others.join(", ")
    ));
    found.items.push(item);
}

/// Whether the files of a case are its channels: all from 0 on, as many as an image has.
fn is_case(group: &BTreeMap<usize, PathBuf>, channels: Option<usize>) -> bool {
    is_without_gap(group) && channels == Some(group.len())
}

fn is_without_gap(group: &BTreeMap<usize, PathBuf>) -> bool {
    group
        .keys()
        .enumerate()
        .all(|(expected, found)| expected == *found)
}

/// The number of channels where several cases have the same, and none another.
fn agreed(groups: &Groups) -> Option<usize> {
    let mut sizes = groups.values().map(BTreeMap::len);
    let first = sizes.next().filter(|n| *n > 1)?;
    let agree =
        groups.len() > 1 && sizes.all(|n| n == first) && groups.values().all(is_without_gap);
    agree.then_some(first)
}

fn groups(paths: &[PathBuf]) -> Groups {
    let mut groups = Groups::new();
    for path in paths {
        if let Some((key, number)) = key(path) {
            groups.entry(key).or_default().insert(number, path.clone());
        }
    }
    groups
}

/// The case and ending of a numbered file, and its number.
fn key(path: &Path) -> Option<(Key, usize)> {
    let (case, number) = name::channel(&name::stem(path))?;
    Some(((case, name::ending(path).to_ascii_lowercase()), number))
}

/// `case_0001.nii.gz` becomes `case.nii.gz`.
fn of_case(case: &std::ffi::OsStr, path: &Path) -> OsString {
    let mut name = case.to_owned();
    name.push(name::ending(path));
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and numbers of files of what `names` are, and how much was told.
    fn items(names: &[&str], channels: Option<usize>) -> (Vec<(String, usize)>, usize) {
        let mut paths: Vec<_> = names.iter().map(PathBuf::from).collect();
        paths.sort();
        let expected = Expected {
            channels,
            ..Expected::default()
        };
        let mut found = Found::default();
        together(Path::new("f"), paths, &expected, &mut found);
        let items = found.items.iter().map(|i| (i.name(), i.paths.len()));
        (items.collect(), found.notes.len())
    }

    fn check(names: &[&str], channels: Option<usize>, expected: &[(&str, usize)], notes: usize) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(n, c)| ((*n).to_owned(), *c))
            .collect();
        assert_eq!(
            items(names, channels),
            (expected, notes),
            "{names:?} {channels:?}"
        );
    }

    #[test]
    fn numbers_are_channels_where_the_model_has_as_many() {
        let two = [
            "a_0000.nii.gz",
            "a_0001.nii.gz",
            "b_0000.nii.gz",
            "b_0001.nii.gz",
        ];
        check(&two, Some(2), &[("a.nii.gz", 2), ("b.nii.gz", 2)], 0);
        let apart: Vec<_> = two.iter().map(|name| (*name, 1)).collect();
        check(&two, Some(1), &apart, 1);
        check(&two, Some(3), &apart, 1);
        // Nobody says, but the cases agree.
        check(&two, None, &[("a.nii.gz", 2), ("b.nii.gz", 2)], 1);
    }

    #[test]
    fn patients_with_numbers_are_images() {
        for names in [
            &["scan_0001.nii", "scan_0002.nii", "scan_0003.nii"][..],
            &["scan_0000.nii", "scan_0001.nii"],
            &["scan_0000.nii", "scan_0002.nii"],
        ] {
            let expected: Vec<_> = names.iter().map(|name| (*name, 1)).collect();
            check(names, Some(1), &expected, 1);
            check(names, None, &expected, 1);
        }
        // As many as channels, but not from 0000, or with a gap.
        check(
            &["s_0001.nii", "s_0002.nii"],
            Some(2),
            &[("s_0001.nii", 1), ("s_0002.nii", 1)],
            1,
        );
        check(
            &["s_0000.nii", "s_0002.nii"],
            Some(2),
            &[("s_0000.nii", 1), ("s_0002.nii", 1)],
            1,
        );
    }

    #[test]
    fn one_channel_keeps_nnu_nets_meaning() {
        let names = [
            "a_0000.nii.gz",
            "b_0000.png",
            "c.nii.gz",
            "d_12.tif",
            "e_00000.nii",
        ];
        let expected = [
            ("a.nii.gz", 1),
            ("b.png", 1),
            ("c.nii.gz", 1),
            ("d_12.tif", 1),
            ("e_00000.nii", 1),
        ];
        check(&names, Some(1), &expected, 0);
        // Two results would have one name.
        check(
            &["a.nii", "a_0000.nii"],
            Some(1),
            &[("a.nii", 1), ("a_0000.nii", 1)],
            0,
        );
        // Nobody says that the number is that of a channel.
        check(&["a_0000.nii"], None, &[("a_0000.nii", 1)], 0);
    }

    #[test]
    fn endings_keep_cases_apart() {
        check(
            &["a_0000.nii", "a_0001.tif"],
            Some(2),
            &[("a.nii", 1), ("a_0001.tif", 1)],
            0,
        );
        check(&["a_0000.NII", "a_0001.nii"], Some(2), &[("a.NII", 2)], 0);
    }

    #[test]
    fn a_file_brings_its_siblings() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in [
            "a_0000.nii",
            "a_0001.nii",
            "b_0000.nii",
            "c_0001.nii",
            "c_0002.nii",
        ] {
            std::fs::write(folder.path().join(name), b"").expect("written");
        }
        let of = |names: &[&str], channels: usize| {
            let expected = Expected {
                channels: Some(channels),
                ..Expected::default()
            };
            let mut found = Found::default();
            names
                .iter()
                .for_each(|n| named(&folder.path().join(n), &expected, &mut found));
            let items = found.items.iter().map(|i| (i.name(), i.paths.len()));
            (items.collect::<Vec<_>>(), found.notes.len())
        };
        let a = vec![("a.nii".to_owned(), 2)];
        assert_eq!(of(&["a_0000.nii"], 2), (a.clone(), 1));
        assert_eq!(of(&["a_0001.nii"], 2), (a.clone(), 1));
        assert_eq!(of(&["a_0000.nii", "a_0001.nii"], 2), (a, 1));
        let alone = |name: &str| (vec![(name.to_owned(), 1)], 0);
        assert_eq!(of(&["a_0000.nii"], 1), alone("a_0000.nii"));
        assert_eq!(of(&["b_0000.nii"], 2), alone("b_0000.nii"));
        assert_eq!(of(&["c_0001.nii"], 2), alone("c_0001.nii"));
    }
}
