//! One host of a push: what it lacks, on its way.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::edge::push::{Level, Memory, Push, Source, SourceFile};
use crate::edge::ssh::{
    Job, Line, Manner, Note, Sftp, SshFault, Stop, Sums, Terms, Tool, absolute, copy_by_scp, fetch,
    join, look_at, make_folders, replace, set_marks, split, stage, sums, try_folders, verifier,
    verify,
};
use crate::format::digest::sha256_of;
use crate::format::push::{Connection, Mapping};
use crate::format::sftp::{Attributes, Kind};
use crate::model::Host;
use crate::model::path::escaped;

use super::super::progress::Progress;

/// Files that are staged before they take their places.
const BATCH_FILES: usize = 20_000;
/// Bytes of them, the last file left aside.
const BATCH_BYTES: u64 = 1 << 30;
/// A file that changed so shortly before a push may have changed during it: a clock's tick.
const FRESH_MS: u64 = 2_000;
/// Faults that are told of one host; the logs have them all.
const FAULTS_TOLD_MAX: usize = 100;

/// One host's part of a push.
pub struct Errand<'e> {
    /// All of it.
    pub push: &'e Push,
    /// The host.
    pub connection: &'e Connection,
    /// What holds for all.
    pub terms: &'e Terms,
    /// The last time.
    pub memory: &'e Memory,
    /// Told to end.
    pub stop: &'e Stop,
    /// Whether nothing is to be changed.
    pub is_dry: bool,
    /// What lies there until it has its name.
    pub note: Note,
    /// How far all of it is.
    pub progress: &'e Progress,
    /// The logs.
    pub log: &'e (dyn Fn(Level, &[String]) + Sync),
}

/// What became of one host.
#[derive(Debug, Default)]
pub struct HostResult {
    /// How it is remembered.
    pub name: String,
    /// `ip_address`.
    pub address: String,
    /// `user`.
    pub user: Option<String>,
    /// Files that were copied, or would be.
    pub sent: usize,
    /// Files that were there already.
    pub unchanged: usize,
    /// Bytes of those that were copied.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// Why the host failed as a whole, and what to do.
    pub error: Option<(String, String)>,
    /// Files and folders that failed, and why.
    pub faults: Vec<(String, String)>,
    /// What a person may want to know.
    pub warnings: Vec<String>,
    /// Mappings that are whole there now, with when they were looked at, in ms since 1970.
    pub whole: Vec<(Mapping, u64)>,
}

impl HostResult {
    /// Whether anything did not arrive.
    pub fn has_failed(&self) -> bool {
        self.error.is_some() || !self.faults.is_empty()
    }
}

/// Returns how a host is remembered.
pub fn name_of(connection: &Connection) -> String {
    let host = connection.host.as_ref();
    host.map_or_else(|_| connection.address.clone(), Host::to_string)
}

/// A mapping whose source was looked at.
struct Wanted {
    mapping: Mapping,
    source: Source,
    began_ms: u64,
    /// Faults so far, of this mapping.
    faults: usize,
}

/// A file that has to be copied.
struct Copy<'w> {
    job: Job,
    file: &'w SourceFile,
    wanted: usize,
}

impl Errand<'_> {
    /// Does it.
    pub fn run(&self) -> HostResult {
        let began = Instant::now();
        let host = self.connection.host.as_ref();
        let mut result = HostResult {
            name: name_of(self.connection),
            address: self.connection.address.clone(),
            user: host.ok().and_then(Host::user).map(str::to_owned),
            ..HostResult::default()
        };
        if let Err((what, hint)) = self.serve(&mut result) {
            self.say(Level::Error, &what);
            result.error = Some((what, hint));
        }
        result.seconds = began.elapsed().as_secs_f64();
        let words = if result.has_failed() { "failed" } else { "done" };
        let (sent, unchanged) = (result.sent, result.unchanged);
        self.say(Level::Info, &format!("{words}: {sent} copied, {unchanged} unchanged"));
        result
    }

    fn serve(&self, result: &mut HostResult) -> Result<(), (String, String)> {
        let host = self.connection.host.as_ref().map_err(|what| (what.clone(), String::new()))?;
        if self.stop.load(std::sync::atomic::Ordering::Relaxed) {
            return Err((SshFault::Stopped.to_string(), String::new()));
        }
        let mut wanted = self.look_here(result)?;
        let fault = |fault: SshFault| (fault.to_string(), fault.hint(host));
        let line = Line::new(host, self.connection.passkey.as_ref(), self.terms).map_err(fault)?;
        match Sftp::open(&line, self.stop) {
            Ok(mut sftp) => {
                self.say(Level::Info, "connected");
                let greeting = sftp.greeting();
                self.say(
                    Level::Debug,
                    &format!("SFTP {}, {} bytes a write", greeting.version, sftp.write_bytes()),
                );
                if !self.is_dry {
                    let left = self.note.remove_left(&mut sftp).map_err(fault)?;
                    self.say(Level::Debug, &format!("{left} names left by an earlier push"));
                }
                self.by_sftp(&line, &mut sftp, &mut wanted, result).map_err(fault)?;
            }
            Err(SshFault::NoSftp(_)) => {
                self.warn(result, "no SFTP there: copied by the old SCP protocol".to_owned());
                if !self.is_dry {
                    self.note.remove_left_by_command(&line).map_err(fault)?;
                }
                self.by_scp(&line, &mut wanted, result).map_err(fault)?;
            }
            Err(error) => return Err(fault(error)),
        }
        if !self.is_dry {
            let whole = wanted.into_iter().filter(|wanted| wanted.faults == 0);
            result.whole = whole.map(|wanted| (wanted.mapping, wanted.began_ms)).collect();
        }
        Ok(())
    }

    /// Looks at the sources of this host's mappings.
    fn look_here(&self, result: &mut HostResult) -> Result<Vec<Wanted>, (String, String)> {
        let mappings = self.push.mappings(&self.connection.address).map_err(|error| {
            let hint = format!(
                "{}.json under address_mapper_path lists \"src\" and \"dest\"",
                self.connection.address
            );
            (error.to_string(), hint)
        })?;
        if mappings.is_empty() {
            self.warn(result, "its mapper file lists nothing".to_owned());
        }
        let mut wanted = Vec::new();
        for mapping in mappings {
            let began_ms = now_ms();
            let path = self.push.source_path(&mapping);
            let source = match Source::look(&path) {
                Ok(source) => source,
                Err(error) => {
                    let why = error.to_string();
                    let own = format!("{}: ", path.display());
                    let why = why.strip_prefix(&own).unwrap_or(&why);
                    self.fault(result, &path.display().to_string(), why);
                    continue;
                }
            };
            for (path, what) in &source.left_out {
                self.warn(result, format!("{}: {what}: left out", path.display()));
            }
            for (path, why) in &source.unreadable {
                self.fault(result, &path.display().to_string(), why);
            }
            let faults = source.unreadable.len();
            wanted.push(Wanted { mapping, source, began_ms, faults });
        }
        Ok(wanted)
    }

    fn by_sftp(
        &self,
        line: &Line,
        sftp: &mut Sftp,
        wanted: &mut [Wanted],
        result: &mut HostResult,
    ) -> Result<(), SshFault> {
        let mut faults = vec![0; wanted.len()];
        let mut copies = Vec::new();
        for (number, wanted) in wanted.iter().enumerate() {
            match self.compare(line, sftp, wanted, number, result) {
                Ok((more, failed)) => {
                    copies.extend(more);
                    faults[number] += failed;
                }
                Err(SshFault::Refused { path, what }) => {
                    faults[number] += 1;
                    self.fault(result, &escaped(&path), &what);
                }
                Err(fault) => return Err(fault),
            }
        }
        let mut places = BTreeSet::new();
        copies.retain(|copy| {
            let is_first = places.insert(copy.job.target.clone());
            if !is_first {
                faults[copy.wanted] += 1;
                let path = escaped(&copy.job.target);
                self.fault(result, &path, "something else goes to this place too");
            }
            is_first
        });
        if self.is_dry {
            result.sent = copies.len();
            result.bytes = copies.iter().map(|copy| copy.job.size_bytes).sum();
            for copy in &copies {
                self.say(Level::Info, &format!("{}: would be copied", escaped(&copy.job.target)));
            }
        } else {
            self.progress.expect(copies.iter().map(|copy| copy.job.size_bytes).sum());
            let mut rest = copies.as_slice();
            while !rest.is_empty() {
                let (batch, after) = rest.split_at(batch_length(rest));
                self.copy(line, sftp, batch, &mut faults, result)?;
                rest = after;
            }
        }
        for (wanted, more) in wanted.iter_mut().zip(faults) {
            wanted.faults += more;
        }
        if sftp.is_stopped() { Err(SshFault::Stopped) } else { Ok(()) }
    }

    /// Returns the files of one mapping that differ there, and how many cannot be copied; makes the
    /// folders that are missing.
    fn compare<'w>(
        &self,
        line: &Line,
        sftp: &mut Sftp,
        wanted: &'w Wanted,
        number: usize,
        result: &mut HostResult,
    ) -> Result<(Vec<Copy<'w>>, usize), SshFault> {
        let target = self.target(sftp, wanted)?;
        let Folders { present, blocked } = self.folders(sftp, wanted, &target)?;
        let mut copies = Vec::new();
        let mut looked = Vec::new();
        let mut faults = 0;
        let mut fault = |result: &mut HostResult, path: &[u8], why: &str| {
            faults += 1;
            self.fault(result, &escaped(path), why);
        };
        for (path, why) in &blocked {
            if let Some(why) = why {
                fault(result, path, why);
            }
        }
        for file in &wanted.source.files {
            let path =
                if file.name.is_empty() { target.clone() } else { join(&target, &file.name) };
            let folder = split(&path).0;
            if blocked.contains_key(folder) {
                continue;
            }
            let is_looked_at = present.contains(folder);
            let job = Job {
                target: path,
                mode: file.mode,
                mtime_s: file.mtime_s,
                size_bytes: file.size_bytes,
            };
            let copy = Copy { job, file, wanted: number };
            if is_looked_at { looked.push(copy) } else { copies.push(copy) }
        }
        let paths: Vec<Vec<u8>> = looked.iter().map(|copy| copy.job.target.clone()).collect();
        let pushed_ms = self.memory.pushed_ms(&result.name, &wanted.mapping);
        let mut doubtful = Vec::new();
        for (copy, found) in looked.into_iter().zip(look_at(sftp, &paths)?) {
            match found {
                Ok(None) => copies.push(copy),
                Ok(Some(found)) => match difference(copy.file, &found, pushed_ms) {
                    Difference::None => result.unchanged += 1,
                    Difference::Contents => copies.push(copy),
                    Difference::Doubtful => doubtful.push(copy),
                    Difference::Kind => {
                        fault(result, &copy.job.target, "a folder is in the way there");
                    }
                },
                Err(what) => fault(result, &copy.job.target, &what),
            }
        }
        let (new, compared) = (copies.len(), doubtful.len());
        copies.extend(self.settle(line, sftp, doubtful, result)?);
        let Mapping { src, dest } = &wanted.mapping;
        let all = wanted.source.files.len();
        self.say(
            Level::Debug,
            &format!(
                "{src} to {dest}: {all} files, {new} other by a look, {compared} compared by contents"
            ),
        );
        Ok((copies, faults))
    }

    /// Returns what the copy of a source is called there.
    fn target(&self, sftp: &mut Sftp, wanted: &Wanted) -> Result<Vec<u8>, SshFault> {
        let named = wanted.mapping.dest.as_bytes();
        let target = absolute(sftp, named)?;
        if wanted.source.is_folder {
            return Ok(target);
        }
        let is_inside = named.ends_with(b"/") || {
            let there = look_at(sftp, &[join(&target, b".")])?.pop();
            matches!(there, Some(Ok(Some(_))))
        };
        let name = wanted.source.files.first().and_then(|file| file.path.file_name());
        Ok(match name {
            Some(name) if is_inside => join(&target, name.as_encoded_bytes()),
            _ => target,
        })
    }

    /// Makes the folders of a mapping that are missing. Down to the place that the mapping names links
    /// are gone through, as a person there has set them; below it none is.
    fn folders(
        &self,
        sftp: &mut Sftp,
        wanted: &Wanted,
        target: &[u8],
    ) -> Result<Folders, SshFault> {
        const ABOVE: u32 = 0o755;
        let mut above: Vec<(Vec<u8>, u32)> = Vec::new();
        let mut folder = split(target).0;
        while folder != b"/" && folder != b"." {
            above.insert(0, (folder.to_vec(), ABOVE));
            folder = split(folder).0;
        }
        let mut below = Vec::new();
        for (name, mode) in &wanted.source.folders {
            // Ours to write into, whatever it is here.
            match name.is_empty() {
                true => above.push((target.to_vec(), mode | 0o700)),
                false => below.push((join(target, name), mode | 0o700)),
            }
        }
        let mut folders =
            Folders { present: BTreeSet::from([b"/".to_vec()]), blocked: BTreeMap::new() };
        // With a part after it a link to a folder is one.
        let paths: Vec<Vec<u8>> = above.iter().map(|(path, _)| join(path, b".")).collect();
        let mut missing = Vec::new();
        for (folder, found) in above.into_iter().zip(look_at(sftp, &paths)?) {
            match found {
                Ok(Some(_)) => drop(folders.present.insert(folder.0)),
                Ok(None) | Err(_) => missing.push(folder),
            }
        }
        if !self.is_dry && !missing.is_empty() {
            make_folders(sftp, &missing)?;
        }
        let paths: Vec<Vec<u8>> = below.iter().map(|(path, _)| path.clone()).collect();
        let mut missing = Vec::new();
        for (folder, found) in below.into_iter().zip(look_at(sftp, &paths)?) {
            if folders.blocked.contains_key(split(&folder.0).0) {
                folders.blocked.insert(folder.0, None);
                continue;
            }
            match found.map(|found| found.map(|found| found.kind())) {
                Ok(Some(None | Some(Kind::Folder))) => drop(folders.present.insert(folder.0)),
                Ok(Some(Some(Kind::Link))) => {
                    folders.block(folder.0, "a symbolic link is in the way there");
                }
                Ok(Some(_)) => folders.block(folder.0, "no folder is in the way there"),
                Ok(None) => missing.push(folder),
                Err(why) => folders.block(folder.0, &why),
            }
        }
        if !self.is_dry && !missing.is_empty() {
            let outcomes = try_folders(sftp, &missing)?;
            for ((path, _), outcome) in missing.into_iter().zip(outcomes) {
                if folders.blocked.contains_key(split(&path).0) {
                    folders.blocked.insert(path, None);
                } else if let Err(why) = outcome {
                    folders.block(path, &why);
                }
            }
        }
        Ok(folders)
    }

    /// Compares contents where nothing less can tell; returns the files that differ.
    fn settle<'w>(
        &self,
        line: &Line,
        sftp: &mut Sftp,
        doubtful: Vec<Copy<'w>>,
        result: &mut HostResult,
    ) -> Result<Vec<Copy<'w>>, SshFault> {
        if doubtful.is_empty() {
            return Ok(Vec::new());
        }
        let paths: Vec<&[u8]> = doubtful.iter().map(|copy| copy.job.target.as_slice()).collect();
        let there: Vec<Option<[u8; 32]>> = match sums(line, &paths, Tool::Sha256, self.stop)? {
            Sums::Digests(digests) => digests,
            _ => fetch(sftp, &paths, &mut |_| Ok(None), &mut |_| {})?
                .into_iter()
                .map(|read| read.ok().map(|read| read.sha256))
                .collect(),
        };
        let mut differ = Vec::new();
        let mut marks = Vec::new();
        for (copy, there) in doubtful.into_iter().zip(there) {
            let here = File::open(&copy.file.path).and_then(sha256_of).ok().map(|(d, _)| d);
            if here.is_some() && here == there {
                result.unchanged += 1;
                marks.push((copy.job.target, copy.job.mode, copy.job.mtime_s));
            } else {
                differ.push(copy);
            }
        }
        if !self.is_dry {
            set_marks(sftp, &marks)?;
        }
        Ok(differ)
    }

    /// Copies files beside their places, looks whether they arrived whole, and puts them there.
    fn copy(
        &self,
        line: &Line,
        sftp: &mut Sftp,
        copies: &[Copy<'_>],
        faults: &mut [usize],
        result: &mut HostResult,
    ) -> Result<(), SshFault> {
        let jobs: Vec<Job> = copies.iter().map(|copy| copy.job.clone()).collect();
        let tag = self.tag();
        let manner = Manner { tag: &tag, with_sha256: false };
        let mut open = |at: usize| File::open(&copies[at].file.path);
        self.note.write(&jobs, &tag)?;
        let asker = verifier(line, jobs.len())?;
        let mut staged = stage(sftp, &jobs, &manner, &mut open, &mut |bytes| {
            self.progress.add(bytes);
        })?;
        // What is on its way arrives, whoever wants an end.
        let mut placed = sftp
            .undisturbed(|sftp| {
                verify(asker, sftp, &mut staged)?;
                let sound = copies.iter().zip(&staged).filter_map(|(copy, staged)| {
                    Some((staged.as_ref().ok()?.temporary.as_slice(), copy.job.target.as_slice()))
                });
                replace(sftp, &sound.collect::<Vec<_>>())
            })?
            .into_iter();
        self.note.clear();
        // One line a file, written at once: thousands of them one by one take their time.
        let name = name_of(self.connection);
        let mut arrived = Vec::new();
        for (copy, staged) in copies.iter().zip(staged) {
            let outcome = staged
                .and_then(|staged| placed.next().unwrap_or(Ok(())).map(|()| staged.size_bytes));
            let shown = escaped(&copy.job.target);
            match outcome {
                Ok(bytes) => {
                    result.sent += 1;
                    result.bytes += bytes;
                    arrived.push(format!("{name}: {shown}: copied, {bytes} bytes"));
                }
                Err(why) => {
                    if let Some(faults) = faults.get_mut(copy.wanted) {
                        *faults += 1;
                    }
                    self.fault(result, &shown, &why);
                }
            }
        }
        (self.log)(Level::Info, &arrived);
        Ok(())
    }

    /// Copies to a host without SFTP.
    fn by_scp(
        &self,
        line: &Line,
        wanted: &mut [Wanted],
        result: &mut HostResult,
    ) -> Result<(), SshFault> {
        for wanted in wanted {
            let named = wanted.mapping.dest.as_bytes();
            let top = crate::edge::ssh::below(named, b"");
            let top = match top.strip_suffix(b"/") {
                Some(folder) if !wanted.source.is_folder => {
                    let name = wanted.source.files.first().and_then(|f| f.path.file_name());
                    join(folder, name.unwrap_or_default().as_encoded_bytes())
                }
                Some(folder) if !folder.is_empty() => folder.to_vec(),
                _ => top,
            };
            let place = |name: &[u8]| if name.is_empty() { top.clone() } else { join(&top, name) };
            let mut folders = vec![split(&top).0.to_vec()];
            folders.extend(wanted.source.folders.iter().map(|(name, _)| place(name)));
            let all: Vec<Copy<'_>> = wanted
                .source
                .files
                .iter()
                .map(|file| Copy {
                    job: Job {
                        target: place(&file.name),
                        mode: file.mode,
                        mtime_s: file.mtime_s,
                        size_bytes: file.size_bytes,
                    },
                    file,
                    wanted: 0,
                })
                .collect();
            let copies = self.differing_by_sums(line, all, result)?;
            if self.is_dry {
                result.sent += copies.len();
                continue;
            }
            let jobs: Vec<Job> = copies.iter().map(|copy| copy.job.clone()).collect();
            self.progress.expect(jobs.iter().map(|job| job.size_bytes).sum());
            let mut open = |at: usize| {
                self.progress.add(jobs[at].size_bytes);
                File::open(&copies[at].file.path)
            };
            let tag = self.tag();
            self.note.write(&jobs, &tag)?;
            let done = copy_by_scp(line, &folders, &jobs, &tag, &mut open, self.stop)?;
            // Those in trouble have left what came of them.
            self.note.remove_left_by_command(line)?;
            for (copy, outcome) in copies.iter().zip(done) {
                let shown = escaped(&copy.job.target);
                match outcome {
                    Ok(bytes) => {
                        result.sent += 1;
                        result.bytes += bytes;
                        self.say(Level::Info, &format!("{shown}: copied, {bytes} bytes"));
                    }
                    Err(why) => {
                        wanted.faults += 1;
                        self.fault(result, &shown, &why);
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns the files that are not there as they are here, by the host's own word.
    fn differing_by_sums<'w>(
        &self,
        line: &Line,
        all: Vec<Copy<'w>>,
        result: &mut HostResult,
    ) -> Result<Vec<Copy<'w>>, SshFault> {
        let paths: Vec<&[u8]> = all.iter().map(|copy| copy.job.target.as_slice()).collect();
        let Sums::Digests(there) = sums(line, &paths, Tool::Sha256, self.stop)? else {
            return Ok(all);
        };
        let mut differ = Vec::new();
        for (copy, there) in all.into_iter().zip(there) {
            let here = || File::open(&copy.file.path).and_then(sha256_of).ok().map(|(d, _)| d);
            if there.is_some() && there == here() {
                result.unchanged += 1;
            } else {
                differ.push(copy);
            }
        }
        Ok(differ)
    }

    /// Returns what tells our temporary names from those of other accounts and machines.
    fn tag(&self) -> String {
        let node = rustix::system::uname();
        let uid = rustix::process::getuid().as_raw();
        let (node, host) = (node.nodename().to_string_lossy(), name_of(self.connection));
        format!("{node} {uid} {} {host}", self.push.file.display())
    }

    fn fault(&self, result: &mut HostResult, path: &str, why: &str) {
        self.say(Level::Error, &format!("{path}: {why}"));
        if result.faults.len() < FAULTS_TOLD_MAX {
            result.faults.push((path.to_owned(), why.to_owned()));
        }
    }

    fn warn(&self, result: &mut HostResult, what: String) {
        self.say(Level::Warning, &what);
        result.warnings.push(what);
    }

    fn say(&self, level: Level, what: &str) {
        (self.log)(level, &[format!("{}: {what}", name_of(self.connection))]);
    }
}

/// The folders of a mapping, there.
struct Folders {
    /// Those that were there before.
    present: BTreeSet<Vec<u8>>,
    /// Those that nothing can be put into, and why; those below them have no reason of their own.
    blocked: BTreeMap<Vec<u8>, Option<String>>,
}

impl Folders {
    fn block(&mut self, path: Vec<u8>, why: &str) {
        self.blocked.insert(path, Some(why.to_owned()));
    }
}

/// How a file there differs from the one here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Difference {
    /// It is the same.
    None,
    /// It has other contents, or is no file.
    Contents,
    /// Only its contents can tell.
    Doubtful,
    /// It is a folder.
    Kind,
}

/// Compares by what a look can tell. Size and time alone are believed only of a file that was not
/// changed since a push that was whole: else an edit that left both alone would be passed over.
fn difference(here: &SourceFile, there: &Attributes, pushed_ms: Option<u64>) -> Difference {
    match there.kind() {
        Some(Kind::Folder) => return Difference::Kind,
        Some(Kind::File) | None => {}
        Some(Kind::Link | Kind::Special) => return Difference::Contents,
    }
    if there.size_bytes != Some(here.size_bytes) {
        return Difference::Contents;
    }
    let is_marked_alike = there.times_s.map(|(_, mtime)| i64::from(mtime)) == Some(here.mtime_s)
        && there.mode.map(|mode| mode & 0o777) == Some(here.mode);
    let is_old = pushed_ms.is_some_and(|pushed| here.changed_ms.saturating_add(FRESH_MS) < pushed);
    if is_marked_alike && is_old { Difference::None } else { Difference::Doubtful }
}

fn batch_length(copies: &[Copy<'_>]) -> usize {
    let mut bytes = 0_u64;
    let is_within = |copy: &&Copy<'_>| {
        let fits = bytes < BATCH_BYTES;
        bytes = bytes.saturating_add(copy.job.size_bytes);
        fits
    };
    copies.iter().take(BATCH_FILES).take_while(is_within).count().max(1)
}

fn now_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_look_can_tell() {
        let here = SourceFile {
            path: "/a".into(),
            name: vec![],
            size_bytes: 5,
            mode: 0o644,
            mtime_s: 100,
            changed_ms: 100_000,
        };
        let file = |size: u64, mtime: u32, mode: u32| Attributes {
            size_bytes: Some(size),
            mode: Some(mode),
            times_s: Some((0, mtime)),
        };
        let table = [
            ("the same", file(5, 100, 0o100_644), Some(200_000), Difference::None),
            ("never pushed", file(5, 100, 0o100_644), None, Difference::Doubtful),
            ("changed since", file(5, 100, 0o100_644), Some(90_000), Difference::Doubtful),
            ("in the same tick", file(5, 100, 0o100_644), Some(102_000), Difference::Doubtful),
            ("after it", file(5, 100, 0o100_644), Some(102_001), Difference::None),
            ("another time", file(5, 101, 0o100_644), Some(200_000), Difference::Doubtful),
            ("another mode", file(5, 100, 0o100_755), Some(200_000), Difference::Doubtful),
            ("another size", file(6, 100, 0o100_644), Some(200_000), Difference::Contents),
            ("a link", file(5, 100, 0o120_777), Some(200_000), Difference::Contents),
            ("a folder", file(5, 100, 0o040_755), Some(200_000), Difference::Kind),
        ];
        for (name, there, pushed_ms, expected) in table {
            assert_eq!(difference(&here, &there, pushed_ms), expected, "{name}");
        }
    }
}
