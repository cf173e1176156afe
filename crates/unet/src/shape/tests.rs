//! The walks against the sources' numbers, and against a network of marks: a
//! brute force that carries for every voxel of every layer the set of inputs
//! that reach it, and that reads the configuration, not the graph.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::config::{Level, Padding, UNetConfig};
use crate::network::Network;
use crate::preset::Preset;

fn network(preset: Preset) -> Network {
    Network::new(UNetConfig::preset(preset, 3, 3)).unwrap()
}

#[test]
fn the_papers_input_gives_the_papers_output() {
    for preset in [
        Preset::Paper,
        Preset::Released,
        Preset::Common,
        Preset::Blog,
    ] {
        assert_eq!(
            network(preset).output_shape([116, 132, 132]),
            Ok([28, 44, 44]),
            "{preset}"
        );
    }
    assert_eq!(
        network(Preset::Small).output_shape([40, 56, 40]),
        Ok([40, 56, 40])
    );
    assert_eq!(
        network(Preset::Twin2d).output_shape([1, 132, 132]),
        Ok([1, 44, 44])
    );
}

#[test]
fn legal_sizes_are_4_modulo_8_from_92_on() {
    let paper = network(Preset::Paper);
    assert_eq!((paper.margin(0), paper.stride(0)), (88, 8));
    for n in 1..200 {
        let legal = n >= 92 && n % 8 == 4;
        let output = paper.output_shape([n, 132, 116]);
        assert_eq!(output.is_ok(), legal, "{n}");
        if legal {
            assert_eq!(output, Ok([n - 88, 44, 28]), "{n}");
        }
    }
    let error = paper.output_shape([132, 130, 132]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "input size 130 along y does not fit the network; the nearest sizes that do are 124 and 132"
    );
    let error = paper.output_shape([20, 132, 132]).unwrap_err();
    assert!(error.to_string().ends_with("are 92"), "{error}");
}

/// A network without padding takes off half of what it sees on each side, but
/// lies on another grid; the two differ by less than one stride.
#[test]
fn a_padded_network_reaches_about_as_far_as_an_unpadded_one_takes_off() {
    let mut config = UNetConfig::preset(Preset::Paper, 3, 3);
    config.padding = Padding::Same;
    let network = Network::new(config).unwrap();
    for axis in 0..3 {
        assert_eq!((network.stride(axis), network.margin(axis)), (8, 0));
        let reach = network.reach(axis);
        assert!((44..52).contains(&reach), "{reach}");
    }
}

#[test]
fn flat_kernels_reach_nowhere() {
    let twin = network(Preset::Twin2d);
    assert!(twin.is_flat(0) && !twin.is_flat(1));
    assert_eq!((twin.stride(0), twin.reach(0)), (1, 0));
    assert_eq!(twin.stride(1), 8);
}

#[test]
fn sizes_at_the_end_of_the_range_are_illegal_and_not_a_panic() {
    let small = network(Preset::Small);
    assert!(!small.is_legal(0, usize::MAX));
    assert!(!small.is_legal(0, 0));
}

/// For every voxel of a layer, the inputs that reach it; `None` where sizes do
/// not fit.
type Marks = Option<Vec<BTreeSet<usize>>>;

fn convolved(marks: &[BTreeSet<usize>], kernel: usize, padding: Padding) -> Marks {
    let pad = if padding == Padding::Same {
        kernel / 2
    } else {
        0
    };
    let outputs = (marks.len() + 2 * pad + 1).checked_sub(kernel)?;
    let of_output = |i: usize| {
        let inputs = (i..i + kernel).filter_map(|k| marks.get(k.checked_sub(pad)?));
        inputs.flatten().copied().collect()
    };
    (outputs > 0).then(|| (0..outputs).map(of_output).collect())
}

fn twice(marks: &[BTreeSet<usize>], kernel: usize, padding: Padding) -> Marks {
    convolved(&convolved(marks, kernel, padding)?, kernel, padding)
}

/// The level `levels[0]` and all below it.
fn below(marks: &[BTreeSet<usize>], levels: &[Level], axis: usize, padding: Padding) -> Marks {
    let kernel = levels[0].kernel[axis];
    let skip = twice(marks, kernel, padding)?;
    if levels.len() == 1 {
        return Some(skip);
    }
    let window = levels[0].pool[axis];
    if skip.len() % window != 0 {
        return None;
    }
    let pooled: Vec<BTreeSet<usize>> = skip
        .chunks(window)
        .map(|chunk| chunk.iter().flatten().copied().collect())
        .collect();
    let low = below(&pooled, &levels[1..], axis, padding)?;
    let up: Vec<_> = low
        .iter()
        .flat_map(|marks| std::iter::repeat_n(marks.clone(), window))
        .collect();
    let crop = skip.len().checked_sub(up.len())?;
    if crop % 2 != 0 {
        return None;
    }
    let beside = up.iter().zip(&skip[crop / 2..]);
    let joined: Vec<_> = beside.map(|(a, b)| a.union(b).copied().collect()).collect();
    twice(&joined, kernel, padding)
}

fn marked(config: &UNetConfig, axis: usize, input: usize) -> Marks {
    let marks: Vec<_> = (0..input).map(|i| BTreeSet::from([i])).collect();
    below(&marks, &config.levels, axis, config.padding)
}

fn configs() -> impl Strategy<Value = UNetConfig> {
    let level = ([1usize..3, 1..3, 1..3], [1usize..3, 1..3, 1..3]);
    let level = level.prop_map(|(kernel, pool)| Level {
        down: [1, 2],
        up: [1, 2, 1],
        kernel: kernel.map(|k| 2 * k - 1),
        pool,
    });
    (prop::collection::vec(level, 1..4), any::<bool>()).prop_map(|(levels, same)| UNetConfig {
        levels,
        padding: if same { Padding::Same } else { Padding::Valid },
        ..UNetConfig::preset(Preset::Small, 1, 2)
    })
}

proptest! {
    // The marks of one network are thousands of sets.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn sizes_are_those_of_the_marks(config in configs(), axis in 0usize..3) {
        let network = Network::new(config.clone()).unwrap();
        let legal: Vec<usize> = (1..64).filter(|n| marked(&config, axis, *n).is_some()).collect();
        let found: Vec<usize> = (1..64).filter(|n| network.is_legal(axis, *n)).collect();
        prop_assert_eq!(&legal, &found);
        prop_assert_eq!(network.legal_size(axis, 1), legal[0]);
        for pair in legal.windows(2) {
            prop_assert_eq!(pair[1] - pair[0], network.stride(axis));
        }
        for n in legal {
            let output = marked(&config, axis, n).map(|marks| marks.len());
            prop_assert_eq!(output, Some(n - network.margin(axis)));
        }
    }

    #[test]
    fn outputs_see_the_inputs_that_mark_them(config in configs(), axis in 0usize..3) {
        let network = Network::new(config.clone()).unwrap();
        let stride = network.stride(axis);
        // Large enough that an aligned block in the middle sees no border.
        let size = network.legal_size(axis, 140 + network.margin(axis));
        let marks = marked(&config, axis, size).unwrap();
        let first = marks.len() / 2 / stride * stride;
        let block: BTreeSet<usize> =
            marks[first..first + stride].iter().flatten().copied().collect();
        let seen = (
            *block.first().unwrap() as isize,
            *block.last().unwrap() as isize,
        );
        let (start, end) = (first as isize, (first + stride - 1) as isize);
        prop_assert_eq!(network.sees(axis, (start, end)), seen);
        if config.padding == Padding::Same {
            let reach = (start - seen.0).max(seen.1 - end);
            prop_assert_eq!(network.reach(axis) as isize, reach);
        } else {
            // Real context on each side: outputs see what was taken off.
            let all = network.sees(axis, (0, marks.len() as isize - 1));
            prop_assert_eq!(all, (0, size as isize - 1));
        }
        let flat = (0..marks.len()).all(|i| marks[i] == BTreeSet::from([i]));
        prop_assert_eq!(network.is_flat(axis), flat);
    }
}
