//! The `tls` folder inside a data folder: read, checked, filled, renewed.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::KeyPair;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::authority::{self, Authority, RENEW_BEFORE_DAYS};
use super::{TlsError, TlsMaterial, parse_chain};

const PUBLIC: u32 = 0o644;
const PRIVATE: u32 = 0o600;

/// A PEM file longer than this is not one of ours.
const PEM_BYTES_MAX: u64 = 1 << 20;

struct Files {
    ca: PathBuf,
    ca_key: PathBuf,
    server: PathBuf,
    server_key: PathBuf,
}

pub(super) fn load_or_create(dir: &Path, extra: &[String], now: SystemTime) -> Result<TlsMaterial, TlsError> {
    let now = authority::sane(now);
    let names = authority::all_names(extra);
    let files = Files {
        ca: dir.join("ca.pem"),
        ca_key: dir.join("ca.key"),
        server: dir.join("server.pem"),
        server_key: dir.join("server.key"),
    };
    fs::create_dir_all(dir).map_err(|source| TlsError::Io {
        verb: "create",
        path: dir.to_owned(),
        source,
    })?;
    let mut notices = Vec::new();

    let ca = authority_of(&files, now, &mut notices)?;
    for key in [&files.ca_key, &files.server_key] {
        keep_private(key, &mut notices)?;
    }

    match server_of(&files, &ca, &names, now)? {
        Ok((cert, key)) => Ok(material(vec![cert], key, &ca, &files, notices)),
        Err(why) => {
            let leaf = ca.issue(&names, now)?;
            write_whole(&files.server_key, leaf.key_pem.as_bytes(), PRIVATE)?;
            write_whole(&files.server, leaf.pem.as_bytes(), PUBLIC)?;
            notices.push(format!(
                "{why} server certificate for {} in {}",
                names.join(", "),
                files.server.display()
            ));
            Ok(material(vec![leaf.cert], leaf.key, &ca, &files, notices))
        }
    }
}

fn material(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    ca: &Authority,
    files: &Files,
    notices: Vec<String>,
) -> TlsMaterial {
    TlsMaterial {
        chain,
        key,
        ca_pem: ca.pem().to_owned(),
        ca_path: Some(files.ca.clone()),
        notices,
    }
}

fn authority_of(files: &Files, now: SystemTime, notices: &mut Vec<String>) -> Result<Authority, TlsError> {
    // The key is written first: a key without a certificate is a first start that was cut short.
    if !files.ca.exists() || !files.ca_key.exists() {
        if files.ca.exists() {
            return Err(TlsError::Malformed {
                path: files.ca.clone(),
                what: "is there, but its key `ca.key` is not: bring the key back, or remove the folder to start with a \
                       new authority that clients must then be given anew"
                    .to_owned(),
            });
        }
        let ca = Authority::create(now)?;
        write_whole(&files.ca_key, ca.key_pem().as_bytes(), PRIVATE)?;
        write_whole(&files.ca, ca.pem().as_bytes(), PUBLIC)?;
        notices.push(format!(
            "made a certificate authority for this data folder: {}",
            files.ca.display()
        ));
        return Ok(ca);
    }

    let pem = read_text(&files.ca)?;
    let chain = parse_chain(pem.as_bytes()).map_err(|what| malformed(&files.ca, what))?;
    let key = KeyPair::from_pem(&read_text(&files.ca_key)?)
        .map_err(|error| malformed(&files.ca_key, format!("is not a private key in PEM: {error}")))?;
    let ca = Authority::from_parts(chain[0].clone(), pem, key);
    let ends = ca.ends().map_err(|what| malformed(&files.ca, what))?;
    if ends > now + Duration::from_secs(u64::from(RENEW_BEFORE_DAYS) * 24 * 60 * 60) {
        return Ok(ca);
    }
    let ca = Authority::certify(ca.into_key(), now)?;
    write_whole(&files.ca, ca.pem().as_bytes(), PUBLIC)?;
    notices.push(format!(
        "renewed the certificate authority, with the same key: {}",
        files.ca.display()
    ));
    Ok(ca)
}

/// The server certificate on disk, or (inner error) the verb for making another one.
type ServerOnDisk = Result<(CertificateDer<'static>, PrivateKeyDer<'static>), &'static str>;

fn server_of(
    files: &Files,
    ca: &Authority,
    names: &[String],
    now: SystemTime,
) -> Result<ServerOnDisk, TlsError> {
    if !files.server.exists() || !files.server_key.exists() {
        return Ok(Err("made a"));
    }
    let chain = read_chain(&files.server)?;
    let key = read_key(&files.server_key)?;
    if ca.vouches_for(&chain[0], names, now).is_err() || !belongs(&chain[0], &key) {
        return Ok(Err("renewed the"));
    }
    Ok(Ok((chain[0].clone(), key)))
}

/// Whether `key` is the key of `cert`: a crash between the two writes of a renewal leaves a pair that is none.
fn belongs(cert: &CertificateDer<'static>, key: &PrivateKeyDer<'static>) -> bool {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    rustls::sign::CertifiedKey::from_der(vec![cert.clone()], key.clone_key(), &provider).is_ok()
}

fn keep_private(path: &Path, notices: &mut Vec<String>) -> Result<(), TlsError> {
    let Ok(meta) = fs::metadata(path) else {
        return Ok(());
    };
    if meta.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(PRIVATE)).map_err(|source| TlsError::Io {
            verb: "write",
            path: path.to_owned(),
            source,
        })?;
        notices.push(format!(
            "others could read {}: its mode is 0600 again",
            path.display()
        ));
    }
    Ok(())
}

/// Bytes of a reset key.
const RESET_KEY_BYTES: usize = 64;

/// The secret by which a broker that was restarted tells the clients of the one before that their connections are gone
/// (stateless reset, RFC 9000 section 10.3). Kept in `reset.key`, mode 0600; made anew if it is missing or damaged, which
/// costs clients no more than waiting for their timeout once.
pub(super) fn reset_key(dir: &Path) -> Result<[u8; RESET_KEY_BYTES], TlsError> {
    let path = dir.join("reset.key");
    fs::create_dir_all(dir).map_err(|source| TlsError::Io {
        verb: "create",
        path: dir.to_owned(),
        source,
    })?;
    keep_private(&path, &mut Vec::new())?;
    if let Ok(key) = fs::read(&path)
        && let Ok(key) = key.try_into()
    {
        return Ok(key);
    }
    let mut key = [0; RESET_KEY_BYTES];
    let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
    if random.fill(&mut key).is_err() {
        return Err(malformed(
            &path,
            "cannot be made: the system gives no random bytes".to_owned(),
        ));
    }
    write_whole(&path, &key, PRIVATE)?;
    Ok(key)
}

pub(super) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    parse_chain(read_text(path)?.as_bytes()).map_err(|what| malformed(path, what))
}

pub(super) fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(read_text(path)?.as_bytes())
        .map_err(|error| malformed(path, format!("holds no private key in PEM: {error}")))
}

pub(super) fn read_text(path: &Path) -> Result<String, TlsError> {
    let io = |source| TlsError::Io {
        verb: "read",
        path: path.to_owned(),
        source,
    };
    if fs::metadata(path).map_err(io)?.len() > PEM_BYTES_MAX {
        return Err(malformed(
            path,
            "is too long for a PEM file (over 1 MiB)".to_owned(),
        ));
    }
    fs::read_to_string(path).map_err(io)
}

fn malformed(path: &Path, what: String) -> TlsError {
    TlsError::Malformed {
        path: path.to_owned(),
        what,
    }
}

/// Writes a whole file with `mode`, so that a reader, and a crash, sees the old one or the new one and nothing between.
fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> Result<(), TlsError> {
    try_write_whole(path, bytes, mode).map_err(|source| TlsError::Io {
        verb: "write",
        path: path.to_owned(),
        source,
    })
}

fn try_write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let temp = path.with_extension(format!("tmp{}", std::process::id()));
    // What a killed process of the same id left behind has an unknown mode: begin anew.
    let _ = fs::remove_file(&temp);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temp)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temp, path)?;
    fs::File::open(dir)?.sync_all()
}
