//! Sensitive names: files that other programs obey, so that a package must not write them without
//! being asked.
//!
//! Compared as a careless file system would: folded.

use crate::model::TreePath;
use crate::model::path::folded;

/// Folders that are sensitive with all that is below, wherever they are.
#[rustfmt::skip]
const FOLDERS: &[&str] = &[
    ".git", ".hg", ".svn", ".ssh", ".gnupg", ".bzr", ".cvs", ".emacs.d", ".vim", ".bashrc.d",
    ".bash_completion.d", ".zshrc.d", ".profile.d", ".procmail", ".direnv", ".cron", "cron.d",
    "cron.hourly", "cron.daily", "cron.weekly", "cron.monthly", "crontabs",
];

/// Files that are sensitive wherever they are.
#[rustfmt::skip]
const FILES: &[&str] = &[
    // Shells.
    ".profile", ".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".bash_aliases",
    ".bash_completion", ".zshrc", ".zshenv", ".zprofile", ".zlogin", ".zlogout", ".kshrc",
    ".mkshrc", ".shrc", ".shinit", ".cshrc", ".login", ".logout", ".tcshrc", ".inputrc",
    ".environment",
    // Editors, debuggers and interpreters that run what they find where they start.
    ".vimrc", ".gvimrc", ".exrc", ".nvimrc", ".nexrc", ".emacs", ".emacs.el", ".emacs.elc",
    ".dir-locals.el", ".dir-locals-2.el", ".gdbinit", ".lldbinit", ".pythonrc", ".pythonrc.py",
    ".irbrc", ".pryrc", ".rprofile", ".octaverc", ".screenrc", ".tmux.conf",
    // Desktops and logins.
    ".xsession", ".xsessionrc", ".xinitrc", ".xprofile", ".xserverrc", ".pam_environment",
    ".dmrc",
    // Mail.
    ".procmailrc", ".forward", ".mailfilter", ".mailrc", ".muttrc", ".fetchmailrc", ".msmtprc",
    // Other programs' commands and credentials.
    ".netrc", ".envrc", ".gitconfig", ".gitmodules", ".hgrc", ".npmrc", ".yarnrc", ".pypirc",
    ".wgetrc", ".curlrc", ".rhosts", ".shosts", ".k5login", "crontab", ".crontab", "anacrontab",
];

/// What is sensitive below `.config`, with all that is below it.
#[rustfmt::skip]
const CONFIG: &[&str] = &[
    "autostart", "autostart-scripts", "systemd", "environment.d", "nvim", "vim", "emacs", "fish",
    "zsh", "bash", "git", "procmail", "plasma-workspace",
];

/// Whether a path is one that other programs obey.
pub fn is_sensitive(path: &TreePath) -> bool {
    let parts: Vec<String> = path.parts().map(named).collect();
    let is_one_of = |names: &[&str], part: &String| {
        names.contains(&part.as_str()) || names.iter().any(|name| is_short_of(part, name))
    };
    if parts.iter().any(|part| is_short_of(part, ".remsync") || is_short_of(part, ".remsync.d")) {
        return true;
    }
    parts.iter().any(|part| is_one_of(FOLDERS, part) || is_one_of(FILES, part))
        || parts.windows(2).any(|pair| match pair {
            [folder, below] => folder == ".config" && is_one_of(CONFIG, below),
            _ => false,
        })
}

/// Returns a part of a path folded, without the stream of NTFS that may be named behind it.
fn named(part: &[u8]) -> String {
    let mut folded = folded(part);
    if let Some(at) = folded.find(':') {
        folded.truncate(at);
    }
    folded
}

/// Whether `part` is a short name that FAT and NTFS may give to `name`: `git~1` is `.git`. What is
/// asked about once too often does no harm.
fn is_short_of(part: &str, name: &str) -> bool {
    let Some((stem, number)) = part.split_once('~') else { return false };
    let number = number.split('.').next().unwrap_or_default();
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let name = name.trim_start_matches('.');
    let base = name.rsplit_once('.').map_or(name, |(base, _)| base);
    let is_usual = base.chars().take(6).eq(stem.chars());
    // In a crowded folder NTFS keeps two letters, and four digits follow.
    let is_crowded = base.get(..2).is_some_and(|two| {
        let digits = stem.strip_prefix(two).unwrap_or_default();
        digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    is_number && !stem.is_empty() && (is_usual || is_crowded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sensitive_and_not() {
        let table: &[(&str, bool)] = &[
            (".git", true),
            (".git/hooks/post-checkout", true),
            ("sub/.GIT/config", true),
            (".gi\u{200c}t/config", true),
            (".g\u{ff49}t/config", true),
            (".git./config", true),
            (".git /config", true),
            (".\u{17f}\u{17f}h/authorized_keys", true),
            (".\u{df}h/authorized_keys", true),
            (".net\u{200d}rc", true),
            ("git~1/config", true),
            ("GIT~23/config", true),
            ("procma~1", true),
            (".git::$INDEX_ALLOCATION/config", true),
            (".bashrc:x", true),
            ("remsyn~1", true),
            ("REMSYN~1.D/kept/x", true),
            ("backup~1", false),
            ("git~x", false),
            ("gi7d29~1/config", true),
            ("gixxxx~1/config", false),
            ("~1", false),
            ("a:b", false),
            (".\u{212a}shrc", true),
            (".pro\u{fb01}le", true),
            (".svn/entries", true),
            (".hg/hgrc", true),
            (".gnupg/gpg.conf", true),
            (".config/autostart/x.desktop", true),
            ("home/me/.Config/SystemD/user/x.service", true),
            (".config/nvim/init.lua", true),
            (".config/fish/config.fish", true),
            (".config", false),
            (".config/other/x", false),
            ("autostart/x", false),
            (".emacs.d/init.el", true),
            ("init.el", false),
            ("deep/.profile", true),
            (".bashrc", true),
            (".zshenv", true),
            (".vimrc", true),
            (".xsession", true),
            (".procmailrc", true),
            (".forward", true),
            (".mailfilter", true),
            (".netrc", true),
            (".envrc", true),
            (".gitconfig", true),
            (".npmrc", true),
            ("etc/crontab", true),
            ("etc/cron.d/x", true),
            ("var/spool/cron/crontabs/me", true),
            (".gitignore", false),
            (".github/x", false),
            ("git/x", false),
            ("profile", false),
            (".bashrcx", false),
            ("notes.txt", false),
        ];
        for (path, want) in table {
            let path = TreePath::new(path.as_bytes()).unwrap();
            assert_eq!(is_sensitive(&path), *want, "{path}");
        }
        assert!(!is_sensitive(&TreePath::new(b"\xff.git\xfe").unwrap()));
    }

    /// The names are compared with folded ones, so they must be folded themselves.
    #[test]
    fn the_names_are_folded() {
        for name in FOLDERS.iter().chain(FILES).chain(CONFIG) {
            assert_eq!(folded(name.as_bytes()), **name);
        }
    }
}
