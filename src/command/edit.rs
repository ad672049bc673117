//! `list`, `create` and `delete`: who takes part, and which files belong.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use serde_json::json;

use crate::edge::state::State;
use crate::model::path::escaped;
use crate::model::project::{Format, Identity, Project};
use crate::model::{Host, HostSite};
use crate::rules::select::Selection;

use super::grammar::Kind;
use super::init::{Remote, check_new_host, check_new_remote, parse_remote};
use super::outcome::{Failure, Outcome, answer, answer_json};
use super::session::Session;

/// Lists the statements of one kind, or all but the files.
///
/// # Errors
/// There is no project, or its state cannot be read.
pub fn list(session: &Session, kind: Option<Kind>) -> Result<Outcome, Failure> {
    let project = State::read(&session.project_directory()?)?;
    if session.options.json {
        let mut document = identity_json(&project);
        if kind == Some(Kind::Files) {
            document["files"] = files_json(&project);
        }
        answer_json(&document);
        return Ok(Outcome::Done);
    }
    let identity = &project.identity;
    let shows = |wanted: Kind| kind.is_none_or(|kind| kind == wanted);
    if kind.is_none() {
        answer(format_args!("format  {}", identity.format));
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
        list_files(&project);
    }
    Ok(Outcome::Done)
}

/// Creates a remote, a scan or an ignore.
///
/// # Errors
/// It is there already, or cannot be what it should.
pub fn create(session: &Session, kind: Kind, words: &[OsString]) -> Result<Outcome, Failure> {
    let mut value = words.first().cloned().unwrap_or_default();
    if let Some(directory) = words.get(1) {
        value.push(" ");
        value.push(directory);
    }
    edit(session, |project| {
        let identity = &mut project.identity;
        match kind {
            Kind::Remote => {
                let site = match parse_remote(&value)? {
                    Remote::Mail(site) => site,
                    Remote::Ssh(site) => return add_host(identity, site),
                };
                let known =
                    identity.remotes.iter_mut().find(|remote| remote.address == site.address);
                match known {
                    Some(remote) if site.directory.is_some() => remote.directory = site.directory,
                    _ => {
                        check_new_remote(&identity.here.address, &identity.remotes, &site)?;
                        identity.remotes.push(site);
                        project.knowledge.add_remote();
                    }
                }
                Ok(())
            }
            Kind::Scan => add(&mut identity.scans, &value, identity.format),
            Kind::Ignore => add(&mut identity.ignores, &value, identity.format),
            Kind::Here | Kind::Files => Err(Failure::new("that cannot be created")),
        }
    })
}

/// Deletes a remote, a scan or an ignore, by value or by its number.
///
/// # Errors
/// It is not there.
pub fn delete(session: &Session, kind: Kind, value: &OsStr) -> Result<Outcome, Failure> {
    edit(session, |project| {
        let identity = &mut project.identity;
        match kind {
            Kind::Remote => {
                if let Some(index) = host_named(identity, value) {
                    identity.hosts.remove(index);
                    return Ok(());
                }
                let lower = value.to_string_lossy().to_lowercase();
                let named = identity.remotes.iter().position(|r| r.address.as_str() == lower);
                let index = named
                    .or(numbered_by(value, identity.remotes.len()))
                    .ok_or_else(|| not_there(value))?;
                identity.remotes.remove(index);
                project.knowledge.remove_remote(index);
            }
            Kind::Scan => take_out(&mut identity.scans, value)?,
            Kind::Ignore => take_out(&mut identity.ignores, value)?,
            Kind::Here | Kind::Files => return Err(Failure::new("that cannot be deleted")),
        }
        Ok(())
    })
}

/// Adds a host, or sets the folder of one that is there.
fn add_host(identity: &mut Identity, site: HostSite) -> Result<(), Failure> {
    match identity.hosts.iter_mut().find(|known| known.host == site.host) {
        Some(known) => known.directory = site.directory,
        None => {
            check_new_host(identity.format, &identity.hosts, &site)?;
            identity.hosts.push(site);
        }
    }
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

/// Changes the project under its lock, and saves it if its expressions can be read.
fn edit(
    session: &Session,
    change: impl FnOnce(&mut Project) -> Result<(), Failure>,
) -> Result<Outcome, Failure> {
    let (mut state, mut project) = State::open(&session.project_directory()?)?;
    change(&mut project)?;
    let Identity { scans, ignores, .. } = &project.identity;
    Selection::compile(scans, ignores)?;
    if !session.options.dry_run {
        state.save(&project)?;
    }
    if session.options.json {
        answer_json(&identity_json(&project));
    }
    Ok(Outcome::Done)
}

fn add(statements: &mut Vec<Vec<u8>>, value: &OsStr, format: Format) -> Result<(), Failure> {
    let bytes = value.as_bytes().to_vec();
    if format == Format::V1_3 && bytes.iter().any(u8::is_ascii_whitespace) {
        return Err(Failure::new("format 1.3 cannot write white space here"));
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

fn numbered_by(value: &OsStr, count: usize) -> Option<usize> {
    let number: usize = value.to_str()?.parse().ok()?;
    (1..=count).contains(&number).then(|| number - 1)
}

fn not_there(value: &OsStr) -> Failure {
    Failure::new(format!("\"{}\" is not there", escaped(value.as_bytes())))
        .hinted("\"remsync list\" lists what is")
}

fn describe(site: &crate::model::Site) -> String {
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
    let site = |site: &crate::model::Site| {
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
