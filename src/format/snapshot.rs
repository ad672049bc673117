//! `check.json`, `synchro.json` and `agreed.json`: what a check saw, what would be done, and what
//! we and each host last agreed on.
//!
//! Names are percent-encoded as in packages, for JSON cannot hold bytes. Invariant: what is printed
//! is read back the same; what is no such file is a fault, and never half a plan.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::percent;
use super::statement;
use crate::model::knowledge::Why;
use crate::model::project::Format;
use crate::model::snapshot::{Act, Agreed, CellShot, Operation, Plan, Reach, SiteShot, Snapshot};
use crate::model::{Belief, Content, TreePath};

/// The version of all three.
const VERSION: u32 = 1;

/// Why a text is none of these files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotFault {
    /// It is no JSON, or another document.
    #[error("line {line}: {what}")]
    Json {
        /// From 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// A later program wrote it.
    #[error("version {0}: written by another remsync")]
    Version(u32),
    /// A word that is not what it should be.
    #[error("\"{word}\" is no {what}")]
    Word {
        /// The word.
        word: String,
        /// What it should be.
        what: &'static str,
    },
}

#[derive(Serialize, Deserialize)]
struct RawSnapshot {
    version: u32,
    checked: u64,
    title: String,
    here: String,
    files: BTreeMap<String, String>,
    sites: Vec<RawSite>,
}

#[derive(Serialize, Deserialize)]
struct RawSite {
    address: String,
    directory: String,
    kind: String,
    news: u64,
    error: String,
    hint: String,
    files: BTreeMap<String, (String, String)>,
    unknown: Vec<(String, String)>,
}

#[derive(Serialize, Deserialize)]
struct RawPlan {
    version: u32,
    checked: u64,
    operations: Vec<RawOperation>,
}

#[derive(Serialize, Deserialize)]
struct RawOperation {
    site: String,
    path: String,
    action: String,
    here: String,
    there: String,
    #[serde(default)]
    why: Option<String>,
    ticked: bool,
}

#[derive(Serialize, Deserialize)]
struct RawAgreed {
    version: u32,
    hosts: BTreeMap<String, BTreeMap<String, String>>,
}

/// Returns the text of `check.json`.
pub fn print_snapshot(snapshot: &Snapshot) -> Vec<u8> {
    let sites = snapshot.sites.iter().map(|site| RawSite {
        address: site.address.clone(),
        directory: site.directory.clone(),
        kind: if site.reach == Reach::Ssh { "ssh" } else { "mail" }.to_owned(),
        news: site.news_ms,
        error: site.error.0.clone(),
        hint: site.error.1.clone(),
        files: site
            .cells
            .iter()
            .map(|(path, cell)| {
                let holds = cell.holds.map_or_else(|| "?".to_owned(), |holds| holds.to_string());
                (print_path(path), (holds, cell.state.clone()))
            })
            .collect(),
        unknown: site.unknown.clone(),
    });
    let files = snapshot.files.iter();
    print(&RawSnapshot {
        version: VERSION,
        checked: snapshot.checked_ms,
        title: snapshot.title.clone(),
        here: snapshot.here.clone(),
        files: files.map(|(path, here)| (print_path(path), here.to_string())).collect(),
        sites: sites.collect(),
    })
}

/// Reads `check.json`.
///
/// # Errors
/// It is none.
pub fn parse_snapshot(text: &[u8]) -> Result<Snapshot, SnapshotFault> {
    let raw: RawSnapshot = read(text)?;
    check_version(raw.version)?;
    let mut files = BTreeMap::new();
    for (path, here) in &raw.files {
        files.insert(parse_path(path)?, parse_content(here)?);
    }
    let mut sites = Vec::new();
    for site in raw.sites {
        let mut cells = BTreeMap::new();
        for (path, (holds, state)) in site.files {
            let holds = if holds == "?" { None } else { Some(parse_content(&holds)?) };
            cells.insert(parse_path(&path)?, CellShot { holds, state });
        }
        sites.push(SiteShot {
            address: site.address,
            directory: site.directory,
            reach: if site.kind == "ssh" { Reach::Ssh } else { Reach::Mail },
            news_ms: site.news,
            error: (site.error, site.hint),
            cells,
            unknown: site.unknown,
        });
    }
    let RawSnapshot { title, here, checked: checked_ms, .. } = raw;
    Ok(Snapshot { title, here, checked_ms, files, sites })
}

/// Returns the text of `synchro.json`.
pub fn print_plan(plan: &Plan) -> Vec<u8> {
    let operations = plan.operations.iter().map(|operation| RawOperation {
        site: operation.site.clone(),
        path: print_path(&operation.path),
        action: operation.act.name().to_owned(),
        here: operation.here.to_string(),
        there: operation.there.to_string(),
        why: operation.why.map(|why| why.name().to_owned()),
        ticked: operation.is_ticked,
    });
    print(&RawPlan { version: VERSION, checked: plan.checked_ms, operations: operations.collect() })
}

/// Reads `synchro.json`.
///
/// # Errors
/// It is none.
pub fn parse_plan(text: &[u8]) -> Result<Plan, SnapshotFault> {
    let raw: RawPlan = read(text)?;
    check_version(raw.version)?;
    let mut operations = Vec::new();
    for operation in raw.operations {
        let act = Act::ALL.into_iter().find(|act| act.name() == operation.action);
        let why = match &operation.why {
            None => None,
            Some(name) => {
                let why = Why::ALL.into_iter().find(|why| why.name() == name);
                Some(why.ok_or_else(|| word(name, "reason"))?)
            }
        };
        operations.push(Operation {
            path: parse_path(&operation.path)?,
            act: act.ok_or_else(|| word(&operation.action, "action"))?,
            here: parse_content(&operation.here)?,
            there: parse_content(&operation.there)?,
            why,
            is_ticked: operation.ticked,
            site: operation.site,
        });
    }
    Ok(Plan { checked_ms: raw.checked, operations })
}

/// Returns the text of `agreed.json`; hosts are named by URL and folder.
pub fn print_agreed(agreed: &BTreeMap<String, Agreed>) -> Vec<u8> {
    let hosts = agreed.iter().map(|(host, files)| {
        let files = files.iter().map(|(path, content)| (print_path(path), content.to_string()));
        (host.clone(), files.collect())
    });
    print(&RawAgreed { version: VERSION, hosts: hosts.collect() })
}

/// Reads `agreed.json`.
///
/// # Errors
/// It is none.
pub fn parse_agreed(text: &[u8]) -> Result<BTreeMap<String, Agreed>, SnapshotFault> {
    let raw: RawAgreed = read(text)?;
    check_version(raw.version)?;
    let mut agreed = BTreeMap::new();
    for (host, files) in raw.hosts {
        let mut known = Agreed::new();
        for (path, content) in files {
            known.insert(parse_path(&path)?, parse_content(&content)?);
        }
        agreed.insert(host, known);
    }
    Ok(agreed)
}

/// Returns a path as it stands in these files, and where else one has to be named in text.
pub fn print_path(path: &TreePath) -> String {
    let mut out = Vec::new();
    percent::encode(path.as_bytes(), &mut out);
    // What is encoded is UTF-8 by its rule.
    String::from_utf8_lossy(&out).into_owned()
}

/// Reads what [`print_path`] printed.
///
/// # Errors
/// It is no path.
pub fn parse_path(text: &str) -> Result<TreePath, SnapshotFault> {
    let bytes = percent::decode(text.as_bytes()).ok();
    bytes.and_then(|bytes| TreePath::new(&bytes).ok()).ok_or_else(|| word(text, "path"))
}

fn parse_content(text: &str) -> Result<Content, SnapshotFault> {
    let belief = statement::belief(Format::V2_0, text.as_bytes());
    match belief {
        Ok(Belief::Absent) => Ok(Content::Absent),
        Ok(Belief::Holds(signature)) => Ok(Content::File(signature)),
        _ => Err(word(text, "signature")),
    }
}

fn word(word: &str, what: &'static str) -> SnapshotFault {
    SnapshotFault::Word { word: crate::model::path::escaped(word.as_bytes()), what }
}

fn check_version(version: u32) -> Result<(), SnapshotFault> {
    if version == VERSION { Ok(()) } else { Err(SnapshotFault::Version(version)) }
}

fn print(document: &impl Serialize) -> Vec<u8> {
    // Maps with text for keys cannot fail to be written.
    let mut text = serde_json::to_vec_pretty(document).unwrap_or_default();
    text.push(b'\n');
    text
}

fn read<'t, T: Deserialize<'t>>(text: &'t [u8]) -> Result<T, SnapshotFault> {
    serde_json::from_slice(text)
        .map_err(|error| SnapshotFault::Json { line: error.line(), what: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Signature;

    fn path(bytes: &[u8]) -> TreePath {
        TreePath::new(bytes).unwrap()
    }

    fn file(n: u8, executable: bool) -> Content {
        Content::File(Signature::Sha256 { digest: [n; 32], executable })
    }

    #[test]
    fn what_is_printed_is_read_back() {
        let odd = path(b"a b\xff\n%");
        let cell = |holds| CellShot { holds, state: "apart".into() };
        let site = SiteShot {
            address: "ssh://ana@h:22".into(),
            directory: "/srv".into(),
            reach: Reach::Ssh,
            news_ms: 7,
            error: ("down".into(), "look".into()),
            cells: BTreeMap::from([
                (odd.clone(), cell(Some(file(1, true)))),
                (path(b"gone"), cell(Some(Content::Absent))),
                (path(b"unknown"), cell(None)),
            ]),
            unknown: vec![("d".into(), "why".into())],
        };
        let snapshot = Snapshot {
            title: "T".into(),
            here: "a@x".into(),
            checked_ms: 9,
            files: BTreeMap::from([(odd.clone(), file(2, false))]),
            sites: vec![site, SiteShot::default()],
        };
        assert_eq!(parse_snapshot(&print_snapshot(&snapshot)), Ok(snapshot));
        let operation = |act, why| Operation {
            site: "ssh://h".into(),
            path: odd.clone(),
            act,
            here: file(1, false),
            there: Content::Absent,
            why,
            is_ticked: why.is_none(),
        };
        let mut operations: Vec<_> = Act::ALL.map(|act| operation(act, None)).into();
        operations.extend(Why::ALL.map(|why| operation(Act::Upload, Some(why))));
        let plan = Plan { checked_ms: 9, operations };
        assert_eq!(parse_plan(&print_plan(&plan)), Ok(plan));
        let agreed =
            BTreeMap::from([("ssh://h /srv".to_owned(), Agreed::from([(odd, file(3, true))]))]);
        assert_eq!(parse_agreed(&print_agreed(&agreed)), Ok(agreed));
    }

    #[test]
    fn what_is_none_is_a_fault() {
        let good = r#"{"version":1,"checked":1,"operations":[{"site":"s","path":"a","action":"upload","here":"-","there":"-","ticked":true}]}"#;
        assert!(parse_plan(good.as_bytes()).is_ok());
        for (from, to) in [
            ("\"version\":1", "\"version\":2"),
            ("upload", "explode"),
            ("\"path\":\"a\"", "\"path\":\"../a\""),
            ("\"path\":\"a\"", "\"path\":\"a%2\""),
            ("\"here\":\"-\"", "\"here\":\"12\""),
            ("\"ticked\":true", "\"ticked\":1"),
            ("}]}", "}]"),
        ] {
            assert!(parse_plan(good.replace(from, to).as_bytes()).is_err(), "{to}");
        }
    }
}
