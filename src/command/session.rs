//! One run: what was asked, the settings, the time.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::edge::agent;
use crate::edge::carrier::{
    self, Access, Carrier, PasswordSources, SmtpServer, Transport, parse_transport,
};
use crate::edge::kept::DAY_MS;
use crate::edge::places::{Places, real};
use crate::edge::queue::Queue;
use crate::edge::secret::{self, SecretError};
use crate::edge::signing::{Signer, SigningError};
use crate::edge::state::State;
use crate::edge::trust::Trust;
use crate::format::settings::{self, Secret, Settings, Unsigned};
use crate::model::verdict::Deletions;
use crate::rules::plan::RESEND_AFTER_MS;

use super::options::Options;
use super::outcome::{Failure, escaped_lines};

/// What to do about a key that cannot be used.
const KEY_HINT: &str = "sign_key in the settings names the key; \
     REMSYNC_PASSPHRASE, passphrase_file or passphrase_command its passphrase; see remsync(5)";

/// Days for which versions are kept, unless the settings say otherwise.
const KEEP_DAYS: u64 = 90;
/// Bytes of kept versions, unless the settings say otherwise.
const KEEP_BYTES_MAX: u64 = 2 << 30;
/// Bytes of copies for merges, unless the settings say otherwise.
const BASE_BYTES_MAX: u64 = 256 << 20;

/// What every command is given.
pub struct Session {
    /// What was typed.
    pub options: Options,
    /// Where things lie on this account.
    pub places: Places,
    /// The settings file.
    pub settings: Settings,
    /// When the run began, in ms since 1970.
    pub now_ms: u64,
}

impl Session {
    /// Reads the settings for `options`.
    ///
    /// # Errors
    /// A settings file that cannot be read or says what it may not.
    pub fn new(options: Options) -> Result<Session, Failure> {
        let mut places = Places::from_environment()?;
        if let Some(file) = &options.config {
            places.config_file = file.clone();
        }
        let settings = places.settings()?;
        hold_private(&places, &settings)?;
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let now_ms = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
        Ok(Session { options, places, settings, now_ms })
    }

    /// Whether a person is at both ends of the terminal and may be asked.
    pub fn may_ask(&self) -> bool {
        !self.options.batch
            && !self.options.json
            && std::io::stdin().is_terminal()
            && std::io::stderr().is_terminal()
    }

    /// Returns the folder that the command works on: the current one, which `-C` changed.
    pub fn directory(&self) -> Result<PathBuf, Failure> {
        std::env::current_dir()
            .map_err(|error| Failure::new(format!("the current folder: {error}")))
    }

    /// Returns the top folder of the project that [`Session::directory`] is in, if it is in one.
    pub fn project_directory_if_any(&self) -> Result<Option<PathBuf>, Failure> {
        let start = self.directory()?;
        Ok(start.ancestors().find(|folder| State::is_project(folder)).map(Path::to_owned))
    }

    /// Returns the top folder of the project that [`Session::directory`] is in.
    ///
    /// # Errors
    /// There is none.
    pub fn project_directory(&self) -> Result<PathBuf, Failure> {
        self.project_directory_if_any()?.ok_or_else(|| {
            let start = self.directory().unwrap_or_default();
            Failure::new(format!("{}: no project here: there is no .remsync", start.display()))
                .hinted("\"remsync init\" makes this folder one; -C DIR names another")
        })
    }

    /// Opens the queue.
    pub fn queue(&self) -> Result<Queue, Failure> {
        Ok(Queue::open(&self.queue_directory())?)
    }

    /// Returns where the queue is: `--queue`, `REMSYNC_QUEUE`, the settings, the default.
    pub fn queue_directory(&self) -> PathBuf {
        self.places.queue_dir(self.options.queue.as_deref(), &self.settings)
    }

    /// Returns how mail leaves: `REMSYNC_TRANSPORT`, the settings, or sendmail.
    ///
    /// # Errors
    /// What they name is no transport.
    pub fn transport(&self) -> Result<Transport, Failure> {
        let named = self.places.transport_override.as_ref().or(self.settings.transport.as_ref());
        Ok(parse_transport(named.map_or("sendmail", |text| text.expose()))?)
    }

    /// Returns what stands for the way that mail leaves: where, how and as whom, and nothing secret.
    pub fn transport_name(&self) -> String {
        let Ok(transport) = self.transport() else { return String::new() };
        format!("{transport:?} {:?}", self.user(&transport))
    }

    /// Returns where the password for `transport` may be.
    pub fn password_sources(&self, transport: &Transport) -> PasswordSources {
        let url = match transport {
            Transport::Smtp(server) => server.password.clone(),
            Transport::Maildir(_) | Transport::Sendmail(_) => None,
        };
        PasswordSources {
            variable: self.places.smtp_password.clone(),
            url,
            file: self.settings.password_file.clone(),
            command: self.settings.password_command.clone(),
        }
    }

    /// Returns the user that `transport` is told, if it is told any.
    pub fn user<'a>(&'a self, transport: &'a Transport) -> Option<&'a str> {
        match transport {
            Transport::Smtp(server) => server.user.as_deref().or(self.settings.user.as_deref()),
            Transport::Maildir(_) | Transport::Sendmail(_) => None,
        }
    }

    /// Returns what the server of `transport` asks for.
    ///
    /// # Errors
    /// A user without a password, a password without a user, one that cannot be had.
    pub fn access(&self, transport: &Transport) -> Result<Access, Failure> {
        let Transport::Smtp(server) = transport else { return Ok(Access::default()) };
        let sources = self.password_sources(transport);
        let login = match (self.user(transport), sources.place()) {
            (None, None) => None,
            (None, Some(place)) => {
                let what = format!("{transport}: a password ({place}), and no user");
                return Err(Failure::new(what).hinted("set \"user\" under [mail]"));
            }
            (Some(user), _) => {
                let named = sources
                    .password()
                    .map_err(|fault| Failure::new(&fault).hinted(fault.hint()))?;
                let password =
                    named.or_else(|| self.typed_password(server, user)).ok_or_else(|| {
                        Failure::new(format!("{}: no password for {user}", server.place())).hinted(
                            "set \"password_file\" or \"password_command\" under [mail], or \
                             REMSYNC_SMTP_PASSWORD",
                        )
                    })?;
                Some((user.to_owned(), password))
            }
        };
        Ok(Access { login, ca_file: self.settings.ca_file.clone() })
    }

    /// Returns the carrier that the settings, or `REMSYNC_TRANSPORT`, name.
    ///
    /// # Errors
    /// What they name is no transport, or its password cannot be had.
    pub fn carrier(&self) -> Result<Box<dyn Carrier>, Failure> {
        let transport = self.transport()?;
        Ok(carrier::open(&transport, self.access(&transport)?))
    }

    /// The password that a person types, where one is there.
    fn typed_password(&self, server: &SmtpServer, user: &str) -> Option<Secret> {
        let question = format!("Password of {user} at {}: ", server.place());
        let typed = self.may_ask().then(|| secret::from_terminal(&escaped_lines(&question)));
        typed.and_then(Result::ok)
    }

    /// Returns what is done in a project with a package that nobody whom we trust signed.
    pub fn unsigned_in(&self, project: &Path) -> Unsigned {
        self.settings.unsigned_in(&real(project))
    }

    /// Reads whom we trust.
    ///
    /// # Errors
    /// It cannot be read, or others may change it.
    pub fn trust(&self) -> Result<Trust, Failure> {
        Ok(Trust::load(&self.places, &self.settings)?)
    }

    /// Opens the key that signs; `None` where none is set and none was made.
    ///
    /// # Errors
    /// There is one, and it cannot be used.
    pub fn signer(&self) -> Result<Option<Signer>, Failure> {
        let path = self.places.sign_key(&self.settings);
        if self.settings.sign_key.is_none() && !path.exists() {
            return Ok(None);
        }
        let agent = agent::socket();
        let signer = Signer::open(&path, agent.as_deref(), &mut |path| self.passphrase(path));
        signer.map(Some).map_err(key_failure)
    }

    /// Returns the passphrase of our keys: `REMSYNC_PASSPHRASE`, what the settings name, or what a
    /// person types; `None` where nobody can be asked.
    ///
    /// # Errors
    /// What the settings name cannot be read.
    pub fn passphrase(&self, key: &Path) -> Result<Option<Secret>, SecretError> {
        if let Some(secret) = secret::from_variable("REMSYNC_PASSPHRASE") {
            return Ok(Some(secret));
        }
        if let Some(command) = &self.settings.passphrase_command {
            return secret::from_command(command).map(Some);
        }
        if let Some(file) = &self.settings.passphrase_file {
            return secret::from_file(file).map(Some);
        }
        let question = format!("Passphrase of {}: ", escaped_lines(&key.to_string_lossy()));
        self.may_ask().then(|| secret::from_terminal(&question)).transpose()
    }

    /// Returns what deletions that are sure do.
    pub fn deletions(&self) -> Deletions {
        match self.settings.deletions {
            Some(settings::Deletions::Apply) => Deletions::Apply,
            Some(settings::Deletions::Ask) | None => Deletions::Ask,
        }
    }

    /// Returns for how long versions are kept, in ms.
    pub fn keep_ms(&self) -> u64 {
        self.settings.keep_days.unwrap_or(KEEP_DAYS).saturating_mul(DAY_MS)
    }

    /// Returns how many bytes of kept versions there may be.
    pub fn keep_bytes_max(&self) -> u64 {
        self.settings.keep_max_bytes.unwrap_or(KEEP_BYTES_MAX)
    }

    /// Returns how many bytes of copies for merges there may be.
    pub fn base_bytes_max(&self) -> u64 {
        self.settings.base_max_bytes.unwrap_or(BASE_BYTES_MAX)
    }

    /// Returns after how many ms something unacknowledged is sent again.
    pub fn resend_after_ms(&self) -> u64 {
        self.settings.resend_after_seconds.map_or(RESEND_AFTER_MS, |s| s.saturating_mul(1000))
    }
}

/// Refuses settings with a password that others can read.
fn hold_private(places: &Places, settings: &Settings) -> Result<(), Failure> {
    let named = settings.transport.as_ref().map(|text| parse_transport(text.expose()));
    let has_password =
        matches!(named, Some(Ok(Transport::Smtp(server))) if server.password.is_some());
    if !has_password || !places.settings_are_shared() {
        return Ok(());
    }
    let file = places.config_file.display();
    let what = format!("{file}: others may read this file, and a password is in it");
    Err(Failure::new(what).hinted(format!(
        "chmod 600 {file}; or keep the password elsewhere: password_file, remsync(5)"
    )))
}

/// A key cannot be used: what is known to help is said, else where keys are named.
fn key_failure(error: SigningError) -> Failure {
    let hint = match &error {
        SigningError::Secret(error) => error.hint(),
        _ => KEY_HINT.to_owned(),
    };
    Failure::new(error).hinted(hint)
}
