//! Sections of the base: what a thousand rows say, in a line, and where they stand.
//!
//! A cache, and nothing else knows of it: whoever has the sections of just these files need not read
//! those of which all is as it was. Not the rows: what a section says holds of all of its rows or is
//! not said. Invariant: it is the same however the base was read, and what was damaged is none.
//!
//! ```text
//! format   remsync-sections 1
//! of       KEY                                        says of which base: the reader's word
//! section  FIRST LAST FILES CHANGED AT AT DIGEST|-    AT: BYTES LINES, of .remsync, of the ledger
//! end      AT AT                                      where the rows end
//! sum      SHA-256                                    of all lines above
//! ```

use sha2::{Digest, Sha256};

use super::statement::{self, Lines, Place, TextFault, Words};
use crate::model::knowledge::Row;
use crate::model::project::Format;
use crate::model::{Signature, TreePath};

/// Rows of a section: few enough that one changed file costs little, many enough that all sections
/// do.
const ROWS: u64 = 1 << 10;
const FORMAT: &str = "remsync-sections 1";

/// Some rows that stand one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The path of the first row.
    pub first: TreePath,
    /// That of the last.
    pub last: TreePath,
    /// How many they are.
    pub files: u64,
    /// The highest stamp of their changes.
    pub changed: u64,
    /// What [`FilesDigest`] makes of the files, if they are agreed upon ([`Row::agreed`]) all.
    pub digest: Option<[u8; 32]>,
    at: Places,
}

/// A place in the base: before a row, or after all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// In `.remsync`.
    pub remsync: Place,
    /// In the ledger.
    pub ledger: Place,
}

/// All sections of a base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sections {
    sections: Vec<Section>,
    end: Places,
}

/// The digest of files: of their names, and what they hold.
#[derive(Clone, Debug, Default)]
pub struct FilesDigest(Sha256);

impl FilesDigest {
    /// Takes in a file; they ascend. A signature of format 1.3 is as good as any other.
    pub fn add(&mut self, path: &[u8], signature: &Signature) {
        self.0.update(path);
        // No path has a byte 0.
        match signature {
            Signature::Sha256 { digest, executable } => {
                self.0.update([0, if *executable { 2 } else { 1 }]);
                self.0.update(digest);
            }
            Signature::Sum(sum) => {
                self.0.update([0, 3]);
                self.0.update(sum.to_le_bytes());
            }
        }
    }

    /// Returns the digest.
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

impl Sections {
    /// Returns section `number`.
    pub fn get(&self, number: usize) -> Option<&Section> {
        self.sections.get(number)
    }

    /// Returns where section `number` begins; of one after the last, where the rows end.
    pub fn place(&self, number: usize) -> Places {
        self.get(number).map_or(self.end, |section| section.at)
    }

    /// Returns them as text; `key` says of which base.
    pub fn print(&self, key: &str) -> Vec<u8> {
        let mut out = format!("format\t{FORMAT}\nof\t{key}\n").into_bytes();
        for section in &self.sections {
            out.extend_from_slice(b"section\t");
            statement::push_bytes(&mut out, Format::V2_0, section.first.as_bytes());
            out.push(b' ');
            statement::push_bytes(&mut out, Format::V2_0, section.last.as_bytes());
            let Section { files, changed, at, digest, .. } = section;
            out.extend_from_slice(format!(" {files} {changed} {at} ").as_bytes());
            match digest {
                Some(digest) => statement::push_hex(&mut out, digest),
                None => out.push(b'-'),
            }
            out.push(b'\n');
        }
        out.extend_from_slice(format!("end\t{}\nsum\t", self.end).as_bytes());
        let sum: [u8; 32] = Sha256::digest(&out[..out.len() - SUM_KEYWORD.len()]).into();
        statement::push_hex(&mut out, &sum);
        out.push(b'\n');
        out
    }

    /// Reads what [`Sections::print`] printed of the base that `key` names; `None` where it is of
    /// another, or damaged.
    pub fn parse(text: &[u8], key: &str) -> Option<Sections> {
        let at = text.len().checked_sub(SUM_KEYWORD.len() + 2 * 32 + 1)?;
        let (above, last) = text.split_at(at);
        let sum = last.strip_prefix(SUM_KEYWORD)?.strip_suffix(b"\n")?;
        let above_sum: [u8; 32] = Sha256::digest(above).into();
        (statement::hex(sum) == Some(above_sum)).then_some(())?;
        parse_lines(above, key).ok().flatten()
    }
}

const SUM_KEYWORD: &[u8] = b"sum\t";

fn parse_lines(text: &[u8], key: &str) -> Result<Option<Sections>, TextFault> {
    let mut lines = Lines::new(text, "sections");
    let mut is_next = |keyword: &[u8], rest: &str| -> Result<bool, TextFault> {
        let line = lines.next_statement()?;
        Ok(line.is_some_and(|l| l.keyword == keyword && l.rest == Some(rest.as_bytes())))
    };
    if !(is_next(b"format", FORMAT)? && is_next(b"of", key)?) {
        return Ok(None);
    }
    let mut sections = Vec::new();
    while let Some(line) = lines.next_statement()? {
        let mut words = line.words()?;
        if line.keyword == b"end" {
            return Ok(Some(Sections { sections, end: read_places(&mut words)? }));
        }
        let mut path = |name| line.check(statement::path(Format::V2_0, words.need(name)?));
        let (first, last) = (path("first file")?, path("last file")?);
        let files = words.number("count of files", 1, u64::MAX)?;
        let changed = words.number("stamp", 0, u64::MAX)?;
        let at = read_places(&mut words)?;
        let digest = statement::hex(words.need("digest")?);
        sections.push(Section { first, last, files, changed, digest, at });
    }
    Ok(None)
}

fn read_places(words: &mut Words<'_, '_>) -> Result<Places, TextFault> {
    let mut place = || -> Result<Place, TextFault> {
        let bytes = words.number("bytes", 0, u64::MAX)?;
        Ok(Place { bytes, lines: words.number("lines", 0, u64::MAX)? })
    };
    Ok(Places { remsync: place()?, ledger: place()? })
}

impl std::fmt::Display for Places {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Places { remsync, ledger } = self;
        write!(f, "{} {} {} {}", remsync.bytes, remsync.lines, ledger.bytes, ledger.lines)
    }
}

/// Sections on the way, while a base is read.
#[derive(Debug, Default)]
pub(crate) struct SectionsBuilder {
    /// Where each section begins.
    places: Vec<Places>,
    sections: Vec<Section>,
    /// The files of the last section, as long as they are agreed upon.
    digest: Option<FilesDigest>,
    /// Rows that began.
    begun: u64,
    end: Option<Places>,
    /// A row stands where none is looked for.
    is_odd: bool,
}

impl SectionsBuilder {
    /// A row begins.
    pub fn begin(&mut self, at: Places) {
        if self.begun.is_multiple_of(ROWS) {
            self.places.push(at);
        }
        self.begun += 1;
        self.is_odd |= self.end.is_some();
    }

    /// The rows are over.
    pub fn end(&mut self, at: Places) {
        self.end.get_or_insert(at);
    }

    /// A row is whole: the next of those that began.
    pub fn add(&mut self, path: &TreePath, row: &Row) {
        if self.sections.last().is_none_or(|section| section.files == ROWS) {
            self.end_section();
            let at = self.places.get(self.sections.len()).copied().unwrap_or_default();
            let (first, last) = (path.clone(), path.clone());
            self.sections.push(Section { first, last, files: 0, changed: 0, digest: None, at });
            self.digest = Some(FilesDigest::default());
        }
        let Some(section) = self.sections.last_mut() else { return };
        section.files += 1;
        section.changed = section.changed.max(row.changed);
        section.last.clone_from(path);
        match (row.agreed(), &mut self.digest) {
            (Some(signature), Some(digest)) => digest.add(path.as_bytes(), &signature),
            _ => self.digest = None,
        }
    }

    /// Returns the sections, if the base is one that has some.
    pub fn finish(mut self) -> Option<Sections> {
        self.end_section();
        let files: u64 = self.sections.iter().map(|section| section.files).sum();
        let end = self.end.filter(|_| !self.is_odd && files == self.begun)?;
        Some(Sections { sections: self.sections, end })
    }

    fn end_section(&mut self) {
        let digest = self.digest.take().map(FilesDigest::finish);
        if let Some(section) = self.sections.last_mut() {
            section.digest = digest;
        }
    }
}
