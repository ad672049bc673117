//! `init` and `accept`: how a folder becomes a project.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::edge::queue::EntryState;
use crate::edge::runs;
use crate::edge::state::State;
use crate::format::allowed_signers::is_plain;
use crate::format::package::{self, PackageFault};
use crate::format::public_key::PublicKey;
use crate::format::settings::Unsigned;
use crate::model::knowledge::Knowledge;
use crate::model::path::is_reserved_part;
use crate::model::project::{Format, Identity, Project};
use crate::model::run::Kind;
use crate::model::signer::Standing;
use crate::model::{Address, Site};
use crate::rules::select::default_ignores;

use super::ask::{reply, reply_as_typed};
use super::open::{OpenProject, RUNS};
use super::outcome::{Failure, Outcome, answer, answer_json, counted, tell, tell_failure};
use super::process::{Tally, opened, process_into};
use super::session::Session;
use super::sites::{
    Remote, check_new_host, check_new_remote, check_title, guessed_address, home_relative,
    parse_address, parse_remote,
};
use super::vouch;

/// Makes the current folder a project.
///
/// # Errors
/// It is one already, another project has the same address and title, or an option is missing.
pub fn init(session: &Session) -> Result<Outcome, Failure> {
    let options = &session.options;
    let directory = session.directory()?;
    let title = match &options.title {
        Some(title) => check_title(title)?,
        None => return Err(Failure::new("init needs a title").hinted(INIT_HINT)),
    };
    let here = match &options.here {
        Some(here) => parse_address(here)?,
        None => return Err(Failure::new("init needs this site's address").hinted(INIT_HINT)),
    };
    let format = match options.format.as_deref() {
        None | Some("2.0") => Format::V2_0,
        Some("1.3") => Format::V1_3,
        Some(other) => {
            return Err(Failure::new(format!("\"{other}\" is no format"))
                .hinted("the formats are 2.0 and 1.3"));
        }
    };
    let (mut remotes, mut hosts) = (Vec::new(), Vec::new());
    for remote in &options.remotes {
        match parse_remote(remote)? {
            Remote::Mail(site) => {
                check_new_remote(&here, &remotes, &site)?;
                remotes.push(site);
            }
            Remote::Ssh(site) => {
                check_new_host(format, &hosts, &site)?;
                hosts.push(site);
            }
        }
    }
    let identity = Identity {
        format,
        title,
        here: Site { address: here, directory: Some(home_relative(session, &directory)) },
        remotes,
        hosts,
        scans: Vec::new(),
        ignores: default_ignores().iter().map(|ignore| ignore.as_bytes().to_vec()).collect(),
    };
    check_free(session, &directory, &identity)?;
    let document = json!({
        "directory": directory.to_string_lossy(),
        "title": identity.title,
        "here": identity.here.address.as_str(),
        "format": identity.format.to_string(),
    });
    if !options.dry_run {
        create(session, &directory, identity)?;
    }
    if options.json {
        answer_json(&document);
    } else if !options.quiet {
        let is = if options.dry_run { "would be" } else { "is" };
        answer(format_args!("{} {is} a project now", directory.display()));
    }
    Ok(Outcome::Done)
}

/// Asks a person for what makes the current folder a project, and makes it one. Without an answer
/// nothing is made, and the command that needed one says that there is none.
///
/// # Errors
/// What was typed cannot be, or the project cannot be made.
pub fn questionnaire(session: &Session) -> Result<(), Failure> {
    let directory = session.directory()?;
    let question = format!(
        "{} is not a project yet: there is no .remsync.\nMake it one? [Y/n] ",
        directory.display()
    );
    if !matches!(reply(&question).as_deref(), Some("" | "y" | "yes")) {
        return Ok(());
    }
    let ask = |question: &str, check: &dyn Fn(&str) -> Result<(), Failure>| loop {
        let line = reply_as_typed(question)?;
        match check(&line) {
            Ok(()) => return Some(line),
            Err(failure) => tell_failure(&failure),
        }
    };
    let title =
        ask("A short description, the same at all sites: ", &|line| check_title(line).map(drop));
    let Some(title) = title else { return Ok(()) };
    let guess = guessed_address(session);
    let question = match &guess {
        Some(guess) => format!("The address at which this site gets its mail [{guess}]: "),
        None => "The address at which this site gets its mail: ".to_owned(),
    };
    let or_guess = |line: &str| match line {
        "" => guess.clone().unwrap_or_default(),
        line => line.to_owned(),
    };
    let here = ask(&question, &|line| parse_address(&or_guess(line)).map(drop));
    let Some(here) = here else { return Ok(()) };
    let mut options = session.options.clone();
    options.title = Some(title);
    options.here = Some(or_guess(&here));
    let settings = session.settings.clone();
    let places = session.places.clone();
    init(&Session { options, places, settings, now_ms: session.now_ms })?;
    tell("  \"create remote ADDRESS DIR\" names the other sites, one by one.");
    Ok(())
}

const INIT_HINT: &str = "remsync init --title TITLE --here ADDRESS [--remote 'ADDRESS DIR']…";

/// Makes the tree that a first package proposes, after showing what it would write.
///
/// # Errors
/// The entry is not there or not sound, or the folder may not become a project.
#[allow(clippy::disallowed_methods, reason = "the folder that a person named")]
pub fn accept(session: &Session, id: &str, directory: &OsStr) -> Result<Outcome, Failure> {
    let queue = session.queue()?;
    let _lock = queue.lock()?;
    let entry = queue.find(id)?;
    if !matches!(entry.state, EntryState::New | EntryState::Held) {
        return Err(Failure::new(format!("{}: it is {} already", entry.id, entry.state.word())));
    }
    let entry = opened(session, &queue, entry)?;
    let file = queue.open_entry(&entry)?;
    let bytes = file.try_clone()?;
    let package = match package::check(file) {
        Ok(package) => package,
        Err(PackageFault::Io(error)) => return Err(Failure::new(error)),
        Err(fault) => {
            queue.refuse(&entry, &fault.to_string())?;
            return Err(Failure::new(format!("{}: refused: {fault}", entry.id)));
        }
    };
    let orders = &package.orders;
    if orders.is_oldest {
        return Err(Failure::new(format!(
            "{}: it is of before format 1.3 and names no project",
            entry.id
        ))
        .hinted("\"init --format 1.3\" makes one; \"process\" in its folder takes it then"));
    }
    let theirs = &orders.identity;
    let visited = theirs
        .remotes
        .get(orders.visit)
        .ok_or_else(|| Failure::new(format!("{}: it is for nobody", entry.id)))?;
    let trust = session.trust()?;
    let origin = theirs.here.address.as_str();
    let standing = vouch::standing(session, &trust, &queue, &entry, &bytes, origin)?;
    let bytes: u64 = package.members.iter().map(|member| member.size_bytes).sum();
    tell(format_args!(
        "Package {}: \"{}\" from {} for {}: {}, {bytes} bytes; {standing}.",
        entry.id,
        theirs.title,
        theirs.here.address,
        visited.address,
        counted(package.members.len(), "file", "files"),
    ));
    let signers = match standing {
        Standing::Unknown(_) => vouch::signers(&queue, &entry)?,
        _ => Vec::new(),
    };
    signers.iter().for_each(|key| tell(format_args!("  its words: {}", key.words())));
    let directory = check_target(session, Path::new(directory))?;
    if session.options.dry_run {
        answer(format_args!("would make {} a project", directory.display()));
        return Ok(Outcome::Done);
    }
    let identity = Identity {
        format: theirs.format,
        title: theirs.title.clone(),
        here: Site {
            address: visited.address.clone(),
            directory: Some(home_relative(session, &directory)),
        },
        remotes: vec![theirs.here.clone()],
        hosts: Vec::new(),
        scans: Vec::new(),
        ignores: default_ignores().iter().map(|ignore| ignore.as_bytes().to_vec()).collect(),
    };
    let is_trusted = standing.is_good() || offer_trust(session, &theirs.here.address, &signers)?;
    let mut open = match State::is_project(&directory) {
        // An accept that was killed, or failed, goes on where it was.
        true => go_on(session, &directory, &identity)?,
        false => {
            check_free(session, &directory, &identity)?;
            std::fs::create_dir_all(&directory)
                .map_err(|error| Failure::new(format!("{}: {error}", directory.display())))?;
            let (state, project) = create(session, &directory, identity)?;
            OpenProject::with(session, state, project)?
        }
    };
    let mut tally = Tally::default();
    process_into(session, &queue, &mut open, &entry, &mut tally)?;
    tally.tell(session);
    if !is_trusted && session.unsigned_in(&directory) != Unsigned::Accept {
        tell(format_args!("remsync: what {origin} sends from now on waits for its signature."));
        let hint = match standing {
            // What this package brought is gone with it.
            Standing::Unknown(_) => format!("\"remsync key trust {origin} FILE\" trusts its key"),
            _ => vouch::hint(&standing, theirs.format, &entry),
        };
        if !hint.is_empty() {
            tell(format_args!("  hint: {hint}."));
        }
    }
    for other in theirs.remotes.iter().filter(|site| site.address != visited.address) {
        tell(format_args!(
            "{} takes part too; \"remsync create remote {} -\" adds it here.",
            other.address, other.address
        ));
    }
    Ok(tally.outcome)
}

/// Offers to trust the key that came with a first package; returns whether it is trusted now.
fn offer_trust(
    session: &Session,
    origin: &Address,
    signers: &[PublicKey],
) -> Result<bool, Failure> {
    let [key] = signers else { return Ok(false) };
    let is_theirs = is_plain(origin) && session.may_ask() && vouch::are_its_words(origin, key);
    if is_theirs {
        vouch::begin_to_trust(session, origin, key)?;
    }
    Ok(is_theirs)
}

/// Checks that packages for this project and another on this account can be told apart.
fn check_free(session: &Session, directory: &Path, identity: &Identity) -> Result<(), Failure> {
    if State::is_project(directory) {
        return Err(Failure::new(format!("{}: it is a project already", directory.display())));
    }
    for other in session.places.register_list()? {
        let Ok(project) = State::read(&other) else { continue };
        let same = project.identity.here.address == identity.here.address
            && project.identity.title == identity.title;
        if same && other != directory {
            return Err(Failure::new(format!(
                "{} is \"{}\" of {} already",
                other.display(),
                identity.title,
                identity.here.address
            ))
            .hinted("packages could not be told apart: choose another title or address"));
        }
    }
    Ok(())
}

/// Opens the project that an earlier accept of the same package made.
///
/// # Errors
/// It is another project.
fn go_on(session: &Session, directory: &Path, identity: &Identity) -> Result<OpenProject, Failure> {
    let open = OpenProject::open(session, directory)?;
    let there = &open.project.identity;
    let is_same = there.title == identity.title
        && there.here.address == identity.here.address
        && there.remotes.first().map(|site| &site.address)
            == identity.remotes.first().map(|site| &site.address);
    if !is_same {
        return Err(Failure::new(format!("{}: it is another project", directory.display())));
    }
    session.places.register_add(directory)?;
    Ok(open)
}

/// Makes the project's files and registers it.
fn create(
    session: &Session,
    directory: &Path,
    identity: Identity,
) -> Result<(State, Project), Failure> {
    let knowledge = Knowledge::new(identity.remotes.len());
    let project = Project { identity, knowledge };
    let state = State::create(directory, &project)?;
    session.places.register_add(directory)?;
    Ok((state, project))
}

/// Checks the folder of `accept`: empty or new, never `/`, a home, or one in a project. What an
/// accept that was killed or failed left there counts as nothing. Makes nothing.
fn check_target(session: &Session, directory: &Path) -> Result<PathBuf, Failure> {
    let shown = directory.display().to_string();
    let fault = |why: &str| Failure::new(format!("{shown}: {why}"));
    let io = |error: std::io::Error| fault(&error.to_string());
    let absolute = resolve_links(&std::path::absolute(directory).map_err(io)?).map_err(io)?;
    if absolute.parent().is_none() || session.places.home.as_ref() == Some(&absolute) {
        return Err(fault("not there").hinted("accept takes an empty or a new folder"));
    }
    let mut above = absolute.ancestors().skip(1);
    if let Some(above) = above.find(|folder| State::is_project(folder)) {
        return Err(fault(&format!("it is inside the project {}", above.display())));
    }
    if is_accept_begun(&absolute)? {
        return Ok(absolute);
    }
    match std::fs::symlink_metadata(&absolute) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(fault("it is no folder")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(absolute),
        Err(error) => return Err(io(error)),
    }
    for entry in absolute.read_dir().map_err(io)? {
        if !is_reserved_part(entry.map_err(io)?.file_name().as_bytes()) {
            return Err(fault("it is not empty").hinted("accept takes an empty or a new folder"));
        }
    }
    Ok(absolute)
}

/// Whether all that ever changed the files of this project is an accept: one that was killed, or
/// that could not write them all, may go on.
fn is_accept_begun(directory: &Path) -> Result<bool, Failure> {
    if !State::is_project(directory) {
        return Ok(false);
    }
    let runs = runs::read(&State::private_folder(directory).join(RUNS))?;
    Ok(!runs.is_empty() && runs.iter().all(|run| run.kind == Kind::Accept))
}

/// Resolves the links of what exists of a path; the rest stays as it is.
fn resolve_links(path: &Path) -> std::io::Result<PathBuf> {
    for above in path.ancestors() {
        match above.canonicalize() {
            Ok(resolved) => {
                let rest = path.strip_prefix(above).unwrap_or(Path::new(""));
                return Ok(if rest.as_os_str().is_empty() {
                    resolved
                } else {
                    resolved.join(rest)
                });
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(path.to_owned())
}
