//! `broadcast`: what the others lack, packed and handed to a carrier, one message a site.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::edge::carrier::{Carrier, FolderCarrier};
use crate::edge::tree::Stat;
use crate::format::digest::sha256_of;
use crate::format::mail::{Letter, message_id};
use crate::format::orders as orders_text;
use crate::format::package::{Level, Writer};
use crate::model::limits::PACKAGE_MEMBERS_MAX;
use crate::model::orders::{Act, Orders};
use crate::model::project::{Format, Project};
use crate::model::version::Content;
use crate::model::{Address, Signature, TreePath};
use crate::rules::classic;
use crate::rules::observe::record;
use crate::rules::parts::{Room, Turn, carve};
use crate::rules::plan::{
    Named, Outgoing, OutgoingRow, Request, What, With, accepted, forget_tombstones, issue, orders,
    plan,
};

use super::init::parse_address;
use super::outcome::{Failure, Outcome, answer, answer_json, counted, tell};
use super::session::{Ground, OpenProject, Session};
use super::survey::{Survey, rests, survey};

/// Unpacked bytes that one package carries at most: with what does not compress, the package stays
/// below its own bound.
const PART_BYTES_MAX: u64 = 900 << 20;

/// Broadcasts to `sites` (addresses, or numbers from 1), or to everybody.
///
/// # Errors
/// What keeps the broadcast from beginning; one site's trouble stops no other.
pub fn run(session: &Session, sites: &[String]) -> Result<Outcome, Failure> {
    let mut open = OpenProject::open(&session.project_directory()?)?;
    let targets = site_set(&open.project, sites)?;
    let survey = survey(&open.ground.root, &open.ground.selection, &open.project)?;
    survey.tell();
    if let Some(outcome) = brake(session, &survey)? {
        return Ok(outcome);
    }
    let mut touched = survey.differences.touched();
    let knowledge = &mut open.project.knowledge;
    match open.project.identity.format {
        Format::V2_0 => {
            record(knowledge, &survey.differences, session.now_ms);
            touched.extend(forget_tombstones(knowledge, session.now_ms));
        }
        Format::V1_3 => classic::record(knowledge, &survey.differences),
    }
    if !session.options.dry_run && !touched.is_empty() {
        open.state.commit(&open.project, &touched)?;
    }
    let named = if sites.is_empty() { Named::Everybody } else { Named::ByName };
    let request = Request {
        now_ms: session.now_ms,
        resend_after_ms: session.resend_after_ms(),
        what: if session.options.inventory { What::Inventory } else { What::Contents },
        named,
    };
    let plans: Vec<Outgoing> = {
        let rests = rests(&survey.differences.resting, &open.ground.selection);
        let knowledge = &open.project.knowledge;
        let plan_for = |remote: &usize| match open.project.identity.format {
            Format::V2_0 => plan(knowledge, *remote, &request, &rests),
            Format::V1_3 => classic::plan(knowledge, *remote, &request, &rests),
        };
        targets.iter().filter_map(plan_for).collect()
    };
    let reports = if session.options.dry_run {
        plans.iter().map(|outgoing| Report::planned(&open.project, outgoing)).collect()
    } else {
        send_all(session, &mut open, &survey, &plans)?
    };
    open.state.finish(&open.project)?;
    Ok(conclude(session, &reports).and(survey.outcome()))
}

/// Returns the remotes meant by a list of addresses or numbers from 1; none is all, a leading `!`
/// is all but those.
///
/// # Errors
/// A word that names no remote.
pub fn site_set(project: &Project, sites: &[String]) -> Result<BTreeSet<usize>, Failure> {
    let remotes = &project.identity.remotes;
    let mut words: Vec<&str> = sites.iter().map(String::as_str).collect();
    let mut is_complement = false;
    if let Some(first) = words.first_mut()
        && let Some(rest) = first.strip_prefix('!')
        && !remotes.iter().any(|site| site.address.as_str() == *first)
    {
        is_complement = true;
        *first = rest;
    }
    let mut named = BTreeSet::new();
    for word in words.into_iter().filter(|word| !word.is_empty()) {
        let lower = word.to_lowercase();
        let by_number = word.parse::<usize>().ok().filter(|n| (1..=remotes.len()).contains(n));
        let by_address = remotes.iter().position(|site| site.address.as_str() == lower);
        let index = by_address.or(by_number.map(|number| number - 1)).ok_or_else(|| {
            Failure::new(format!("\"{word}\" is no remote of this project"))
                .hinted("\"remsync list remote\" lists them")
        })?;
        named.insert(index);
    }
    let all = 0..remotes.len();
    Ok(match (sites.is_empty(), is_complement) {
        (true, _) => all.collect(),
        (false, true) => all.filter(|index| !named.contains(index)).collect(),
        (false, false) => named,
    })
}

/// Stops before a broadcast that would tell everybody that most files are gone.
fn brake(session: &Session, survey: &Survey) -> Result<Option<Outcome>, Failure> {
    let differences = &survey.differences;
    let is_empty = survey.scan.root_is_empty && differences.files > 0;
    if !differences.is_drastic() && !is_empty {
        return Ok(None);
    }
    tell(format_args!(
        "remsync: {} of {} are gone: an unmounted disk, or meant?",
        differences.gone.len(),
        counted(differences.files, "file", "files"),
    ));
    if session.may_ask() && super::ask::yes("Tell the others that they were deleted? [y/N] ") {
        return Ok(None);
    }
    tell("remsync: nothing was sent.");
    tell("  hint: if it is meant, run \"remsync broadcast\" at a terminal and say so.");
    if session.options.json {
        answer_json(&json!({ "sites": [], "held": "most files are gone" }));
    }
    Ok(Some(Outcome::Waits))
}

/// What became of one package.
struct Report {
    address: Address,
    files: usize,
    removes: usize,
    rows: usize,
    bytes: u64,
    sent: bool,
    error: Option<String>,
    left_out: usize,
}

impl Report {
    fn planned(project: &Project, outgoing: &Outgoing) -> Report {
        let (files, removes) = count(project, outgoing);
        let address = project.identity.remotes[outgoing.remote].address.clone();
        let rows = outgoing.rows.len();
        Report { address, files, removes, rows, bytes: 0, sent: false, error: None, left_out: 0 }
    }

    /// Says what the package carries, most telling first.
    fn describe(&self) -> String {
        match (self.files, self.removes, self.rows) {
            (0, 0, 0) => "an acknowledgement".into(),
            (0, 0, rows) => format!("news of {}, no contents,", counted(rows, "file", "files")),
            (0, removes, _) => counted(removes, "deletion", "deletions"),
            (files, 0, _) => counted(files, "file", "files"),
            (files, removes, _) => format!(
                "{} and {}",
                counted(files, "file", "files"),
                counted(removes, "deletion", "deletions")
            ),
        }
    }

    fn json(&self) -> Value {
        json!({
            "address": self.address.as_str(),
            "updates": self.files,
            "removes": self.removes,
            "bytes": self.bytes,
            "sent": self.sent,
            "error": self.error,
        })
    }
}

fn count(project: &Project, outgoing: &Outgoing) -> (usize, usize) {
    let content = |path: &TreePath| project.knowledge.rows.get(path).map(|row| row.version.content);
    let carried = outgoing.rows.iter().filter(|row| row.with == With::Contents);
    let (removes, files): (Vec<_>, Vec<_>) =
        carried.partition(|row| content(&row.path) == Some(Content::Absent));
    (files.len(), removes.len())
}

/// Packs and sends each plan in turn. What a carrier took is noted at once, so that a crash between
/// two sites forgets nothing that was sent. All packages are of the same, frozen knowledge: the
/// plans were made before the first was sent, and what is noted is nothing that orders tell.
fn send_all(
    session: &Session,
    open: &mut OpenProject,
    survey: &Survey,
    plans: &[Outgoing],
) -> Result<Vec<Report>, Failure> {
    if plans.is_empty() {
        return Ok(Vec::new());
    }
    let mut carrier = match carrier(session) {
        Ok(carrier) => carrier,
        Err(failure) => {
            let planned = |outgoing| Report {
                error: Some(failure.what.clone()),
                ..Report::planned(&open.project, outgoing)
            };
            return Ok(plans.iter().map(planned).collect());
        }
    };
    let copy: Vec<usize> = plans.iter().map(|outgoing| outgoing.remote).collect();
    let mut reports = Vec::new();
    let frozen = Frozen::of(&open.project);
    for outgoing in plans {
        let mut told = frozen.clone();
        let parts = split(open.project.identity.format, outgoing, survey);
        for (at, part) in parts.iter().enumerate() {
            let mut report = Report::planned(&open.project, part);
            let view = told.for_part(part, &parts[at + 1..], session.now_ms);
            match send_one(session, open, view, part, &copy, carrier.as_mut(), &mut report) {
                Ok(()) => reports.push(report),
                Err(failure) => {
                    report.error = Some(failure.what);
                    reports.push(report);
                    break;
                }
            }
        }
    }
    Ok(reports)
}

/// What the packages of format 1.3 are written from: what was known before the broadcast, for their
/// columns tell what we believe. `None` in 2.0, whose orders tell nothing that sending changes.
#[derive(Clone)]
struct Frozen(Option<Project>);

impl Frozen {
    fn of(project: &Project) -> Frozen {
        let is_classic = project.identity.format == Format::V1_3;
        Frozen(is_classic.then(|| project.clone()))
    }

    /// Returns what `part` is written from: files that a later part carries rest in it. From then
    /// on its own are told.
    fn for_part(&mut self, part: &Outgoing, later: &[Outgoing], now_ms: u64) -> Option<Project> {
        let told = self.0.as_mut()?;
        let mut view = told.clone();
        let carried = later.iter().flat_map(|part| &part.rows);
        let carried = carried.filter(|row| row.with == With::Contents).map(|row| &row.path);
        classic::rest(&mut view.knowledge, carried);
        let orders = classic::orders(&told.identity, &view.knowledge, part, &[part.remote]);
        classic::accepted(&mut told.knowledge, part.remote, part.serial, &orders, now_ms);
        Some(view)
    }
}

fn send_one(
    session: &Session,
    open: &mut OpenProject,
    mut view: Option<Project>,
    outgoing: &Outgoing,
    copy: &[usize],
    carrier: &mut dyn Carrier,
    report: &mut Report,
) -> Result<(), Failure> {
    let mut outgoing = outgoing.clone();
    let file = open.state.private("outgoing.tar.gz");
    let packed = loop {
        let project = view.as_ref().unwrap_or(&open.project);
        match pack(&open.ground, project, &outgoing, copy, &file)? {
            Packed::Sound(orders) => break orders,
            Packed::Changed(paths) => {
                // What changes while it is packed is left out; the next scan sees what it became.
                for path in &paths {
                    tell(format_args!(
                        "remsync: {path}: it changed while it was packed: left out."
                    ));
                }
                match &mut view {
                    None => outgoing.rows.retain(|row| !paths.contains(&row.path)),
                    // What is not listed counts as deleted.
                    Some(view) => {
                        classic::rest(&mut view.knowledge, &paths);
                        let changed = |row: &&mut OutgoingRow| paths.contains(&row.path);
                        let changed = outgoing.rows.iter_mut().filter(changed);
                        changed.for_each(|row| row.with = With::Nothing);
                    }
                }
                report.left_out += paths.len();
                touch(open, &paths, outgoing.serial)?;
            }
        }
    };
    (report.files, report.removes) = count(&open.project, &outgoing);
    let letter = letter(session, &open.project, &packed, &file)?;
    if open.project.identity.format == Format::V2_0 {
        issue(&mut open.project.knowledge, outgoing.remote, outgoing.serial);
        open.state.commit(&open.project, &BTreeSet::new())?;
    }
    let sent = carrier.send(&letter, &file, None);
    let _ = std::fs::remove_file(&file);
    match sent {
        Ok(bytes) => {
            report.bytes = bytes;
            report.sent = true;
            let rows = outgoing.rows.iter().map(|row| row.path.clone());
            let mut touched: BTreeSet<TreePath> =
                rows.chain(outgoing.wants.iter().cloned()).collect();
            let knowledge = &mut open.project.knowledge;
            match open.project.identity.format {
                Format::V2_0 => accepted(knowledge, outgoing.remote, &packed, session.now_ms),
                Format::V1_3 => {
                    let Outgoing { remote, serial, .. } = outgoing;
                    let now_ms = session.now_ms;
                    touched.extend(classic::accepted(knowledge, remote, serial, &packed, now_ms));
                }
            }
            Ok(open.state.commit(&open.project, &touched)?)
        }
        Err(failure) => Err(Failure::new(failure)),
    }
}

/// Stamps rows that were left out above the serial of the package that does not list them, so
/// that a later one does.
fn touch(open: &mut OpenProject, paths: &BTreeSet<TreePath>, serial: u64) -> Result<(), Failure> {
    for path in paths {
        if let Some(row) = open.project.knowledge.rows.get_mut(path) {
            row.changed = row.changed.max(serial + 1);
        }
    }
    open.project.knowledge.clock = open.project.knowledge.clock.max(serial);
    Ok(open.state.commit(&open.project, paths)?)
}

enum Packed {
    Sound(Box<Orders>),
    Changed(BTreeSet<TreePath>),
}

/// Writes the package; the bytes packed are the bytes hashed, or it says which are not.
fn pack(
    ground: &Ground,
    project: &Project,
    outgoing: &Outgoing,
    copy: &[usize],
    file: &Path,
) -> Result<Packed, Failure> {
    let tell = match project.identity.format {
        Format::V2_0 => orders,
        Format::V1_3 => classic::orders,
    };
    let told = tell(&project.identity, &project.knowledge, outgoing, copy);
    for level in [Level::Usual, Level::Stored] {
        match pack_at(level, ground, &told, file)? {
            Ok(false) => {}
            Ok(true) => return Ok(Packed::Sound(Box::new(told))),
            Err(changed) => return Ok(Packed::Changed(changed)),
        }
    }
    Ok(Packed::Sound(Box::new(told)))
}

/// Returns whether the package is within the ratio that receivers hold it to; or which files are
/// not what was hashed.
fn pack_at(
    level: Level,
    ground: &Ground,
    told: &Orders,
    file: &Path,
) -> Result<Result<bool, BTreeSet<TreePath>>, Failure> {
    let at = |error: std::io::Error| Failure::new(format!("{}: {error}", file.display()));
    let out = File::create(file).map_err(at)?;
    let mut writer = Writer::new(BufWriter::with_capacity(1 << 16, out), level);
    writer.orders(&orders_text::print(told), 0).map_err(at)?;
    let mut changed = BTreeSet::new();
    for row in &told.rows {
        let (Act::Update { member, .. }, Content::File(signature)) = (row.act, row.version.content)
        else {
            continue;
        };
        let opened = ground.root.open_file(&row.path);
        let (mut bytes, seen): (Box<dyn Read>, Stat) = match opened {
            Ok((bytes, seen)) => (Box::new(bytes), seen),
            Err(_) => {
                changed.insert(row.path.clone());
                (Box::new(std::io::empty()), NOTHING)
            }
        };
        let Stat { size_bytes, executable, mtime_s, mtime_ns } = seen;
        let written = writer
            .member(member, size_bytes, executable, mtime_s, mtime_ns, &mut bytes)
            .map_err(at)?;
        let packed = match told.identity.format {
            Format::V1_3 => Signature::Sum(written.sum),
            Format::V2_0 => Signature::Sha256 { digest: written.sha256, executable },
        };
        if !written.complete || packed != signature {
            changed.insert(row.path.clone());
        }
    }
    if !changed.is_empty() {
        return Ok(Err(changed));
    }
    let (mut out, counts) = writer.finish_counted().map_err(at)?;
    out.flush().map_err(at)?;
    Ok(Ok(counts.keeps_ratio))
}

/// Stands for a file that is gone; its package is not sent.
const NOTHING: Stat = Stat { size_bytes: 0, executable: false, mtime_s: 0, mtime_ns: 0 };

/// Splits a plan that would pass a bound.
fn split(format: Format, outgoing: &Outgoing, survey: &Survey) -> Vec<Outgoing> {
    let size = |path: &TreePath| survey.scan.files.get(path).map_or(0, |found| found.size_bytes);
    let room = Room { bytes_max: PART_BYTES_MAX, members_max: PACKAGE_MEMBERS_MAX };
    let mut parts = Vec::new();
    let (mut left, mut turn) = (Some(outgoing.clone()), Turn::First);
    while let Some(plan) = left {
        let (part, rest) = carve(format, &plan, turn, &size, room);
        parts.push(part);
        (left, turn) = (rest, Turn::Later);
    }
    parts
}

fn letter(
    session: &Session,
    project: &Project,
    told: &Orders,
    file: &Path,
) -> Result<Letter, Failure> {
    let at = |error: std::io::Error| Failure::new(format!("{}: {error}", file.display()));
    let (sha256, _) = sha256_of(File::open(file).map_err(at)?).map_err(at)?;
    let from = match &session.settings.from {
        Some(from) => parse_address(from)?,
        None => project.identity.here.address.clone(),
    };
    let made_s = i64::try_from(session.now_ms / 1000).unwrap_or(i64::MAX);
    let date = Timestamp::from_second(made_s)?.to_zoned(TimeZone::system());
    Ok(Letter {
        to: project.identity.remotes[told.visit].address.clone(),
        title: project.identity.title.clone(),
        serial: told.serial,
        visit: told.visit,
        files: told.members(),
        date,
        message_id: message_id(&sha256, made_s, &from),
        sha256,
        unattended: !session.may_ask(),
        from,
    })
}

fn carrier(session: &Session) -> Result<Box<dyn Carrier>, Failure> {
    match &session.options.to {
        Some(dir) => {
            std::fs::create_dir_all(dir)
                .map_err(|error| Failure::new(format!("{}: {error}", dir.display())))?;
            Ok(Box::new(FolderCarrier { dir: dir.clone() }))
        }
        None => session.carrier(),
    }
}

fn conclude(session: &Session, reports: &[Report]) -> Outcome {
    if session.options.json {
        let sites: Vec<Value> = reports.iter().map(Report::json).collect();
        answer_json(&json!({ "sites": sites }));
    }
    for report in reports {
        match &report.error {
            Some(why) => tell(format_args!("remsync: {}: not sent: {why}.", report.address)),
            None if session.options.json || session.options.quiet => {}
            None => {
                let verb = if report.sent { "sent" } else { "would be sent" };
                answer(format_args!("{}: {} {verb}", report.address, report.describe()));
            }
        }
    }
    if reports.is_empty() && !session.options.json && !session.options.quiet {
        answer("nothing to send");
    }
    if reports.iter().any(|report| report.error.is_some()) {
        return Outcome::Failed;
    }
    let is_left_out = reports.iter().any(|report| report.left_out > 0);
    if is_left_out { Outcome::Waits } else { Outcome::Done }
}
