//! Every bound on what a stranger sends, with its unit and its reason. Past one, reading ends with
//! an error that names it; nothing is ever cut silently.

/// Bytes of one path: Linux's own `PATH_MAX`.
pub const PATH_BYTES_MAX: usize = 4_096;
/// Bytes of one part of a path: Linux's own `NAME_MAX`.
pub const PATH_PART_BYTES_MAX: usize = 255;
/// Parts of a path: a folder handle is opened for each, so this bounds work for one name.
pub const PATH_DEPTH_MAX: usize = 256;

/// Numbered files in a package.
pub const PACKAGE_MEMBERS_MAX: u32 = 100_000;
/// Bytes of a package as it travels.
pub const PACKAGE_BYTES_MAX: u64 = 1 << 30;
/// Bytes of a package's archive once unpacked.
pub const UNPACKED_BYTES_MAX: u64 = 4 << 30;
/// Unpacked bytes for each packed one, once past [`RATIO_FREE_BYTES`]: a bomb, not a tree.
pub const RATIO_MAX: u64 = 200;
/// Unpacked bytes that no ratio is asked of: small packages compress well by chance.
pub const RATIO_FREE_BYTES: u64 = 10 << 20;
/// Bytes of one pax header or long name before a member: extended attributes may be in it.
pub const TAR_RECORDS_BYTES_MAX: u64 = 1 << 20;
/// Lines of orders.
pub const ORDERS_LINES_MAX: u64 = 2_000_000;
/// Bytes of orders.
pub const ORDERS_BYTES_MAX: u64 = 1 << 30;
/// Bytes of one line of orders or state: a full history and a long path fit many times over.
pub const LINE_BYTES_MAX: usize = 1 << 20;
/// Remotes of one project: each is a column of every row.
pub const REMOTES_MAX: usize = 1_000;
/// Scans of one project, and ignores: each is tried on every path.
pub const PATTERNS_MAX: usize = 10_000;
/// Bytes of a project's title.
pub const TITLE_BYTES_MAX: usize = 1_000;
/// Bytes of an address: RFC 5321 allows 64 + 1 + 255.
pub const ADDRESS_BYTES_MAX: usize = 320;
/// Versions that a history names; the lowest generations go first.
pub const HISTORY_MAX: usize = 256;
/// The highest generation: 2^53, exact wherever a number is read as a double.
pub const GENERATION_MAX: u64 = 1 << 53;
/// The highest serial: the same, 285,000 years of milliseconds.
pub const SERIAL_MAX: u64 = 1 << 53;
/// Serials that were taken in before the one they build on, remembered for each remote.
pub const GAPS_MAX: usize = 64;
/// Serials sent and not acknowledged, remembered for each remote.
pub const ISSUED_MAX: usize = 64;
/// Packages that were taken in, remembered by their digests for each remote: the window in which a
/// second one of the same serial is told from the same one again.
pub const RECEIVED_MAX: usize = 64;

/// Bytes of one mail.
pub const MESSAGE_BYTES_MAX: u64 = 2 << 30;
/// Levels of nested MIME parts.
pub const MIME_DEPTH_MAX: usize = 64;
/// MIME parts of one mail.
pub const MIME_PARTS_MAX: usize = 10_000;
/// Encoded mails, archives and encoded files within each other: each holds buffers of its own.
pub const MIME_WRAPS_MAX: usize = 8;
/// Packages of one mail, and parts kept aside: each costs several waits for the disk.
pub const MAIL_ENTRIES_MAX: usize = 1_000;
/// Bytes of one header block (a message's or a part's).
pub const HEADER_BYTES_MAX: usize = 1 << 20;
/// Bytes of each text in a mail that are searched for what became of a mail of ours: a report says
/// it at its beginning.
pub const REPORT_PART_BYTES_MAX: usize = 256 << 10;
/// Bytes of the reason of a notice; what a mail system says is a line or two.
pub const REASON_BYTES_MAX: usize = 500;
/// Notices that wait in the queue; further ones are passed over, and the mail goes out again by its
/// age.
pub const NOTICES_MAX: usize = 10_000;
/// Lines of the log of sent mails: a notice about an older one is passed over.
pub const SENT_LINES_MAX: usize = 20_000;
/// Days that a sent mail is remembered, far longer than any mail system tries.
pub const SENT_DAYS_MAX: u64 = 100;
/// The smallest mail that a site may be said not to take: RFC 5321 section 4.5.3.1.7 asks for it.
pub const MAIL_LIMIT_BYTES_MIN: u64 = 64 << 10;
/// Signatures kept beside one entry of the queue.
pub const SIGNATURES_MAX: usize = 8;
/// Bytes of one signature attachment: an RSA-16384 SSHSIG is under 8 KiB.
pub const SIGNATURE_BYTES_MAX: u64 = 64 << 10;
/// Bytes of `allowed_signers`, of the revoked keys and of the keys to seal to: a person's files.
pub const TRUST_FILE_BYTES_MAX: u64 = 16 << 20;
/// Bytes before what is sealed: the key, sealed to each who may open it.
pub const SEAL_HEADER_BYTES_MAX: u64 = 64 << 10;
/// Bytes of packages waiting in the queue.
pub const QUEUE_BYTES_MAX: u64 = 16 << 30;
/// Entries waiting in the queue.
pub const QUEUE_ENTRIES_MAX: usize = 100_000;
/// Bytes of refused packages that are kept, oldest dropped first.
pub const REFUSED_BYTES_MAX: u64 = 100 << 20;
/// Days that a refused package's bytes are kept.
pub const REFUSED_DAYS_MAX: u64 = 30;
/// Volumes of one package, parts of one shell archive, fragments of one mail: a package at its bound
/// still fits mails of 150 KB.
pub const VOLUMES_MAX: u32 = 10_000;
/// Bytes of the header of a volume: an address and some numbers.
pub const VOLUME_HEADER_BYTES_MAX: usize = 1_024;
/// Parts that wait in the queue for the others of their package.
pub const PARTS_MAX: usize = 100_000;
/// Bytes of them; a tenth, for strangers, still holds a package at its bound.
pub const PARTS_BYTES_MAX: u64 = 10 << 30;
/// Days after its last part that a package is waited for.
pub const PARTS_DAYS_MAX: u64 = 60;

/// Bytes of one packet of SFTP: OpenSSH's own bound is 256 KiB, and what it sends fits that.
pub const SFTP_PACKET_BYTES_MAX: usize = 1 << 20;
/// Names in one packet of SFTP: OpenSSH sends a hundred.
pub const SFTP_NAMES_MAX: usize = 10_000;
/// Bytes of what one command on a host prints: the sums of a million long names.
pub const HOST_ANSWER_BYTES_MAX: u64 = 1 << 30;
/// Files and folders that one host is said to have: each is held in memory.
pub const HOST_FILES_MAX: usize = 2_000_000;
/// Bytes that a form of the page may have: a tick for each line of a long plan.
pub const WEB_BODY_BYTES_MAX: usize = 4 << 20;
/// Hosts that one file of connections names.
pub const HOSTS_MAX: usize = 10_000;
/// Bytes of `config.ini`, of `connection_info.json` and of one mapper file.
pub const PUSH_FILE_BYTES_MAX: u64 = 16 << 20;

const _: () = assert!(PATH_BYTES_MAX * 3 < LINE_BYTES_MAX, "a percent-encoded path fits a line");
const _: () = assert!(HISTORY_MAX * 48 < LINE_BYTES_MAX, "a full history fits a line");
const _: () =
    assert!(RATIO_FREE_BYTES < UNPACKED_BYTES_MAX && PACKAGE_BYTES_MAX < UNPACKED_BYTES_MAX);
