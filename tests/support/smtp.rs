//! A small SMTP server on loopback that does what a test tells it to: it takes mails, refuses them,
//! hangs up, hangs; with STARTTLS, with TLS from the first byte, or without.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Where in a dialogue something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Greeting,
    Ehlo,
    Auth,
    Mail,
    Rcpt,
    Data,
    /// Within the mail, after its first line.
    Body,
    End,
    /// After a mail was taken, before the next command.
    Idle,
}

/// What the server does there.
#[derive(Clone, Debug)]
pub enum Act {
    Say(&'static str),
    /// Says something and hangs up.
    Bye(&'static str),
    HangUp,
    Sleep(Duration),
}

/// How the server is to be.
#[derive(Clone, Default)]
pub struct Plan {
    /// Lines of EHLO beside what follows from the rest.
    pub offers: Vec<&'static str>,
    /// User and password; without them no AUTH is offered.
    pub login: Option<(&'static str, &'static str)>,
    /// The mechanisms offered, `PLAIN LOGIN` unless said.
    pub mechanisms: Option<&'static str>,
    /// AUTH is offered over TLS only.
    pub auth_over_tls: bool,
    pub starttls: bool,
    pub wrapped: bool,
    pub tls: Option<Arc<ServerConfig>>,
    /// What is out of the ordinary: where, the how manieth time (from 1; 0 is every time), what.
    pub acts: Vec<(At, usize, Act)>,
    /// Mails are counted and not kept.
    pub sink: bool,
}

/// A mail that the server took.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    pub from: String,
    pub to: String,
    /// As it came, dots unstuffed.
    pub bytes: Vec<u8>,
    /// Lines that came with a dot more.
    pub stuffed: usize,
    pub size: u64,
}

/// What happened at the server.
#[derive(Clone, Default)]
pub struct Story {
    pub connections: usize,
    /// Every command as it came, `AUTH` with what it told.
    pub commands: Vec<String>,
    pub mails: Vec<Taken>,
    seen: Vec<(At, usize)>,
}

/// A running server; ends when it is dropped.
pub struct Server {
    pub port: u16,
    story: Arc<Mutex<Story>>,
    stop: Arc<AtomicBool>,
}

/// A CA, and a server's certificate from it.
pub struct Certificates {
    pub ca_pem: String,
    pub server: Arc<ServerConfig>,
}

/// Makes a certificate for `names`, and the CA that vouches for it.
pub fn certificates(names: &[&str]) -> Certificates {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &ca).unwrap();
    Certificates { ca_pem: ca.pem(), server: server_config(certificate.der().clone(), &key) }
}

/// Makes what `openssl req -x509` makes: a CA's certificate that is the server's own.
pub fn own_certificate(names: &[&str]) -> Certificates {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut own = CertificateParams::new(names).unwrap();
    own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let own = own.self_signed(&key).unwrap();
    Certificates { ca_pem: own.pem(), server: server_config(own.der().clone(), &key) }
}

fn server_config(certificate: CertificateDer<'static>, key: &KeyPair) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    Arc::new(config)
}

impl Server {
    pub fn start(plan: Plan) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let story = Arc::new(Mutex::new(Story::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let (for_all, stopped) = (Arc::clone(&story), Arc::clone(&stop));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (plan, story) = (plan.clone(), Arc::clone(&for_all));
                let Ok(stream) = stream else { continue };
                story.lock().unwrap().connections += 1;
                // A client that hangs up is no trouble of the server.
                std::thread::spawn(move || Dialogue::begin(plan, story, stream).map(|_| ()));
            }
        });
        Server { port, story, stop }
    }

    pub fn story(&self) -> Story {
        self.story.lock().unwrap().clone()
    }

    /// Returns how often a command that begins so came.
    pub fn count(&self, command: &str) -> usize {
        self.story().commands.iter().filter(|line| line.starts_with(command)).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Stream {
    fn tcp(&self) -> &TcpStream {
        match self {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => &tls.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(tcp) => tcp.read(to),
            Stream::Tls(tls) => tls.read(to),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(tcp) => tcp.write(bytes),
            Stream::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(tcp) => tcp.flush(),
            Stream::Tls(tls) => tls.flush(),
        }
    }
}

struct Dialogue {
    plan: Plan,
    story: Arc<Mutex<Story>>,
    stream: BufReader<Stream>,
}

impl Dialogue {
    fn begin(plan: Plan, story: Arc<Mutex<Story>>, tcp: TcpStream) -> io::Result<()> {
        let mut stream = Stream::Plain(tcp);
        if plan.wrapped {
            stream = wrapped(&plan, stream)?;
        }
        let stream = BufReader::with_capacity(64 << 10, stream);
        let mut dialogue = Dialogue { plan, story, stream };
        dialogue.answer(At::Greeting, "220 fake.example ESMTP")?;
        dialogue.talk()
    }

    fn talk(&mut self) -> io::Result<()> {
        let mut mail = Taken::default();
        loop {
            let line = self.line()?;
            self.story.lock().unwrap().commands.push(line.clone());
            let word = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            match word.as_str() {
                "EHLO" => {
                    let offers = self.offers();
                    self.answer(At::Ehlo, &offers)?;
                }
                "STARTTLS" => {
                    self.say("220 go ahead")?;
                    self.upgrade()?;
                }
                "AUTH" => self.auth(&line)?,
                "MAIL" => {
                    mail = Taken { from: path_of(&line), ..Taken::default() };
                    self.answer(At::Mail, "250 2.1.0 Ok")?;
                }
                "RCPT" => {
                    mail.to = path_of(&line);
                    self.answer(At::Rcpt, "250 2.1.5 Ok")?;
                }
                "DATA" => {
                    if self.answer(At::Data, "354 End data with <CR><LF>.<CR><LF>")? {
                        self.data(&mut mail)?;
                    }
                }
                "RSET" | "NOOP" => self.say("250 2.0.0 Ok")?,
                "QUIT" => return self.say("221 2.0.0 Bye"),
                _ => self.say("500 5.5.2 what?")?,
            }
        }
    }

    fn offers(&self) -> String {
        let mut lines = vec!["fake.example".to_owned()];
        let is_tls = matches!(self.stream.get_ref(), Stream::Tls(_));
        if self.plan.starttls && !is_tls {
            lines.push("STARTTLS".into());
        }
        if self.plan.login.is_some() && (is_tls || !self.plan.auth_over_tls) {
            lines.push(format!("AUTH {}", self.plan.mechanisms.unwrap_or("PLAIN LOGIN")));
        }
        lines.extend(self.plan.offers.iter().map(|line| (*line).to_owned()));
        let last = lines.len() - 1;
        let line = |(at, line)| format!("250{}{line}", if at == last { " " } else { "-" });
        lines.iter().enumerate().map(line).collect::<Vec<_>>().join("\r\n")
    }

    fn auth(&mut self, line: &str) -> io::Result<()> {
        let (user, password) = self.plan.login.unwrap_or_default();
        let words: Vec<&str> = line.split(' ').collect();
        let told = match words.as_slice() {
            [_, "LOGIN"] => {
                self.say("334 VXNlcm5hbWU6")?;
                let told_user = self.line()?;
                self.say("334 UGFzc3dvcmQ6")?;
                let told = format!("{told_user} {}", self.line()?);
                told == format!("{} {}", base64(user), base64(password))
            }
            [_, "PLAIN", told] => *told == base64(&format!("\0{user}\0{password}")),
            [_, "XOAUTH2", told] => {
                *told == base64(&format!("user={user}\x01auth=Bearer {password}\x01\x01"))
            }
            _ => false,
        };
        let usual = if told { "235 2.7.0 Ok" } else { "535 5.7.8 Error: authentication failed" };
        self.answer(At::Auth, usual)?;
        Ok(())
    }

    fn data(&mut self, mail: &mut Taken) -> io::Result<()> {
        let mut line = Vec::new();
        let mut first = true;
        loop {
            line.clear();
            if self.stream.read_until(b'\n', &mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line == b".\r\n" {
                break;
            }
            let stuffed = line.starts_with(b".");
            let text = &line[usize::from(stuffed)..];
            mail.stuffed += usize::from(stuffed);
            mail.size += text.len() as u64;
            if !self.plan.sink {
                mail.bytes.extend_from_slice(text);
            }
            if first && !self.answer(At::Body, "")? {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            first = false;
        }
        let acts = self.acts(At::End);
        let is_taken = acts.iter().all(|act| matches!(act, Act::Sleep(_)));
        if is_taken {
            self.story.lock().unwrap().mails.push(std::mem::take(mail));
        }
        self.perform(&acts, "250 2.0.0 Ok: queued")?;
        if is_taken {
            self.answer(At::Idle, "")?;
        }
        Ok(())
    }

    /// Does what the plan says for this time, or says what is usual; returns whether it said yes.
    fn answer(&mut self, at: At, usual: &str) -> io::Result<bool> {
        let acts = self.acts(at);
        self.perform(&acts, usual)
    }

    fn acts(&self, at: At) -> Vec<Act> {
        let time = self.times(at);
        let planned = self.plan.acts.iter();
        let planned = planned.filter(|(a, n, _)| *a == at && (*n == 0 || *n == time));
        planned.map(|(_, _, act)| act.clone()).collect()
    }

    fn perform(&mut self, acts: &[Act], usual: &str) -> io::Result<bool> {
        let mut said = usual.to_owned();
        for act in acts {
            match act {
                Act::Say(text) => said = (*text).to_owned(),
                Act::Sleep(time) => std::thread::sleep(*time),
                Act::HangUp => return self.hang_up(),
                Act::Bye(text) => {
                    self.say(text)?;
                    return self.hang_up();
                }
            }
        }
        if !said.is_empty() {
            self.say(&said)?;
        }
        Ok(said.is_empty() || said.starts_with(['2', '3']))
    }

    fn times(&self, at: At) -> usize {
        let mut story = self.story.lock().unwrap();
        match story.seen.iter_mut().find(|(seen, _)| *seen == at) {
            Some((_, times)) => {
                *times += 1;
                *times
            }
            None => {
                story.seen.push((at, 1));
                1
            }
        }
    }

    fn hang_up(&mut self) -> io::Result<bool> {
        // Read what is there first: or the client gets a reset and not what was said.
        let tcp = self.stream.get_ref().tcp();
        tcp.shutdown(Shutdown::Write)?;
        tcp.set_read_timeout(Some(Duration::from_millis(500)))?;
        let _ = io::copy(&mut tcp.try_clone()?, &mut io::sink());
        Err(io::ErrorKind::ConnectionAborted.into())
    }

    fn upgrade(&mut self) -> io::Result<()> {
        let tcp = self.stream.get_ref().tcp().try_clone()?;
        let stream = wrapped(&self.plan, Stream::Plain(tcp))?;
        self.stream = BufReader::with_capacity(64 << 10, stream);
        Ok(())
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    fn say(&mut self, text: &str) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(format!("{text}\r\n").as_bytes())?;
        stream.flush()
    }
}

fn wrapped(plan: &Plan, stream: Stream) -> io::Result<Stream> {
    let config = plan.tls.clone().ok_or_else(|| io::Error::other("no certificate"))?;
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    match stream {
        Stream::Plain(tcp) => Ok(Stream::Tls(Box::new(StreamOwned::new(connection, tcp)))),
        tls @ Stream::Tls(_) => Ok(tls),
    }
}

fn path_of(line: &str) -> String {
    let inside = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inside.map_or_else(String::new, |(path, _)| path.to_owned())
}

/// Returns base64 of a text.
pub fn base64(text: &str) -> String {
    remsync::format::mail::base64(text.as_bytes())
}
