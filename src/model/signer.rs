//! Signers: whether a key that we trust vouches for a package, and if not, why not.
//!
//! What a signature is, and which key may sign for whom, is `format`'s business; here is only how
//! it came out. Invariant: only [`Standing::Good`] vouches for anything.

use std::fmt;

/// How the signatures of a package came out. Ordered: of several the greatest is told, for it is
/// the one that is nearest to being good, or the one that a person should hear of most.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// There is none.
    Unsigned,
    /// It cannot be read; for this reason.
    Unreadable(String),
    /// It was made for another purpose: this namespace.
    OtherNamespace(String),
    /// Nobody here trusts the key with this fingerprint.
    Unknown(String),
    /// The key is trusted, and the signature is not of these bytes.
    Bad {
        /// Fingerprint of the key that the signature names.
        key: String,
    },
    /// The key is trusted, but for others.
    WrongSigner {
        /// Fingerprint of the key.
        key: String,
        /// Whom it may speak for, as `allowed_signers` says it.
        of: String,
        /// Whom the package says that it comes from.
        origin: String,
    },
    /// The key may sign only from a time on that has not come.
    NotYet {
        /// Fingerprint of the key.
        key: String,
    },
    /// The key could sign until a time that is past.
    Expired {
        /// Fingerprint of the key.
        key: String,
    },
    /// The key was revoked.
    Revoked {
        /// Fingerprint of the key.
        key: String,
    },
    /// A trusted key of the originator signed these bytes.
    Good {
        /// Fingerprint of the key.
        key: String,
    },
}

impl Standing {
    /// Whether the package is vouched for.
    pub fn is_good(&self) -> bool {
        matches!(self, Standing::Good { .. })
    }
}

/// As a reason for holding a package: what is wrong, in words.
impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Standing::Unsigned => f.write_str("it is not signed"),
            Standing::Unreadable(why) => write!(f, "its signature cannot be read: {why}"),
            Standing::OtherNamespace(namespace) => {
                write!(f, "its signature is for another purpose, \"{namespace}\"")
            }
            Standing::Unknown(key) => {
                write!(f, "it is signed with the key {key}, which is not trusted here")
            }
            Standing::Bad { key } => write!(
                f,
                "bad signature: it was changed after signing, or the key {key} never signed it"
            ),
            Standing::WrongSigner { key, of, origin } => {
                write!(
                    f,
                    "it says that it is from {origin}, and is signed with a key of {of}, {key}"
                )
            }
            Standing::NotYet { key } => write!(f, "the key {key} that signed it is not valid yet"),
            Standing::Expired { key } => write!(f, "the key {key} that signed it has expired"),
            Standing::Revoked { key } => write!(f, "the key {key} that signed it was revoked"),
            Standing::Good { key } => write!(f, "signed with the trusted key {key}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_several_is_the_nearest_to_good() {
        let key = || "SHA256:x".to_owned();
        let ascending = [
            Standing::Unsigned,
            Standing::Unreadable("z".into()),
            Standing::OtherNamespace("a".into()),
            Standing::Unknown(key()),
            Standing::Bad { key: key() },
            Standing::WrongSigner { key: key(), of: "b@b".into(), origin: "a@a".into() },
            Standing::NotYet { key: key() },
            Standing::Expired { key: key() },
            Standing::Revoked { key: key() },
            Standing::Good { key: key() },
        ];
        assert!(ascending.is_sorted());
        assert_eq!(ascending.iter().filter(|standing| standing.is_good()).count(), 1);
    }
}
