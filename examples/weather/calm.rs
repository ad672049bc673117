//! The weather calms: mail goes through, everybody looks, and people answer. Then it falls silent,
//! the trees are the same everywhere, and what was newest is what they hold.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use super::counts::Kind;
use super::edits::what_at;
use super::prng::Prng;
use super::site::{Site, Tree};
use super::truth::What;
use super::world::{By, Fate, World, is_blocked, story};

/// Rounds after which it has to be quiet.
const ROUNDS_MAX: usize = 60;

impl World {
    /// Lets it calm, and holds the ends against each other.
    pub fn calm_down(&mut self, rng: &mut Prng) {
        self.story.push("-- it calms".to_owned());
        self.clear_up();
        let mut is_quiet = false;
        let (mut trees, mut still) = (Vec::new(), 0);
        for round in 0..ROUNDS_MAX {
            if self.broken.is_some() {
                return;
            }
            self.counts.add(Kind::Rounds);
            let mails = self.round(round, rng);
            let asked: Vec<usize> =
                (0..self.sites.len()).filter(|at| !self.questions(*at).is_empty()).collect();
            let now: Vec<Tree> = self.sites.iter().map(Site::tree).collect();
            still = if now == trees && asked.is_empty() { still + 1 } else { 0 };
            trees = now;
            // Of what something is in the way nobody tells whether he has it: he is sent it again
            // and again, as often as the settings say.
            let is_still = still > 6 && self.is_anything_blocked(&trees);
            if is_still || mails == 0 && asked.is_empty() && round > 1 {
                is_quiet = true;
                break;
            }
            if mails == 0 || round % 2 == 1 {
                let Some(&at) = asked.get(rng.below(asked.len())) else { continue };
                self.answer_all(at, rng);
            }
        }
        if self.climate.is_classic {
            // It acknowledges nothing: what is lost there is not known to be.
            return;
        }
        if !is_quiet {
            self.breaks("it falls silent", format!("not in {ROUNDS_MAX} rounds"));
            return;
        }
        self.check_ends();
    }

    fn is_anything_blocked(&self, trees: &[Tree]) -> bool {
        let paths = self.truth.paths();
        trees.iter().any(|tree| paths.iter().any(|path| is_blocked(tree, path)))
    }

    /// No trouble any more, and nothing in the way that cannot travel.
    fn clear_up(&mut self) {
        self.climate.calm();
        for at in 0..self.sites.len() {
            self.sites[at].skew_days = 0;
            self.sites[at].set("resend_after = 864000", "resend_after = 0");
            let tree = self.sites[at].tree();
            self.desk(at).remove_links(&tree);
            self.remember_links(at);
        }
    }

    /// Everybody sends in turn, and everything arrives; returns how many mails there were.
    fn round(&mut self, round: usize, rng: &mut Prng) -> usize {
        let mut count = 0;
        for at in 0..self.sites.len() {
            let links = self.sites[at].links.clone();
            let named: Vec<String> =
                links.iter().map(|link| self.sites[*link].address.clone()).collect();
            let mut words = vec!["broadcast", "--batch"];
            if round < 2 {
                words.extend(named.iter().map(String::as_str));
            }
            let ran = self.run(at, &words, By::Program, rng);
            if ran.stderr.contains("an unmounted disk, or meant?") {
                self.say_that_it_is_meant(at);
            }
            self.harvest(at);
            // At once, or an acknowledgement would cross what is sent again for want of it.
            let mails = std::mem::take(&mut self.air);
            count += mails.len();
            let mut receivers = BTreeSet::new();
            for mail in mails {
                self.filter(mail.to, &mail.bytes, rng);
                receivers.insert(mail.to);
            }
            for receiver in receivers {
                self.run(receiver, &["process", "--batch"], By::Program, rng);
            }
        }
        count
    }

    /// A person answers all questions of a site.
    fn answer_all(&mut self, at: usize, rng: &mut Prng) {
        for _ in 0..50 {
            let questions = self.questions(at);
            let Some(question) = questions.first() else { return };
            self.counts.add(Kind::Questions);
            let path = question["path"].as_str().unwrap_or_default().to_owned();
            let tree = self.sites[at].tree();
            if is_blocked(&tree, &path) {
                self.counts.add(Kind::Unfree);
                let done = self.desk(at).make_way(&tree, &path);
                self.story.push(format!("s{at}: {done}"));
                self.remember_links(at);
                self.run(at, &["process", "--batch"], By::Program, rng);
                continue;
            }
            let decision = if rng.chance(400) { "keep" } else { "take" };
            self.answer(at, &question.clone(), decision, rng);
            if self.broken.is_some() {
                return;
            }
        }
        self.breaks("answers settle something", format!("s{at}: {:?}", self.story.last()));
    }

    /// A person says at a terminal that most files are meant to be gone.
    fn say_that_it_is_meant(&mut self, at: usize) {
        let site = &self.sites[at];
        let typed = format!("{} broadcast", self.programs.remsync.display());
        let mut command: Command = site.command(
            &self.programs,
            std::path::Path::new("script"),
            &["-qec", &typed, "/dev/null"],
        );
        command.env("PATH", "/usr/bin:/bin").stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("script(1)");
        if let Some(mut stdin) = child.stdin.take() {
            let _ = std::io::Write::write_all(&mut stdin, b"y\ny\n");
        }
        let output = child.wait_with_output().expect("script(1)");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        self.story.push(format!("s{at}: says that it is meant: {said:?}"));
    }

    /// Holds that all trees are the same, and hold what was newest.
    fn check_ends(&mut self) {
        let trees: Vec<_> = self.sites.iter().map(super::site::Site::tree).collect();
        let is_lossy = self.sites.iter().any(|site| site.is_lossy);
        for path in self.truth.paths() {
            let ends: Vec<What> =
                trees.iter().map(|tree| what_at(&self.truth, tree, &path).flatten()).collect();
            let shown = || -> String {
                let one = |(at, end): (usize, &What)| {
                    let shown = end.map_or("nothing".to_owned(), |(content, executable)| {
                        let text = String::from_utf8_lossy(self.truth.bytes(content)).into_owned();
                        format!("{:?} {executable}", text.lines().next().unwrap_or_default())
                    });
                    format!("s{at} has {shown}")
                };
                ends.iter().enumerate().map(one).collect::<Vec<_>>().join(", ")
            };
            // A folder in the place of a file, or the reverse: nothing is told of that, but said here.
            let blocked: Vec<usize> =
                (0..trees.len()).filter(|at| is_blocked(&trees[*at], &path)).collect();
            if !blocked.is_empty() {
                self.check_told(&blocked, &path);
                continue;
            }
            if self.refused.contains(&path) {
                continue;
            }
            if ends.iter().any(|end| *end != ends[0]) {
                let detail = format!("{path}: {}", shown());
                self.breaks("trees are the same when it is quiet", detail);
                return;
            }
            let is_told = |newest: &What| newest.is_some() || !self.unheard.contains(&path);
            let is_sure = !is_lossy && !self.vague.contains(&path);
            if let Some(newest) = self
                .truth
                .newest(&path)
                .filter(|newest| *newest != ends[0] && is_sure && is_told(newest))
            {
                let events = self.truth.at(&path, newest);
                let detail =
                    format!("{path}: {}; newest is {}", shown(), self.truth.shown(&events));
                self.breaks("the newest is what stays", detail);
                return;
            }
        }
    }
    /// Holds that a site says of a file which it should have that it is not known.
    fn check_told(&mut self, sites: &[usize], path: &str) {
        self.counts.add(Kind::Resting);
        for &at in sites {
            let has_row = self.here[at]
                .get(path)
                .is_some_and(|here| here.iter().any(|event| self.truth.what(*event).is_some()));
            let program = self.programs.remsync.clone();
            let ran = self.start(at, &program, &["status"], None, Fate::Calm);
            if has_row && !ran.stdout.contains(&format!("  {path}: not known")) {
                self.breaks(
                    "what is in the way is told of",
                    format!("s{at}: {path}: {}", story(&ran)),
                );
            }
        }
    }
}
