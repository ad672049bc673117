//! gzip (RFC 1952), streamed and strict: several members, zero padding after the last one, and
//! nothing else.
//!
//! The frame is read here and not by a crate's decoder: that stops silently after one member, or
//! refuses the zeros that tapes and block-wise copies leave behind. Invariant: no byte past the
//! bound on packed bytes is used, and the end is reported only after CRC-32 and length agreed.

use std::io::{self, BufRead, BufReader, Read};

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::{Bound, PackageFault};

const CHUNK_BYTES: usize = 64 << 10;
/// Bytes of one gzip header: a name and a comment are a line of text each.
const HEADER_BYTES_MAX: u32 = 128 << 10;

const FLAG_HEADER_CRC: u8 = 2;
const FLAG_EXTRA: u8 = 4;
const FLAG_NAME: u8 = 8;
const FLAG_COMMENT: u8 = 16;
const FLAGS_RESERVED: u8 = 0xe0;

/// The bytes that a gzip stream holds.
pub(super) struct Gunzip<R> {
    source: Source<R>,
    inflate: Decompress,
    crc: Crc,
    stage: Stage,
}

/// The packed bytes, counted and bounded.
struct Source<R> {
    reader: BufReader<R>,
    consumed: u64,
    bytes_max: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Start,
    Header,
    Body,
    Trailer,
    Between,
    End,
}

impl<R: Read> Gunzip<R> {
    /// Returns the bytes in `reader`, of which at most `packed_bytes_max` are used.
    pub(super) fn new(reader: R, packed_bytes_max: u64) -> Gunzip<R> {
        Gunzip {
            source: Source {
                reader: BufReader::with_capacity(CHUNK_BYTES, reader),
                consumed: 0,
                bytes_max: packed_bytes_max,
            },
            inflate: Decompress::new(false),
            crc: Crc::new(),
            stage: Stage::Start,
        }
    }

    /// Returns how many packed bytes were used so far.
    pub(super) fn packed_bytes(&self) -> u64 {
        self.source.consumed
    }

    /// Fills the beginning of `out`, which is not empty, and returns how much; 0 is the sound end.
    pub(super) fn read(&mut self, out: &mut [u8]) -> Result<usize, PackageFault> {
        loop {
            self.stage = match self.stage {
                Stage::Start if self.source.fill()?.is_empty() => {
                    return Err(PackageFault::NotAPackage("it is empty".into()));
                }
                Stage::Start | Stage::Header => {
                    self.header(self.stage)?;
                    Stage::Body
                }
                Stage::Body => {
                    let n = self.body(out)?;
                    if n > 0 {
                        return Ok(n);
                    }
                    self.stage
                }
                Stage::Trailer => {
                    self.trailer()?;
                    Stage::Between
                }
                Stage::Between => self.source.between()?,
                Stage::End => return Ok(0),
            };
        }
    }

    fn header(&mut self, stage: Stage) -> Result<(), PackageFault> {
        let mut crc = Crc::new();
        let mut start = [0; 10];
        for byte in &mut start {
            *byte = self.source.header_byte(&mut crc)?;
        }
        let [magic_1, magic_2, method, flags, ..] = start;
        if (magic_1, magic_2) != (0x1f, 0x8b) {
            let why = "it is not compressed with gzip";
            return Err(match stage {
                Stage::Start => PackageFault::NotAPackage(why.into()),
                _ => PackageFault::refused("what follows the gzip stream is no gzip stream"),
            });
        }
        if method != 8 || flags & FLAGS_RESERVED != 0 {
            return Err(damaged("its header is unknown"));
        }
        self.optional_header(flags, &mut crc)?;
        self.inflate.reset(false);
        self.crc.reset();
        Ok(())
    }

    fn optional_header(&mut self, flags: u8, crc: &mut Crc) -> Result<(), PackageFault> {
        if flags & FLAG_EXTRA != 0 {
            let low = self.source.header_byte(crc)?;
            let high = self.source.header_byte(crc)?;
            for _ in 0..u16::from_le_bytes([low, high]) {
                self.source.header_byte(crc)?;
            }
        }
        for flag in [FLAG_NAME, FLAG_COMMENT] {
            while flags & flag != 0 && self.source.header_byte(crc)? != 0 {
                if crc.amount() > HEADER_BYTES_MAX {
                    return Err(damaged("its header has no end"));
                }
            }
        }
        if flags & FLAG_HEADER_CRC != 0 {
            let expected = (crc.sum() & 0xffff) as u16;
            let low = self.source.header_byte(crc)?;
            let high = self.source.header_byte(crc)?;
            if u16::from_le_bytes([low, high]) != expected {
                return Err(damaged("the checksum of its header is wrong"));
            }
        }
        Ok(())
    }

    fn body(&mut self, out: &mut [u8]) -> Result<usize, PackageFault> {
        let input = self.source.fill()?;
        let at_end = input.is_empty();
        let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self
            .inflate
            .decompress(input, out, FlushDecompress::None)
            .map_err(|_| damaged("its bytes make no sense"))?;
        let used = usize::try_from(self.inflate.total_in() - before_in).unwrap_or(usize::MAX);
        let n = usize::try_from(self.inflate.total_out() - before_out).unwrap_or(usize::MAX);
        self.source.consume(used)?;
        self.crc.update(out.get(..n).unwrap_or_default());
        match status {
            Status::StreamEnd => self.stage = Stage::Trailer,
            _ if n == 0 && at_end => return Err(damaged("it ends too early")),
            _ if n == 0 && used == 0 => return Err(damaged("its bytes make no sense")),
            _ => {}
        }
        Ok(n)
    }

    fn trailer(&mut self) -> Result<(), PackageFault> {
        let mut trailer = [0; 8];
        for byte in &mut trailer {
            *byte = self.source.byte()?;
        }
        let [a, b, c, d, e, f, g, h] = trailer;
        if u32::from_le_bytes([a, b, c, d]) != self.crc.sum() {
            return Err(damaged("its checksum is wrong"));
        }
        if u32::from_le_bytes([e, f, g, h]) != self.crc.amount() {
            return Err(damaged("its length is wrong"));
        }
        Ok(())
    }
}

impl<R: Read> Source<R> {
    fn fill(&mut self) -> Result<&[u8], PackageFault> {
        loop {
            match self.reader.fill_buf() {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(PackageFault::Io(error)),
            }
        }
        Ok(self.reader.buffer())
    }

    fn consume(&mut self, n: usize) -> Result<(), PackageFault> {
        self.reader.consume(n);
        self.consumed += n as u64;
        if self.consumed > self.bytes_max {
            return Err(PackageFault::Bound { bound: Bound::PackedBytes, max: self.bytes_max });
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, PackageFault> {
        let byte = *self.fill()?.first().ok_or_else(|| damaged("it ends too early"))?;
        self.consume(1)?;
        Ok(byte)
    }

    fn header_byte(&mut self, crc: &mut Crc) -> Result<u8, PackageFault> {
        let byte = self.byte()?;
        crc.update(&[byte]);
        Ok(byte)
    }

    /// Looks at what follows a member: nothing, another member, or zeros to the end.
    fn between(&mut self) -> Result<Stage, PackageFault> {
        match self.fill()?.first() {
            None => return Ok(Stage::End),
            Some(0) => {}
            Some(_) => return Ok(Stage::Header),
        }
        loop {
            let padding = self.fill()?;
            if padding.is_empty() {
                return Ok(Stage::End);
            }
            if padding.iter().any(|byte| *byte != 0) {
                return Err(PackageFault::refused("something follows the gzip stream"));
            }
            let n = padding.len();
            self.consume(n)?;
        }
    }
}

fn damaged(how: &str) -> PackageFault {
    PackageFault::Refused(format!("the gzip stream is damaged: {how}"))
}
