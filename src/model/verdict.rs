//! Verdicts: what `decide` answers, and what people answer to questions.

use super::knowledge::Why;

/// What to do with one arriving version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The same is here already: join the histories.
    Redundant,
    /// Nothing is here and nothing was known: create the file, or note the tombstone.
    Create,
    /// What is here is an ancestor: replace it, no questions asked.
    Replace,
    /// What arrived is an ancestor of what is here: drop it.
    Stale,
    /// Only a person can tell.
    Ask(Why),
}

/// What a person answers to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// What is here stays.
    Keep,
    /// What arrived takes its place.
    Take,
}

/// Where a path lies, as far as this site's own choice of files goes. It can only turn a silent
/// verdict into a question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Place {
    /// Inside the scans, not ignored.
    #[default]
    Inside,
    /// An ignore expression leaves it out.
    Ignored,
    /// No scan selects it.
    OutsideScan,
    /// A name that other programs obey.
    Sensitive,
    /// Something that is no file is in the way.
    Blocked,
    /// It could not be looked at.
    Unreadable,
}

/// What deletions that are sure do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Deletions {
    /// They wait for a person: the default.
    #[default]
    Ask,
    /// They are applied.
    Apply,
}
