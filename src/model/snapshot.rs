//! Snapshots: what one check saw of every site, and what a synchro would do about it.
//!
//! Not beliefs: those are learnt from mail and kept in [`super::knowledge`]. A snapshot is as old as
//! it is, and says so.

use std::collections::BTreeMap;

use super::knowledge::Why;
use super::path::TreePath;
use super::version::Content;

/// What a check saw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The project's title.
    pub title: String,
    /// This site's address.
    pub here: String,
    /// When it was made, in ms since 1970.
    pub checked_ms: u64,
    /// What is here.
    pub files: BTreeMap<TreePath, Content>,
    /// The sites, mail before hosts, each in its order.
    pub sites: Vec<SiteShot>,
}

/// What a check saw of one site.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SiteShot {
    /// Its address; of a host its URL.
    pub address: String,
    /// Its folder, fit for a terminal; empty is not known.
    pub directory: String,
    /// How it is reached.
    pub reach: Reach,
    /// Of when its news are, in ms since 1970; 0 is never.
    pub news_ms: u64,
    /// Why there are none of now, and what to do; both empty where there are.
    pub error: (String, String),
    /// What it has of each file, and how that stands to what is here.
    pub cells: BTreeMap<TreePath, CellShot>,
    /// What could not be looked at there, fit for a terminal, and why.
    pub unknown: Vec<(String, String)>,
}

/// How a site is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// By mail: what it has is hearsay.
    #[default]
    Mail,
    /// By SSH: it was looked at.
    Ssh,
}

/// One file at one site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellShot {
    /// What it has; `None` is not known.
    pub holds: Option<Content>,
    /// In a word or two: `in step`, `due`, `apart`.
    pub state: String,
}

/// What is done for one file at one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Act {
    /// Ours goes there.
    Upload,
    /// Theirs comes here.
    Download,
    /// It is removed there.
    DeleteThere,
    /// It is removed here.
    DeleteHere,
    /// Both changed it: a person has to say which stays.
    Conflict,
}

/// One line of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The host's URL.
    pub site: String,
    /// The file.
    pub path: TreePath,
    /// What is done.
    pub act: Act,
    /// What is here: anything else stops it.
    pub here: Content,
    /// What is there: anything else stops it.
    pub there: Content,
    /// Why a person has to say so first.
    pub why: Option<Why>,
    /// Whether it is to be done.
    pub is_ticked: bool,
}

/// What a synchro would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// When the check was that it follows from, in ms since 1970.
    pub checked_ms: u64,
    /// Its lines, by host and path.
    pub operations: Vec<Operation>,
}

/// What we and a host last agreed on, file by file.
pub type Agreed = BTreeMap<TreePath, Content>;

impl Act {
    /// Every act.
    pub const ALL: [Act; 5] =
        [Act::Upload, Act::Download, Act::DeleteThere, Act::DeleteHere, Act::Conflict];

    /// Returns its name in the plan.
    pub fn name(self) -> &'static str {
        match self {
            Act::Upload => "upload",
            Act::Download => "download",
            Act::DeleteThere => "delete-there",
            Act::DeleteHere => "delete-here",
            Act::Conflict => "conflict",
        }
    }
}
