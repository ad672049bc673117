//! Floor 0: what things are. Sees the standard library only: no syntax, no disk, no clock.

pub mod belief;
pub mod host;
pub mod identities;
pub mod knowledge;
pub mod limits;
pub mod listing;
pub mod orders;
pub mod path;
pub mod project;
pub mod questions;
pub mod run;
pub mod signature;
pub mod signer;
pub mod site;
pub mod snapshot;
pub mod verdict;
pub mod version;

pub use belief::Belief;
pub use host::{Host, HostSite};
pub use listing::Listing;
pub use path::TreePath;
pub use questions::Questions;
pub use signature::Signature;
pub use site::{Address, Site};
pub use version::{Ancestor, Content, History, Prefix, Version};
