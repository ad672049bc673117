//! Who vouches for a package: what its signatures come to, and what the settings say of that.
//!
//! Glue between the queue's entries, [`Trust`] and the person; decides nothing that
//! `[trust] unsigned` does not say.

use std::fs::File;
use std::path::Path;

use jiff::Timestamp;

use crate::edge::places::Places;
use crate::edge::queue::{Entry, Known, Queue, Spooled, SpooledPart};
use crate::edge::trust::{self, Trust};
use crate::format::allowed_signers;
use crate::format::public_key::PublicKey;
use crate::format::settings::{Settings, Unsigned};
use crate::model::Address;
use crate::model::project::Format;
use crate::model::signer::Standing;

use super::ask;
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

/// Returns the keys that signed an entry, trusted or not.
///
/// # Errors
/// Its bytes cannot be read.
pub fn signers(queue: &Queue, entry: &Entry) -> Result<Vec<PublicKey>, Failure> {
    let package = queue.open_entry(entry)?;
    trust::signers_of(&package, &queue.signatures_of(entry))
        .map_err(|error| Failure::new(format!("{}: {error}", entry.id)))
}

/// Asks the person whether a key that came by mail is its owner's.
pub fn are_its_words(address: &Address, key: &PublicKey) -> bool {
    tell(format_args!("{address} is said to have the key with these words:"));
    tell(format_args!("  {}", key.words()));
    ask::yes("Does its owner see the same by \"remsync key show --words\"? [y/N] ")
}

/// Trusts a key from now on to sign for an address.
///
/// # Errors
/// It cannot be written down.
pub fn begin_to_trust(
    session: &Session,
    address: &Address,
    key: &PublicKey,
) -> Result<(), Failure> {
    let path = session.places.allowed_signers(&session.settings);
    Ok(trust::append(&path, &allowed_signers::line(address, key))?)
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

/// How well whoever sent something is known, and which signature says so.
#[derive(Clone, Copy, Debug, Default)]
pub struct Voucher {
    /// How much room there is for it.
    pub known: Known,
    /// The signature that vouches for it.
    pub proof: Option<usize>,
}

/// Says whether a package comes from somebody whom we know: an address proves nothing, a signature
/// does, and the settings may take one for the other.
pub fn known(
    places: &Places,
    settings: &Settings,
    package: &Spooled,
    origin: &str,
    signatures: &[Vec<u8>],
) -> Voucher {
    known_by(places, settings, origin, !signatures.is_empty(), |trust, now_ms| {
        trust.proof(&package.open().ok()?, signatures, origin, now_ms).ok()?
    })
}

/// As [`known`], of a part of a package in the mail of `from`. A volume names the digest of its whole,
/// and that alone is what our signatures of such packages are made of.
pub fn known_part(
    places: &Places,
    settings: &Settings,
    part: &SpooledPart,
    from: &str,
    signatures: &[Vec<u8>],
) -> Voucher {
    let Some(volume) = part.volume() else {
        return known_by(places, settings, from, false, |_, _| None);
    };
    let origin = volume.here.as_str();
    known_by(places, settings, origin, !signatures.is_empty(), |trust, now_ms| {
        trust.proof_of_sha256(&volume.whole, signatures, origin, now_ms)
    })
}

/// Whom we trust may not be to be read: that is trouble of ours, and proves nothing either way.
fn known_by(
    places: &Places,
    settings: &Settings,
    origin: &str,
    is_signed: bool,
    proof: impl FnOnce(&Trust, u64) -> Option<usize>,
) -> Voucher {
    let projects = places.projects_with(origin);
    if projects.is_empty() {
        return Voucher::default();
    }
    let is_content =
        projects.iter().any(|project| settings.unsigned_in(project) == Unsigned::Accept);
    let now_ms = Timestamp::now().as_millisecond().unsigned_abs();
    // What nobody signed is not looked up.
    let trust = if is_signed { Trust::load(places, settings).ok() } else { None };
    let proof = trust.and_then(|trust| proof(&trust, now_ms));
    let known = if is_content || proof.is_some() { Known::Proved } else { Known::Says };
    Voucher { known, proof }
}

/// Why a package may not be applied; `None` where its signature is good, the settings let it, or a
/// person at the terminal does. `is_named`: the person named this very package.
pub fn distrust(
    session: &Session,
    project: &Path,
    entry: &Entry,
    standing: &Standing,
    is_named: bool,
) -> Option<String> {
    if standing.is_good() {
        return None;
    }
    let may_ask = match session.unsigned_in(project) {
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
        if ask::yes(&question) {
            return None;
        }
    }
    Some(standing.to_string())
}

/// Returns what a person can do about a package that is not vouched for; empty where nothing helps.
pub fn hint(standing: &Standing, format: Format, entry: &Entry) -> String {
    let (id, origin) = (&entry.id, &entry.origin);
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
            "\"remsync queue show {id}\" shows its words; where {origin} sees the same by \"remsync \
             key show --words\", \"remsync key trust {origin} {id}\" trusts it"
        ),
        (Standing::Expired { .. } | Standing::NotYet { .. }, _) => {
            "its time is in allowed_signers; see remsync(5)".into()
        }
        _ => String::new(),
    }
}
