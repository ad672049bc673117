//! Bytes to signatures: SHA-256 for format 2.0, BSD `sum` for 1.3.
//!
//! Not a proof of who wrote the bytes; that is a signer's. Invariant: what is hashed is what was
//! read, in order, once; nothing is held but the running state.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

use crate::model::Signature;
use crate::model::project::Format;

/// Bytes read at a time: the fastest of the sizes measured.
const CHUNK_BYTES: usize = 256 << 10;
/// Bytes read first: most files are small, and need no room for more.
const FIRST_CHUNK_BYTES: usize = 16 << 10;

/// The digests of some bytes in both formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digests {
    /// SHA-256.
    pub sha256: [u8; 32],
    /// What BSD `sum` prints.
    pub sum: u16,
}

/// The running signature of one file in both formats: a package's reader meets the files before it
/// knows which format the orders speak.
#[derive(Clone, Debug, Default)]
pub struct BothHasher {
    sha256: Sha256,
    sum: Sum,
    /// Format 2.0 has no use for `sum`, which takes as long as SHA-256 does.
    without_sum: bool,
}

/// BSD `sum`, what `sum -r` prints first.
#[derive(Clone, Copy, Debug, Default)]
struct Sum(u16);

impl BothHasher {
    /// Returns the hasher before the first byte.
    pub fn new() -> BothHasher {
        BothHasher::default()
    }

    /// Returns the hasher of a file whose package may be known to speak `format` already; in 2.0
    /// `sum` is then 0.
    pub fn of(format: Option<Format>) -> BothHasher {
        BothHasher { without_sum: format == Some(Format::V2_0), ..BothHasher::default() }
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if !self.without_sum {
            self.sum.update(bytes);
        }
    }

    /// Returns the digests of all that was taken in.
    pub fn finish(self) -> Digests {
        Digests { sha256: self.sha256.finalize().into(), sum: self.sum.0 }
    }
}

/// Reads `reader` to its end and returns its signature and how many bytes it held; `executable`
/// counts in format 2.0 only.
///
/// # Errors
/// What the reader answers; the caller knows its path.
pub fn signature_of(
    format: Format,
    reader: impl Read,
    executable: bool,
) -> io::Result<(Signature, u64)> {
    match format {
        Format::V1_3 => {
            let mut sum = Sum::default();
            let bytes = each_chunk(reader, |chunk| sum.update(chunk))?;
            Ok((Signature::Sum(sum.0), bytes))
        }
        Format::V2_0 => {
            let (digest, bytes) = sha256_of(reader)?;
            Ok((Signature::Sha256 { digest, executable }, bytes))
        }
    }
}

/// Reads `reader` to its end and returns its digests in both formats.
///
/// # Errors
/// What the reader answers; the caller knows its path.
pub fn digests_of(reader: impl Read) -> io::Result<Digests> {
    let mut both = BothHasher::new();
    each_chunk(reader, |chunk| both.update(chunk))?;
    Ok(both.finish())
}

/// Reads `reader` to its end and returns its SHA-256 digest and how many bytes it held.
///
/// # Errors
/// What the reader answers; the caller knows its path.
pub fn sha256_of(reader: impl Read) -> io::Result<([u8; 32], u64)> {
    let mut sha256 = Sha256::new();
    let bytes = each_chunk(reader, |chunk| sha256.update(chunk))?;
    Ok((sha256.finalize().into(), bytes))
}

/// Returns the CRC-32 of `bytes`, that of gzip: against damage, not against anybody.
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Returns `bytes` as lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    let mut digits = vec![0; 2 * bytes.len()];
    for (pair, byte) in digits.as_chunks_mut().0.iter_mut().zip(bytes) {
        *pair = hex_pair(*byte);
    }
    String::from_utf8(digits).unwrap_or_default()
}

/// Returns the lower-case hex digits of `bytes`, one after the other.
pub fn hex_digits(bytes: &[u8]) -> impl Iterator<Item = u8> {
    bytes.iter().flat_map(|byte| hex_pair(*byte))
}

fn hex_pair(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)])
}

impl Sum {
    fn update(&mut self, bytes: &[u8]) {
        self.0 =
            bytes.iter().fold(self.0, |sum, byte| sum.rotate_right(1).wrapping_add((*byte).into()));
    }
}

fn each_chunk(mut reader: impl Read, mut take: impl FnMut(&[u8])) -> io::Result<u64> {
    let mut chunk = vec![0; FIRST_CHUNK_BYTES];
    let mut total = 0;
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => return Ok(total),
            Ok(n) => {
                take(&chunk[..n]);
                total += n as u64;
                if n == chunk.len() {
                    chunk.resize(CHUNK_BYTES, 0);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(format: Format, bytes: &[u8]) -> String {
        signature_of(format, bytes, false).unwrap().0.to_string()
    }

    #[test]
    fn sum_is_what_bsd_sum_prints() {
        for (bytes, sum) in [
            ("", "00000"),
            ("x\n", "00070"),
            ("one\n", "57445"),
            ("two\n", "49261"),
            ("three\n", "08302"),
            ("v1\n", "00064"),
            ("new\n", "32876"),
        ] {
            assert_eq!(signature(Format::V1_3, bytes.as_bytes()), sum, "{bytes:?}");
        }
    }

    #[test]
    fn sha256_is_what_sha256sum_prints() {
        for (bytes, digest) in [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ] {
            assert_eq!(signature(Format::V2_0, bytes.as_bytes()), digest, "{bytes:?}");
            assert_eq!(hex(&sha256_of(bytes.as_bytes()).unwrap().0), digest, "{bytes:?}");
        }
    }

    #[test]
    fn the_executable_bit_is_part_of_format_2_0_only() {
        let of = |format| signature_of(format, &b"abc"[..], true).unwrap().0.to_string();
        assert!(of(Format::V2_0).ends_with("adx"));
        assert_eq!(of(Format::V1_3), signature(Format::V1_3, b"abc"));
    }

    #[test]
    fn chunks_do_not_matter_and_both_is_both() {
        for size in [
            0,
            1,
            FIRST_CHUNK_BYTES - 1,
            FIRST_CHUNK_BYTES,
            FIRST_CHUNK_BYTES + 1,
            FIRST_CHUNK_BYTES + CHUNK_BYTES,
            3 * CHUNK_BYTES,
        ] {
            let bytes: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            let mut both = BothHasher::new();
            bytes.chunks(777).for_each(|chunk| both.update(chunk));
            let digests = both.finish();
            assert_eq!(digests_of(&bytes[..]).unwrap(), digests, "{size}");
            assert_eq!(digests.sha256, <[u8; 32]>::from(Sha256::digest(&bytes)), "{size}");
            assert_eq!(hex(&digests.sha256), signature(Format::V2_0, &bytes), "{size}");
            assert_eq!(format!("{:05}", digests.sum), signature(Format::V1_3, &bytes), "{size}");
            let (_, count) = signature_of(Format::V1_3, &bytes[..], false).unwrap();
            assert_eq!(count, size as u64);
        }
    }
}
