//! Floor 2: what touches the world. Knows the model and the formats; never asks whether, only does
//! it or says why it could not.

pub mod agent;
#[allow(clippy::disallowed_methods, reason = "it writes mail in maildirs and folders")]
pub mod carrier;
#[allow(clippy::disallowed_methods, reason = "it writes files of a project's own")]
pub mod identities;
pub mod kept;
#[allow(clippy::disallowed_methods, reason = "it writes files of our own")]
pub mod lock;
#[allow(clippy::disallowed_methods, reason = "it writes our own log")]
pub mod log;
pub mod names;
#[allow(clippy::disallowed_methods, reason = "it writes files of a project's own")]
pub mod outbox;
pub mod parallel;
#[allow(clippy::disallowed_methods, reason = "it writes the register of projects")]
pub mod places;
#[allow(clippy::disallowed_methods, reason = "it writes files of our own, made anew")]
pub mod private;
#[allow(clippy::disallowed_methods, reason = "it writes in a folder of its own")]
pub mod program;
#[allow(clippy::disallowed_methods, reason = "it writes its own logs and notes")]
pub mod push;
#[allow(clippy::disallowed_methods, reason = "it writes the queue, which is ours")]
pub mod queue;
#[allow(clippy::disallowed_methods, reason = "it writes files of a project's own")]
pub mod runs;
pub mod seal;
#[allow(clippy::disallowed_methods, reason = "it asks at the terminal")]
pub mod secret;
#[allow(clippy::disallowed_methods, reason = "it writes our own log")]
pub mod sent;
pub mod settled;
#[allow(clippy::disallowed_methods, reason = "it makes keys")]
pub mod signing;
#[allow(clippy::disallowed_methods, reason = "it writes files of a project's own")]
pub mod snapshot;
#[allow(clippy::disallowed_methods, reason = "it makes sockets in a folder of its own")]
pub mod ssh;
#[allow(clippy::disallowed_methods, reason = "it writes files of a project's own")]
pub mod state;
pub mod stop;
pub mod tree;
#[allow(clippy::disallowed_methods, reason = "it writes files of our own")]
pub mod trust;
pub mod web;
pub mod window;
