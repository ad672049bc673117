//! Where things lie for this account: settings, state, queue, and the register of its projects.
//!
//! It reads `REMSYNC_CONFIG`, `REMSYNC_QUEUE`, `REMSYNC_TRANSPORT`, `REMSYNC_SMTP_PASSWORD`, `HOME`
//! and `XDG_*`, and what only a person uses, `REMSYNC_MERGE`, `VISUAL`, `EDITOR`, `SHELL`, `LOGNAME`
//! and `USER`; no other variable. Mail systems set few of them, so the account's home is looked up
//! where `HOME` is missing. What a variable names relative to a folder is meant from where the
//! program was started, wherever it goes later.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::private;
use crate::format::note::{escaped, unescaped};
use crate::format::settings::{self, Secret, Settings, SettingsFault};

/// Bytes of a settings file; a longer one is none.
const SETTINGS_BYTES_MAX: u64 = 1 << 20;
/// Bytes of the beginning of a `.remsync` in which its remotes are looked for.
const PROJECT_HEAD_BYTES: u64 = 1 << 20;

/// The folder that the program was in when it first asked where things lie.
static STARTED_IN: OnceLock<PathBuf> = OnceLock::new();

/// Why a place cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlacesError {
    /// Neither `HOME` nor the account's entry says where its home is.
    #[error("HOME is not set, and this account has no home")]
    NoHome,
    /// The settings file says something that it cannot.
    #[error(transparent)]
    Settings(#[from] SettingsFault),
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was read or written.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// The places of this account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The settings file; it need not exist.
    pub config_file: PathBuf,
    /// The directory of the register, the log and the queue.
    pub state_dir: PathBuf,
    /// `REMSYNC_QUEUE`.
    pub queue_override: Option<PathBuf>,
    /// `REMSYNC_TRANSPORT`.
    pub transport_override: Option<Secret>,
    /// `REMSYNC_SMTP_PASSWORD`.
    pub smtp_password: Option<Secret>,
    /// `REMSYNC_MERGE`: the user's own merge tool.
    pub merge_command: Option<OsString>,
    /// `VISUAL`, else `EDITOR`.
    pub editor: Option<OsString>,
    /// `SHELL`.
    pub shell: Option<OsString>,
    /// `LOGNAME`, else `USER`: who is logged in.
    pub user: Option<String>,
    /// The account's home, where it has one.
    pub home: Option<PathBuf>,
}

/// Returns the folder that the program was in when this was asked first.
pub fn started_in() -> &'static Path {
    STARTED_IN.get_or_init(|| std::env::current_dir().unwrap_or_default())
}

impl Places {
    /// Reads the environment of this process.
    ///
    /// # Errors
    /// [`PlacesError::NoHome`] where neither a home nor what replaces it is known.
    pub fn from_environment() -> Result<Places, PlacesError> {
        let mut places = Places::from_variables(|name| std::env::var_os(name), home_of_account)?;
        let started_in = started_in();
        // What is absolute stays as it is.
        places.config_file = started_in.join(&places.config_file);
        places.queue_override = places.queue_override.map(|queue| started_in.join(queue));
        Ok(places)
    }

    /// Reads the variables that `variable` knows; an empty one is one that is not set.
    ///
    /// # Errors
    /// As [`Places::from_environment`].
    pub fn from_variables(
        variable: impl Fn(&str) -> Option<OsString>,
        home_else: impl FnOnce() -> Option<PathBuf>,
    ) -> Result<Places, PlacesError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        // XDG Base Directory Specification: a relative path is invalid, and ignored.
        let absolute = |name: &str| set(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = absolute("HOME").or_else(home_else);
        let below_home = |dir: &str| home.as_ref().map(|home| home.join(dir));
        let config_home = absolute("XDG_CONFIG_HOME").or_else(|| below_home(".config"));
        let state_home = absolute("XDG_STATE_HOME").or_else(|| below_home(".local/state"));
        let queue_override = set("REMSYNC_QUEUE").map(PathBuf::from);
        let config_file = match set("REMSYNC_CONFIG") {
            Some(file) => PathBuf::from(file),
            None => config_home.ok_or(PlacesError::NoHome)?.join("remsync/config.toml"),
        };
        Ok(Places {
            config_file,
            state_dir: state_home.ok_or(PlacesError::NoHome)?.join("remsync"),
            queue_override,
            transport_override: set("REMSYNC_TRANSPORT").map(secret),
            smtp_password: set("REMSYNC_SMTP_PASSWORD").map(secret),
            merge_command: set("REMSYNC_MERGE"),
            editor: set("VISUAL").or_else(|| set("EDITOR")),
            shell: set("SHELL"),
            user: set("LOGNAME").or_else(|| set("USER")).and_then(|user| user.into_string().ok()),
            home,
        })
    }

    /// Reads the settings file; one that does not exist sets nothing.
    ///
    /// # Errors
    /// Any trouble in reading it, and what [`settings::parse`] finds in it.
    pub fn settings(&self) -> Result<Settings, PlacesError> {
        let io = |source| PlacesError::Io { path: self.config_file.clone(), source };
        let file = match File::open(&self.config_file) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return Ok(Settings::default()),
            Err(error) => return Err(io(error)),
        };
        let mut text = String::new();
        file.take(SETTINGS_BYTES_MAX + 1).read_to_string(&mut text).map_err(io)?;
        if text.len() as u64 > SETTINGS_BYTES_MAX {
            return Err(io(io::Error::other(format!("over {SETTINGS_BYTES_MAX} bytes"))));
        }
        let mut settings = settings::parse(&text, &self.config_file.to_string_lossy())?;
        for path in [
            &mut settings.queue_dir,
            &mut settings.ssh_config,
            &mut settings.allowed_signers,
            &mut settings.revoked_keys,
            &mut settings.sign_key,
            &mut settings.password_file,
            &mut settings.ca_file,
            &mut settings.passphrase_file,
            &mut settings.seal_keys,
        ] {
            *path = path.take().map(|path| self.expanded(path));
        }
        for path in &mut settings.open_keys {
            *path = self.expanded(std::mem::take(path));
        }
        for host in &mut settings.hosts {
            host.password_file = host.password_file.take().map(|path| self.expanded(path));
        }
        for project in &mut settings.projects {
            project.dir = real(&self.expanded(std::mem::take(&mut project.dir)));
        }
        Ok(settings)
    }

    /// Whether the settings file is there and others than its owner may read it.
    pub fn settings_are_shared(&self) -> bool {
        fs::metadata(&self.config_file).is_ok_and(|meta| meta.mode() & 0o077 != 0)
    }

    /// Returns the queue's directory: the option, the variable, the setting, the default.
    pub fn queue_dir(&self, option: Option<&Path>, settings: &Settings) -> PathBuf {
        option
            .map(Path::to_owned)
            .or_else(|| self.queue_override.clone())
            .or_else(|| settings.queue_dir.clone())
            .unwrap_or_else(|| self.state_dir.join("queue"))
    }

    /// Returns the file of those who may sign: the setting, else beside the settings file.
    pub fn allowed_signers(&self, settings: &Settings) -> PathBuf {
        self.set_or_beside(&settings.allowed_signers, "allowed_signers")
    }

    /// Returns the file of revoked keys: the setting, else beside the settings file.
    pub fn revoked_keys(&self, settings: &Settings) -> PathBuf {
        self.set_or_beside(&settings.revoked_keys, "revoked_keys")
    }

    /// Returns the file of those to whom packages are sealed: the setting, else beside the settings
    /// file.
    pub fn seal_keys(&self, settings: &Settings) -> PathBuf {
        self.set_or_beside(&settings.seal_keys, "seal_keys")
    }

    /// Returns the key that signs: the setting, else beside the settings file; it need not exist.
    pub fn sign_key(&self, settings: &Settings) -> PathBuf {
        self.set_or_beside(&settings.sign_key, "id_ed25519")
    }

    /// Returns all that is ours and of nobody's project, without links in their names: settings,
    /// keys and whom they trust, secrets, state, the queue.
    pub fn own(&self, settings: &Settings, queue_dir: &Path) -> Vec<PathBuf> {
        let key = self.sign_key(settings);
        let mut public = key.clone().into_os_string();
        public.push(".pub");
        let mut own = vec![
            self.config_file.clone(),
            self.allowed_signers(settings),
            self.revoked_keys(settings),
            self.seal_keys(settings),
            key,
            public.into(),
            self.state_dir.clone(),
            queue_dir.to_owned(),
        ];
        // The folder may be one of others' as well.
        let folder = self.config_file.parent().filter(|folder| folder.ends_with("remsync"));
        own.extend(folder.map(Path::to_owned));
        own.extend(settings.open_keys.iter().cloned());
        own.extend(settings.password_file.clone());
        own.extend(settings.hosts.iter().filter_map(|host| host.password_file.clone()));
        own.extend(settings.passphrase_file.clone());
        own.iter().map(|place| real(place)).collect()
    }

    fn set_or_beside(&self, set: &Option<PathBuf>, name: &str) -> PathBuf {
        set.clone().unwrap_or_else(|| self.config_file.with_file_name(name))
    }

    /// Returns where the filter logs: beside the queue where that is ours, else within it.
    pub fn log_file(&self, queue_dir: &Path) -> PathBuf {
        let ours = queue_dir.parent() == Some(self.state_dir.as_path());
        if ours { self.state_dir.join("deliver.log") } else { queue_dir.join("deliver.log") }
    }

    /// Adds a project's directory to the register; one that is there already is not added twice.
    ///
    /// # Errors
    /// Any trouble in reading or writing the register.
    pub fn register_add(&self, dir: &Path) -> Result<(), PlacesError> {
        let dir = std::path::absolute(dir)
            .map_err(|source| PlacesError::Io { path: dir.to_owned(), source })?;
        let mut dirs = self.register_list()?;
        if dirs.contains(&dir) {
            return Ok(());
        }
        dirs.push(dir);
        self.register_write(&dirs)
    }

    /// Takes a directory out of the register; one that is not there is no trouble.
    ///
    /// # Errors
    /// As [`Places::register_add`].
    pub fn register_remove(&self, dir: &Path) -> Result<(), PlacesError> {
        let mut dirs = self.register_list()?;
        let before = dirs.len();
        dirs.retain(|known| known != dir);
        if dirs.len() == before { Ok(()) } else { self.register_write(&dirs) }
    }

    /// Returns the directories of the projects of this account, in the order they were added.
    ///
    /// # Errors
    /// Any trouble in reading the register; a register that does not exist is empty.
    pub fn register_list(&self) -> Result<Vec<PathBuf>, PlacesError> {
        let path = self.register_file();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            Err(source) => return Err(PlacesError::Io { path, source }),
        };
        let lines = text.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        Ok(lines.map(|line| PathBuf::from(OsString::from_vec(unescaped(line)))).collect())
    }

    /// Returns whether a project of this account has `address` as a remote, going by the lines at
    /// the top of each `.remsync`. A project that cannot be read knows nobody.
    pub fn knows_remote(&self, address: &str) -> bool {
        !self.projects_with(address).is_empty()
    }

    /// Returns the folders of the projects that have `address` as a remote, as [`real`] has them.
    pub fn projects_with(&self, address: &str) -> Vec<PathBuf> {
        let mut dirs = self.register_list().unwrap_or_default();
        dirs.retain(|dir| !address.is_empty() && has_remote(&dir.join(".remsync"), address));
        dirs.iter().map(|dir| real(dir)).collect()
    }

    fn register_file(&self) -> PathBuf {
        self.state_dir.join("projects")
    }

    fn register_write(&self, dirs: &[PathBuf]) -> Result<(), PlacesError> {
        let mut text = Vec::new();
        for dir in dirs {
            text.extend(escaped(dir.as_os_str().as_bytes()));
            text.push(b'\n');
        }
        let path = self.register_file();
        let temporary = self.state_dir.join(format!("projects.{}.tmp", std::process::id()));
        let write = || {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.state_dir)?;
            let mut file = private::create(&temporary)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            File::open(&self.state_dir)?.sync_all()
        };
        write().map_err(|source| PlacesError::Io { path: path.clone(), source })
    }

    /// `~/x` as a shell would read it.
    fn expanded(&self, path: PathBuf) -> PathBuf {
        match (path.strip_prefix("~"), &self.home) {
            (Ok(rest), Some(home)) => home.join(rest),
            _ => path,
        }
    }
}

/// Returns a path without links and dots in its name, as far as it is there.
pub fn real(path: &Path) -> PathBuf {
    let found = path.ancestors().find_map(|above| Some((above, fs::canonicalize(above).ok()?)));
    let rest = found.as_ref().and_then(|(above, _)| path.strip_prefix(above).ok());
    match (found.as_ref(), rest) {
        // Joining nothing would put a slash behind it.
        (Some((_, real)), Some(rest)) if rest.as_os_str().is_empty() => real.clone(),
        (Some((_, real)), Some(rest)) => real.join(rest),
        _ => path.to_owned(),
    }
}

fn secret(value: OsString) -> Secret {
    Secret::from(value.to_string_lossy().into_owned())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Returns the home in this account's line of `/etc/passwd`: pipe(8) sets no `HOME`.
fn home_of_account() -> Option<PathBuf> {
    let uid = rustix::process::getuid().as_raw().to_string();
    let text = fs::read("/etc/passwd").ok()?;
    let home = text.split(|b| *b == b'\n').find_map(|line| {
        let mut fields = line.split(|b| *b == b':');
        let same = fields.nth(2)? == uid.as_bytes();
        if same { fields.nth(2) } else { None }
    })?;
    Some(PathBuf::from(OsStr::from_bytes(home))).filter(|home| home.is_absolute())
}

fn has_remote(file: &Path, address: &str) -> bool {
    let mut head = Vec::new();
    let Ok(file) = File::open(file) else { return false };
    if file.take(PROJECT_HEAD_BYTES).read_to_end(&mut head).is_err() {
        return false;
    }
    head.split(|b| *b == b'\n').any(|line| {
        line.strip_prefix(b"remote\t")
            .and_then(|rest| rest.split(|b| *b == b' ').next())
            .is_some_and(|first| first.eq_ignore_ascii_case(address.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(variables: &[(&str, &str)], home: Option<&str>) -> Result<Places, PlacesError> {
        let find = |name: &str| {
            variables.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value))
        };
        Places::from_variables(find, || home.map(PathBuf::from))
    }

    #[test]
    fn places_follow_the_variables() {
        let all = [
            ("HOME", "/h"),
            ("XDG_CONFIG_HOME", "/c"),
            ("XDG_STATE_HOME", "/s"),
            ("REMSYNC_QUEUE", "/q"),
            ("REMSYNC_CONFIG", "/f.toml"),
        ];
        for (variables, config, state, queue) in [
            (&all[..1], "/h/.config/remsync/config.toml", "/h/.local/state/remsync", None),
            (&all[..2], "/c/remsync/config.toml", "/h/.local/state/remsync", None),
            (&all[..3], "/c/remsync/config.toml", "/s/remsync", None),
            (&all[..4], "/c/remsync/config.toml", "/s/remsync", Some("/q")),
            (&all[..5], "/f.toml", "/s/remsync", Some("/q")),
            (
                &[("HOME", "/h"), ("XDG_STATE_HOME", "x"), ("REMSYNC_QUEUE", "")],
                "/h/.config/remsync/config.toml",
                "/h/.local/state/remsync",
                None,
            ),
        ] {
            let places = places(variables, None).unwrap();
            assert_eq!(places.config_file, Path::new(config));
            assert_eq!(places.state_dir, Path::new(state));
            let default = places.state_dir.join("queue");
            let expected = queue.map_or(default, PathBuf::from);
            assert_eq!(places.queue_dir(None, &Settings::default()), expected);
        }
        assert!(matches!(places(&[], None), Err(PlacesError::NoHome)));
        let looked_up = places(&[], Some("/a")).unwrap();
        assert_eq!(looked_up.state_dir, Path::new("/a/.local/state/remsync"));
    }

    #[test]
    fn the_queue_of_the_option_is_the_queue() {
        let settings = Settings { queue_dir: Some("/set".into()), ..Settings::default() };
        let plain = places(&[("HOME", "/h")], None).unwrap();
        let variable = places(&[("HOME", "/h"), ("REMSYNC_QUEUE", "/var")], None).unwrap();
        assert_eq!(plain.queue_dir(None, &settings), Path::new("/set"));
        assert_eq!(variable.queue_dir(None, &settings), Path::new("/var"));
        assert_eq!(variable.queue_dir(Some(Path::new("o")), &settings), Path::new("o"));
    }

    #[test]
    fn the_register_keeps_every_name_once() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().to_str().unwrap();
        let places = places(&[("HOME", home)], None).unwrap();
        assert_eq!(places.register_list().unwrap(), Vec::<PathBuf>::new());
        let names: Vec<PathBuf> =
            [&b"/plain"[..], b"/with space", b"/new\nline%0A", b"/\xff\xfe", "/é".as_bytes()]
                .iter()
                .map(|name| PathBuf::from(OsStr::from_bytes(name)))
                .collect();
        for name in names.iter().chain(&names) {
            places.register_add(name).unwrap();
        }
        assert_eq!(places.register_list().unwrap(), names);
        places.register_remove(&names[0]).unwrap();
        assert_eq!(places.register_list().unwrap(), names[1..]);
    }

    #[test]
    fn remotes_are_known_by_their_lines() {
        let dir = tempfile::tempdir().unwrap();
        let places = places(&[("HOME", dir.path().to_str().unwrap())], None).unwrap();
        let project = dir.path().join("p");
        fs::create_dir(&project).unwrap();
        fs::write(project.join(".remsync"), "format\tremsync 2.0\nremote\tAnn@x ~/p\n\tf 1\n")
            .unwrap();
        assert!(!places.knows_remote("ann@x"));
        places.register_add(&project).unwrap();
        places.register_add(&dir.path().join("gone")).unwrap();
        for (address, known) in [("ann@x", true), ("ann@xy", false), ("ann", false), ("", false)] {
            assert_eq!(places.knows_remote(address), known, "{address}");
        }
    }

    #[test]
    fn settings_that_are_not_there_set_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let places = places(&[("HOME", dir.path().to_str().unwrap())], None).unwrap();
        assert_eq!(places.settings().unwrap(), Settings::default());
        fs::create_dir_all(places.config_file.parent().unwrap()).unwrap();
        fs::write(&places.config_file, "[queue]\ndir = \"~/q\"\n").unwrap();
        assert_eq!(places.settings().unwrap().queue_dir, Some(dir.path().join("q")));
        fs::write(&places.config_file, "[queue]\ndri = \"~/q\"\n").unwrap();
        let error = places.settings().unwrap_err().to_string();
        assert!(error.contains("config.toml:2: "), "{error}");
    }
}
