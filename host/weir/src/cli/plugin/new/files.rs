//! The files of a new crate.

use super::Kind;
use super::sdk::Sdk;

/// What stands for a checkout's folder until somebody fills it in.
const TO_FILL_IN: &str = "/PATH/TO/weir";

/// The files with their paths in the crate's folder.
pub(super) fn render(kind: Kind, name: &str, sdk: Option<&Sdk>) -> [(&'static str, String); 4] {
    let (code, set, lines) = match kind {
        Kind::Filter => (
            include_str!("../../../../templates/plugin/filter.rs.template"),
            "--set contains=ERROR",
            r"all is well\nERROR: the pump is hot\n",
        ),
        Kind::Transform => (
            include_str!("../../../../templates/plugin/transform.rs.template"),
            "--set column=2",
            r"1545,UA,EWR\n1714,AA,LGA\n",
        ),
        Kind::Producer => (
            include_str!("../../../../templates/plugin/producer.rs.template"),
            "--set text=hello",
            "",
        ),
    };
    let (dependencies, dev_dependencies) = dependencies(sdk);
    let fill = |template: &str| {
        template
            .replace("{{name}}", name)
            .replace("{{kind}}", kind.name())
            .replace("{{set}}", set)
            .replace("{{lines}}", lines)
            .replace("{{dependencies}}", &dependencies)
            .replace("{{dev-dependencies}}", &dev_dependencies)
    };
    [
        (
            "Cargo.toml",
            fill(include_str!("../../../../templates/plugin/Cargo.toml.template")),
        ),
        ("src/lib.rs", fill(code)),
        (
            "README.md",
            fill(match kind {
                Kind::Producer => include_str!("../../../../templates/plugin/README.producer.md.template"),
                _ => include_str!("../../../../templates/plugin/README.md.template"),
            }),
        ),
        (
            ".gitignore",
            fill(include_str!("../../../../templates/plugin/gitignore.template")),
        ),
    ]
}

fn dependencies(sdk: Option<&Sdk>) -> (String, String) {
    let (note, plugin, batch) = match sdk {
        Some(sdk) => ("", sdk.folder().to_owned(), sdk.batch().to_owned()),
        None => (
            "# Fill in, here and below, where your checkout of Weir's repository is.\n",
            format!("{TO_FILL_IN}/sdk/plugin"),
            format!("{TO_FILL_IN}/sdk/batch"),
        ),
    };
    (
        format!("{note}weir-plugin = {{ path = {} }}", quoted(&plugin)),
        format!(
            "weir-batch = {{ path = {}, default-features = false, features = [\"std\"] }}",
            quoted(&batch)
        ),
    )
}

/// A TOML string. JSON escapes what TOML wants escaped in the same way, but for one character.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{7f}', r"\u007f")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_to_fill_in_but_the_path_of_an_sdk_that_was_not_found() {
        for kind in [Kind::Filter, Kind::Transform, Kind::Producer] {
            for (file, text) in render(kind, "keep", None) {
                assert!(!text.contains("{{"), "{file}: {text}");
            }
        }
    }

    #[test]
    fn the_manifest_is_toml_whatever_the_path_is_called() {
        let manifest: toml::Table = toml::from_str(&render(Kind::Filter, "keep", None)[0].1).unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some("keep"));
        assert_eq!(manifest["lib"]["crate-type"][0].as_str(), Some("cdylib"));
        let path = manifest["dependencies"]["weir-plugin"]["path"].as_str();
        assert_eq!(path, Some("/PATH/TO/weir/sdk/plugin"));

        let odd = "a \"quoted\" \\ folder\u{7f}\twith a tab";
        let parsed: toml::Table = toml::from_str(&format!("path = {}", quoted(odd))).unwrap();
        assert_eq!(parsed["path"].as_str(), Some(odd));
    }

    #[test]
    fn the_readme_is_the_whole_loop() {
        let readme = &render(Kind::Transform, "keyed", None)[2].1;
        for step in [
            "cargo test",
            "weir plugin build .",
            "weir plugin test keyed.wasm --set column=2",
            "weir plugin upload keyed.wasm --name keyed",
            "weir flow create keyed --plugin keyed --set column=2 --from keyed-in --to keyed-out",
            "weir consume keyed-out",
            "weir flow dry-run keyed",
            "weir flow upgrade keyed",
            "weir flow rollback keyed",
        ] {
            assert!(readme.contains(step), "{step}: {readme}");
        }
        let readme = &render(Kind::Producer, "hello", None)[2].1;
        for step in [
            "cargo test",
            "weir plugin build .",
            "weir plugin test hello.wasm --set text=hello --polls 3",
            "weir flow create hello --plugin hello --set text=hello --every 5s --to hello-out",
            "weir consume hello-out",
            "weir flow upgrade hello",
            "weir flow rollback hello",
        ] {
            assert!(readme.contains(step), "{step}: {readme}");
        }
    }
}
