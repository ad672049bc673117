//! The packets of SFTP, version 3, as OpenSSH speaks it (draft-ietf-secsh-filexfer-02, and PROTOCOL
//! of OpenSSH for the extensions): requests to bytes, bytes to replies.
//!
//! It sends nothing and knows no order of requests. Invariant: a reply is read to its end and no
//! further, whatever lengths it claims.

use crate::model::limits::{SFTP_NAMES_MAX, SFTP_PACKET_BYTES_MAX};

/// The version that is spoken.
pub const VERSION: u32 = 3;

/// Opens for reading.
pub const OPEN_READ: u32 = 0x01;
/// Opens for writing, a file that must not be there yet.
pub const OPEN_NEW: u32 = 0x02 | 0x08 | 0x20;

const FILE_TYPE: u32 = 0o170_000;
const SIZE: u32 = 0x01;
const OWNER: u32 = 0x02;
const PERMISSIONS: u32 = 0x04;
const TIMES: u32 = 0x08;
const EXTENDED: u32 = 0x8000_0000;

/// What is asked of the server. Names are bytes: they need not be UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Opens a file.
    Open {
        /// Its name.
        path: &'a [u8],
        /// [`OPEN_READ`] or [`OPEN_NEW`].
        flags: u32,
        /// What a new one gets.
        attributes: Attributes,
    },
    /// Ends the use of a handle.
    Close(&'a [u8]),
    /// Reads from an open file.
    Read {
        /// The file.
        handle: &'a [u8],
        /// From where.
        offset: u64,
        /// Bytes at most.
        bytes: u32,
    },
    /// Writes into an open file.
    Write {
        /// The file.
        handle: &'a [u8],
        /// To where.
        offset: u64,
        /// What.
        bytes: &'a [u8],
    },
    /// Looks at a name, and follows no link.
    LookAt(&'a [u8]),
    /// Looks at a name, following links.
    LookThrough(&'a [u8]),
    /// Looks at an open file.
    LookAtOpen(&'a [u8]),
    /// Sets the attributes of an open file.
    Set {
        /// The file.
        handle: &'a [u8],
        /// Those that are set.
        attributes: Attributes,
    },
    /// Sets the attributes of a name, following links.
    SetAt {
        /// The name.
        path: &'a [u8],
        /// Those that are set.
        attributes: Attributes,
    },
    /// Opens a folder to be listed.
    OpenFolder(&'a [u8]),
    /// Asks for more of the names in it.
    ReadFolder(&'a [u8]),
    /// Removes a file.
    Remove(&'a [u8]),
    /// Makes a folder.
    MakeFolder {
        /// Its name.
        path: &'a [u8],
        /// What it gets.
        attributes: Attributes,
    },
    /// Removes an empty folder.
    RemoveFolder(&'a [u8]),
    /// Asks for the absolute name.
    RealPath(&'a [u8]),
    /// Renames to a name that must be free.
    Rename {
        /// From.
        from: &'a [u8],
        /// To.
        to: &'a [u8],
    },
    /// `posix-rename@openssh.com`: renames, replacing what is there.
    Replace {
        /// From.
        from: &'a [u8],
        /// To.
        to: &'a [u8],
    },
    /// `hardlink@openssh.com`: gives a file a second name.
    Link {
        /// The file.
        from: &'a [u8],
        /// Its second name.
        to: &'a [u8],
    },
    /// `fsync@openssh.com`: makes an open file durable.
    Sync(&'a [u8]),
    /// `statvfs@openssh.com`: asks how much room there is.
    Room(&'a [u8]),
    /// `limits@openssh.com`: asks how much may be asked for.
    Limits,
}

/// What a file has beside its bytes; `None` is not said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Bytes.
    pub size_bytes: Option<u64>,
    /// Permissions, and in a reply the type, as `st_mode` has them.
    pub mode: Option<u32>,
    /// Access and modification time, in seconds since 1970.
    pub times_s: Option<(u32, u32)>,
}

/// What kind of thing a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// Anything else.
    Special,
}

/// An answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Done, or why not.
    Status(Status),
    /// A file or folder is open.
    Handle(Vec<u8>),
    /// What was read.
    Data(Vec<u8>),
    /// Names in a folder, or one real name.
    Names(Vec<(Vec<u8>, Attributes)>),
    /// What a name is.
    Attributes(Attributes),
    /// The answer to an extension.
    Extended(Vec<u8>),
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Which kind.
    pub code: Code,
    /// What the server says.
    pub words: String,
}

/// The kinds of ends that something follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Done.
    Done,
    /// There is no more.
    End,
    /// There is no such name.
    NotThere,
    /// It is not allowed.
    Denied,
    /// The server does not know how.
    Unsupported,
    /// Anything else: OpenSSH says no more of a full disk than this.
    Failed,
}

/// What the server said first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Greeting {
    /// The version that it speaks at most.
    pub version: u32,
    /// [`Request::Replace`].
    pub replaces: bool,
    /// [`Request::Link`].
    pub links: bool,
    /// [`Request::Sync`].
    pub syncs: bool,
    /// [`Request::Room`].
    pub tells_room: bool,
    /// [`Request::Limits`].
    pub tells_limits: bool,
}

/// Why some bytes are no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SftpFault {
    /// It ends before it should, or claims more than it has.
    #[error("the host sent a packet of SFTP that ends too early")]
    Short,
    /// It is longer than any may be.
    #[error("the host sent a packet of SFTP over {SFTP_PACKET_BYTES_MAX} bytes")]
    TooLong,
    /// More names than any folder is listed with at once.
    #[error("the host sent a packet of SFTP with over {SFTP_NAMES_MAX} names")]
    Names,
    /// It is of a kind that no server sends.
    #[error("the host sent what is no packet of SFTP")]
    Kind,
    /// There are more answers than questions.
    #[error("the host sent answers that nobody asked for")]
    Unasked,
}

impl Attributes {
    /// Returns the attributes of a mode alone.
    pub fn of_mode(mode: u32) -> Attributes {
        Attributes { mode: Some(mode & 0o7777), ..Attributes::default() }
    }

    /// Returns what kind of thing has them; `None` where the server does not say.
    pub fn kind(&self) -> Option<Kind> {
        Some(match self.mode? & FILE_TYPE {
            0o100_000 => Kind::File,
            0o040_000 => Kind::Folder,
            0o120_000 => Kind::Link,
            _ => Kind::Special,
        })
    }

    fn push(&self, out: &mut Vec<u8>) {
        let flag = |is_set: bool, flag| if is_set { flag } else { 0 };
        let flags = flag(self.size_bytes.is_some(), SIZE)
            | flag(self.mode.is_some(), PERMISSIONS)
            | flag(self.times_s.is_some(), TIMES);
        push_u32(out, flags);
        if let Some(size_bytes) = self.size_bytes {
            push_u64(out, size_bytes);
        }
        if let Some(mode) = self.mode {
            push_u32(out, mode);
        }
        if let Some((accessed, modified)) = self.times_s {
            push_u32(out, accessed);
            push_u32(out, modified);
        }
    }
}

impl Request<'_> {
    /// Appends the packet with the number `id`, its length before it.
    pub fn push(&self, id: u32, out: &mut Vec<u8>) {
        let start = out.len();
        push_u32(out, 0);
        out.push(self.code());
        push_u32(out, id);
        self.push_body(out);
        fill_length(out, start);
    }

    fn code(&self) -> u8 {
        match self {
            Request::Open { .. } => 3,
            Request::Close(_) => 4,
            Request::Read { .. } => 5,
            Request::Write { .. } => 6,
            Request::LookAt(_) => 7,
            Request::LookAtOpen(_) => 8,
            Request::SetAt { .. } => 9,
            Request::Set { .. } => 10,
            Request::OpenFolder(_) => 11,
            Request::ReadFolder(_) => 12,
            Request::Remove(_) => 13,
            Request::MakeFolder { .. } => 14,
            Request::RemoveFolder(_) => 15,
            Request::RealPath(_) => 16,
            Request::LookThrough(_) => 17,
            Request::Rename { .. } => 18,
            Request::Replace { .. }
            | Request::Link { .. }
            | Request::Sync(_)
            | Request::Room(_)
            | Request::Limits => 200,
        }
    }

    fn push_body(&self, out: &mut Vec<u8>) {
        match self {
            Request::Open { path, flags, attributes } => {
                push_bytes(out, path);
                push_u32(out, *flags);
                attributes.push(out);
            }
            Request::Read { handle, offset, bytes } => {
                push_bytes(out, handle);
                push_u64(out, *offset);
                push_u32(out, *bytes);
            }
            Request::Write { handle, offset, bytes } => {
                push_bytes(out, handle);
                push_u64(out, *offset);
                push_bytes(out, bytes);
            }
            Request::Set { handle: name, attributes }
            | Request::SetAt { path: name, attributes }
            | Request::MakeFolder { path: name, attributes } => {
                push_bytes(out, name);
                attributes.push(out);
            }
            Request::Close(name)
            | Request::LookAt(name)
            | Request::LookThrough(name)
            | Request::LookAtOpen(name)
            | Request::OpenFolder(name)
            | Request::ReadFolder(name)
            | Request::Remove(name)
            | Request::RemoveFolder(name)
            | Request::RealPath(name) => push_bytes(out, name),
            Request::Rename { from, to } => push_all(out, &[from, to]),
            Request::Replace { from, to } => {
                push_all(out, &[b"posix-rename@openssh.com", from, to]);
            }
            Request::Link { from, to } => push_all(out, &[b"hardlink@openssh.com", from, to]),
            Request::Sync(handle) => push_all(out, &[b"fsync@openssh.com", handle]),
            Request::Room(path) => push_all(out, &[b"statvfs@openssh.com", path]),
            Request::Limits => push_bytes(out, b"limits@openssh.com"),
        }
    }
}

/// Appends the packet that begins everything, its length before it.
pub fn push_hello(out: &mut Vec<u8>) {
    let start = out.len();
    push_u32(out, 0);
    out.push(1);
    push_u32(out, VERSION);
    fill_length(out, start);
}

/// Checks the length that stands before a packet.
///
/// # Errors
/// It is none, or past [`SFTP_PACKET_BYTES_MAX`].
pub fn packet_bytes(length: [u8; 4]) -> Result<usize, SftpFault> {
    match u32::from_be_bytes(length) as usize {
        0 => Err(SftpFault::Short),
        bytes if bytes > SFTP_PACKET_BYTES_MAX => Err(SftpFault::TooLong),
        bytes => Ok(bytes),
    }
}

/// Reads the packet that answers [`push_hello`], its length left out.
///
/// # Errors
/// It is no such packet.
pub fn parse_greeting(packet: &[u8]) -> Result<Greeting, SftpFault> {
    let mut rest = Rest(packet);
    if rest.u8()? != 2 {
        return Err(SftpFault::Kind);
    }
    let mut greeting = Greeting { version: rest.u32()?, ..Greeting::default() };
    while !rest.0.is_empty() {
        let (name, value) = (rest.bytes()?, rest.bytes()?);
        match (name, value) {
            (b"posix-rename@openssh.com", b"1") => greeting.replaces = true,
            (b"hardlink@openssh.com", b"1") => greeting.links = true,
            (b"fsync@openssh.com", b"1") => greeting.syncs = true,
            (b"statvfs@openssh.com", b"2") => greeting.tells_room = true,
            (b"limits@openssh.com", b"1") => greeting.tells_limits = true,
            _ => {}
        }
    }
    Ok(greeting)
}

/// Reads a packet that answers a request, its length left out: the request's number, the answer.
///
/// # Errors
/// It is no such packet.
pub fn parse_reply(packet: &[u8]) -> Result<(u32, Reply), SftpFault> {
    let mut rest = Rest(packet);
    let kind = rest.u8()?;
    let id = rest.u32()?;
    let reply = match kind {
        101 => Reply::Status(rest.status()?),
        102 => Reply::Handle(rest.bytes()?.to_vec()),
        103 => Reply::Data(rest.bytes()?.to_vec()),
        104 => Reply::Names(rest.names()?),
        105 => Reply::Attributes(rest.attributes()?),
        201 => Reply::Extended(rest.0.to_vec()),
        _ => return Err(SftpFault::Kind),
    };
    Ok((id, reply))
}

/// Reads the answer to [`Request::Limits`]: bytes that one write may have, and one read; 0 is not
/// said.
///
/// # Errors
/// It is too short.
pub fn parse_limits(answer: &[u8]) -> Result<(u64, u64), SftpFault> {
    let mut rest = Rest(answer);
    let (_packet, read, write) = (rest.u64()?, rest.u64()?, rest.u64()?);
    Ok((write, read))
}

/// Reads the answer to [`Request::Room`]: bytes that we may still write there.
///
/// # Errors
/// It is too short.
pub fn parse_room(answer: &[u8]) -> Result<u64, SftpFault> {
    let mut rest = Rest(answer);
    let (_block, fragment) = (rest.u64()?, rest.u64()?);
    let (_blocks, _free, available) = (rest.u64()?, rest.u64()?, rest.u64()?);
    Ok(fragment.saturating_mul(available))
}

/// What is left of a packet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], SftpFault> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(SftpFault::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SftpFault> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(SftpFault::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, SftpFault> {
        self.array().map(u8::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, SftpFault> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, SftpFault> {
        self.array().map(u64::from_be_bytes)
    }

    fn bytes(&mut self) -> Result<&'a [u8], SftpFault> {
        let bytes = self.u32()? as usize;
        self.take(bytes)
    }

    fn status(&mut self) -> Result<Status, SftpFault> {
        let code = match self.u32()? {
            0 => Code::Done,
            1 => Code::End,
            2 => Code::NotThere,
            3 => Code::Denied,
            8 => Code::Unsupported,
            _ => Code::Failed,
        };
        // Old servers leave the words out.
        let words = if self.0.is_empty() { &b""[..] } else { self.bytes()? };
        Ok(Status { code, words: String::from_utf8_lossy(words).into_owned() })
    }

    fn names(&mut self) -> Result<Vec<(Vec<u8>, Attributes)>, SftpFault> {
        let count = self.u32()? as usize;
        if count > SFTP_NAMES_MAX {
            return Err(SftpFault::Names);
        }
        let mut names = Vec::new();
        for _ in 0..count {
            let name = self.bytes()?.to_vec();
            // As "ls -l" would show it: for people only.
            self.bytes()?;
            names.push((name, self.attributes()?));
        }
        Ok(names)
    }

    fn attributes(&mut self) -> Result<Attributes, SftpFault> {
        let flags = self.u32()?;
        let mut attributes = Attributes::default();
        if flags & SIZE != 0 {
            attributes.size_bytes = Some(self.u64()?);
        }
        if flags & OWNER != 0 {
            self.take(8)?;
        }
        if flags & PERMISSIONS != 0 {
            attributes.mode = Some(self.u32()?);
        }
        if flags & TIMES != 0 {
            attributes.times_s = Some((self.u32()?, self.u32()?));
        }
        if flags & EXTENDED != 0 {
            for _ in 0..self.u32()? {
                self.bytes()?;
                self.bytes()?;
            }
        }
        Ok(attributes)
    }
}

fn push_u32(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_be_bytes());
}

fn push_u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_be_bytes());
}

/// What is sent is our own, and far below what 32 bits can count.
fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_u32(out, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(bytes);
}

fn push_all(out: &mut Vec<u8>, all: &[&[u8]]) {
    all.iter().for_each(|bytes| push_bytes(out, bytes));
}

fn fill_length(out: &mut [u8], start: usize) {
    let bytes = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    if let Some(length) = out.get_mut(start..start + 4) {
        length.copy_from_slice(&bytes.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn requests_are_as_the_draft_has_them() {
        let attributes = Attributes { size_bytes: None, mode: Some(0o644), times_s: Some((1, 2)) };
        let table = [
            (
                Request::Open {
                    path: b"f",
                    flags: OPEN_NEW,
                    attributes: Attributes::of_mode(0o600),
                },
                "0000001603000000070000000166 0000002a 00000004 00000180",
            ),
            (Request::Close(b"h"), "0000000a04000000070000000168"),
            (
                Request::Write { handle: b"h", offset: 258, bytes: b"xy" },
                "0000001806000000070000000168 0000000000000102 00000002 7879",
            ),
            (
                Request::Set { handle: b"h", attributes },
                "0000001a0a000000070000000168 0000000c 000001a4 00000001 00000002",
            ),
            (
                Request::Replace { from: b"a", to: b"b" },
                "0000002bc800000007 00000018706f7369782d72656e616d65406f70656e7373682e636f6d \
                 0000000161 0000000162",
            ),
        ];
        for (request, expected) in table {
            let mut out = vec![];
            request.push(7, &mut out);
            assert_eq!(hex(&out), expected.replace(' ', ""), "{request:?}");
        }
        let mut hello = vec![];
        push_hello(&mut hello);
        assert_eq!(hex(&hello), "000000050100000003");
    }

    fn names_packet(count: u32) -> Vec<u8> {
        let mut packet = vec![104, 0, 0, 0, 9];
        push_u32(&mut packet, count);
        for _ in 0..count {
            push_all(&mut packet, &[b"n", b"-rw-r--r-- n"]);
            Attributes { size_bytes: Some(5), mode: Some(0o100_644), times_s: Some((3, 4)) }
                .push(&mut packet);
        }
        packet
    }

    #[test]
    fn replies_are_read_and_whatever_is_short_is_said() {
        let mut status = vec![101, 0, 0, 0, 1, 0, 0, 0, 2];
        push_all(&mut status, &[b"No such file", b"en"]);
        let not_there = Status { code: Code::NotThere, words: "No such file".into() };
        let attributes =
            Attributes { size_bytes: Some(5), mode: Some(0o100_644), times_s: Some((3, 4)) };
        assert_eq!(attributes.kind(), Some(Kind::File));
        let mut with_owner = vec![105, 0, 0, 0, 4];
        push_u32(&mut with_owner, OWNER | TIMES | EXTENDED);
        with_owner.extend_from_slice(&[0; 16]);
        push_u32(&mut with_owner, 1);
        push_all(&mut with_owner, &[b"k", b"v"]);
        let table = [
            (status, Ok((1, Reply::Status(not_there)))),
            (vec![102, 0, 0, 0, 2, 0, 0, 0, 1, 7], Ok((2, Reply::Handle(vec![7])))),
            (vec![103, 0, 0, 0, 3, 0, 0, 0, 0], Ok((3, Reply::Data(vec![])))),
            (
                with_owner,
                Ok((
                    4,
                    Reply::Attributes(Attributes {
                        times_s: Some((0, 0)),
                        ..Attributes::default()
                    }),
                )),
            ),
            (names_packet(1), Ok((9, Reply::Names(vec![(b"n".to_vec(), attributes)])))),
            (vec![77, 0, 0, 0, 3], Err(SftpFault::Kind)),
            (vec![], Err(SftpFault::Short)),
        ];
        for (packet, expected) in table {
            assert_eq!(parse_reply(&packet), expected, "{packet:?}");
            for cut in 9..packet.len() {
                // A status may end before its language.
                if packet.first() != Some(&101) {
                    assert_eq!(parse_reply(&packet[..cut]), Err(SftpFault::Short), "{packet:?}");
                }
            }
        }
    }

    #[test]
    fn bounds_of_what_a_host_sends() {
        let at = |bytes: usize| packet_bytes(u32::try_from(bytes).unwrap().to_be_bytes());
        assert_eq!(at(SFTP_PACKET_BYTES_MAX), Ok(SFTP_PACKET_BYTES_MAX));
        assert_eq!(at(SFTP_PACKET_BYTES_MAX + 1), Err(SftpFault::TooLong));
        assert_eq!(at(0), Err(SftpFault::Short));
        let most = u32::try_from(SFTP_NAMES_MAX).unwrap();
        assert!(parse_reply(&names_packet(most)).is_ok());
        assert_eq!(parse_reply(&names_packet(most + 1)), Err(SftpFault::Names));
    }

    #[test]
    fn a_greeting_names_what_the_server_can() {
        let mut packet = vec![2, 0, 0, 0, 3];
        push_all(&mut packet, &[b"posix-rename@openssh.com", b"1", b"fsync@openssh.com", b"9"]);
        push_all(&mut packet, &[b"x@y", b""]);
        let greeting = parse_greeting(&packet).unwrap();
        let expected = Greeting { version: 3, replaces: true, ..Greeting::default() };
        assert_eq!(greeting, expected, "another version of an extension is not the one we know");
        assert_eq!(parse_greeting(&[3, 0, 0, 0, 3]), Err(SftpFault::Kind));
        assert_eq!(parse_greeting(&packet[..packet.len() - 1]), Err(SftpFault::Short));
    }
}
