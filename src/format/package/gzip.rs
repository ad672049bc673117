//! gzip on all processors: one member, of blocks each of which is packed by itself.
//!
//! Not another format: any gunzip reads it. A block begins with what precedes it as its dictionary,
//! so that little is lost by the cut. Invariant: what is written depends on the bytes put in only, not
//! on how they are handed over, nor on the number of processors and how fast each of them is.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use flate2::{Compress, Compression, FlushCompress};

use super::super::counted::Counted;
use super::{Level, Limits};

/// Bytes that are packed at once.
const BLOCK_BYTES: usize = 128 << 10;
/// How far back deflate refers: RFC 1951, section 2.
const WINDOW_BYTES: usize = 32 << 10;
/// Bytes that are packed before other threads are asked for help: most packages are small.
const ALONE_BYTES: u64 = 1 << 20;
/// Threads that help.
const THREADS_MAX: usize = 4;
/// Blocks that are packed while the next one is filled: this bounds the memory.
const AHEAD_BLOCKS: usize = 4;
/// Bytes of a stored block: RFC 1951, section 3.2.4.
const STORED_BYTES_MAX: usize = 65_535;
/// Bytes before each of them.
const STORED_HEAD_BYTES: usize = 5;
/// No name, no time, of an unknown system: RFC 1952, section 2.3.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// What packs, on its way to `W`.
pub(super) struct Gzip<W: Write> {
    to: Counted<W>,
    limits: Limits,
    level: Level,
    /// The one that is filled.
    block: Block,
    /// Those that are being packed, in their order.
    ahead: VecDeque<Receiver<io::Result<Block>>>,
    spare: Vec<Block>,
    /// Who helps; asked for when there is much to do.
    help: OnceCell<Option<Sender<Job>>>,
    crc: crc32fast::Hasher,
    bytes: u64,
    left_bytes: u64,
    keeps_ratio: bool,
}

/// A piece of the stream.
#[derive(Default)]
struct Block {
    /// What precedes it, and then what is in it.
    bytes: Vec<u8>,
    /// Bytes of what precedes it.
    window: usize,
    is_last: bool,
    packed: Vec<u8>,
}

struct Job {
    block: Block,
    done: SyncSender<io::Result<Block>>,
}

impl<W: Write> Gzip<W> {
    /// Returns the packer of nothing yet, for receivers with these bounds.
    pub(super) fn new(to: W, level: Level, limits: Limits) -> Gzip<W> {
        Gzip {
            to: Counted::new(to),
            limits,
            level,
            block: Block::default(),
            ahead: VecDeque::new(),
            spare: Vec::new(),
            help: OnceCell::new(),
            crc: crc32fast::Hasher::new(),
            bytes: 0,
            left_bytes: 0,
            keeps_ratio: true,
        }
    }

    /// Packs the next bytes.
    ///
    /// # Errors
    /// What the destination answers.
    pub(super) fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.crc.update(bytes);
        while !bytes.is_empty() {
            // A full one waits for what follows: the last ends otherwise.
            if self.block.room() == 0 {
                self.submit()?;
            }
            let rest = self.block.take(bytes);
            self.bytes += (bytes.len() - rest.len()) as u64;
            bytes = rest;
        }
        Ok(())
    }

    /// Returns how many bytes were put in.
    pub(super) fn unpacked_bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns how many bytes have left; more are being packed.
    pub(super) fn packed_bytes(&self) -> u64 {
        self.to.bytes
    }

    /// Writes the end, and returns the destination and whether a receiver, who compares at every
    /// point, finds the ratio kept.
    ///
    /// # Errors
    /// What the destination answers.
    pub(super) fn finish(mut self) -> io::Result<(Counted<W>, bool)> {
        self.block.is_last = true;
        self.submit()?;
        self.drain(0)?;
        self.to.write_all(&self.crc.finalize().to_le_bytes())?;
        // The length modulo 2^32: RFC 1952, section 2.3.1.
        let length = u32::try_from(self.bytes & u64::from(u32::MAX)).unwrap_or(0);
        self.to.write_all(&length.to_le_bytes())?;
        Ok((self.to, self.keeps_ratio))
    }

    /// Has the block packed that was filled, and begins the next.
    fn submit(&mut self) -> io::Result<()> {
        let mut next = self.spare.pop().unwrap_or_default();
        next.follow(&self.block);
        let mut block = std::mem::replace(&mut self.block, next);
        let is_much = self.bytes > ALONE_BYTES && self.level == Level::Usual;
        let help = is_much.then(|| self.help.get_or_init(find_help).as_ref()).flatten();
        let Some(jobs) = help else {
            pack(self.level, &mut block)?;
            return self.leave(block);
        };
        let (done, receiver) = sync_channel(1);
        jobs.send(Job { block, done }).map_err(|_| broke_off())?;
        self.ahead.push_back(receiver);
        self.drain(AHEAD_BLOCKS)
    }

    /// Writes packed blocks until at most so many are still being packed.
    fn drain(&mut self, ahead: usize) -> io::Result<()> {
        while self.ahead.len() > ahead {
            let Some(receiver) = self.ahead.pop_front() else { return Ok(()) };
            let block = receiver.recv().map_err(|_| broke_off())??;
            self.leave(block)?;
        }
        Ok(())
    }

    /// Writes a packed block. Who is about to read it has read all before it, and no more.
    fn leave(&mut self, block: Block) -> io::Result<()> {
        let Limits { ratio, ratio_free_bytes, .. } = self.limits;
        self.left_bytes += block.own().len() as u64;
        let is_fair = self.left_bytes <= self.to.bytes.saturating_mul(ratio);
        self.keeps_ratio &= is_fair || self.left_bytes <= ratio_free_bytes;
        if self.to.bytes == 0 {
            self.to.write_all(&HEAD)?;
        }
        self.to.write_all(&block.packed)?;
        self.spare.push(block);
        Ok(())
    }
}

impl Block {
    fn own(&self) -> &[u8] {
        self.bytes.get(self.window..).unwrap_or_default()
    }

    fn room(&self) -> usize {
        BLOCK_BYTES.saturating_sub(self.own().len())
    }

    /// Takes in what it has room for, and returns the rest.
    fn take<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let (taken, rest) = bytes.split_at(bytes.len().min(self.room()));
        self.bytes.extend_from_slice(taken);
        rest
    }

    /// Becomes an empty one after `before`.
    fn follow(&mut self, before: &Block) {
        let start = before.bytes.len().saturating_sub(WINDOW_BYTES);
        let window = before.bytes.get(start..).unwrap_or_default();
        self.bytes.clear();
        self.bytes.reserve_exact(WINDOW_BYTES + BLOCK_BYTES);
        self.bytes.extend_from_slice(window);
        self.window = window.len();
        self.is_last = false;
    }
}

/// Packs a block; what gains nothing by it is stored, and what looks like that not even tried.
fn pack(level: Level, block: &mut Block) -> io::Result<()> {
    let Block { bytes, window, is_last, packed } = block;
    let (window, own) = bytes.split_at_checked(*window).unwrap_or_default();
    packed.clear();
    if level == Level::Stored || looks_like_noise(bytes) {
        store(own, *is_last, packed);
        return Ok(());
    }
    // A fresh one: what was packed with it before shows in what one that was reset comes to.
    let mut deflate = Compress::new(Compression::new(6), false);
    if !window.is_empty() {
        deflate.set_dictionary(window).map_err(io::Error::other)?;
    }
    // Room for what it is stored in, for the mark of a flush, and for a little more to see that.
    let stored_bytes = own.len() + STORED_HEAD_BYTES * own.len().div_ceil(STORED_BYTES_MAX);
    packed.reserve_exact(stored_bytes + 2 * STORED_HEAD_BYTES);
    let flush = if *is_last { FlushCompress::Finish } else { FlushCompress::Sync };
    deflate.compress_vec(own, packed, flush).map_err(io::Error::other)?;
    if packed.len() > stored_bytes + STORED_HEAD_BYTES {
        packed.clear();
        store(own, *is_last, packed);
    }
    Ok(())
}

/// Starts the threads that help, which end with the sender; `None` where none may be started.
fn find_help() -> Option<Sender<Job>> {
    let (sender, receiver) = channel::<Job>();
    let receiver = Arc::new(Mutex::new(receiver));
    let threads = thread::available_parallelism().map_or(1, |n| n.get().min(THREADS_MAX));
    let started = (0..threads).map_while(|_| {
        let receiver = Arc::clone(&receiver);
        let help = move || {
            loop {
                let job = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok(Job { mut block, done }) = job else { return };
                let packed = pack(Level::Usual, &mut block).map(|()| block);
                // Whoever waits for it may have given up.
                let _ = done.send(packed);
            }
        };
        thread::Builder::new().name("packer".to_owned()).spawn(help).ok()
    });
    (started.count() > 0).then_some(sender)
}

fn broke_off() -> io::Error {
    io::Error::other("a thread that packs broke off")
}

/// Writes stored blocks: RFC 1951, section 3.2.4. What precedes ends with a whole byte.
fn store(own: &[u8], is_last: bool, packed: &mut Vec<u8>) {
    let mut rest = own;
    loop {
        let (piece, after) = rest.split_at(rest.len().min(STORED_BYTES_MAX));
        rest = after;
        let length = u16::try_from(piece.len()).unwrap_or_default();
        packed.push(u8::from(is_last && rest.is_empty()));
        packed.extend_from_slice(&length.to_le_bytes());
        packed.extend_from_slice(&(!length).to_le_bytes());
        packed.extend_from_slice(piece);
        if rest.is_empty() {
            return;
        }
    }
}

/// Whether `bytes`, a block and what precedes it, are of the kind that packing does not make smaller:
/// in no part of it is any byte more frequent than others, and nothing is in it twice.
fn looks_like_noise(bytes: &[u8]) -> bool {
    const PIECE_BYTES: usize = 4 << 10;
    let mut pieces = bytes.chunks_exact(PIECE_BYTES).peekable();
    pieces.peek().is_some() && pieces.all(is_even) && !repeats(bytes)
}

/// Whether all bytes are about as frequent: of noise, the sum of the squares of how often each is
/// there is `n² / 256 + n`. Of photographs and of what is packed already, all parts are hardly ever
/// within a quarter of that where 1 % could be saved.
fn is_even(bytes: &[u8]) -> bool {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let squares: u64 = counts.iter().map(|count| u64::from(*count).pow(2)).sum();
    let n = bytes.len() as u64;
    let of_noise = n * n / 256 + n;
    squares <= of_noise + of_noise / 4
}

/// Whether what is in `bytes` is in it again, as far as one of sixteen places tells, chosen by the
/// bytes there: more than one of 64 of them, or too few, as nothing but an order of its own makes.
fn repeats(bytes: &[u8]) -> bool {
    const SLOTS_BITS: u32 = 12;
    let mut seen = [0_u32; 1 << SLOTS_BITS];
    let (mut places, mut again) = (0_u64, 0_u64);
    for word in bytes.windows(4) {
        let Ok(word) = word.try_into().map(u32::from_le_bytes) else { continue };
        // Fibonacci hashing: the upper bits are mixed well.
        let hash = word.wrapping_mul(0x9e37_79b1);
        if hash >> 28 != 0 {
            continue;
        }
        let at = usize::try_from(hash << 4 >> (32 - SLOTS_BITS)).unwrap_or_default();
        let Some(slot) = seen.get_mut(at) else { continue };
        places += 1;
        again += u64::from(std::mem::replace(slot, word) == word);
    }
    again > places / 64 || places < bytes.len() as u64 / 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    use flate2::read::GzDecoder;

    const B: usize = BLOCK_BYTES;

    fn noise(seed: u64, bytes: usize) -> Vec<u8> {
        let mut seed = seed;
        let mut next = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed.to_be_bytes()[3]
        };
        (0..bytes).map(|_| next()).collect()
    }

    fn text(bytes: usize) -> Vec<u8> {
        let words: Vec<String> = (0..500).map(|n| format!("{:x}", n * n * 7_919)).collect();
        let order = noise(7, bytes);
        let text = order.chunks(2).flat_map(|two| {
            let at = (usize::from(two[0]) * 256 + usize::from(two[two.len() - 1])) % words.len();
            words[at].bytes().chain(*b" ")
        });
        text.take(bytes).collect()
    }

    fn gzipped(bytes: &[u8], level: Level, cuts: usize) -> Vec<u8> {
        let mut gzip = Gzip::new(Vec::new(), level, Limits::default());
        for chunk in bytes.chunks(cuts) {
            gzip.put(chunk).unwrap();
        }
        gzip.finish().unwrap().0.to
    }

    fn unpacked(packed: &[u8]) -> Vec<u8> {
        let mut read = Vec::new();
        let mut decoder = GzDecoder::new(packed);
        decoder.read_to_end(&mut read).unwrap();
        assert!(decoder.into_inner().is_empty(), "one member");
        read
    }

    #[test]
    fn any_gunzip_reads_it_and_it_is_the_same_however_it_is_written() {
        const MANY: usize = 20 * B + 77;
        for (name, bytes) in [
            ("nothing", Vec::new()),
            ("a byte", b"x".to_vec()),
            ("a block less one", text(B - 1)),
            ("a block", text(B)),
            ("a block and one", text(B + 1)),
            ("a block of noise", noise(1, B)),
            ("what is packed alone", text(8 * B)),
            ("one more", text(8 * B + 1)),
            ("text", text(MANY)),
            ("noise", noise(1, MANY)),
            ("both", [text(9 * B + 5), noise(1, 5 * B), text(9 * B)].concat()),
            ("zeros", vec![0; MANY]),
        ] {
            for level in [Level::Usual, Level::Stored] {
                let packed = gzipped(&bytes, level, 64 << 10);
                assert!(unpacked(&packed) == bytes, "{name} {level:?}");
                for cuts in [1_000, MANY] {
                    assert!(packed == gzipped(&bytes, level, cuts), "{name} {level:?} by {cuts}");
                }
                let stored = bytes.len() + 3 * STORED_HEAD_BYTES * (bytes.len() / B + 1);
                assert!(packed.len() <= stored + HEAD.len() + 8, "{name}: {}", packed.len());
            }
        }
    }

    #[test]
    fn without_help_it_is_the_same() {
        let bytes = text(20 * B);
        let mut alone = Gzip::new(Vec::new(), Level::Usual, Limits::default());
        alone.help.set(None).unwrap_or_default();
        alone.put(&bytes).unwrap();
        assert!(alone.ahead.is_empty());
        assert!(alone.finish().unwrap().0.to == gzipped(&bytes, Level::Usual, B));
    }

    #[test]
    fn few_blocks_are_held() {
        let mut gzip = Gzip::new(Vec::new(), Level::Usual, Limits::default());
        for block in text(40 * B).chunks(B) {
            gzip.put(block).unwrap();
            assert!(gzip.ahead.len() <= AHEAD_BLOCKS);
            assert!(gzip.ahead.len() + gzip.spare.len() <= AHEAD_BLOCKS + 1);
        }
        assert!(gzip.packed_bytes() > 0);
    }

    #[test]
    fn cutting_costs_little() {
        let bytes = text(16 * B);
        let mut whole = flate2::write::GzEncoder::new(Vec::new(), Compression::new(6));
        whole.write_all(&bytes).unwrap();
        let whole = whole.finish().unwrap().len();
        let ours = gzipped(&bytes, Level::Usual, B).len();
        assert!(ours < whole + whole / 100, "{ours}, as one {whole}");
    }

    #[test]
    fn only_noise_looks_like_it() {
        let counting: Vec<u8> = (0..B).map(|n| (n % 256).to_le_bytes()[0]).collect();
        let numbers: Vec<u8> = (0_u32..20_000).flat_map(|n| (n * 7).to_le_bytes()).collect();
        let again = |bytes: usize| noise(3, bytes).repeat(B / bytes);
        let prose = [include_str!("archive.rs"), include_str!("gzip.rs")].concat();
        for (name, bytes, expected) in [
            ("noise", noise(1, B), true),
            ("little of it", noise(1, 4 << 10), true),
            ("too little of it", noise(1, (4 << 10) - 1), false),
            ("nothing", Vec::new(), false),
            ("text", text(B), false),
            ("zeros", vec![0; B], false),
            ("every byte, in a row", counting, false),
            ("numbers", numbers, false),
            ("the same 100 bytes", again(100), false),
            ("the same 30,000 bytes", again(30_000), false),
            ("text first", [text(8 << 10), noise(1, B)].concat(), false),
            ("text last", [noise(1, B), text(8 << 10)].concat(), false),
            ("prose", prose.clone().into_bytes(), false),
            ("what is packed", gzipped(prose.as_bytes(), Level::Usual, B), true),
        ] {
            assert_eq!(looks_like_noise(&bytes), expected, "{name}");
        }
    }

    #[test]
    fn what_follows_noise_is_packed() {
        let [noisy, plain] = [noise(1, 8 * B), text(8 * B)];
        let packed = gzipped(&plain, Level::Usual, B).len();
        let both = gzipped(&[noisy.as_slice(), &plain].concat(), Level::Usual, B).len();
        assert!(both < noisy.len() + packed + packed / 100, "{both}");
    }
}
