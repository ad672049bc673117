//! Floor 1, right: how things are written. Bytes to model and back; knows no rules.

pub mod allowed_signers;
pub mod cksum;
pub mod counted;
pub mod difference;
pub mod digest;
pub mod journal;
pub mod ledger;
pub mod mail;
pub mod message;
pub mod note;
pub mod orders;
pub mod package;
pub mod percent;
pub mod project;
pub mod public_key;
pub mod push;
pub mod report;
pub mod revoked;
pub mod runs;
pub mod seal_keys;
pub mod settings;
pub mod sshsig;
pub mod sftp;
pub mod statement;
pub mod volume;
