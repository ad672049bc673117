//! ssh-agent: keys that sign without leaving it, be they in memory or in hardware (OpenSSH,
//! PROTOCOL.agent).
//!
//! Two questions are put: which keys are there, and a signature. Invariant: an answer is bounded,
//! and waited for no longer than it takes a person to touch a key.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::format::public_key::PublicKey;
use crate::format::sshsig::{push_string, take_string, take_u32};

/// Bytes of an answer, as OpenSSH bounds them.
const ANSWER_BYTES_MAX: u32 = 256 << 10;
/// Long enough to find the key and touch it.
const WAIT: Duration = Duration::from_secs(120);
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
/// RSA with SHA-512; other keys pass it over.
const RSA_SHA2_512: u32 = 4;

/// An agent that listens.
#[derive(Debug)]
pub struct Agent {
    path: PathBuf,
    stream: UnixStream,
}

/// Why an agent did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Nobody listens, or the line broke.
    #[error("the ssh-agent at {}: {source}", path.display())]
    Io {
        /// Its socket.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// It does not have the key, or a person did not let it be used.
    #[error("the ssh-agent would not sign with the key {0}")]
    Refused(String),
    /// What it answered cannot be read.
    #[error("the ssh-agent at {} answered something that cannot be read", .0.display())]
    Answer(PathBuf),
}

/// Returns the socket that `SSH_AUTH_SOCK` names.
pub fn socket() -> Option<PathBuf> {
    std::env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty()).map(PathBuf::from)
}

impl Agent {
    /// Connects to the agent at `socket`.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn connect(socket: &Path) -> Result<Agent, AgentError> {
        let at = |source| AgentError::Io { path: socket.to_owned(), source };
        let stream = UnixStream::connect(socket).map_err(at)?;
        stream.set_read_timeout(Some(WAIT)).map_err(at)?;
        stream.set_write_timeout(Some(WAIT)).map_err(at)?;
        Ok(Agent { path: socket.to_owned(), stream })
    }

    /// Whether the agent has `key`.
    ///
    /// # Errors
    /// It does not answer.
    pub fn has(&self, key: &PublicKey) -> Result<bool, AgentError> {
        let answer = self.ask(REQUEST_IDENTITIES, &[])?;
        let unreadable = || AgentError::Answer(self.path.clone());
        let Some((&IDENTITIES_ANSWER, mut rest)) = answer.split_first() else {
            return Err(unreadable());
        };
        let wanted = key.blob();
        for _ in 0..take_u32(&mut rest).ok_or_else(unreadable)? {
            let blob = take_string(&mut rest).ok_or_else(unreadable)?;
            take_string(&mut rest).ok_or_else(unreadable)?;
            if blob == wanted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the signature of `message` by `key`, as SSHSIG holds it.
    ///
    /// # Errors
    /// The agent has no such key, or was not allowed to use it.
    pub fn sign(&self, key: &PublicKey, message: &[u8]) -> Result<Vec<u8>, AgentError> {
        let mut request = Vec::new();
        push_string(&key.blob(), &mut request);
        push_string(message, &mut request);
        request.extend(RSA_SHA2_512.to_be_bytes());
        let answer = self.ask(SIGN_REQUEST, &request)?;
        match answer.split_first() {
            Some((&SIGN_RESPONSE, mut rest)) => take_string(&mut rest)
                .map(<[u8]>::to_vec)
                .ok_or_else(|| AgentError::Answer(self.path.clone())),
            _ => Err(AgentError::Refused(key.fingerprint())),
        }
    }

    fn ask(&self, kind: u8, request: &[u8]) -> Result<Vec<u8>, AgentError> {
        let mut message = Vec::new();
        push_string(&[&[kind], request].concat(), &mut message);
        let exchange = || {
            (&self.stream).write_all(&message)?;
            let mut length = [0; 4];
            (&self.stream).read_exact(&mut length)?;
            let length = u32::from_be_bytes(length);
            if length == 0 || length > ANSWER_BYTES_MAX {
                return Err(io::Error::other(format!("an answer of {length} bytes")));
            }
            let mut answer = vec![0; usize::try_from(length).unwrap_or(0)];
            (&self.stream).read_exact(&mut answer)?;
            Ok(answer)
        };
        exchange().map_err(|source| AgentError::Io { path: self.path.clone(), source })
    }
}
