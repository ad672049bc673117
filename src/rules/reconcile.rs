//! What to do where two sites differ about who takes part and which files belong: questions, each
//! with an answer that is proposed.
//!
//! Format 1.3 proposes what its program did: to learn what is known there, to take folders over, to
//! forget nothing. Format 2.0 proposes that everything stays as it is here, and does not ask to
//! forget what the other site never had: networks may be incomplete. A folder that is not known, here
//! or there, is no difference.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::identities::{Heard, Identities, address_mark, title_mark};
use crate::model::project::{Format, Identity};
use crate::model::{Address, Site};

/// A point on which sites differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// What it is about.
    pub point: Point,
    /// The remotes that say so.
    pub from: Vec<Address>,
    /// When the last of them did, in ms since 1970.
    pub at_ms: u64,
    /// Whether it is proposed to do as they do.
    pub is_proposed: bool,
}

/// What sites differ about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Point {
    /// The folder of one of our remotes is another there.
    Home(Address, Box<[u8]>),
    /// It is there and not here.
    Learn(Statement),
    /// It is here and not there.
    Forget(Statement),
    /// What we call otherwise is called so there.
    Title(String),
    /// This site has another address there.
    Here(Address),
}

/// A statement of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// A remote.
    Remote(Site),
    /// A wildcard.
    Scan(Vec<u8>),
    /// An expression.
    Ignore(Vec<u8>),
}

impl Point {
    /// Returns how the point is called: what `resolve` takes.
    pub fn name(&self) -> Vec<u8> {
        match self {
            Point::Home(address, _) => [b"home:", address.as_str().as_bytes()].concat(),
            Point::Learn(statement) | Point::Forget(statement) => statement.name(),
            Point::Title(title) => [b"title:", title.as_bytes()].concat(),
            Point::Here(address) => [b"here:", address.as_str().as_bytes()].concat(),
        }
    }

    /// Returns what is remembered when a person lets it be: another folder is another question.
    pub fn mark(&self) -> Vec<u8> {
        match self {
            Point::Home(_, folder) => [&self.name(), &b" "[..], folder].concat(),
            Point::Learn(_) => [b"learn ", self.name().as_slice()].concat(),
            Point::Forget(_) => [b"forget ", self.name().as_slice()].concat(),
            Point::Title(title) => title_mark(title),
            Point::Here(address) => address_mark(address),
        }
    }
}

impl Statement {
    /// Returns how it is called.
    pub fn name(&self) -> Vec<u8> {
        match self {
            Statement::Remote(site) => [b"remote:", site.address.as_str().as_bytes()].concat(),
            Statement::Scan(scan) => [b"scan:", scan.as_slice()].concat(),
            Statement::Ignore(ignore) => [b"ignore:", ignore.as_slice()].concat(),
        }
    }
}

/// Notes what a remote says in a package; whether that is anything new.
pub fn hear(identities: &mut Identities, theirs: &Identity, at_ms: u64) -> bool {
    let from = &theirs.here.address;
    let now = names(theirs);
    let Some(heard) = identities.heard.iter_mut().find(|heard| heard.from == *from) else {
        let heard =
            Heard { from: from.clone(), at_ms, identity: theirs.clone(), dropped: BTreeSet::new() };
        identities.heard.push(heard);
        return true;
    };
    let said = |said: &Identity| {
        let Identity { here, remotes, scans, ignores, .. } = said.clone();
        (here, remotes, scans, ignores)
    };
    if said(&heard.identity) == said(theirs) {
        return false;
    }
    heard.dropped.extend(names(&heard.identity));
    heard.dropped.retain(|name| !now.contains(name));
    heard.identity = theirs.clone();
    heard.at_ms = at_ms;
    true
}

/// Returns on what points our project differs from what its remotes said, less what a person let be.
pub fn differences(ours: &Identity, identities: &Identities) -> Vec<Difference> {
    let mut found: BTreeMap<Vec<u8>, Difference> = BTreeMap::new();
    let is_remote = |heard: &&Heard| ours.remotes.iter().any(|site| site.address == heard.from);
    for heard in identities.heard.iter().filter(is_remote) {
        for point in points(ours, heard) {
            let mark = point.mark();
            if identities.declined.contains(&mark) {
                continue;
            }
            let is_proposed = ours.format == Format::V1_3 && !matches!(point, Point::Forget(_));
            let difference = found.entry(mark).or_insert(Difference {
                point,
                from: Vec::new(),
                at_ms: 0,
                is_proposed,
            });
            difference.from.push(heard.from.clone());
            difference.at_ms = difference.at_ms.max(heard.at_ms);
        }
    }
    found.into_values().collect()
}

/// Returns why a package is not for us that may be meant for us after all: `from` is a remote of ours,
/// and calls either the project or this site by another name, not both. What goes to one of our remotes
/// is not for us.
pub fn misnamed(
    ours: &Identity,
    known: &Identities,
    from: &Address,
    title: &str,
    visit: &Address,
) -> Option<Point> {
    let is_remote = |address: &Address| ours.remotes.iter().any(|site| site.address == *address);
    let is_title = ours.title == title || known.knows_title(title);
    let is_here = ours.here.address == *visit || known.knows_address(visit);
    match (is_title, is_here) {
        _ if !is_remote(from) => None,
        (false, true) => Some(Point::Title(title.to_owned())),
        (true, false) if !is_remote(visit) => Some(Point::Here(visit.clone())),
        _ => None,
    }
}

/// Forgets what was heard of those who are no remotes any more.
pub fn forget_strangers(identities: &mut Identities, ours: &Identity) {
    identities.heard.retain(|heard| ours.remotes.iter().any(|site| site.address == heard.from));
}

fn points(ours: &Identity, heard: &Heard) -> Vec<Point> {
    let theirs = &heard.identity;
    let (here, there) = (&ours.here.address, &theirs.here.address);
    let mut points = Vec::new();
    let mut sites: Vec<&Site> = theirs.remotes.iter().collect();
    sites.push(&theirs.here);
    for site in sites.into_iter().filter(|site| site.address != *here) {
        match ours.remotes.iter().find(|known| known.address == site.address) {
            Some(known) => points.extend(other_folder(known, site)),
            None if theirs.remotes.contains(site) => {
                points.push(Point::Learn(Statement::Remote(site.clone())));
            }
            None => {}
        }
    }
    let is_asked = |statement: &Statement| {
        ours.format == Format::V1_3 || heard.dropped.contains(&statement.name())
    };
    let forget = |statement: Statement| is_asked(&statement).then_some(Point::Forget(statement));
    for site in &ours.remotes {
        let is_there =
            site.address == *there || theirs.remotes.iter().any(|s| s.address == site.address);
        points.extend((!is_there).then(|| forget(Statement::Remote(site.clone()))).flatten());
    }
    let mut compare =
        |ours: &[Vec<u8>], theirs: &[Vec<u8>], statement: fn(Vec<u8>) -> Statement| {
            let unknown = theirs.iter().filter(|pattern| !ours.contains(pattern));
            points.extend(unknown.map(|pattern| Point::Learn(statement(pattern.clone()))));
            let missing = ours.iter().filter(|pattern| !theirs.contains(pattern));
            points.extend(missing.filter_map(|pattern| forget(statement(pattern.clone()))));
        };
    compare(&ours.scans, &theirs.scans, Statement::Scan);
    compare(&ours.ignores, &theirs.ignores, Statement::Ignore);
    points
}

fn other_folder(known: &Site, said: &Site) -> Option<Point> {
    let (ours, theirs) = (known.directory.as_ref()?, said.directory.as_ref()?);
    (ours != theirs).then(|| Point::Home(known.address.clone(), theirs.clone()))
}

fn names(identity: &Identity) -> BTreeSet<Vec<u8>> {
    let remotes = identity.remotes.iter().map(|site| Statement::Remote(site.clone()).name());
    let scans = identity.scans.iter().map(|scan| Statement::Scan(scan.clone()).name());
    let ignores = identity.ignores.iter().map(|ignore| Statement::Ignore(ignore.clone()).name());
    remotes.chain(scans).chain(ignores).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(name: &str, directory: &str) -> Site {
        let directory = (directory != "-").then(|| directory.as_bytes().into());
        Site { address: Address::new(&format!("{name}@x")).unwrap(), directory }
    }

    fn project(format: Format, here: &str, remotes: &[Site], ignores: &[&str]) -> Identity {
        Identity {
            format,
            title: "T".into(),
            here: site(here, "/t"),
            remotes: remotes.to_vec(),
            hosts: Vec::new(),
            scans: Vec::new(),
            ignores: ignores.iter().map(|i| i.as_bytes().to_vec()).collect(),
        }
    }

    fn told(ours: &Identity, identities: &Identities) -> Vec<(String, bool)> {
        let differences = differences(ours, identities);
        let mark = |d: &Difference| String::from_utf8(d.point.mark()).unwrap();
        differences.iter().map(|d| (mark(d), d.is_proposed)).collect()
    }

    fn heard(theirs: &[&Identity]) -> Identities {
        let mut identities = Identities::default();
        for (at, theirs) in theirs.iter().enumerate() {
            assert!(hear(&mut identities, theirs, at as u64 + 1));
            assert!(!hear(&mut identities, theirs, 99), "learning twice is learning once");
        }
        identities
    }

    #[test]
    fn each_point_and_what_is_proposed() {
        let v13 = Format::V1_3;
        let ours = project(v13, "b", &[site("a", "/a"), site("c", "-"), site("e", "/e")], &["x"]);
        let theirs =
            project(v13, "a", &[site("b", "/other"), site("c", "/c"), site("d", "/d")], &["y"]);
        let identities = heard(&[&theirs]);
        let want = [
            ("forget ignore:x", false),
            ("forget remote:e@x", false),
            ("home:a@x /t", true),
            ("learn ignore:y", true),
            ("learn remote:d@x", true),
        ];
        assert_eq!(told(&ours, &identities), want.map(|(mark, yes)| (mark.to_owned(), yes)));
        let v20 = Identity { format: Format::V2_0, ..ours };
        let want = [("home:a@x /t", false), ("learn ignore:y", false), ("learn remote:d@x", false)];
        assert_eq!(told(&v20, &identities), want.map(|(mark, yes)| (mark.to_owned(), yes)));
    }

    #[test]
    fn another_title_or_address_may_be_meant() {
        let ours = project(Format::V1_3, "b", &[site("a", "-"), site("c", "-")], &[]);
        let address = |name: &str| site(name, "-").address;
        let mut known = Identities::default();
        let title = Some(Point::Title("U".into()));
        let here = |name| Some(Point::Here(address(name)));
        for (from, called, visit, want) in [
            ("a", "T", "b", None),
            ("a", "U", "b", title.clone()),
            ("a", "T", "b2", here("b2")),
            ("a", "U", "b2", None),
            ("a", "T", "c", None),
            ("z", "U", "b", None),
            ("z", "T", "b2", None),
        ] {
            let point = misnamed(&ours, &known, &address(from), called, &address(visit));
            assert_eq!(point, want, "{from} {called} {visit}");
        }
        known.declined.extend(title.clone().map(|point| point.mark()));
        assert_eq!(misnamed(&ours, &known, &address("a"), "U", &address("b")), None);
        assert_eq!(misnamed(&ours, &known, &address("a"), "U", &address("b2")), here("b2"));
        known.declined.extend(here("b2").map(|point| point.mark()));
        assert!(known.knows_title("U") && known.knows_address(&address("b2")));
        assert_eq!(
            misnamed(&ours, &known, &address("a"), "V", &address("b2")),
            Some(Point::Title("V".into()))
        );
    }

    #[test]
    fn what_is_the_same_or_not_known_is_no_difference() {
        let ours = project(Format::V1_3, "b", &[site("a", "-")], &["x"]);
        let theirs = project(Format::V1_3, "a", &[site("b", "/elsewhere")], &["x"]);
        assert_eq!(told(&ours, &heard(&[&theirs])), []);
        let stranger = project(Format::V1_3, "z", &[site("b", "-"), site("d", "-")], &[]);
        let mut identities = heard(&[&theirs, &stranger]);
        assert_eq!(told(&ours, &identities), [], "who is no remote of ours says nothing to us");
        forget_strangers(&mut identities, &ours);
        assert_eq!(identities.heard.len(), 1);
    }

    #[test]
    fn in_2_0_forgetting_is_asked_of_what_was_dropped() {
        let v20 = Format::V2_0;
        let ours = project(v20, "b", &[site("a", "-"), site("c", "-")], &["x"]);
        let before = project(v20, "a", &[site("b", "-"), site("c", "-")], &["x"]);
        let after = project(v20, "a", &[site("b", "-")], &[]);
        let identities = heard(&[&before, &after]);
        let want = ["forget ignore:x", "forget remote:c@x"];
        assert_eq!(told(&ours, &identities), want.map(|mark| (mark.to_owned(), false)));
        assert_eq!(told(&ours, &heard(&[&before, &after, &before])), []);
    }

    #[test]
    fn several_say_it_once_and_what_was_let_be_rests() {
        let v20 = Format::V2_0;
        let ours = project(v20, "b", &[site("a", "-"), site("c", "-")], &[]);
        let of = |here| project(v20, here, &[site("b", "-"), site("d", "/d")], &[]);
        let mut identities = heard(&[&of("a"), &of("c")]);
        let differences = differences(&ours, &identities);
        assert_eq!(differences.len(), 1);
        assert_eq!((differences[0].from.len(), differences[0].at_ms), (2, 2));
        identities.declined.insert(differences[0].point.mark());
        assert_eq!(told(&ours, &identities), []);
    }
}
