//! The bytes of a gzip file, as nibabel and `gzip -d` read them.
//!
//! A file may be several members one after the other (as `pigz` and `cat` make
//! them), and zeros may follow the last one (as tapes and some archives leave
//! them). Anything else after it is counted, so that it can be told.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

pub(crate) const MAGIC: &[u8] = &[0x1f, 0x8b];

/// Decompresses all members of a file.
pub(crate) struct Members<R: BufRead> {
    state: State<R>,
    /// Bytes after the last member that are neither zeros nor a member.
    pub(crate) strange_bytes: u64,
}

enum State<R: BufRead> {
    Within(GzDecoder<R>),
    Done,
}

impl<R: BufRead> Members<R> {
    pub(crate) fn new(bytes: R) -> Self {
        Self {
            state: State::Within(GzDecoder::new(bytes)),
            strange_bytes: 0,
        }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let State::Within(decoder) = &mut self.state else {
                return Ok(0);
            };
            let found = decoder.read(buffer)?;
            if found > 0 || buffer.is_empty() {
                return Ok(found);
            }
            let State::Within(decoder) = std::mem::replace(&mut self.state, State::Done) else {
                return Ok(0);
            };
            let mut bytes = decoder.into_inner();
            loop {
                let rest = bytes.fill_buf()?;
                let zeros = rest.iter().take_while(|&&byte| byte == 0).count();
                if zeros == 0 {
                    break;
                }
                bytes.consume(zeros);
            }
            // One byte may be all that the buffer holds of the next member.
            match bytes.fill_buf()? {
                [] => return Ok(0),
                [first, rest @ ..]
                    if *first == MAGIC[0] && rest.first().is_none_or(|b| *b == MAGIC[1]) =>
                {
                    self.state = State::Within(GzDecoder::new(bytes));
                }
                _ => {
                    self.strange_bytes = io::copy(&mut bytes, &mut io::sink())?;
                    return Ok(0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn member(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).expect("compressed");
        encoder.finish().expect("compressed")
    }

    /// The text, and how many strange bytes follow.
    fn read(bytes: &[u8]) -> io::Result<(String, u64)> {
        // A buffer of 3 bytes: every boundary is met.
        let mut members = Members::new(io::BufReader::with_capacity(3, bytes));
        let mut text = String::new();
        members.read_to_string(&mut text)?;
        Ok((text, members.strange_bytes))
    }

    #[test]
    fn members_zeros_and_what_follows() {
        let (a, b) = (member("one "), member("two"));
        let zeros = vec![0; 700];
        let cases: &[(&[&[u8]], &str, u64)] = &[
            (&[&a], "one ", 0),
            (&[&a, &b], "one two", 0),
            (&[&a, &zeros], "one ", 0),
            (&[&a, &zeros, &b, &zeros], "one two", 0),
            (&[&a, b"junk"], "one ", 4),
            (&[&a, &zeros, b"junk"], "one ", 4),
        ];
        for (parts, text, strange) in cases {
            let found = read(&parts.concat()).expect("sound");
            assert_eq!(found, ((*text).to_owned(), *strange));
        }
        assert!(read(&a[..a.len() - 1]).is_err(), "the checksum is cut");
        assert!(
            read(&[&a[..], &b[..5]].concat()).is_err(),
            "a member is cut"
        );
    }
}
