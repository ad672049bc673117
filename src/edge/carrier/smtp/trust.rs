//! Which certificates are trusted: the system's, those of `ca_file`, and what either vouches for.
//!
//! rustls takes no CA's certificate for a server's own, and that is what `openssl req -x509` makes
//! and many small servers have. One that is itself among the trusted ones, byte for byte, is
//! accepted for the names in it; that the server has its key, TLS shows as ever.

use std::fmt::Display;
use std::fs;
use std::path::Path;

use lettre::transport::smtp::client::{Certificate, SmtpConnection};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::super::failure::Failure;

/// Bytes of a file with certificates; those of a whole system are under 1 MiB.
const CA_BYTES_MAX: u64 = 8 << 20;

/// Reads a file of certificates.
///
/// # Errors
/// It cannot be read, or there is none in it.
pub(super) fn certificates(path: &Path) -> Result<Vec<Certificate>, Failure> {
    let damaged = |_| trouble(path, &"a damaged certificate");
    let certificates = read(path)?;
    certificates
        .into_iter()
        .map(|der| Certificate::from_der(der.to_vec()).map_err(damaged))
        .collect()
}

/// Whether the server's certificate is itself among the trusted ones.
pub(super) fn is_trusted_itself(connection: &SmtpConnection, ca_file: Option<&Path>) -> bool {
    let Ok(own) = connection.peer_certificate() else { return false };
    let ours = ca_file.and_then(|path| read(path).ok()).unwrap_or_default();
    let is_own = |trusted: &CertificateDer| trusted.as_ref() == own.as_slice();
    ours.iter().any(is_own) || rustls_native_certs::load_native_certs().certs.iter().any(is_own)
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let size = fs::metadata(path).map_err(|error| trouble(path, &error))?.len();
    if size > CA_BYTES_MAX {
        return Err(trouble(path, &format!("over {CA_BYTES_MAX} bytes")));
    }
    let pem = fs::read(path).map_err(|error| trouble(path, &error))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(trouble(path, &"there is no certificate in it")),
        Err(_) => Err(trouble(path, &"a damaged certificate")),
    }
}

fn trouble(path: &Path, what: &dyn Display) -> Failure {
    Failure::later(format!("{}: {what}", path.display())).hinted(
        "\"ca_file\" under [mail] names the certificates that are trusted beside the system's, in \
         PEM",
    )
}
