//! Floor 1, left: what follows. Pure functions over the model: no disk, no net, no process, no
//! environment, no clock, no randomness; what they need is passed in.

pub mod brake;
pub mod classic;
pub mod decide;
pub mod hosts;
pub mod intent;
pub mod learn;
pub mod observe;
pub mod parts;
pub mod plan;
pub mod quiet;
pub mod reconcile;
pub mod select;
pub mod settle;
pub mod status;
pub mod visit;
