//! `list`, and what it lists: who takes part, and which files belong; changed by `create`, `delete`,
//! `title`, `here`, `email` and `home`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use serde_json::json;

use crate::edge::state::State;
use crate::model::Site;
use crate::model::limits::PATH_BYTES_MAX;
use crate::model::path::escaped;
use crate::model::project::{Format, Identity, Project};
use crate::model::{Host, HostSite};
use crate::rules::select::Selection;

use super::grammar::{Edit, Kind, SiteName};
use super::outcome::{Failure, Outcome, answer, answer_json, tell_failure};
use super::session::Session;
use super::sites::{
    Remote, check_new_host, check_new_remote, check_title, home_relative, parse_address,
    parse_remote,
};

/// Changes of one project that were typed and are not saved yet.
///
/// They are kept as what was typed, and done anew on what is on the disk when they are saved: so
/// nobody is locked out while a person thinks.
#[derive(Debug, Default)]
pub struct Draft {
    directory: PathBuf,
    edits: Vec<Edit>,
}

impl Draft {
    /// Whether nothing was changed.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// Returns the project of the current folder as it is with the changes.
    ///
    /// # Errors
    /// There is no project, or its state cannot be read.
    pub fn project(&self, session: &Session) -> Result<Project, Failure> {
        let directory = session.project_directory()?;
        let mut project = State::read(&directory)?;
        if directory == self.directory {
            self.edits.iter().try_for_each(|edit| apply(session, &mut project, edit))?;
        }
        Ok(project)
    }

    /// Takes a change in, once it is known that it can be made.
    ///
    /// # Errors
    /// It cannot: something is not there, or there already, or not what it should be.
    pub fn add(&mut self, session: &Session, edit: &Edit) -> Result<Outcome, Failure> {
        let mut project = self.project(session)?;
        apply(session, &mut project, edit)?;
        let Identity { scans, ignores, .. } = &project.identity;
        Selection::compile(scans, ignores)
            .map_err(|fault| Failure::new(&fault).hinted(&fault.hint))?;
        self.directory = session.project_directory()?;
        self.edits.push(edit.clone());
        if session.options.json {
            answer_json(&identity_json(&project));
        }
        Ok(Outcome::Done)
    }

    /// Saves the changes. One that cannot be made any more, because somebody else was at work on
    /// the project, is told and left out.
    ///
    /// # Errors
    /// The project cannot be opened or written; the changes are forgotten.
    pub fn save(&mut self, session: &Session) -> Result<Outcome, Failure> {
        let edits = std::mem::take(&mut self.edits);
        if edits.is_empty() || session.options.dry_run {
            return Ok(Outcome::Done);
        }
        let (mut state, mut project) = State::open(&self.directory)?;
        let mut outcome = Outcome::Done;
        for edit in &edits {
            if let Err(failure) = apply(session, &mut project, edit) {
                tell_failure(&failure);
                outcome = Outcome::Failed;
            }
        }
        state.save(&project)?;
        Ok(outcome)
    }

    /// Forgets the changes.
    pub fn forget(&mut self) {
        self.edits.clear();
    }
}

/// Lists the statements of one kind, or all but the files.
pub fn list(session: &Session, project: &Project, kind: Option<Kind>) -> Outcome {
    if session.options.json {
        let mut document = identity_json(project);
        if kind == Some(Kind::Files) {
            document["files"] = files_json(project);
        }
        answer_json(&document);
        return Outcome::Done;
    }
    let identity = &project.identity;
    let shows = |wanted: Kind| kind.is_none_or(|kind| kind == wanted);
    if kind.is_none() {
        answer(format_args!("format  {}", identity.format));
    }
    if shows(Kind::Title) {
        answer(format_args!("title   {}", escaped(identity.title.as_bytes())));
    }
    if shows(Kind::Here) {
        answer(format_args!("here    {}", describe(&identity.here)));
    }
    if shows(Kind::Remote) {
        for (number, remote) in identity.remotes.iter().enumerate() {
            answer(format_args!("remote  [{}] {}", number + 1, describe(remote)));
        }
        for (number, site) in (identity.remotes.len()..).zip(&identity.hosts) {
            let (url, directory) = (site.host.url(), escaped(&site.directory));
            answer(format_args!("remote  [{}] {url} {directory}", number + 1));
        }
    }
    if shows(Kind::Scan) {
        numbered("scan    ", &identity.scans);
    }
    if shows(Kind::Ignore) {
        numbered("ignore  ", &identity.ignores);
    }
    if kind == Some(Kind::Files) {
        list_files(project);
    }
    Outcome::Done
}

/// Makes one change.
///
/// # Errors
/// It cannot be made: something is not there, or there already, or not what it should be.
pub fn apply(session: &Session, project: &mut Project, edit: &Edit) -> Result<(), Failure> {
    match edit {
        Edit::Create(kind, words) => create(project, *kind, words),
        Edit::Delete(kind, value) => delete(project, *kind, value),
        Edit::Title(title) => {
            project.identity.title = check_title(title)?;
            Ok(())
        }
        Edit::Here(address, directory) => {
            if address != "-" {
                move_here(project, address)?;
            }
            if let Some(directory) = directory {
                project.identity.here.directory = parse_directory(session, directory)?;
            }
            Ok(())
        }
        Edit::Email(SiteName::Here, address) => move_here(project, address),
        Edit::Email(SiteName::Remote(name), address) => {
            let index = remote_named(project, OsStr::new(name))?;
            let identity = &mut project.identity;
            let address = parse_address(address)?;
            if identity.remotes[index].address != address {
                let directory = identity.remotes[index].directory.clone();
                let site = Site { address, directory };
                check_new_remote(&identity.here.address, &identity.remotes, &site)?;
                identity.remotes[index] = site;
            }
            Ok(())
        }
        Edit::Home(SiteName::Here, directory) => {
            project.identity.here.directory = parse_directory(session, directory)?;
            Ok(())
        }
        Edit::Home(SiteName::Remote(name), directory) => {
            if let Some(index) = host_named(&project.identity, OsStr::new(name)) {
                return set_folder(&mut project.identity.hosts[index], directory);
            }
            let index = remote_named(project, OsStr::new(name))?;
            project.identity.remotes[index].directory = parse_there(directory)?;
            Ok(())
        }
    }
}

/// Creates a remote, a scan or an ignore; of a remote that is there already, sets the folder.
fn create(project: &mut Project, kind: Kind, words: &[OsString]) -> Result<(), Failure> {
    let identity = &mut project.identity;
    let value = words.first().map(OsString::as_os_str).unwrap_or_default();
    match kind {
        Kind::Remote => {
            if let Some(directory) = words.get(1) {
                if let Some(index) = host_named(&project.identity, value) {
                    return set_folder(&mut project.identity.hosts[index], directory);
                }
                if let Ok(index) = remote_named(project, value) {
                    project.identity.remotes[index].directory = parse_there(directory)?;
                    return Ok(());
                }
            }
            let identity = &mut project.identity;
            let mut both = value.to_owned();
            if let Some(directory) = words.get(1) {
                parse_there(directory)?;
                both.push(" ");
                both.push(directory);
            }
            let site = match parse_remote(&both)? {
                Remote::Mail(site) => site,
                Remote::Ssh(site) => {
                    check_new_host(identity.format, &identity.hosts, &site)?;
                    identity.hosts.push(site);
                    return Ok(());
                }
            };
            check_new_remote(&identity.here.address, &identity.remotes, &site)?;
            identity.remotes.push(site);
            project.knowledge.add_remote();
            Ok(())
        }
        Kind::Scan => add(&mut identity.scans, value, identity.format),
        Kind::Ignore => add(&mut identity.ignores, value, identity.format),
        Kind::Title | Kind::Here | Kind::Files => Err(Failure::new("that cannot be created")),
    }
}

/// Deletes a remote, a scan or an ignore, by value or by its number.
fn delete(project: &mut Project, kind: Kind, value: &OsStr) -> Result<(), Failure> {
    match kind {
        Kind::Remote => {
            if let Some(index) = host_named(&project.identity, value) {
                project.identity.hosts.remove(index);
                return Ok(());
            }
            let index = remote_named(project, value)?;
            project.identity.remotes.remove(index);
            project.knowledge.remove_remote(index);
            Ok(())
        }
        Kind::Scan => take_out(&mut project.identity.scans, value),
        Kind::Ignore => take_out(&mut project.identity.ignores, value),
        Kind::Title | Kind::Here | Kind::Files => Err(Failure::new("that cannot be deleted")),
    }
}

/// Sets the folder on a host, which has to be known.
fn set_folder(site: &mut HostSite, directory: &OsStr) -> Result<(), Failure> {
    let folder = parse_there(directory)?.ok_or_else(|| {
        Failure::new(format!("{}: a host needs a folder", site.host.url()))
            .hinted("ssh://USER@HOST:PORT DIR")
    })?;
    site.directory = folder;
    Ok(())
}

/// Returns the host that a person named, by its address or by its number after the other remotes.
fn host_named(identity: &Identity, value: &OsStr) -> Option<usize> {
    let text = value.to_str()?;
    let named = Host::is_url(text).then(|| Host::from_url(text).ok()).flatten();
    let by_name = named.and_then(|host| identity.hosts.iter().position(|site| site.host == host));
    let count = identity.remotes.len() + identity.hosts.len();
    by_name.or_else(|| numbered_by(value, count)?.checked_sub(identity.remotes.len()))
}

/// Gives this site another address.
fn move_here(project: &mut Project, address: &str) -> Result<(), Failure> {
    let address = parse_address(address)?;
    if project.identity.remotes.iter().any(|remote| remote.address == address) {
        return Err(Failure::new(format!("{address}: it is a remote of this project")));
    }
    project.identity.here.address = address;
    Ok(())
}

/// Reads a folder on another site, which writes it in its own way; `-` is not known.
fn parse_there(directory: &OsStr) -> Result<Option<Box<[u8]>>, Failure> {
    match directory.as_bytes() {
        b"" => Err(Failure::new("an empty folder").hinted("\"-\" says that it is not known")),
        b"-" => Ok(None),
        bytes if bytes.len() > PATH_BYTES_MAX || bytes.contains(&0) => {
            Err(Failure::new(format!("a folder has at most {PATH_BYTES_MAX} bytes, none a NUL")))
        }
        bytes => Ok(Some(bytes.into())),
    }
}

/// Reads our own folder: from `/` or `~`, as the others are told.
fn parse_directory(session: &Session, directory: &OsStr) -> Result<Option<Box<[u8]>>, Failure> {
    match directory.as_bytes() {
        b"-" => Ok(None),
        [b'~' | b'/', ..] => parse_there(directory),
        _ => {
            let absolute = std::path::absolute(directory)
                .map_err(|error| Failure::new(format!("{}: {error}", directory.display())))?;
            Ok(Some(home_relative(session, &absolute)))
        }
    }
}

/// Returns the index of a remote, named by its address or number.
fn remote_named(project: &Project, value: &OsStr) -> Result<usize, Failure> {
    let remotes = &project.identity.remotes;
    let lower = value.to_string_lossy().to_lowercase();
    let named = remotes.iter().position(|remote| remote.address.as_str() == lower);
    named.or(numbered_by(value, remotes.len())).ok_or_else(|| {
        Failure::new(format!("\"{}\" is no remote of this project", escaped(value.as_bytes())))
            .hinted("\"list remote\" lists them")
    })
}

fn add(statements: &mut Vec<Vec<u8>>, value: &OsStr, format: Format) -> Result<(), Failure> {
    let bytes = value.as_bytes().to_vec();
    if format == Format::V1_3 && bytes.iter().any(u8::is_ascii_whitespace) {
        return Err(Failure::new("format 1.3 cannot write white space here")
            .hinted("write \\x20 for a space in an expression, ? in a wildcard"));
    }
    if bytes.is_empty() {
        return Err(Failure::new("an empty value"));
    }
    if statements.contains(&bytes) {
        return Err(Failure::new(format!("\"{}\" is there already", escaped(&bytes))));
    }
    statements.push(bytes);
    statements.sort();
    Ok(())
}

fn take_out(statements: &mut Vec<Vec<u8>>, value: &OsStr) -> Result<(), Failure> {
    let named = statements.iter().position(|statement| statement == value.as_bytes());
    let index = named.or(numbered_by(value, statements.len())).ok_or_else(|| not_there(value))?;
    statements.remove(index);
    Ok(())
}

/// Returns the index that a number from 1 names, in brackets or without, if there are so many.
pub fn numbered_by(value: &OsStr, count: usize) -> Option<usize> {
    let number = value.to_str()?;
    let bare = number.strip_prefix('[').and_then(|number| number.strip_suffix(']'));
    let number: usize = bare.unwrap_or(number).parse().ok()?;
    (1..=count).contains(&number).then(|| number - 1)
}

fn not_there(value: &OsStr) -> Failure {
    Failure::new(format!("\"{}\" is not there", escaped(value.as_bytes())))
        .hinted("\"list\" lists what is, with a number in brackets")
}

fn describe(site: &Site) -> String {
    let directory = site.directory.as_deref().unwrap_or(b"-");
    format!("{} {}", site.address, escaped(directory))
}

fn numbered(keyword: &str, statements: &[Vec<u8>]) {
    for (number, statement) in statements.iter().enumerate() {
        // An expression is shown as it has to be typed: its own backslashes stay single.
        let shown = escaped(statement).replace("\\\\", "\\");
        answer(format_args!("{keyword}[{}] {shown}", number + 1));
    }
}

fn list_files(project: &Project) {
    for (path, row) in &project.knowledge.rows {
        let own = match project.identity.format {
            Format::V2_0 => row.version.to_string(),
            Format::V1_3 => String::new(),
        };
        let columns: Vec<String> = row
            .cells
            .iter()
            .map(|cell| match project.identity.format {
                Format::V1_3 => cell.belief.to_string(),
                Format::V2_0 => cell.word.as_ref().map_or("?".into(), |word| {
                    if word.version == row.version { "=".into() } else { word.version.to_string() }
                }),
            })
            .collect();
        answer(format_args!("{path} {own} {}", columns.join(" ")));
    }
}

fn files_json(project: &Project) -> serde_json::Value {
    let files =
        project.knowledge.rows.iter().map(
            |(path, row)| json!({ "path": path.to_string(), "version": row.version.to_string() }),
        );
    files.collect()
}

fn identity_json(project: &Project) -> serde_json::Value {
    let identity = &project.identity;
    let site = |site: &Site| {
        json!({
            "address": site.address.as_str(),
            "directory": site.directory.as_deref().map(|d| String::from_utf8_lossy(d)),
        })
    };
    let texts = |statements: &[Vec<u8>]| -> Vec<String> {
        statements.iter().map(|s| String::from_utf8_lossy(s).into_owned()).collect()
    };
    json!({
        "format": identity.format.to_string(),
        "title": identity.title,
        "here": site(&identity.here),
        "remotes": identity.remotes.iter().map(site).collect::<Vec<_>>(),
        "hosts": identity.hosts.iter().map(|site| json!({
            "address": site.host.url(),
            "directory": String::from_utf8_lossy(&site.directory),
        })).collect::<Vec<_>>(),
        "scans": texts(&identity.scans),
        "ignores": texts(&identity.ignores),
    })
}
