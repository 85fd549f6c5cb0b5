//! What a flow may reach.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use http::Uri;

/// Bytes of a grant: a scheme, the longest name that DNS allows, and a port.
const GRANT_BYTES_MAX: usize = 8 + 253 + 6;

/// One host that a flow may call: `HOST`, `HOST:PORT`, or either behind `https://` (which is what is meant without a scheme) or
/// `http://`.
///
/// HOST is a name, an address (IPv6 in brackets), or `*.NAME` for every name that ends in `.NAME`, however many labels come before, but
/// not NAME itself. Without PORT it is that of the scheme, 443 or 80, and no other. A grant of plain HTTP grants no HTTPS, nor
/// the other way round. A name is granted as a name: an address is reached by its address only where that is granted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HttpGrant {
    https: bool,
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Host {
    Name(String),
    /// With the dot in front.
    Suffix(String),
    Address(IpAddr),
}

/// Why a text is no [`HttpGrant`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} grants no host: {why}")]
pub struct GrantError {
    text: String,
    why: &'static str,
}

impl HttpGrant {
    /// Whether it allows to call `uri`, which is absolute.
    pub(crate) fn allows(&self, uri: &Uri) -> bool {
        let Some((https, host, port)) = target(uri) else {
            return false;
        };
        https == self.https && port == self.port && self.host.is(&host)
    }
}

/// Scheme, host and port of what a URI names; `None` where it names none.
fn target(uri: &Uri) -> Option<(bool, Host, u16)> {
    let https = match uri.scheme_str()? {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    let host = Host::exact(uri.host()?)?;
    let port = match uri.port() {
        Some(port) => port.as_u16(),
        None => default_port(https),
    };
    Some((https, host, port))
}

fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

impl Host {
    /// A name or an address, as it stands in a URL.
    fn exact(text: &str) -> Option<Self> {
        if let Some(inside) = text.strip_prefix('[') {
            let address: Ipv6Addr = inside.strip_suffix(']')?.parse().ok()?;
            return Some(Self::Address(address.into()));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self::Address(address));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        is_name(&name).then_some(Self::Name(name))
    }

    fn is(&self, called: &Self) -> bool {
        match (self, called) {
            (Self::Suffix(suffix), Self::Name(name)) => {
                name.len() > suffix.len() && name.ends_with(suffix.as_str())
            }
            _ => self == called,
        }
    }
}

/// Labels of letters, digits, hyphens and underscores. What ends in a number is no name: resolvers take `127.1` for an address.
fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(inner)
    };
    let last = name.rsplit('.').next().unwrap_or(name);
    let numeric = last.bytes().next().is_some_and(|byte| byte.is_ascii_digit());
    name.len() <= 253 && name.split('.').all(label) && !numeric
}

impl FromStr for HttpGrant {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let bad = |why: &'static str| GrantError {
            text: text.chars().take(GRANT_BYTES_MAX).collect(),
            why,
        };
        if text.len() > GRANT_BYTES_MAX {
            return Err(bad("it is longer than a host's name can be"));
        }
        let (https, rest) = match text.split_once("://") {
            None => (true, text),
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            Some(_) => return Err(bad("the scheme is https, or http for plain HTTP")),
        };
        if rest.contains(['/', '?', '#', '@']) {
            return Err(bad(
                "it is a host with an optional port, without a path or a user",
            ));
        }
        // The colons of an IPv6 address stand in brackets.
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                let port = port.parse().ok().filter(|port| *port != 0);
                (
                    host,
                    port.ok_or_else(|| bad("the port is a number from 1 to 65535"))?,
                )
            }
            _ => (rest, default_port(https)),
        };
        let host = match host.strip_prefix("*.") {
            Some(suffix) if is_name(&suffix.to_ascii_lowercase()) => {
                Host::Suffix(format!(".{}", suffix.to_ascii_lowercase()))
            }
            Some(_) => return Err(bad("behind *. stands a name, as in *.example.com")),
            None if host.contains('*') => {
                return Err(bad(
                    "name the hosts, or all hosts below a name as in *.example.com",
                ));
            }
            None => Host::exact(host)
                .ok_or_else(|| bad("a host is a name or an address, an IPv6 address in brackets"))?,
        };
        Ok(Self { https, host, port })
    }
}

/// In its shortest form.
impl fmt::Display for HttpGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.https {
            f.write_str("http://")?;
        }
        match &self.host {
            Host::Name(name) => f.write_str(name)?,
            Host::Suffix(suffix) => write!(f, "*{suffix}")?,
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}")?,
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
        }
        if self.port != default_port(self.https) {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(grant: &str, url: &str) -> bool {
        let grant: HttpGrant = grant.parse().unwrap();
        grant.allows(&url.parse().unwrap())
    }

    #[test]
    fn a_grant_is_for_one_scheme_host_and_port() {
        for (grant, url) in [
            ("api.example.com", "https://api.example.com/x?y=1"),
            ("API.example.com", "https://api.EXAMPLE.com:443"),
            ("api.example.com", "https://api.example.com./"),
            ("https://api.example.com:8443", "https://api.example.com:8443/"),
            ("http://10.0.0.1", "http://10.0.0.1/"),
            ("http://localhost:8080", "http://localhost:8080/"),
            ("[::1]:8443", "https://[::1]:8443/"),
            ("[0:0:0:0:0:0:0:1]", "https://[::1]/"),
            ("*.example.com", "https://a.example.com/"),
            ("*.example.com", "https://a.b.example.com/"),
        ] {
            assert!(allows(grant, url), "{grant} {url}");
        }
        for (grant, url) in [
            ("api.example.com", "http://api.example.com/"),
            ("http://api.example.com", "https://api.example.com/"),
            ("api.example.com", "https://api.example.com:8443/"),
            ("api.example.com", "https://example.com/"),
            ("api.example.com", "https://api.example.com.evil.org/"),
            ("api.example.com", "https://xapi.example.com/"),
            ("api.example.com", "https://evil.org/api.example.com"),
            ("*.example.com", "https://example.com/"),
            ("*.example.com", "https://evilexample.com/"),
            ("*.example.com", "https://a.example.com.evil.org/"),
            ("127.0.0.1", "https://localhost/"),
            ("127.0.0.1", "https://127.1/"),
            ("127.0.0.1", "https://2130706433/"),
            ("127.0.0.1", "https://[::ffff:127.0.0.1]/"),
            ("localhost", "https://127.0.0.1/"),
            ("api.example.com", "ftp://api.example.com/"),
            ("api.example.com", "/path"),
        ] {
            assert!(!allows(grant, url), "{grant} {url}");
        }
    }

    #[test]
    fn a_user_in_the_url_is_no_host() {
        let grant: HttpGrant = "good.example".parse().unwrap();
        assert!(!grant.allows(&"https://good.example@evil.org/".parse().unwrap()));
    }

    #[test]
    fn what_is_no_grant_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "a host is"),
            ("*", "name the hosts"),
            ("a.*.example.com", "name the hosts"),
            ("*.", "behind *."),
            ("*.1", "behind *."),
            ("ftp://a", "scheme"),
            ("https://a/b", "without a path"),
            ("user@a", "without a path"),
            ("a:0", "port"),
            ("a:65536", "port"),
            ("a:b", "port"),
            ("::1", "a host is"),
            ("a b", "a host is"),
            ("a..b", "a host is"),
            ("127.1", "a host is"),
        ] {
            let error = text.parse::<HttpGrant>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!("a".repeat(10_000).parse::<HttpGrant>().is_err());
    }

    #[test]
    fn it_is_shown_in_its_shortest_form() {
        for (text, shown) in [
            ("https://Api.Example.com:443", "api.example.com"),
            ("http://a:80", "http://a"),
            ("http://a:81", "http://a:81"),
            ("*.Example.com:8443", "*.example.com:8443"),
            ("[0::1]:1", "[::1]:1"),
        ] {
            let grant: HttpGrant = text.parse().unwrap();
            assert_eq!(grant.to_string(), shown);
            assert_eq!(shown.parse::<HttpGrant>().unwrap(), grant);
        }
    }
}
