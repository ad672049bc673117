//! What the remotes said of who takes part and which files belong, and what was answered to it.
//!
//! Nothing of it holds here before a person says so.

use std::collections::BTreeSet;

use super::project::Identity;
use super::site::Address;

/// What is remembered of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identities {
    /// One for each remote that spoke.
    pub heard: Vec<Heard>,
    /// Names of the differences that a person let be.
    pub declined: BTreeSet<Vec<u8>>,
}

/// What one remote said in its newest package.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// Which remote.
    pub from: Address,
    /// When, in ms since 1970.
    pub at_ms: u64,
    /// The project as it is there.
    pub identity: Identity,
    /// Names of statements that it once had and has no more.
    pub dropped: BTreeSet<Vec<u8>>,
}

impl Identities {
    /// Whether a person said that a project of this title is ours, which keeps its own.
    pub fn knows_title(&self, title: &str) -> bool {
        self.declined.contains(&title_mark(title))
    }

    /// Whether a person said that this address is ours too.
    pub fn knows_address(&self, address: &Address) -> bool {
        self.declined.contains(&address_mark(address))
    }
}

/// Returns what is remembered of another title that means our project.
pub fn title_mark(title: &str) -> Vec<u8> {
    [b"title ", title.as_bytes()].concat()
}

/// Returns what is remembered of another address that means this site.
pub fn address_mark(address: &Address) -> Vec<u8> {
    [b"here ", address.as_str().as_bytes()].concat()
}
