//! The mail between the sites, and what becomes of it on the way.

use std::fs;
use std::path::{Path, PathBuf};

use super::counts::{Counts, Kind};
use super::prng::Prng;

/// One mail.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The number of the site that sent it; of a stranger none.
    pub from: Option<usize>,
    /// The number of the site that it is for.
    pub to: usize,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// How the mail is in one world, in thousandths.
#[derive(Clone, Copy, Debug)]
pub struct Losses {
    /// A mail is lost.
    pub lost: u32,
    /// Its sender is told so.
    pub returned: u32,
    /// It stays under way and comes once more.
    pub doubled: u32,
    /// It is not the oldest that comes.
    pub shuffled: u32,
    /// It is cut short, and comes whole later.
    pub cut: u32,
    /// A bit of it flips, and it comes whole later.
    pub flipped: u32,
}

/// Takes the mails that a carrier has put down for these addresses.
pub fn harvest(post: &Path, addresses: &[String], from: Option<usize>) -> Vec<Mail> {
    let mut mails = Vec::new();
    for (to, address) in addresses.iter().enumerate() {
        for file in super::site::entries(&post.join(address).join("new")) {
            let bytes = fs::read(&file).expect("a mail");
            fs::remove_file(file).expect("a mail");
            mails.push(Mail { from, to, bytes });
        }
    }
    mails
}

/// Whether a mail is a part of a package.
pub fn is_volume(mail: &Mail) -> bool {
    let head = &mail.bytes[..mail.bytes.len().min(4_000)];
    String::from_utf8_lossy(head).contains("(volume ")
}

/// What comes to a mailbox.
pub enum Arrival {
    /// This, for this site.
    Mail(usize, Vec<u8>),
    /// Nothing: it was lost. Its sender is told this, if anything.
    Lost(Option<(usize, Vec<u8>)>),
}

/// Lets one of the mails under way arrive, in whatever state.
pub fn arrive(
    air: &mut Vec<Mail>,
    addresses: &[String],
    losses: &Losses,
    counts: &mut Counts,
    rng: &mut Prng,
) -> Option<Arrival> {
    if air.is_empty() {
        return None;
    }
    let at = if rng.chance(losses.shuffled) { rng.below(air.len()) } else { 0 };
    if at > 0 {
        counts.add(Kind::Shuffled);
    }
    if rng.chance(losses.lost) {
        counts.add(Kind::Lost);
        let mail = air.remove(at);
        counts.add_many(Kind::LostVolumes, usize::from(is_volume(&mail)));
        let is_told = rng.chance(losses.returned);
        return Some(Arrival::Lost(mail.from.filter(|_| is_told).map(|from| {
            counts.add(Kind::Returned);
            (from, returned(&mail, &addresses[mail.to]))
        })));
    }
    let Mail { to, mut bytes, .. } = air[at].clone();
    if rng.chance(losses.cut) {
        counts.add(Kind::Cut);
        bytes.truncate(rng.below(bytes.len()));
    } else if rng.chance(losses.flipped) {
        counts.add(Kind::Flipped);
        let place = rng.below(bytes.len());
        bytes[place] ^= 1 << rng.below(8);
    } else if rng.chance(losses.doubled) {
        counts.add(Kind::Doubled);
    } else {
        air.remove(at);
    }
    Some(Arrival::Mail(to, bytes))
}

/// Writes a mail to a file, for a filter.
pub fn put_down(folder: &Path, bytes: &[u8]) -> PathBuf {
    let file = folder.join("mail");
    fs::write(&file, bytes).expect("a mail in the world's folder");
    file
}

/// Returns word that a mail came back, as Postfix writes it.
fn returned(mail: &Mail, address: &str) -> Vec<u8> {
    let mut text = format!(
        "Return-Path: <>\nFrom: MAILER-DAEMON@mx.example (Mail Delivery System)\n\
         Subject: Undelivered Mail Returned to Sender\nAuto-Submitted: auto-replied\n\
         MIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status;\n\
         \tboundary=\"AB/mx\"\n\nThis is a MIME-encapsulated message.\n\n--AB/mx\n\
         Content-Type: text/plain\n\nThis is the mail system at host mx.example.\n\n\
         --AB/mx\nContent-Type: message/delivery-status\n\n\
         Reporting-MTA: dns; mx.example\n\nFinal-Recipient: rfc822; {address}\n\
         Action: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 User unknown\n\n\
         --AB/mx\nContent-Type: message/rfc822\n\n"
    )
    .into_bytes();
    text.extend_from_slice(&mail.bytes);
    text.extend_from_slice(b"\n--AB/mx--\n");
    text
}
