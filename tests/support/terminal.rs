//! A terminal with a program at it, for tests of what people see and type.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// How long a program may take to say what it is to say.
const PATIENCE: Duration = Duration::from_secs(20);

/// A program at a terminal of its own.
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    /// All that came, escape sequences left out.
    pub seen: String,
    /// All that came.
    pub all: Vec<u8>,
    raw: Vec<u8>,
    /// How much of it was waited for.
    at: usize,
}

impl Terminal {
    /// Starts a command at a terminal of 24 lines and 100 columns.
    pub fn start(mut command: Command) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        command.env("TERM", "xterm");
        command.stdin(Stdio::from(slave.try_clone().unwrap()));
        command.stdout(Stdio::from(slave.try_clone().unwrap())).stderr(Stdio::from(slave));
        let child = command.spawn().unwrap();
        drop(command);
        let keyboard = File::from(master);
        let mut reader = keyboard.try_clone().unwrap();
        let (sender, screen) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // At the end of the program there is an error, and nothing more to read.
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Terminal {
            child,
            keyboard,
            screen,
            seen: String::new(),
            all: Vec::new(),
            raw: Vec::new(),
            at: 0,
        }
    }

    /// Waits until `text` is shown, after what was waited for before.
    pub fn wait_for(&mut self, text: &str) {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = self.seen[self.at..].find(text) {
                self.at += found + text.len();
                return;
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.show(&bytes),
                Err(_) => panic!("no {text:?} in\n{}\nafter\n{}", &self.seen[self.at..], self.seen),
            }
        }
    }

    /// Types.
    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for a prompt or a question, and answers it with a line.
    pub fn answer(&mut self, question: &str, line: &str) {
        self.wait_for(question);
        self.press(line);
        // The echo shows that it was read; only then is the line ended.
        if !line.is_empty() {
            self.wait_for(line.rsplit('\t').next().unwrap());
        }
        self.press("\r");
    }

    /// Waits for the end of the program.
    pub fn end(mut self) -> (ExitStatus, String) {
        (self.wait(), self.seen)
    }

    /// Waits for the end of the program, of which `all` has what came.
    pub fn wait(&mut self) -> ExitStatus {
        let status = self.child.wait().unwrap();
        while let Ok(bytes) = self.screen.recv_timeout(Duration::from_millis(200)) {
            self.show(&bytes);
        }
        status
    }

    fn show(&mut self, bytes: &[u8]) {
        self.all.extend_from_slice(bytes);
        self.raw.extend_from_slice(bytes);
        let end = match std::str::from_utf8(&self.raw) {
            Ok(text) => text.len(),
            Err(error) => error.valid_up_to(),
        };
        let text = String::from_utf8(self.raw[..end].to_vec()).unwrap();
        let (plain, taken) = without_escapes(&text);
        self.seen.push_str(&plain);
        self.raw.drain(..taken);
    }
}

/// Leaves out escape sequences and carriage returns; also tells how many bytes were whole.
fn without_escapes(text: &str) -> (String, usize) {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(sequence) = rest.strip_prefix("\x1b[") {
            let Some(end) = sequence.find(|c: char| ('@'..='~').contains(&c)) else { break };
            rest = &sequence[end + 1..];
            continue;
        }
        if rest == "\x1b" {
            break;
        }
        if !matches!(c, '\r' | '\x07' | '\x1b') {
            plain.push(c);
        }
        rest = &rest[c.len_utf8()..];
    }
    (plain, text.len() - rest.len())
}
