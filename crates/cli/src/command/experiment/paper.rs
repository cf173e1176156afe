//! The numbers of the paper: tables 1 to 3 of Cicek et al. 2016, IoU on three
//! Xenopus kidney volumes. Which classes the IoU is over is not stated there.

use unet3d_train::experiment::Comparison;

/// A table of the paper.
pub(super) struct Table {
    /// Number and subject.
    pub(super) title: &'static str,
    /// What stands over the names of the rows.
    pub(super) corner: &'static str,
    /// Columns.
    pub(super) columns: &'static [&'static str],
    /// Rows: name, then a number a column.
    pub(super) rows: &'static [(&'static str, &'static [f64])],
}

/// Columns of tables 1 and 3.
const NETWORKS: &[&str] = &["3D without BN", "3D with BN", "2D with BN"];

/// Table 1.
pub(super) const SLICES_CV: Table = Table {
    title: "Table 1: cross-validation over 77 slices of three volumes",
    corner: "",
    columns: NETWORKS,
    rows: &[
        ("subset 1", &[0.822, 0.855, 0.785]),
        ("subset 2", &[0.857, 0.871, 0.820]),
        ("subset 3", &[0.846, 0.863, 0.782]),
        ("average", &[0.842, 0.863, 0.796]),
    ],
};

/// Table 2.
pub(super) const SLICES_COUNT: Table = Table {
    title: "Table 2: 3D with BN, each of three volumes by itself, 10 hours",
    corner: "slices yz, xz, xy",
    columns: &["S1", "S2", "S3"],
    rows: &[
        ("1,1,1", &[0.331, 0.483, 0.475]),
        ("2,2,1", &[0.676, 0.579, 0.738]),
        ("3,3,2", &[0.761, 0.808, 0.835]),
        ("5,5,3", &[0.856, 0.849, 0.872]),
    ],
};

/// Table 3.
pub(super) const VOLUMES: Table = Table {
    title: "Table 3: one of three volumes left out",
    corner: "tested volume",
    columns: NETWORKS,
    rows: &[
        ("1", &[0.655, 0.761, 0.619]),
        ("2", &[0.734, 0.798, 0.698]),
        ("3", &[0.779, 0.554, 0.325]),
        ("average", &[0.723, 0.704, 0.547]),
    ],
};

impl Table {
    /// The paper's number of a network in a row, in tables 1 and 3.
    pub(super) fn of_network(&self, network: Comparison, row: usize) -> Option<f64> {
        let column = self.columns.iter().position(|c| *c == network.title())?;
        self.rows.get(row)?.1.get(column).copied()
    }

    /// The mean of the row of this name.
    pub(super) fn mean_of(&self, name: &str) -> Option<f64> {
        let (_, values) = self.rows.iter().find(|(row, _)| *row == name)?;
        Some(values.iter().sum::<f64>() / values.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_are_those_of_their_rows() {
        for table in [SLICES_CV, VOLUMES] {
            for network in Comparison::ALL {
                let of = |row| table.of_network(network, row).unwrap_or_default();
                let mean = (of(0) + of(1) + of(2)) / 3.0;
                // Printed with three digits.
                assert!((mean - of(3)).abs() < 0.0006, "{} {network}", table.title);
            }
        }
        assert_eq!(
            SLICES_COUNT.mean_of("1,1,1").map(|m| (m * 1e4).round()),
            Some(4297.0)
        );
        assert_eq!(SLICES_COUNT.mean_of("4,4,4"), None);
    }
}
