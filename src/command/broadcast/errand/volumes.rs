//! A package that is larger than a mail, cut into volumes: each is handed over as a mail of its own,
//! and what a carrier took is not sent again.
//!
//! Invariant: the outbox says how far a package is only after a carrier took it so far. A crash
//! between the two sends one volume again, as the same mail.

use std::fs::File;
use std::num::NonZeroU64;
use std::path::Path;

use super::{Refusal, Walk};
use crate::command::broadcast::report::Report;
use crate::command::outcome::Failure;
use crate::edge::outbox::{Unsent, Volumes};
use crate::edge::window::Window;
use crate::format::digest::sha256_of;
use crate::format::mail::{self, Letter};
use crate::format::volume::{self, Place, Volume};
use crate::model::Address;
use crate::model::orders::Orders;

/// Cuts a package, or what it is sealed in, into volumes whose mails have at most `limit_bytes`, where that can be done.
pub(super) fn cut(
    unsent: &mut Unsent,
    letter: &Letter,
    here: &Address,
    signature: Option<&[u8]>,
    limit_bytes: u64,
) -> Result<(), Failure> {
    let Some(room_bytes) = mail::volume_room(letter, here, signature, limit_bytes)? else {
        return Ok(());
    };
    let (_, carried_bytes) = unsent.carried();
    let room_bytes = volume::even_room(carried_bytes, room_bytes);
    let Some(places) = volume::plan(0, carried_bytes, room_bytes, 0) else { return Ok(()) };
    let volumes = u64::try_from(places.len()).unwrap_or(u64::MAX);
    unsent.volumes = Some(Volumes { sent: 0, sent_bytes: 0, room_bytes });
    unsent.mail_bytes =
        volumes.saturating_mul(limit_bytes).min(unsent.mail_bytes.saturating_mul(2));
    Ok(())
}

impl Walk<'_, '_> {
    /// Asks the carrier to take a package, in one mail or in volumes; returns the bytes that it
    /// took.
    pub(super) fn hand_to_carrier(
        &mut self,
        letter: &Letter,
        told: &Orders,
        path: &Path,
        signature: Option<&[u8]>,
        report: &mut Report,
    ) -> Result<Result<u64, Refusal>, Failure> {
        let unsent = self.note.package.clone();
        let mail_bytes = unsent.as_ref().map_or(0, |unsent| unsent.mail_bytes);
        let Some((unsent, volumes)) = unsent.and_then(|u| u.volumes.map(|volumes| (u, volumes)))
        else {
            let answer = self.carrier.send(letter, path, signature);
            if let Ok(bytes) = &answer {
                self.remember(letter, *bytes);
            }
            return Ok(answer.map_err(|failure| Refusal { failure, mail_bytes }));
        };
        let here = &told.identity.here.address;
        let (whole, total_bytes) = unsent.carried();
        let places = self.places(letter, here, signature, total_bytes, volumes)?;
        let at = |error: std::io::Error| Failure::new(format!("{}: {error}", path.display()));
        let file = File::open(path).map_err(at)?;
        let mut bytes = 0;
        for place in places {
            let run = Window::from(&file, place.offset, place.end());
            let (sha256, _) = sha256_of(run).map_err(at)?;
            let volume = Volume { here: here.clone(), whole, total_bytes, place, sha256 };
            let length = volume::header(&volume).len() as u64 + place.length_bytes;
            let message_id = mail::volume_message_id(&letter.message_id, &place);
            let letter = Letter { message_id, volume: Some(volume), ..letter.clone() };
            match self.carrier.send(&letter, path, signature) {
                Ok(sent) => {
                    self.remember(&letter, sent);
                    bytes += sent;
                }
                Err(failure) => {
                    let mail_bytes = mail::size_bytes(&letter, length, signature)?;
                    self.note_refused_volume(&place, failure.limit_bytes.is_some());
                    report.volumes = (place.number - 1, place.count);
                    return Ok(Err(Refusal { failure, mail_bytes }));
                }
            }
            self.note_volume(&place)?;
            report.volumes = (place.number, place.count);
        }
        Ok(Ok(bytes))
    }

    /// What is left to be sent, cut as the site's limit has it now.
    fn places(
        &self,
        letter: &Letter,
        here: &Address,
        signature: Option<&[u8]>,
        total_bytes: u64,
        volumes: Volumes,
    ) -> Result<Vec<Place>, Failure> {
        let Volumes { sent, sent_bytes, room_bytes } = volumes;
        if sent_bytes >= total_bytes {
            return Ok(Vec::new());
        }
        let most = match self.limit_bytes {
            Some(limit) => mail::volume_room(letter, here, signature, limit)?,
            None => Some(room_bytes),
        };
        let left = total_bytes - sent_bytes;
        let room = most.map(|most| match most < room_bytes {
            true => volume::even_room(left, most),
            false => room_bytes,
        });
        let places = room.and_then(|room| volume::plan(sent_bytes, total_bytes, room, sent));
        places.ok_or_else(|| {
            Failure::new(format!("{}: the package is too big, even in volumes", self.note.to))
                .hinted("\"remsync queue drop\" forgets it, and --to carries it")
        })
    }

    fn note_volume(&mut self, place: &Place) -> Result<(), Failure> {
        let volumes = self.note.package.as_mut().and_then(|unsent| unsent.volumes.as_mut());
        if let Some(volumes) = volumes {
            (volumes.sent, volumes.sent_bytes) = (place.number, place.end());
        }
        // The site got something: pauses begin anew.
        self.note.attempts = 1;
        Ok(self.view.outbox.put(&self.note, None)?)
    }

    /// Where even a volume was too big the next are half as large: a limit may be known as no more
    /// than a little less than what was refused.
    fn note_refused_volume(&mut self, place: &Place, is_too_big: bool) {
        let volumes = self.note.package.as_mut().and_then(|unsent| unsent.volumes.as_mut());
        if let Some(volumes) = volumes.filter(|_| is_too_big) {
            let half = NonZeroU64::new(place.length_bytes / 2).unwrap_or(NonZeroU64::MIN);
            volumes.room_bytes = volumes.room_bytes.min(half);
        }
    }
}
