//! Table 2: how many annotated slices it takes. Each volume by itself.
//!
//! A set-up says how many slices are annotated along each axis. The slices of
//! the largest count are evenly spaced among those that there are. A smaller
//! count takes the first of these in an order in which each comes as near as can
//! be to what is far from those before it (of five: the middle, the two outer
//! ones, the rest): a set-up adds slices to a smaller one, and as few as possible
//! are used in all. Scored is what no set-up uses, so all set-ups of a volume are
//! scored on the same voxels:
//!
//! - where the whole volume is annotated rather than single slices, all annotated voxels
//!   on none of the slices used;
//! - else the annotated slices that no set-up uses, as the paper has it. Where
//!   they cross training slices, the voxels are left to the score
//!   (docs/decisions/0003).

use unet3d_volume::Labels;
use unet3d_volume::labels::evenly_spaced;
use unet3d_volume::words::counted;

use super::protocol::{Part, Protocol, Split, is_dense, require_two_classes, with_labels};
use crate::validate::HeldOut;
use crate::{Case, Error};

/// Slices along `[z, y, x]` of the paper's set-ups, which it lists as planes
/// yz, xz, xy: 1,1,1; 2,2,1; 3,3,2; 5,5,3.
pub const PAPER_SETUPS: [[usize; 3]; 4] = [[1, 1, 1], [1, 2, 2], [2, 3, 3], [3, 5, 5]];

/// Slices along `[z, y, x]`.
type Slices = [Vec<usize>; 3];

/// One volume after the other, under each set-up.
#[derive(Clone, Debug)]
pub struct SlicesCount {
    parts: Vec<Part>,
    /// Of each part: its case, and what it learns from.
    picks: Vec<(usize, Slices)>,
    /// Of each case: what is scored.
    tests: Vec<Test>,
}

#[derive(Clone, Debug)]
enum Test {
    /// The annotated voxels on none of these slices.
    Outside(Slices),
    /// The annotated voxels on these slices.
    On(Slices),
}

impl SlicesCount {
    /// The set-ups, slices along `[z, y, x]` each, on each of `cases`.
    ///
    /// # Errors
    /// No set-up, one twice, a case with fewer annotated slices than a set-up
    /// asks for or with none left to test on.
    pub fn new(cases: &[Case], setups: &[[usize; 3]]) -> Result<Self, Error> {
        let twice = (1..setups.len()).find(|&i| setups[..i].contains(&setups[i]));
        if let Some(i) = twice {
            return Err(Error::config(
                "setup",
                name_of(setups[i]),
                "it is there twice; name each once",
            ));
        }
        if setups.is_empty() {
            return Err(Error::config("setup", "missing", "at least one is needed"));
        }
        let most = [0, 1, 2].map(|axis| setups.iter().map(|s| s[axis]).max().unwrap_or(0));
        let mut protocol = Self {
            parts: Vec::new(),
            picks: Vec::new(),
            tests: Vec::new(),
        };
        for (number, case) in cases.iter().enumerate() {
            let (used, test) = plan(case, most)?;
            protocol.tests.push(test);
            let shape = case.labels.geometry.shape;
            let ordered = [0, 1, 2].map(|axis| in_order(&used[axis], shape[axis]));
            for setup in setups {
                protocol.parts.push(Part {
                    name: case.name.clone(),
                    setup: Some(name_of(*setup)),
                });
                let pick = [0, 1, 2].map(|axis| {
                    let mut slices = ordered[axis][..setup[axis]].to_vec();
                    slices.sort_unstable();
                    slices
                });
                protocol.picks.push((number, pick));
            }
        }
        Ok(protocol)
    }

    /// The slices along `[z, y, x]` that part `index` learns from.
    pub fn slices(&self, index: usize) -> &Slices {
        &self.picks[index].1
    }

    /// Training labels and scored labels of a part.
    fn labels(&self, cases: &[Case], index: usize) -> Result<(Labels, Labels), Error> {
        let (number, slices) = &self.picks[index];
        let labels = &cases[*number].labels;
        Ok(match &self.tests[*number] {
            Test::Outside(used) => (labels.hold_out(slices)?.1, labels.hold_out(used)?.0),
            Test::On(unused) => {
                let (rest, test) = labels.hold_out(unused)?;
                (rest.hold_out(slices)?.1, test)
            }
        })
    }
}

impl Protocol for SlicesCount {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn split(&self, cases: &[Case], index: usize) -> Result<Split, Error> {
        let (training, test) = self.labels(cases, index)?;
        let training = vec![with_labels(&cases[self.picks[index].0], training)];
        require_two_classes(&training, &self.parts[index])?;
        Ok(Split {
            training,
            held_out: HeldOut {
                cases: Vec::new(),
                slices: vec![(0, test)],
            },
        })
    }

    fn is_pooled(&self) -> bool {
        true
    }
}

/// The slices that the largest counts use, and what is left to score.
fn plan(case: &Case, most: [usize; 3]) -> Result<(Slices, Test), Error> {
    let found = case.labels.annotated_slices();
    if let Some(axis) = (0..3).find(|&axis| found[axis].len() < most[axis]) {
        let [z, y, x] = [0, 1, 2].map(|axis| found[axis].len());
        return Err(Error::Data(format!(
            "{}: {} along {}, a set-up asks for {}. There are z={z}, y={y}, x={x}; \
             name other set-ups (--setup z=1,y=1,x=1 --setup z=1,y=2,x=2), or annotate more",
            case.name,
            counted(found[axis].len(), "annotated slice"),
            ["z", "y", "x"][axis],
            most[axis]
        )));
    }
    let used = [0, 1, 2].map(|axis| every(&found[axis], most[axis]));
    if is_dense(&case.labels) {
        return Ok((used.clone(), Test::Outside(used)));
    }
    let unused: Slices = [0, 1, 2].map(|axis| {
        let slices = found[axis].iter().copied();
        slices.filter(|i| !used[axis].contains(i)).collect()
    });
    if unused.iter().all(Vec::is_empty) {
        return Err(Error::Data(format!(
            "{}: the largest set-up uses every annotated slice, so none is left to test on. \
             Name smaller set-ups (--setup), or annotate more",
            case.name
        )));
    }
    Ok((used, Test::On(unused)))
}

/// `count` of these slices, evenly spaced.
fn every(slices: &[usize], count: usize) -> Vec<usize> {
    let places = evenly_spaced(slices.len(), count);
    places.into_iter().map(|place| slices[place]).collect()
}

/// These slices of an axis of `length`, so ordered that the first of them, however
/// many, leave its slices near one of them: each is the one that lowers the sum of
/// distances to the nearest most, of equals the first.
fn in_order(slices: &[usize], length: usize) -> Vec<usize> {
    let mut left = slices.to_vec();
    let mut ordered: Vec<usize> = Vec::new();
    let mut nearest = vec![length; length];
    let with = |nearest: &[usize], slice: usize| -> Vec<usize> {
        let places = nearest.iter().enumerate();
        places.map(|(i, d)| slice.abs_diff(i).min(*d)).collect()
    };
    while let Some(best) =
        (0..left.len()).min_by_key(|&place| with(&nearest, left[place]).into_iter().sum::<usize>())
    {
        let slice = left.remove(best);
        nearest = with(&nearest, slice);
        ordered.push(slice);
    }
    ordered
}

/// `x,y,z`: how many slices of the planes yz, xz, xy, in the paper's order.
fn name_of([z, y, x]: [usize; 3]) -> String {
    format!("{x},{y},{z}")
}

#[cfg(test)]
mod tests {
    use super::super::protocol::testing::{dense, sparse};
    use super::*;

    fn scored(split: &Split) -> &Labels {
        &split.held_out.slices[0].1
    }

    #[test]
    fn set_ups_are_the_papers_and_grow() {
        let cases = [dense("a", [30, 40, 44]), dense("b", [20, 22, 24])];
        let protocol = SlicesCount::new(&cases, &PAPER_SETUPS).unwrap();
        let names: Vec<_> = protocol.parts()[..4]
            .iter()
            .map(|p| p.setup.as_deref().unwrap())
            .collect();
        assert_eq!(names, ["1,1,1", "2,2,1", "3,3,2", "5,5,3"]);
        assert_eq!(protocol.parts().len(), 8);
        for part in 0..8 {
            let counts = [0, 1, 2].map(|axis| protocol.slices(part)[axis].len());
            assert_eq!(counts, PAPER_SETUPS[part % 4]);
            let largest = protocol.slices(part / 4 * 4 + 3);
            for axis in 0..3 {
                let slices = &protocol.slices(part)[axis];
                assert!(slices.iter().all(|i| largest[axis].contains(i)));
            }
        }
        // One slice stands in the middle, three and five are evenly spaced.
        assert_eq!(protocol.slices(0), &[vec![15], vec![20], vec![22]]);
        assert_eq!(protocol.slices(3)[1], [4, 12, 20, 28, 36]);
    }

    #[test]
    fn a_set_ups_slices_are_among_those_of_the_next_larger_one() {
        let cases = [
            dense("dense", [30, 40, 44]),
            sparse("sparse", [56, 60, 60], [12, 7, 6]),
        ];
        let protocol = SlicesCount::new(&cases, &PAPER_SETUPS).unwrap();
        for part in (0..8).filter(|part| part % 4 < 3) {
            let (small, large) = (protocol.slices(part), protocol.slices(part + 1));
            for axis in 0..3 {
                let is_there = |i: &usize| large[axis].contains(i);
                assert!(small[axis].iter().all(is_there), "{small:?} in {large:?}");
            }
        }
        // The middle, then the outer ones, then the rest.
        assert_eq!(in_order(&[4, 12, 20, 28, 36], 40), [20, 4, 36, 12, 28]);
        assert_eq!(in_order(&[], 40), [0; 0]);
    }

    #[test]
    fn a_dense_volume_is_scored_outside_every_set_ups_slices() {
        let cases = [dense("a", [30, 40, 44])];
        let protocol = SlicesCount::new(&cases, &PAPER_SETUPS).unwrap();
        let first = protocol.split(&cases, 0).unwrap();
        assert_eq!(scored(&first).annotated_voxels(), 27 * 35 * 39);
        for part in 0..4 {
            let split = protocol.split(&cases, part).unwrap();
            assert_eq!(scored(&split), scored(&first), "the same test for all");
            let training = &split.training[0].labels;
            let slices = training.annotated_slices().map(|s| s.len());
            assert_eq!(slices, PAPER_SETUPS[part]);
            let both = training.voxels.iter().zip(&scored(&split).voxels);
            assert!(
                both.into_iter()
                    .all(|(a, b)| !a.is_annotated() || !b.is_annotated())
            );
        }
    }

    #[test]
    fn a_sparse_volume_is_scored_on_slices_that_no_set_up_uses() {
        // The paper's second sample in small.
        let cases = [sparse("2", [56, 60, 60], [12, 7, 6])];
        let protocol = SlicesCount::new(&cases, &PAPER_SETUPS).unwrap();
        for part in 0..4 {
            let split = protocol.split(&cases, part).unwrap();
            let test = scored(&split);
            let slices = test.annotated_slices().map(|s| s.len());
            assert_eq!(slices, [9, 2, 1]);
            let training = &split.training[0].labels;
            let both = training.voxels.iter().zip(&test.voxels);
            assert!(
                both.into_iter()
                    .all(|(a, b)| !a.is_annotated() || !b.is_annotated())
            );
            let few = protocol.slices(part)[0].len() * 60 * 60;
            assert!(training.annotated_voxels() > few / 2);
        }
    }

    #[test]
    fn too_few_slices_are_named() {
        let refused = |case: Case, setups: &[[usize; 3]]| {
            SlicesCount::new(&[case], setups).unwrap_err().to_string()
        };
        // The paper's third sample has four yz slices, its last set-up five.
        let third = || sparse("3", [59, 60, 62], [10, 5, 4]);
        let error = refused(third(), &PAPER_SETUPS);
        assert!(
            error.contains("3: 4 annotated slices along x") && error.contains("asks for 5"),
            "{error}"
        );
        let error = refused(third(), &[[10, 5, 4]]);
        assert!(error.contains("none is left to test on"), "{error}");
        assert!(refused(third(), &[[1; 3], [1; 3]]).contains("twice"));
        assert!(refused(third(), &[]).contains("setup"));
    }
}
