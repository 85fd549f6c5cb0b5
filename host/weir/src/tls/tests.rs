use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use super::*;

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

fn mode(path: &std::path::Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_first_start_makes_private_keys_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let tls = TlsMaterial::of_folder(dir.path(), &[]).unwrap();

    for key in ["ca.key", "server.key"] {
        assert_eq!(mode(&dir.path().join(key)), 0o600, "{key}");
    }
    assert_eq!(
        std::fs::read_to_string(dir.path().join("ca.pem")).unwrap(),
        tls.ca_pem()
    );
    assert_eq!(tls.ca_path(), Some(dir.path().join("ca.pem").as_path()));
    let notices = tls.notices().join("\n");
    assert!(notices.contains("made a certificate authority"), "{notices}");
    assert!(
        notices.contains("made a server certificate for localhost, 127.0.0.1, ::1"),
        "{notices}"
    );
}

#[test]
fn a_later_start_uses_the_same_material_in_silence() {
    let dir = tempfile::tempdir().unwrap();
    let first = TlsMaterial::of_folder(dir.path(), &[]).unwrap();
    let second = TlsMaterial::of_folder(dir.path(), &[]).unwrap();

    assert_eq!(first.chain(), second.chain());
    assert_eq!(first.ca_pem(), second.ca_pem());
    assert_eq!(second.notices(), &[] as &[String]);
}

#[test]
fn a_new_name_renews_the_server_certificate_but_not_the_authority() {
    let dir = tempfile::tempdir().unwrap();
    let first = TlsMaterial::of_folder(dir.path(), &[]).unwrap();
    let names = ["broker.example".to_owned(), "10.1.2.3".to_owned()];
    let second = TlsMaterial::of_folder(dir.path(), &names).unwrap();

    assert_ne!(first.chain(), second.chain());
    assert_eq!(first.ca_pem(), second.ca_pem());
    assert!(
        second.notices()[0].starts_with("renewed the server certificate"),
        "{:?}",
        second.notices()
    );
    let third = TlsMaterial::of_folder(dir.path(), &names).unwrap();
    assert_eq!(second.chain(), third.chain());
}

#[test]
fn certificates_are_renewed_before_they_end() {
    let dir = tempfile::tempdir().unwrap();
    let start = SystemTime::now() + YEAR;
    let at = |years: f64| folder::load_or_create(dir.path(), &[], start + YEAR.mul_f64(years)).unwrap();
    let first = at(0.0);

    assert_eq!(at(1.5).chain(), first.chain());
    let renewed = at(1.9);
    assert_ne!(renewed.chain(), first.chain());
    assert_eq!(renewed.ca_pem(), first.ca_pem());

    // A client that holds the first authority's certificate must accept what a renewed authority issues.
    let later = at(19.9);
    assert_ne!(later.ca_pem(), first.ca_pem());
    let old = authority::Authority::from_parts(
        parse_chain(first.ca_pem().as_bytes()).unwrap()[0].clone(),
        first.ca_pem().to_owned(),
        rcgen::KeyPair::generate().unwrap(),
    );
    old.vouches_for(
        &later.chain()[0],
        &["localhost".to_owned()],
        start + YEAR.mul_f64(19.9),
    )
    .unwrap();
}

#[test]
fn a_clock_that_is_not_set_yet_makes_certificates_that_hold_later() {
    let dir = tempfile::tempdir().unwrap();
    let first = folder::load_or_create(dir.path(), &[], SystemTime::UNIX_EPOCH).unwrap();
    let later = folder::load_or_create(dir.path(), &[], SystemTime::now()).unwrap();
    assert_eq!(first.ca_pem(), later.ca_pem());
    assert_eq!(first.chain(), later.chain());
}

#[test]
fn a_renewal_cut_short_between_key_and_certificate_heals() {
    let dir = tempfile::tempdir().unwrap();
    TlsMaterial::of_folder(dir.path(), &[]).unwrap();
    let other = rcgen::KeyPair::generate().unwrap();
    std::fs::write(dir.path().join("server.key"), other.serialize_pem()).unwrap();

    let healed = TlsMaterial::of_folder(dir.path(), &[]).unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    rustls::sign::CertifiedKey::from_der(healed.chain().to_vec(), healed.key().clone_key(), &provider)
        .unwrap();
}

#[test]
fn a_key_that_others_can_read_is_closed_again() {
    let dir = tempfile::tempdir().unwrap();
    TlsMaterial::of_folder(dir.path(), &[]).unwrap();
    let key = dir.path().join("ca.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();

    let tls = TlsMaterial::of_folder(dir.path(), &[]).unwrap();
    assert_eq!(mode(&key), 0o600);
    assert!(
        tls.notices()[0].contains("others could read"),
        "{:?}",
        tls.notices()
    );
}

#[test]
fn an_authority_without_its_key_is_not_replaced_in_silence() {
    let dir = tempfile::tempdir().unwrap();
    TlsMaterial::of_folder(dir.path(), &[]).unwrap();
    std::fs::remove_file(dir.path().join("ca.key")).unwrap();
    let error = TlsMaterial::of_folder(dir.path(), &[]).unwrap_err().to_string();
    assert!(error.contains("bring the key back"), "{error}");
}

#[test]
fn garbage_and_impossible_names_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = TlsMaterial::in_memory(&["not a name".to_owned()]).unwrap_err();
    assert!(matches!(error, TlsError::Name { .. }), "{error}");

    TlsMaterial::of_folder(dir.path(), &[]).unwrap();
    std::fs::write(dir.path().join("ca.pem"), "garbage").unwrap();
    let error = TlsMaterial::of_folder(dir.path(), &[]).unwrap_err().to_string();
    assert!(
        error.contains("ca.pem") && error.contains("no certificate"),
        "{error}"
    );
}

#[test]
fn own_files_take_the_place_of_the_folders() {
    let dir = tempfile::tempdir().unwrap();
    let made = TlsMaterial::of_folder(dir.path(), &[]).unwrap();
    let files = TlsFiles {
        cert: dir.path().join("server.pem"),
        key: dir.path().join("server.key"),
        ca: Some(dir.path().join("ca.pem")),
    };
    let own = TlsMaterial::of_files(&files).unwrap();
    assert_eq!(own.chain(), made.chain());
    assert_eq!(own.ca_pem(), made.ca_pem());

    let swapped = TlsFiles {
        cert: files.key.clone(),
        key: files.cert.clone(),
        ca: None,
    };
    let error = TlsMaterial::of_files(&swapped).unwrap_err().to_string();
    assert!(error.contains("holds no certificate"), "{error}");
}

#[test]
fn the_reset_key_is_private_and_lasts() {
    let dir = tempfile::tempdir().unwrap();
    let tls = dir.path().join("tls");
    let key = reset_key(&tls).unwrap();
    assert_eq!(reset_key(&tls).unwrap(), key);
    assert_eq!(mode(&tls.join("reset.key")), 0o600);
    std::fs::write(tls.join("reset.key"), "short").unwrap();
    let other = reset_key(&tls).unwrap();
    assert_ne!(other, key);
    assert_ne!(other, [0; 64]);
}
