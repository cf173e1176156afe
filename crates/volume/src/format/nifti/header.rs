//! The NIfTI-1 header: 348 bytes to a checked [`Header`], and back.
//!
//! Field names in messages are those of the format's definition.

use std::path::Path;

use super::orientation::{self, Forms, MILLIMETRES};
use crate::format::bytes::ByteOrder;
use crate::labels::colours;
use crate::samples::{NumberType, Sample};
use crate::{Class, Error, Geometry, Volume};

pub(super) const HEADER_BYTES: usize = 348;
/// Header, and four bytes that say that no extension follows.
const DATA_OFFSET: usize = 352;
/// `NIFTI_INTENT_LABEL`: each value is an index into a set of labels.
const INTENT_LABEL: i16 = 1002;
const DAMAGED: &str = "The file may be damaged, or not a NIfTI file at all.";

/// What the samples need to be read.
pub(super) struct Header {
    pub(super) order: ByteOrder,
    pub(super) geometry: Geometry,
    pub(super) channels: usize,
    pub(super) number_type: NumberType,
    /// Bytes before the first sample.
    pub(super) data_offset: u64,
    /// Slope and intercept, where they change anything.
    pub(super) scaling: Option<(f64, f64)>,
    pub(super) in_two_files: bool,
    /// What is unusual and a person should be told.
    pub(super) notes: Vec<String>,
}

/// Whether this is a NIfTI-1 header, sound or not.
pub(super) fn is_header(bytes: &[u8; HEADER_BYTES]) -> bool {
    byte_order(bytes).is_some() && matches!(&bytes[344..348], b"n+1\0" | b"ni1\0")
}

fn byte_order(bytes: &[u8]) -> Option<ByteOrder> {
    let size = HEADER_BYTES as i32;
    if i32::of_le(&bytes[..4]) == size {
        Some(ByteOrder::Little)
    } else if i32::of_be(&bytes[..4]) == size {
        Some(ByteOrder::Big)
    } else {
        None
    }
}

/// Numbers at fixed places of the header.
struct Fields<'a> {
    bytes: &'a [u8; HEADER_BYTES],
    order: ByteOrder,
}

impl Fields<'_> {
    fn i16(&self, at: usize) -> i16 {
        let bytes = &self.bytes[at..at + 2];
        match self.order {
            ByteOrder::Little => i16::of_le(bytes),
            ByteOrder::Big => i16::of_be(bytes),
        }
    }

    fn f32(&self, at: usize) -> f32 {
        let bytes = &self.bytes[at..at + 4];
        match self.order {
            ByteOrder::Little => f32::of_le(bytes),
            ByteOrder::Big => f32::of_be(bytes),
        }
    }
}

impl Header {
    pub(super) fn parse(bytes: &[u8; HEADER_BYTES], path: &Path) -> Result<Self, Error> {
        let wrong = |field: &str, found: String, rule: &str, advice: &str| {
            Error::field(path, format!("header field {field}"), found, rule, advice)
        };
        let Some(order) = byte_order(bytes) else {
            let size = i32::of_le(&bytes[..4]);
            let advice = match size == 540 || size.swap_bytes() == 540 {
                true => "This is a NIfTI-2 file: convert it to NIfTI-1.",
                false => DAMAGED,
            };
            return Err(wrong("sizeof_hdr", size.to_string(), "must be 348", advice));
        };
        let in_two_files = match &bytes[344..348] {
            b"n+1\0" => false,
            b"ni1\0" => true,
            magic => {
                return Err(wrong(
                    "magic",
                    format!("{:?}", String::from_utf8_lossy(magic)),
                    "must be \"n+1\" or \"ni1\"",
                    "It may be an ANALYZE 7.5 file, whose orientation is not stated: convert it to NIfTI-1.",
                ));
            }
        };
        let fields = Fields { bytes, order };
        let mut notes = Vec::new();

        let axes = fields.i16(40);
        if !(1..=7).contains(&axes) {
            return Err(wrong("dim[0]", axes.to_string(), "must be 1 to 7", DAMAGED));
        }
        let mut dim = [1usize; 8];
        for axis in 1..=axes as usize {
            let size = match fields.i16(40 + 2 * axis) {
                // Beyond z, nibabel, ITK, FSL and AFNI count a 0 as 1.
                0 if axis > 3 => 1,
                size => size,
            };
            dim[axis] = usize::try_from(size)
                .ok()
                .filter(|&n| n > 0)
                .ok_or_else(|| {
                    wrong(
                        &format!("dim[{axis}]"),
                        size.to_string(),
                        "must be at least 1",
                        DAMAGED,
                    )
                })?;
        }
        let channels = match (dim[4], dim[5], dim[6] * dim[7]) {
            (channels, 1, 1) | (1, channels, 1) => channels,
            _ => {
                return Err(wrong(
                    "dim",
                    format!("{:?}", &dim[1..=axes as usize]),
                    "may have only one axis longer than 1 after x, y, z: the channels",
                    "Time series of several channels are not supported: write one file for each time point.",
                ));
            }
        };

        let code = fields.i16(70);
        let number_type = number_type(code).ok_or_else(|| {
            wrong(
                "datatype",
                code.to_string(),
                "must be a type of whole or real numbers (2, 4, 8, 16, 64, 256, 512, 768, 1024 or 1280)",
                "Complex, colour, bit and 128-bit samples are not supported: convert the file.",
            )
        })?;
        let bits = fields.i16(72);
        if usize::try_from(bits).ok() != Some(number_type.bytes() * 8) {
            // As in nibabel, datatype decides. The length of the file still
            // has to agree with it.
            notes.push(format!(
                "header field bitpix is {bits}, must be {} for {}: the samples are read as {}.",
                number_type.bytes() * 8,
                number_type.name(),
                number_type.name()
            ));
        }

        // Kept as a float for the sake of ANALYZE. 0 in a single file is a
        // known slip of some writers and can only mean the usual place.
        let offset = match fields.f32(108) {
            0.0 if !in_two_files => DATA_OFFSET as f32,
            offset => offset,
        };
        let least = if in_two_files {
            0.0
        } else {
            HEADER_BYTES as f32
        };
        if !(offset >= least && offset <= 1e9) {
            return Err(wrong(
                "vox_offset",
                offset.to_string(),
                &format!("must be from {least} to 10^9"),
                DAMAGED,
            ));
        }

        let slope = f64::from(fields.f32(112));
        let intercept = f64::from(fields.f32(116));
        let scaling = match slope {
            // The definition: slope 0 means that samples are as they are.
            0.0 => None,
            s if !s.is_finite() => None,
            _ if !intercept.is_finite() => {
                return Err(wrong(
                    "scl_inter",
                    intercept.to_string(),
                    "must be finite",
                    DAMAGED,
                ));
            }
            _ if slope == 1.0 && intercept == 0.0 => None,
            _ => Some((slope, intercept)),
        };

        let forms = Forms {
            pixdim: std::array::from_fn(|i| fields.f32(76 + 4 * i)),
            units: match bytes[123] & 7 {
                0..=3 => bytes[123],
                code => {
                    notes.push(format!(
                        "header field xyzt_units has the code {code} for space, must be 0 (unknown), 1 (m), 2 (mm) or 3 (um): the spacing is taken as mm."
                    ));
                    MILLIMETRES
                }
            },
            qform_code: fields.i16(252),
            sform_code: fields.i16(254),
            quaternion: std::array::from_fn(|i| fields.f32(256 + 4 * i)),
            offset: std::array::from_fn(|i| fields.f32(268 + 4 * i)),
            srow: std::array::from_fn(|r| {
                std::array::from_fn(|i| fields.f32(280 + 16 * r + 4 * i))
            }),
        };
        let geometry = orientation::geometry([dim[3], dim[2], dim[1]], &forms, path)?;
        Ok(Self {
            order,
            geometry,
            channels,
            number_type,
            data_offset: offset as u64,
            scaling,
            in_two_files,
            notes,
        })
    }
}

/// A size as the header's `dim[axis]` holds it.
pub(super) fn dimension(axis: usize, size: usize, path: &Path) -> Result<i16, Error> {
    i16::try_from(size).map_err(|_| {
        Error::field(
            path,
            format!("header field dim[{axis}]"),
            size,
            "must be at most 32767 in NIfTI-1",
            "Choose another format for this volume: .tif or .npy.",
        )
    })
}

/// Header and extensions of a volume: everything before the samples.
pub(super) fn compose(
    volume: &Volume,
    classes: Option<&[Class]>,
    path: &Path,
) -> Result<Vec<u8>, Error> {
    let [z, y, x] = volume.geometry.shape;
    let mut dim = [
        if volume.channels > 1 { 4 } else { 3 },
        1,
        1,
        1,
        1,
        1,
        1,
        1i16,
    ];
    for (axis, size) in [(1, x), (2, y), (3, z), (4, volume.channels)] {
        dim[axis] = dimension(axis, size, path)?;
    }
    let number_type = volume.samples.number_type();
    let forms = orientation::forms(&volume.geometry);

    let mut bytes = vec![0; DATA_OFFSET];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(0, &(HEADER_BYTES as i32).to_le_bytes());
    put(38, b"r");
    for (i, size) in dim.iter().enumerate() {
        put(40 + 2 * i, &size.to_le_bytes());
    }
    put(70, &datatype(number_type).to_le_bytes());
    put(72, &(number_type.bytes() as i16 * 8).to_le_bytes());
    for (i, value) in forms.pixdim.iter().enumerate() {
        put(76 + 4 * i, &value.to_le_bytes());
    }
    let comment = classes.map(comment).unwrap_or_default();
    put(108, &((DATA_OFFSET + comment.len()) as f32).to_le_bytes());
    put(112, &1f32.to_le_bytes());
    put(123, &[forms.units]);
    put(148, b"unet3d");
    put(252, &forms.qform_code.to_le_bytes());
    put(254, &forms.sform_code.to_le_bytes());
    for i in 0..3 {
        put(256 + 4 * i, &forms.quaternion[i].to_le_bytes());
        put(268 + 4 * i, &forms.offset[i].to_le_bytes());
        for j in 0..4 {
            put(280 + 16 * i + 4 * j, &forms.srow[i][j].to_le_bytes());
        }
    }
    put(344, b"n+1\0");
    if let Some(classes) = classes {
        let (low, high) = colours::display_range(classes);
        put(68, &INTENT_LABEL.to_le_bytes());
        put(124, &(high as f32).to_le_bytes());
        put(128, &(low as f32).to_le_bytes());
        // The first of the four bytes after the header: extensions follow.
        put(HEADER_BYTES, &[1]);
        bytes.extend(comment);
    }
    Ok(bytes)
}

/// Names of classes as an extension of plain text: its length (a multiple of
/// 16), its code, the text.
fn comment(classes: &[Class]) -> Vec<u8> {
    const COMMENT: i32 = 6;
    let text = colours::legend(classes);
    let bytes = (8 + text.len()).next_multiple_of(16);
    let mut extension = (bytes as i32).to_le_bytes().to_vec();
    extension.extend(COMMENT.to_le_bytes());
    extension.extend(text.as_bytes());
    extension.resize(bytes, 0);
    extension
}

fn number_type(code: i16) -> Option<NumberType> {
    NumberType::ALL.into_iter().find(|&t| datatype(t) == code)
}

fn datatype(number_type: NumberType) -> i16 {
    match number_type {
        NumberType::U8 => 2,
        NumberType::I16 => 4,
        NumberType::I32 => 8,
        NumberType::F32 => 16,
        NumberType::F64 => 64,
        NumberType::I8 => 256,
        NumberType::U16 => 512,
        NumberType::U32 => 768,
        NumberType::I64 => 1024,
        NumberType::U64 => 1280,
    }
}
