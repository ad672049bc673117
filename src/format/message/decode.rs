//! Transfer encodings, undone: base64, quoted-printable, uuencode.
//!
//! Invariant: every byte means something or is passed over; none is an error. What is held between
//! two pieces is a few bytes, or a line of [`LINE_BYTES`].

use super::LINE_BYTES;

/// Base64 with ragged lines, strange characters, padding missing or in the middle.
#[derive(Default)]
pub(super) struct Base64 {
    bits: u32,
    characters: u32,
}

/// Quoted-printable; a hard line break is one LF, whatever the mail came through.
#[derive(Default)]
pub(super) struct Quoted {
    /// What cannot be judged before the next piece: blanks, `=`, `=X`.
    kept: Vec<u8>,
}

/// Six bits for each character; [`PAD`] and [`SKIP`] for all others.
const SEXTETS: [u8; 256] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut table = [SKIP; 256];
    let mut n = 0;
    while n < 64 {
        table[alphabet[n] as usize] = n as u8;
        n += 1;
    }
    table[b'=' as usize] = PAD;
    table
};
/// What each character contributes to a group of four, by its place; the highest byte is not zero
/// for those that are none.
static GROUPS: [[u32; 256]; 4] = {
    let mut tables = [[0; 256]; 4];
    let mut place = 0;
    while place < 4 {
        let mut byte = 0;
        while byte < 256 {
            let sextet = SEXTETS[byte] as u32;
            tables[place][byte] = if sextet < 64 { sextet << (18 - 6 * place) } else { 1 << 24 };
            byte += 1;
        }
        place += 1;
    }
    tables
};
const PAD: u8 = 0x80;
const SKIP: u8 = 0xff;

impl Base64 {
    /// Decodes the next characters.
    pub(super) fn decode(&mut self, text: &[u8], out: &mut Vec<u8>) {
        out.reserve(text.len());
        let mut rest = text;
        while let Some((&byte, tail)) = rest.split_first() {
            if self.characters == 0 {
                let decoded = decode_groups(rest, out);
                if decoded > 0 {
                    rest = rest.get(decoded..).unwrap_or_default();
                    continue;
                }
            }
            self.character(byte, out);
            rest = tail;
        }
    }

    fn character(&mut self, byte: u8, out: &mut Vec<u8>) {
        match SEXTETS[usize::from(byte)] {
            SKIP => {}
            // Padding in the middle: chunks encoded one by one.
            PAD => self.finish(out),
            sextet => {
                self.bits = self.bits << 6 | u32::from(sextet);
                self.characters += 1;
                if self.characters == 4 {
                    let [_, a, b, c] = self.bits.to_be_bytes();
                    out.extend_from_slice(&[a, b, c]);
                    *self = Base64::default();
                }
            }
        }
    }

    /// Decodes what is left, as though padding came.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        match self.characters {
            2 => out.push((self.bits >> 4) as u8),
            3 => out.extend_from_slice(&[(self.bits >> 10) as u8, (self.bits >> 2) as u8]),
            _ => {}
        }
        *self = Base64::default();
    }
}

impl Quoted {
    /// Decodes a line, or the next piece of a long one.
    pub(super) fn decode(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let mut text = std::mem::take(&mut self.kept);
        text.extend_from_slice(piece);
        let ended = text.last() == Some(&b'\n');
        let mut line = text.as_slice();
        if ended {
            // Blanks at a line's end were put there by the way (RFC 2045 section 6.7).
            line = line.trim_ascii_end();
        } else {
            let blanks = line.len() - line.trim_ascii_end().len();
            let tail = line.iter().rev().take(2).position(|b| *b == b'=').map_or(0, |n| n + 1);
            let keep = blanks.max(tail).min(LINE_BYTES);
            let (now, later) = line.split_at(line.len() - keep);
            self.kept = later.to_vec();
            line = now;
        }
        let soft = ended && line.last() == Some(&b'=');
        if soft {
            line = line.get(..line.len() - 1).unwrap_or_default();
        }
        quoted_decode(line, out);
        if ended && !soft {
            out.push(b'\n');
        }
    }

    /// Decodes what is left.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        let kept = std::mem::take(&mut self.kept);
        quoted_decode(kept.trim_ascii_end(), out);
    }
}

/// Decodes groups of four characters up to one that is not of the alphabet; returns how many
/// characters were used.
fn decode_groups(text: &[u8], out: &mut Vec<u8>) -> usize {
    const BLOCK: usize = 76;
    let mut used = 0;
    for block in text.chunks(BLOCK) {
        let mut bytes = [0; BLOCK / 4 * 3];
        let groups = block.chunks_exact(4).zip(bytes.chunks_exact_mut(3));
        let count = groups
            .map_while(|(group, three)| {
                let (&[a, b, c, d], [x, y, z]) = (group, three) else { return None };
                let word = GROUPS[0][usize::from(a)]
                    | GROUPS[1][usize::from(b)]
                    | GROUPS[2][usize::from(c)]
                    | GROUPS[3][usize::from(d)];
                let [foreign, first, second, third] = word.to_be_bytes();
                (*x, *y, *z) = (first, second, third);
                (foreign == 0).then_some(())
            })
            .count();
        out.extend_from_slice(bytes.get(..count * 3).unwrap_or_default());
        used += count * 4;
        if count * 4 < BLOCK {
            break;
        }
    }
    used
}

/// Whether a line is the first of a gzip stream or of a sealed file in base64.
pub(super) fn is_naked_base64(line: &[u8]) -> bool {
    let text = line.trim_ascii();
    (text.starts_with(b"H4sI") || text.starts_with(b"YWdlLWVuY3J5cHRpb24u")) && is_base64_line(text)
}

/// Whether a line, blanks around it put aside, is of base64's characters only.
pub(super) fn is_base64_line(line: &[u8]) -> bool {
    line.trim_ascii().iter().all(|byte| SEXTETS[usize::from(*byte)] != SKIP)
}

/// `begin 644 name`.
pub(super) fn is_uu_begin(line: &[u8]) -> bool {
    let mut words = line.trim_ascii_end().splitn(3, |b| *b == b' ');
    words.next() == Some(b"begin")
        && words.next().is_some_and(|mode| {
            matches!(mode.len(), 3 | 4) && mode.iter().all(|b| matches!(b, b'0'..=b'7'))
        })
        && words.next().is_some_and(|name| !name.trim_ascii().is_empty())
}

/// `end`, or the line of no bytes before it, or a line that is none of uuencode's. Blank lines are
/// passed over: some gateways put one behind each.
pub(super) fn is_uu_end(line: &[u8]) -> bool {
    let line = split_eol(line).0.trim_ascii_end();
    line == b"end" || line.first().is_some_and(|b| !matches!(b, b'!'..=b'_')) || line.len() > 100
}

/// One line; blanks that were lost at its end count as the zeros they were.
pub(super) fn uu_decode(line: &[u8], out: &mut Vec<u8>) {
    let Some((length, text)) = split_eol(line).0.split_first() else { return };
    let mut left = usize::from(length.wrapping_sub(b' ') & 0x3f);
    let sextet = |n: usize| text.get(n).map_or(0, |b| b.wrapping_sub(b' ') & 0x3f);
    let mut n = 0;
    while left > 0 {
        let [a, b, c, d] = [sextet(n), sextet(n + 1), sextet(n + 2), sextet(n + 3)];
        let bytes = [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d];
        let take = left.min(3);
        out.extend(bytes.iter().take(take));
        left -= take;
        n += 4;
    }
}

/// Cuts the line end off, if there is one.
pub(super) fn split_eol(piece: &[u8]) -> (&[u8], &'static [u8]) {
    if let Some(text) = piece.strip_suffix(b"\r\n") {
        (text, b"\r\n")
    } else if let Some(text) = piece.strip_suffix(b"\n") {
        (text, b"\n")
    } else {
        (piece, b"")
    }
}

fn quoted_decode(mut line: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = line.iter().position(|b| *b == b'=') {
        let (plain, rest) = line.split_at(at);
        out.extend_from_slice(plain);
        let byte = match rest {
            [_, high, low, ..] => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        // What is no code stands for itself (RFC 2045 section 6.7, the note on robustness).
        out.push(byte.unwrap_or(b'='));
        line = rest.get(if byte.is_some() { 3 } else { 1 }..).unwrap_or_default();
    }
    out.extend_from_slice(line);
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes whole and in pieces of each size, which has to come to the same.
    fn in_pieces(
        text: &str,
        decode: impl Fn(&mut dyn Iterator<Item = &[u8]>) -> Vec<u8>,
    ) -> Vec<u8> {
        let whole = decode(&mut std::iter::once(text.as_bytes()));
        for size in 1..=text.len() {
            assert_eq!(decode(&mut text.as_bytes().chunks(size)), whole, "{text:?} by {size}");
        }
        whole
    }

    #[test]
    fn base64_is_read_however_ragged() {
        for (text, expected) in [
            ("", ""),
            ("Zm9vYmFy", "foobar"),
            ("Zm9v\r\nYmFy\r\n", "foobar"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYg", "foob"),
            ("Zm9vYmE", "fooba"),
            ("Zm9vY", "foo"),
            ("Zg==Zg==", "ff"),
            ("Z g\0*==", "f"),
        ] {
            let decoded = in_pieces(text, |pieces| {
                let (mut base64, mut out) = (Base64::default(), Vec::new());
                pieces.for_each(|piece| base64.decode(piece, &mut out));
                base64.finish(&mut out);
                out
            });
            assert_eq!(decoded, expected.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn quoted_printable_is_read_however_cut() {
        for (text, expected) in [
            ("a=3Db", "a=b"),
            ("a=3db", "a=b"),
            ("a=\r\n", "a"),
            ("a \t\r\n", "a\n"),
            ("a= \n", "a"),
            ("a=zz=4", "a=zz=4"),
            ("a  ", "a"),
            ("=20\n", " \n"),
        ] {
            let decoded = in_pieces(text, |pieces| {
                let (mut quoted, mut out) = (Quoted::default(), Vec::new());
                pieces.for_each(|piece| quoted.decode(piece, &mut out));
                quoted.finish(&mut out);
                out
            });
            assert_eq!(decoded, expected.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn lines_of_uuencode_are_told_and_read() {
        for (line, begins, ends) in [
            ("begin 644 a b\r\n", true, false),
            ("begin 0644 a", true, false),
            ("begin 64 a", false, false),
            ("begin 648 a", false, false),
            ("begin 644 ", false, false),
            ("end\n", false, true),
            ("`\n", false, true),
            ("\n", false, false),
            ("\r\r\n", false, false),
        ] {
            assert_eq!(is_uu_begin(line.as_bytes()), begins, "{line:?}");
            let ends_it = is_uu_end(line.as_bytes());
            assert_eq!(ends_it, ends || line.starts_with('b'), "{line:?}");
        }
        for (line, expected) in
            [("#86)C\n", "abc"), ("!80\r\n", "a"), ("!80", "a"), ("\n", ""), ("#", "\0\0\0")]
        {
            let mut out = Vec::new();
            uu_decode(line.as_bytes(), &mut out);
            assert_eq!(out, expected.as_bytes(), "{line:?}");
        }
    }
}
