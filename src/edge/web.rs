//! A web server for one person on this machine: a request a connection, on the loopback only.
//!
//! It knows no page and no right; it reads what a request says, within bounds, and writes an answer.
//! Invariant: a client that sends slowly, or nothing, keeps nobody else waiting.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::model::limits::{HEADER_BYTES_MAX, WEB_BODY_BYTES_MAX};

use super::ssh::Stop;

/// How long a client may take for a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// Clients that are read at once.
const CLIENTS_MAX: usize = 32;
/// How often it is looked whether to end.
const TICK: Duration = Duration::from_millis(100);

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    port: u16,
}

/// What a client asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query, still encoded.
    pub query: String,
    /// `Host`.
    pub host: String,
    /// `Origin`, if it was sent.
    pub origin: Option<String>,
    /// The cookies, as they were sent.
    pub cookies: String,
    /// The body.
    pub body: Vec<u8>,
}

/// What it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// `200 OK`.
    pub status: &'static str,
    /// More headers.
    pub headers: Vec<(&'static str, String)>,
    /// A page.
    pub body: Vec<u8>,
}

impl Server {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// The system refuses.
    pub fn bind() -> io::Result<Server> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        Ok(Server { listener, port })
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Answers requests, one after the other, until `stop` is set.
    pub fn serve(&self, stop: &Stop, answer: &mut dyn FnMut(&Request) -> Answer) {
        let (tell, told) = channel();
        // Those that are being read, the oldest first: a weak hand on each, to end it.
        let mut clients: VecDeque<(Weak<()>, Weak<TcpStream>)> = VecDeque::new();
        while !stop.load(Ordering::Relaxed) {
            while let Ok((stream, _)) = self.listener.accept() {
                clients.retain(|(reading, _)| reading.strong_count() > 0);
                // Whoever has had the longest time makes room.
                if clients.len() >= CLIENTS_MAX
                    && let Some(oldest) =
                        clients.pop_front().and_then(|(_, stream)| stream.upgrade())
                {
                    let _ = oldest.shutdown(Shutdown::Both);
                }
                let (tell, stream) = (tell.clone(), Arc::new(stream));
                let reading = Arc::new(());
                clients.push_back((Arc::downgrade(&reading), Arc::downgrade(&stream)));
                std::thread::spawn(move || {
                    hear(stream, &tell);
                    drop(reading);
                });
            }
            match told.recv_timeout(TICK) {
                Ok((stream, request)) => {
                    let answer = match request {
                        Ok(request) => answer(&request),
                        Err(status) => Answer { status, headers: Vec::new(), body: Vec::new() },
                    };
                    // A client that has gone away gets no answer.
                    let _ = write_answer(&stream, &answer);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

type Heard = (Arc<TcpStream>, Result<Request, &'static str>);

/// Reads one request and hands it on.
fn hear(stream: Arc<TcpStream>, tell: &Sender<Heard>) {
    let until = Instant::now() + PATIENCE;
    let set = stream.set_nonblocking(false).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
    if set.is_err() {
        return;
    }
    match read_request(&stream, until) {
        Ok(None) | Err(_) => {}
        Ok(Some(request)) => drop(tell.send((stream, request))),
    }
}

/// Reads a request, or why it is none; `None` where nothing came.
fn read_request(
    mut stream: &TcpStream,
    until: Instant,
) -> io::Result<Option<Result<Request, &'static str>>> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 8192];
    let mut parsed: Option<(Request, usize, usize)> = None;
    loop {
        if parsed.is_none()
            && let Some(at) = memchr::memmem::find(&bytes, b"\r\n\r\n")
        {
            match parse_head(bytes.get(..at).unwrap_or_default()) {
                Ok((request, length)) => parsed = Some((request, at + 4, length)),
                Err(status) => return Ok(Some(Err(status))),
            }
        }
        if let Some((request, at, length)) = &parsed
            && bytes.len() >= at + length
        {
            let mut request = request.clone();
            request.body = bytes.get(*at..at + length).unwrap_or_default().to_vec();
            return Ok(Some(Ok(request)));
        }
        if parsed.is_none() && bytes.len() > HEADER_BYTES_MAX {
            return Ok(Some(Err("431 Request Header Fields Too Large")));
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut chunk)? {
            0 => return Ok(None),
            read => bytes.extend_from_slice(chunk.get(..read).unwrap_or_default()),
        }
    }
}

/// Reads the lines before the body: the request, and how long its body is.
fn parse_head(head: &[u8]) -> Result<(Request, usize), &'static str> {
    const BAD: &str = "400 Bad Request";
    let head = std::str::from_utf8(head).map_err(|_| BAD)?;
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(BAD);
    };
    if !version.starts_with("HTTP/1.") || !target.starts_with('/') {
        return Err(BAD);
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        ..Request::default()
    };
    let mut length = 0;
    let mut hosts = 0;
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(BAD)?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "host" => {
                hosts += 1;
                request.host = value.to_owned();
            }
            "origin" => request.origin = Some(value.to_owned()),
            "cookie" => {
                request.cookies += if request.cookies.is_empty() { "" } else { "; " };
                request.cookies += value;
            }
            "content-length" => length = value.parse().map_err(|_| BAD)?,
            "transfer-encoding" => return Err("501 Not Implemented"),
            _ => {}
        }
    }
    if hosts != 1 {
        return Err(BAD);
    }
    if length > WEB_BODY_BYTES_MAX {
        return Err("413 Content Too Large");
    }
    Ok((request, length))
}

fn write_answer(mut stream: &TcpStream, answer: &Answer) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {}\r\n", answer.status);
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    for fixed in [
        "Content-Type: text/html; charset=utf-8",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "X-Frame-Options: DENY",
        // With none at all, browsers do not say where a form of ours came from either.
        "Referrer-Policy: same-origin",
        "Cross-Origin-Opener-Policy: same-origin",
        "Cross-Origin-Resource-Policy: same-origin",
        "Connection: close",
    ] {
        head += fixed;
        head += "\r\n";
    }
    head += &format!("Content-Length: {}\r\n\r\n", answer.body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(&answer.body)?;
    stream.flush()
}

impl Request {
    /// Returns the value of a cookie.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let cookies = self.cookies.split(';');
        let mut pairs = cookies.filter_map(|cookie| cookie.trim().split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// Returns the fields of a form that was sent as `application/x-www-form-urlencoded`.
    pub fn fields(&self) -> Vec<(String, String)> {
        fields(&String::from_utf8_lossy(&self.body))
    }

    /// Returns the fields of the query.
    pub fn query_fields(&self) -> Vec<(String, String)> {
        fields(&self.query)
    }
}

fn fields(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    let decoded = |text: &str| {
        let bytes = text.replace('+', " ").into_bytes();
        let mut out = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let pair = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
            match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
                Some(decoded) if byte == b'%' => {
                    out.push(decoded);
                    at += 3;
                }
                _ => {
                    out.push(byte);
                    at += 1;
                }
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    };
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(key), decoded(value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_of_requests() {
        let (request, length) = parse_head(
            b"POST /synchro?a=1 HTTP/1.1\r\nHOST: 127.0.0.1:7\r\nCookie: x=1; y=2\r\n\
              Origin: http://e\r\nContent-Length: 5",
        )
        .unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/synchro"));
        assert_eq!((request.host.as_str(), length), ("127.0.0.1:7", 5));
        assert_eq!((request.cookie("y"), request.cookie("z")), (Some("2"), None));
        assert_eq!(request.origin.as_deref(), Some("http://e"));
        let most = WEB_BODY_BYTES_MAX;
        let with =
            |line: &str| parse_head(format!("GET / HTTP/1.1\r\nHost: h\r\n{line}").as_bytes());
        assert!(with(&format!("Content-Length: {most}")).is_ok());
        for (line, status) in [
            (format!("Content-Length: {}", most + 1), "413"),
            ("Content-Length: -1".into(), "400"),
            ("Transfer-Encoding: chunked".into(), "501"),
            ("Host: other".into(), "400"),
            ("nonsense".into(), "400"),
        ] {
            assert!(with(&line).unwrap_err().starts_with(status), "{line}");
        }
        for head in ["GET /", "GET x HTTP/1.1\r\nHost: h", "GET / HTTP/1.1", "GET / a HTTP/1.1"] {
            assert!(parse_head(head.as_bytes()).is_err(), "{head}");
        }
    }

    #[test]
    fn forms() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            fields("a=1&a=%322+x&b=%zz%4&c&=d"),
            [pair("a", "1"), pair("a", "22 x"), pair("b", "%zz%4"), pair("c", ""), pair("", "d")]
        );
    }

    #[test]
    fn who_says_nothing_keeps_nobody_waiting() {
        let server = Server::bind().unwrap();
        let stop = Stop::default();
        let port = server.port();
        let client = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let connect = || TcpStream::connect(("127.0.0.1", port)).unwrap();
                // More than are read at once, and one of them says a little.
                let mut silent: Vec<TcpStream> = (0..3 * CLIENTS_MAX).map(|_| connect()).collect();
                silent[0].write_all(b"GET").unwrap();
                let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                stream.write_all(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
                let mut text = String::new();
                stream.read_to_string(&mut text).unwrap();
                stop.store(true, Ordering::Relaxed);
                text
            }
        });
        server.serve(&stop, &mut |request| Answer {
            status: "200 OK",
            headers: vec![("X-Path", request.path.clone())],
            body: b"hello".to_vec(),
        });
        let text = client.join().unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\nX-Path: /x\r\n"), "{text}");
        assert!(text.ends_with("Content-Length: 5\r\n\r\nhello"), "{text}");
    }
}
