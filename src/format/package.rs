//! The archive: a closed grammar, `gzip(tar)` of `.remsync-work/orders` and `.remsync-work/1` …
//! `n`, regular files, each once, no gap, and nothing else.
//!
//! Nothing here is unpacked by name: a member's number is all that leaves this module, so a name
//! in an archive never becomes a path. Invariant: a [`Package`] is one whose headers agree, whose
//! bounds held while it was streamed, and whose every `update` has its member with the contents
//! that its `check` line names; all else is a [`PackageFault`].

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufReader, Read, Write};

use self::archive::{Archive, Entry, What};
use super::digest::{BothHasher, Digests};
use super::orders;
use super::statement::TextFault;
use crate::model::limits;
use crate::model::orders::{Act, OrderRow, Orders};
use crate::model::project::Format;
use crate::model::{Content, Signature};

mod archive;
mod gunzip;
mod gzip;
mod writer;

pub use writer::{Counts, Level, Writer, Written};

/// The folder of the archive, without a slash.
const FOLDER: &[u8] = b".remsync-work";
/// The orders, as messages name them.
const ORDERS: &str = ".remsync-work/orders";
const CHUNK_BYTES: usize = 64 << 10;
/// Unpacked bytes in which [`peek`] looks for a package's names.
const PEEK_BYTES: u64 = 1 << 20;

/// Where the numbered files go as they are read, before the package is known to be sound.
pub trait Sink {
    /// Opens the place for the bytes of the file `number`, each number at most once.
    ///
    /// # Errors
    /// Any trouble of ours; reading ends there with [`PackageFault::Io`].
    fn member(&mut self, number: u32) -> io::Result<Box<dyn Write + '_>>;
}

/// Forgets the numbered files.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSink;

/// A sound package: its orders, and what was found of each numbered file.
#[derive(Clone, Debug, PartialEq)]
pub struct Package {
    /// What the package says.
    pub orders: Orders,
    /// The length of the orders' text.
    pub orders_bytes: u64,
    /// The numbered files; number `n` is at `n - 1`.
    pub members: Vec<Member>,
    /// The length of the tar archive, what fills it up included.
    pub unpacked_bytes: u64,
}

/// One numbered file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its number, from 1.
    pub number: u32,
    /// Its length.
    pub size_bytes: u64,
    /// Whether its owner may execute it: what the `check` line says, or the header in format 1.3.
    pub executable: bool,
    /// When it was changed, in seconds since 1970, rounded down.
    pub mtime_s: i64,
    /// And nanoseconds above that.
    pub mtime_ns: u32,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// BSD `sum` of its bytes; 0 where the orders stand first and speak format 2.0.
    pub sum: u16,
}

/// What a package may cost its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes as it travels.
    pub packed_bytes: u64,
    /// Bytes of the tar archive.
    pub unpacked_bytes: u64,
    /// Unpacked bytes for each packed one, at any point while it is read.
    pub ratio: u64,
    /// Unpacked bytes up to which no ratio is asked of.
    pub ratio_free_bytes: u64,
    /// Numbered files.
    pub members: u32,
    /// Bytes of orders.
    pub orders_bytes: u64,
    /// Lines of orders.
    pub orders_lines: u64,
}

/// Which bound a package passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// [`Limits::packed_bytes`].
    PackedBytes,
    /// [`Limits::unpacked_bytes`].
    UnpackedBytes,
    /// [`Limits::ratio`].
    Ratio,
    /// [`Limits::members`].
    Members,
    /// [`Limits::orders_bytes`].
    OrdersBytes,
    /// [`Limits::orders_lines`].
    OrdersLines,
    /// [`limits::TAR_RECORDS_BYTES_MAX`].
    RecordsBytes,
}

/// Why there is no [`Package`].
#[derive(Debug, thiserror::Error)]
pub enum PackageFault {
    /// Trouble of ours: reading the package, or keeping its files. The caller knows the paths.
    #[error("{0}")]
    Io(#[source] io::Error),
    /// Something else than a package of remsync.
    #[error("this is not a package: {0}")]
    NotAPackage(String),
    /// A package that is not sound.
    #[error("the package is refused: {0}")]
    Refused(String),
    /// A package that asks for more than we give to a stranger.
    #[error("the package is refused: it has over {max} {bound}")]
    Bound {
        /// Which bound.
        bound: Bound,
        /// What it is.
        max: u64,
    },
    /// A package whose orders cannot be read.
    #[error("the package is refused: {0}")]
    Orders(#[from] TextFault),
}

/// Reads a package to its end; its numbered files go to `sink`.
///
/// # Errors
/// What makes it no package, no sound one, or one that we could not read or keep. What `sink` took
/// in until then is worth nothing.
pub fn read(reader: impl Read, sink: &mut dyn Sink) -> Result<Package, PackageFault> {
    read_within(reader, sink, &Limits::default())
}

/// Reads a package to its end and keeps nothing of its files.
///
/// # Errors
/// As [`read`].
pub fn check(reader: impl Read) -> Result<Package, PackageFault> {
    read(reader, &mut NoSink)
}

/// Reads the orders of a package, and nothing behind them: for packages of our own, which are sound.
///
/// # Errors
/// As [`read`], as far as it reads.
pub fn orders_of(reader: impl Read) -> Result<Orders, PackageFault> {
    let limits = Limits::default();
    let mut archive = Archive::new(reader, &limits);
    while let Some(entry) = archive.next_entry()? {
        if entry.what == What::Orders {
            return Ok(read_orders(&mut archive, &entry)?.0);
        }
    }
    Err(PackageFault::refused("it holds no .remsync-work/orders"))
}

/// Does what [`read`] does, within other bounds.
///
/// # Errors
/// As [`read`].
pub fn read_within(
    reader: impl Read,
    sink: &mut dyn Sink,
    limits: &Limits,
) -> Result<Package, PackageFault> {
    let mut archive = Archive::new(reader, limits);
    read_all(&mut archive, sink).map_err(|fault| match fault {
        // Somebody else's archive; unless a package's names follow, as for `peek`.
        PackageFault::Refused(why) => match archive.look_for_claim(PEEK_BYTES) {
            Ok(true) => PackageFault::Refused(why),
            Err(PackageFault::Io(error)) => PackageFault::Io(error),
            Ok(false) | Err(_) => PackageFault::NotAPackage(why),
        },
        fault => fault,
    })
}

/// Whether `reader` begins like a package: gzip'd tar, one of whose first entries is named as only
/// a package's are. It may end anywhere, and nothing says that it is sound.
///
/// # Errors
/// What the reader answers.
pub fn peek(reader: impl Read) -> io::Result<bool> {
    match Archive::new(reader, &Limits::default()).look_for_claim(PEEK_BYTES) {
        Ok(claims) => Ok(claims),
        Err(PackageFault::Io(error)) => Err(error),
        Err(_) => Ok(false),
    }
}

impl Default for Limits {
    /// The bounds of [`limits`].
    fn default() -> Limits {
        Limits {
            packed_bytes: limits::PACKAGE_BYTES_MAX,
            unpacked_bytes: limits::UNPACKED_BYTES_MAX,
            ratio: limits::RATIO_MAX,
            ratio_free_bytes: limits::RATIO_FREE_BYTES,
            members: limits::PACKAGE_MEMBERS_MAX,
            orders_bytes: limits::ORDERS_BYTES_MAX,
            orders_lines: limits::ORDERS_LINES_MAX,
        }
    }
}

impl Package {
    /// Returns the numbered file `number`, counted from 1.
    pub fn member(&self, number: u32) -> Option<&Member> {
        self.members.get(usize::try_from(number).ok()?.checked_sub(1)?)
    }
}

impl PackageFault {
    /// Whether trying again may help: nothing is said about the package.
    pub fn is_ours(&self) -> bool {
        matches!(self, PackageFault::Io(_))
    }

    fn refused(why: &str) -> PackageFault {
        PackageFault::Refused(why.to_owned())
    }
}

/// Completes "it has over 7 …".
impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Bound::PackedBytes => "bytes",
            Bound::UnpackedBytes => "bytes once unpacked",
            Bound::Ratio => "unpacked bytes for each packed one",
            Bound::Members => "numbered files",
            Bound::OrdersBytes => "bytes of orders",
            Bound::OrdersLines => "lines of orders",
            Bound::RecordsBytes => "bytes in one extension header",
        })
    }
}

impl Sink for NoSink {
    fn member(&mut self, _number: u32) -> io::Result<Box<dyn Write + '_>> {
        Ok(Box::new(io::sink()))
    }
}

fn read_all<R: Read>(
    archive: &mut Archive<'_, R>,
    sink: &mut dyn Sink,
) -> Result<Package, PackageFault> {
    let mut orders: Option<(Orders, u64)> = None;
    let mut members = BTreeMap::new();
    while let Some(entry) = archive.next_entry()? {
        let is_again = match entry.what {
            What::Top | What::Folder => false,
            What::Orders if orders.is_some() => true,
            What::Number(number) if members.contains_key(&number) => true,
            What::Orders => orders.replace(read_orders(archive, &entry)?).is_some(),
            What::Number(number) => {
                let format = orders.as_ref().map(|(orders, _)| orders.identity.format);
                let member = read_member(archive, number, &entry, format, sink)?;
                members.insert(number, member).is_some()
            }
        };
        if is_again {
            let name = match entry.what {
                What::Number(number) => format!(".remsync-work/{number}"),
                _ => ORDERS.to_owned(),
            };
            return Err(PackageFault::Refused(format!("it holds {name} twice")));
        }
    }
    let (orders, orders_bytes) =
        orders.ok_or_else(|| PackageFault::refused("it holds no .remsync-work/orders"))?;
    let mut members = in_a_row(members)?;
    pair(&orders, &mut members)?;
    Ok(Package { orders, orders_bytes, members, unpacked_bytes: archive.unpacked_bytes() })
}

fn read_orders<R: Read>(
    archive: &mut Archive<'_, R>,
    entry: &Entry,
) -> Result<(Orders, u64), PackageFault> {
    let limits = archive.limits();
    if entry.size_bytes > limits.orders_bytes {
        return Err(PackageFault::Bound { bound: Bound::OrdersBytes, max: limits.orders_bytes });
    }
    let mut text = OrdersText { archive, lines: 0, fault: None };
    let orders = orders::parse(BufReader::with_capacity(CHUNK_BYTES, &mut text), ORDERS);
    // What went wrong below is why the text seemed to be at fault.
    match text.fault {
        Some(fault) => Err(fault),
        None => Ok((orders?, entry.size_bytes)),
    }
}

/// The bytes of the orders, for the parser of text; a fault of the archive is kept aside.
struct OrdersText<'a, 'l, R> {
    archive: &'a mut Archive<'l, R>,
    lines: u64,
    fault: Option<PackageFault>,
}

impl<R: Read> OrdersText<'_, '_, R> {
    fn read_counted(&mut self, out: &mut [u8]) -> Result<usize, PackageFault> {
        let n = self.archive.read_data(out)?;
        self.lines += out.iter().take(n).filter(|byte| **byte == b'\n').count() as u64;
        let max = self.archive.limits().orders_lines;
        if self.lines > max {
            return Err(PackageFault::Bound { bound: Bound::OrdersLines, max });
        }
        Ok(n)
    }
}

impl<R: Read> Read for OrdersText<'_, '_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.read_counted(out).map_err(|fault| {
            self.fault = Some(fault);
            io::Error::other("the package cannot be read further")
        })
    }
}

fn read_member<R: Read>(
    archive: &mut Archive<'_, R>,
    number: u32,
    entry: &Entry,
    format: Option<Format>,
    sink: &mut dyn Sink,
) -> Result<Member, PackageFault> {
    let mut hasher = BothHasher::of(format);
    let mut to = sink.member(number).map_err(PackageFault::Io)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let n = archive.read_data(&mut chunk)?;
        let bytes = chunk.get(..n).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        hasher.update(bytes);
        to.write_all(bytes).map_err(PackageFault::Io)?;
    }
    to.flush().map_err(PackageFault::Io)?;
    let Digests { sha256, sum } = hasher.finish();
    let &Entry { size_bytes, executable, mtime_s, mtime_ns, .. } = entry;
    Ok(Member { number, size_bytes, executable, mtime_s, mtime_ns, sha256, sum })
}

fn in_a_row(members: BTreeMap<u32, Member>) -> Result<Vec<Member>, PackageFault> {
    match (1..).zip(members.keys()).find(|(expected, number)| expected != *number) {
        Some((missing, _)) => {
            Err(PackageFault::Refused(format!("it lacks .remsync-work/{missing}")))
        }
        None => Ok(members.into_values().collect()),
    }
}

/// Asserts that updates and numbered files are pairs, and that each file is what is said of it.
fn pair(orders: &Orders, members: &mut [Member]) -> Result<(), PackageFault> {
    let mut is_named = vec![false; members.len()];
    for row in &orders.rows {
        let Act::Update { member: number, .. } = row.act else { continue };
        let at = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        let pair = at.and_then(|at| members.get_mut(at).zip(is_named.get_mut(at)));
        let Some((member, is_named)) = pair else {
            return Err(PackageFault::Refused(format!(
                "the update of {} asks for .remsync-work/{number}, which it lacks",
                row.path
            )));
        };
        if std::mem::replace(is_named, true) {
            return Err(PackageFault::Refused(format!(
                "two updates ask for .remsync-work/{number}"
            )));
        }
        expect_contents(row, member)?;
    }
    match is_named.iter().position(|is_named| !is_named) {
        Some(at) => Err(PackageFault::Refused(format!(
            "it holds .remsync-work/{}, which no update asks for",
            at + 1
        ))),
        None => Ok(()),
    }
}

fn expect_contents(row: &OrderRow, member: &mut Member) -> Result<(), PackageFault> {
    let is_as_said = match row.version.content {
        Content::Absent => false,
        Content::File(Signature::Sum(sum)) => sum == member.sum,
        Content::File(Signature::Sha256 { digest, executable }) => {
            member.executable = executable;
            digest == member.sha256
        }
    };
    if is_as_said {
        return Ok(());
    }
    Err(PackageFault::Refused(format!(
        ".remsync-work/{} does not hold what the check line of {} says",
        member.number, row.path
    )))
}
