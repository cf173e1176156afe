//! How much surface passes between eight neighbouring voxels.
//!
//! In come the eight neighbours as a code, inside or outside, and the spacing; out
//! comes the area of the surface between their centres. The surface is that of
//! marching cubes (Lorensen and Cline 1987): it cuts each edge between an inside and
//! an outside voxel in the middle, and the cuts are joined over the faces of the cube
//! to closed loops, which triangles fill.
//!
//! Two choices are open in that, and different ones give different areas. Here they
//! are, so that the areas are those of DeepMind's `surface-distance`:
//!
//! - a code with more than four voxels inside has the surface of its complement, and
//!   on a face with two diagonal inside voxels the surface separates these two;
//! - a loop that does not lie in a plane is filled by the triangles of the greatest
//!   area in a cube of edge 1. Several fillings reach it; they lie in the same planes,
//!   and so have the same area under any spacing.

/// Bit of a neighbour in a code: `4 dz + 2 dy + dx`.
type Corner = usize;

/// An edge of the cube by its two corners, the lower first.
type Edge = (Corner, Corner);

/// Twice a position in the cube, `[z, y, x]`: middles of edges are whole numbers.
type Point = [f64; 3];

/// The area in the cube between eight neighbouring voxels, for each code of which of
/// them are inside. Areas are in the square of the unit of `spacing`.
pub(super) fn areas(spacing: [f64; 3]) -> [f64; 256] {
    std::array::from_fn(|code| {
        let normals = normals(code);
        normals.iter().map(|n| area(*n, spacing)).sum()
    })
}

/// Length of an area vector (normal to a triangle, as long as its area in the cube of
/// edge 1) after the cube was stretched to `spacing`.
fn area([z, y, x]: Point, [dz, dy, dx]: [f64; 3]) -> f64 {
    let stretched = [z * dy * dx, y * dz * dx, x * dz * dy];
    stretched.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// The area vectors of all triangles of a code.
fn normals(code: usize) -> Vec<Point> {
    let code = if code.count_ones() > 4 {
        255 - code
    } else {
        code
    };
    let loops = loops(&segments(code));
    loops
        .iter()
        .flat_map(|points| greatest_filling(points).1)
        .collect()
}

/// The lines in which the surface cuts the six faces, each from edge to edge.
fn segments(code: usize) -> Vec<[Edge; 2]> {
    let inside = |corner: Corner| code >> corner & 1 == 1;
    let edge = |a: Corner, b: Corner| (a.min(b), a.max(b));
    let mut out = Vec::new();
    for axis in [4, 2, 1] {
        let [u, v] = match axis {
            4 => [2, 1],
            2 => [4, 1],
            _ => [4, 2],
        };
        for side in [0, axis] {
            let around = [side, side + u, side + u + v, side + v];
            let next = |k: usize| around[(k + 1) % 4];
            let last = |k: usize| around[(k + 3) % 4];
            let cut: Vec<Edge> = (0..4)
                .filter(|&k| inside(around[k]) != inside(next(k)))
                .map(|k| edge(around[k], next(k)))
                .collect();
            match cut[..] {
                [a, b] => out.push([a, b]),
                // Two diagonal inside corners, each cut off.
                [_, _, _, _] => out.extend(
                    (0..4)
                        .filter(|&k| inside(around[k]))
                        .map(|k| [edge(around[k], last(k)), edge(around[k], next(k))]),
                ),
                _ => {}
            }
        }
    }
    out
}

/// The loops that the lines form: points in the middle of the edges, in order.
fn loops(segments: &[[Edge; 2]]) -> Vec<Vec<Point>> {
    let mut left = segments.to_vec();
    let mut out = Vec::new();
    while let Some([first, mut end]) = left.pop() {
        let mut points = vec![middle(first)];
        while end != first {
            points.push(middle(end));
            // Each edge that is cut belongs to two faces, so one line goes on.
            let Some(next) = left.iter().position(|s| s.contains(&end)) else {
                break;
            };
            let [a, b] = left.swap_remove(next);
            end = if a == end { b } else { a };
        }
        out.push(points);
    }
    out
}

fn middle((a, b): Edge) -> Point {
    [4, 2, 1].map(|bit| f64::from(u8::from(a & bit != 0) + u8::from(b & bit != 0)))
}

/// Of all ways to fill a loop with triangles that of the greatest area in the cube of
/// edge 1: this area, and the area vectors of the triangles.
fn greatest_filling(points: &[Point]) -> (f64, Vec<Point>) {
    let [first, .., last] = points else {
        return (0.0, Vec::new());
    };
    let mut best = (0.0, Vec::new());
    for k in 1..points.len() - 1 {
        let normal = triangle(*first, points[k], *last);
        let (a, mut triangles) = greatest_filling(&points[..=k]);
        let (b, more) = greatest_filling(&points[k..]);
        let sum = a + b + area(normal, [1.0; 3]);
        if sum > best.0 {
            triangles.extend(more);
            triangles.push(normal);
            best = (sum, triangles);
        }
    }
    best
}

/// Area vector of a triangle whose corners are given as twice their position.
fn triangle(a: Point, b: Point, c: Point) -> Point {
    let to = |p: Point| -> Point { std::array::from_fn(|i| (p[i] - a[i]) / 2.0) };
    let ([bz, by, bx], [cz, cy, cx]) = (to(b), to(c));
    [by * cx - bx * cy, bx * cz - bz * cx, bz * cy - by * cz].map(|v| v / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_by_hand() {
        let unit = areas([1.0; 3]);
        assert_eq!([unit[0], unit[255]], [0.0; 2]);
        // A corner cut off: half an equilateral triangle's worth of sqrt(2) / 2 edges.
        assert!((unit[1] - 3f64.sqrt() / 8.0).abs() < 1e-12);
        // A slab: the face of the cube, with the spacing of its two axes.
        assert!((areas([2.0, 3.0, 5.0])[0b1111_0000] - 15.0).abs() < 1e-12);
        assert!((areas([2.0, 3.0, 5.0])[0b1100_1100] - 10.0).abs() < 1e-12);
        assert!((areas([2.0, 3.0, 5.0])[0b1010_1010] - 6.0).abs() < 1e-12);
        // An edge cut off: a rectangle of 1 by sqrt(2) / 2.
        assert!((unit[0b11] - 0.5f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn loops_are_closed_and_use_every_line() {
        for code in 1..255 {
            let lines = segments(code);
            let points: usize = loops(&lines).iter().map(Vec::len).sum();
            assert_eq!(points, lines.len(), "code {code}");
        }
    }

    #[test]
    fn turning_the_cube_and_swapping_inside_and_outside_change_nothing() {
        let table = areas([1.0; 3]);
        // z > y > x > z.
        let turned =
            |code: usize| (0..8).fold(0, |out, c| out | (code >> c & 1) << ((c << 1 | c >> 2) & 7));
        for code in 0..256 {
            assert!((table[code] - table[turned(code)]).abs() < 1e-12, "{code}");
            assert!((table[code] - table[255 - code]).abs() < 1e-12, "{code}");
        }
    }
}
