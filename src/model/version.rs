//! Versions and histories: what a file was, and what it descends from (`remsync.5`).
//!
//! A version is a generation and a content. Invariant of a [`History`]: sorted, each ancestor
//! once; it may name more than [`super::limits::HISTORY_MAX`] only until it is trimmed.

use std::collections::BTreeSet;
use std::fmt;

use super::limits::HISTORY_MAX;
use super::signature::Signature;

/// What a site has for one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Content {
    /// Nothing: on paper `-`.
    Absent,
    /// A file with this signature.
    File(Signature),
}

impl Content {
    /// Returns the signature, if there is a file.
    pub fn signature(&self) -> Option<&Signature> {
        match self {
            Content::Absent => None,
            Content::File(signature) => Some(signature),
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Content::Absent => f.write_str("-"),
            Content::File(signature) => signature.fmt(f),
        }
    }
}

/// One state of a file: `generation.signature`, or `generation.-` after a deletion.
///
/// Creating a file is generation 1; every change that a scan finds is one above the highest that
/// the row knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Counted from 1.
    pub generation: u64,
    /// What the file holds in this version.
    pub content: Content,
}

impl Version {
    /// Returns the version's short name in histories.
    pub fn ancestor(&self) -> Ancestor {
        let prefix = match &self.content {
            Content::Absent => None,
            Content::File(Signature::Sum(sum)) => {
                let mut digits = [0; 8];
                digits[..2].copy_from_slice(&sum.to_be_bytes());
                Some(Prefix { digits, executable: false })
            }
            Content::File(Signature::Sha256 { digest, executable }) => {
                let mut digits = [0; 8];
                digits.copy_from_slice(&digest[..8]);
                Some(Prefix { digits, executable: *executable })
            }
        };
        Ancestor { generation: self.generation, prefix }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.generation, self.content)
    }
}

/// A version as a history names it: its generation and the beginning of its signature.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ancestor {
    /// The version's generation.
    pub generation: u64,
    /// The beginning of the signature; `None` for a deletion.
    pub prefix: Option<Prefix>,
}

/// The beginning of a signature, and its end: of two people who made the same bytes, one executable
/// and one not, each has a version of his own, and a choice between them leaves a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    /// The first 8 bytes of the digest.
    pub digits: [u8; 8],
    /// Whether the owner may execute the file.
    pub executable: bool,
}

/// As the `history` line prints it: `3:0123456789abcdef`, `3:0123456789abcdefx`, `4:-`.
impl fmt::Display for Ancestor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.generation)?;
        match self.prefix {
            None => f.write_str("-"),
            Some(Prefix { digits, executable }) => {
                digits.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str(if executable { "x" } else { "" })
            }
        }
    }
}

impl fmt::Debug for Ancestor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The versions that a version descends from, never itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct History(Vec<Ancestor>);

impl History {
    /// Returns a history that names nothing.
    pub fn new() -> History {
        History::default()
    }

    /// Whether `version` is named.
    pub fn has(&self, version: &Version) -> bool {
        self.0.binary_search(&version.ancestor()).is_ok()
    }

    /// Whether the same contents are named in `version`'s generation or a higher one: then who
    /// comes to `version` from here comes back to what was left already.
    pub fn has_since(&self, version: &Version) -> bool {
        let least = version.ancestor();
        let mut later =
            self.0.iter().rev().take_while(|named| named.generation >= least.generation);
        later.any(|named| named.prefix == least.prefix)
    }

    /// Whether nothing is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns how many versions are named.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the ancestors, lowest generation first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Ancestor> {
        self.0.iter()
    }

    /// Names `ancestor` too.
    pub fn insert(&mut self, ancestor: Ancestor) {
        if let Err(at) = self.0.binary_search(&ancestor) {
            self.0.insert(at, ancestor);
        }
    }

    /// Names all that `other` names.
    pub fn join(&mut self, other: &History) {
        if other.0.iter().all(|ancestor| self.0.binary_search(ancestor).is_ok()) {
            return;
        }
        self.0.extend_from_slice(&other.0);
        self.0.sort_unstable();
        self.0.dedup();
    }

    /// Strikes `ancestor` out.
    pub fn remove(&mut self, ancestor: &Ancestor) {
        if let Ok(at) = self.0.binary_search(ancestor) {
            self.0.remove(at);
        }
    }

    /// Whether everything named here, and `itself`, is among `other` and `other_itself`.
    pub fn is_within(&self, itself: &Version, other: &History, other_itself: &Version) -> bool {
        let named =
            |a: &Ancestor| *a == other_itself.ancestor() || other.0.binary_search(a).is_ok();
        named(&itself.ancestor()) && self.0.iter().all(named)
    }

    /// Forgets the lowest generations until at most [`HISTORY_MAX`] are named, but none of
    /// `keep`: what some remote still holds.
    pub fn trim(&mut self, keep: &BTreeSet<Ancestor>) {
        let mut excess = self.0.len().saturating_sub(HISTORY_MAX);
        if excess == 0 {
            return;
        }
        self.0.retain(|ancestor| {
            let forget = excess > 0 && !keep.contains(ancestor);
            excess -= usize::from(forget);
            !forget
        });
    }
}

impl FromIterator<Ancestor> for History {
    fn from_iter<I: IntoIterator<Item = Ancestor>>(ancestors: I) -> History {
        let mut all: Vec<Ancestor> = ancestors.into_iter().collect();
        all.sort_unstable();
        all.dedup();
        History(all)
    }
}
