use super::*;

fn pem(name: &str) -> Vec<u8> {
    rcgen::generate_simple_self_signed([name.to_owned()])
        .unwrap()
        .cert
        .pem()
        .into_bytes()
}

fn file(dir: &tempfile::TempDir, name: &str, content: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

#[test]
fn what_is_given_comes_before_the_variable_and_that_before_the_pointer() {
    let dir = tempfile::tempdir().unwrap();
    let (given, variable, local) = (
        file(&dir, "given", &pem("a")),
        file(&dir, "variable", &pem("b")),
        file(&dir, "local", &pem("c")),
    );
    let choose = |given: &[TrustSource], variable: Option<&PathBuf>, local: Option<&PathBuf>| {
        Trust::choose(given, variable.cloned(), local.cloned(), "host:1").map(|trust| trust.origin)
    };
    let origin = choose(&[TrustSource::File(given)], Some(&variable), Some(&local)).unwrap();
    assert!(origin.contains("given"), "{origin}");
    let origin = choose(&[], Some(&variable), Some(&local)).unwrap();
    assert!(
        origin.contains("variable") && origin.contains("WEIR_CA"),
        "{origin}"
    );
    let origin = choose(&[], None, Some(&local)).unwrap();
    assert!(origin.contains("local"), "{origin}");
}

#[test]
fn without_any_ca_the_error_says_what_to_do() {
    let error = Trust::choose(&[], None, None, "host:1").unwrap_err();
    assert!(matches!(&error, Error::NoTrust { broker } if broker == "host:1"));
    let text = error.to_string();
    assert!(
        text.contains("--ca") && text.contains("WEIR_CA") && text.contains("tls/ca.pem"),
        "{text}"
    );
}

#[test]
fn a_file_that_is_missing_empty_or_no_certificate_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let cases = [
        dir.path().join("missing.pem"),
        file(&dir, "empty.pem", b""),
        file(&dir, "text.pem", b"hello"),
        file(
            &dir,
            "broken.pem",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ),
    ];
    for path in cases {
        let error = Trust::choose(&[], Some(path.clone()), None, "host:1").unwrap_err();
        assert!(matches!(error, Error::InvalidCa { .. }), "{error}");
        assert!(
            error
                .to_string()
                .contains(path.file_name().unwrap().to_str().unwrap()),
            "{error}"
        );
    }
}

#[test]
fn several_cas_are_trusted_together() {
    let sources = [
        TrustSource::Pem(pem("a")),
        TrustSource::Pem([pem("b"), pem("c")].concat()),
    ];
    let trust = Trust::choose(&sources, None, None, "host:1").unwrap();
    assert_eq!(trust.roots.len(), 3);
}
