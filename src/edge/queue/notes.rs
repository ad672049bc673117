//! Copies of the notes in one file, for a queue of many: a listing then looks at each note, and reads
//! one file.
//!
//! A cache: without it, or where it is damaged, a listing takes longer and finds the same. Invariant:
//! a copy counts only while the note has the same inode, size and times, and only where those were
//! old enough when it was read that a later write must have moved them.
//!
//! ```text
//! "remsync notes 1", of each note: DIGEST INODE SIZE MTIME CTIME TEXT, by digest; CRC-32 of all
//! ```

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::Stat;

use super::disk::Temporary;
use crate::edge::settled::is_settled;
use crate::format::digest::crc32;

/// Notes for which one file is worth its while.
pub(super) const WORTH_MIN: usize = 1_000;
/// The part of all notes that may be read one by one before the file is written anew.
const STALE_PART: usize = 8;
const NAME: &str = "notes";
const MAGIC: &[u8] = b"remsync notes 1\n";
const HEAD_BYTES: usize = 32 + STAMP_BYTES;
const STAMP_BYTES: usize = 8 + 8 + 2 * 16;
const CRC_BYTES: usize = 4;

/// What says that two looks at a note saw the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    bytes: u64,
    mtime: (i64, i64),
    ctime: (i64, i64),
}

/// The copies that an earlier listing left.
pub(super) struct Notes {
    all: Vec<u8>,
    /// Ascending by digest.
    places: Vec<([u8; 32], Stamp, Range<usize>)>,
    /// How their digests begin, which is looked through first: it is a fortieth of them.
    heads: Vec<u64>,
}

/// A note that was read: its stamp before that, and its text.
pub(super) type Fresh = (Stamp, Vec<u8>);

impl Stamp {
    /// Returns that of an inode.
    pub(super) fn of(stat: &Stat) -> Stamp {
        Stamp {
            inode: stat.st_ino,
            bytes: u64::try_from(stat.st_size).unwrap_or(0),
            mtime: (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or(0)),
            ctime: (stat.st_ctime, i64::try_from(stat.st_ctime_nsec).unwrap_or(0)),
        }
    }

    fn numbers(&self) -> [i64; 6] {
        let Stamp { inode, bytes, mtime, ctime } = *self;
        [inode.cast_signed(), bytes.cast_signed(), mtime.0, mtime.1, ctime.0, ctime.1]
    }

    fn read(bytes: &[u8]) -> Option<Stamp> {
        let (words, []) = bytes.as_chunks::<8>() else { return None };
        let numbers = words.iter().map(|word| i64::from_le_bytes(*word)).collect::<Vec<_>>();
        let [inode, bytes, mtime_s, mtime_ns, ctime_s, ctime_ns] = *numbers else { return None };
        let (inode, bytes) = (inode.cast_unsigned(), bytes.cast_unsigned());
        Some(Stamp { inode, bytes, mtime: (mtime_s, mtime_ns), ctime: (ctime_s, ctime_ns) })
    }
}

impl Notes {
    /// Reads the copies in a queue; `None` where there are none, or they are damaged.
    pub(super) fn read(queue: &Path) -> Option<Notes> {
        let path = queue.join(NAME);
        path.symlink_metadata().ok().filter(fs::Metadata::is_file)?;
        let mut all = fs::read(path).ok()?;
        let crc = all.split_off(all.len().checked_sub(CRC_BYTES)?);
        (crc == crc32(&all).to_le_bytes()).then_some(())?;
        let mut at = all.strip_prefix(MAGIC).map(|_| MAGIC.len())?;
        let mut places = Vec::new();
        while at < all.len() {
            let head = all.get(at..at + HEAD_BYTES)?;
            let (digest, stamp) = head.split_first_chunk()?;
            let stamp = Stamp::read(stamp)?;
            let start = at + HEAD_BYTES;
            at = start.checked_add(usize::try_from(stamp.bytes).ok()?)?;
            all.get(start..at)?;
            places.push((*digest, stamp, start..at));
        }
        let heads = places.iter().map(|(digest, ..)| head_of(digest)).collect();
        let notes = Notes { all, places, heads };
        notes.places.is_sorted_by_key(|(digest, ..)| *digest).then_some(notes)
    }

    /// Returns the text of a note that has this stamp now, if it is known.
    pub(super) fn text(&self, digest: &[u8; 32], now: &Stamp) -> Option<&[u8]> {
        let (_, then, text) = self.copy(digest)?;
        (then == *now).then_some(text)
    }

    fn copy(&self, digest: &[u8; 32]) -> Option<([u8; 32], Stamp, &[u8])> {
        let head = head_of(digest);
        let first = self.heads.partition_point(|other| *other < head);
        let same = self.heads.iter().skip(first).take_while(|other| **other == head).count();
        let mut places = self.places.iter().skip(first).take(same);
        let (digest, stamp, place) = places.find(|(other, ..)| other == digest)?;
        Some((*digest, *stamp, self.all.get(place.clone())?))
    }
}

/// Writes the copies anew, if enough notes were read for which there were none: `fresh` has those, one
/// for each of `digests`. `file` was made in the queue before the first was read.
pub(super) fn keep(
    queue: &Path,
    (file, path): (File, Temporary),
    known: Option<&Notes>,
    digests: &[[u8; 32]],
    fresh: &[Option<Box<Fresh>>],
) {
    let stale = fresh.iter().flatten().count();
    if stale < WORTH_MIN || stale < digests.len() / STALE_PART {
        return;
    }
    // By the clock of the file system, as the times of the notes are.
    let Ok(began_s) = file.metadata().map(|found| found.mtime()) else { return };
    let mut told: Vec<([u8; 32], Stamp, &[u8])> = Vec::with_capacity(digests.len());
    for (digest, fresh) in digests.iter().zip(fresh) {
        match fresh.as_deref() {
            Some((stamp, text))
                if is_settled(stamp.mtime.0, stamp.ctime.0, began_s)
                    && text.len() as u64 == stamp.bytes =>
            {
                told.push((*digest, *stamp, text));
            }
            Some(_) => {}
            // Just used.
            None => told.extend(known.and_then(|known| known.copy(digest))),
        }
    }
    told.sort_unstable_by_key(|(digest, ..)| *digest);
    // Not synced: what a crash leaves of it has another checksum. A disk that is full keeps nobody
    // from listing.
    let _ = write(&file, &told).and_then(|()| fs::rename(&path.0, queue.join(NAME)));
}

fn write(file: &File, told: &[([u8; 32], Stamp, &[u8])]) -> std::io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 18, file);
    let mut crc = flate2::Crc::new();
    let mut put = |bytes: &[u8]| {
        crc.update(bytes);
        out.write_all(bytes)
    };
    put(MAGIC)?;
    for (digest, stamp, text) in told {
        put(digest)?;
        put(stamp.numbers().map(i64::to_le_bytes).as_flattened())?;
        put(text)?;
    }
    let sum = crc.sum();
    out.write_all(&sum.to_le_bytes())?;
    out.flush()
}

fn head_of(digest: &[u8; 32]) -> u64 {
    digest.first_chunk().map_or(0, |head| u64::from_be_bytes(*head))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant, SystemTime};

    use super::super::record::Record;
    use super::super::tests::{ROOMY, queue};
    use super::super::{Entry, Queue};
    use super::*;
    use crate::format::digest::hex;

    const NOTES: u32 = 1_200;

    fn digest(number: u32) -> [u8; 32] {
        let mut digest = [number as u8; 32];
        digest[..4].copy_from_slice(&number.to_be_bytes());
        digest
    }

    fn note(title: &str) -> Vec<u8> {
        let lines = [("state", "done"), ("size", "1"), ("received", "7"), ("title", title)];
        let lines = lines.map(|(keyword, value)| format!("{keyword}\t{value}\n"));
        let text = lines.concat().into_bytes();
        assert!(Record::parse(&text).is_some());
        text
    }

    fn listed(queue: &Queue) -> Vec<(String, String)> {
        let of = |entry: Entry| (hex(&entry.sha256), entry.title);
        let mut all: Vec<_> = queue.list().unwrap().into_iter().map(of).collect();
        all.sort();
        all
    }

    /// A queue of many notes that are old enough, of which there are copies.
    fn many() -> (tempfile::TempDir, Queue, Vec<(String, String)>) {
        let (dir, queue) = queue(ROOMY);
        let began = Instant::now();
        for number in 0..NOTES {
            fs::write(queue.meta_path(&digest(number)), note(&format!("{number:04}"))).unwrap();
        }
        let first = listed(&queue);
        assert_eq!(first.len(), NOTES as usize);
        let young = Notes::read(&queue.dir).unwrap();
        // On a machine that is busy some are old by then.
        if began.elapsed() < Duration::from_secs(2) {
            assert!(young.places.is_empty(), "they could change at the same time still");
        }
        std::thread::sleep(Duration::from_millis(3_100));
        assert_eq!(listed(&queue), first);
        (dir, queue, first)
    }

    fn damaged(all: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut all = all[..all.len() - CRC_BYTES].to_vec();
        change(&mut all);
        let crc = crc32(&all);
        all.extend(crc.to_le_bytes());
        all
    }

    #[test]
    fn a_note_is_read_where_its_inode_says_anything_else() {
        let (_dir, queue, mut expected) = many();
        let copies = queue.dir.join(NAME);
        // Copies that lie show which notes are read.
        let lies = damaged(&fs::read(&copies).unwrap(), |all| {
            let mut at = 0;
            while let Some(next) = memchr::memmem::find(&all[at..], b"title\t") {
                at += next + 6;
                all[at] = b'X';
            }
        });
        fs::write(&copies, &lies).unwrap();
        for (_, title) in &mut expected {
            title.replace_range(..1, "X");
        }
        assert_eq!(listed(&queue), expected);

        let path = |number| queue.meta_path(&digest(number));
        let time = |number| fs::metadata(path(number)).unwrap().modified().unwrap();
        let set = |number: u32, time: SystemTime| {
            File::options().write(true).open(path(number)).unwrap().set_modified(time).unwrap();
        };
        // Of the same size and time; in the place of another; with another time; gone; new.
        let then = time(3);
        fs::write(path(3), note("0333")).unwrap();
        set(3, then);
        fs::write(queue.dir.join("tmp/x"), note("0444")).unwrap();
        fs::rename(queue.dir.join("tmp/x"), path(4)).unwrap();
        set(5, then + Duration::from_secs(1));
        fs::remove_file(path(6)).unwrap();
        fs::write(path(NOTES), note("new")).unwrap();
        (expected[3].1, expected[4].1, expected[5].1) =
            ("0333".into(), "0444".into(), "0005".into());
        expected.push((hex(&digest(NOTES)), "new".into()));
        expected.remove(6);
        assert_eq!(listed(&queue), expected);
        assert_eq!(fs::read(&copies).unwrap(), lies, "not for so few");
    }

    #[test]
    fn copies_that_are_damaged_are_none() {
        let (_dir, queue, expected) = many();
        let copies = queue.dir.join(NAME);
        let sound = fs::read(&copies).unwrap();
        for at in (0..sound.len()).step_by(4_001) {
            let mut flipped = sound.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(&copies, &flipped).unwrap();
            assert!(Notes::read(&queue.dir).is_none(), "{at}");
            fs::write(&copies, &sound[..at]).unwrap();
            assert!(Notes::read(&queue.dir).is_none(), "{at}");
        }
        // Nor does a right checksum make sound what cannot be.
        let size = MAGIC.len() + 32 + 8;
        type Change<'c> = &'c dyn Fn(&mut Vec<u8>);
        let changes: [Change<'_>; 4] = [
            &|all| all[size..size + 8].copy_from_slice(&u64::MAX.to_le_bytes()),
            &|all| all[size..size + 8].copy_from_slice(&[0; 8]),
            &|all| all.truncate(all.len() - 1),
            &|all| all[MAGIC.len()] = 0xff,
        ];
        for change in changes {
            fs::write(&copies, damaged(&sound, change)).unwrap();
            assert!(Notes::read(&queue.dir).is_none());
            assert_eq!(listed(&queue), expected);
            assert_eq!(fs::read(&copies).unwrap(), sound, "they are written anew");
        }
        fs::remove_file(&copies).unwrap();
        fs::create_dir(&copies).unwrap();
        assert_eq!(listed(&queue), expected);
        assert!(fs::read_dir(queue.dir.join("tmp")).unwrap().next().is_none(), "no draft is left");
    }
}
