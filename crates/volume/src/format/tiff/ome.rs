//! OME-TIFF: an XML text in the first page says what every page is.
//!
//! `DimensionOrder` names the axes from the fastest on, `TiffData` elements
//! attach pages to positions (in that order where one covers several), and
//! `PhysicalSizeX/Y/Z` are the spacing, in micrometres unless a unit is given.

use std::path::Path;

use roxmltree::{Document, Node, ParsingOptions};

use super::{Arrangement, units};
use crate::Error;
use crate::words::counted;

/// More elements than the description of a million pages has.
const MOST_NODES: u32 = 20_000_000;

/// Whether a description is OME-XML.
pub(super) fn is_ome(description: &str) -> bool {
    let start: String = description.chars().take(2000).collect();
    start
        .trim_start_matches('\u{feff}')
        .trim_start()
        .starts_with('<')
        && start.contains("<OME")
}

/// Reads a description; `samples` of each pixel belong to the page.
pub(super) fn arrange(
    description: &str,
    page_count: usize,
    samples: usize,
    path: &Path,
) -> Result<Arrangement, Error> {
    let wrong = |field: &str, found: String, rule: &str, advice: &str| {
        Error::field(path, format!("OME-XML {field}"), found, rule, advice)
    };
    const DAMAGED: &str = "The file may be damaged: export it again with Bio-Formats.";
    let text = description
        .trim_end_matches('\0')
        .trim_start_matches('\u{feff}')
        .trim();
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: MOST_NODES,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(text, options).map_err(|error| {
        wrong(
            "text",
            format!("unreadable ({error})"),
            "must be sound XML",
            DAMAGED,
        )
    })?;
    let all: Vec<Node<'_, '_>> = document
        .descendants()
        .filter(|node| node.tag_name().name() == "Pixels")
        .collect();
    let [pixels] = *all.as_slice() else {
        return Err(wrong(
            "number of images",
            all.len().to_string(),
            "must be 1",
            "Export one series to each file.",
        ));
    };

    let size = |field: &str| -> Result<usize, Error> {
        let found = pixels.attribute(field).unwrap_or("missing");
        found.parse().ok().filter(|&n| n > 0).ok_or_else(|| {
            wrong(
                field,
                format!("{found:?}"),
                "must be a whole number of at least 1",
                DAMAGED,
            )
        })
    };
    let (z, c, t) = (size("SizeZ")?, size("SizeC")?, size("SizeT")?);
    if t > 1 {
        return Err(wrong(
            "SizeT",
            t.to_string(),
            "must be 1: only one time point is supported",
            "Save one file for each time point.",
        ));
    }
    if c % samples != 0 {
        return Err(wrong(
            "SizeC",
            c.to_string(),
            &format!("must be a multiple of the {samples} samples of each pixel"),
            DAMAGED,
        ));
    }
    // Positions of pages; a colour page holds several channels.
    let channels = c / samples;
    let order = pixels.attribute("DimensionOrder").unwrap_or("missing");
    let depth_first = match order {
        "XYZCT" | "XYZTC" | "XYTZC" => true,
        "XYCZT" | "XYCTZ" | "XYTCZ" => false,
        _ => {
            return Err(wrong(
                "DimensionOrder",
                format!("{order:?}"),
                "must be XY and an order of Z, C, T",
                DAMAGED,
            ));
        }
    };
    let positions = channels.checked_mul(z).filter(|&n| n <= page_count).ok_or_else(|| {
        wrong(
            "SizeZ and SizeC",
            format!("{z} and {c}"),
            &format!("must be covered by the {} of the file", counted(page_count, "page")),
            "The volume may be spread over several files, which is not supported, or the file is truncated.",
        )
    })?;
    // Position in file order to index in [c, z].
    let slot = |position: usize| match depth_first {
        true => position,
        false => position % channels * z + position / channels,
    };

    let mut pages: Vec<Option<usize>> = vec![None; positions];
    let blocks: Vec<Node<'_, '_>> = pixels
        .children()
        .filter(|node| node.tag_name().name() == "TiffData")
        .collect();
    for block in &blocks {
        let number = |field: &str| -> Result<Option<usize>, Error> {
            block
                .attribute(field)
                .map(|found| {
                    found.parse().map_err(|_| {
                        wrong(
                            &format!("TiffData {field}"),
                            format!("{found:?}"),
                            "must be a whole number",
                            DAMAGED,
                        )
                    })
                })
                .transpose()
        };
        let first_page = number("IFD")?;
        let first_z = number("FirstZ")?.unwrap_or(0);
        let first_c = number("FirstC")?.unwrap_or(0) / samples;
        let count = number("PlaneCount")?.unwrap_or(match first_page {
            Some(_) => 1,
            None => positions,
        });
        let start = match depth_first {
            true => first_c.saturating_mul(z).saturating_add(first_z),
            false => first_z.saturating_mul(channels).saturating_add(first_c),
        };
        let first_page = first_page.unwrap_or(0);
        for i in 0..count.min(positions.saturating_sub(start)) {
            let page = first_page.saturating_add(i);
            if page < page_count {
                pages[slot(start + i)] = Some(page);
            }
        }
    }
    if blocks.is_empty() {
        for position in 0..positions {
            pages[slot(position)] = Some(position);
        }
    }
    let pages: Option<Vec<usize>> = pages.into_iter().collect();
    let pages = pages.ok_or_else(|| {
        wrong(
            "TiffData",
            counted(blocks.len(), "block"),
            "must give a page of this file for every slice and channel",
            "The volume may be spread over several files, which is not supported.",
        )
    })?;
    Ok(Arrangement {
        channels,
        slices: z,
        pages,
        spacing_mm: spacing_mm(pixels),
    })
}

/// The spacing where it is given for x and y; z may be absent in a single slice.
fn spacing_mm(pixels: Node<'_, '_>) -> Option<[f64; 3]> {
    let along = |axis: &str| {
        let size: f64 = pixels
            .attribute(format!("PhysicalSize{axis}").as_str())?
            .parse()
            .ok()?;
        let unit = pixels.attribute(format!("PhysicalSize{axis}Unit").as_str());
        let mm = units::scaled(size, units::millimetres(unit.unwrap_or("um"))?);
        (mm.is_finite() && mm > 0.0).then_some(mm)
    };
    let (y, x) = (along("Y")?, along("X")?);
    let z = match (along("Z"), pixels.attribute("SizeZ")) {
        (Some(z), _) => z,
        (None, Some("1")) => x,
        (None, _) => return None,
    };
    Some([z, y, x])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(order: &str, blocks: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><OME xmlns=\"http://www.openmicroscopy.org/Schemas/OME/2016-06\">\
             <Image ID=\"Image:0\"><Pixels DimensionOrder=\"{order}\" SizeX=\"4\" SizeY=\"3\" SizeZ=\"3\" SizeC=\"2\" SizeT=\"1\" \
             Type=\"uint8\" PhysicalSizeX=\"0.5\" PhysicalSizeY=\"500\" PhysicalSizeYUnit=\"nm\" PhysicalSizeZ=\"2\">{blocks}</Pixels></Image></OME>"
        )
    }

    #[test]
    fn page_orders_are_told_apart() {
        let path = Path::new("a");
        let found = arrange(&text("XYZCT", "<TiffData/>"), 6, 1, path).expect("valid");
        assert_eq!(found.pages, [0, 1, 2, 3, 4, 5]);
        assert_eq!(found.spacing_mm, Some([0.002, 0.0005, 0.0005]));
        let found = arrange(&text("XYCZT", ""), 6, 1, path).expect("valid");
        assert_eq!(found.pages, [0, 2, 4, 1, 3, 5]);
        let single = "<TiffData FirstZ=\"0\" FirstC=\"1\" IFD=\"0\" PlaneCount=\"3\"/><TiffData FirstC=\"0\" IFD=\"3\" PlaneCount=\"3\"/>";
        let found = arrange(&text("XYZCT", single), 6, 1, path).expect("valid");
        assert_eq!(found.pages, [3, 4, 5, 0, 1, 2]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let path = Path::new("a");
        let whole = text("XYZCT", "<TiffData/>");
        assert!(arrange(&whole, 5, 1, path).is_err());
        assert!(arrange(&whole[..whole.len() - 9], 6, 1, path).is_err());
        assert!(arrange(&whole.replace("SizeT=\"1\"", "SizeT=\"2\""), 12, 1, path).is_err());
        assert!(arrange(&whole.replace("SizeZ=\"3\"", "SizeZ=\"-3\""), 6, 1, path).is_err());
        assert!(arrange(&text("XYZCT", "<TiffData IFD=\"2\"/>"), 6, 1, path).is_err());
        let deep = "<a>".repeat(100_000);
        assert!(arrange(&text("XYZCT", &deep), 6, 1, path).is_err());
    }
}
