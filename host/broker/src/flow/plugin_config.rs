//! Which part of a flow's configuration each of its plugins gets.

use std::collections::BTreeMap;

/// What of `config` the plugin `name` gets, in a chain of plugins called `names` (without versions): a key `NAME.key` whose
/// NAME is a plugin of the chain goes to that plugin alone, as `key`; every other key goes to every plugin as it is. Where the
/// names of several plugins fit, it is the longest that counts.
pub(crate) fn plugin_config(
    config: &BTreeMap<String, String>,
    name: &str,
    names: &[&str],
) -> BTreeMap<String, String> {
    let mine = |(key, value): (&String, &String)| {
        let owner = names
            .iter()
            .filter_map(|owner| Some((*owner, key.strip_prefix(*owner)?.strip_prefix('.')?)));
        match owner.max_by_key(|(owner, _)| owner.len()) {
            Some((owner, key)) => (owner == name).then(|| (key.to_owned(), value.clone())),
            None => Some((key.clone(), value.clone())),
        }
    };
    let (shared, own): (Vec<_>, Vec<_>) = config.iter().partition(|(key, _)| mine_is_shared(key, names));
    // What is meant for this plugin wins over what is meant for all.
    shared.into_iter().chain(own).filter_map(mine).collect()
}

fn mine_is_shared(key: &str, names: &[&str]) -> bool {
    !names
        .iter()
        .any(|name| key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn keys_with_a_plugins_name_are_that_plugins_alone() {
        let all = config(&[
            ("field", "x"),
            ("filter.field", "y"),
            ("filter.op", "ge"),
            ("other.key", "z"),
        ]);
        let names = ["filter", "project"];
        assert_eq!(
            plugin_config(&all, "filter", &names),
            config(&[("field", "y"), ("op", "ge"), ("other.key", "z")])
        );
        assert_eq!(
            plugin_config(&all, "project", &names),
            config(&[("field", "x"), ("other.key", "z")])
        );
    }

    #[test]
    fn the_longest_name_counts() {
        let all = config(&[("a.b.c", "1"), ("a.c", "2"), ("ab", "3"), ("a", "4")]);
        let names = ["a", "a.b"];
        assert_eq!(
            plugin_config(&all, "a", &names),
            config(&[("c", "2"), ("ab", "3"), ("a", "4")])
        );
        assert_eq!(
            plugin_config(&all, "a.b", &names),
            config(&[("c", "1"), ("ab", "3"), ("a", "4")])
        );
    }
}
