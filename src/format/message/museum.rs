//! Encodings that few write any more: BinHex 4.0 (RFC 1741) and yEnc.
//!
//! Checksums are not looked at: what comes out is judged by itself. Invariant: every byte means
//! something or is passed over; what is held is a header of a few bytes.

/// BinHex 4.0: six bits a character, runs, and a header before the data fork.
#[derive(Default)]
pub(super) struct BinHex {
    begun: bool,
    bits: u32,
    sextets: u32,
    /// A run's mark was seen.
    run: bool,
    last: u8,
    /// Name, type, lengths; complete once `left` is known.
    header: Vec<u8>,
    left: Option<u64>,
    told: bool,
}

/// What the header of a BinHex file tells.
pub(super) enum Told {
    /// The name of the file.
    Name(Vec<u8>),
    /// It is damaged, or ends too early: what there is of it.
    Damaged(Vec<u8>),
}

/// yEnc: each byte with 42 added, and a few escaped.
#[derive(Default)]
pub(super) struct Yenc {
    escaped: bool,
    /// A line that begins with a keyword is no data.
    keyword: bool,
}

const BINHEX_ALPHABET: &[u8; 64] =
    b"!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr";
/// Six bits for each character of BinHex; [`NONE`] for all others.
const BINHEX_SEXTETS: [u8; 256] = {
    let mut table = [NONE; 256];
    let mut n = 0;
    while n < 64 {
        table[BINHEX_ALPHABET[n] as usize] = n as u8;
        n += 1;
    }
    table
};
const NONE: u8 = 0xff;
/// Bytes of a name that a Macintosh gives.
const BINHEX_NAME_BYTES_MAX: usize = 63;
const RUN: u8 = 0x90;

impl BinHex {
    /// Decodes the next characters, the data fork alone; `true` at its end.
    pub(super) fn decode(&mut self, text: &[u8], out: &mut Vec<u8>) -> bool {
        for &byte in text {
            if byte == b':' {
                if std::mem::replace(&mut self.begun, true) {
                    return true;
                }
                continue;
            }
            let sextet = BINHEX_SEXTETS[usize::from(byte)];
            if !self.begun || sextet == NONE {
                continue;
            }
            self.bits = self.bits << 6 | u32::from(sextet);
            self.sextets = (self.sextets + 1) % 4;
            match self.sextets {
                0 => self.packed(self.bits as u8, out),
                2 => self.packed((self.bits >> 4) as u8, out),
                3 => self.packed((self.bits >> 2) as u8, out),
                _ => {}
            }
        }
        self.left == Some(0)
    }

    /// Returns what the header tells, once; what follows it may lack its end yet.
    pub(super) fn told(&mut self) -> Option<Told> {
        if std::mem::replace(&mut self.told, true) {
            return None;
        }
        let length = usize::from(self.header.first().copied().unwrap_or_default());
        let name = self.header.get(1..=length).unwrap_or_default();
        // A zero ends the name.
        let is_sound = self.left.is_some()
            && (1..=BINHEX_NAME_BYTES_MAX).contains(&length)
            && self.header.get(length + 1) == Some(&0);
        let text = if is_sound { name } else { &self.header };
        Some(if is_sound { Told::Name(text.to_vec()) } else { Told::Damaged(text.to_vec()) })
    }

    fn packed(&mut self, byte: u8, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.run) {
            let (byte, times) = match byte {
                0 => (RUN, 1),
                n => (self.last, n - 1),
            };
            (0..times).for_each(|_| self.unpacked(byte, out));
        } else if byte == RUN {
            self.run = true;
        } else {
            self.unpacked(byte, out);
        }
    }

    fn unpacked(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.last = byte;
        match &mut self.left {
            Some(0) => {}
            Some(left) => {
                *left -= 1;
                out.push(byte);
            }
            None => {
                self.header.push(byte);
                // Length and name, version, type, creator, flags, both lengths, checksum.
                let name = usize::from(self.header.first().copied().unwrap_or_default());
                let length = self.header.get(name + 12..name + 16);
                if self.header.len() == name + 22
                    && let Some(&[a, b, c, d]) = length
                {
                    self.left = Some(u32::from_be_bytes([a, b, c, d]).into());
                }
            }
        }
    }
}

impl Yenc {
    /// Decodes a line, or a piece of a long one.
    pub(super) fn decode(&mut self, piece: &[u8], first: bool, out: &mut Vec<u8>) {
        if first {
            self.keyword = piece.starts_with(b"=ypart ");
        }
        if self.keyword {
            return;
        }
        for &byte in piece {
            match byte {
                b'\r' | b'\n' => {}
                b'=' if !self.escaped => self.escaped = true,
                byte => {
                    let shift = if std::mem::take(&mut self.escaped) { 64 + 42 } else { 42 };
                    out.push(byte.wrapping_sub(shift));
                }
            }
        }
    }
}

/// Returns the name on a line `=ybegin … name=NAME`.
pub(super) fn yenc_name(line: &[u8]) -> &[u8] {
    const KEY: &[u8] = b" name=";
    let at = line.windows(KEY.len()).position(|window| window == KEY);
    at.and_then(|at| line.get(at + KEY.len()..)).unwrap_or_default().trim_ascii()
}

/// Whether a line `=ybegin …` begins one piece of several.
pub(super) fn is_yenc_piece(line: &[u8]) -> bool {
    let mut words = line.trim_ascii_end().split(|byte| *byte == b' ');
    words.clone().any(|word| word.starts_with(b"part=")) && !words.any(|word| word == b"total=1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yenc_is_read_however_cut() {
        // 0, 3 ("-"), 19 ("=" escaped), 214 (NUL escaped), 255.
        let text = b"=ypart begin=1 end=4\r\n*-=}\r\n=@\x29\r\n";
        for size in 1..text.len() {
            let (mut yenc, mut out) = (Yenc::default(), Vec::new());
            for line in text.split_inclusive(|byte| *byte == b'\n') {
                let mut first = true;
                // A keyword is looked for in the first piece of a line, which is long enough.
                let size = if line.starts_with(b"=y") { line.len() } else { size };
                for piece in line.chunks(size) {
                    yenc.decode(piece, std::mem::take(&mut first), &mut out);
                }
            }
            assert_eq!(out, [0, 3, 19, 214, 255], "{size}");
        }
    }

    #[test]
    fn yenc_lines_are_told() {
        for (line, name, piece) in [
            (&b"=ybegin line=128 size=4 name=a b.gz\r\n"[..], &b"a b.gz"[..], false),
            (b"=ybegin part=1 total=1 line=128 size=4 name=a\n", b"a", false),
            (b"=ybegin part=1 total=2 line=128 size=4 name=a\n", b"a", true),
            (b"=ybegin part=1 line=128 size=4", b"", true),
        ] {
            assert_eq!((yenc_name(line), is_yenc_piece(line)), (name, piece));
        }
    }
}
