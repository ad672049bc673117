//! Sites: an address and a directory.

use std::fmt;

use super::limits::ADDRESS_BYTES_MAX;

/// A site's e-mail address, or the host for ssh; in lower case, so that two spellings are one.
///
/// Invariant: not empty, no white space, control character, `/` or leading `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(String);

/// Why some text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressFault {
    /// Nothing at all.
    Empty,
    /// It begins with `-`: it could be read as an option by a mailer.
    LeadingDash,
    /// A character that no address here may hold.
    Character(char),
    /// More than [`ADDRESS_BYTES_MAX`] bytes.
    TooLong,
}

impl Address {
    /// Checks `text` and keeps it in lower case.
    ///
    /// # Errors
    /// The first [`AddressFault`] found.
    pub fn new(text: &str) -> Result<Address, AddressFault> {
        if text.is_empty() {
            return Err(AddressFault::Empty);
        }
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(AddressFault::TooLong);
        }
        if text.starts_with('-') {
            return Err(AddressFault::LeadingDash);
        }
        match text
            .chars()
            .find(|c| c.is_control() || c.is_whitespace() || matches!(c, '/' | '<' | '>'))
        {
            Some(c) => Err(AddressFault::Character(c)),
            None => Ok(Address(text.to_lowercase())),
        }
    }

    /// Returns the address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for AddressFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddressFault::Empty => f.write_str("an empty address"),
            AddressFault::LeadingDash => f.write_str("an address that begins with \"-\""),
            AddressFault::Character(c) => write!(f, "an address with {c:?} in it"),
            AddressFault::TooLong => write!(f, "an address over {ADDRESS_BYTES_MAX} bytes"),
        }
    }
}

impl std::error::Error for AddressFault {}

/// One place that holds a copy of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Where its mail goes.
    pub address: Address,
    /// The top directory there, as that site writes it (`~/x` or absolute); `None` is `-`: not
    /// known. Bytes, for a name need not be UTF-8.
    pub directory: Option<Box<[u8]>>,
}
