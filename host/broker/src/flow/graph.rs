//! Which topics lead to which through flows.

use std::collections::{HashMap, HashSet};

/// A way from one of `to` back to `from` through the flows in `edges` (each from a topic to its sinks): the topics of
/// the cycle that a flow between them would close, beginning and ending with `from`. `None` if there is none.
pub(crate) fn cycle<'a>(
    edges: impl IntoIterator<Item = (&'a str, &'a [String])>,
    from: &'a str,
    to: &'a [String],
) -> Option<Vec<String>> {
    let mut next: HashMap<&str, Vec<&str>> = HashMap::new();
    for (source, sinks) in edges {
        next.entry(source)
            .or_default()
            .extend(sinks.iter().map(String::as_str));
    }
    let mut seen = HashSet::new();
    let mut came_from: HashMap<&str, &str> = HashMap::new();
    let mut open: Vec<&str> = to.iter().map(String::as_str).collect();
    open.iter().for_each(|&sink| {
        came_from.insert(sink, from);
    });
    while let Some(topic) = open.pop() {
        if topic == from {
            let mut path = vec![from];
            let mut step = came_from.get(topic).copied();
            while let Some(topic) = step.filter(|&topic| topic != from) {
                path.push(topic);
                step = came_from.get(topic).copied();
            }
            path.push(from);
            return Some(path.into_iter().rev().map(str::to_owned).collect());
        }
        if seen.insert(topic) {
            for &sink in next.get(topic).into_iter().flatten() {
                came_from.entry(sink).or_insert(topic);
                open.push(sink);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    /// The cycle, as "a b c a".
    fn find(edges: &[(&str, &[&str])], from: &str, to: &[&str]) -> Option<String> {
        let edges: Vec<_> = edges.iter().map(|(from, to)| (*from, topics(to))).collect();
        let to = topics(to);
        cycle(edges.iter().map(|(from, to)| (*from, to.as_slice())), from, &to).map(|path| path.join(" "))
    }

    #[test]
    fn finds_cycles_and_names_their_topics() {
        let edges: &[(&str, &[&str])] = &[("a", &["b", "x"]), ("b", &["c"]), ("c", &["y", "d"])];
        assert_eq!(find(edges, "d", &["e"]), None);
        assert_eq!(find(edges, "d", &["x", "y"]), None);
        assert_eq!(find(edges, "d", &["a"]).as_deref(), Some("d a b c d"));
        assert_eq!(find(edges, "c", &["b"]).as_deref(), Some("c b c"));
        assert_eq!(find(edges, "z", &["z"]).as_deref(), Some("z z"));
    }

    #[test]
    fn diamonds_are_no_cycles_and_existing_cycles_do_not_hang() {
        let edges: &[(&str, &[&str])] = &[("a", &["b", "c"]), ("b", &["d"]), ("c", &["d"]), ("p", &["p"])];
        assert_eq!(find(edges, "d", &["e", "p"]), None);
    }
}
