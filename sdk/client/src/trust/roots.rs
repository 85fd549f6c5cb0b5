use std::path::PathBuf;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::Error;
use crate::trust::{CA_VARIABLE, local_ca_path};

/// Where a CA is to come from.
#[derive(Debug, Clone)]
pub(crate) enum TrustSource {
    File(PathBuf),
    Pem(Vec<u8>),
}

/// The certificates that vouch for the broker.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    pub(crate) roots: RootCertStore,
    /// In words, for messages.
    pub(crate) origin: String,
}

impl Trust {
    /// The CAs given, or else what the environment and the local pointer say.
    pub(crate) fn find(given: &[TrustSource], broker: &str) -> Result<Self, Error> {
        let variable = std::env::var_os(CA_VARIABLE)
            .filter(|path| !path.is_empty())
            .map(PathBuf::from);
        Self::choose(
            given,
            variable,
            local_ca_path(broker).filter(|path| path.exists()),
            broker,
        )
    }

    fn choose(
        given: &[TrustSource],
        variable: Option<PathBuf>,
        local: Option<PathBuf>,
        broker: &str,
    ) -> Result<Self, Error> {
        if !given.is_empty() {
            let mut trust = Self {
                roots: RootCertStore::empty(),
                origin: String::new(),
            };
            for source in given {
                let (pem, origin) = match source {
                    TrustSource::File(path) => (read(path)?, format!("the CA file {}", path.display())),
                    TrustSource::Pem(pem) => (pem.clone(), "the given CA".to_owned()),
                };
                trust.add(&pem, &origin)?;
                trust.origin = if trust.origin.is_empty() {
                    origin
                } else {
                    "the given CAs".to_owned()
                };
            }
            return Ok(trust);
        }
        let (path, origin) = match (variable, local) {
            (Some(path), _) => {
                let origin = format!("the CA file {} (from {CA_VARIABLE})", path.display());
                (path, origin)
            }
            (None, Some(path)) => {
                let origin = format!("the local broker's CA in {}", path.display());
                (path, origin)
            }
            (None, None) => {
                return Err(Error::NoTrust {
                    broker: broker.to_owned(),
                });
            }
        };
        let mut trust = Self {
            roots: RootCertStore::empty(),
            origin,
        };
        let origin = trust.origin.clone();
        trust.add(&read(&path)?, &origin)?;
        Ok(trust)
    }

    fn add(&mut self, pem: &[u8], origin: &str) -> Result<(), Error> {
        let invalid = |reason: String| Error::InvalidCa {
            origin: origin.to_owned(),
            reason,
        };
        let mut found = false;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| invalid(error.to_string()))?;
            self.roots
                .add(certificate)
                .map_err(|error| invalid(error.to_string()))?;
            found = true;
        }
        if found {
            Ok(())
        } else {
            Err(invalid("it has no certificate".to_owned()))
        }
    }
}

fn read(path: &PathBuf) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| Error::InvalidCa {
        origin: path.display().to_string(),
        reason: error.to_string(),
    })
}

#[cfg(test)]
#[path = "roots_tests.rs"]
mod tests;
