//! Notes: text for a person to look at and for us to read back, KEYWORD TAB value, a line each.
//!
//! Files of our own: of an entry of the queue, of a mail in the outbox. Not a format that sites
//! exchange: those are `statement`'s. Invariant: what is written reads back byte for byte, and no
//! value ends its line.

use std::borrow::Cow;

/// What a note says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Values<'t>(Vec<(&'t [u8], Cow<'t, [u8]>)>);

/// Writes a note.
pub fn text_of(lines: &[(&str, &[u8])]) -> Vec<u8> {
    let mut text = Vec::new();
    for (keyword, value) in lines {
        text.extend_from_slice(keyword.as_bytes());
        text.push(b'\t');
        text.extend(escaped(value));
        text.push(b'\n');
    }
    text
}

/// Reads what [`text_of`] wrote. A line without a TAB says nothing.
pub fn values_of(text: &[u8]) -> Values<'_> {
    Values(lines_of(text).collect())
}

/// Reads what [`text_of`] wrote, line by line: the keyword and the value.
pub fn lines_of(text: &[u8]) -> impl Iterator<Item = (&[u8], Cow<'_, [u8]>)> {
    text.split(|b| *b == b'\n').filter_map(|line| {
        let tab = memchr::memchr(b'\t', line)?;
        let (keyword, value) = line.split_at_checked(tab)?;
        let value = value.get(1..)?;
        let is_plain = memchr::memchr(b'%', value).is_none();
        Some((keyword, if is_plain { Cow::Borrowed(value) } else { Cow::Owned(unescaped(value)) }))
    })
}

impl Values<'_> {
    /// Returns the value of a keyword, the last where it is there twice.
    pub fn get(&self, keyword: &str) -> Option<&[u8]> {
        let mut lines = self.0.iter().rev();
        lines.find_map(|(name, value)| (*name == keyword.as_bytes()).then_some(&**value))
    }
}

/// Writes bytes on one line: controls, `%` and what is no UTF-8 as `%XX`. Unlike a tree path's
/// spelling it leaves blanks as they are: people read these files.
pub fn escaped(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let mut utf8 = [0; 4];
            let utf8 = c.encode_utf8(&mut utf8).as_bytes();
            if c.is_control() || c == '%' { push_escaped(utf8, &mut out) } else { out.extend(utf8) }
        }
        push_escaped(chunk.invalid(), &mut out);
    }
    out
}

/// Reads what [`escaped`] wrote; a `%` that begins no code stands for itself.
pub fn unescaped(line: &[u8]) -> Vec<u8> {
    let digit = |b: &u8| char::from(*b).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let mut out = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some((&byte, tail)) = rest.split_first() {
        let code = match tail {
            [high, low, ..] if byte == b'%' => digit(high).zip(digit(low)),
            _ => None,
        };
        out.push(code.map_or(byte, |(high, low)| high << 4 | low));
        rest = if code.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    out
}

fn push_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.extend_from_slice(format!("%{byte:02X}").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let values: [&[u8]; 5] =
            [b"", b"two words", b"%41\t\r\n%", b"\xff\x00", "\u{85} \u{e9}".as_bytes()];
        for value in values {
            let text = text_of(&[("a", b"x"), ("value", value), ("z", b"")]);
            assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 3, "{value:?}");
            let read = values_of(&text);
            assert_eq!(read.get("value"), Some(value));
            assert_eq!(read.0.len(), 3);
        }
    }

    #[test]
    fn what_nobody_wrote_is_read_as_far_as_it_can_be() {
        let read = values_of(b"no tab\na\t1\na\t2\nb\t100%\n");
        assert_eq!(read.get("a"), Some(b"2".as_slice()));
        assert_eq!(read.get("b"), Some(b"100%".as_slice()));
        assert_eq!(read.get("no tab"), None);
    }
}
