//! The checksum of `cksum`, which POSIX has on every system: to see whether a copy arrived whole.
//!
//! Not a signature: who wants to can make two files that have the same. Invariant: [`Cksum`] prints
//! what `cksum` prints for the same bytes (POSIX.1-2017, utilities, cksum).

/// The generating polynomial of ISO/IEC 8802-3 (Ethernet), highest power first.
const POLYNOMIAL: u32 = 0x04c1_1db7;
/// Bytes taken at once.
const SLICE: usize = 16;

/// A table for each place of a byte among those taken at once.
static TABLES: [[u32; 256]; SLICE] = tables();

/// A sum in the making.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cksum {
    crc: u32,
    bytes: u64,
}

impl Cksum {
    /// Takes in more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.wrapping_add(bytes.len() as u64);
        let mut crc = self.crc;
        let mut slices = bytes.chunks_exact(SLICE);
        for slice in &mut slices {
            let first = crc.to_be_bytes();
            let mut next = 0;
            for (at, (byte, table)) in slice.iter().zip(TABLES.iter().rev()).enumerate() {
                let folded = byte ^ first.get(at).copied().unwrap_or(0);
                next ^= table[usize::from(folded)];
            }
            crc = next;
        }
        self.crc = slices.remainder().iter().fold(crc, |crc, byte| step(crc, *byte));
    }

    /// Returns the sum of all bytes taken in.
    pub fn value(&self) -> u32 {
        let mut crc = self.crc;
        let mut length = self.bytes;
        while length > 0 {
            crc = step(crc, length.to_le_bytes()[0]);
            length >>= 8;
        }
        !crc
    }
}

fn step(crc: u32, byte: u8) -> u32 {
    let [top, ..] = crc.to_be_bytes();
    (crc << 8) ^ TABLES[0][usize::from(top ^ byte)]
}

const fn tables() -> [[u32; 256]; SLICE] {
    let mut tables = [[0; 256]; SLICE];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc << 1) ^ if crc >> 31 == 1 { POLYNOMIAL } else { 0 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut place = 1;
    while place < SLICE {
        let mut byte = 0;
        while byte < 256 {
            let crc = tables[place - 1][byte];
            tables[place][byte] = (crc << 8) ^ tables[0][(crc >> 24) as usize];
            byte += 1;
        }
        place += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> u32 {
        let mut sum = Cksum::default();
        sum.update(bytes);
        sum.value()
    }

    #[test]
    fn sums_are_those_of_the_program() {
        // As GNU cksum prints them.
        for (text, sum) in [
            ("", 4_294_967_295),
            ("a", 1_220_704_766),
            ("123456789", 930_766_865),
            ("The quick brown fox jumps over the lazy dog\n", 2_382_472_371),
        ] {
            assert_eq!(of(text.as_bytes()), sum, "{text:?}");
        }
    }

    #[test]
    fn pieces_sum_up_to_the_whole() {
        let bytes: Vec<u8> = (0..1_000_u32).map(|n| (n * 7 + n / 9) as u8).collect();
        for cut in [0, 1, 15, 16, 17, 500, 999, 1_000] {
            let mut sum = Cksum::default();
            sum.update(&bytes[..cut]);
            sum.update(&bytes[cut..]);
            assert_eq!(sum.value(), of(&bytes), "{cut}");
        }
    }
}
