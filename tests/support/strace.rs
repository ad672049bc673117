//! Programs under strace(1), with something happening to them at a chosen system call.
//!
//! The programs themselves have no switch for it: what fails is what the kernel is asked for.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// The calls that change something on a disk, and the opening of files, which may.
pub const EFFECTS: [&str; 26] = [
    "openat",
    "write",
    "pwrite64",
    "writev",
    "copy_file_range",
    "sendfile",
    "ftruncate",
    "fallocate",
    "fsync",
    "fdatasync",
    "syncfs",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlinkat",
    "unlink",
    "unlinkat",
    "rmdir",
    "mkdir",
    "mkdirat",
    "fchmod",
    "fchmodat",
    "fchown",
    "utimensat",
];

/// One call of a run: the `number`th of its kind, from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    pub call: &'static str,
    pub number: u32,
}

/// What happens at a point.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The program is killed, and the call not made.
    Kill,
    /// The call fails so, and is not made.
    Error(&'static str),
}

/// How a run ended.
#[derive(Debug)]
pub struct Traced {
    pub status: ExitStatus,
    /// Whether the program came to the point.
    pub is_reached: bool,
    pub stdout: String,
    pub stderr: String,
}

impl Traced {
    /// Returns the exit status; -1 for a signal.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }
}

/// Runs a command undisturbed; returns the points at which it changes something, in order. `log` is
/// a file to be written.
pub fn points(command: &Command, stdin: Option<&Path>, log: &Path) -> Vec<Point> {
    let traced = run(command, stdin, log, &[]);
    assert!(traced.status.code().is_some_and(|code| code <= 1), "{traced:?}");
    let text = fs::read_to_string(log).unwrap();
    let mut numbers: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    let mut points = Vec::new();
    let mut changing = None;
    for line in text.lines() {
        let Some((process, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        let Some((name, arguments)) = rest.split_once('(') else { continue };
        let Some(call) = EFFECTS.iter().find(|call| **call == name) else { continue };
        let number = numbers.entry((process, name)).or_default();
        *number += 1;
        let is_looking = name == "openat" && !arguments.contains("O_CREAT");
        let is_talk = name.starts_with("write")
            && (arguments.starts_with("1, ") || arguments.starts_with("2, "));
        if is_looking || is_talk {
            continue;
        }
        // Numbers are of one thread: the others may only look.
        assert_eq!(*changing.get_or_insert(process), process, "two threads change something");
        points.push(Point { call, number: *number });
    }
    points
}

/// Runs a command with a fault at a point.
pub fn run_to(
    command: &Command,
    stdin: Option<&Path>,
    log: &Path,
    point: &Point,
    fault: Fault,
) -> Traced {
    let Point { call, number } = point;
    let what = match fault {
        Fault::Kill => "signal=SIGKILL".to_owned(),
        Fault::Error(errno) => format!("error={errno}"),
    };
    let inject = format!("--inject={call}:{what}:when={number}");
    let mut options = vec!["-e".into(), format!("trace={call}"), inject];
    // No signal comes from a filter's stop.
    if let Fault::Error(_) = fault {
        options.push("--seccomp-bpf".into());
    }
    let mut traced = run(command, stdin, log, &options);
    traced.is_reached = match fault {
        Fault::Kill => traced.status.code().is_none(),
        Fault::Error(_) => fs::read_to_string(log).unwrap().contains("(INJECTED)"),
    };
    traced
}

/// Runs a command with these calls recorded whole: all bytes in hex, descriptors with their paths.
/// It is killed at a point if there is one.
pub fn run_recorded(
    command: &Command,
    stdin: Option<&Path>,
    log: &Path,
    calls: &str,
    kill: Option<&Point>,
) -> Traced {
    let mut options = ["-y", "-xx", "-s", "16000000", "-e"].map(str::to_owned).to_vec();
    let also = kill.map(|point| format!(",{}", point.call)).unwrap_or_default();
    options.push(format!("trace={calls}{also}"));
    match kill {
        // No signal comes from a filter's stop.
        Some(Point { call, number }) => {
            options.push(format!("--inject={call}:signal=SIGKILL:when={number}"));
        }
        None => options.push("--seccomp-bpf".into()),
    }
    let mut traced = run(command, stdin, log, &options);
    traced.is_reached = traced.status.code().is_none();
    traced
}

/// Runs a command and stops it right after a point; it goes on when `meanwhile` has returned.
pub fn run_stopped(
    command: &Command,
    stdin: Option<&Path>,
    log: &Path,
    point: &Point,
    meanwhile: &mut dyn FnMut(),
) -> Traced {
    let Point { call, number } = point;
    let inject = format!("--inject={call}:signal=SIGSTOP:when={number}");
    let _ = fs::remove_file(log);
    let mut strace =
        under_strace(command, stdin, log, &["-e".into(), format!("trace={call}"), inject]);
    strace.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = strace.spawn().unwrap_or_else(|error| panic!("strace: {error}"));
    // Read while it runs: a pipe that is full would stop it too.
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let readers = (reader(out), reader(err));
    let (mut stopped_one, mut held) = (None, 0);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        match stopped_one {
            None => {
                stopped_one = stopped(log);
                if let Some(process) = stopped_one {
                    meanwhile();
                    kill_process(process, Signal::CONT).unwrap();
                }
            }
            Some(process) if is_held(process) => held += 1,
            Some(_) => held = 0,
        }
        // A thread that had not stopped yet when the others went on may be held by strace for
        // good; another stop, and all go on.
        if let Some(process) = stopped_one.filter(|_| held > 300) {
            held = 0;
            let _ = kill_process(process, Signal::STOP);
            sleep(Duration::from_millis(20));
            let _ = kill_process(process, Signal::CONT);
        }
        sleep(Duration::from_millis(1));
    };
    let (stdout, stderr) = (readers.0.join().unwrap(), readers.1.join().unwrap());
    Traced { status, is_reached: stopped_one.is_some(), stdout, stderr }
}

fn reader(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Whether a process stands still, for strace or for a signal.
fn is_held(process: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
    let state = stat.ok().and_then(|it| it.rsplit(") ").next().map(str::to_owned));
    state.is_some_and(|it| it.starts_with(['t', 'T']))
}

/// Returns the process that the log says was stopped.
fn stopped(log: &Path) -> Option<Pid> {
    let text = fs::read_to_string(log).ok()?;
    let line = text.lines().find(|line| line.contains("--- stopped by SIGSTOP ---"))?;
    let number = line.split_whitespace().next()?.parse().ok()?;
    Pid::from_raw(number)
}

/// Runs a command under strace with these options, else with the effects traced.
fn run(command: &Command, stdin: Option<&Path>, log: &Path, options: &[String]) -> Traced {
    let output = under_strace(command, stdin, log, options).output();
    let output = output.unwrap_or_else(|error| panic!("strace: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    Traced { status: output.status, is_reached: false, stdout, stderr }
}

fn under_strace(
    command: &Command,
    stdin: Option<&Path>,
    log: &Path,
    options: &[String],
) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(log);
    match options {
        [] => strace.args(["--seccomp-bpf", "-e", &format!("trace={}", EFFECTS.join(","))]),
        options => strace.args(options),
    };
    strace.arg("--").arg(command.get_program()).args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        strace.env(name, value.unwrap_or_default());
    }
    if let Some(directory) = command.get_current_dir() {
        strace.current_dir(directory);
    }
    strace.stdin(stdin.map_or(Stdio::null(), |file| File::open(file).unwrap().into()));
    strace
}
