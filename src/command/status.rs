//! `status`: the matrix, for people and as JSON. Looks only; writes nothing.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::edge::state::State;
use crate::model::knowledge::Knowledge;
use crate::model::project::{Format, Project};
use crate::model::version::Content;
use crate::rules::classic;
use crate::rules::observe::record;
use crate::rules::plan::{Named, Request, What};
use crate::rules::status::{MatrixRow, Standing, holds, matrix};

use super::outcome::{Failure, Outcome, answer, answer_json, counted};
use super::session::{Ground, Session};
use super::survey::{Survey, survey};
use super::words::local_time;

/// Shows where every file stands.
///
/// # Errors
/// There is no project, or its state or tree cannot be read.
pub fn run(session: &Session) -> Result<Outcome, Failure> {
    let directory = session.project_directory()?;
    let mut project = State::read(&directory)?;
    let ground = Ground::open(&directory, &project.identity)?;
    let survey = survey(&ground.root, &ground.selection, &project)?;
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
    let shown = Shown { project: &project, survey: &survey, request: &request };
    if session.options.json {
        answer_json(&shown.json());
    } else {
        shown.print(session.options.verbose > 0);
    }
    let waits = !project.knowledge.questions.is_empty();
    Ok(survey.outcome().and(if waits { Outcome::Waits } else { Outcome::Done }))
}

struct Shown<'a> {
    project: &'a Project,
    survey: &'a Survey,
    request: &'a Request,
}

impl Shown<'_> {
    fn knowledge(&self) -> &Knowledge {
        &self.project.knowledge
    }

    fn print(&self, all: bool) {
        let identity = &self.project.identity;
        answer(format_args!("{}, here {}", identity.title, identity.here.address));
        for row in matrix(self.project, self.request) {
            let state = self.state(&row);
            if all || state != "in step" {
                answer(format_args!("  {}: {state}", row.path));
            }
        }
        for (index, remote) in identity.remotes.iter().enumerate() {
            let mut counts: BTreeMap<Standing, usize> = BTreeMap::new();
            for row in matrix(self.project, self.request) {
                *counts.entry(row.standings[index]).or_default() += 1;
            }
            let counts: Vec<String> = counts
                .iter()
                .map(|(standing, count)| format!("{count} {}", standing.name()))
                .collect();
            let heard = self.knowledge().remotes[index].heard_ms;
            let word = match heard {
                0 => "no word from there yet".to_owned(),
                ms => format!("last word {}", local_time(ms)),
            };
            let counts = if counts.is_empty() { "no files".into() } else { counts.join(", ") };
            answer(format_args!("{}: {counts}; {word}", remote.address));
        }
        answer(self.tally());
    }

    fn tally(&self) -> String {
        let mut line = counted(self.survey.scan.files.len(), "file", "files");
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
            "summary": {
                "files": scan.files.len(),
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
