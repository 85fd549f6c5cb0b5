//! The making of certificates: a private authority and the server certificates it issues.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use time::OffsetDateTime;

use super::TlsError;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const AUTHORITY_DAYS: u32 = 20 * 365;
const SERVER_DAYS: u32 = 2 * 365;

/// How long before its end a certificate is renewed.
pub(super) const RENEW_BEFORE_DAYS: u32 = 90;

/// 2026-01-01: a gateway whose clock is not set yet says 1970, and what it makes then must still hold once the clock is right.
const CLOCK_FLOOR_S: u64 = 1_767_225_600;

/// `now`, or the floor for a clock that cannot be right.
pub(super) fn sane(now: SystemTime) -> SystemTime {
    now.max(UNIX_EPOCH + Duration::from_secs(CLOCK_FLOOR_S))
}

/// The names of this machine, and `extra` ones, each once.
pub(super) fn all_names(extra: &[String]) -> Vec<String> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    // A host name that no certificate can carry (underscores, empty) is nobody's mistake here: leave it out.
    if ServerName::try_from(host.clone()).is_ok() {
        names.push(host);
    }
    names.extend(extra.iter().cloned());
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// A private certificate authority: its certificate and the key it signs with.
pub(super) struct Authority {
    cert: CertificateDer<'static>,
    pem: String,
    key: KeyPair,
}

/// A server certificate and its key.
pub(super) struct Leaf {
    pub(super) cert: CertificateDer<'static>,
    pub(super) pem: String,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) key_pem: String,
}

impl Authority {
    pub(super) fn create(now: SystemTime) -> Result<Self, TlsError> {
        Self::certify(KeyPair::generate()?, now)
    }

    /// A certificate for an authority whose key exists: what trusted the old one trusts this one.
    pub(super) fn certify(key: KeyPair, now: SystemTime) -> Result<Self, TlsError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "Weir local authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = validity(now, AUTHORITY_DAYS);
        let cert = params.self_signed(&key)?;
        Ok(Self {
            cert: cert.der().clone(),
            pem: cert.pem(),
            key,
        })
    }

    /// An authority read back.
    pub(super) fn from_parts(cert: CertificateDer<'static>, pem: String, key: KeyPair) -> Self {
        Self { cert, pem, key }
    }

    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    pub(super) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    pub(super) fn into_key(self) -> KeyPair {
        self.key
    }

    /// When the authority's certificate ends.
    pub(super) fn ends(&self) -> Result<SystemTime, String> {
        let (_, cert) = x509_parser::parse_x509_certificate(&self.cert)
            .map_err(|error| format!("is not an X.509 certificate: {error}"))?;
        let at = cert.validity().not_after.timestamp();
        Ok(UNIX_EPOCH + Duration::from_secs(u64::try_from(at).unwrap_or(0)))
    }

    pub(super) fn issue(&self, names: &[String], now: SystemTime) -> Result<Leaf, TlsError> {
        for name in names {
            if ServerName::try_from(name.as_str()).is_err() {
                return Err(TlsError::Name { name: name.clone() });
            }
        }
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Weir broker");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = validity(now, SERVER_DAYS);

        let issuer = Issuer::from_ca_cert_der(&self.cert, &self.key)?;
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &issuer)?;
        Ok(Leaf {
            cert: cert.der().clone(),
            pem: cert.pem(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            key_pem: key.serialize_pem(),
        })
    }

    /// Whether a client that trusts this authority accepts `cert` under every one of `names`, now and until the renewal is due.
    pub(super) fn vouches_for(
        &self,
        cert: &CertificateDer<'_>,
        names: &[String],
        now: SystemTime,
    ) -> Result<(), String> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.cert.clone()).map_err(|error| error.to_string())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| error.to_string())?;
        for at in [now, now + DAY * RENEW_BEFORE_DAYS] {
            let at = UnixTime::since_unix_epoch(at.duration_since(UNIX_EPOCH).unwrap_or_default());
            for name in names {
                let name = ServerName::try_from(name.as_str())
                    .map_err(|_| format!("{name:?} is no name for a certificate"))?;
                verifier
                    .verify_server_cert(cert, &[], &name, &[], at)
                    .map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }
}

/// From a day before `now` (clocks differ) for `days`.
fn validity(now: SystemTime, days: u32) -> (OffsetDateTime, OffsetDateTime) {
    (
        OffsetDateTime::from(now - DAY),
        OffsetDateTime::from(now + DAY * days),
    )
}
