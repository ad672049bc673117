//! Packages made by hand, byte by byte: orders, tar entries, gzip, and what goes into them.
//!
//! Not our own writer, which makes none of what strangers may send.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use remsync::format::digest::{hex, sha256_of};

/// When every file of these archives was changed.
pub const MTIME_S: i64 = 1_790_000_000;

/// A tar entry, each field as a hostile writer may set it.
#[derive(Clone)]
pub struct Raw {
    pub name: Vec<u8>,
    pub kind: u8,
    pub mode: &'static str,
    pub size: Vec<u8>,
    pub mtime: Vec<u8>,
    pub link: String,
    pub magic: [u8; 8],
    pub prefix: &'static str,
    pub data: Vec<u8>,
    pub padding: u8,
    pub sum_off: i32,
}

/// Returns the entry of a plain file, sound by itself.
pub fn raw(name: &str, data: &[u8]) -> Raw {
    Raw {
        name: name.into(),
        kind: b'0',
        mode: "0000644",
        size: format!("{:011o}", data.len()).into(),
        mtime: format!("{MTIME_S:011o}").into(),
        link: String::new(),
        magic: *b"ustar\x0000",
        prefix: "",
        data: data.into(),
        padding: 0,
        sum_off: 0,
    }
}

/// Returns the entry by which pax says these of the next one.
pub fn pax(records: &[(&str, &str)]) -> Raw {
    let mut text = String::new();
    for (key, value) in records {
        let rest = format!(" {key}={value}\n");
        let fits = |n: &usize| n.to_string().len() + rest.len() == *n;
        text += &format!("{}{rest}", (1..).find(fits).unwrap());
    }
    Raw { kind: b'x', ..raw("PaxHeaders/1", text.as_bytes()) }
}

/// Returns the entry by which GNU tar names the next one (`L`), or its target (`K`).
pub fn long_name(kind: u8, name: &str) -> Raw {
    let data = format!("{name}\0");
    Raw { kind, magic: *b"ustar  \0", ..raw("././@LongLink", data.as_bytes()) }
}

impl Raw {
    /// Returns the header block and the padded contents.
    pub fn bytes(&self) -> Vec<u8> {
        let mut block = [0u8; 512];
        let mut set = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        set(0, &self.name);
        set(100, self.mode.as_bytes());
        set(124, &self.size);
        set(136, &self.mtime);
        set(148, b"        ");
        set(156, &[self.kind]);
        set(157, self.link.as_bytes());
        set(257, &self.magic);
        set(345, self.prefix.as_bytes());
        let sum: u32 = block.iter().copied().map(u32::from).sum();
        let sum = format!("{:06o}\0 ", sum.cast_signed() + self.sum_off);
        block[148..156].copy_from_slice(sum.as_bytes());
        let mut out = block.to_vec();
        out.extend(&self.data);
        out.resize(out.len().next_multiple_of(512), self.padding);
        out
    }
}

/// Returns an archive with its end.
pub fn tar(entries: &[Raw]) -> Vec<u8> {
    let mut out: Vec<u8> = entries.iter().flat_map(Raw::bytes).collect();
    out.resize(out.len() + 1024, 0);
    out
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

pub fn package(entries: &[Raw]) -> Vec<u8> {
    gzip(&tar(entries))
}

/// Returns the lines of orders that stand above the rows.
pub fn orders_head(title: &str, here: &str, remote: &str, serial: u64) -> String {
    format!(
        "format\tremsync 2.0\ntitle\t{title}\nhere\t{here}\nremote\t{remote}\n\
         visit\t0\ncopy\t0\nserial\t{serial}\n"
    )
}

/// Returns the row that puts `bytes` at `path`, from the file `number`.
pub fn update(path: &str, bytes: &[u8], number: u32) -> String {
    format!("check\t{path} {} ?\nupdate\t{path} ? {number}\n", sha256(bytes))
}

pub fn sha256(bytes: &[u8]) -> String {
    hex_sha256_of(bytes).unwrap()
}

pub fn hex_sha256_of(reader: impl std::io::Read) -> std::io::Result<String> {
    Ok(hex(&sha256_of(reader)?.0))
}

/// Bytes that nothing compresses, the same for the same seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
