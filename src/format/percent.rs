//! Percent-encoding of names (remsync.5): any bytes as one word of readable UTF-8.
//!
//! Not URL encoding: exactly 00–20, 7F, `%` and each byte that is no part of a well-formed UTF-8
//! sequence are encoded. Invariant: one name, one spelling; every other spelling is refused.

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Why some text is no percent-encoded name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PercentFault {
    /// A `%` that two upper-case hex digits do not follow.
    #[error("a \"%\" without two upper-case hex digits after it")]
    Digits,
    /// A byte is encoded that need not be, or is not though it must be.
    #[error("a name that is not percent-encoded in the one way allowed")]
    Spelling,
}

/// Appends `bytes`, percent-encoded, to `out`.
pub fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    if is_plain(bytes) {
        return out.extend_from_slice(bytes);
    }
    for chunk in bytes.utf8_chunks() {
        for &byte in chunk.valid().as_bytes() {
            if is_plain_byte(byte) { out.push(byte) } else { push_encoded(byte, out) }
        }
        chunk.invalid().iter().for_each(|&byte| push_encoded(byte, out));
    }
}

/// Returns the bytes that `text` spells.
///
/// # Errors
/// A [`PercentFault`] for every spelling but the one that [`encode`] writes.
pub fn decode(text: &[u8]) -> Result<Vec<u8>, PercentFault> {
    if is_plain(text) {
        return Ok(text.to_vec());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        if byte == b'%' {
            let high = rest.next().and_then(|&b| digit(b)).ok_or(PercentFault::Digits)?;
            let low = rest.next().and_then(|&b| digit(b)).ok_or(PercentFault::Digits)?;
            bytes.push(high << 4 | low);
        } else {
            bytes.push(byte);
        }
    }
    // Encoding again is the whole rule of one spelling: two halves of a sequence that were encoded
    // apart, and so make a well-formed one together, are found by nothing simpler.
    let mut again = Vec::with_capacity(text.len());
    encode(&bytes, &mut again);
    if again == text { Ok(bytes) } else { Err(PercentFault::Spelling) }
}

/// Whether a text is of ASCII characters that all stand for themselves: what most names are.
pub fn is_plain(text: &[u8]) -> bool {
    text.iter().all(|&byte| matches!(byte, 0x21..=0x7e) & (byte != b'%'))
}

/// Whether a byte of a well-formed sequence stands for itself.
fn is_plain_byte(byte: u8) -> bool {
    !matches!(byte, 0..=0x20 | 0x7f | b'%')
}

fn push_encoded(byte: u8, out: &mut Vec<u8>) {
    let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
    out.push(b'%');
    out.extend_from_slice(&digits);
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        encode(bytes, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn one_spelling_each() {
        let table: &[(&str, &[u8], &str)] = &[
            ("plain", b"src/main.rs", "src/main.rs"),
            ("space", b"two words", "two%20words"),
            ("percent", b"100%", "100%25"),
            ("lowest and highest control", b"\0\x1f\x20\x7f", "%00%1F%20%7F"),
            ("first plain byte", b"!", "!"),
            ("last plain byte", b"~", "~"),
            ("utf-8", "häß€😀".as_bytes(), "häß€😀"),
            ("c1 control is well-formed utf-8", "\u{85}".as_bytes(), "\u{85}"),
            ("latin-1", b"h\xe4", "h%E4"),
            ("cut sequence", b"\xe2\x82A", "%E2%82A"),
            ("surrogate", b"\xed\xa0\x80", "%ED%A0%80"),
            ("overlong", b"\xc0\xaf", "%C0%AF"),
            ("empty", b"", ""),
        ];
        for (name, bytes, text) in table {
            assert_eq!(encoded(bytes), *text, "{name}");
            assert_eq!(decode(text.as_bytes()).as_deref(), Ok(*bytes), "{name}");
        }
    }

    #[test]
    fn any_other_spelling_is_refused() {
        use PercentFault::{Digits, Spelling};
        let table: &[(&str, &[u8], PercentFault)] = &[
            ("lower-case hex", b"%e4", Digits),
            ("need not be encoded", b"%41", Spelling),
            ("utf-8 encoded", b"%C3%A4", Spelling),
            ("utf-8 half encoded", b"\xc3%A4", Spelling),
            ("bare space", b"a b", Spelling),
            ("bare control", b"a\x01", Spelling),
            ("bare latin-1", b"h\xe4", Spelling),
            ("bare delete", b"\x7f", Spelling),
            ("cut at the end", b"a%2", Digits),
            ("only the sign", b"%", Digits),
            ("no digits", b"%zz", Digits),
        ];
        for (name, text, fault) in table {
            assert_eq!(decode(text), Err(*fault), "{name}");
        }
    }

    #[test]
    fn each_byte_alone() {
        for byte in 0..=255u8 {
            let text = encoded(&[byte]);
            let is_encoded = byte <= 0x20 || byte == b'%' || byte >= 0x7f;
            assert_eq!(text.len(), if is_encoded { 3 } else { 1 }, "{byte:02X}");
            assert_eq!(decode(text.as_bytes()), Ok(vec![byte]));
        }
    }
}
