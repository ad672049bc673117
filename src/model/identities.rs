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
