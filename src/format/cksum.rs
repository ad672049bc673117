//! The checksum of `cksum`, which POSIX has on every system: to see whether a copy arrived whole.
//!
//! Not a signature: who wants to can make two files that have the same. Invariant: [`Cksum`] prints
//! what `cksum` prints for the same bytes (POSIX.1-2017, utilities, cksum).

use crc32fast::Hasher;

/// Bytes turned round at a time.
const CHUNK_BYTES: usize = 4 << 10;

/// A sum in the making.
///
/// It is the CRC of zlib and Ethernet with the bits of every byte, and of the sum, the other way
/// round; so the one that processors have help for does.
#[derive(Clone, Debug)]
pub struct Cksum {
    crc: Hasher,
    bytes: u64,
}

impl Default for Cksum {
    fn default() -> Cksum {
        // Its beginning is zero, where that of the other is all ones.
        Cksum { crc: Hasher::new_with_initial(u32::MAX), bytes: 0 }
    }
}

impl Cksum {
    /// Returns the sum of these bytes.
    pub fn of(bytes: &[u8]) -> u32 {
        let mut sum = Cksum::default();
        sum.update(bytes);
        sum.value()
    }

    /// Takes in more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.wrapping_add(bytes.len() as u64);
        let mut turned = [0; CHUNK_BYTES];
        for chunk in bytes.chunks(CHUNK_BYTES) {
            turned.iter_mut().zip(chunk).for_each(|(to, from)| *to = from.reverse_bits());
            self.crc.update(turned.get(..chunk.len()).unwrap_or_default());
        }
    }

    /// Returns the sum of all bytes taken in.
    pub fn value(&self) -> u32 {
        let mut crc = self.crc.clone();
        let mut length = self.bytes;
        while length > 0 {
            crc.update(&[length.to_le_bytes()[0].reverse_bits()]);
            length >>= 8;
        }
        crc.finalize().reverse_bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_program() {
        // As GNU cksum prints them.
        for (text, sum) in [
            ("", 4_294_967_295),
            ("a", 1_220_704_766),
            ("a\n", 2_418_082_923),
            ("123456789", 930_766_865),
            ("The quick brown fox jumps over the lazy dog\n", 2_382_472_371),
        ] {
            assert_eq!(Cksum::of(text.as_bytes()), sum, "{text:?}");
        }
    }

    #[test]
    fn pieces_sum_up_to_the_whole() {
        let bytes: Vec<u8> = (0..1_000_u32).map(|n| (n * 7 + n / 9) as u8).collect();
        for cut in [0, 1, 15, 16, 17, 500, 999, 1_000] {
            let mut sum = Cksum::default();
            sum.update(&bytes[..cut]);
            sum.update(&bytes[cut..]);
            assert_eq!(sum.value(), Cksum::of(&bytes), "{cut}");
        }
    }
}
