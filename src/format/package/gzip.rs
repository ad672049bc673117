//! gzip on all processors: one member, of blocks that are packed each by itself.
//!
//! Not another format: any gunzip reads it, and it is the same bytes whatever the number of
//! processors and however fast each is. Invariant: where a block ends depends on what was written
//! and flushed only, and a block leaves when the [`AHEAD_BLOCKS`]th after it is begun, not when it
//! happens to be ready: so [`Gzip::packed_bytes`] tells the same on every run.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use flate2::{Compress, Compression, FlushCompress, Status};

use super::super::counted::Counted;

/// Bytes that are packed at once: what no block can refer to before it costs 1 % of the package.
const BLOCK_BYTES: usize = 1 << 19;
/// Blocks that are packed while another is filled: this bounds the memory.
const AHEAD_BLOCKS: usize = 3;
/// Threads that pack.
const THREADS_MAX: usize = 4;
/// Bytes of a block by which it is seen whether packing saves anything.
const SAMPLE_BYTES: usize = 32 << 10;
/// gzip's "unknown" operating system.
const OS_UNKNOWN: u8 = 255;

/// What packs, on its way to `W`.
pub(super) struct Gzip<W: Write> {
    to: Counted<W>,
    level: Compression,
    block: Vec<u8>,
    crc: crc32fast::Hasher,
    bytes: u64,
    /// Blocks that are being packed, in their order.
    ahead: VecDeque<Receiver<io::Result<Vec<u8>>>>,
    /// `None` before the second block: a small package is packed here.
    jobs: Option<Sender<Job>>,
    has_head: bool,
}

struct Job {
    block: Vec<u8>,
    packed: SyncSender<io::Result<Vec<u8>>>,
}

/// How a block ends.
#[derive(Clone, Copy)]
enum End {
    More,
    Last,
}

impl<W: Write> Gzip<W> {
    pub fn new(to: W, level: Compression) -> Gzip<W> {
        Gzip {
            to: Counted::new(to),
            level,
            block: Vec::new(),
            crc: crc32fast::Hasher::new(),
            bytes: 0,
            ahead: VecDeque::new(),
            jobs: None,
            has_head: false,
        }
    }

    /// Returns how many bytes have left.
    pub fn packed_bytes(&self) -> u64 {
        self.to.bytes
    }

    /// Writes the end and returns the destination.
    pub fn finish(mut self) -> io::Result<Counted<W>> {
        self.drain(0)?;
        self.head()?;
        let last =
            packed(&mut Compress::new(self.level, false), &self.block, self.level, End::Last)?;
        self.to.write_all(&last)?;
        self.to.write_all(&self.crc.finalize().to_le_bytes())?;
        // The length modulo 2^32, RFC 1952 section 2.3.1.
        let length = u32::try_from(self.bytes & u64::from(u32::MAX)).unwrap_or(0);
        self.to.write_all(&length.to_le_bytes())?;
        Ok(self.to)
    }

    fn head(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.has_head, true) {
            return Ok(());
        }
        // No name, no time: RFC 1952 section 2.3.
        self.to.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, OS_UNKNOWN])
    }

    /// Has the block packed that was filled.
    fn submit(&mut self) -> io::Result<()> {
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK_BYTES));
        let (packed, receiver) = sync_channel(1);
        let level = self.level;
        let jobs = self.jobs.get_or_insert_with(|| start(level));
        let job = Job { block, packed };
        jobs.send(job).map_err(|_| io::Error::other("the threads that pack broke off"))?;
        self.ahead.push_back(receiver);
        self.drain(AHEAD_BLOCKS)
    }

    /// Writes packed blocks until at most so many are left.
    fn drain(&mut self, left: usize) -> io::Result<()> {
        while self.ahead.len() > left {
            let Some(receiver) = self.ahead.pop_front() else { return Ok(()) };
            let broken = |_| io::Error::other("a thread that packs broke off");
            let bytes = receiver.recv().map_err(broken)??;
            self.head()?;
            self.to.write_all(&bytes)?;
        }
        Ok(())
    }
}

impl<W: Write> Write for Gzip<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The last block stays here, however full: it ends otherwise.
        if self.block.len() >= BLOCK_BYTES {
            self.submit()?;
        }
        let room = BLOCK_BYTES.saturating_sub(self.block.len());
        let taken = bytes.get(..bytes.len().min(room)).unwrap_or_default();
        self.block.extend_from_slice(taken);
        self.crc.update(taken);
        self.bytes += taken.len() as u64;
        Ok(taken.len())
    }

    /// Ends the block: all that was written leaves.
    fn flush(&mut self) -> io::Result<()> {
        if !self.block.is_empty() {
            self.submit()?;
        }
        self.drain(0)
    }
}

/// Starts the threads; they end with the sender.
fn start(level: Compression) -> Sender<Job> {
    let (sender, receiver) = channel::<Job>();
    let receiver = Arc::new(Mutex::new(receiver));
    let threads = thread::available_parallelism().map_or(1, |n| n.get().min(THREADS_MAX));
    for _ in 0..threads {
        let receiver = Arc::clone(&receiver);
        thread::spawn(move || {
            let mut packer = Compress::new(level, false);
            loop {
                let job = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok(Job { block, packed: to }) = job else { return };
                // Whoever waits for it may have given up.
                let _ = to.send(packed(&mut packer, &block, level, End::More));
            }
        });
    }
    sender
}

/// Returns a block, packed by itself; what saves nothing is only stored.
fn packed(
    packer: &mut Compress,
    block: &[u8],
    level: Compression,
    end: End,
) -> io::Result<Vec<u8>> {
    let sample = block.get(..SAMPLE_BYTES).filter(|_| level != Compression::none());
    let is_dense = match sample {
        Some(sample) => {
            let fast = deflated(&mut Compress::new(Compression::fast(), false), sample, End::Last)?;
            fast.len() > SAMPLE_BYTES / 64 * 63
        }
        None => false,
    };
    if is_dense {
        return deflated(&mut Compress::new(Compression::none(), false), block, end);
    }
    packer.reset();
    deflated(packer, block, end)
}

fn deflated(packer: &mut Compress, block: &[u8], end: End) -> io::Result<Vec<u8>> {
    // Where nothing is saved, five bytes are added to each 64 KiB at most: RFC 1951 section 3.2.4.
    let mut out = Vec::with_capacity(block.len() + block.len() / 1024 + 1024);
    let flush = match end {
        End::More => FlushCompress::Sync,
        End::Last => FlushCompress::Finish,
    };
    loop {
        let at = usize::try_from(packer.total_in()).unwrap_or(usize::MAX);
        let rest = block.get(at..).unwrap_or_default();
        let status = packer.compress_vec(rest, &mut out, flush).map_err(io::Error::other)?;
        let is_whole = packer.total_in() == block.len() as u64;
        match (end, status) {
            (End::Last, Status::StreamEnd) => return Ok(out),
            // Room was left: nothing waits in the packer any more.
            (End::More, _) if is_whole && out.len() < out.capacity() => return Ok(out),
            _ => out.reserve(block.len() / 4 + 1024),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    use flate2::read::GzDecoder;

    /// So many bytes of text, and then so many of noise.
    fn bytes(text: usize, noise: usize) -> Vec<u8> {
        let mut seed = 1994_u64;
        let mut next = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed.to_be_bytes()[3]
        };
        let words = b"some words of text, again and again ";
        let mut bytes: Vec<u8> = (0..text).map(|n| words[n % words.len()]).collect();
        bytes.extend((0..noise).map(|_| next()));
        bytes
    }

    fn gzipped(bytes: &[u8], level: u32, cuts: usize) -> Vec<u8> {
        let mut gzip = Gzip::new(Vec::new(), Compression::new(level));
        for chunk in bytes.chunks(cuts) {
            gzip.write_all(chunk).unwrap();
        }
        gzip.finish().unwrap().to
    }

    #[test]
    fn any_gunzip_reads_it_and_it_is_the_same_each_time() {
        const B: usize = BLOCK_BYTES;
        for (text, noise) in
            [(0, 0), (1, 0), (B, 0), (B + 1, 0), (2 * B, 0), (9 * B, 7), (B, 2 * B), (100, B / 2)]
        {
            let bytes = bytes(text, noise);
            for level in [0, 6] {
                let packed = gzipped(&bytes, level, 64 << 10);
                let mut read = Vec::new();
                let mut decoder = GzDecoder::new(&*packed);
                decoder.read_to_end(&mut read).unwrap();
                assert!(read == bytes, "{text} {noise} {level}");
                assert!(decoder.into_inner().is_empty(), "one member");
                assert!(packed == gzipped(&bytes, level, 1000), "however it is written");
                assert!(packed.len() < bytes.len() + bytes.len() / 1000 + 64);
            }
        }
    }

    #[test]
    fn what_is_flushed_has_left() {
        let mut gzip = Gzip::new(Vec::new(), Compression::new(6));
        gzip.write_all(b"text").unwrap();
        assert_eq!(gzip.packed_bytes(), 0);
        gzip.flush().unwrap();
        assert!(gzip.packed_bytes() > 10);
        gzip.flush().unwrap();
        gzip.write_all(b" and more").unwrap();
        let mut read = String::new();
        let packed = gzip.finish().unwrap().to;
        GzDecoder::new(&*packed).read_to_string(&mut read).unwrap();
        assert_eq!(read, "text and more");
    }
}
