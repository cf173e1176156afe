//! How often voxels are right, against how certain the network is of them, as
//! inline SVG.

use unet3d_metrics::Reliability;

use super::svg::{Anchor, Plot};

const SIZE: [f64; 2] = [330.0, 330.0];

/// Room for the percentages and, above and below, what they are of.
const MARGIN: [f64; 4] = [58.0, 26.0, 36.0, 50.0];

/// Largest radius of a point, and the smallest that is still seen.
const RADII: [f64; 2] = [2.0, 11.0];

/// Share of the voxels below which a bin is not drawn: it would be noise.
const FEWEST: f64 = 1e-4;

/// The diagram of probabilities as the network gives them and calibrated; `None`
/// where there is no voxel to draw.
pub(super) fn svg(before: &Reliability, after: &Reliability) -> Option<String> {
    let has_voxels = |r: &&Reliability| r.bins.iter().any(|bin| bin.voxels > 0.0);
    [before, after].iter().copied().find(has_voxels)?;
    let about = "Share of voxels that are right, over how certain the network is of them";
    let mut plot = Plot::new(about, SIZE, MARGIN, [0.0, 1.0], [0.0, 1.0]);
    for share in [0.0, 0.5, 1.0] {
        let label = format!("{:.0} %", 100.0 * share);
        plot.tick_y(share, &label);
        plot.tick_x(share, &label);
    }
    let middle = f64::midpoint(plot.left(), plot.right());
    plot.text([middle, SIZE[1] - 6.0], Anchor::Middle, "", "certain");
    plot.text([4.0, 16.0], Anchor::Start, "", "right");
    plot.line("even", &[(0.0, 0.0), (1.0, 1.0)]);
    for (class, reliability) in [("before", before), ("after", after)] {
        let all: f64 = reliability.bins.iter().map(|b| b.voxels).sum();
        let drawn = reliability.bins.iter().filter(|b| b.voxels > FEWEST * all);
        for bin in drawn {
            let radius = RADII[1] * (bin.voxels / all).sqrt();
            let at = [bin.certainty / bin.voxels, bin.right / bin.voxels];
            plot.point(class, at, radius.max(RADII[0]));
        }
    }
    Some(plot.finish())
}

#[cfg(test)]
mod tests {
    use super::super::svg::tests::assert_text_is_free;
    use super::*;

    #[test]
    fn only_bins_with_voxels_are_drawn() {
        let mut reliability = Reliability::default();
        assert_eq!(svg(&reliability, &reliability), None);
        reliability.add(0.95, true, 9.0);
        reliability.add(0.55, false, 1.0);
        let svg = svg(&reliability, &Reliability::default()).expect("a diagram");
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(!svg.contains("NaN"), "{svg}");
        assert_text_is_free(&svg);
    }
}
