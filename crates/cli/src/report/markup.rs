//! Text on its way into HTML: names come from files and may hold anything.

use std::fmt::Write;

/// The text as HTML shows it, inside an attribute too. Characters that would break
/// lines, turn the direction of writing or show nothing are named instead.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if is_hidden(c) => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\u{27e8}U+{:04X}\u{27e9}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// The same where several lines are meant: a command with its continuation.
pub(super) fn escape_lines(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(escape).collect();
    lines.join("\n")
}

/// Control characters, and those that reorder the text around them (in file names a
/// known trick: `gpj.exe` written backwards).
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}'
            | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A text as a string of JSON that may stand inside a script element.
pub(super) fn json_string(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    // `</script>` would end the element, `<!--` change its meaning.
    quoted
        .replace('<', "\\u003c")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_files_cannot_become_markup() {
        for (name, expected) in [
            ("<a href=\"x\">&", "&lt;a href=&quot;x&quot;&gt;&amp;"),
            ("' onload='x", "&#39; onload=&#39;x"),
            ("a\u{1b}[31m\nb\0", "a⟨U+001B⟩[31m⟨U+000A⟩b⟨U+0000⟩"),
            ("a\u{202e}fit.b", "a⟨U+202E⟩fit.b"),
            ("\u{9b}1m\u{85}", "⟨U+009B⟩1m⟨U+0085⟩"),
            ("Zelle ä 画像", "Zelle ä 画像"),
        ] {
            assert_eq!(escape(name), expected);
        }
        assert_eq!(escape_lines("a <b>\n  c"), "a &lt;b&gt;\n  c");
    }

    #[test]
    fn a_json_string_cannot_end_its_script() {
        let text = json_string("</script><!-- \"a\"\n\u{2028}");
        assert!(!text.contains('<') && !text.contains('\u{2028}'), "{text}");
        let back: String = serde_json::from_str(&text).expect("JSON");
        assert_eq!(back, "</script><!-- \"a\"\n\u{2028}");
    }
}
