//! What a network does to sizes, read off its nodes.
//!
//! Each kind of node has one rule, [`Rule`], for one axis: how many outputs a
//! number of inputs gives, and which inputs a range of outputs sees. Two walks
//! apply the rules. The walk downwards gives the size of every value, and with
//! it which input sizes are legal. The walk upwards gives the inputs that a
//! block of outputs sees, and with it how far tiles must overlap.
//!
//! Sizes and positions are voxels along one of the axes `[z, y, x]`. That axes
//! do not see each other is what makes an axis the unit here.

use crate::graph::{Graph, Node, ValueId};
use crate::network::{Network, SizeError};

/// Names of the axes in messages.
const AXES: [char; 3] = ['z', 'y', 'x'];

impl Network {
    /// Output extent for an input extent, `[z, y, x]`.
    ///
    /// # Errors
    /// When the input does not fit: names the axis and the nearest legal sizes.
    pub fn output_shape(&self, input: [usize; 3]) -> Result<[usize; 3], SizeError> {
        let spaces = self.spaces(input)?;
        Ok(spaces[spaces.len() - 1])
    }

    /// Extent of every value for an input extent, `[z, y, x]`.
    ///
    /// # Errors
    /// As [`output_shape`](Self::output_shape).
    pub fn spaces(&self, input: [usize; 3]) -> Result<Vec<[usize; 3]>, SizeError> {
        let mut spaces = vec![[0; 3]; self.graph().channels.len()];
        for axis in 0..3 {
            let sizes = (self.graph().sizes(axis, input[axis]))
                .ok_or_else(|| self.illegal(axis, input[axis]))?;
            for (space, size) in spaces.iter_mut().zip(sizes) {
                space[axis] = size;
            }
        }
        Ok(spaces)
    }

    /// The smallest legal input size along an axis that is at least `at_least`.
    pub fn legal_size(&self, axis: usize, at_least: usize) -> usize {
        // Legal sizes recur with the network's stride, from what it takes away
        // on: the search ends. What is larger than any volume is refused elsewhere.
        const MOST: usize = 1 << 40;
        (at_least.clamp(1, MOST)..2 * MOST)
            .find(|n| self.is_legal(axis, *n))
            .unwrap_or(at_least)
    }

    /// Whether an input may have this size along an axis.
    pub fn is_legal(&self, axis: usize, size: usize) -> bool {
        self.graph().sizes(axis, size).is_some()
    }

    /// How many voxels smaller than its input an output is along an axis: the
    /// same for every legal size.
    pub fn margin(&self, axis: usize) -> usize {
        let input = self.legal_size(axis, 1);
        let sizes = self.graph().sizes(axis, input);
        sizes.map_or(0, |sizes| input - sizes[sizes.len() - 1])
    }

    /// The shift of the input along an axis, in voxels, under which the output
    /// shifts alike: that between neighbouring voxels of the coarsest value.
    pub fn stride(&self, axis: usize) -> usize {
        self.graph().strides(axis).into_iter().max().unwrap_or(1)
    }

    /// How far outside an aligned block of [`stride`](Self::stride) outputs the
    /// inputs lie that it sees, along an axis and where input and output have
    /// one size: half of the receptive field. Outputs closer than this to the
    /// border of a tile have seen zeros in place of the volume. Normalisation,
    /// which may see everything, is left out.
    pub fn reach(&self, axis: usize) -> usize {
        let block = self.stride(axis) as isize;
        let (low, high) = self.sees(axis, (0, block - 1));
        (-low).max(high - (block - 1)).max(0) as usize
    }

    /// The first and the last input along an axis that the outputs from
    /// `first` to `last` see, both counted from 0; below 0 and beyond the end
    /// of the input lie the zeros of its padding.
    pub fn sees(&self, axis: usize, (first, last): (isize, isize)) -> (isize, isize) {
        self.graph()
            .sees(axis, self.legal_size(axis, 1), (first, last))
    }

    /// Whether slices across an axis do not see each other.
    pub fn is_flat(&self, axis: usize) -> bool {
        self.stride(axis) == 1 && self.sees(axis, (0, 0)) == (0, 0)
    }

    fn illegal(&self, axis: usize, size: usize) -> SizeError {
        let below = (1..size).rev().find(|n| self.is_legal(axis, *n));
        SizeError::Illegal {
            axis: AXES[axis],
            size,
            nearest: below.map_or(String::new(), |below| format!("{below} and "))
                + &self.legal_size(axis, size).to_string(),
        }
    }
}

/// What a node does along one axis.
enum Rule {
    /// Each output sees `size` inputs, the next output those `stride` further
    /// on; `pad` zeros lie on each side of the input. Where windows do not
    /// overlap (a pooling), they must fill the input.
    Window {
        size: usize,
        stride: usize,
        pad: usize,
    },
    /// Each input makes `factor` outputs that see nothing else.
    Spread { factor: usize },
    /// The outputs are those of the node's input; `outer`, which is as large or
    /// larger by an even number, is cropped to its middle and lies beside it.
    Beside { outer: ValueId },
}

impl Node {
    /// What it reads, what it makes, and its rule along an axis; `None` where it
    /// makes no value of its own.
    fn rule(&self, axis: usize) -> Option<(ValueId, ValueId, Rule)> {
        match *self {
            Self::Conv {
                from, to, kernel, ..
            } => {
                let rule = Rule::Window {
                    size: kernel.size[axis],
                    stride: 1,
                    pad: kernel.pad[axis],
                };
                Some((from, to, rule))
            }
            Self::Pool { from, to, window } => {
                let rule = Rule::Window {
                    size: window[axis],
                    stride: window[axis],
                    pad: 0,
                };
                Some((from, to, rule))
            }
            Self::UpConv {
                from, to, window, ..
            } => {
                let factor = window[axis];
                Some((from, to, Rule::Spread { factor }))
            }
            Self::Concat { up, skip, to } => Some((up, to, Rule::Beside { outer: skip })),
            Self::Norm { .. } | Self::Activation { .. } | Self::Dropout { .. } => None,
        }
    }
}

impl Graph {
    /// Size of every value along an axis for an input of `input`; `None` where
    /// that is not legal.
    fn sizes(&self, axis: usize, input: usize) -> Option<Vec<usize>> {
        let mut sizes = vec![input; self.channels.len()];
        for (from, to, rule) in self.rules(axis) {
            sizes[to] = match rule {
                Rule::Window { size, stride, pad } => {
                    let padded = sizes[from].checked_add(2 * pad)?;
                    if stride == size && !padded.is_multiple_of(stride) {
                        return None;
                    }
                    padded.checked_sub(size)? / stride + 1
                }
                Rule::Spread { factor } => sizes[from].checked_mul(factor)?,
                Rule::Beside { outer } => {
                    let crop = sizes[outer].checked_sub(sizes[from])?;
                    if crop % 2 != 0 {
                        return None;
                    }
                    sizes[from]
                }
            };
        }
        (input > 0).then_some(sizes)
    }

    /// Distance of neighbouring voxels of every value along an axis, in voxels
    /// of the input.
    fn strides(&self, axis: usize) -> Vec<usize> {
        let mut strides = vec![1; self.channels.len()];
        for (from, to, rule) in self.rules(axis) {
            strides[to] = match rule {
                Rule::Window { stride, .. } => strides[from] * stride,
                Rule::Spread { factor } => strides[from] / factor,
                Rule::Beside { .. } => strides[from],
            };
        }
        strides
    }

    /// The first and the last input that a range of the last value sees along
    /// an axis, where the input has the legal size `input`.
    fn sees(&self, axis: usize, input: usize, range: (isize, isize)) -> (isize, isize) {
        let sizes = self.sizes(axis, input).unwrap_or_default();
        let mut seen: Vec<Option<(isize, isize)>> = vec![None; self.channels.len()];
        seen[self.channels.len() - 1] = Some(range);
        let rules: Vec<_> = self.rules(axis).collect();
        for (from, to, rule) in rules.into_iter().rev() {
            let Some((first, last)) = seen[to] else {
                continue;
            };
            let inputs = match rule {
                Rule::Window { size, stride, pad } => {
                    let start = |output: isize| output * stride as isize - pad as isize;
                    (start(first), start(last) + size as isize - 1)
                }
                Rule::Spread { factor } => {
                    let factor = factor as isize;
                    (first.div_euclid(factor), last.div_euclid(factor))
                }
                Rule::Beside { outer } => {
                    let size = |value: ValueId| sizes.get(value).map_or(0, |n| *n as isize);
                    let crop = (size(outer) - size(from)) / 2;
                    widen(&mut seen[outer], (first + crop, last + crop));
                    (first, last)
                }
            };
            widen(&mut seen[from], inputs);
        }
        seen[0].unwrap_or(range)
    }

    fn rules(&self, axis: usize) -> impl Iterator<Item = (ValueId, ValueId, Rule)> {
        self.nodes.iter().filter_map(move |node| node.rule(axis))
    }
}

/// Makes a range hold another one too.
fn widen(range: &mut Option<(isize, isize)>, (first, last): (isize, isize)) {
    let (low, high) = range.unwrap_or((first, last));
    *range = Some((low.min(first), high.max(last)));
}

#[cfg(test)]
mod tests;
