//! Signatures: a file's content in a few bytes.
//!
//! Two kinds that never compare equal: the SHA-256 digest of format 2.0, with the executable bit,
//! and the 16-bit BSD `sum` of format 1.3.

use std::fmt;

/// A file's content, named.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signature {
    /// Format 1.3: what BSD `sum` prints, five digits. One edit in 65,536 is invisible to it.
    Sum(u16),
    /// Format 2.0: the digest of the bytes, and whether the owner may execute the file.
    Sha256 {
        /// SHA-256 of the bytes.
        digest: [u8; 32],
        /// Written as a final `x`, so that `chmod +x` travels.
        executable: bool,
    },
}

impl Signature {
    /// Whether the owner may execute the file; `None` where the format does not say (1.3).
    pub fn executable(&self) -> Option<bool> {
        match self {
            Signature::Sum(_) => None,
            Signature::Sha256 { executable, .. } => Some(*executable),
        }
    }

    /// Whether both name the same bytes, the executable bit left aside.
    pub fn same_bytes(&self, other: &Signature) -> bool {
        match (self, other) {
            (Signature::Sum(a), Signature::Sum(b)) => a == b,
            (Signature::Sha256 { digest: a, .. }, Signature::Sha256 { digest: b, .. }) => a == b,
            _ => false,
        }
    }
}

/// As both formats print it: `57445`, or 64 lower-case hex digits and perhaps `x`.
impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Signature::Sum(sum) => write!(f, "{sum:05}"),
            Signature::Sha256 { digest, executable } => {
                for byte in digest {
                    write!(f, "{byte:02x}")?;
                }
                if *executable { f.write_str("x") } else { Ok(()) }
            }
        }
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Signature::Sum(_) => write!(f, "{self}"),
            Signature::Sha256 { digest, executable } => {
                write!(f, "{:02x}{:02x}{:02x}…", digest[0], digest[1], digest[2])?;
                f.write_str(if *executable { "x" } else { "" })
            }
        }
    }
}
