//! Floor 2: what touches the world. Knows the model and the formats; never asks whether, only does
//! it or says why it could not.

pub mod agent;
pub mod carrier;
pub mod identities;
pub mod kept;
pub mod lock;
pub mod log;
pub mod outbox;
pub mod places;
pub mod private;
pub mod program;
pub mod push;
pub mod queue;
pub mod runs;
pub mod seal;
pub mod secret;
pub mod sent;
pub mod signing;
pub mod snapshot;
pub mod ssh;
pub mod state;
pub mod stop;
pub mod tree;
pub mod trust;
pub mod web;
pub mod window;
