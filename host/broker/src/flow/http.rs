//! Which hosts a flow may call, and its plugins' way there.

use tokio::sync::watch;
use weir_runtime::{HttpAccess, HttpGrant};

use crate::core::Core;
use crate::flow::pool;
use crate::{BrokerError, ErrorKind, FlowSpec};

/// Hosts that one flow may be granted.
const GRANTS_MAX: usize = 64;

/// Whether the plugins, given with their imports, get what they import and nothing is granted for nothing. The grants are put into
/// their shortest form, each once.
///
/// # Errors
/// [`ErrorKind::InvalidFlow`].
pub(super) fn check(spec: &mut FlowSpec, imports: &[(String, Vec<String>)]) -> Result<(), BrokerError> {
    let grants = grants(spec)?;
    spec.allow_http = grants.iter().map(ToString::to_string).collect();
    let caller = imports.iter().find(|(_, imports)| imports_http(imports));
    let message = match caller {
        Some((plugin, _)) if grants.is_empty() => format!(
            "plugin {plugin} calls out over HTTP, and the flow grants it no host: give each host that it is to reach with \
             --allow-http HOST[:PORT], http://HOST for plain HTTP"
        ),
        None if !grants.is_empty() => format!(
            "the flow grants {} and none of its plugins calls out over HTTP: leave out --allow-http (in an upgrade, say --no-http)",
            spec.allow_http.join(", ")
        ),
        _ => return Ok(()),
    };
    Err(BrokerError::new(ErrorKind::InvalidFlow, message))
}

/// Whether a plugin with these imports calls out over HTTP.
pub(crate) fn imports_http(imports: &[String]) -> bool {
    imports.iter().any(|name| name.starts_with("weir:plugin/http@"))
}

fn grants(spec: &FlowSpec) -> Result<Vec<HttpGrant>, BrokerError> {
    let invalid = |message: String| BrokerError::new(ErrorKind::InvalidFlow, message);
    if spec.allow_http.len() > GRANTS_MAX {
        return Err(invalid(format!(
            "a flow can be granted {GRANTS_MAX} hosts, not {}: grant all hosts below a name as *.NAME",
            spec.allow_http.len()
        )));
    }
    let grants = spec.allow_http.iter().map(|text| text.parse());
    let mut grants: Vec<HttpGrant> = grants
        .collect::<Result<_, _>>()
        .map_err(|error: weir_runtime::GrantError| invalid(error.to_string()))?;
    grants.sort_unstable();
    grants.dedup();
    Ok(grants)
}

/// The way out for the plugins of `spec`; none without a grant. Calls end when `stop` says so. Blocks: the first one reads certificates.
///
/// # Errors
/// [`ErrorKind::InvalidFlow`] when there can be none.
pub(super) fn access(
    core: &Core,
    spec: &FlowSpec,
    stop: Option<watch::Receiver<bool>>,
) -> Result<Option<HttpAccess>, BrokerError> {
    if spec.allow_http.is_empty() {
        return Ok(None);
    }
    let access = core
        .runtime
        .http(grants(spec)?)
        .map_err(|error| BrokerError::new(ErrorKind::InvalidFlow, error.to_string()))?
        .waiting_with(pool::away);
    Ok(Some(match stop {
        Some(stop) => access.stopped_by(stop),
        None => access,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(grants: &[&str]) -> FlowSpec {
        let mut spec = FlowSpec::new("f", "a", ["p@1"], ["b"]);
        spec.allow_http = grants.iter().map(|grant| (*grant).to_owned()).collect();
        spec
    }

    fn importing(imports: &[&str]) -> Vec<(String, Vec<String>)> {
        let imports = imports.iter().map(|import| (*import).to_owned()).collect();
        vec![("p@1".to_owned(), imports)]
    }

    #[test]
    fn grants_and_imports_go_together() {
        let http = importing(&["weir:plugin/log@0.1.0", "weir:plugin/http@0.1.0"]);
        let none = importing(&["weir:plugin/log@0.1.0"]);
        assert_eq!(check(&mut spec(&[]), &none), Ok(()));
        let mut granted = spec(&["https://B.example:443", "a.example", "b.example"]);
        assert_eq!(check(&mut granted, &http), Ok(()));
        assert_eq!(granted.allow_http, ["a.example", "b.example"]);
        let error = check(&mut spec(&[]), &http).unwrap_err().message;
        assert!(error.contains("p@1") && error.contains("--allow-http"), "{error}");
        let error = check(&mut spec(&["a.example"]), &none).unwrap_err().message;
        assert!(
            error.contains("a.example") && error.contains("leave out"),
            "{error}"
        );
    }

    #[test]
    fn grants_are_checked_and_bounded() {
        let http = importing(&["weir:plugin/http@0.1.0"]);
        let error = check(&mut spec(&["*"]), &http).unwrap_err().message;
        assert!(error.contains("\"*\""), "{error}");
        let many: Vec<String> = (0..65).map(|n| format!("h{n}.example")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let error = check(&mut spec(&many), &http).unwrap_err().message;
        assert!(error.contains("64"), "{error}");
    }
}
