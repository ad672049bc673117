//! `seal_keys`: to whom packages are sealed, and with which key; an address and a key a line.
//!
//! It seals nothing. Invariant: a line that cannot be read is an error, for a package must never
//! go out open because a line was misspelt.

use std::collections::BTreeMap;

use super::public_key::PublicKey;
use crate::model::Address;

/// Who gets sealed packages, each with its key as `age -r` takes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SealKeys {
    keys: BTreeMap<Address, (usize, String)>,
}

/// Why a file of such keys cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct SealKeysFault {
    /// From 1.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

/// Returns a key that can be sealed to, as one text, from what a person handed over: a public key
/// of SSH (ed25519 or RSA), or one of age.
///
/// # Errors
/// What is wrong with it.
pub fn seal_key(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.starts_with("age1") && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(text.to_owned());
    }
    let key = PublicKey::parse(text).map_err(|fault| fault.to_string())?;
    match key.kind().as_str() {
        "ssh-ed25519" | "ssh-rsa" => Ok(key.bare_line()),
        kind => Err(format!("age cannot seal to a key of the kind {kind}")),
    }
}

impl SealKeys {
    /// Reads a file.
    ///
    /// # Errors
    /// The first [`SealKeysFault`].
    pub fn parse(text: &str) -> Result<SealKeys, SealKeysFault> {
        let mut keys = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let fault = |what: String| SealKeysFault { line: number, what };
            let (address, key) = line
                .split_once([' ', '\t'])
                .ok_or_else(|| fault("it is no address and a key".to_owned()))?;
            let address = Address::new(address).map_err(|error| fault(error.to_string()))?;
            let key = seal_key(key).map_err(&fault)?;
            if keys.contains_key(&address) {
                return Err(fault(format!("{address} has a line before")));
            }
            keys.insert(address, (number, key));
        }
        Ok(SealKeys { keys })
    }

    /// Returns the key for an address.
    pub fn key_of(&self, address: &Address) -> Option<&str> {
        self.keys.get(address).map(|(_, key)| key.as_str())
    }

    /// Returns the number of the line for an address, from 1.
    pub fn line_of(&self, address: &Address) -> Option<usize> {
        self.keys.get(address).map(|(line, _)| *line)
    }

    /// Returns all of them.
    pub fn all(&self) -> impl Iterator<Item = (&Address, &str)> {
        self.keys.iter().map(|(address, (_, key))| (address, key.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
    const AGE: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

    #[test]
    fn a_line_is_an_address_and_a_key() {
        let text = format!("# to whom\n\nA@x {KEY} a comment\nb@x\t{AGE}\n");
        let keys = SealKeys::parse(&text).unwrap();
        let key_of = |address: &str| keys.key_of(&Address::new(address).unwrap());
        assert_eq!(key_of("a@x"), Some(KEY));
        assert_eq!(key_of("b@x"), Some(AGE));
        assert_eq!(key_of("c@x"), None);
        assert_eq!(keys.line_of(&Address::new("b@x").unwrap()), Some(4));
    }

    #[test]
    fn a_line_that_cannot_be_read_is_an_error() {
        for text in [
            "a@x".to_owned(),
            format!("/a {KEY}"),
            "a@x age1!".to_owned(),
            "a@x ssh-ed25519 AAAA".to_owned(),
            "a@x ecdsa-sha2-nistp256 AAAA".to_owned(),
            format!("a@x {KEY}\na@x {AGE}"),
        ] {
            assert!(SealKeys::parse(&text).is_err(), "{text}");
        }
    }
}
