//! Whom outbound HTTPS trusts.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// A configuration that trusts the operating system's authorities, and those in the PEM file `ca`.
///
/// # Errors
/// Why `ca` cannot be used. A machine without authorities of its own is no error: HTTPS then fails for the want of them.
pub(super) fn client_config(ca: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!("certificates of this machine cannot be read: {error}");
    }
    roots.add_parsable_certificates(native.certs);
    if let Some(path) = ca {
        let unusable = |why: &dyn std::fmt::Display| {
            format!("the authorities in {} cannot be used: {why}", path.display())
        };
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unusable(&error))?;
        let mut added = 0;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| unusable(&error))?;
            roots.add(certificate).map_err(|error| unusable(&error))?;
            added += 1;
        }
        if added == 0 {
            return Err(unusable(&"there is no certificate in it"));
        }
    }
    if roots.is_empty() {
        tracing::warn!(
            "this machine trusts no certificate authority: no plugin can call a host over HTTPS; install the package \
             ca-certificates, or name a file of them in the configuration"
        );
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
