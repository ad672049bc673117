//! Ctrl-C and SIGTERM: work ends where it can be gone on with.
//!
//! Invariant: the first signal only asks; the second ends the program.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::{register, register_conditional_shutdown};

/// The exit status of a program that a second signal ended.
const STATUS: i32 = 2;

/// Returns a flag that is set by the first signal.
///
/// # Errors
/// The system refuses.
pub fn flag() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: what the second does is looked at before the first is noted.
        register_conditional_shutdown(signal, STATUS, Arc::clone(&stop))?;
        register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}
