//! The name of a new crate.

use std::path::Path;

use crate::cli::Failure;

/// Bytes of a name. Registries of crates take as many.
const NAME_BYTES_MAX: usize = 64;

/// Names that the compiler or the plugin itself needs for something else.
#[rustfmt::skip]
const TAKEN: [&str; 62] = [
    "abstract", "alloc", "as", "async", "await", "become", "box", "break", "const", "continue", "core", "crate", "do", "dyn", "else", "enum",
    "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv",
    "proc-macro", "proc_macro", "pub", "ref", "return", "self", "static", "std", "struct", "super", "test", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "weir-batch", "weir-plugin", "weir_batch", "weir_plugin", "where", "while", "wit-bindgen", "yield",
];

/// The last part of `path`, if a crate and a plugin can be called so.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn of(path: &Path) -> Result<&str, Failure> {
    let refused = |why: &str| {
        Failure::new(
            format!(
                "a plugin's crate cannot be called {:?}: {why}",
                path.display().to_string()
            ),
            "choose a name of letters, digits, `-` and `_` that begins with a letter, such as late-flights",
        )
    };
    let Some(name) = path.file_name() else {
        return Err(refused("it names no folder to make"));
    };
    let name = name.to_str().ok_or_else(|| refused("it is no UTF-8"))?;
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(refused("it does not begin with a letter"));
    }
    if let Some(bad) = name
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_'))
    {
        return Err(refused(&format!("it has {bad:?} in it")));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(refused(&format!("it has more than {NAME_BYTES_MAX} characters")));
    }
    if TAKEN.contains(&name) {
        return Err(refused("the name is taken"));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_last_part_of_the_path() {
        for (path, name) in [
            ("keep", "keep"),
            ("a b/late-flights_2", "late-flights_2"),
            ("./x/", "x"),
        ] {
            assert_eq!(of(Path::new(path)).unwrap(), name);
        }
    }

    #[test]
    fn what_cargo_or_a_broker_would_refuse_is_refused_here() {
        let long = "x".repeat(65);
        for path in [
            "",
            ".",
            "..",
            "/",
            "1st",
            "-x",
            "a.b",
            "a b",
            "grün",
            "fn",
            "std",
            "weir-plugin",
            &long,
        ] {
            let refusal = of(Path::new(path)).unwrap_err().to_string();
            assert_eq!(refusal.lines().count(), 2, "{refusal}");
        }
    }
}
