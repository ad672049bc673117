//! Hosts without remsync: what follows from what is here, what is there, and what both last agreed
//! on. The same `decide` as for mail, on the host's behalf.
//!
//! No clock is trusted: who is newer is never asked.

use std::collections::BTreeMap;

use crate::model::TreePath;
use crate::model::knowledge::Why;
use crate::model::snapshot::{Act, Agreed, Operation, SiteShot};
use crate::model::verdict::{Deletions, Place, Verdict};
use crate::model::version::{Content, History, Version};

use super::brake::is_tree_gone;
use super::decide::{Lineage, decide};

/// What one file calls for at one host; `None` is nothing: both are the same.
///
/// A file that only one side has, and that both never agreed on, goes to the other.
pub fn act(here: Content, there: Content, agreed: Option<Content>) -> Option<(Act, Option<Why>)> {
    let version = |content: Content| {
        // The one that both had is the first, what was made of it the second.
        let is_old = agreed == Some(content);
        let generation = if agreed.is_none() || is_old { 1 } else { 2 };
        let old = agreed.filter(|_| !is_old).map(|content| Version { generation: 1, content });
        let history: History = old.iter().map(Version::ancestor).collect();
        (Version { generation, content }, history)
    };
    let ((here_version, here_history), (there_version, there_history)) =
        (version(here), version(there));
    let ours = Lineage::new(&here_version, &here_history);
    let theirs = Lineage::new(&there_version, &there_history);
    if here == there {
        return None;
    }
    if agreed.is_none() && there == Content::Absent {
        return Some((Act::Upload, None));
    }
    let known = (agreed.is_some() || here != Content::Absent).then_some(ours);
    Some(match decide(known, theirs) {
        Verdict::Redundant => return None,
        Verdict::Create => (Act::Download, None),
        Verdict::Replace if there == Content::Absent => (Act::DeleteHere, Some(Why::Deletion)),
        Verdict::Replace => (Act::Download, None),
        Verdict::Stale if here == Content::Absent => (Act::DeleteThere, Some(Why::Deletion)),
        Verdict::Stale => (Act::Upload, None),
        Verdict::Ask(why) => (Act::Conflict, Some(why)),
    })
}

/// Returns the plan for one host, by path, and takes what is the same into `agreed`.
///
/// Where a file comes here its place counts as it does for mail. So many deletions that a tree may
/// not be there at all wait whatever `deletions` says.
pub fn plan_host(
    files: &BTreeMap<TreePath, Content>,
    site: &SiteShot,
    agreed: &mut Agreed,
    deletions: Deletions,
    place_of: &dyn Fn(&TreePath) -> Place,
) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (path, cell) in &site.cells {
        let (Some(there), Some(&here)) = (cell.holds, files.get(path)) else { continue };
        let Some((act, why)) = act(here, there, agreed.get(path).copied()) else {
            match here {
                Content::Absent => agreed.remove(path),
                Content::File(_) => agreed.insert(path.clone(), here),
            };
            continue;
        };
        let why = match (act, place_of(path)) {
            (Act::Download, Place::Sensitive) => why.or(Some(Why::Sensitive)),
            (Act::Download, Place::Blocked) => why.or(Some(Why::InTheWay)),
            _ => why,
        };
        let is_allowed = why == Some(Why::Deletion) && deletions == Deletions::Apply;
        let why = why.filter(|_| !is_allowed);
        let (site, path) = (site.address.clone(), path.clone());
        operations.push(Operation { site, path, act, here, there, why, is_ticked: why.is_none() });
    }
    for act in [Act::DeleteHere, Act::DeleteThere] {
        let gone = operations.iter().filter(|operation| operation.act == act).count();
        if is_tree_gone(gone, agreed.len()) {
            for operation in operations.iter_mut().filter(|operation| operation.act == act) {
                operation.why = Some(Why::ManyDeletions);
                operation.is_ticked = false;
            }
        }
    }
    operations
}

/// Says how a file at a host stands to the one here, in a word or two.
pub fn standing(here: Content, there: Option<Content>, agreed: Option<Content>) -> &'static str {
    let Some(there) = there else { return "not known" };
    match act(here, there, agreed) {
        None => "in step",
        Some((Act::Upload | Act::DeleteThere, _)) => "due",
        Some((Act::Download | Act::DeleteHere, _)) => "newer there",
        Some((Act::Conflict, _)) => "apart",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Signature;

    fn file(n: u8) -> Content {
        Content::File(Signature::Sha256 { digest: [n; 32], executable: false })
    }

    #[test]
    fn what_each_file_calls_for() {
        let none = Content::Absent;
        let (a, b, c) = (file(1), file(2), file(3));
        let table = [
            ("the same", a, a, None, None),
            ("the same, changed alike", b, b, Some(a), None),
            ("both deleted", none, none, Some(a), None),
            ("changed here", b, a, Some(a), Some((Act::Upload, None))),
            ("changed there", a, b, Some(a), Some((Act::Download, None))),
            ("changed both", b, c, Some(a), Some((Act::Conflict, Some(Why::Conflict)))),
            ("deleted here", none, a, Some(a), Some((Act::DeleteThere, Some(Why::Deletion)))),
            ("deleted there", a, none, Some(a), Some((Act::DeleteHere, Some(Why::Deletion)))),
            (
                "deleted here, changed there",
                none,
                b,
                Some(a),
                Some((Act::Conflict, Some(Why::DeletedHere))),
            ),
            (
                "changed here, deleted there",
                b,
                none,
                Some(a),
                Some((Act::Conflict, Some(Why::DeletedThere))),
            ),
            ("new here", a, none, None, Some((Act::Upload, None))),
            ("new there", none, a, None, Some((Act::Download, None))),
            ("never compared", a, b, None, Some((Act::Conflict, Some(Why::Conflict)))),
            ("new here after a deletion", a, none, Some(none), Some((Act::Upload, None))),
            ("new there after a deletion", none, a, Some(none), Some((Act::Download, None))),
        ];
        for (name, here, there, agreed, expected) in table {
            assert_eq!(act(here, there, agreed), expected, "{name}");
        }
    }

    /// Over all small worlds: the two sides mirror each other, and nothing is ever replaced that
    /// both did not agree on.
    #[test]
    fn laws_over_all_small_worlds() {
        let contents = [Content::Absent, file(1), file(2), file(3)];
        let agreements = contents.iter().copied().map(Some).chain([None]);
        for agreed in agreements {
            for here in contents {
                for there in contents {
                    let ours = act(here, there, agreed).map(|(act, _)| act);
                    let theirs = act(there, here, agreed).map(|(act, _)| act);
                    let mirrored = theirs.map(|act| match act {
                        Act::Upload => Act::Download,
                        Act::Download => Act::Upload,
                        Act::DeleteHere => Act::DeleteThere,
                        Act::DeleteThere => Act::DeleteHere,
                        Act::Conflict => Act::Conflict,
                    });
                    assert_eq!(ours, mirrored, "{here} {there} {agreed:?}");
                    let lost = match ours {
                        Some(Act::Upload | Act::DeleteThere) => there,
                        Some(Act::Download | Act::DeleteHere) => here,
                        _ => continue,
                    };
                    let is_known = agreed == Some(lost) || lost == Content::Absent;
                    assert!(is_known, "{here} {there} {agreed:?}");
                }
            }
        }
    }

    #[test]
    fn a_plan_asks_where_mail_would() {
        use crate::model::snapshot::CellShot;
        let path = |name: &str| TreePath::new(name.as_bytes()).unwrap();
        let mut files = BTreeMap::new();
        let mut site = SiteShot { address: "ssh://h".into(), ..SiteShot::default() };
        let mut agreed = Agreed::new();
        for number in 0..20_u8 {
            let path = path(&format!("f{number:02}"));
            files.insert(path.clone(), file(number));
            agreed.insert(path.clone(), file(number));
            let holds = if number < 3 { Content::Absent } else { file(number) };
            site.cells.insert(path, CellShot { holds: Some(holds), state: String::new() });
        }
        let profile = path(".profile");
        files.insert(profile.clone(), Content::Absent);
        let holds = Some(file(77));
        site.cells.insert(profile, CellShot { holds, state: String::new() });
        let place = |path: &TreePath| {
            if path.as_bytes() == b".profile" { Place::Sensitive } else { Place::Inside }
        };
        let mut plan = |site: &SiteShot, deletions| {
            let operations = plan_host(&files, site, &mut agreed, deletions, &place);
            operations.iter().map(|o| (o.act, o.why, o.is_ticked)).collect::<Vec<_>>()
        };
        let asked = plan(&site, Deletions::Ask);
        assert_eq!(asked[0], (Act::Download, Some(Why::Sensitive), false));
        assert_eq!(asked[1..], vec![(Act::DeleteHere, Some(Why::Deletion), false); 3]);
        let applied = plan(&site, Deletions::Apply);
        assert_eq!(applied[1..], vec![(Act::DeleteHere, None, true); 3]);
        for cell in site.cells.values_mut() {
            cell.holds = Some(Content::Absent);
        }
        let gone = plan(&site, Deletions::Apply);
        assert!(gone.iter().all(|(_, why, ticked)| *why == Some(Why::ManyDeletions) && !ticked));
    }
}
