//! What a question is about: the version here, the one that arrived, and the one before both.
//!
//! It looks, and changes nothing. What is too long to be compared is known by its size.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write};

use crate::edge::kept::Shelves;
use crate::edge::queue::Queue;
use crate::format::difference::{Counts, TEXT_BYTES_MAX, counts, is_text};
use crate::format::digest::hex;
use crate::format::package::{self, Sink};
use crate::model::knowledge::{Knowledge, Question};
use crate::model::version::{Ancestor, Content, History, Prefix, Version};

use super::ground::Ground;

/// Bytes of arrived files that are held in memory for one command.
const HELD_BYTES_MAX: u64 = 16 * TEXT_BYTES_MAX;

/// The sides of one question.
#[derive(Clone, Debug)]
pub struct Sides {
    /// What is here.
    pub ours: Side,
    /// What arrived.
    pub theirs: Side,
    /// What both descend from, where it is still kept.
    pub base: Option<Base>,
}

/// One version, as far as it can be seen.
#[derive(Clone, Debug)]
pub enum Side {
    /// There is no file.
    Nothing,
    /// A file.
    File(FileSide),
    /// It cannot be told, for this reason.
    Unknown(String),
}

/// A file of one side.
#[derive(Clone, Debug)]
pub struct FileSide {
    /// Its size.
    pub size_bytes: u64,
    /// When it was last modified, in seconds since 1970.
    pub mtime_s: i64,
    /// Whether its owner may execute it.
    pub executable: bool,
    /// Its bytes, unless it is too long.
    pub bytes: Option<Vec<u8>>,
}

/// The common ancestor.
#[derive(Clone, Debug)]
pub struct Base {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether its owner could execute it.
    pub executable: bool,
}

/// Files out of packages of the queue.
#[derive(Clone, Debug, Default)]
pub struct Arrivals(BTreeMap<([u8; 32], u32), Side>);

/// Where the sides of questions are looked for.
pub struct Desk<'a> {
    ground: &'a Ground,
    knowledge: &'a Knowledge,
    shelves: Shelves,
    arrivals: &'a Arrivals,
}

impl Sides {
    /// Counts the lines that only one side has; `None` where one is no text.
    pub fn counts(&self) -> Option<Counts> {
        Some(counts(self.ours.text()?, self.theirs.text()?))
    }
}

impl Side {
    /// Returns the bytes of a text; of no file, none.
    pub fn text(&self) -> Option<&[u8]> {
        match self {
            Side::Nothing => Some(&[]),
            Side::File(file) => file.bytes.as_deref().filter(|bytes| is_text(bytes)),
            Side::Unknown(_) => None,
        }
    }

    /// Returns the file, if there is one.
    pub fn file(&self) -> Option<&FileSide> {
        match self {
            Side::File(file) => Some(file),
            Side::Nothing | Side::Unknown(_) => None,
        }
    }
}

impl Arrivals {
    /// Reads what these questions are about, each package once; of packages over `package_bytes_max`
    /// nothing is read.
    pub fn read<'q>(
        queue: &Queue,
        questions: impl IntoIterator<Item = &'q Question>,
        package_bytes_max: u64,
    ) -> Arrivals {
        let mut wanted: BTreeMap<[u8; 32], BTreeSet<u32>> = BTreeMap::new();
        for question in questions {
            if let Some(member) = question.member {
                wanted.entry(question.package).or_default().insert(member);
            }
        }
        let mut arrivals = Arrivals::default();
        let mut room = HELD_BYTES_MAX;
        for (package, members) in wanted {
            match read_members(queue, &package, &members, package_bytes_max, &mut room) {
                Ok(files) => arrivals.0.extend(
                    files.into_iter().map(|(number, file)| ((package, number), Side::File(file))),
                ),
                Err(why) => arrivals.0.extend(
                    members
                        .into_iter()
                        .map(|number| ((package, number), Side::Unknown(why.clone()))),
                ),
            }
        }
        arrivals
    }

    fn side(&self, question: &Question) -> Side {
        if question.version.content == Content::Absent {
            return Side::Nothing;
        }
        let number = question.member.unwrap_or(0);
        let found = self.0.get(&(question.package, number)).cloned();
        found.unwrap_or_else(|| Side::Unknown("its package is gone, and asked for again".into()))
    }
}

impl<'a> Desk<'a> {
    /// Looks for the sides of questions in the tree, in what `arrivals` read, and in the store.
    ///
    /// # Errors
    /// The store is there and cannot be opened.
    pub fn new(
        ground: &'a Ground,
        knowledge: &'a Knowledge,
        arrivals: &'a Arrivals,
    ) -> Result<Desk<'a>, crate::edge::tree::TreeError> {
        Ok(Desk { ground, knowledge, shelves: Shelves::open(&ground.root)?, arrivals })
    }

    /// Returns the sides of one question.
    pub fn sides(&self, question: &Question) -> Sides {
        Sides {
            ours: self.ours(question),
            theirs: self.arrivals.side(question),
            base: self.base(question),
        }
    }

    fn ours(&self, question: &Question) -> Side {
        match self.ground.root.open_file(&question.path) {
            Ok((file, seen)) => {
                let bytes = bytes_of(file, seen.size_bytes);
                Side::File(FileSide {
                    size_bytes: seen.size_bytes,
                    mtime_s: seen.mtime_s,
                    executable: seen.executable,
                    bytes,
                })
            }
            Err(_) if self.ground.root.is_absent(&question.path) => Side::Nothing,
            Err(error) => Side::Unknown(error.to_string()),
        }
    }

    /// Returns the youngest version that both sides descend from and whose bytes are kept.
    fn base(&self, question: &Question) -> Option<Base> {
        let row = self.knowledge.rows.get(&question.path)?;
        let theirs = lineage(&question.version, &question.history);
        let common = lineage(&row.version, &row.history).into_iter().rev();
        let common = common.filter(|ancestor| theirs.contains(ancestor));
        common.filter_map(|ancestor| ancestor.prefix).find_map(|prefix| self.kept(&prefix))
    }

    fn kept(&self, prefix: &Prefix) -> Option<Base> {
        let digest = self.shelves.find(&prefix.digits).ok()??;
        let (mut file, seen) = self.shelves.open_version(&digest).ok()??;
        io::Seek::rewind(&mut file).ok()?;
        let bytes = bytes_of(file, seen.size_bytes)?;
        Some(Base { bytes, executable: prefix.executable })
    }
}

/// Returns a version and what it descends from, youngest last.
fn lineage(version: &Version, history: &History) -> BTreeSet<Ancestor> {
    history.iter().copied().chain([version.ancestor()]).collect()
}

fn bytes_of(file: File, size_bytes: u64) -> Option<Vec<u8>> {
    if size_bytes > TEXT_BYTES_MAX {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= TEXT_BYTES_MAX).then_some(bytes)
}

/// Reads some of a package's files; the whole package is checked on the way.
fn read_members(
    queue: &Queue,
    digest: &[u8; 32],
    members: &BTreeSet<u32>,
    package_bytes_max: u64,
    room: &mut u64,
) -> Result<BTreeMap<u32, FileSide>, String> {
    let entry = queue.find(&hex(digest)).map_err(|error| error.to_string())?;
    if entry.size_bytes > package_bytes_max {
        return Err(format!("its package has over {package_bytes_max} bytes"));
    }
    let file = queue.open_entry(&entry).map_err(|error| error.to_string())?;
    let mut sink = Chosen { members, held: BTreeMap::new(), room };
    let package = package::read(file, &mut sink).map_err(|fault| fault.to_string())?;
    let held = sink.held;
    let mut files = BTreeMap::new();
    for member in package.members.iter().filter(|member| members.contains(&member.number)) {
        let bytes = held.get(&member.number).cloned();
        let file = FileSide {
            size_bytes: member.size_bytes,
            mtime_s: member.mtime_s,
            executable: member.executable,
            bytes: bytes.filter(|bytes| bytes.len() as u64 == member.size_bytes),
        };
        files.insert(member.number, file);
    }
    Ok(files)
}

/// Holds some files of a package in memory, as far as there is room, and forgets the others.
struct Chosen<'a> {
    members: &'a BTreeSet<u32>,
    held: BTreeMap<u32, Vec<u8>>,
    room: &'a mut u64,
}

impl Sink for Chosen<'_> {
    fn member(&mut self, number: u32) -> io::Result<Box<dyn Write + '_>> {
        if !self.members.contains(&number) {
            return Ok(Box::new(io::sink()));
        }
        let bytes = self.held.entry(number).or_default();
        Ok(Box::new(Bounded { bytes, room: &mut *self.room, left: TEXT_BYTES_MAX }))
    }
}

/// Takes what fits, and drops the rest: a file that is not whole is told by its length.
struct Bounded<'a> {
    bytes: &'a mut Vec<u8>,
    room: &'a mut u64,
    left: u64,
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fits = (bytes.len() as u64).min(self.left).min(*self.room);
        let fits_here = usize::try_from(fits).unwrap_or(0);
        self.bytes.extend_from_slice(bytes.get(..fits_here).unwrap_or_default());
        self.left -= fits;
        *self.room -= fits;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
