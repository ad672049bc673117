//! A set that is complete becomes one file: joined, decoded where it is encoded, and judged.
//!
//! Invariant: what comes of volumes has the digest that each of them names.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use sha2::Digest;

use super::set::{self, Joined, Share, Slice};
use super::{Whole, WholeMail};
use crate::edge::lock::Lock;
use crate::edge::queue::disk::at;
use crate::edge::queue::judge::HEAD_BYTES;
use crate::edge::queue::{Incoming, Judgement, Queue, QueueError, Spooled};
use crate::format::digest::hex;
use crate::format::message::shar::Decoder;
use crate::format::message::{self, Kind};
use crate::model::limits::{RATIO_FREE_BYTES, UNPACKED_BYTES_MAX};

/// What joining came to.
pub(super) enum Joint {
    Waits,
    Whole(Box<Whole>),
    /// It is a mail, of which nothing was judged.
    Mail(Box<WholeMail>),
    /// Other people's business; the set is gone.
    Foreign,
}

impl Queue {
    /// Joins a set that is complete.
    pub(super) fn join(&self, id: [u8; 32], lock: Lock) -> Result<Joint, QueueError> {
        let set = self.set(&id)?;
        let Some(slices) = set::cover(&set.kept) else { return Ok(Joint::Waits) };
        let spooled = match set.kept.first().map(|kept| kept.share) {
            Some(Share::Fragment { .. }) => {
                let (arrival, lines) = (self.arrival_of(&set)?, Joined::new(slices));
                let whole = WholeMail { arrival, lines, set: id, _lock: lock };
                return Ok(Joint::Mail(Box::new(whole)));
            }
            Some(Share::Volume { .. }) => match self.joined(slices, &id)? {
                Some(spooled) => Ok(spooled),
                None => Err(format!(
                    "together they are not what was sent, for their digest is not {}; a part \
                     that is sent again may mend that",
                    hex(&id)
                )),
            },
            _ => match self.decoded(&slices, false)? {
                Spooled { judgement: Judgement::Refused(why), .. } => Err(damaged(&why)),
                Spooled { judgement: Judgement::NotAPackage, .. } => {
                    if let Some(why) = fault_in(encoded(&slices)) {
                        Err(damaged(&why))
                    } else {
                        self.remove_set(&id)?;
                        return Ok(Joint::Foreign);
                    }
                }
                spooled => Ok(spooled),
            },
        };
        match spooled {
            Ok(spooled) => {
                let arrival = self.arrival_of(&set)?;
                Ok(Joint::Whole(Box::new(Whole { spooled, arrival, set: id, _lock: lock })))
            }
            Err(why) => {
                self.change_note(&id, |note| note.reason = why)?;
                Ok(Joint::Waits)
            }
        }
    }

    /// Joins volumes; `None` where the whole is not the one that they name.
    fn joined(&self, slices: Vec<Slice>, whole: &[u8; 32]) -> Result<Option<Spooled>, QueueError> {
        let incoming = copied(self.incoming()?, &mut Joined::new(slices))?;
        // Of what is plainly foreign the rest was not written, and its digest is not known.
        let is_it = incoming.foreign || incoming.digest.clone().finalize()[..] == whole[..];
        if is_it { incoming.settle().map(Some) } else { Ok(None) }
    }

    /// Decodes the pieces of one file; one that the archive packed once more is unpacked. What it
    /// packed otherwise is refused where it `claims` to be a package; several pieces always do.
    pub(super) fn decoded(&self, slices: &[Slice], claims: bool) -> Result<Spooled, QueueError> {
        let file = || encoded(slices);
        let mut head = Vec::new();
        // That it cannot be unpacked is for others to find.
        let _ = MultiGzDecoder::new(file()).take(3).read_to_end(&mut head);
        let text_bytes: u64 = slices.iter().map(|slice| slice.length).sum();
        let begin = begin_of(file()).map_err(at(&self.parts_dir()))?;
        let unread = message::unread(&begin).filter(|_| claims || slices.len() > 1);
        let incoming = self.incoming()?.claiming(claims || unread.is_some());
        if let Some(why) = unread {
            return copied(incoming, &mut file())?.settle_refused(why.to_string());
        }
        match message::kind(&head) {
            // What is packed already gets no smaller: more than this is a bomb.
            Some(Kind::Gzip) => {
                let most = text_bytes.saturating_add(RATIO_FREE_BYTES);
                copied(incoming, &mut Forgiving(MultiGzDecoder::new(file()).take(most)))?.settle()
            }
            _ => copied(incoming, &mut file())?.settle(),
        }
    }
}

/// Returns so much of a file as tells what it is.
pub(super) fn begin_of(file: impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok(head)
}

/// Writes all that is read.
fn copied(mut incoming: Incoming, from: &mut dyn Read) -> Result<Incoming, QueueError> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(incoming),
            Ok(n) => incoming.write(buffer.get(..n).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(at(incoming.path())(error)),
        }
    }
}

/// The file that the pieces hold.
fn encoded(slices: &[Slice]) -> impl BufRead {
    let text = BufReader::with_capacity(64 << 10, Joined::new(slices.to_vec()));
    BufReader::with_capacity(64 << 10, Decoder::new(text))
}

fn damaged(why: &str) -> String {
    format!("together they are damaged: {why}; a part that is sent again may mend that")
}

/// What is wrong with a gzip stream, as far as it unpacks to what a package may.
fn fault_in(file: impl BufRead) -> Option<String> {
    let mut unpacked = MultiGzDecoder::new(file).take(UNPACKED_BYTES_MAX);
    io::copy(&mut unpacked, &mut io::sink()).err().map(|error| error.to_string())
}

/// What ends where its decoder finds a fault: what came before is judged by itself.
struct Forgiving<R>(R);

impl<R: Read> Read for Forgiving<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.0.read(out) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof
                        | io::ErrorKind::InvalidInput
                        | io::ErrorKind::InvalidData
                ) =>
            {
                Ok(0)
            }
            read => read,
        }
    }
}
