//! Writes mails: the corpus as files, seeds for the fuzzer, mails of a size for the measurements.
//!
//! ```text
//! mails corpus DIR           every case of tests/corpus, a file each, and what has to come of it
//! mails seeds DIR            the same and more, in a folder for each target in fuzz/
//! mails large MEGABYTES      one mail on standard output, its package nothing that compresses
//! mails small COUNT DIR      so many small mails, each with a package of its own
//! ```
#![allow(clippy::print_stderr, clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../tests/support/archive.rs"]
#[allow(dead_code)]
mod archive;
#[path = "../tests/corpus/mod.rs"]
#[allow(dead_code)]
mod corpus;

use std::error::Error;
use std::fs;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use archive::{hex_sha256_of, noise, orders_head};
use corpus::{Expected, GZIP, TOP, attached, base64, cases, package};
use remsync::format::message::{self, Part, Parts};
use remsync::format::package::{Level, Writer};

/// Bytes of noise that are made at a time; also a whole number of lines of base64.
const CHUNK_BYTES: usize = 57 << 14;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["corpus", dir] => write_corpus(Path::new(dir)),
        ["seeds", dir] => write_seeds(Path::new(dir)),
        ["large", megabytes] => write_large(megabytes),
        ["small", count, dir] => write_small(count, Path::new(dir)),
        _ => Err("usage: mails corpus DIR | seeds DIR | large MEGABYTES | small COUNT DIR".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mails: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write_corpus(dir: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(dir)?;
    let mut list = String::new();
    for case in cases() {
        fs::write(dir.join(format!("{}.eml", case.name)), &case.mail)?;
        let expected = match &case.expected {
            Expected::Packages(packages) => {
                let digests: Vec<String> = packages.iter().map(|p| archive::sha256(p)).collect();
                format!("package {}", digests.join(" "))
            }
            Expected::Refused(word) => format!("refused {word}"),
            Expected::Nothing => "nothing".to_owned(),
        };
        list += &format!("{}.eml\t{}\t{expected}\n", case.name, case.by);
    }
    fs::write(dir.join("list.tsv"), list)?;
    Ok(())
}

/// Keeps the bytes of each part, in memory.
#[derive(Default)]
struct Kept(Vec<Vec<u8>>);

impl Parts for Kept {
    fn begin(&mut self, _part: &Part) -> io::Result<()> {
        self.0.push(Vec::new());
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.last_mut().map_or(Ok(()), |part| part.write_all(bytes))
    }

    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Mails for the reader of mail, what is in them for the reader of archives, and so on.
fn write_seeds(dir: &Path) -> Result<(), Box<dyn Error>> {
    const MAIL_BYTES_MAX: usize = 64 << 10;
    for target in ["message", "package", "orders", "project", "signature", "allowed_signers"] {
        fs::create_dir_all(dir.join(target))?;
    }
    for case in cases().into_iter().filter(|case| case.mail.len() <= MAIL_BYTES_MAX) {
        fs::write(dir.join("message").join(&case.name), &case.mail)?;
        let mut kept = Kept::default();
        message::read(&mut case.mail.as_slice(), &mut kept)?;
        for (n, part) in kept.0.iter().enumerate() {
            fs::write(dir.join("package").join(format!("{}-{n}", case.name)), part)?;
            let mut text = Vec::new();
            // What cannot be unpacked is no seed for the readers of text.
            let _ = flate2::read::GzDecoder::new(part.as_slice()).read_to_end(&mut text);
            let orders = text.get(512..).unwrap_or_default();
            let end = orders.iter().position(|byte| *byte == 0).unwrap_or(orders.len());
            if orders.starts_with(b"format\t") {
                fs::write(dir.join("orders").join(&case.name), &orders[..end])?;
            }
        }
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for (name, target) in [
        ("orders-1.3", "orders"),
        ("orders-2.0", "orders"),
        ("remsync-1.3", "project"),
        ("remsync-2.0", "project"),
        ("trust/package.sig", "signature"),
        ("trust/allowed_signers", "allowed_signers"),
        ("trust/revoked.krl", "allowed_signers"),
    ] {
        let seed = Path::new(name).file_name().unwrap_or_default();
        fs::copy(golden.join(name), dir.join(target).join(seed))?;
    }
    let text = fs::read_to_string(golden.join("trust/package.sig"))?;
    let base64: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    fs::write(dir.join("signature/blob"), STANDARD.decode(base64)?)?;
    Ok(())
}

/// Noise that is not held, the same each time.
struct Noise {
    left: u64,
    chunk: Vec<u8>,
    at: usize,
    seed: u64,
}

impl Noise {
    fn new(bytes: u64) -> Noise {
        Noise { left: bytes, chunk: Vec::new(), at: 0, seed: 0 }
    }
}

impl Read for Noise {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() {
            self.seed += 1;
            self.chunk = noise(self.seed, CHUNK_BYTES);
            self.at = 0;
        }
        let rest = &self.chunk[self.at..];
        let n = rest.len().min(out.len()).min(usize::try_from(self.left).unwrap_or(usize::MAX));
        out[..n].copy_from_slice(&rest[..n]);
        self.at += n;
        self.left -= n as u64;
        Ok(n)
    }
}

/// Encodes what is written, in lines of 76 characters.
struct Encoder<W> {
    to: W,
    kept: Vec<u8>,
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.kept.extend_from_slice(bytes);
        if self.kept.len() >= CHUNK_BYTES {
            let whole = self.kept.len() / 57 * 57;
            self.to.write_all(base64(&self.kept[..whole], 76).as_bytes())?;
            self.kept.drain(..whole);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.write_all(base64(&self.kept, 76).as_bytes())?;
        self.kept.clear();
        self.to.flush()
    }
}

fn write_large(megabytes: &str) -> Result<(), Box<dyn Error>> {
    let bytes = megabytes.parse::<u64>()? * 1_000_000;
    let head = orders_head("Large", "ann@a.example ~/a", "bob@b.example ~/b", 1_700_000_000_001);
    let digest = hex_sha256_of(Noise::new(bytes))?;
    let orders = format!("{head}check\tfile {digest} ?\nupdate\tfile ? 1\n");
    let mut to = BufWriter::new(io::stdout().lock());
    write!(
        to,
        "{TOP}Content-Type: multipart/mixed; boundary=\"=_b1\"\n\n--=_b1\n\nHi\n\n--=_b1\n{GZIP}\n\
         Content-Disposition: attachment; filename=\"remsync.tar.gz\"\n\n"
    )?;
    let encoder = Encoder { to: &mut to, kept: Vec::new() };
    let mut writer = Writer::new(encoder, Level::Usual);
    writer.orders(orders.as_bytes(), 1_700_000_000)?;
    writer.member(1, bytes, false, 1_700_000_000, 0, &mut Noise::new(bytes))?;
    writer.finish()?.flush()?;
    to.write_all(b"\n--=_b1--\n")?;
    Ok(to.flush()?)
}

fn write_small(count: &str, dir: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(dir)?;
    for n in 0..count.parse::<u32>()? {
        let mail = attached(GZIP, &base64(&package(&format!("small {n}")), 76));
        fs::write(dir.join(format!("{n}.eml")), mail)?;
    }
    Ok(())
}
