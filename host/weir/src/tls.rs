//! TLS material: what the broker shows to clients, and what clients check it against.
//!
//! A data folder carries its own certificate authority. The first start makes it, and with it a server certificate for the
//! names of this machine; later starts use both again, so that a client which trusts the folder's `ca.pem` keeps trusting it.
//! Own certificates take their place by configuration ([`TlsConfig::files`]).

mod authority;
mod folder;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Where the broker's certificate comes from and which names it carries.
#[derive(Clone, Debug, Default)]
pub struct TlsConfig {
    /// Names and addresses that the broker's own certificate carries in addition to `localhost`, `127.0.0.1`, `::1` and the
    /// host's name. Not looked at with [`files`](Self::files).
    pub names: Vec<String>,
    /// Certificates made elsewhere, instead of the folder's own.
    pub files: Option<TlsFiles>,
}

/// A certificate made elsewhere, in PEM files.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The server's certificate, followed by the intermediate ones.
    pub cert: PathBuf,
    /// The private key of the first certificate (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
    /// What clients on this machine are told to trust; without it the last certificate of `cert`.
    pub ca: Option<PathBuf>,
}

/// A certificate chain, its key, and the certificate authority to trust.
pub struct TlsMaterial {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    ca_pem: String,
    ca_path: Option<PathBuf>,
    notices: Vec<String>,
}

/// Why there is no TLS material. The text says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file of the TLS material could not be read or written.
    #[error("cannot {verb} {}: {source}", path.display())]
    Io {
        /// `read`, `write` or `create`.
        verb: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} {what}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A name that no certificate can carry.
    #[error("{name:?} is neither a host name nor an IP address that a certificate can carry")]
    Name {
        /// The name as configured.
        name: String,
    },
    /// The making of a key or certificate failed.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
}

impl TlsMaterial {
    /// The server's certificate and the intermediates, in the order TLS sends them.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The private key of the first certificate.
    #[must_use]
    pub fn key(&self) -> &PrivateKeyDer<'static> {
        &self.key
    }

    /// The certificate authority that clients are to trust, as PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The file of [`ca_pem`](Self::ca_pem), if it is in one.
    #[must_use]
    pub fn ca_path(&self) -> Option<&std::path::Path> {
        self.ca_path.as_deref()
    }

    /// What an operator should know of how the material came to be: made anew, renewed, a key's mode corrected.
    #[must_use]
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Material that lives in memory only, for a broker that does.
    ///
    /// # Errors
    /// [`TlsError::Name`] for a name that no certificate can carry.
    pub fn in_memory(names: &[String]) -> Result<Self, TlsError> {
        let now = authority::sane(std::time::SystemTime::now());
        let ca = authority::Authority::create(now)?;
        let leaf = ca.issue(&authority::all_names(names), now)?;
        Ok(Self {
            chain: vec![leaf.cert],
            key: leaf.key,
            ca_pem: ca.pem().to_owned(),
            ca_path: None,
            notices: Vec::new(),
        })
    }

    /// The material of a data folder, in `dir` (`<data>/tls`): made on the first start, renewed when a client would refuse it
    /// within 90 days or when it lacks one of `names`.
    ///
    /// Files: `ca.pem`, `server.pem` (mode 0644), `ca.key`, `server.key` (0600). A renewed server certificate comes from the
    /// same authority, and a renewed authority keeps its key, so that clients need nothing new.
    ///
    /// # Errors
    /// [`TlsError::Io`] and [`TlsError::Malformed`] for files that cannot be used, [`TlsError::Name`] for a name that no
    /// certificate can carry.
    pub fn of_folder(dir: &std::path::Path, names: &[String]) -> Result<Self, TlsError> {
        folder::load_or_create(dir, names, std::time::SystemTime::now())
    }

    /// Certificates made elsewhere.
    ///
    /// # Errors
    /// [`TlsError::Io`] and [`TlsError::Malformed`] for files that cannot be used.
    pub fn of_files(files: &TlsFiles) -> Result<Self, TlsError> {
        let chain = folder::read_chain(&files.cert)?;
        let key = folder::read_key(&files.key)?;
        let (ca_pem, ca_path) = match &files.ca {
            Some(path) => {
                folder::read_chain(path)?;
                (folder::read_text(path)?, path.clone())
            }
            None => (
                last_certificate(&folder::read_text(&files.cert)?),
                files.cert.clone(),
            ),
        };
        Ok(Self {
            chain,
            key,
            ca_pem,
            ca_path: Some(ca_path),
            notices: Vec::new(),
        })
    }
}

/// The secret of a data folder by which a restarted broker tells clients that their connections are gone; `dir` is
/// `<data>/tls`.
pub(crate) fn reset_key(dir: &std::path::Path) -> Result<[u8; 64], TlsError> {
    folder::reset_key(dir)
}

/// The last PEM block of a chain: a self-signed certificate itself, or the one nearest to the root.
fn last_certificate(pem: &str) -> String {
    match pem.rfind("-----BEGIN CERTIFICATE-----") {
        Some(at) => pem[at..].to_owned(),
        None => String::new(),
    }
}

fn parse_chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("is not a PEM file of certificates: {error}"))?;
    if chain.is_empty() {
        return Err("holds no certificate (a PEM block `BEGIN CERTIFICATE`)".to_owned());
    }
    Ok(chain)
}

impl std::fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key stays out of logs.
        f.debug_struct("TlsMaterial")
            .field("ca_path", &self.ca_path)
            .finish_non_exhaustive()
    }
}
