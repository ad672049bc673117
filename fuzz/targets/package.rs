//! The reader of archives: it never panics, keeps to its bounds, and what it calls sound it calls
//! sound again, with every file as the orders say.
#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use remsync::format::package::{Limits, NoSink, check, peek, read_within};
use remsync::model::orders::Act;

/// Small bounds, so that bombs are cheap.
const LIMITS: Limits = Limits {
    packed_bytes: 1 << 20,
    unpacked_bytes: 4 << 20,
    ratio: 200,
    ratio_free_bytes: 1 << 20,
    members: 100,
    orders_bytes: 1 << 20,
    orders_lines: 10_000,
};

/// A gzip stream of one stored block each 64 KiB: lets the fuzzer write tar, not deflate.
fn stored(tar: &[u8]) -> Vec<u8> {
    let mut gzip = Vec::from(*b"\x1f\x8b\x08\0\0\0\0\0\0\xff");
    let mut chunks = tar.chunks(0xffff).peekable();
    if chunks.peek().is_none() {
        gzip.extend([1, 0, 0, 0xff, 0xff]);
    }
    while let Some(chunk) = chunks.next() {
        gzip.push(u8::from(chunks.peek().is_none()));
        let length = chunk.len() as u16;
        gzip.extend(length.to_le_bytes());
        gzip.extend((!length).to_le_bytes());
        gzip.extend(chunk);
    }
    let mut crc = 0xffff_ffff_u32;
    for byte in tar {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    gzip.extend((!crc).to_le_bytes());
    gzip.write_all(&(tar.len() as u32).to_le_bytes()).expect("memory takes it");
    gzip
}

/// The sum of each header set right: no fuzzer finds that by chance.
fn summed(bytes: &[u8]) -> Vec<u8> {
    let mut tar = bytes.to_vec();
    for block in tar.chunks_exact_mut(512).filter(|block| block.starts_with(b".remsync")) {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().copied().map(u32::from).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    tar
}

fn judge(bytes: &[u8]) {
    let claims = peek(bytes).expect("memory can be read");
    let Ok(package) = read_within(bytes, &mut NoSink, &LIMITS) else { return };
    assert!(claims, "what is sound shows it");
    assert_eq!(check(bytes).expect("it was sound before"), package);
    for row in &package.orders.rows {
        if let Act::Update { member, .. } = row.act {
            assert!(package.member(member).is_some());
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    if bytes.starts_with(b"\x1f\x8b") {
        judge(bytes);
    } else {
        judge(&stored(&summed(bytes)));
    }
});
