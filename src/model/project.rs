//! Projects: one tree kept in step among sites, as its `.remsync` describes it.

use std::fmt;

use super::host::HostSite;
use super::knowledge::Knowledge;
use super::site::Site;

/// The format that a project speaks, named on its `format` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// What GNU remsync 4.x reads and writes.
    V1_3,
    /// The default: SHA-256, histories, serials.
    V2_0,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::V1_3 => "remsync 1.3",
            Format::V2_0 => "remsync 2.0",
        })
    }
}

/// Who takes part, and which files belong: all of a project but its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The format spoken.
    pub format: Format,
    /// What people call the project; no control characters.
    pub title: String,
    /// This site.
    pub here: Site,
    /// The others, in the order in which they were created: the columns of every row.
    pub remotes: Vec<Site>,
    /// Sites without remsync, reached by SSH: they have no column, and no package names them. Only
    /// in format 2.0.
    pub hosts: Vec<HostSite>,
    /// What is looked at, as shell wildcards; none is the whole tree.
    pub scans: Vec<Vec<u8>>,
    /// What is left out, as Perl regular expressions on the whole path; a leading `!` inverts.
    pub ignores: Vec<Vec<u8>>,
}

/// A project: who takes part, and what is known of every file at every site.
#[derive(Clone, Debug, PartialEq)]
pub struct Project {
    /// Who takes part, and which files belong.
    pub identity: Identity,
    /// Files × sites of beliefs.
    pub knowledge: Knowledge,
}
