//! `check`: looks at every site that can be looked at, and saves what it saw; while that is fresh it
//! is used again.
//!
//! Here the tree is scanned, hosts are observed over SSH, all at the same time; of sites that mail
//! reaches it is known what they said. One site that is down does not stop the others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value, json};

use crate::edge::snapshot::Snapshots;
use crate::edge::ssh::{Line, Observation, SshFault, Stop, Terms, observe};
use crate::edge::state::State;
use crate::edge::stop;
use crate::edge::tree;
use crate::format::sftp;
use crate::model::path::{escaped, is_reserved_part};
use crate::model::project::{Format, Project};
use crate::model::snapshot::{Agreed, CellShot, Operation, Plan, Reach, SiteShot, Snapshot};
use crate::model::version::Content;
use crate::model::{Belief, HostSite, TreePath};
use crate::rules::classic;
use crate::rules::hosts::{plan_host, standing};
use crate::rules::observe::{Look, record};
use crate::rules::plan::{Named, Request, What};
use crate::rules::select::Selection;
use crate::rules::status::{holds, matrix, site_standing};

use super::ground::{Ground, look, place_of};
use super::outcome::{Failure, Outcome, answer, answer_json, counted, tell};
use super::session::Session;
use super::survey::{Survey, belongs, survey};
use super::words::age_words;

/// For how long a check is used again, in seconds, unless `--max-age` says otherwise.
const MAX_AGE_S: u64 = 3_600;
/// Hosts that are observed at once.
const HOSTS_AT_ONCE: usize = 16;

/// What a check saw, and what follows.
pub struct Checked {
    /// What it saw.
    pub snapshot: Snapshot,
    /// What a synchro would do.
    pub plan: Plan,
    /// Whether an earlier check was used again.
    pub is_reused: bool,
}

/// Looks, or takes what a fresh check saw, and tells it.
///
/// # Errors
/// There is no project, or its state or tree cannot be read.
pub fn run(session: &Session) -> Result<Outcome, Failure> {
    let directory = session.project_directory()?;
    let stop = stop::flag().map_err(|error| Failure::new(format!("signals: {error}")))?;
    let checked = check(session, &directory, session.options.force, &stop)?;
    if session.options.json {
        answer_json(&checked.json(session.now_ms));
    } else {
        checked.print(session);
    }
    Ok(checked.outcome())
}

/// Returns what a check saw: an earlier one if that is fresh, unless `force`.
///
/// # Errors
/// The project's state or tree cannot be read.
pub fn check(
    session: &Session,
    directory: &Path,
    force: bool,
    stop: &Stop,
) -> Result<Checked, Failure> {
    let project = State::read(directory)?;
    let files = Snapshots::new(State::private_folder(directory));
    let before = files.snapshot().unwrap_or_else(|error| {
        tell(format_args!("remsync: {error}: looking again."));
        None
    });
    let plan = files.plan(&files.plan_file()).unwrap_or_default();
    if let (Some(snapshot), Some(plan), false) = (&before, plan, force)
        && is_fresh(session, &project, snapshot)
        && plan.checked_ms == snapshot.checked_ms
    {
        return Ok(Checked { snapshot: snapshot.clone(), plan, is_reused: true });
    }
    let ground = Ground::open(session, directory, &project.identity)?;
    let eye = Eye { session, project, ground: &ground, before, stop };
    let (snapshot, plan) = eye.look(&files)?;
    if stop.load(std::sync::atomic::Ordering::Relaxed) {
        return Err(Failure::new("stopped before it was done"));
    }
    if !session.options.dry_run {
        files.save_snapshot(&snapshot)?;
        files.save_plan(&plan)?;
    }
    Ok(Checked { snapshot, plan, is_reused: false })
}

/// Returns what stands for a host in what was agreed on.
pub fn agreed_key(site: &HostSite) -> String {
    format!("{} {}", site.host.url(), escaped(&site.directory))
}

/// Returns what holds for all hosts.
pub fn terms(session: &Session) -> Terms {
    Terms { config: session.settings.ssh_config.clone(), accept_new: session.options.accept_new }
}

/// Whether a snapshot is young enough, and of the sites that there are now.
fn is_fresh(session: &Session, project: &Project, snapshot: &Snapshot) -> bool {
    let max_age_ms = session.options.max_age_s.unwrap_or(MAX_AGE_S).saturating_mul(1000);
    let is_young =
        snapshot.checked_ms <= session.now_ms && session.now_ms - snapshot.checked_ms < max_age_ms;
    let identity = &project.identity;
    let sites: Vec<(String, String)> = identity
        .remotes
        .iter()
        .map(|site| (site.address.to_string(), shown(site.directory.as_deref())))
        .chain(identity.hosts.iter().map(|s| (s.host.url(), shown(Some(&s.directory)))))
        .collect();
    let seen: Vec<(String, String)> =
        snapshot.sites.iter().map(|s| (s.address.clone(), s.directory.clone())).collect();
    is_young && sites == seen
}

fn shown(directory: Option<&[u8]>) -> String {
    directory.map(escaped).unwrap_or_default()
}

/// One look at everything.
struct Eye<'e> {
    session: &'e Session,
    project: Project,
    ground: &'e Ground,
    before: Option<Snapshot>,
    stop: &'e Stop,
}

impl Eye<'_> {
    fn look(mut self, files: &Snapshots) -> Result<(Snapshot, Plan), Failure> {
        let hosts = self.project.identity.hosts.clone();
        let (survey, seen) = std::thread::scope(|scope| {
            let observing = scope
                .spawn(|| observe_all(&hosts, self.session, &self.ground.selection, self.stop));
            let survey =
                survey(self.session, &self.ground.root, &self.ground.selection, &self.project);
            (survey, observing.join().unwrap_or_default())
        });
        let survey = survey?;
        survey.tell();
        let now_ms = self.session.now_ms;
        match self.project.identity.format {
            Format::V2_0 => record(&mut self.project.knowledge, &survey.differences, now_ms),
            Format::V1_3 => classic::record(&mut self.project.knowledge, &survey.differences),
        }
        let dry = self.session.options.dry_run;
        let look = |agreed: &mut BTreeMap<String, Agreed>| {
            let names = hosts.iter().map(agreed_key);
            let known: BTreeSet<String> = names.collect();
            agreed.retain(|name, _| known.contains(name));
            self.assemble(&survey, &hosts, seen, agreed)
        };
        Ok(match dry {
            true => files.agreed(|agreed| look(&mut agreed.clone()))?,
            false => files.agreed(look)?,
        })
    }

    /// Puts together what was seen, and plans.
    fn assemble(
        &self,
        survey: &Survey,
        hosts: &[HostSite],
        seen: Vec<Result<Observation, SshFault>>,
        agreed: &mut BTreeMap<String, Agreed>,
    ) -> (Snapshot, Plan) {
        let identity = &self.project.identity;
        let mut snapshot = Snapshot {
            title: identity.title.clone(),
            here: identity.here.address.to_string(),
            checked_ms: self.session.now_ms,
            ..Snapshot::default()
        };
        for (path, (_, found)) in survey.scan.files.paths().zip(survey.scan.files.iter()) {
            snapshot.files.insert(path, Content::File(found.signature));
        }
        for path in seen.iter().flatten().flat_map(|seen| seen.files.keys()) {
            self.enter(&mut snapshot, path);
        }
        for path in agreed.values().flat_map(|agreed| agreed.keys()) {
            self.enter(&mut snapshot, path);
        }
        self.enter_mail(&mut snapshot);
        let mut plan = Plan { checked_ms: snapshot.checked_ms, operations: Vec::new() };
        let place = |path: &TreePath| place_of(&self.ground.selection, path);
        for (site, seen) in hosts.iter().zip(seen) {
            let agreed = agreed.entry(agreed_key(site)).or_default();
            let shot = self.host(site, seen, &snapshot.files, agreed);
            if shot.error.0.is_empty() {
                let deletions = self.session.deletions();
                plan.operations.extend(plan_host(
                    &snapshot.files,
                    &shot,
                    agreed,
                    deletions,
                    &place,
                ));
            }
            snapshot.sites.push(shot);
        }
        (snapshot, plan)
    }

    /// Notes that nothing is here where others have a file, if that can be told.
    fn enter(&self, snapshot: &mut Snapshot, path: &TreePath) {
        if snapshot.files.contains_key(path) {
            return;
        }
        let Ground { root, selection, .. } = self.ground;
        if let Look::Is(content @ Content::Absent) = look(root, selection, Format::V2_0, path) {
            snapshot.files.insert(path.clone(), content);
        }
    }

    /// Adds the sites that mail reaches, as they are believed to be.
    fn enter_mail(&self, snapshot: &mut Snapshot) {
        let identity = &self.project.identity;
        let request = Request {
            now_ms: self.session.now_ms,
            resend_after_ms: self.session.resend_after_ms(),
            what: What::Contents,
            named: Named::Everybody,
        };
        let mut sites: Vec<SiteShot> = identity
            .remotes
            .iter()
            .enumerate()
            .map(|(remote, site)| SiteShot {
                address: site.address.to_string(),
                directory: shown(site.directory.as_deref()),
                news_ms: site_standing(&self.project, remote, &request).last_word_ms,
                ..SiteShot::default()
            })
            .collect();
        for row in matrix(&self.project, &request) {
            let here = row.row.version.content;
            snapshot.files.entry(row.path.clone()).or_insert(here);
            let cells = row.row.cells.iter().zip(&row.standings);
            for (site, (cell, standing)) in sites.iter_mut().zip(cells) {
                let holds = match holds(identity.format, cell) {
                    Belief::Absent => Some(Content::Absent),
                    Belief::Holds(signature) => Some(Content::File(signature)),
                    _ => None,
                };
                let state = standing.name().to_owned();
                site.cells.insert(row.path.clone(), CellShot { holds, state });
            }
        }
        snapshot.sites.extend(sites);
    }

    /// Returns what was seen of one host; of one that is down, what was seen before.
    fn host(
        &self,
        site: &HostSite,
        seen: Result<Observation, SshFault>,
        files: &BTreeMap<TreePath, Content>,
        agreed: &Agreed,
    ) -> SiteShot {
        let mut shot = SiteShot {
            address: site.host.url(),
            directory: shown(Some(&site.directory)),
            reach: Reach::Ssh,
            ..SiteShot::default()
        };
        let gone = "its folder is not there any more";
        let fault = match &seen {
            Err(fault) => Some((fault.to_string(), fault.hint(&site.host))),
            Ok(seen) if !seen.is_there && !agreed.is_empty() => {
                Some((gone.to_owned(), "is its disk mounted? make the folder if so".to_owned()))
            }
            Ok(_) => None,
        };
        let (None, Ok(seen)) = (&fault, seen) else {
            let sites = self.before.iter().flat_map(|before| &before.sites);
            let mut known = sites.filter(|known| known.address == shot.address);
            if let Some(known) = known.next() {
                shot = known.clone();
            }
            shot.error = fault.unwrap_or_default();
            return shot;
        };
        shot.news_ms = self.session.now_ms;
        let names: BTreeSet<&[u8]> = seen.unknown.iter().map(|(name, _)| name.as_slice()).collect();
        let is_unknown = |path: &TreePath| {
            names.contains(&b""[..])
                || names.contains(path.as_bytes())
                || path.folders().any(|folder| names.contains(folder.as_bytes()))
        };
        let mut blocked = BTreeMap::new();
        for (path, &here) in files {
            let holds = match seen.files.get(path) {
                Some(signature) => Some(Content::File(*signature)),
                None if !names.is_empty() && is_unknown(path) => None,
                // No file is not a deletion while anything else has its name.
                None => match seen.blocks(path) {
                    Some((name, why)) if here != Content::Absent || agreed.contains_key(path) => {
                        blocked.insert(name, why);
                        None
                    }
                    _ => Some(Content::Absent),
                },
            };
            if holds == Some(Content::Absent)
                && here == Content::Absent
                && !agreed.contains_key(path)
            {
                continue;
            }
            let state = standing(here, holds, agreed.get(path).copied()).to_owned();
            shot.cells.insert(path.clone(), CellShot { holds, state });
        }
        let unknown = blocked.into_iter().chain(seen.unknown);
        shot.unknown = unknown.map(|(name, why)| (escaped(&name), why)).collect();
        shot
    }
}

/// Observes all hosts, several at a time; the answers are in their order.
fn observe_all(
    hosts: &[HostSite],
    session: &Session,
    selection: &Selection,
    stop: &Stop,
) -> Vec<Result<Observation, SshFault>> {
    let next = Mutex::new(hosts.iter().enumerate());
    let seen = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..hosts.len().min(HOSTS_AT_ONCE) {
            scope.spawn(|| {
                loop {
                    let taken = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((at, site)) = taken else { return };
                    let one = observe_one(site, session, selection, stop);
                    seen.lock().unwrap_or_else(PoisonError::into_inner).push((at, one));
                }
            });
        }
    });
    let mut seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    seen.sort_by_key(|(at, _)| *at);
    seen.into_iter().map(|(_, one)| one).collect()
}

/// Observes one host: the files that belong.
fn observe_one(
    site: &HostSite,
    session: &Session,
    selection: &Selection,
    stop: &Stop,
) -> Result<Observation, SshFault> {
    let line = Line::to_site(&site.host, &session.settings, &terms(session))?;
    let mut wants = |name: &[u8], kind: sftp::Kind| {
        let part = name.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        let kind = match kind {
            sftp::Kind::Folder => tree::Kind::Folder,
            _ => tree::Kind::File,
        };
        !is_reserved_part(part) && belongs(selection, name, kind).unwrap_or(false)
    };
    observe(&line, &site.directory, &mut wants, stop)
}

impl Checked {
    /// Returns how a command ends that shows it.
    pub fn outcome(&self) -> Outcome {
        let is_down = self.snapshot.sites.iter().any(|site| !site.error.0.is_empty());
        let waits = self.plan.operations.iter().any(|operation| operation.why.is_some());
        if is_down {
            Outcome::Failed
        } else if waits {
            Outcome::Waits
        } else {
            Outcome::Done
        }
    }

    fn print(&self, session: &Session) {
        for site in &self.snapshot.sites {
            answer(format_args!("{}  {}", site.address, describe_site(site, session.now_ms)));
        }
        tell_errors(&self.snapshot);
        if session.options.quiet {
            return;
        }
        let sites = counted(self.snapshot.sites.len(), "site", "sites");
        let differ = counted(differing(&self.snapshot), "file differs", "files differ");
        let age = age_words(self.snapshot.checked_ms, session.now_ms);
        let again = if self.is_reused { " (--force looks again)" } else { "" };
        answer(format_args!("{sites}: {differ}, checked {age}{again}"));
    }

    /// Returns the JSON document.
    pub fn json(&self, now_ms: u64) -> Value {
        let Checked { snapshot, plan, is_reused } = self;
        let mut states: BTreeMap<&str, usize> = BTreeMap::new();
        let mut files = Vec::new();
        for (path, here) in &snapshot.files {
            let mut sites = Map::new();
            for site in &snapshot.sites {
                let Some(cell) = site.cells.get(path) else { continue };
                let holds = cell.holds.map_or_else(|| "?".to_owned(), |holds| holds.to_string());
                let value = json!({ "holds": holds, "state": cell.state });
                sites.insert(site.address.clone(), value);
            }
            let state = file_state(snapshot, path);
            *states.entry(state).or_default() += 1;
            let here = match here {
                Content::Absent => Value::Null,
                Content::File(signature) => signature.to_string().into(),
            };
            files.push(json!({
                "path": path.to_string(), "state": state, "here": here, "sites": sites,
            }));
        }
        json!({
            "title": snapshot.title,
            "here": snapshot.here,
            "checked": snapshot.checked_ms,
            "age_seconds": now_ms.saturating_sub(snapshot.checked_ms) / 1000,
            "reused": is_reused,
            "files": files,
            "sites": snapshot.sites.iter().map(site_json).collect::<Vec<_>>(),
            "operations": plan.operations.iter().map(operation_json).collect::<Vec<_>>(),
            "summary": {
                "files": snapshot.files.len(),
                "differ": differing(snapshot),
                "states": states,
                "sites": snapshot.sites.len(),
                "failed": snapshot.sites.iter().filter(|s| !s.error.0.is_empty()).count(),
            },
        })
    }
}

/// Tells which sites were not reached, and what to do.
pub fn tell_errors(snapshot: &Snapshot) {
    for site in &snapshot.sites {
        let (what, hint) = &site.error;
        if !what.is_empty() {
            tell(format_args!("remsync: {}: {what}.", site.address));
            if !hint.is_empty() {
                tell(format_args!("  hint: {hint}"));
            }
        }
        for (name, why) in &site.unknown {
            tell(format_args!("remsync: {}: {name}: {why}.", site.address));
        }
    }
}

/// Returns where a file stands over all sites, in a word or two.
pub fn file_state(snapshot: &Snapshot, path: &TreePath) -> &'static str {
    const WORST_LAST: [&str; 6] = ["in step", "newer there", "sent", "due", "not known", "apart"];
    let rank = |state: &str| WORST_LAST.iter().position(|known| *known == state);
    let cells = snapshot.sites.iter().filter_map(|site| site.cells.get(path));
    let worst = cells.filter_map(|cell| rank(&cell.state)).max();
    worst.and_then(|worst| WORST_LAST.get(worst)).copied().unwrap_or("in step")
}

/// Returns how many files are not the same everywhere.
pub fn differing(snapshot: &Snapshot) -> usize {
    snapshot.files.keys().filter(|path| file_state(snapshot, path) != "in step").count()
}

/// Says in a line where a site stands.
pub fn describe_site(site: &SiteShot, now_ms: u64) -> String {
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    for cell in site.cells.values() {
        *states.entry(cell.state.as_str()).or_default() += 1;
    }
    let in_step = states.remove("in step").unwrap_or(0);
    let mut line = if site.error.0.is_empty() { String::new() } else { "down; ".to_owned() };
    if site.reach == Reach::Ssh && site.news_ms == 0 {
        return line + "never looked at";
    }
    if states.is_empty() {
        line += "in step";
    } else {
        let parts: Vec<String> =
            states.iter().map(|(state, count)| format!("{count} {state}")).collect();
        line += &format!("{}, {in_step} in step", parts.join(", "));
    }
    let news = match (site.reach, site.news_ms) {
        (Reach::Mail, 0) => "no word from there yet".to_owned(),
        (Reach::Mail, ms) => format!("last word {}", age_words(ms, now_ms)),
        (Reach::Ssh, 0) => "never looked at".to_owned(),
        (Reach::Ssh, ms) => format!("looked at {}", age_words(ms, now_ms)),
    };
    format!("{line}; {news}")
}

/// Returns the hosts as the last check saw them, in the order of the project; one that it did not see
/// was never looked at.
///
/// # Errors
/// The snapshot cannot be read.
pub fn hosts_seen(directory: &Path, hosts: &[HostSite]) -> Result<Vec<SiteShot>, Failure> {
    if hosts.is_empty() {
        return Ok(Vec::new());
    }
    let snapshot = Snapshots::new(State::private_folder(directory)).snapshot()?;
    let known = snapshot.map(|snapshot| snapshot.sites).unwrap_or_default();
    let shot = |site: &HostSite| {
        let (address, directory) = (site.host.url(), shown(Some(&site.directory)));
        let is_it = |shot: &&SiteShot| shot.address == address && shot.directory == directory;
        let never = SiteShot {
            address: address.clone(),
            directory: directory.clone(),
            reach: Reach::Ssh,
            ..SiteShot::default()
        };
        known.iter().find(is_it).cloned().unwrap_or(never)
    };
    Ok(hosts.iter().map(shot).collect())
}

/// Returns one site as the JSON documents have it.
pub fn site_json(site: &SiteShot) -> Value {
    let text = |text: &String| (!text.is_empty()).then(|| text.clone());
    let differ = site.cells.values().filter(|cell| cell.state != "in step").count();
    json!({
        "address": site.address,
        "directory": text(&site.directory),
        "kind": if site.reach == Reach::Ssh { "ssh" } else { "mail" },
        "news": (site.news_ms > 0).then_some(site.news_ms),
        "error": text(&site.error.0),
        "hint": text(&site.error.1),
        "differ": differ,
        "unknown": site.unknown.iter().map(|(name, why)| json!({ "path": name, "why": why }))
            .collect::<Vec<_>>(),
    })
}

/// Returns one line of a plan as the JSON documents have it.
pub fn operation_json(operation: &Operation) -> Value {
    json!({
        "site": operation.site,
        "path": operation.path.to_string(),
        "action": operation.act.name(),
        "here": operation.here.to_string(),
        "there": operation.there.to_string(),
        "why": operation.why.map(crate::model::knowledge::Why::name),
        "ticked": operation.is_ticked,
    })
}
