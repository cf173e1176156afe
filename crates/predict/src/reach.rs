//! How far a network with padding sees, by its configuration alone.
//!
//! Where a tile ends, the network sees zeros instead of the volume. This says
//! how many outputs next to that end are wrong, and so how far tiles overlap.

use unet3d_unet::UNetConfig;

/// Product of the poolings along an axis.
pub(crate) fn stride(config: &UNetConfig, axis: usize) -> usize {
    let pooled = config.levels.len().saturating_sub(1);
    config.levels[..pooled]
        .iter()
        .map(|l| l.pool[axis])
        .product()
}

/// How far outside an aligned block of `stride` outputs the inputs lie that it
/// depends on: half of the receptive field, by following the interval down the
/// U and up again.
pub(crate) fn reach(config: &UNetConfig, axis: usize) -> usize {
    let block = stride(config, axis) as isize;
    let (low, high) = inputs_of(config, axis, 0, 0, block - 1);
    (-low).max(high - (block - 1)).max(0) as usize
}

/// First and last input of `level` that its outputs `low..=high` depend on,
/// with padding same (coordinates of input and output agree).
fn inputs_of(
    config: &UNetConfig,
    axis: usize,
    level: usize,
    low: isize,
    high: isize,
) -> (isize, isize) {
    // Two convolutions, each of which sees (kernel - 1) / 2 to either side.
    let pair = config.levels[level].kernel[axis] as isize - 1;
    let (low, high) = (low - pair, high + pair);
    if level + 1 == config.levels.len() {
        return (low, high);
    }
    let pool = config.levels[level].pool[axis] as isize;
    let (below_low, below_high) = inputs_of(
        config,
        axis,
        level + 1,
        low.div_euclid(pool),
        high.div_euclid(pool),
    );
    (
        low.min(below_low * pool) - pair,
        high.max(below_high * pool + pool - 1) + pair,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use unet3d_unet::Preset;
    use unet3d_unet::config::Level;

    /// Without padding a network takes off half of the receptive field too, but
    /// lies on another grid; the two differ by less than one stride.
    #[test]
    fn agrees_with_what_the_same_network_takes_off_without_padding() {
        let config = UNetConfig::preset(Preset::Paper, 3, 3);
        for axis in 0..3 {
            assert_eq!(stride(&config, axis), 8);
            let reach = reach(&config, axis);
            assert!((44..52).contains(&reach), "{reach}");
        }
    }

    #[test]
    fn flat_kernels_reach_nowhere() {
        let mut config = UNetConfig::preset(Preset::Paper, 3, 3);
        let flat = |l: &mut Level| {
            l.kernel[0] = 1;
            l.pool[0] = 1;
        };
        config.levels.iter_mut().for_each(flat);
        assert_eq!((stride(&config, 0), reach(&config, 0)), (1, 0));
        assert_eq!(stride(&config, 1), 8);
    }
}
