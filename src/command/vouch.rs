//! Who vouches for a package: what its signatures come to, and what the settings say of that.
//!
//! Glue between the queue's entries, [`Trust`] and the person; decides nothing that
//! `[trust] unsigned` does not say.

use std::fs::File;

use jiff::Timestamp;

use crate::edge::places::Places;
use crate::edge::queue::{Entry, Queue, Spooled};
use crate::edge::trust::Trust;
use crate::format::settings::{Settings, Unsigned};
use crate::model::project::Format;
use crate::model::signer::Standing;

use super::outcome::{Failure, tell};
use super::session::Session;

/// Says what the signatures of an entry come to, if `origin` wrote it.
///
/// # Errors
/// The package cannot be read.
pub fn standing(
    session: &Session,
    trust: &Trust,
    queue: &Queue,
    entry: &Entry,
    package: &File,
    origin: &str,
) -> Result<Standing, Failure> {
    trust
        .standing(package, &queue.signatures_of(entry), origin, session.now_ms)
        .map_err(|error| Failure::new(format!("{}: {error}", entry.id)))
}

/// Tells which lines of `allowed_signers` cannot be read, and hence trust nobody.
pub fn tell_faults(session: &Session, trust: &Trust) {
    let file = session.places.allowed_signers(&session.settings);
    for (number, fault) in &trust.signers.faults {
        tell(format_args!(
            "remsync: {}:{number}: {fault}: the line trusts nobody.",
            file.display()
        ));
    }
}

/// Whether a package may take the room of those we know. An address proves nothing: unless the
/// settings take what is not signed, a signature has to. Whom we trust may not be to be read: that
/// is trouble of ours, and no reason to turn a package away.
pub fn is_known(
    places: &Places,
    settings: &Settings,
    package: &Spooled,
    origin: &str,
    signatures: &[Vec<u8>],
) -> bool {
    let is_vouched = || {
        if settings.unsigned == Some(Unsigned::Accept) {
            return Some(true);
        }
        let trust =
            Trust::load(&places.allowed_signers(settings), &places.revoked_keys(settings)).ok()?;
        let now_ms = Timestamp::now().as_millisecond().unsigned_abs();
        let standing = trust.standing(&package.open().ok()?, signatures, origin, now_ms).ok()?;
        Some(standing.is_good())
    };
    places.knows_remote(origin) && is_vouched().unwrap_or(true)
}

/// Why a package may not be applied; `None` where its signature is good, the settings let it, or a
/// person at the terminal does. `is_named`: the person named this very package.
pub fn distrust(
    session: &Session,
    entry: &Entry,
    standing: &Standing,
    is_named: bool,
) -> Option<String> {
    if standing.is_good() {
        return None;
    }
    let may_ask = match session.unsigned() {
        Unsigned::Accept => {
            // Whoever changed a package could have taken its signature away as well.
            if *standing != Standing::Unsigned {
                tell(format_args!("remsync: {}: taken none the less: {standing}.", entry.id));
            }
            return None;
        }
        Unsigned::Ask => session.may_ask(),
        Unsigned::Hold => is_named && session.may_ask(),
    };
    if may_ask {
        let (id, origin) = (&entry.id, &entry.origin);
        let question = format!("Package {id} from {origin}: {standing}. Apply it? [y/N] ");
        if super::ask::yes(&question) {
            return None;
        }
    }
    Some(standing.to_string())
}

/// Returns what a person can do about a package that is not vouched for; empty where nothing helps.
pub fn hint(standing: &Standing, format: Format, origin: &str) -> String {
    match (standing, format) {
        (Standing::Unsigned, Format::V1_3) => {
            "format 1.3 has no signatures; unsigned = \"accept\" below [trust] in the settings \
             applies such packages"
                .into()
        }
        (Standing::Unsigned, Format::V2_0) => format!(
            "\"remsync key new\" at {origin} makes a key, \"remsync key trust {origin} FILE\" here \
             trusts it"
        ),
        (Standing::Unknown(_), _) => format!(
            "\"remsync key trust {origin} FILE\" trusts a key; compare the fingerprint with its \
             owner first"
        ),
        (Standing::Expired { .. } | Standing::NotYet { .. }, _) => {
            "its time is in allowed_signers; see remsync(5)".into()
        }
        _ => String::new(),
    }
}
