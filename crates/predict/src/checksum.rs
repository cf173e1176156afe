//! A checksum in the metadata of a safetensors file, over metadata and tensors.
//!
//! The container has none of its own: zeros where weights were are read as
//! weights. The sum covers what the file means rather than its bytes, so that
//! other tools may pad or order the container anew.
//!
//! CRC-32 (IEEE): finds every damage of up to 32 bits in a row and of others all
//! but one in four thousand million. No protection against change on purpose.

use serde::Serialize;
use serde_json::{Map, Value};

/// Name of the field. Files from before it have none.
const FIELD: &str = "checksum";

/// Names the kind, so that another one may follow.
const KIND: &str = "crc32:";

/// What a checksum says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Content and checksum agree.
    Sound,
    /// There is no checksum, or one of a later kind.
    Unknown,
    /// Something was changed.
    Differs {
        /// The checksum in the file.
        written: String,
        /// The one that its content gives.
        found: String,
    },
}

/// The metadata as text, with a checksum of it and of the tensors (name and bytes,
/// in any order).
///
/// # Errors
/// Where the metadata are no JSON object.
pub fn sign<'a>(
    metadata: &impl Serialize,
    tensors: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> serde_json::Result<String> {
    // By way of the text: a number of 32 bits keeps its short form.
    let mut metadata: Map<String, Value> = serde_json::from_str(&serde_json::to_string(metadata)?)?;
    let sum = sum(&metadata, tensors);
    metadata.insert(FIELD.to_owned(), Value::String(sum));
    serde_json::to_string(&metadata)
}

/// Compares metadata and tensors with the checksum in the metadata.
pub fn verify<'a>(
    metadata: &Value,
    tensors: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Verdict {
    let mut metadata = metadata.as_object().cloned().unwrap_or_default();
    let written = match metadata.shift_remove(FIELD) {
        Some(Value::String(written)) if written.starts_with(KIND) => written,
        _ => return Verdict::Unknown,
    };
    match sum(&metadata, tensors) {
        found if found == written => Verdict::Sound,
        found => Verdict::Differs { written, found },
    }
}

fn sum<'a>(
    metadata: &Map<String, Value>,
    tensors: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> String {
    let mut tensors: Vec<(&str, &[u8])> = tensors.into_iter().collect();
    tensors.sort_unstable();
    let mut hasher = crc32fast::Hasher::new();
    // Lengths keep apart what follows each other.
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    // The text of a map of JSON values cannot fail.
    add(&serde_json::to_vec(metadata).unwrap_or_default());
    for (name, bytes) in tensors {
        add(name.as_bytes());
        add(bytes);
    }
    format!("{KIND}{:08x}", hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_change_of_content_is_found_and_none_of_order() {
        let metadata =
            json!({"b": 0.1, "a": [1, 1e-5, {"c": "ä"}], "n": 18_446_744_073_709_551_615u64});
        let (a, b) = ([1u8, 2, 3, 4], [0u8; 300]);
        let text = sign(&metadata, [("a", &a[..]), ("b", &b)]).unwrap();
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(verify(&read, [("b", &b[..]), ("a", &a)]), Verdict::Sound);
        assert_eq!(verify(&metadata, [("a", &a[..])]), Verdict::Unknown);
        for other in [
            vec![("a", &a[..])],
            vec![("a", &a[..]), ("c", &b)],
            vec![("a", &a[..]), ("b", &b[..299])],
            vec![("b", &a[..]), ("a", &b)],
            vec![("a", &a[..3]), ("b", &b)],
        ] {
            assert!(matches!(verify(&read, other), Verdict::Differs { .. }));
        }
        for bit in 0..8 * b.len() {
            let mut flipped = b;
            flipped[bit / 8] ^= 1 << (bit % 8);
            let verdict = verify(&read, [("a", &a[..]), ("b", &flipped)]);
            assert!(matches!(verdict, Verdict::Differs { .. }), "{bit}");
        }
        let mut other = read.clone();
        other["a"][0] = json!(2);
        assert!(matches!(
            verify(&other, [("a", &a[..]), ("b", &b)]),
            Verdict::Differs { .. }
        ));
        other = read;
        other["checksum"] = json!("blake9:abc");
        assert_eq!(verify(&other, [("a", &a[..]), ("b", &b)]), Verdict::Unknown);
    }
}
