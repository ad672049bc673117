//! The encodings and wrappings of mail beyond the usual ones, as their standards and their writers
//! make them.

use std::io::Write;

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

pub use super::standard::{base64, in_columns, quoted_printable, uuencode};

/// Only what has to be encoded is; line ends in the bytes are line ends of the mail.
pub fn quoted_printable_text(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut column = 0;
    for byte in bytes {
        let code = match byte {
            b'\n' => {
                text.push('\n');
                column = 0;
                continue;
            }
            b'!'..=b'<' | b'>'..=b'~' => char::from(*byte).to_string(),
            byte => format!("={byte:02X}"),
        };
        if column + code.len() > 72 {
            text += "=\n";
            column = 0;
        }
        column += code.len();
        text += &code;
    }
    text + "=\n"
}

/// One file, or `part` of how many pieces.
pub fn yenc(name: &str, bytes: &[u8], part: Option<(usize, usize)>) -> Vec<u8> {
    let size = bytes.len();
    let (head, end) = match part {
        None => (format!("=ybegin line=128 size={size} name={name}\n"), String::new()),
        Some((n, of)) => (
            format!(
                "=ybegin part={n} total={of} line=128 size={size} name={name}\n\
                 =ypart begin=1 end={size}\n"
            ),
            format!(" part={n} pcrc32=00000000"),
        ),
    };
    let mut out = head.into_bytes();
    for line in bytes.chunks(128) {
        for byte in line {
            match byte.wrapping_add(42) {
                code @ (0 | b'\n' | b'\r' | b'=' | b'.') => {
                    out.extend([b'=', code.wrapping_add(64)]);
                }
                code => out.push(code),
            }
        }
        out.push(b'\n');
    }
    out.extend(format!("=yend size={size}{end}\n").into_bytes());
    out
}

/// BinHex 4.0 with a resource fork, and a run where there is one.
pub fn binhex(name: &str, data: &[u8]) -> String {
    const ALPHABET: &[u8] = b"!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr";
    let mut plain = vec![name.len() as u8];
    plain.extend(name.as_bytes());
    plain.extend(b"\0GzipGzip\0\0");
    plain.extend((data.len() as u32).to_be_bytes());
    plain.extend(4_u32.to_be_bytes());
    plain.extend([0, 0]);
    plain.extend(data);
    plain.extend([0, 0]);
    plain.extend(b"rsrc\0\0");
    let mut packed = Vec::new();
    let mut at = 0;
    while at < plain.len() {
        let byte = plain[at];
        let run = plain[at..].iter().take(255).take_while(|b| **b == byte).count();
        packed.push(byte);
        if byte == 0x90 {
            packed.push(0);
        }
        if run > 3 {
            packed.extend([0x90, run as u8]);
        }
        at += if run > 3 { run } else { 1 };
    }
    let mut text = String::new();
    for chunk in packed.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, b| word << 8 | u32::from(*b));
        let word = word << (8 * (3 - chunk.len()));
        for n in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(word >> (18 - 6 * n)) as usize & 63]));
        }
    }
    let lines = in_columns(&format!(":{text}:"), 64);
    format!("(This file must be converted with BinHex 4.0)\n\n{lines}")
}

/// How an entry of a zip archive is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Zipped {
    Stored,
    Deflated,
    /// Its lengths follow it, as writers to a pipe do.
    Streamed,
    /// With its lengths in the extra field.
    Zip64,
    /// Its lengths follow it, and nothing tells where it ends.
    StoredStreamed,
    /// With a password.
    Locked,
    /// In a method that few know.
    Lzma,
}

pub fn zip(entries: &[(&str, &[u8], Zipped)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut directory = Vec::new();
    for (name, bytes, how) in entries {
        let offset = out.len() as u32;
        let mut crc = Crc::new();
        crc.update(bytes);
        let packed = match how {
            Zipped::Deflated | Zipped::Streamed => deflate(bytes),
            Zipped::Locked | Zipped::Lzma => bytes.iter().map(|byte| byte ^ 0x55).collect(),
            _ => bytes.to_vec(),
        };
        let method: u16 = match how {
            Zipped::Deflated | Zipped::Streamed => 8,
            Zipped::Lzma => 14,
            _ => 0,
        };
        let streamed = matches!(how, Zipped::Streamed | Zipped::StoredStreamed);
        let flags = u16::from(*how == Zipped::Locked) | u16::from(streamed) << 3;
        let mut lengths = [crc.sum(), packed.len() as u32, bytes.len() as u32];
        let mut extra = Vec::new();
        if *how == Zipped::Zip64 {
            extra.extend([0xfe, 0xca, 2, 0, 7, 7, 1, 0, 16, 0]);
            extra.extend((bytes.len() as u64).to_le_bytes());
            extra.extend((packed.len() as u64).to_le_bytes());
            lengths = [crc.sum(), u32::MAX, u32::MAX];
        }
        let described = lengths;
        if streamed {
            lengths = [0; 3];
        }
        let fields = |lengths: [u32; 3]| {
            let mut fields = Vec::new();
            for number in [20, flags, method, 0, 0x21] {
                fields.extend(number.to_le_bytes());
            }
            lengths.iter().for_each(|length| fields.extend(length.to_le_bytes()));
            fields.extend((name.len() as u16).to_le_bytes());
            fields.extend((extra.len() as u16).to_le_bytes());
            fields
        };
        out.extend(b"PK\x03\x04");
        out.extend(fields(lengths));
        out.extend(name.as_bytes());
        out.extend(&extra);
        out.extend(&packed);
        if streamed {
            out.extend(b"PK\x07\x08");
            described.iter().for_each(|length| out.extend(length.to_le_bytes()));
        }
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(fields(described));
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
        directory.extend(&extra);
    }
    let start = out.len() as u32;
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend([(entries.len() as u16).to_le_bytes(); 2].concat());
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0, 0]);
    out
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut out = DeflateEncoder::new(Vec::new(), Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// `winmail.dat` as Outlook and Exchange write it: a few attributes, then the attachment's.
pub fn tnef(name: &str, data: &[u8]) -> Vec<u8> {
    let mut out = b"\x78\x9f\x3e\x22\x01\x00".to_vec();
    let mut attribute = |level: u8, id: u32, data: &[u8]| {
        out.push(level);
        out.extend(id.to_le_bytes());
        out.extend((data.len() as u32).to_le_bytes());
        out.extend(data);
        let sum = data.iter().fold(0_u16, |sum, byte| sum.wrapping_add((*byte).into()));
        out.extend(sum.to_le_bytes());
    };
    attribute(1, 0x0008_9006, &0x0001_0000_u32.to_le_bytes());
    attribute(1, 0x0007_8008, b"IPM.Microsoft Mail.Note\0");
    attribute(1, 0x0006_9003, &[0; 40]);
    attribute(2, 0x0006_9002, &[1; 14]);
    attribute(2, 0x0006_800f, data);
    attribute(2, 0x0001_8010, &[name.as_bytes(), b"\0"].concat());
    attribute(2, 0x0006_9005, &[0; 8]);
    out
}

/// AppleSingle: a name, a resource fork and the data fork.
pub fn apple_single(name: &str, data: &[u8]) -> Vec<u8> {
    let entries: [(u32, &[u8]); 3] = [(3, name.as_bytes()), (2, b"resources"), (1, data)];
    let mut out = vec![0, 5, 0x16, 0, 0, 2, 0, 0];
    out.extend([0; 16]);
    out.extend((entries.len() as u16).to_be_bytes());
    let mut offset = 26 + 12 * entries.len() as u32;
    for (id, bytes) in entries {
        out.extend(id.to_be_bytes());
        out.extend(offset.to_be_bytes());
        out.extend((bytes.len() as u32).to_be_bytes());
        offset += bytes.len() as u32;
    }
    entries.iter().for_each(|(_, bytes)| out.extend(*bytes));
    out
}

/// Signed data of CMS around a part of a mail: DER, or BER in pieces.
pub fn pkcs7_signed(part: &[u8], in_pieces: bool) -> Vec<u8> {
    let data = [b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01".to_vec(), {
        let octets = if in_pieces {
            let pieces: Vec<u8> = part.chunks(1000).flat_map(|piece| der(0x04, piece)).collect();
            [b"\x24\x80".to_vec(), pieces, vec![0, 0]].concat()
        } else {
            der(0x04, part)
        };
        container(0xa0, &octets, in_pieces)
    }]
    .concat();
    let digests = der(0x31, &der(0x30, b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00"));
    let certificates = der(0xa0, &der(0x30, &der(0x04, b"Content-Type: text/plain\n\nH4sIAAAA\n")));
    let signers = der(0x31, &der(0x30, b"\x02\x01\x01"));
    let signed = [
        b"\x02\x01\x01".to_vec(),
        digests,
        container(0x30, &data, in_pieces),
        certificates,
        signers,
    ];
    pkcs7(2, &signed.concat(), in_pieces)
}

/// A message of CMS of this type.
pub fn pkcs7(kind: u8, content: &[u8], in_pieces: bool) -> Vec<u8> {
    let id = [b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07".as_slice(), &[kind]].concat();
    let content = container(0xa0, &container(0x30, content, in_pieces), in_pieces);
    container(0x30, &[id, content].concat(), in_pieces)
}

fn container(tag: u8, content: &[u8], without_length: bool) -> Vec<u8> {
    match without_length {
        true => [&[tag, 0x80], content, &[0, 0]].concat(),
        false => der(tag, content),
    }
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = match content.len() {
        short @ ..0x80 => vec![short as u8],
        long => [vec![0x82], (long as u16).to_be_bytes().to_vec()].concat(),
    };
    [vec![tag], length, content.to_vec()].concat()
}
