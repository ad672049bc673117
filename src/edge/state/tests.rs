//! State on disk: crashes at each step, torn journals, readers beside writers.

use super::*;
use crate::format::base::Sieve;
use crate::format::sections::Section;
use crate::model::knowledge::{Cell, Correspondence, Intent, Question, Row, Why, Word};
use crate::model::{Address, Content, Site, Version};
use tempfile::TempDir;

fn sample(format: &str) -> Project {
    let text = format!("format\t{format}\ntitle\tT\nhere\ta@x -\nremote\tb@x -\n");
    let mut project = project::parse(text.as_bytes(), ".remsync").unwrap();
    for number in 1..=3 {
        edit(&mut project, number);
    }
    project
}

/// Makes edit `number`: each leaves a state that differs from all before.
fn edit(project: &mut Project, number: u64) -> BTreeSet<TreePath> {
    let path = |text: String| TreePath::new(text.as_bytes()).unwrap();
    let is_old = project.identity.format == Format::V1_3;
    let generation = if is_old { 0 } else { number };
    let version = Version { generation, content: Content::Absent };
    let word = Word { version, history: Default::default(), serial: number };
    let cell = match is_old {
        true => Cell { listed: true, ..Cell::default() },
        false => Cell { word: Some(word), ..Cell::default() },
    };
    let cells = vec![cell; project.identity.remotes.len()];
    let row = Row { version, cells, ..Row::first(Content::Absent, 0, number) };
    let names = [path("always".into()), path(format!("f {}", number % 7).replace(' ', "-"))];
    for name in &names {
        project.knowledge.rows.insert(name.clone(), row.clone());
    }
    project.knowledge.clock = number;
    project.knowledge.remotes[0] = Correspondence { last: number, ..Default::default() };
    names.into()
}

fn created(project: &Project) -> (TempDir, State) {
    let dir = tempfile::tempdir().unwrap();
    let state = State::create(dir.path(), project).unwrap();
    (dir, state)
}

fn reopened(dir: &Path) -> Project {
    let looked = State::read(dir).unwrap();
    let (state, project) = State::open(dir).unwrap();
    drop(state);
    assert_eq!(looked, project, "looking and opening differ");
    let (_, again) = State::open(dir).unwrap();
    assert_eq!(again, project, "opening twice differs");
    project
}

fn copied(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    fs::create_dir(to.path().join(PRIVATE)).unwrap();
    for folder in ["", PRIVATE] {
        for entry in fs::read_dir(from.join(folder)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), to.path().join(folder).join(entry.file_name())).unwrap();
            }
        }
    }
    to
}

fn names(dir: &Path) -> BTreeSet<String> {
    let names = fs::read_dir(dir).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn what_is_created_is_opened_the_same() {
    for format in ["remsync 1.3", "remsync 2.0"] {
        let project = sample(format);
        let (dir, state) = created(&project);
        assert!(State::is_project(dir.path()));
        assert_eq!(state.dir(), dir.path());
        assert_eq!(state.private("kept"), dir.path().join(".remsync.d/kept"));
        let mode = |path: PathBuf| path.metadata().unwrap().mode() & 0o777;
        assert_eq!(mode(dir.path().join(PRIVATE)), 0o700);
        assert_eq!(mode(state.private(LEDGER)), 0o600);
        assert_eq!(mode(state.private(JOURNAL)), 0o600);
        drop(state);
        assert_eq!(reopened(dir.path()), project);
        assert_eq!(names(dir.path()), [REMSYNC, PRIVATE].map(str::to_owned).into());
    }
}

#[test]
fn the_lock_is_held_while_it_is_open() {
    let (dir, state) = created(&sample("remsync 2.0"));
    assert!(matches!(State::open(dir.path()), Err(StateError::Lock(LockError::Busy { .. }))));
    State::read(dir.path()).unwrap();
    drop(state);
    State::open(dir.path()).unwrap();
}

#[test]
fn no_project_and_one_too_many() {
    let dir = tempfile::tempdir().unwrap();
    assert!(!State::is_project(dir.path()));
    assert!(matches!(State::open(dir.path()), Err(StateError::NotAProject { .. })));
    assert!(matches!(State::read(dir.path()), Err(StateError::NotAProject { .. })));
    assert!(names(dir.path()).is_empty(), "looking leaves nothing behind");
    let (dir, state) = created(&sample("remsync 2.0"));
    drop(state);
    let again = State::create(dir.path(), &sample("remsync 2.0"));
    assert!(matches!(again, Err(StateError::AlreadyThere { .. })));
}

#[test]
fn a_commit_is_one_append() {
    let mut project = sample("remsync 2.0");
    let (dir, mut state) = created(&project);
    let remsync = fs::read(dir.path().join(REMSYNC)).unwrap();
    for number in 10..20 {
        let touched = edit(&mut project, number);
        state.commit(&project, &touched).unwrap();
        assert_eq!(State::read(dir.path()).unwrap(), project);
    }
    assert_eq!(fs::read(dir.path().join(REMSYNC)).unwrap(), remsync);
    assert!(state.private(JOURNAL).metadata().unwrap().len() > 0);
    drop(state);
    assert_eq!(reopened(dir.path()), project);
    // And goes on where it was.
    let (mut state, _) = State::open(dir.path()).unwrap();
    let touched = edit(&mut project, 20);
    state.commit(&project, &touched).unwrap();
    state.finish(&project).unwrap();
    assert_eq!(state.private(JOURNAL).metadata().unwrap().len(), 0);
    assert_ne!(fs::read(dir.path().join(REMSYNC)).unwrap(), remsync);
    assert_eq!(fs::read(dir.path().join(REMSYNC_BAK)).unwrap(), remsync);
    drop(state);
    assert_eq!(reopened(dir.path()), project);
}

#[test]
fn a_run_that_commits_nothing_writes_nothing() {
    let project = sample("remsync 2.0");
    let (dir, state) = created(&project);
    drop(state);
    let before = stamps(dir.path());
    let (mut state, project) = State::open(dir.path()).unwrap();
    state.finish(&project).unwrap();
    assert_eq!(stamps(dir.path()), before);
}

#[test]
fn a_remsync_that_did_not_change_keeps_its_backup() {
    let mut project = sample("remsync 2.0");
    let (dir, mut state) = created(&project);
    let first = fs::read(dir.path().join(REMSYNC)).unwrap();
    edit(&mut project, 9);
    state.save(&project).unwrap();
    project.knowledge.clock = 99;
    state.save(&project).unwrap();
    assert_eq!(fs::read(dir.path().join(REMSYNC_BAK)).unwrap(), first);
    assert!(!dir.path().join(REMSYNC_NEW).exists());
    drop(state);
    assert_eq!(reopened(dir.path()), project);
}

#[test]
fn who_takes_part_is_committed_too() {
    let mut project = sample("remsync 2.0");
    let (dir, mut state) = created(&project);
    let touched = edit(&mut project, 10);
    state.commit(&project, &touched).unwrap();
    let address = Address::new("c@x").unwrap();
    project.identity.remotes.insert(0, Site { address, directory: None });
    project.knowledge.remotes.insert(0, Correspondence::default());
    project.knowledge.rows.values_mut().for_each(|row| row.cells.insert(0, Cell::default()));
    state.commit(&project, &BTreeSet::new()).unwrap();
    drop(state);
    assert_eq!(reopened(dir.path()), project);
}

#[test]
fn torn_journal_is_cut_and_goes_on() {
    let mut project = sample("remsync 2.0");
    let (dir, mut state) = created(&project);
    let path = state.private(JOURNAL);
    let mut states = vec![(0, project.clone())];
    for number in 10..12 {
        let touched = edit(&mut project, number);
        state.commit(&project, &touched).unwrap();
        states.push((path.metadata().unwrap().len() as usize, project.clone()));
    }
    drop(state);
    let bytes = fs::read(&path).unwrap();
    for cut in 0..bytes.len() {
        fs::write(&path, &bytes[..cut]).unwrap();
        let (sound, expected) = states.iter().rfind(|(end, _)| *end <= cut).unwrap();
        assert_eq!(State::read(dir.path()).unwrap(), *expected, "cut at {cut}");
        let (mut state, mut project) = State::open(dir.path()).unwrap();
        assert_eq!(project, *expected, "cut at {cut}");
        assert_eq!(fs::read(&path).unwrap(), bytes[..*sound], "cut at {cut}");
        let touched = edit(&mut project, 30);
        state.commit(&project, &touched).unwrap();
        drop(state);
        assert_eq!(State::read(dir.path()).unwrap(), project, "cut at {cut}");
    }
}

#[test]
fn a_crash_at_each_step_of_a_save() {
    for format in ["remsync 1.3", "remsync 2.0"] {
        let mut old = sample(format);
        let (dir, mut state) = created(&old);
        if format == "remsync 2.0" {
            let touched = edit(&mut old, 10);
            state.commit(&old, &touched).unwrap();
        }
        let mut new = old.clone();
        edit(&mut new, 11);
        new.identity.title = "Another".to_owned();
        new.knowledge.rows.pop_last();
        let journal_before = fs::read(state.private(JOURNAL)).unwrap();

        // Step 1 and 2: the new files are written, in parts, and then whole.
        let (noted, _) = state.write_new_base(&new).unwrap();
        for name in [state.private(LEDGER_NEW), dir.path().join(REMSYNC_NEW)] {
            let whole = fs::read(&name).unwrap();
            for length in [0, whole.len() / 2, whole.len() - 1] {
                fs::write(&name, &whole[..length]).unwrap();
                assert_eq!(reopened(copied(dir.path()).path()), old);
            }
            fs::write(&name, &whole).unwrap();
        }
        assert_eq!(reopened(copied(dir.path()).path()), old);

        // Step 3: the journal says so, byte for byte.
        let line = journal::fold(&noted, state.transactions + 1);
        for length in 0..=line.len() {
            let bytes = [&journal_before[..], &line[..length]].concat();
            fs::write(state.private(JOURNAL), bytes).unwrap();
            let expected = if length == line.len() { &new } else { &old };
            let copy = copied(dir.path());
            assert_eq!(reopened(copy.path()), *expected, "{length}");
            assert_eq!(
                fs::read(private(copy.path(), JOURNAL)).unwrap(),
                if length == line.len() { &b""[..] } else { &journal_before[..] }
            );
        }

        // Step 4 to 7: the files go to their places, the journal is emptied.
        let remsync = dir.path().join(REMSYNC);
        keep_backup(&remsync, &dir.path().join(REMSYNC_BAK)).unwrap();
        assert_eq!(reopened(copied(dir.path()).path()), new);
        rename(&dir.path().join(REMSYNC_NEW), &remsync).unwrap();
        assert_eq!(reopened(copied(dir.path()).path()), new);
        rename(&state.private(LEDGER_NEW), &state.private(LEDGER)).unwrap();
        assert_eq!(reopened(copied(dir.path()).path()), new);
        let copy = copied(dir.path());
        assert_eq!(reopened(copy.path()), new);
        let private = copy.path().join(PRIVATE);
        assert_eq!(names(&private), [JOURNAL, LEDGER, LOCK].map(str::to_owned).into());
        fs::write(state.private(JOURNAL), b"").unwrap();
        drop(state);
        assert_eq!(reopened(dir.path()), new);
    }
}

#[test]
fn a_new_file_that_is_not_what_was_written() {
    let mut project = sample("remsync 2.0");
    let (dir, mut state) = created(&project);
    edit(&mut project, 10);
    let (noted, _) = state.write_new_base(&project).unwrap();
    state.append(&journal::fold(&noted, 1)).unwrap();
    let path = dir.path().join(REMSYNC_NEW);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("title\tT", "title\tU")).unwrap();
    drop(state);
    assert!(matches!(State::read(dir.path()), Err(StateError::Damaged { .. })));
    assert!(matches!(State::open(dir.path()), Err(StateError::Damaged { .. })));
}

#[test]
fn damage_names_its_file_and_line_and_lost_is_unknown() {
    let mut project = sample("remsync 2.0");
    let (dir, mut state) = created(&project);
    for number in 10..12 {
        let touched = edit(&mut project, number);
        state.commit(&project, &touched).unwrap();
    }
    let (ledger, journal) = (state.private(LEDGER), state.private(JOURNAL));
    drop(state);
    for (path, from, to) in [
        (dir.path().join(REMSYNC), "\talways 3", "\talways x"),
        (ledger.clone(), "row\talways", "raw\talways"),
        (journal.clone(), "row\talways", "raw\talways"),
    ] {
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let line = 1 + text[..text.find(from).unwrap()].lines().count() as u64
            - u64::from(!text[..text.find(from).unwrap()].ends_with('\n'));
        for fault in [State::read(dir.path()).unwrap_err(), State::open(dir.path()).unwrap_err()] {
            assert!(fault.hint().is_some());
            let StateError::Text(fault) = fault else { panic!("{fault}") };
            assert_eq!((fault.file, fault.line), (path.display().to_string(), line));
        }
        fs::write(&path, text).unwrap();
    }
    assert_eq!(reopened(dir.path()), project);
    fs::remove_file(journal).unwrap();
    assert_eq!(reopened(dir.path()).knowledge.clock, 3);
    fs::remove_file(ledger).unwrap();
    let unknown = reopened(dir.path());
    assert_eq!((unknown.knowledge.clock, unknown.knowledge.rows.len()), (0, 4));
    assert!(unknown.knowledge.rows.values().all(|row| row.cells[0] == Cell::default()));
}

#[test]
fn the_original_program_ran_in_between() {
    let mut project = sample("remsync 1.3");
    let (dir, mut state) = created(&project);
    edit(&mut project, 5);
    state.commit(&project, &BTreeSet::new()).unwrap();
    drop(state);
    let path = dir.path().join(REMSYNC);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\talways -\n", "\talways 00070\n")).unwrap();
    let read = reopened(dir.path());
    let cell = &read.knowledge.rows.first_key_value().unwrap().1.cells[0];
    assert_eq!((cell.belief.to_string().as_str(), cell.listed), ("00070", true));
    // A tree that only the original program knew.
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(REMSYNC), text).unwrap();
    State::read(dir.path()).unwrap();
    let (mut state, project) = State::open(dir.path()).unwrap();
    state.commit(&project, &BTreeSet::new()).unwrap();
    drop(state);
    assert_eq!(reopened(dir.path()), project);
}

#[test]
fn a_failed_append_is_cut_off_before_the_next() {
    let mut project = sample("remsync 2.0");
    let (dir, mut state) = created(&project);
    let touched = edit(&mut project, 10);
    state.commit(&project, &touched).unwrap();
    // As a full disk leaves it: a part was written, and the write failed.
    let mut journal = OpenOptions::new().append(true).open(state.private(JOURNAL)).unwrap();
    journal.write_all(b"00000000 begin\tremsync-jour").unwrap();
    state.unfinished = Unfinished::Append;
    let touched = edit(&mut project, 11);
    state.commit(&project, &touched).unwrap();
    drop(state);
    assert_eq!(reopened(dir.path()), project);
}

#[test]
fn readers_beside_a_writer_see_whole_states() {
    let mut project = sample("remsync 2.0");
    let (dir, mut state) = created(&project);
    let top = dir.path().to_owned();
    let reader = thread::spawn(move || {
        let mut last = 0;
        while last < 60 {
            let seen = match State::read(&top) {
                Err(StateError::Restless { .. }) => continue,
                seen => seen.unwrap(),
            };
            let clock = seen.knowledge.clock;
            assert!(clock >= last, "{clock} after {last}");
            assert_eq!(seen.knowledge.remotes[0].last, clock);
            let always = seen.knowledge.rows.first_key_value().unwrap().1;
            assert_eq!(always.version.generation, clock);
            last = clock;
        }
    });
    for number in 10..=60 {
        let touched = edit(&mut project, number);
        match number % 5 {
            0 => state.save(&project).unwrap(),
            _ => state.commit(&project, &touched).unwrap(),
        }
    }
    reader.join().unwrap();
}

/// Keeps the rows that end so, and counts what it was asked.
struct Ending(&'static str, usize);

impl Sieve for Ending {
    fn begin(&mut self, _: &Project) {
        self.1 = 0;
    }

    fn keeps(&mut self, project: &Project, path: &TreePath, _: &Row) -> bool {
        assert!(project.knowledge.clock > 0, "what the journal says is known");
        self.1 += 1;
        path.to_string().ends_with(self.0)
    }
}

/// Has no need of any row.
struct Nothing(usize);

impl Sieve for Nothing {
    fn begin(&mut self, _: &Project) {
        self.0 = 0;
    }

    fn keeps(&mut self, _: &Project, _: &TreePath, _: &Row) -> bool {
        self.0 += 1;
        false
    }

    fn passes(&mut self, project: &Project, _: &Section) -> bool {
        assert!(project.knowledge.clock == 30, "what the journal says is known");
        true
    }
}

#[test]
fn what_a_question_or_the_journal_has_is_read_whatever_the_section_says() {
    let mut whole = sample("remsync 2.0");
    let row = whole.knowledge.rows.values().next().unwrap().clone();
    let name =
        |number: u64| format!("a folder of many files/file number {number:05}, of a longer name");
    for number in 0..24_000 {
        whole.knowledge.rows.insert(TreePath::new(name(number).as_bytes()).unwrap(), row.clone());
    }
    let asked = TreePath::new(name(9_999).as_bytes()).unwrap();
    whole.knowledge.questions.push(Question {
        path: asked.clone(),
        version: row.version,
        history: row.history.clone(),
        remote: 0,
        package: [1; 32],
        member: None,
        why: Why::ALL[0],
        at_ms: 1,
    });
    let (dir, mut state) = created(&whole);
    let touched = edit(&mut whole, 30);
    state.commit(&whole, &touched).unwrap();
    drop(state);
    let mut sieve = Nothing(0);
    let some = State::read_some(dir.path(), &mut sieve).unwrap();
    let expected = |path: &TreePath| *path == asked || touched.contains(path);
    whole.knowledge.rows.retain(|path, _| expected(path));
    assert!(some == whole, "{:?}", some.knowledge.rows.keys().collect::<Vec<_>>());
    assert!(sieve.0 < 3_000, "all the rest was gone past: {}", sieve.0);
}

#[test]
fn what_is_not_read_is_not_lost() {
    const MANY: u64 = 24_000;
    let mut whole = sample("remsync 2.0");
    let row = whole.knowledge.rows.values().next().unwrap().clone();
    for number in 0..MANY {
        let name = format!("a folder of many files/file number {number:05}, of a longer name");
        whole.knowledge.rows.insert(TreePath::new(name.as_bytes()).unwrap(), row.clone());
    }
    let (dir, mut state) = created(&whole);
    assert!(state.base_bytes >= SMALL_BASE_BYTES, "{}", state.base_bytes);
    // Two that the journal knows.
    let touched = edit(&mut whole, 30);
    state.commit(&whole, &touched).unwrap();
    drop(state);
    let kept = |project: &Project| {
        let mut some = project.clone();
        some.knowledge.rows.retain(|path, _| {
            path.to_string().ends_with("7, of a longer name") || touched.contains(path)
        });
        some
    };
    let mut sieve = Ending("7, of a longer name", 0);
    assert_eq!(State::read_some(dir.path(), &mut sieve).unwrap(), kept(&whole));
    assert!(sieve.1 as u64 >= MANY);

    for save in [false, true] {
        let (mut state, mut some) =
            Locked::take(dir.path()).unwrap().open_some(&mut sieve).unwrap();
        assert!(state.is_part());
        assert_eq!(some, kept(&whole));
        // One changes, one goes, one comes.
        let mut touched = edit(&mut some, 30);
        edit(&mut whole, 30);
        let gone = some.knowledge.rows.keys().find(|path| !touched.contains(path));
        let gone = gone.unwrap().clone();
        for project in [&mut some, &mut whole] {
            project.knowledge.rows.remove(&gone);
            project.knowledge.clock += 1;
        }
        touched.insert(gone);
        match save {
            false => state.commit(&some, &touched).unwrap(),
            true => {
                // As when the journal has grown too long.
                let whole = state.whole(&some, &touched).unwrap().unwrap();
                state.save_whole(&whole).unwrap();
            }
        }
        drop(state);
        assert!(reopened(dir.path()) == whole, "{save}");
    }
    // At the end of a run all is read that is to be written.
    let (mut state, some) = Locked::take(dir.path()).unwrap().open_some(&mut sieve).unwrap();
    state.save(&some).unwrap();
    drop(state);
    assert!(reopened(dir.path()) == whole);
}

#[test]
fn an_intent_outlives_a_crash_until_it_is_settled() {
    let project = sample("remsync 2.0");
    let (dir, mut state) = created(&project);
    let path = |name: &str| TreePath::new(name.as_bytes()).unwrap();
    let some = |names: &[&str]| -> Intent {
        let row = |number: usize| {
            let ancestor = Version { generation: 1, content: Content::Absent }.ancestor();
            let version = Version { generation: 2 + number as u64, content: Content::Absent };
            let mut row = Row { version, cells: Vec::new(), ..Row::first(Content::Absent, 0, 0) };
            row.history.insert(ancestor);
            row
        };
        names.iter().enumerate().map(|(number, name)| (path(name), row(number))).collect()
    };
    let is_interrupted = || Locked::take(dir.path()).unwrap().is_interrupted();
    let reopen = || State::open(dir.path()).unwrap();
    state.intend(Intent::new()).unwrap();
    drop(state);
    assert!(!is_interrupted());
    let (mut state, _) = reopen();
    state.intend(some(&["a", "b"])).unwrap();
    let whole = fs::read(state.private(INTENT)).unwrap();
    drop(state);
    assert!(is_interrupted());
    let (mut state, read) = reopen();
    assert_eq!(state.intents(), [some(&["a", "b"])]);
    assert_eq!(read, project, "they are no rows of the project");
    // Another package: both may have come so far.
    state.intend(some(&["b", "c"])).unwrap();
    drop(state);
    let (mut state, _) = reopen();
    assert_eq!(state.intents(), [some(&["a", "b"]), some(&["b", "c"])]);
    // What is settled in part is still there after a crash, which does no harm.
    state.settle_intent(|done| *done != path("c")).unwrap();
    assert!(state.intents().iter().flat_map(Intent::keys).eq([&path("c")]));
    drop(state);
    assert!(is_interrupted());
    let (mut state, _) = reopen();
    state.settle_intent(|_| true).unwrap();
    state.settle_intent(|_| true).unwrap();
    assert!(state.intents().is_empty());
    state.intend(some(&["d"])).unwrap();
    drop(state);
    assert_eq!(reopen().0.intents(), [some(&["d"])]);
    // Torn by a crash while it was written: nothing was in place yet.
    for cut in 0..whole.len() {
        fs::write(private(dir.path(), INTENT), &whole[..cut]).unwrap();
        let (mut state, _) = reopen();
        assert!(state.intents().is_empty(), "cut at {cut}");
        if cut % 2 == 0 {
            state.settle_intent(|_| true).unwrap();
            assert_eq!(fs::metadata(state.private(INTENT)).unwrap().len(), 0, "cut at {cut}");
        }
        state.intend(some(&["e"])).unwrap();
        drop(state);
        assert_eq!(reopen().0.intents(), [some(&["e"])], "cut at {cut}");
    }
    // Damaged: it is said, as of the journal.
    let mut damaged = [whole.clone(), whole].concat();
    damaged[20] ^= 1;
    fs::write(private(dir.path(), INTENT), damaged).unwrap();
    let fault = State::open(dir.path()).unwrap_err().to_string();
    assert!(fault.contains("intent"), "{fault}");
    // Who makes the folder a project anew begins anew.
    fs::remove_file(dir.path().join(REMSYNC)).unwrap();
    drop(State::create(dir.path(), &project).unwrap());
    assert!(!is_interrupted());
}
