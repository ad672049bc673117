//! What arrived sealed: opened with our keys, and put into the queue again as what it is.
//!
//! Nothing is judged here but that it opens. Invariant: what was sealed is let go only when what it
//! held is durably in the queue.

use std::io::Read;

use crate::edge::queue::{Arrival, Delivered, Entry, EntryState, Judgement, Outcome, Queue};
use crate::edge::seal::{Opener, SealError, is_of_content};
use crate::edge::signing;
use crate::format::message::{self, Kind};
use crate::model::limits::SIGNATURE_BYTES_MAX;

use super::super::outcome::{Failure, tell};
use super::super::session::Session;
use super::super::vouch;

/// What came of opening one entry.
pub enum Opened {
    /// This entry holds what was in it.
    Entry(String),
    /// It waits, for this reason.
    Held(String),
    /// It holds nothing for us, for this reason.
    Refused(String),
}

/// Opens a sealed entry: what is in it becomes an entry of its own, with its signatures, and the
/// sealed one is done. Nothing of its own is changed where it does not open.
///
/// # Errors
/// Trouble of the disk.
pub fn open_entry(
    session: &Session,
    queue: &Queue,
    opener: &Opener,
    entry: &Entry,
) -> Result<Opened, Failure> {
    if opener.is_empty() {
        let why = "it is sealed, and there is no key here that could open it; see remsync(5)";
        return Ok(Opened::Held(why.to_owned()));
    }
    let sealed = queue.open_entry(entry)?;
    let mut from = match opener.open(&sealed) {
        Ok(from) => from,
        Err(SealError::Io(error)) => return Err(Failure::new(error)),
        Err(SealError::Damaged) => return Ok(Opened::Refused(SealError::Damaged.to_string())),
        Err(error) => return Ok(Opened::Held(error.to_string())),
    };
    let mut incoming = queue.incoming()?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => incoming.write(buffer.get(..count).unwrap_or_default())?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) if is_of_content(&error) => {
                return Ok(Opened::Refused(SealError::Damaged.to_string()));
            }
            Err(error) => return Err(Failure::new(error)),
        }
    }
    let spooled = incoming.settle()?;
    let origin = match &spooled.judgement {
        Judgement::Sound { origin, .. } => origin.clone(),
        Judgement::Refused(why) => return Ok(Opened::Refused(why.clone())),
        Judgement::Sealed | Judgement::NotAPackage => {
            return Ok(Opened::Refused("what is sealed in it is no package".to_owned()));
        }
    };
    let signatures = signatures(queue, opener, entry);
    let voucher = vouch::known(&session.places, &session.settings, &spooled, &origin, &signatures);
    let arrival = Arrival {
        from: entry.from.clone(),
        message_id: entry.message_id.clone(),
        known: voucher.known,
        proof: voucher.proof,
        signatures,
    };
    let inside = spooled.sha256;
    let Delivered { id, outcome, .. } = queue.deliver(spooled, &arrival)?;
    if outcome == Outcome::NotKept {
        let why = "the room for packages that nobody whom we know signed is full";
        return Ok(Opened::Held(why.to_owned()));
    }
    queue.retire_opened(entry, Some(inside))?;
    Ok(Opened::Entry(id))
}

/// Returns the keys that open what is sealed to us; one that cannot be used is told of.
pub fn opener(session: &Session) -> Opener {
    let mut opener = Opener::default();
    let ours = session.places.sign_key(&session.settings);
    // A key that an agent keeps, or one that is not there, signs perhaps, and opens nothing.
    let opens = signing::read_private(&ours).is_ok_and(|text| signing::is_private(&text));
    let keys = opens.then_some(ours).into_iter().chain(session.settings.open_keys.iter().cloned());
    for key in keys {
        if let Err(error) = opener.add(key, &mut |path| session.passphrase(path)) {
            tell(format_args!("remsync: {error}: it opens nothing."));
        }
    }
    opener
}

/// The signatures that came with a sealed package: what is sealed of them is opened.
fn signatures(queue: &Queue, opener: &Opener, entry: &Entry) -> Vec<Vec<u8>> {
    // What is not sealed is what it is.
    let open = |bytes: Vec<u8>| match message::kind(&bytes) {
        Some(Kind::Sealed) => opener.open_bytes(&bytes, SIGNATURE_BYTES_MAX).ok(),
        _ => Some(bytes),
    };
    let fits = |bytes: &Vec<u8>| bytes.len() as u64 <= SIGNATURE_BYTES_MAX;
    queue.signatures_of(entry).into_iter().filter_map(open).filter(fits).collect()
}

/// Whether an entry is sealed and waits.
pub fn waits_sealed(entry: &Entry) -> bool {
    entry.sealed && matches!(entry.state, EntryState::New | EntryState::Held)
}
