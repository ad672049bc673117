//! Which of several places the password for an SMTP server is in.
//!
//! It reads none of them itself: [`crate::edge::secret`] does.

use std::path::PathBuf;

use crate::edge::secret::{self, SecretError};
use crate::format::settings::Secret;

/// Where a password may be; the first that is there is it.
#[derive(Clone, Debug, Default)]
pub struct PasswordSources {
    /// `REMSYNC_SMTP_PASSWORD`.
    pub variable: Option<Secret>,
    /// In the transport's URL.
    pub url: Option<Secret>,
    /// `[mail] password_file`.
    pub file: Option<PathBuf>,
    /// `[mail] password_command`.
    pub command: Option<Vec<String>>,
}

impl PasswordSources {
    /// Returns where the password is, in words; nothing where there is none.
    pub fn place(&self) -> Option<&'static str> {
        match self {
            PasswordSources { variable: Some(_), .. } => Some("REMSYNC_SMTP_PASSWORD"),
            PasswordSources { url: Some(_), .. } => Some("the transport"),
            PasswordSources { file: Some(_), .. } => Some("password_file"),
            PasswordSources { command: Some(_), .. } => Some("password_command"),
            _ => None,
        }
    }

    /// Returns the password, if one was set.
    ///
    /// # Errors
    /// It was set, and cannot be had.
    pub fn password(&self) -> Result<Option<Secret>, SecretError> {
        if let Some(password) = self.variable.as_ref().or(self.url.as_ref()) {
            return Ok(Some(password.clone()));
        }
        if let Some(path) = &self.file {
            return secret::from_file(path).map(Some);
        }
        self.command.as_deref().map(secret::from_command).transpose()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_first_source_is_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pw");
        fs::write(&file, "of file\r\nmore\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let mut all = PasswordSources {
            variable: Some("of variable".into()),
            url: Some("of url".into()),
            file: Some(file),
            command: Some(vec!["printf".into(), "of command\\nmore".into()]),
        };
        let mut had = Vec::new();
        while let Some(password) = all.password().unwrap() {
            had.push(format!("{}: {}", all.place().unwrap(), password.expose()));
            if all.variable.take().is_some() || all.url.take().is_some() {
                continue;
            }
            if all.file.take().is_none() {
                all.command = None;
            }
        }
        assert_eq!(
            had,
            [
                "REMSYNC_SMTP_PASSWORD: of variable",
                "the transport: of url",
                "password_file: of file",
                "password_command: of command",
            ]
        );
        assert_eq!(all.place(), None);
    }
}
