//! The tags of an XML text, one after the other.
//!
//! OME-XML needs no tree: three elements and their attributes say everything.
//! Going through the text once takes time and memory in proportion to it. (A
//! tree takes twenty times the text, and the `roxmltree` crate compares each
//! namespace with all that enclose it: 160 kB of nested ones took 14 s.)

/// More than any sound description has; OME-XML has ten.
const DEEPEST: usize = 200;

/// What comes next in a text.
#[derive(Debug, PartialEq)]
pub(super) enum Event<'a> {
    /// A tag that opens an element; its name is without prefix.
    Open {
        name: &'a str,
        attributes: Attributes<'a>,
    },
    /// Text between tags.
    Text(&'a str),
    /// The end of the element that was opened last and is still open.
    Close { name: &'a str },
}

/// The attributes of a tag as they are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Attributes<'a>(&'a str);

/// Goes through a text.
pub(super) struct Tags<'a> {
    rest: &'a str,
    open: Vec<&'a str>,
    /// Whether the tag that was opened last closes itself.
    is_empty_element: bool,
    seen_root: bool,
}

impl<'a> Tags<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self {
            rest: text,
            open: Vec::new(),
            is_empty_element: false,
            seen_root: false,
        }
    }

    /// The next event; `None` at a sound end.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub(super) fn next(&mut self) -> Result<Option<Event<'a>>, String> {
        if std::mem::take(&mut self.is_empty_element) {
            return Ok(self
                .open
                .pop()
                .map(|name| Event::Close { name: local(name) }));
        }
        loop {
            if self.rest.is_empty() {
                return match self.open.last() {
                    Some(name) => Err(format!("it ends within {name:?}")),
                    None if self.seen_root => Ok(None),
                    None => Err("it holds no element".to_owned()),
                };
            }
            let Some(rest) = self.rest.strip_prefix('<') else {
                let end = self.rest.find('<').unwrap_or(self.rest.len());
                let (text, rest) = self.rest.split_at(end);
                self.rest = rest;
                return Ok(Some(Event::Text(text)));
            };
            if let Some(comment) = rest.strip_prefix("!--") {
                self.rest = after(comment, "-->")?;
            } else if let Some(text) = rest.strip_prefix("![CDATA[") {
                self.rest = after(text, "]]>")?;
            } else if let Some(instruction) = rest.strip_prefix('?') {
                self.rest = after(instruction, "?>")?;
            } else if rest.starts_with('!') {
                return Err("it declares a document type".to_owned());
            } else if let Some(closing) = rest.strip_prefix('/') {
                let (name, after) = closing
                    .split_once('>')
                    .ok_or_else(|| "a tag has no end".to_owned())?;
                self.rest = after;
                let name = name.trim_end();
                return match self.open.pop() {
                    Some(opened) if opened == name => Ok(Some(Event::Close { name: local(name) })),
                    _ => Err(format!("{:?} is closed, but not open", shortened(name))),
                };
            } else {
                return self.opening(rest).map(Some);
            }
        }
    }

    fn opening(&mut self, rest: &'a str) -> Result<Event<'a>, String> {
        let end = end_of_tag(rest).ok_or_else(|| "a tag has no end".to_owned())?;
        let (tag, after) = (&rest[..end], &rest[end + 1..]);
        self.rest = after;
        let (tag, is_empty) = match tag.strip_suffix('/') {
            Some(tag) => (tag, true),
            None => (tag, false),
        };
        let name_end = tag.find(char::is_whitespace).unwrap_or(tag.len());
        let (name, attributes) = tag.split_at(name_end);
        if name.is_empty() {
            return Err("a tag has no name".to_owned());
        }
        if self.open.is_empty() && std::mem::replace(&mut self.seen_root, true) {
            return Err("it holds several elements at its root".to_owned());
        }
        if self.open.len() >= DEEPEST {
            return Err(format!("its elements are nested more than {DEEPEST} deep"));
        }
        self.open.push(name);
        self.is_empty_element = is_empty;
        Ok(Event::Open {
            name: local(name),
            attributes: Attributes(attributes),
        })
    }
}

impl Attributes<'_> {
    /// The value of an attribute.
    pub(super) fn get(&self, key: &str) -> Option<String> {
        let mut rest = self.0.trim_start();
        while !rest.is_empty() {
            let (name, after) = rest.split_once('=')?;
            let after = after.trim_start();
            let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''))?;
            let (value, after) = after[1..].split_once(quote)?;
            if name.trim_end() == key {
                return Some(plain(value));
            }
            rest = after.trim_start();
        }
        None
    }
}

/// Where a tag ends: the first `>` outside quotes.
fn end_of_tag(text: &str) -> Option<usize> {
    let mut quote = None;
    for (i, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'>') => return Some(i),
            (Some(q), byte) if q == byte => quote = None,
            _ => {}
        }
    }
    None
}

fn after<'a>(text: &'a str, end: &str) -> Result<&'a str, String> {
    text.split_once(end)
        .map(|(_, rest)| rest)
        .ok_or_else(|| format!("{end:?} is missing"))
}

/// A name without the prefix of its namespace.
fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

/// A text with its entities replaced.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once('&') {
        out.push_str(before);
        let entity = from.split_once(';').filter(|(name, _)| name.len() < 12);
        let found = entity.and_then(|(name, _)| match name {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            name => {
                let number = name.strip_prefix('#')?;
                let code = match number.strip_prefix('x') {
                    Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                    None => number.parse().ok()?,
                };
                char::from_u32(code)
            }
        });
        match (found, entity) {
            (Some(c), Some((_, after))) => {
                out.push(c);
                rest = after;
            }
            _ => {
                out.push('&');
                rest = from;
            }
        }
    }
    out.push_str(rest);
    out
}

fn shortened(text: &str) -> &str {
    let end = text.char_indices().nth(40).map_or(text.len(), |(i, _)| i);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Result<Vec<String>, String> {
        let mut tags = Tags::of(text);
        let mut found = Vec::new();
        while let Some(event) = tags.next()? {
            found.push(match event {
                Event::Open { name, attributes } => {
                    format!("<{name} a={:?}", attributes.get("a"))
                }
                Event::Text(text) => text.to_owned(),
                Event::Close { name } => format!("/{name}"),
            });
        }
        Ok(found)
    }

    #[test]
    fn tags_come_in_order_and_entities_are_replaced() {
        let text = "<?xml version='1.0'?><!-- <no> --><x:A b = '1' a=\"&#181;m &gt; &amp;c\"><b a='>'/>t<![CDATA[<]]></x:A >";
        assert_eq!(
            all(text).expect("sound"),
            [
                "<A a=Some(\"µm > &c\")",
                "<b a=Some(\">\")",
                "/b",
                "t",
                "/A"
            ]
        );
    }

    #[test]
    fn what_is_no_xml_is_said() {
        for (text, word) in [
            ("", "no element"),
            ("<a><b></a>", "not open"),
            ("<a><b/>", "ends within"),
            ("<a b=\"", "no end"),
            ("<a/><b/>", "several"),
            ("<!DOCTYPE a><a/>", "document type"),
            ("<a><!-- </a>", "missing"),
            ("< a></a>", "no name"),
        ] {
            let error = all(text).expect_err(text);
            assert!(error.contains(word), "{text}: {error}");
        }
        let deep = "<a>".repeat(100_000);
        assert!(all(&deep).expect_err("deep").contains("deep"));
    }
}
