//! How often voxels are right, against how certain the network is of them, as
//! inline SVG.

use std::fmt::Write;

use unet3d_metrics::Reliability;

/// Drawing area in SVG units, square, with room for the axis labels.
const SIDE: f64 = 300.0;
const MARGIN: f64 = 38.0;

/// Largest radius of a point, and the smallest that is still seen.
const RADII: [f64; 2] = [2.0, 11.0];

/// Share of the voxels below which a bin is not drawn: it would be noise.
const FEWEST: f64 = 1e-4;

/// The diagram of probabilities as the network gives them and calibrated.
pub(super) fn svg(before: &Reliability, after: &Reliability) -> String {
    let x = |share: f64| MARGIN + share * (SIDE - 1.5 * MARGIN);
    let y = |share: f64| SIDE - MARGIN - share * (SIDE - 1.5 * MARGIN);
    let mut out = format!(
        "<svg viewBox=\"0 0 {SIDE} {SIDE}\" role=\"img\" aria-label=\"share that is right over certainty\">"
    );
    for share in [0.0, 0.5, 1.0] {
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{:.0} %</text>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{:.0} %</text>",
            x(0.0),
            x(1.0),
            y(share),
            y(share),
            x(0.0) - 4.0,
            y(share) + 4.0,
            100.0 * share,
            x(share),
            SIDE - MARGIN + 16.0,
            100.0 * share,
        );
    }
    let _ = write!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">certain</text>\
         <text x=\"{:.1}\" y=\"12\">right</text>\
         <line class=\"even\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
        x(0.5),
        SIDE - 6.0,
        4.0,
        x(0.0),
        y(0.0),
        x(1.0),
        y(1.0)
    );
    for (class, reliability) in [("before", before), ("after", after)] {
        let all: f64 = reliability.bins.iter().map(|b| b.voxels).sum();
        let drawn = reliability.bins.iter().filter(|b| b.voxels > FEWEST * all);
        for bin in drawn {
            let radius = RADII[1] * (bin.voxels / all).sqrt();
            let _ = write!(
                out,
                "<circle class=\"{class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"{:.1}\"/>",
                x(bin.certainty / bin.voxels),
                y(bin.right / bin.voxels),
                radius.max(RADII[0])
            );
        }
    }
    out.push_str("</svg>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bins_with_voxels_are_drawn() {
        let mut reliability = Reliability::default();
        assert!(!svg(&reliability, &reliability).contains("<circle"));
        reliability.add(0.95, true, 9.0);
        reliability.add(0.55, false, 1.0);
        let svg = svg(&reliability, &Reliability::default());
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(!svg.contains("NaN"), "{svg}");
    }
}
