//! What the passes leave, on networks whose numbers are known.

use super::*;
use crate::graph::{Node, ValueId};
use crate::{Preset, UNetConfig};

fn drafted(network: &Network, input: [usize; 3], mode: Mode) -> Draft<'_> {
    let mut draft = Draft::new(network, 1, input, (mode, 2, Method::Fastest)).unwrap();
    fuse::fuse(&mut draft);
    slab::cut_slabs(&mut draft);
    draft
}

/// The skips of a network from the lowest up, each with the value that it is a part of.
fn skips(network: &Network) -> impl Iterator<Item = (ValueId, ValueId)> {
    network.graph().nodes.iter().filter_map(|node| match *node {
        Node::Concat { skip, to, .. } => Some((skip, to)),
        _ => None,
    })
}

#[test]
fn the_papers_crops_are_4_16_40() {
    let network = Network::new(UNetConfig::preset(Preset::Paper, 3, 3)).unwrap();
    for input in [[116, 132, 132], [92, 92, 140]] {
        let draft = drafted(&network, input, Mode::Predict);
        let crops: Vec<_> = skips(&network)
            .map(|(_, to)| draft.parts[to][1].crop)
            .collect();
        assert_eq!(crops, [[4; 3], [16; 3], [40; 3]]);
    }
    let plan = Plan::new(&network, 1, [116, 132, 132], Mode::Train, 2).unwrap();
    assert_eq!(plan.input_shape(), [1, 116, 132, 132, 3]);
    assert_eq!(plan.output_shape(), [1, 28, 44, 44, 3]);
}

#[test]
fn a_skip_takes_the_room_of_what_is_read_of_it() {
    let network = Network::new(UNetConfig::preset(Preset::Common, 3, 3)).unwrap();
    let input = [116, 132, 132];
    let draft = drafted(&network, input, Mode::Predict);
    let places = place::place(&draft);
    for (skip, to) in skips(&network) {
        let crop = draft.parts[to][1].crop;
        let (read, kept) = (draft.shapes[to].space, draft.kept(skip));
        for axis in 0..3 {
            let end = crop[axis] + read[axis];
            // To whole tiles, of four voxels at most.
            assert!((0..4).contains(&(crop[axis] - kept.start[axis])));
            assert!((0..4).contains(&(kept.end[axis] - end)));
        }
        let place = places.values[skip].clone().unwrap();
        assert_eq!(place.len(), draft.stored(skip).len());
    }
    assert_eq!(skips(&network).count(), 3);
    let plan = Plan::new(&network, 1, input, Mode::Predict, 1).unwrap();
    let direct = plan.clone().with_method(&network, Method::Direct);
    assert!(plan.peak_bytes() < direct.peak_bytes());
}

#[test]
fn a_slab_takes_the_room_of_its_planes() {
    let network = Network::new(UNetConfig::preset(Preset::Common, 3, 3)).unwrap();
    let input = [156, 332, 340];
    let draft = drafted(&network, input, Mode::Predict);
    let cut: Vec<_> = (0..draft.shapes.len())
        .filter_map(|value| draft.slabs[value].map(|slabs| (value, slabs)))
        .collect();
    // That of the full resolution; the next has 38 planes.
    let [(up, slabs)] = cut[..] else {
        panic!("{cut:?}")
    };
    let outputs: Vec<_> = slabs.outputs().collect();
    assert_eq!(outputs, [0..24, 24..48, 48..70]);
    let place = place::place(&draft).values[up].clone().unwrap();
    assert_eq!(draft.shapes[up].space, [72, 248, 256]);
    assert_eq!(place.len(), 26 * 248 * 256 * 128);
    let plan = Plan::new(&network, 1, input, Mode::Predict, 2).unwrap();
    assert!(plan.peak_bytes() < 4_500_000_000, "{}", plan.peak_bytes());
    // The up-convolution and its reader, in turn, once a slab.
    let made = |step: &&Step<Forward>| step.node == slabs.maker || step.node == slabs.reader;
    let nodes: Vec<_> = plan.forward.iter().filter(made).map(|s| s.node).collect();
    assert_eq!(nodes, [slabs.maker, slabs.reader].repeat(3));
    // A rest of less than 22 joins the last slab.
    for (depth, last) in [(69, 24..69), (71, 48..71), (50, 24..50)] {
        let slabs = slab::Slabs { depth, ..slabs };
        assert_eq!(slabs.outputs().last(), Some(last));
    }
    for batch in [2, 3] {
        let how = (Mode::Predict, 2, Method::Fastest);
        let mut draft = Draft::new(&network, batch, input, how).unwrap();
        slab::cut_slabs(&mut draft);
        assert!(draft.slabs.iter().all(Option::is_none));
    }
}

#[test]
fn sizes_beyond_all_memory_are_refused() {
    let network = Network::new(UNetConfig::preset(Preset::Small, 1, 2)).unwrap();
    for (batch, input) in [(1, [1 << 30; 3]), (usize::MAX, [8; 3]), (1 << 40, [8; 3])] {
        let error = Plan::new(&network, batch, input, Mode::Train, 1).unwrap_err();
        assert!(matches!(error, SizeError::TooLarge { .. }), "{error}");
    }
}

#[test]
fn buffers_alive_at_one_time_do_not_overlap() {
    let network = Network::new(UNetConfig::preset(Preset::Small, 1, 2)).unwrap();
    let predict = Plan::new(&network, 1, [32; 3], Mode::Predict, 1).unwrap();
    let train = Plan::new(&network, 1, [32; 3], Mode::Train, 1).unwrap();
    assert!(predict.peak_bytes() < train.peak_bytes());
    let draft = drafted(&network, [32; 3], Mode::Train);
    let places = place::place(&draft);
    let all: Vec<_> = places.values.iter().flatten().collect();
    for (i, a) in all.iter().enumerate() {
        for b in &all[..i] {
            assert!(a.end <= b.start || b.end <= a.start, "{a:?} {b:?}");
        }
    }
}
