//! What `push` reads and writes on this machine: its three kinds of files, the trees that it
//! copies, its two logs, and what it remembers of the last time.
//!
//! It knows no host. Invariant: passwords are only read from a file that nobody else can read.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::lock::{Lock, LockError};
use super::private;
use super::secret::{SecretError, check_private_meta};
use crate::format::digest::hex;
use crate::format::push::{
    Connection, Mapping, PushFault, PushSettings, parse_connections, parse_mappings, parse_settings,
};
use crate::model::limits::{PATH_DEPTH_MAX, PUSH_FILE_BYTES_MAX};
use crate::model::path::{escaped, is_reserved_part};

/// Why a push cannot begin, or one host of it not be served.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// A file says what cannot be.
    #[error(transparent)]
    File(#[from] PushFault),
    /// The system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// What it was about.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others can read the passwords.
    #[error(transparent)]
    Password(#[from] SecretError),
    /// Another push of the same file is at work.
    #[error(transparent)]
    Lock(#[from] LockError),
}

/// What one push is about.
#[derive(Clone, Debug)]
pub struct Push {
    /// `config.ini`, absolute.
    pub file: PathBuf,
    /// What it says; the paths are absolute.
    pub settings: PushSettings,
    /// The hosts.
    pub connections: Vec<Connection>,
}

/// A file or folder below the source of a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Its name below the source; empty for the source itself.
    pub name: Vec<u8>,
    /// Bytes.
    pub size_bytes: u64,
    /// Permissions, out of 0777.
    pub mode: u32,
    /// When it was modified, in seconds since 1970.
    pub mtime_s: i64,
    /// When anything of it was changed, in ms since 1970: nobody can set that.
    pub changed_ms: u64,
}

/// The source of a mapping, as it lies on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Folders below it with their permissions, those above before those below; the source itself
    /// is the empty name.
    pub folders: Vec<(Vec<u8>, u32)>,
    /// Plain files.
    pub files: Vec<SourceFile>,
    /// What is left out, and why.
    pub left_out: Vec<(PathBuf, String)>,
    /// What cannot be read, and why.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// What is remembered of the last push to each host.
#[derive(Debug)]
pub struct Memory {
    /// The folder that it is in, one of our own.
    pub folder: PathBuf,
    /// What the names of files for this `config.ini` begin with.
    pub prefix: String,
    path: PathBuf,
    said: Remembered,
    _lock: Lock,
}

/// The two logs of one process.
#[derive(Debug)]
pub struct Logs {
    /// The folder.
    pub folder: PathBuf,
    /// The file with everything.
    pub all: PathBuf,
    /// The file with errors and warnings.
    pub errors: PathBuf,
    files: Mutex<(File, File)>,
}

/// How much a line of the logs matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// How it was done.
    Debug,
    /// What was done.
    Info,
    /// What a person may want to look at.
    Warning,
    /// What was not done.
    Error,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Remembered {
    config: String,
    hosts: BTreeMap<String, HostMemory>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct HostMemory {
    failed: bool,
    /// For each mapping, when the last push of it that was whole began, in ms since 1970.
    mappings: BTreeMap<String, u64>,
}

impl Push {
    /// Reads `config.ini` and the hosts that it leads to.
    ///
    /// # Errors
    /// One of them cannot be read, or holds passwords that others can read.
    pub fn read(file: &Path) -> Result<Push, PushError> {
        let file = std::path::absolute(file)
            .map_err(|source| PushError::Io { path: file.to_owned(), source })?;
        let (text, _) = read_bounded(&file)?;
        let shown = file.display().to_string();
        let mut settings = parse_settings(&String::from_utf8_lossy(&text), &shown)?;
        let folder = file.parent().unwrap_or(Path::new("/"));
        for path in
            [&mut settings.log_path, &mut settings.mapper_path, &mut settings.connections_path]
        {
            *path = folder.join(&*path);
        }
        let (text, meta) = read_bounded(&settings.connections_path)?;
        let shown = settings.connections_path.display().to_string();
        let connections = parse_connections(&text, &shown)?;
        if connections.iter().any(|connection| connection.passkey.is_some()) {
            check_private_meta(&meta, &settings.connections_path)?;
        }
        Ok(Push { file, settings, connections })
    }

    /// Reads the mapper file of a host.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    pub fn mappings(&self, address: &str) -> Result<Vec<Mapping>, PushError> {
        // An address is no path: it was checked to be a host's name.
        let path = self.settings.mapper_path.join(format!("{address}.json"));
        let (text, _) = read_bounded(&path)?;
        Ok(parse_mappings(&text, &path.display().to_string())?)
    }

    /// Returns where a source lies: relative to the folder of `config.ini`.
    pub fn source_path(&self, mapping: &Mapping) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("/")).join(&mapping.src)
    }
}

fn read_bounded(path: &Path) -> Result<(Vec<u8>, fs::Metadata), PushError> {
    let io = |source| PushError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    let meta = file.metadata().map_err(io)?;
    let mut text = Vec::new();
    file.take(PUSH_FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(io)?;
    if text.len() as u64 > PUSH_FILE_BYTES_MAX {
        return Err(io(io::Error::other(format!("over {PUSH_FILE_BYTES_MAX} bytes"))));
    }
    Ok((text, meta))
}

impl Source {
    /// Looks at a file, or at a folder and all below it. Links below it are left out; what the
    /// program itself puts beside files is not looked at.
    ///
    /// # Errors
    /// It is not there, or cannot be looked at.
    pub fn look(path: &Path) -> Result<Source, PushError> {
        let io = |source| PushError::Io { path: path.to_owned(), source };
        let meta = fs::metadata(path).map_err(io)?;
        let mut source = Source { is_folder: meta.is_dir(), ..Source::default() };
        if meta.is_dir() {
            source.folders.push((Vec::new(), meta.mode() & 0o777));
            fs::read_dir(path).map_err(io)?;
            source.walk(path, &mut Vec::new(), 1);
        } else if meta.is_file() {
            source.files.push(SourceFile::of(path, Vec::new(), &meta));
        } else {
            return Err(io(io::Error::other("neither a file nor a folder")));
        }
        Ok(source)
    }

    fn walk(&mut self, folder: &Path, name: &mut Vec<u8>, depth: usize) {
        let mut entries: Vec<fs::DirEntry> = match fs::read_dir(folder) {
            Ok(entries) => entries.flatten().collect(),
            Err(error) => return self.unreadable.push((folder.to_owned(), error.to_string())),
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        let length = name.len();
        for entry in entries {
            let part = entry.file_name();
            if is_reserved_part(part.as_bytes()) {
                continue;
            }
            if length > 0 {
                name.push(b'/');
            }
            name.extend_from_slice(part.as_bytes());
            self.entry(&entry, name, depth);
            name.truncate(length);
        }
    }

    fn entry(&mut self, entry: &fs::DirEntry, name: &mut Vec<u8>, depth: usize) {
        let path = entry.path();
        let meta = match entry.metadata() {
            Ok(meta) => meta,
            Err(error) => return self.unreadable.push((path, error.to_string())),
        };
        if meta.is_file() {
            self.files.push(SourceFile::of(&path, name.clone(), &meta));
        } else if !meta.is_dir() {
            let what = if meta.is_symlink() { "a symbolic link" } else { "no plain file" };
            self.left_out.push((path, what.to_owned()));
        } else if depth >= PATH_DEPTH_MAX {
            self.unreadable.push((path, format!("deeper than {PATH_DEPTH_MAX} parts")));
        } else {
            self.folders.push((name.clone(), meta.mode() & 0o777));
            self.walk(&path, name, depth + 1);
        }
    }
}

impl SourceFile {
    fn of(path: &Path, name: Vec<u8>, meta: &fs::Metadata) -> SourceFile {
        let changed_s = u64::try_from(meta.ctime()).unwrap_or(0);
        let changed_ns = u64::try_from(meta.ctime_nsec()).unwrap_or(0);
        SourceFile {
            path: path.to_owned(),
            name,
            size_bytes: meta.len(),
            mode: meta.mode() & 0o777,
            mtime_s: meta.mtime(),
            changed_ms: changed_s.saturating_mul(1000).saturating_add(changed_ns / 1_000_000),
        }
    }
}

impl Memory {
    /// Opens what is remembered of the pushes of `config`, below the account's `state_dir`; nobody
    /// else pushes it meanwhile. What cannot be read is forgotten: then more is compared.
    ///
    /// # Errors
    /// The folder cannot be made, or another push of the same file is at work.
    pub fn open(state_dir: &Path, config: &Path) -> Result<Memory, PushError> {
        use std::os::unix::fs::DirBuilderExt;
        let folder = state_dir.join("push");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|source| PushError::Io { path: folder.clone(), source })?;
        let canonical = config.canonicalize().unwrap_or_else(|_| config.to_owned());
        let digest: [u8; 32] = Sha256::digest(canonical.as_os_str().as_bytes()).into();
        let name = hex(digest.first_chunk::<8>().unwrap_or(&[0; 8]));
        let lock = Lock::take(&folder.join(format!("{name}.lock")))?;
        let path = folder.join(format!("{name}.json"));
        let said = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let mut said: Remembered = said.unwrap_or_default();
        said.config = canonical.display().to_string();
        Ok(Memory { folder, prefix: format!("{name}-"), path, said, _lock: lock })
    }

    /// Whether the last push to `host` failed.
    pub fn has_failed(&self, host: &str) -> bool {
        self.said.hosts.get(host).is_some_and(|host| host.failed)
    }

    /// Whether anything is known of `host`.
    pub fn knows(&self, host: &str) -> bool {
        self.said.hosts.contains_key(host)
    }

    /// Returns when the last push of a mapping to `host` that was whole began, in ms since 1970.
    pub fn pushed_ms(&self, host: &str, mapping: &Mapping) -> Option<u64> {
        self.said.hosts.get(host)?.mappings.get(&key(mapping)).copied()
    }

    /// Notes that a push to hosts begins: until it is said how one ended, it failed. Saves it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(&mut self, hosts: &[String]) -> Result<(), PushError> {
        for host in hosts {
            self.said.hosts.entry(host.clone()).or_default().failed = true;
        }
        self.save()
    }

    /// Notes how a push to `host` ended, and which mappings were whole.
    pub fn note(&mut self, host: &str, failed: bool, whole: &[(Mapping, u64)]) {
        let host = self.said.hosts.entry(host.to_owned()).or_default();
        host.failed = failed;
        for (mapping, began_ms) in whole {
            host.mappings.insert(key(mapping), *began_ms);
        }
    }

    /// Writes it down.
    ///
    /// # Errors
    /// It cannot be written; then it is as it was.
    pub fn save(&self) -> Result<(), PushError> {
        let new = self.path.with_extension("new");
        let text = serde_json::to_vec_pretty(&self.said).unwrap_or_default();
        let write = || {
            let mut file = private::create(&new)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&new, &self.path)
        };
        write().map_err(|source| PushError::Io { path: self.path.clone(), source })
    }
}

fn key(mapping: &Mapping) -> String {
    format!("{}\n{}", mapping.src, mapping.dest)
}

impl Logs {
    /// Opens the logs of this process in `folder`, making it if it is missing.
    ///
    /// # Errors
    /// One of them cannot be opened.
    pub fn open(folder: &Path) -> Result<Logs, PushError> {
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |source| PushError::Io { path, source }
        };
        fs::create_dir_all(folder).map_err(fail(folder))?;
        let pid = std::process::id();
        let all = folder.join(format!("scp.{pid}.log"));
        let errors = folder.join(format!("scp_error.{pid}.log"));
        let open = |path: &Path| {
            let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path);
            file.map_err(fail(path))
        };
        let files = Mutex::new((open(&all)?, open(&errors)?));
        Ok(Logs { folder: folder.to_owned(), all, errors, files })
    }

    /// Writes a line; what could drive a terminal is escaped. A log that cannot be written does not
    /// stop the work.
    pub fn write(&self, level: Level, what: &str) {
        self.write_all(level, &[what]);
    }

    /// Writes lines that belong together at once, as [`Logs::write`] does one.
    pub fn write_all<S: AsRef<str>>(&self, level: Level, whats: &[S]) {
        let word = match level {
            Level::Debug => "DEBUG",
            Level::Info => "INFO",
            Level::Warning => "WARNING",
            Level::Error => "ERROR",
        };
        let now = Timestamp::now().to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S");
        let begin = format!("{now} {word} ");
        let mut lines = String::new();
        for what in whats {
            lines += &begin;
            lines += &shown(what.as_ref());
            lines.push('\n');
        }
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = files.0.write_all(lines.as_bytes());
        if matches!(level, Level::Warning | Level::Error) {
            let _ = files.1.write_all(lines.as_bytes());
        }
    }
}

/// What is escaped already stays so.
fn shown(what: &str) -> String {
    what.split('\\').map(|part| escaped(part.as_bytes())).collect::<Vec<_>>().join("\\")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn write(path: &Path, text: &str, mode: u32) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn passwords_that_others_can_read_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("conf/config.ini");
        write(&config, "", 0o644);
        let hosts = folder.path().join("conf/connection_info.json");
        let with = r#"[{"ip_address": "10.0.0.7", "user": "ana", "passkey": "hunter2"}]"#;
        let without = r#"[{"ip_address": "10.0.0.7", "user": "ana", "passkey": ""}]"#;
        for (text, mode, is_read) in [
            (with, 0o600, true),
            (with, 0o640, false),
            (with, 0o604, false),
            (without, 0o644, true),
        ] {
            write(&hosts, text, mode);
            let read = Push::read(&config);
            assert_eq!(read.is_ok(), is_read, "{mode:o}: {read:?}");
            let Err(error) = read else { continue };
            assert!(error.to_string().contains("others may read"), "{error}");
            assert!(!format!("{error} {error:?}").contains("hunter"), "{error:?}");
        }
        let push = {
            write(&hosts, without, 0o644);
            Push::read(&config).unwrap()
        };
        assert_eq!(push.settings.log_path, folder.path().join("conf").join("../logs/"));
        assert!(matches!(push.mappings("10.0.0.7"), Err(PushError::Io { .. })));
        write(
            &folder.path().join("conf/path_mapper/10.0.0.7.json"),
            r#"[{"src":"a","dest":"b"}]"#,
            0o644,
        );
        assert_eq!(push.mappings("10.0.0.7").unwrap().len(), 1);
    }

    #[test]
    fn a_source_is_all_that_is_below_it() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("src");
        write(&top.join("a"), "one", 0o755);
        write(&top.join("d/e/b"), "", 0o600);
        write(&top.join(".remsync-1.tmp"), "ours", 0o600);
        fs::create_dir(top.join("empty")).unwrap();
        std::os::unix::fs::symlink("a", top.join("link")).unwrap();
        let source = Source::look(&top).unwrap();
        let names: Vec<_> = source.files.iter().map(|file| (&file.name[..], file.mode)).collect();
        assert_eq!(names, [(&b"a"[..], 0o755), (b"d/e/b", 0o600)]);
        let folders: Vec<_> = source.folders.iter().map(|(name, _)| &name[..]).collect();
        assert_eq!(folders, [&b""[..], b"d", b"d/e", b"empty"]);
        assert_eq!(source.left_out.len(), 1);
        assert!(Source::look(&top.join("nothing")).is_err());
        assert!(!Source::look(&top.join("link")).unwrap().is_folder, "a person named it");
    }

    #[test]
    fn what_was_pushed_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.ini");
        let mapping = Mapping { src: "a".into(), dest: "b".into() };
        let mut memory = Memory::open(folder.path(), &config).unwrap();
        assert!(Memory::open(folder.path(), &config).is_err(), "two at once");
        assert!(!memory.knows("h"));
        memory.note("h", false, &[(mapping.clone(), 7)]);
        memory.note("i", true, &[]);
        memory.save().unwrap();
        drop(memory);
        let memory = Memory::open(folder.path(), &config).unwrap();
        assert_eq!(memory.pushed_ms("h", &mapping), Some(7));
        assert!(memory.has_failed("i") && !memory.has_failed("h"));
    }
}
