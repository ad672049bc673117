//! `status`: the matrix, for people and as JSON. Looks only; writes nothing but the index of the scan,
//! a cache.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::edge::outbox::{Note, NoteState, Outbox};
use crate::edge::state::State;
use crate::model::knowledge::Knowledge;
use crate::model::project::{Format, Project};
use crate::model::snapshot::SiteShot;
use crate::model::version::Content;
use crate::rules::classic;
use crate::rules::observe::record;
use crate::rules::plan::{Named, Request, What};
use crate::rules::status::{MatrixRow, SiteStanding, holds, matrix, site_standing};

use super::check::{describe_site, hosts_seen, site_json};
use super::ground::Ground;
use super::identity::open_differences;
use super::outcome::{Failure, Outcome, answer, answer_json, answer_lines, counted};
use super::session::Session;
use super::survey::{Survey, sift, survey};
use super::words::{age_words, local_time};

/// Columns that the addresses get at most.
const ADDRESS_COLUMNS_MAX: usize = 40;

/// Shows where every file stands.
///
/// # Errors
/// There is no project, or its state or tree cannot be read.
pub fn run(session: &Session) -> Result<Outcome, Failure> {
    let directory = session.project_directory()?;
    // What every site has is told in numbers only, unless each file is asked for.
    let (mut project, survey) = match session.options.json || session.options.verbose > 0 {
        true => {
            let project = State::read(&directory)?;
            let ground = Ground::open(session, &directory, &project.identity)?;
            let survey = survey(session, &ground.root, &ground.selection, &project)?;
            (project, survey)
        }
        false => {
            let sifted =
                sift(session, &directory, |sieve| Ok(((), State::read_some(&directory, sieve)?)))?;
            (sifted.project, sifted.survey)
        }
    };
    survey.tell();
    match project.identity.format {
        Format::V2_0 => record(&mut project.knowledge, &survey.differences, session.now_ms),
        Format::V1_3 => classic::record(&mut project.knowledge, &survey.differences),
    }
    let request = Request {
        now_ms: session.now_ms,
        resend_after_ms: session.resend_after_ms(),
        what: What::Contents,
        named: Named::Everybody,
    };
    let notes = Outbox::open(&State::private_folder(&directory)).notes()?;
    let sites = (0..project.identity.remotes.len())
        .map(|remote| SiteView::of(&project, remote, &request, &notes))
        .collect();
    let hosts = hosts_seen(&directory, &project.identity.hosts)?;
    let shown = Shown { project: &project, survey: &survey, request: &request, sites, hosts };
    if session.options.json {
        answer_json(&shown.json());
    } else {
        shown.print(session.options.verbose > 0);
    }
    let differences = open_differences(&directory, &project.identity)?.len();
    if differences > 0 && !session.options.json {
        let what = counted(differences, "question", "questions");
        answer(format_args!("{what} about who takes part, and which files (remsync pending)"));
    }
    let waits = differences > 0
        || !project.knowledge.questions.is_empty()
        || shown.sites.iter().any(|site| matches!(site.state, "waits for you" | "refused"));
    Ok(survey.outcome().and(if waits { Outcome::Waits } else { Outcome::Done }))
}

struct Shown<'a> {
    project: &'a Project,
    survey: &'a Survey,
    request: &'a Request,
    sites: Vec<SiteView>,
    /// Hosts that SSH reaches, as the last check saw them.
    hosts: Vec<SiteShot>,
}

/// What is shown of one site.
struct SiteView {
    address: String,
    standing: SiteStanding,
    note: Option<Note>,
    state: &'static str,
    now_ms: u64,
}

impl SiteView {
    fn of(project: &Project, remote: usize, request: &Request, notes: &[Note]) -> SiteView {
        let address = &project.identity.remotes[remote].address;
        let with = &project.knowledge.remotes[remote];
        let is_here =
            |note: &&Note| note.to == *address && !note.is_settled(with, project.identity.format);
        let note = notes.iter().find(is_here).cloned();
        let standing = site_standing(project, remote, request);
        let state = SiteView::state(&standing, note.as_ref());
        SiteView { address: address.to_string(), standing, note, state, now_ms: request.now_ms }
    }

    /// Returns the one word for all of it, what needs doing first.
    fn state(standing: &SiteStanding, note: Option<&Note>) -> &'static str {
        match note.map(|note| (note.state, note.package.is_some())) {
            Some((NoteState::Refused, _)) => return "refused",
            Some((NoteState::Held, _)) => return "waits for you",
            Some((NoteState::Waiting, true)) => return "waiting",
            Some((NoteState::Waiting, false) | (NoteState::Delayed, _)) | None => {}
        }
        match standing {
            SiteStanding { questions: 1.., .. } => "waits for you",
            SiteStanding { due: 1.., .. } => "due",
            SiteStanding { sent_since_ms: 1.., .. } => "sent",
            SiteStanding { apart: 1.., .. } => "apart",
            SiteStanding { newer: 1.., .. } => "newer there",
            _ => "in step",
        }
    }

    /// Says in a line where the site stands.
    fn describe(&self) -> String {
        let files = |count| counted(count, "file", "files");
        let SiteStanding { due, newer, apart, questions, sent_since_ms, last_word_ms } =
            self.standing;
        let mut line = match (self.state, &self.note) {
            ("waits for you", None | Some(Note { state: NoteState::Delayed, .. })) => {
                let verb = if questions == 1 { "waits" } else { "wait" };
                format!("{} {verb} for you", counted(questions, "question", "questions"))
            }
            ("waits for you", Some(_)) => "waits for you in the outbox".to_owned(),
            ("waiting", _) => "waits in the outbox".to_owned(),
            ("due", _) => format!("due ({})", files(due)),
            ("sent", _) => format!("sent, not confirmed since {}", local_time(sent_since_ms)),
            ("apart", _) => format!("apart ({})", files(apart)),
            ("newer there", _) => format!("newer there ({})", files(newer)),
            (state, _) => state.to_owned(),
        };
        if let Some(note) = &self.note {
            line += &describe_note(note);
        }
        if self.state != "due" && due > 0 {
            line += &format!("; due ({})", files(due));
        }
        match last_word_ms {
            0 => line + "; no word from there yet",
            ms => line + &format!("; last word {}", age_words(ms, self.now_ms)),
        }
    }

    fn json(&self) -> Value {
        let time = |ms: u64| (ms > 0).then_some(ms);
        let note = self.note.as_ref();
        json!({
            "address": self.address,
            "state": self.state,
            "due": self.standing.due,
            "sent_since": time(self.standing.sent_since_ms),
            "last_word": time(self.standing.last_word_ms),
            "reason": note.map(|note| note.reason.clone()),
            "status": note.map(|note| note.status.clone()),
            "attempts": note.map_or(0, |note| note.attempts),
            "next": note.and_then(|note| time(note.next_ms)),
        })
    }
}

/// Says why something is in the outbox: the code, the words, how often it was tried, when next.
fn describe_note(note: &Note) -> String {
    let mut line = String::new();
    if !note.status.is_empty() {
        line += &format!(" ({})", note.status);
    }
    line += &format!(": {}", note.reason);
    if note.attempts > 0 && note.package.is_some() {
        let count = usize::try_from(note.attempts).unwrap_or(usize::MAX);
        line += &format!(", tried {}", counted(count, "time", "times"));
    }
    if note.next_ms > 0 {
        line += &format!(", next {}", local_time(note.next_ms));
    }
    line
}

impl Shown<'_> {
    fn knowledge(&self) -> &Knowledge {
        &self.project.knowledge
    }

    fn print(&self, all: bool) {
        let identity = &self.project.identity;
        answer(format_args!("{}, here {}", identity.title, identity.here.address));
        let rows = matrix(self.project, self.request).map(|row| (row.path, self.state(&row)));
        let shown = rows.filter(|(_, state)| all || *state != "in step");
        answer_lines(shown.map(|(path, state)| format!("  {path}: {state}")));
        let addresses = self.sites.iter().map(|site| &site.address);
        let addresses = addresses.chain(self.hosts.iter().map(|host| &host.address));
        let columns = addresses.map(|address| address.chars().count());
        let columns = columns.max().unwrap_or(0).min(ADDRESS_COLUMNS_MAX);
        for site in &self.sites {
            answer(format_args!("{:<columns$}  {}", site.address, site.describe()));
        }
        for host in &self.hosts {
            let told = describe_site(host, self.request.now_ms);
            answer(format_args!("{:<columns$}  {told}", host.address));
        }
        answer(self.tally());
    }

    fn tally(&self) -> String {
        let mut line = counted(self.survey.files, "file", "files");
        let scan = &self.survey.scan;
        for (count, one, many) in [
            (self.survey.differences.resting.len(), "not known now", "not known now"),
            (
                usize::try_from(scan.links).unwrap_or(usize::MAX),
                "symbolic link left out",
                "symbolic links left out",
            ),
            (
                usize::try_from(scan.specials).unwrap_or(usize::MAX),
                "special file left out",
                "special files left out",
            ),
            (
                usize::try_from(scan.empty_folders).unwrap_or(usize::MAX),
                "empty folder left out",
                "empty folders left out",
            ),
        ] {
            if count > 0 {
                line += &format!(", {}", counted(count, one, many));
            }
        }
        match self.knowledge().questions.len() {
            0 => {}
            1 => line += ", 1 question waits for you (remsync pending)",
            count => line += &format!(", {count} questions wait for you (remsync pending)"),
        }
        line
    }

    /// Says where a file stands over all sites, in a word or two.
    fn state(&self, row: &MatrixRow) -> &'static str {
        if row.waits {
            "waits for you"
        } else if self.survey.differences.resting.contains(row.path) {
            "not known"
        } else {
            row.standings.iter().max().map_or("in step", |standing| standing.name())
        }
    }

    fn json(&self) -> Value {
        let remotes = &self.project.identity.remotes;
        let mut states: BTreeMap<&str, usize> = BTreeMap::new();
        let mut files = Vec::new();
        for row in matrix(self.project, self.request) {
            let state = self.state(&row);
            *states.entry(state).or_default() += 1;
            let mut sites = Map::new();
            for (site, (cell, standing)) in
                remotes.iter().zip(row.row.cells.iter().zip(&row.standings))
            {
                let holds = holds(self.project.identity.format, cell).to_string();
                let value = json!({ "holds": holds, "state": standing.name() });
                sites.insert(site.address.to_string(), value);
            }
            let here = match row.row.version.content {
                Content::Absent => Value::Null,
                Content::File(signature) => signature.to_string().into(),
            };
            files.push(json!({
                "path": row.path.to_string(), "state": state, "here": here, "sites": sites,
            }));
        }
        let scan = &self.survey.scan;
        json!({
            "title": self.project.identity.title,
            "here": self.project.identity.here.address.as_str(),
            "files": files,
            "sites": self.sites.iter().map(SiteView::json).collect::<Vec<_>>(),
            "hosts": self.hosts.iter().map(site_json).collect::<Vec<_>>(),
            "summary": {
                "files": self.survey.files,
                "states": states,
                "questions": self.knowledge().questions.len(),
                "links": scan.links,
                "specials": scan.specials,
                "empty_folders": scan.empty_folders,
                "unknown": scan.unknown.len(),
            },
        })
    }
}
