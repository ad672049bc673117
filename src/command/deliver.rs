//! remsync-deliver: one mail on standard input, its packages into the queue; and what it says of a
//! mail of ours that did not arrive.
//!
//! It never applies, never asks, talks to no network and needs no project. Invariants: standard
//! input is read to its end whatever happens; nothing is printed when all is well; what it answers
//! 0 for is durably in the queue, or was never ours; every trouble of ours is 75, for a mail
//! system takes any other number as a reason to bounce the mail to whoever wrote it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use lexopt::prelude::{Long, Short};

use crate::edge::log::{Log, printable};
use crate::edge::places::{Places, PlacesError};
use crate::edge::queue::{
    Arrival, Claim, Delivered, Incoming, IncomingPart, Judgement, NoticeOutcome, Outcome, Queue,
    QueueError, QueuedNotice, Spooled, SpooledPart, Taken,
};
use crate::edge::sent::{SentError, SentLog, SentMail};
use crate::format::digest::hex;
use crate::format::mail::is_volume;
use crate::format::message::{self, Envelope, Kind, Part, Parts, Unread, Words};
use crate::format::report::{About, Limit, Listener, Notice, Report};
use crate::format::settings::Settings;
use crate::model::limits::{
    MAIL_ENTRIES_MAX, MAIL_LIMIT_BYTES_MIN, SIGNATURE_BYTES_MAX, SIGNATURES_MAX,
};

use super::vouch;

/// Handled: queued, already queued, nothing for us, or refused and kept with its reason.
pub const EXIT_HANDLED: u8 = 0;
/// With `--if-package`: the mail holds no package, and no notice of a mail of ours.
pub const EXIT_NO_PACKAGE: u8 = 1;
/// Any trouble of ours: the mail system keeps the mail and tries again (`EX_TEMPFAIL`).
pub const EXIT_TROUBLE: u8 = 75;

/// Mails in fragments within each other that are joined.
const JOINED_MAX: usize = 2;

const HELP: &str = "\
Usage: remsync-deliver [OPTIONS]

Reads one mail on standard input and puts the remsync packages in it into the
queue, where `remsync process` finds them; likewise word that a mail which was
sent from here did not arrive.

  --queue DIR     the queue (default: $REMSYNC_QUEUE, the settings file, then
                  remsync/queue in the XDG state directory)
  --if-package    exit with status 1 when the mail holds neither
  --passthrough   copy the mail to standard output once the queue has it
  -h, --help      print this
  -V, --version   print the version

Exit status: 0 handled (queued, already queued, nothing for us, or refused and
kept with its reason); 75 trouble here: deliver the mail again later.
";

/// Why a mail could not be handled now.
#[derive(Debug, thiserror::Error)]
enum DeliverError {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Places(#[from] PlacesError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Sent(#[from] SentError),
    #[error("standard input: {0}")]
    Input(#[source] io::Error),
    #[error("standard output: {0}")]
    Output(#[source] io::Error),
}

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    queue: Option<PathBuf>,
    if_package: bool,
    passthrough: bool,
}

/// A command line, read.
#[derive(Debug, PartialEq, Eq)]
enum Call {
    Deliver(Options),
    Print(String),
}

/// Runs the filter with its arguments, the program's name left out, as the whole of a process.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    // A panic's own words and its status, 101, would bounce the mail and quote us to its author.
    panic::set_hook(Box::new(|_| {}));
    let status = panic::catch_unwind(AssertUnwindSafe(|| run(arguments)));
    ExitCode::from(status.unwrap_or_else(|_| after_panic()))
}

/// Does what the arguments (without the program's name) ask for; returns the exit status.
pub fn run(arguments: impl Iterator<Item = OsString>) -> u8 {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let done = match parse(arguments) {
        Ok(Call::Print(text)) => return print(&text),
        Ok(Call::Deliver(options)) => deliver(&options),
        Err(error) => Err(error),
    };
    // Leaving early breaks procmail, Pigeonhole and OpenSMTPD, whatever we would have said.
    drain();
    match done {
        Ok(status) => status,
        Err(error) => {
            complain(&error.to_string());
            EXIT_TROUBLE
        }
    }
}

/// Answers for a panic: a mail that makes us fail is kept by the mail system.
pub fn after_panic() -> u8 {
    drain();
    complain("an internal error; the mail system keeps the mail");
    EXIT_TROUBLE
}

fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Call, DeliverError> {
    let mut options = Options::default();
    let mut parser = lexopt::Parser::from_args(arguments);
    let usage = |error: lexopt::Error| DeliverError::Usage(error.to_string());
    while let Some(argument) = parser.next().map_err(usage)? {
        match argument {
            Long("queue") => {
                let dir = parser.value().map_err(usage)?;
                if dir.is_empty() {
                    return Err(DeliverError::Usage("--queue: an empty directory".to_owned()));
                }
                options.queue = Some(dir.into());
            }
            Long("if-package") => options.if_package = true,
            Long("passthrough") => options.passthrough = true,
            Long("help") | Short('h') => return Ok(Call::Print(HELP.to_owned())),
            Long("version") | Short('V') => {
                let version = concat!("remsync-deliver ", env!("CARGO_PKG_VERSION"), "\n");
                return Ok(Call::Print(version.to_owned()));
            }
            other => return Err(usage(other.unexpected())),
        }
    }
    Ok(Call::Deliver(options))
}

fn print(text: &str) -> u8 {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => EXIT_HANDLED,
        Err(_) => EXIT_TROUBLE,
    }
}

/// Says one line on standard error; that it cannot be said changes nothing.
fn complain(what: &str) {
    let line = format!("remsync-deliver: {}.\n", printable(what.trim_end_matches('.')));
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Reads standard input to its end; a person at a terminal is not waited for.
fn drain() {
    let mut input = io::stdin().lock();
    if !io::stdin().is_terminal() {
        let _ = io::copy(&mut input, &mut io::sink());
    }
}

fn deliver(options: &Options) -> Result<u8, DeliverError> {
    let places = Places::from_environment()?;
    let settings = places.settings()?;
    let queue_dir = places.queue_dir(options.queue.as_deref(), &settings);
    let queue = Queue::open(&queue_dir);
    let log = Log::open(&places.log_file(&queue_dir));
    let done = queue.map_err(DeliverError::from).and_then(|queue| {
        // What crashes left is no reason to refuse a mail.
        let _ = queue.sweep();
        let sent = SentLog::open(&places.state_dir);
        let (log, places, settings) = (&log, &places, &settings);
        let delivery = Delivery { queue: &queue, log, places, settings, sent };
        match options.passthrough {
            true => delivery.pass_through(),
            false => delivery.take_in(&mut io::stdin().lock()),
        }
    });
    match done {
        Ok(false) if options.if_package => Ok(EXIT_NO_PACKAGE),
        Ok(_) => Ok(EXIT_HANDLED),
        Err(error) => {
            log.line(&format!("75: {error}"));
            Err(error)
        }
    }
}

/// One mail on its way into the queue.
struct Delivery<'q> {
    queue: &'q Queue,
    log: &'q Log,
    places: &'q Places,
    settings: &'q Settings,
    sent: SentLog,
}

impl Delivery<'_> {
    /// Spools the mail first: a filter that fails halfway would replace it by half of it.
    fn pass_through(&self) -> Result<bool, DeliverError> {
        let mut spool = self.queue.scratch()?;
        copy_in(&mut spool, self.queue)?;
        spool.seek(SeekFrom::Start(0)).map_err(DeliverError::Input)?;
        let is_ours = self.take_in(&mut spool)?;
        spool.seek(SeekFrom::Start(0)).map_err(DeliverError::Input)?;
        let mut out = io::stdout().lock();
        io::copy(&mut spool, &mut out).map_err(DeliverError::Output)?;
        out.flush().map_err(DeliverError::Output)?;
        Ok(is_ours)
    }

    /// Finds the packages of a mail, or what it says of one of ours, and queues that; returns
    /// whether there was any.
    fn take_in(&self, input: &mut impl Read) -> Result<bool, DeliverError> {
        let read = self.read(input, &Arrival::default())?;
        self.keep_all(read, JOINED_MAX)
    }

    /// Reads a mail; `outer` is what its fragments brought, where it came in such.
    fn read(&self, input: &mut impl Read, outer: &Arrival) -> Result<ReadMail, DeliverError> {
        let mut finding = Finding::new(self.queue);
        let mut envelope = message::read(input, &mut finding).map_err(|error| {
            finding.trouble.take().map_or(DeliverError::Input(error), DeliverError::Queue)
        })?;
        if envelope.from.is_empty() {
            envelope.from.clone_from(&outer.from);
        }
        let heard = std::mem::take(&mut finding.listener).finish();
        let told = heard.map(|(about, report)| self.tell(&about, report)).transpose()?;
        let is_noticed = told.as_ref().is_some_and(|told| told.is_ours);
        if is_noticed {
            // Written into the letter as text: a package of ours that came back is none.
            finding.found.clear();
            finding.parts.clear();
        }
        let claims = finding.parts.iter().any(SpooledPart::claims);
        let is_ours = is_noticed || claims || !finding.found.is_empty();
        self.log_mail(&envelope, &finding, told);
        let Finding { found, parts, signatures, .. } = finding;
        Ok(ReadMail { envelope, found, parts, signatures, is_ours })
    }

    /// Queues what was found in a mail; returns whether there was anything of ours. Fragments of a
    /// mail within `joined_max` others are joined, and no more.
    fn keep_all(&self, read: ReadMail, joined_max: usize) -> Result<bool, DeliverError> {
        let ReadMail { envelope, found, parts, signatures, mut is_ours } = read;
        let mut trouble = None;
        // One that finds no place does not keep the others from theirs.
        for spooled in found {
            if let Err(error) = self.keep(spooled, &envelope, &signatures) {
                trouble.get_or_insert(DeliverError::from(error));
            }
        }
        for part in parts {
            match self.keep_part(part, &envelope, &signatures, joined_max) {
                Ok(was_ours) => is_ours |= was_ours,
                Err(error) => {
                    trouble.get_or_insert(error);
                }
            }
        }
        trouble.map_or(Ok(is_ours), Err)
    }

    /// Queues what is said of a mail that was sent from here.
    fn tell(&self, about: &About, report: Report) -> Result<Told, DeliverError> {
        let ignored = |words: String| Ok(Told { is_ours: false, words: words + ": ignored" });
        let notice = match report {
            Report::Notice(notice) => notice,
            Report::Harmless(what) => return ignored(format!("{what} to {}", names(about))),
        };
        let kind = notice.kind.word();
        // A name is one mail's; the same package may have gone in several.
        let Some(mail) = self.sent.find(&about.message_ids, &about.sha256)? else {
            return ignored(format!("says that {} {kind}: not sent from here", names(about)));
        };
        let words = format!("says that <{}> to {} {kind}", mail.message_id, mail.to);
        let queued = queued(notice, mail);
        let reason = format!("{} {}", queued.status, queued.reason);
        let outcome = match self.queue.deliver_notice(&queued)? {
            NoticeOutcome::Queued => "queued",
            NoticeOutcome::Already => "was said before",
            NoticeOutcome::NotKept => "not kept: too many wait",
        };
        Ok(Told { is_ours: true, words: format!("{words}: {outcome}: {}", reason.trim()) })
    }

    fn keep(
        &self,
        spooled: Spooled,
        envelope: &Envelope,
        signatures: &[Vec<u8>],
    ) -> Result<(), QueueError> {
        let origin = origin_of(&spooled, &envelope.from);
        let words = words_of(&spooled.judgement);
        let voucher = vouch::known(self.places, self.settings, &spooled, origin, signatures);
        let arrival = arrival(envelope, signatures, voucher);
        let bytes = spooled.size_bytes;
        let delivered = self.queue.deliver(spooled, &arrival)?;
        self.log_entry(&delivered, bytes, &words);
        Ok(())
    }

    /// Keeps a part of a package with the others; returns whether it is one for certain.
    fn keep_part(
        &self,
        part: SpooledPart,
        envelope: &Envelope,
        signatures: &[Vec<u8>],
        joined_max: usize,
    ) -> Result<bool, DeliverError> {
        let from = envelope.from.as_str();
        let voucher = vouch::known_part(self.places, self.settings, &part, from, signatures);
        let arrival = arrival(envelope, signatures, voucher);
        let bytes = part.size_bytes;
        let (taken, dropped) = self.queue.take_part(part, &arrival, &envelope.subject)?;
        for id in dropped {
            self.log
                .line(&format!("{id} dropped: the room for parts from unknown senders is full"));
        }
        let log = |what: &str| self.log.line(&format!("{what}, a part of {bytes} bytes"));
        match taken {
            Taken::Waits { id, standing } => log(&format!("{id} waits: {standing}")),
            Taken::Already { id } => log(&format!("{id} was here before")),
            Taken::Refused { id, reason } => log(&format!("{id} refused: {reason}")),
            Taken::NotKept => log("not kept: the room for parts from unknown senders is full"),
            Taken::Foreign => {
                log("nothing of ours");
                return Ok(false);
            }
            Taken::Mail(_) if joined_max == 0 => log("not read: fragments within fragments"),
            Taken::Mail(mut mail) => {
                log("the last of a mail in fragments");
                let outer = mail.arrival.clone();
                let read = self.read(&mut mail, &outer)?;
                // Parts in it may need the set's lock; what goes wrong now, goes so again.
                let set = mail.release();
                let is_ours = self.keep_all(read, joined_max - 1)?;
                self.queue.end_mail(&set)?;
                return Ok(is_ours);
            }
            Taken::Whole(whole) => {
                let (bytes, words) = (whole.spooled.size_bytes, words_of(&whole.spooled.judgement));
                let (spooled, signatures) = (&whole.spooled, &whole.arrival.signatures);
                let origin = origin_of(spooled, &whole.arrival.from);
                let voucher = vouch::known(self.places, self.settings, spooled, origin, signatures);
                let delivered = self.queue.deliver_whole(*whole, voucher.known)?;
                self.log_entry(&delivered, bytes, &format!("joined, {words}"));
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn log_entry(&self, delivered: &Delivered, bytes: u64, words: &str) {
        let outcome = match delivered.outcome {
            Outcome::Queued => "queued",
            Outcome::Already => "was here before",
            Outcome::Refused => "refused",
            Outcome::NotKept => "not kept: the room for unknown originators is full",
        };
        self.log.line(&format!("{} {outcome}: {bytes} bytes, {words}", delivered.id));
    }

    fn log_mail(&self, envelope: &Envelope, finding: &Finding, told: Option<Told>) {
        let Envelope { from, message_id, bytes, .. } = envelope;
        let &Finding { returned, over, .. } = finding;
        let mail = format!("mail <{message_id}> from <{from}>, {bytes} bytes");
        if let Some(past) = &envelope.past {
            self.log.line(&format!("{mail}: not read to its end: {past}"));
        }
        if over > 0 {
            self.log.line(&format!(
                "{mail}: {over} parts not kept: over {MAIL_ENTRIES_MAX} packages in it"
            ));
        }
        if let Some(told) = told {
            self.log.line(&format!("{mail}: {}", told.words));
        } else if returned > 0 || !envelope.returned_sha256.is_empty() {
            let digests = envelope.returned_sha256.join(" ");
            self.log.line(&format!("{mail}: returns a mail of ours {digests}: ignored"));
        } else if finding.found.is_empty() && finding.parts.is_empty() {
            let but = if envelope.claims { ", though it speaks of remsync" } else { "" };
            self.log.line(&format!("{mail}: no package{but}"));
        }
    }
}

/// What was found in a mail, not in the queue yet.
struct ReadMail {
    envelope: Envelope,
    found: Vec<Spooled>,
    parts: Vec<SpooledPart>,
    signatures: Vec<Vec<u8>>,
    /// A package, a part that says that it is ours, or word of a mail of ours.
    is_ours: bool,
}

/// What a mail said of a mail of ours, for the log.
struct Told {
    /// It is about a mail that was sent from here.
    is_ours: bool,
    words: String,
}

fn names(about: &About) -> String {
    let digests = about.sha256.iter().map(|digest| hex(digest));
    let ids = about.message_ids.iter().map(|id| format!("<{id}>"));
    digests.chain(ids).collect::<Vec<String>>().join(" ")
}

/// Completes a notice by the mail that it is about. Where that was too large, and it is not said
/// for what, one byte less is the most that is known to pass.
fn queued(notice: Notice, mail: SentMail) -> QueuedNotice {
    let below = mail.size_bytes.saturating_sub(1);
    let limit_bytes = match notice.limit {
        Limit::NotSaid => None,
        // One byte less would make volumes that are hardly smaller, and all of them come back.
        Limit::TooLarge if is_volume(&mail.message_id) => Some(mail.size_bytes / 2),
        Limit::TooLarge => Some(below),
        Limit::AtMost(bytes) => Some(bytes.min(below)),
    };
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    QueuedNotice {
        mail,
        kind: notice.kind,
        status: notice.status,
        reason: notice.reason,
        recipient: notice.recipient,
        reported_by: notice.reported_by,
        limit_bytes: limit_bytes.filter(|bytes| *bytes >= MAIL_LIMIT_BYTES_MIN),
        received_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
    }
}

/// What a mail brought with a package or a part of one.
fn arrival(envelope: &Envelope, signatures: &[Vec<u8>], voucher: vouch::Voucher) -> Arrival {
    Arrival {
        from: envelope.from.clone(),
        message_id: envelope.message_id.clone(),
        signatures: signatures.to_vec(),
        proof: voucher.proof,
        known: voucher.known,
    }
}

/// Who wrote a package, as it says. What is sealed names nobody but the mail's author; neither is
/// proved.
fn origin_of<'a>(spooled: &'a Spooled, from: &'a str) -> &'a str {
    match &spooled.judgement {
        Judgement::Sound { origin, .. } if !origin.is_empty() => origin,
        _ => from,
    }
}

/// What a package says of itself, for the log.
fn words_of(judgement: &Judgement) -> String {
    match judgement {
        Judgement::Sound { title, origin, visit, .. } => {
            format!("title {title:?}, from {origin}, for {visit}")
        }
        Judgement::Sealed => "sealed".to_owned(),
        Judgement::NotAPackage => "no package".to_owned(),
        Judgement::Refused(reason) => reason.clone(),
    }
}

/// Copies standard input to the spool, so that trouble with either is told apart.
fn copy_in(spool: &mut File, queue: &Queue) -> Result<(), DeliverError> {
    let mut input = io::stdin().lock();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let n = match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(DeliverError::Input(error)),
        };
        let path = || queue.dir().join("tmp");
        spool
            .write_all(buffer.get(..n).unwrap_or_default())
            .map_err(|source| QueueError::Io { path: path(), source })?;
    }
}

/// What is found while the mail is read.
struct Finding<'q> {
    queue: &'q Queue,
    current: Current,
    found: Vec<Spooled>,
    parts: Vec<SpooledPart>,
    signatures: Vec<Vec<u8>>,
    listener: Listener,
    /// Packages that came back to us in a bounce.
    returned: usize,
    /// Parts, of those bounded by [`MAIL_ENTRIES_MAX`].
    entries: usize,
    /// Parts that came past that bound.
    over: usize,
    /// What stopped the reading, where it was the queue.
    trouble: Option<QueueError>,
}

/// The part being read.
enum Current {
    Nothing,
    Package(Box<Incoming>),
    /// What cannot be read, and why.
    Aside(Box<Incoming>, Unread),
    Part(Box<IncomingPart>),
    Signature(Vec<u8>),
}

impl Finding<'_> {
    fn new(queue: &Queue) -> Finding<'_> {
        Finding {
            queue,
            current: Current::Nothing,
            found: Vec::new(),
            parts: Vec::new(),
            signatures: Vec::new(),
            listener: Listener::default(),
            returned: 0,
            entries: 0,
            over: 0,
            trouble: None,
        }
    }

    /// Keeps the queue's own words for why the reading stopped.
    fn noted<T>(&mut self, result: Result<T, QueueError>) -> io::Result<T> {
        result.map_err(|error| {
            self.trouble = Some(error);
            io::Error::other("the queue")
        })
    }

    fn found(&mut self, settled: Result<Spooled, QueueError>) -> io::Result<()> {
        let spooled = self.noted(settled)?;
        let again = self.found.iter().any(|other| other.sha256 == spooled.sha256);
        if spooled.judgement != Judgement::NotAPackage && !again {
            self.entries += 1;
            self.found.push(spooled);
        }
        Ok(())
    }

    fn part_ends(&mut self, incoming: IncomingPart) -> io::Result<()> {
        let settled = incoming.settle();
        let part = self.noted(settled)?;
        if part.is_whole() {
            let whole = self.queue.whole_piece(&part);
            return self.found(whole);
        }
        self.entries += 1;
        self.parts.push(part);
        Ok(())
    }

    fn keep_signature(&mut self, bytes: Vec<u8>) {
        let bytes = signature_text(bytes);
        let fits = bytes.len() as u64 <= SIGNATURE_BYTES_MAX;
        if fits && self.signatures.len() < SIGNATURES_MAX && !self.signatures.contains(&bytes) {
            self.signatures.push(bytes);
        }
    }
}

impl Parts for Finding<'_> {
    fn words(&mut self, words: Words<'_>) {
        self.listener.hear(words);
    }

    fn begin(&mut self, part: &Part) -> io::Result<()> {
        // Both are sealed alike: here, and only here, a name has to tell which is which.
        let is_sealed_signature = part.kind == Kind::Sealed && part.name.contains(".sig");
        self.current = if part.returned {
            self.returned += usize::from(part.kind != Kind::Signature);
            Current::Nothing
        } else if self.entries >= MAIL_ENTRIES_MAX {
            self.over += 1;
            Current::Nothing
        } else if part.kind == Kind::Signature || is_sealed_signature {
            Current::Signature(Vec::new())
        } else if let Some(claim) = claim_of(part) {
            let incoming = self.queue.incoming_part(claim, part.claims);
            Current::Part(Box::new(self.noted(incoming)?))
        } else {
            let incoming = self.queue.incoming();
            let incoming = Box::new(self.noted(incoming)?.claiming(part.claims));
            match part.kind {
                Kind::Unread(why) => Current::Aside(incoming, why),
                _ => Current::Package(incoming),
            }
        };
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = match &mut self.current {
            Current::Nothing => Ok(()),
            Current::Package(incoming) | Current::Aside(incoming, _) => incoming.write(bytes),
            Current::Part(incoming) => incoming.write(bytes),
            Current::Signature(signature) => {
                // One byte past the bound is enough to know that it is too long.
                let room = SIGNATURE_BYTES_MAX as usize + 1 - signature.len();
                signature.extend(bytes.iter().take(room));
                Ok(())
            }
        };
        self.noted(written)
    }

    fn end(&mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.current, Current::Nothing) {
            Current::Nothing => {}
            Current::Signature(bytes) => self.keep_signature(bytes),
            Current::Package(incoming) => {
                let settled = incoming.settle();
                self.found(settled)?;
            }
            Current::Aside(incoming, why) => {
                let settled = incoming.settle_refused(why.to_string());
                self.found(settled)?;
            }
            Current::Part(incoming) => self.part_ends(*incoming)?,
        }
        Ok(())
    }
}

/// What a part is of something larger; `None` where it is none.
fn claim_of(part: &Part) -> Option<Claim> {
    let of_piece = part.piece.clone().map(Claim::Piece);
    let of_fragment = part.fragment.clone().map(Claim::Fragment);
    of_piece.or(of_fragment).or((part.kind == Kind::Volume).then_some(Claim::Volume))
}

/// The signature alone, with the line ends it was made with: mail changes them, and hangs footers
/// on behind it.
fn signature_text(bytes: Vec<u8>) -> Vec<u8> {
    const END: &[u8] = b"-----END SSH SIGNATURE-----";
    if !bytes.trim_ascii_start().starts_with(b"-----BEGIN SSH SIGNATURE-----") {
        return bytes;
    }
    let mut text: Vec<u8> = bytes.into_iter().filter(|b| *b != b'\r').collect();
    if let Some(at) = text.windows(END.len()).position(|window| window == END) {
        text.truncate(at + END.len());
        text.push(b'\n');
    }
    let blanks = text.len() - text.trim_ascii_start().len();
    text.drain(..blanks);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(arguments: &[&str]) -> Result<Call, String> {
        parse(arguments.iter().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn arguments() {
        let options = |queue: Option<&str>, if_package, passthrough| {
            Ok(Call::Deliver(Options { queue: queue.map(PathBuf::from), if_package, passthrough }))
        };
        assert_eq!(call(&[]), options(None, false, false));
        assert_eq!(call(&["--queue", "q"]), options(Some("q"), false, false));
        assert_eq!(
            call(&["--queue=q", "--if-package", "--passthrough"]),
            options(Some("q"), true, true)
        );
        assert!(matches!(call(&["--help"]), Ok(Call::Print(_))));
        assert!(matches!(call(&["-V"]), Ok(Call::Print(_))));
        for wrong in
            [&["--queu", "q"][..], &["--queue"], &["--queue", ""], &["x"], &["--if-package=1"]]
        {
            let error = call(wrong).unwrap_err();
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_mail_brings_so_many_entries_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let queue = Queue::open(dir.path()).unwrap();
        let mut finding = Finding::new(&queue);
        let kind = Kind::Unread(Unread::Piece);
        let part = Part {
            kind,
            name: String::new(),
            returned: false,
            claims: true,
            piece: None,
            fragment: None,
        };
        for n in 0..=MAIL_ENTRIES_MAX {
            assert_eq!((finding.found.len(), finding.over), (n, 0));
            finding.begin(&part).unwrap();
            finding.bytes(&n.to_be_bytes()).unwrap();
            finding.end().unwrap();
        }
        assert_eq!((finding.found.len(), finding.over), (MAIL_ENTRIES_MAX, 1));
    }

    #[test]
    fn signatures_keep_their_own_text() {
        let text = b"-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n";
        for (came, kept) in [
            (&text[..], &text[..]),
            (b"-----BEGIN SSH SIGNATURE-----\r\nAAAA\r\n-----END SSH SIGNATURE-----\r\n", text),
            (
                b"\n-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n--\nlist\n",
                text,
            ),
            (b"age-encryption.org/v1\r\n", b"age-encryption.org/v1\r\n"),
        ] {
            assert_eq!(signature_text(came.to_vec()), kept);
        }
    }
}
