//! The slices that a person says they annotated: `z=4,14,24`, `z=every:10`,
//! `z=4..54:10`, in one or more directions.
//!
//! What is typed stays as it was typed until a volume is there: only then is known
//! how many slices it has and which axis is, say, axial.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::scheme::axis_name;
use super::{Direction, LabelsError};
use crate::Geometry;

const HINT: &str = "write for example z=4,14,24, z=every:10 (0, 10, 20, ...) or z=4..54:10 (from 4 to 54, \
                    the end included, in steps of 10); a further direction follows a comma: z=4,14,y=30";

/// A run of so many slices with one step or more is written `first..last:step` where
/// this program writes it; shorter ones one by one, as people do.
const LONG_RUN: usize = 6;

/// Slices that were looked at and annotated, whether anything was painted there or not.
///
/// ```
/// use unet3d_volume::labels::StatedSlices;
/// use unet3d_volume::Geometry;
/// let stated: StatedSlices = "z=4,every:10,y=2..6:2".parse()?;
/// let slices = stated.resolve(&Geometry::of_shape([25, 9, 9]), "labels.tif").unwrap();
/// assert_eq!(slices, [vec![0, 4, 10, 20], vec![2, 4, 6], vec![]]);
/// assert_eq!(stated.to_string(), "z=4,every:10,y=2..6:2");
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatedSlices {
    /// Each direction once, in the order in which they were named.
    along: Vec<(Direction, Vec<Span>)>,
}

/// Slices `first`, `first + step`, ... up to `last`, which counts; to the end of the
/// volume where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    first: usize,
    last: Option<usize>,
    step: usize,
}

impl StatedSlices {
    /// These slices along z, y and x.
    pub fn of(slices: &[Vec<usize>; 3]) -> Self {
        let directions = [Direction::Z, Direction::Y, Direction::X];
        let along = directions.into_iter().zip(slices);
        Self {
            along: along
                .filter(|(_, indices)| !indices.is_empty())
                .map(|(direction, indices)| (direction, spans(indices)))
                .collect(),
        }
    }

    /// All of several statements.
    pub fn merged(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::default();
        for (direction, spans) in parts.into_iter().flat_map(|part| part.along) {
            all.add(direction, spans);
        }
        all
    }

    /// Whether no slice is named: of a data set whose cases name their own.
    pub fn is_empty(&self) -> bool {
        self.along.is_empty()
    }

    /// The slices along z, y and x of a volume of this geometry, ascending.
    ///
    /// # Errors
    /// A slice that is not there or named twice; a plane of the body where the
    /// volume does not say how it lies.
    pub fn resolve(
        &self,
        geometry: &Geometry,
        source: &str,
    ) -> Result<[Vec<usize>; 3], LabelsError> {
        let mut slices: [Vec<usize>; 3] = Default::default();
        for (direction, spans) in &self.along {
            let axis = direction.axis(geometry, source)?;
            let count = geometry.shape[axis];
            for span in spans {
                for index in span.indices(count) {
                    if index >= count {
                        return Err(LabelsError::StatedOutside {
                            source_name: source.into(),
                            stated: self.to_string(),
                            axis: axis_name(axis),
                            index,
                            count,
                        });
                    }
                    slices[axis].push(index);
                }
            }
        }
        for (axis, slices) in slices.iter_mut().enumerate() {
            slices.sort_unstable();
            if let Some(pair) = slices.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(LabelsError::StatedTwice {
                    source_name: source.into(),
                    stated: self.to_string(),
                    axis: axis_name(axis),
                    index: pair[0],
                });
            }
        }
        Ok(slices)
    }

    fn add(&mut self, direction: Direction, spans: Vec<Span>) {
        match self.along.iter_mut().find(|(d, _)| *d == direction) {
            Some((_, all)) => all.extend(spans),
            None => self.along.push((direction, spans)),
        }
    }
}

impl Span {
    fn one(index: usize) -> Self {
        Self {
            first: index,
            last: Some(index),
            step: 1,
        }
    }

    /// The slices of `count` that are meant; where more are named than there are, the
    /// first beyond them too.
    fn indices(self, count: usize) -> impl Iterator<Item = usize> {
        let end = self.last.unwrap_or(count.saturating_sub(1).max(self.first));
        // Far ends are cut: one index beyond the volume is enough to refuse it.
        let end = end.min(count.max(self.first).saturating_add(self.step));
        (self.first..=end).step_by(self.step)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self {
                first,
                last: Some(last),
                ..
            } if first == last => write!(f, "{first}"),
            Self {
                first: 0,
                last: None,
                step,
            } => write!(f, "every:{step}"),
            Self { first, last, step } => {
                write!(f, "{first}..")?;
                if let Some(last) = last {
                    write!(f, "{last}")?;
                }
                match step {
                    1 => Ok(()),
                    step => write!(f, ":{step}"),
                }
            }
        }
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{text:?} {why}; {HINT}");
        let number = |text: &str| -> Option<usize> {
            let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            is_number.then(|| text.parse().ok()).flatten()
        };
        let step_of = |text: &str| match number(text) {
            Some(0) => Err(wrong("has a step of 0, at least 1 is needed")),
            Some(step) => Ok(step),
            None => Err(wrong("has a step that is no number")),
        };
        if let Some(step) = text.strip_prefix("every:") {
            return Ok(Self {
                first: 0,
                last: None,
                step: step_of(step)?,
            });
        }
        let Some((first, rest)) = text.split_once("..") else {
            return match number(text) {
                Some(index) => Ok(Self::one(index)),
                None => Err(wrong("is neither a slice, counted from 0, nor a range")),
            };
        };
        let (last, step) = match rest.split_once(':') {
            Some((last, step)) => (last, step_of(step)?),
            None => (rest, 1),
        };
        let bound = |text: &str| number(text).ok_or_else(|| wrong("has an end that is no number"));
        let first = bound(first)?;
        let last = match last {
            "" => None,
            last => Some(bound(last)?),
        };
        if last.is_some_and(|last| last < first) {
            return Err(wrong("ends before it begins"));
        }
        Ok(Self { first, last, step })
    }
}

/// What a list of indices is written as: long runs of one step as ranges.
fn spans(indices: &[usize]) -> Vec<Span> {
    let mut out = Vec::new();
    let mut rest = indices;
    while let [first, tail @ ..] = rest {
        let step = tail.first().map_or(1, |next| next.saturating_sub(*first));
        let pairs = rest.windows(2);
        let run = 1 + pairs
            .take_while(|p| p[1].checked_sub(p[0]) == Some(step))
            .count();
        if run >= LONG_RUN && step > 0 {
            out.push(Span {
                first: *first,
                last: Some(rest[run - 1]),
                step,
            });
            rest = &rest[run..];
        } else {
            out.push(Span::one(*first));
            rest = tail;
        }
    }
    out
}

impl fmt::Display for StatedSlices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (direction, spans)) in self.along.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            write!(f, "{comma}{direction}=")?;
            for (j, span) in spans.iter().enumerate() {
                let comma = if j > 0 { "," } else { "" };
                write!(f, "{comma}{span}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for StatedSlices {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut joined = text.trim().to_owned();
        while joined.contains(" =") || joined.contains("= ") {
            joined = joined.replace(" =", "=").replace("= ", "=");
        }
        let mut all = Self::default();
        let mut current = None;
        let separators = |c: char| c == ',' || c == ';' || c.is_whitespace();
        for part in joined.split(separators).filter(|part| !part.is_empty()) {
            let span = match part.split_once('=') {
                Some((name, span)) => {
                    let direction: Direction =
                        name.parse().map_err(|why| format!("{why}; {HINT}"))?;
                    if span.is_empty() {
                        return Err(format!("{part:?} names no slice; {HINT}"));
                    }
                    current = Some(direction);
                    span
                }
                None => part,
            };
            let direction = current
                .ok_or_else(|| format!("{part:?} does not say along which direction; {HINT}"))?;
            all.add(direction, vec![span.parse()?]);
        }
        if all.is_empty() {
            return Err(format!("names no slice; {HINT}"));
        }
        Ok(all)
    }
}

impl Serialize for StatedSlices {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// As lists of cases and configurations write it: `"z=4,14"` or
/// `{ z = [4, 14], y = "every:10" }`.
impl<'de> Deserialize<'de> for StatedSlices {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong = |why: String| D::Error::custom(format!("annotated slices: {why}"));
        let table = match Written::deserialize(deserializer)? {
            // A configuration of a data set whose cases name their own.
            Written::Text(text) if text.is_empty() => return Ok(Self::default()),
            Written::Text(text) => return text.parse().map_err(wrong),
            Written::Table(table) => table,
            Written::Other(_) => return Err(wrong(format!("neither a text nor a table; {HINT}"))),
        };
        let mut all = Self::default();
        for (name, spans) in table {
            let direction: Direction = name.parse().map_err(wrong)?;
            let spans = match spans {
                WrittenSpans::Several(spans) => spans,
                WrittenSpans::One(span) => vec![span],
            };
            let spans: Result<Vec<Vec<Span>>, String> =
                spans.into_iter().map(|span| span.read(direction)).collect();
            let spans = spans.map_err(wrong)?.concat();
            if spans.is_empty() {
                return Err(wrong(format!("{direction} names no slice; {HINT}")));
            }
            all.add(direction, spans);
        }
        match all.is_empty() {
            true => Err(wrong(format!("no direction is named; {HINT}"))),
            false => Ok(all),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Table(std::collections::BTreeMap<String, WrittenSpans>),
    Other(IgnoredAny),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenSpans {
    Several(Vec<WrittenSpan>),
    One(WrittenSpan),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenSpan {
    Number(i64),
    Text(String),
    Other(IgnoredAny),
}

impl WrittenSpan {
    fn read(self, direction: Direction) -> Result<Vec<Span>, String> {
        match self {
            Self::Number(index) => match usize::try_from(index) {
                Ok(index) => Ok(vec![Span::one(index)]),
                Err(_) => Err(format!(
                    "slice {index} of {direction} is below 0, slices are counted from 0"
                )),
            },
            Self::Text(text) => text
                .split([',', ' '])
                .filter(|part| !part.is_empty())
                .map(str::parse)
                .collect(),
            Self::Other(_) => Err(format!(
                "a slice of {direction} is neither a whole number nor a text such as \"every:10\""
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str, shape: [usize; 3]) -> Result<[Vec<usize>; 3], String> {
        let stated: StatedSlices = text.parse()?;
        let geometry = Geometry::of_shape(shape);
        stated
            .resolve(&geometry, "l.nii")
            .map_err(|e| e.to_string())
    }

    #[test]
    fn statements_say_which_slices() {
        let z = |slices: &[usize]| Ok([slices.to_vec(), vec![], vec![]]);
        let shape = [60, 20, 20];
        assert_eq!(resolved("z=4,14,24", shape), z(&[4, 14, 24]));
        assert_eq!(resolved("z=24,4", shape), z(&[4, 24]));
        assert_eq!(resolved("z=every:25", shape), z(&[0, 25, 50]));
        assert_eq!(resolved("z=every:60", shape), z(&[0]));
        assert_eq!(resolved("z=4..54:10", shape), z(&[4, 14, 24, 34, 44, 54]));
        assert_eq!(resolved("z=4..53:10", shape), z(&[4, 14, 24, 34, 44]));
        assert_eq!(resolved("z=4..7", shape), z(&[4, 5, 6, 7]));
        assert_eq!(resolved("z=57..", shape), z(&[57, 58, 59]));
        assert_eq!(resolved("z=40..:10", shape), z(&[40, 50]));
        assert_eq!(resolved("z=7..7", shape), z(&[7]));
        assert_eq!(resolved("Z = 1 , 2", shape), z(&[1, 2]));
        assert_eq!(resolved("z=1;z=2", shape), z(&[1, 2]));
        let several = Ok([vec![4, 14], vec![3], vec![0, 9, 18]]);
        for text in [
            "z=4,14,y=3,x=every:9",
            "z=4,14;y=3;x=every:9",
            "z=4,14 y=3 x=every:9",
            "x=every:9,z=14,y=3,z=4",
        ] {
            assert_eq!(resolved(text, shape), several, "{text}");
        }
    }

    #[test]
    fn statements_that_cannot_be_meant_say_how_they_are_written() {
        for bad in [
            "",
            " ",
            ",",
            "z",
            "z=",
            "4,14",
            "w=4",
            "z=a",
            "z=-1",
            "z=1.5",
            "z=4-14",
            "z=4:54:10",
            "z=9..4",
            "z=1..5:0",
            "z=every:0",
            "z=every",
            "z=every:",
            "z=..5",
            "z=1..b",
            "z=1..5:c",
            "z==4",
            "z=4,y=",
            "z=every:-1",
            "z=+4",
            "z=99999999999999999999999",
        ] {
            let error = bad.parse::<StatedSlices>().unwrap_err();
            assert!(error.contains("z=every:10"), "{bad:?}: {error}");
        }
    }

    #[test]
    fn slices_that_are_not_there_or_twice_are_refused() {
        let error = |text: &str| resolved(text, [60, 20, 20]).unwrap_err();
        for (text, parts) in [
            ("z=4,60", ["l.nii", "z 60", "60 slices", "from 0"]),
            ("z=0..60", ["l.nii", "z 60", "60 slices", "from 0"]),
            ("z=70..", ["l.nii", "z 70", "60 slices", "from 0"]),
            ("x=5,y=20", ["l.nii", "y 20", "20 slices", "from 0"]),
            (
                "z=0..18446744073709551615",
                ["l.nii", "z 60", "60 slices", "from 0"],
            ),
            ("z=4,14,14", ["l.nii", "z 14", "twice", "z=4,14,14"]),
            ("z=every:10,20", ["l.nii", "z 20", "twice", "every:10"]),
        ] {
            for part in parts {
                assert!(error(text).contains(part), "{part} in {}", error(text));
            }
        }
        assert!(
            error("axial=4").contains("orientation"),
            "{}",
            error("axial=4")
        );
    }

    #[test]
    fn planes_of_the_body_are_axes_of_the_volume() {
        // z of the array runs to the right, y to the head, x to the front.
        let geometry = Geometry {
            world_from_volume: Some([
                [2.0, 0.0, 0.0, 0.0],
                [0.0, 0.0, 1.0, 0.0],
                [0.0, -1.0, 0.0, 0.0],
            ]),
            ..Geometry::of_shape([10, 20, 30])
        };
        let stated: StatedSlices = "axial=4,y=5,sagittal=9".parse().unwrap();
        assert_eq!(
            stated.resolve(&geometry, "a").unwrap(),
            [vec![9], vec![4, 5], vec![]]
        );
        let twice: StatedSlices = "axial=4,y=4".parse().unwrap();
        assert!(twice.resolve(&geometry, "a").is_err());
    }

    #[test]
    fn what_is_printed_reads_back_the_same() {
        for text in [
            "z=4,14,24",
            "axial=every:10,2",
            "z=4..54:10,y=3..9,x=5..",
            "z=1..:3",
        ] {
            let stated: StatedSlices = text.parse().unwrap();
            assert_eq!(stated.to_string(), text);
            let json = serde_json::to_string(&stated).unwrap();
            assert_eq!(serde_json::from_str::<StatedSlices>(&json).unwrap(), stated);
        }
        let of = |z: &[usize]| StatedSlices::of(&[z.to_vec(), vec![], vec![7]]).to_string();
        assert_eq!(of(&[4, 14, 24]), "z=4,14,24,x=7");
        assert_eq!(of(&[0, 5, 6, 7, 8, 9, 10, 12]), "z=0,5..10,12,x=7");
        assert_eq!(of(&[0, 10, 20, 30, 40, 50]), "z=0..50:10,x=7");
        assert_eq!(of(&[]), "x=7");
        let all: Vec<usize> = vec![1, 2, 4, 8, 16, 18, 20, 22, 24, 26, 27];
        let again = resolved(&of(&all), [30, 9, 9]).unwrap();
        assert_eq!(again, [all, vec![], vec![7]]);
    }

    #[test]
    fn tables_are_read_as_text_is() {
        let read = |json: &str| serde_json::from_str::<StatedSlices>(json);
        let table = read(r#"{"z": [4, 14, "20..30:5"], "y": "every:10", "x": 5}"#).unwrap();
        assert_eq!(table.to_string(), "x=5,y=every:10,z=4,14,20..30:5");
        assert_eq!(read("\"z=4,14\"").unwrap().to_string(), "z=4,14");
        assert!(read("\"\"").unwrap().is_empty());
        for (bad, part) in [
            ("{}", "no direction"),
            (r#"{"z": []}"#, "names no slice"),
            (r#"{"z": ""}"#, "names no slice"),
            (r#"{"z": [-1]}"#, "below 0"),
            (r#"{"z": [1.5]}"#, "whole number"),
            (r#"{"z": true}"#, "whole number"),
            (r#"{"w": [1]}"#, "\"w\""),
            ("[4, 14]", "z=every:10"),
            ("4", "z=every:10"),
        ] {
            let error = read(bad).unwrap_err().to_string();
            assert!(error.contains(part), "{part} in {error}");
        }
    }

    #[test]
    fn several_statements_are_one() {
        let parts = ["z=4,14", "y=3", "z=24"].map(|t| t.parse::<StatedSlices>().unwrap());
        assert_eq!(StatedSlices::merged(parts).to_string(), "z=4,14,24,y=3");
    }
}
