//! Beliefs: what we think that a site holds for a file.

use std::fmt;

use super::signature::Signature;
use super::version::Content;

/// What we think that one site holds for one path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Belief {
    /// Nothing is known: `?` in format 2.0, `-` in 1.3.
    #[default]
    Unknown,
    /// Known not to be there: `-`.
    Absent,
    /// A file with this signature.
    Holds(Signature),
    /// Known to be there, with contradictory contents: `666`, "a checksum from hell" (1.3 only).
    Contested,
}

impl Belief {
    /// Whether this is the belief that the site holds just `content`.
    pub fn is(&self, content: &Content) -> bool {
        *self == Belief::from(*content)
    }
}

impl From<Content> for Belief {
    fn from(content: Content) -> Belief {
        match content {
            Content::Absent => Belief::Absent,
            Content::File(signature) => Belief::Holds(signature),
        }
    }
}

/// For people and for format 2.0; format 1.3 prints `-` for [`Belief::Unknown`].
impl fmt::Display for Belief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Belief::Unknown => f.write_str("?"),
            Belief::Absent => f.write_str("-"),
            Belief::Holds(signature) => signature.fmt(f),
            Belief::Contested => f.write_str("666"),
        }
    }
}
