//! OME-TIFF: an XML text in the first page says what every page is.
//!
//! `DimensionOrder` names the axes from the fastest on, `TiffData` elements
//! attach pages to positions (in that order where one covers several), and
//! `PhysicalSizeX/Y/Z` are the spacing, in micrometres unless a unit is given.

use std::path::Path;

use super::xml::{Attributes, Event, Tags};
use super::{Arrangement, units};
use crate::Error;
use crate::words::counted;

const DAMAGED: &str = "The file may be damaged: export it again with Bio-Formats.";
const ONE_FILE: &str = "Open the set in Fiji (File > Import > Bio-Formats, choose the companion file \
                        or the first one) and save it as one TIFF.";

/// Whether a description is OME-XML.
pub(super) fn is_ome(description: &str) -> bool {
    let start: String = description.chars().take(2000).collect();
    start
        .trim_start_matches('\u{feff}')
        .trim_start()
        .starts_with('<')
        && (start.contains("<OME") || start.contains(":OME"))
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
    let text = description
        .trim_end_matches('\0')
        .trim_start_matches('\u{feff}')
        .trim();
    let unsound = |found: String| {
        wrong(
            "text",
            format!("unreadable ({found})"),
            "must be sound XML",
            DAMAGED,
        )
    };

    let mut tags = Tags::of(text);
    let mut images = 0;
    let mut planes: Option<Planes> = None;
    // Names of the files that hold the pages, and their identifiers.
    let (mut files, mut file_name, mut in_uuid) = (Vec::<String>::new(), None, false);
    while let Some(event) = tags.next().map_err(unsound)? {
        match event {
            Event::Open {
                name: "BinaryOnly",
                attributes,
            } => {
                let companion = attributes.get("MetadataFile").unwrap_or_default();
                return Err(wrong(
                    "BinaryOnly",
                    format!("a reference to {companion:?}"),
                    "is not followed: this file holds pixels only, that one says what they are",
                    ONE_FILE,
                ));
            }
            Event::Open {
                name: "Pixels",
                attributes,
            } => {
                images += 1;
                if images == 1 {
                    planes = Some(Planes::of(attributes, page_count, samples, path)?);
                }
            }
            Event::Open {
                name: "TiffData",
                attributes,
            } if images == 1 => {
                if let Some(planes) = &mut planes {
                    planes.attach(attributes, path)?;
                }
            }
            Event::Open {
                name: "UUID",
                attributes,
            } if images == 1 => {
                in_uuid = true;
                file_name = attributes.get("FileName");
            }
            // One identifier means this file, by whatever name it goes now.
            Event::Text(text) if in_uuid && !text.trim().is_empty() => {
                let uuid = text.trim();
                if files.first().is_some_and(|first| first != uuid) {
                    return Err(wrong(
                        "TiffData",
                        format!(
                            "partly in {:?}",
                            file_name.unwrap_or_else(|| uuid.to_owned())
                        ),
                        "must be in this file alone: volumes spread over several files are not supported",
                        ONE_FILE,
                    ));
                }
                if files.is_empty() {
                    files.push(uuid.to_owned());
                }
            }
            Event::Close { name: "UUID" } => in_uuid = false,
            _ => {}
        }
    }
    let Some(planes) = planes.filter(|_| images == 1) else {
        return Err(wrong(
            "number of images",
            images.to_string(),
            "must be 1",
            "Export one series to each file.",
        ));
    };
    planes.finish(path)
}

/// Which page is which slice and channel, as the elements say it.
struct Planes {
    slices: usize,
    channels: usize,
    samples: usize,
    page_count: usize,
    depth_first: bool,
    /// In the order `[c, z]`; empty where the file has fewer pages.
    pages: Vec<Option<usize>>,
    positions: usize,
    blocks: usize,
    /// Pages given so far, some of them perhaps twice.
    given: usize,
    spacing_mm: Option<[f64; 3]>,
}

impl Planes {
    fn of(
        pixels: Attributes<'_>,
        page_count: usize,
        samples: usize,
        path: &Path,
    ) -> Result<Self, Error> {
        let wrong = |field: &str, found: String, rule: &str, advice: &str| {
            Error::field(path, format!("OME-XML {field}"), found, rule, advice)
        };
        let size = |field: &str| -> Result<usize, Error> {
            let found = pixels.get(field).unwrap_or_else(|| "missing".to_owned());
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
        let order = pixels
            .get("DimensionOrder")
            .unwrap_or_else(|| "missing".to_owned());
        let depth_first = match order.as_str() {
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
        let positions = channels.saturating_mul(z);
        Ok(Self {
            slices: z,
            channels,
            samples,
            page_count,
            depth_first,
            pages: vec![None; if positions > page_count { 0 } else { positions }],
            positions,
            blocks: 0,
            given: 0,
            spacing_mm: spacing_mm(pixels),
        })
    }

    /// Takes a `TiffData` element.
    fn attach(&mut self, block: Attributes<'_>, path: &Path) -> Result<(), Error> {
        let number = |field: &str| -> Result<Option<usize>, Error> {
            block
                .get(field)
                .map(|found| {
                    found.parse().map_err(|_| {
                        Error::field(
                            path,
                            format!("OME-XML TiffData {field}"),
                            format!("{found:?}"),
                            "must be a whole number",
                            DAMAGED,
                        )
                    })
                })
                .transpose()
        };
        self.blocks += 1;
        let first_page = number("IFD")?;
        let first_z = number("FirstZ")?.unwrap_or(0);
        let first_c = number("FirstC")?.unwrap_or(0) / self.samples;
        let count = number("PlaneCount")?.unwrap_or(match first_page {
            Some(_) => 1,
            None => self.pages.len(),
        });
        let start = match self.depth_first {
            true => first_c.saturating_mul(self.slices).saturating_add(first_z),
            false => first_z
                .saturating_mul(self.channels)
                .saturating_add(first_c),
        };
        let first_page = first_page.unwrap_or(0);
        let count = count.min(self.pages.len().saturating_sub(start));
        self.given += count;
        // Each page twice and a few more: else the blocks of a small text could
        // give each of a million pages a million times.
        if self.given > 2 * self.pages.len() + 1000 {
            return Err(Error::field(
                path,
                "OME-XML TiffData",
                format!(
                    "{} in {}",
                    counted(self.given, "page"),
                    counted(self.blocks, "block")
                ),
                format!("must give each of the {} pages once", self.pages.len()),
                DAMAGED,
            ));
        }
        for i in 0..count {
            let page = first_page.saturating_add(i);
            if page < self.page_count {
                let slot = self.slot(start + i);
                self.pages[slot] = Some(page);
            }
        }
        Ok(())
    }

    /// Position in file order to index in `[c, z]`.
    fn slot(&self, position: usize) -> usize {
        match self.depth_first {
            true => position,
            false => position % self.channels * self.slices + position / self.channels,
        }
    }

    fn finish(mut self, path: &Path) -> Result<Arrangement, Error> {
        let (z, c) = (self.slices, self.channels);
        if self.positions > self.page_count {
            return Err(Error::field(
                path,
                "OME-XML SizeZ and SizeC",
                format!("{z} and {}", c.saturating_mul(self.samples)),
                format!(
                    "must be covered by the {} of the file",
                    counted(self.page_count, "page")
                ),
                "The file may be truncated, or a part of a volume of several files, which is not supported: \
                 open it in Fiji (File > Import > Bio-Formats) and save it as one TIFF.",
            ));
        }
        if self.blocks == 0 {
            for position in 0..self.positions {
                let slot = self.slot(position);
                self.pages[slot] = Some(position);
            }
        }
        let pages: Option<Vec<usize>> = self.pages.iter().copied().collect();
        let pages = pages.ok_or_else(|| {
            Error::field(
                path,
                "OME-XML TiffData",
                counted(self.blocks, "block"),
                "must give a page of this file for every slice and channel",
                ONE_FILE,
            )
        })?;
        let mut arrangement = Arrangement {
            pages,
            ..Arrangement::channels_fastest(c, z, self.spacing_mm)
        };
        if self.positions < self.page_count {
            arrangement.notes.push(format!(
                "the OME-XML describes {}, the file has {}: the others are not read.",
                counted(self.positions, "page"),
                self.page_count
            ));
        }
        Ok(arrangement)
    }
}

/// The spacing where it is given for x and y; z may be absent in a single slice.
fn spacing_mm(pixels: Attributes<'_>) -> Option<[f64; 3]> {
    let along = |axis: &str| {
        let size: f64 = pixels.get(&format!("PhysicalSize{axis}"))?.parse().ok()?;
        let unit = pixels.get(&format!("PhysicalSize{axis}Unit"));
        let mm = units::scaled(size, units::millimetres(unit.as_deref().unwrap_or("um"))?);
        (mm.is_finite() && mm > 0.0).then_some(mm)
    };
    let (y, x) = (along("Y")?, along("X")?);
    let z = match (along("Z"), pixels.get("SizeZ").as_deref()) {
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
        // Pages given over and over would take a second for each kilobyte.
        let over = "<TiffData/>".repeat(2000);
        assert!(arrange(&text("XYZCT", &over), 6, 1, path).is_err());
    }

    #[test]
    fn what_is_in_other_files_is_said() {
        let path = Path::new("a");
        let binary = "<?xml version=\"1.0\"?><OME xmlns=\"x\"><BinaryOnly MetadataFile=\"set.companion.ome\" UUID=\"urn:uuid:1\"/></OME>";
        let error = arrange(binary, 6, 1, path)
            .expect_err("binary only")
            .to_string();
        assert!(
            error.contains("set.companion.ome") && !error.contains("truncated"),
            "{error}"
        );
        let block = |uuid: &str, c: usize| {
            format!(
                "<TiffData FirstC=\"{c}\" IFD=\"{}\" PlaneCount=\"3\"><UUID FileName=\"{uuid}.ome.tif\">urn:uuid:{uuid}</UUID></TiffData>",
                3 * c
            )
        };
        let several = text("XYZCT", &(block("one", 0) + &block("two", 1)));
        for pages in [3, 6] {
            let error = arrange(&several, pages, 1, path)
                .expect_err("two files")
                .to_string();
            assert!(
                error.contains("two.ome.tif") && !error.contains("truncated"),
                "{error}"
            );
        }
        // A single identifier is this file, whatever it was called.
        let single = text("XYZCT", &(block("one", 0) + &block("one", 1)));
        assert!(arrange(&single, 6, 1, path).is_ok());
        let more = arrange(&single, 8, 1, path).expect("valid");
        assert!(more.notes[0].contains('8'), "{:?}", more.notes);
    }
}
