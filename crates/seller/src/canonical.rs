//! One spelling of a URL, for binding a payment to what it pays for and for matching paths.

use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;
use url::Url;

use crate::config::ConfigError;

/// Reads the public URL of a seller: an origin, perhaps with a path that a proxy in front takes away.
pub(crate) fn public_origin(text: &str) -> Result<Url, ConfigError> {
    let wrong = |problem: &str| ConfigError::wrong("public_url", problem);
    let url = Url::parse(text).map_err(|error| ConfigError::wrong("public_url", error))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong("must begin with https:// or http:// and name a host"));
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err(wrong("must not have a query, a fragment or a user"));
    }
    Ok(url)
}

/// Why the URL of a request cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlFault {
    #[error("the request names two different hosts")]
    TwoHosts,
    #[error("the host is not ours: the operator has to set public_url")]
    NotOurs,
}

/// The public URL of a request, with its query. See `PayBuilder::public_url` for which hosts are believed.
pub(crate) fn request_url(parts: &Parts, public_url: Option<&Url>) -> Result<String, UrlFault> {
    // Below `Router::nest` the URI lacks the prefix; buyers know only the whole one (threat row G01).
    let uri = parts.extensions.get::<axum::extract::OriginalUri>().map_or(&parts.uri, |original| &original.0);
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let named = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    if let (Some(authority), Some(host)) = (uri.authority(), named)
        && !authority.as_str().eq_ignore_ascii_case(host)
    {
        return Err(UrlFault::TwoHosts);
    }
    if let Some(url) = public_url {
        return Ok(format!("{}{target}", url.as_str().trim_end_matches('/')));
    }
    let host = uri.authority().map(Authority::as_str).or(named).unwrap_or("localhost");
    if !is_loopback(host) {
        return Err(UrlFault::NotOurs);
    }
    Ok(format!("http://{host}{target}"))
}

fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    if authority.as_str().contains('@') {
        return false;
    }
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether two URLs name one resource: same origin and same path. The query does not count, because clients differ
/// in whether they repeat it; the path counts after resolving dot segments and needless escapes.
///
/// Without `with_origin` only the paths are compared: a server that does not know its public name cannot ask for it.
pub(crate) fn same_resource(one: &str, other: &str, with_origin: bool) -> bool {
    if one == other {
        return true;
    }
    let (Ok(one), Ok(other)) = (Url::parse(one), Url::parse(other)) else { return false };
    let path = |url: &Url| path(url.path()).ok();
    let paths = path(&one).zip(path(&other));
    paths.is_some_and(|(one, other)| one == other) && (!with_origin || one.origin() == other.origin())
}

/// A path with more than one reading; which one is used would depend on who reads it (threat row H14).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the path can be read in more than one way: {0}")]
pub(crate) struct Ambiguous(pub(crate) &'static str);

/// The one spelling of a path that is matched and forwarded: unreserved characters plain, everything else escaped
/// in upper case. A path that some servers read differently is refused.
pub(crate) fn path(raw: &str) -> Result<String, Ambiguous> {
    if !raw.starts_with('/') {
        return Err(Ambiguous("it does not begin with a slash"));
    }
    if raw.len() > 8_192 {
        return Err(Ambiguous("it is too long"));
    }
    let mut canonical = String::with_capacity(raw.len());
    let segments: Vec<&str> = raw[1..].split('/').collect();
    let last = segments.len() - 1;
    for (index, segment) in segments.into_iter().enumerate() {
        if segment.is_empty() && index != last {
            return Err(Ambiguous("an empty segment"));
        }
        let decoded = decode(segment)?;
        check_segment(&decoded)?;
        canonical.push('/');
        encode(&decoded, &mut canonical);
    }
    Ok(canonical)
}

/// The text behind the escapes of a canonical path, for matching patterns.
pub(crate) fn decoded(canonical: &str) -> String {
    canonical.split('/').map(|segment| decode(segment).unwrap_or_default()).collect::<Vec<_>>().join("/")
}

fn decode(segment: &str) -> Result<String, Ambiguous> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, tail @ ..] = rest else { return Err(Ambiguous("a broken escape")) };
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
            return Err(Ambiguous("a broken escape"));
        };
        // Both are below 16.
        bytes.push((high * 16 + low) as u8);
        rest = tail;
    }
    String::from_utf8(bytes).map_err(|_| Ambiguous("bytes that are not UTF-8"))
}

fn check_segment(text: &str) -> Result<(), Ambiguous> {
    if text.chars().any(|c| c.is_control() || matches!(c, '/' | '\\' | '?' | '#' | ';')) {
        return Err(Ambiguous("an escaped or unusual separator"));
    }
    if text.ends_with('.') || text.ends_with(' ') {
        return Err(Ambiguous("a segment that ends in a dot or a space"));
    }
    let bytes = text.as_bytes();
    let escape_again =
        bytes.windows(3).any(|w| w[0] == b'%' && w[1].is_ascii_hexdigit() && w[2].is_ascii_hexdigit());
    if escape_again { Err(Ambiguous("an escape within an escape")) } else { Ok(()) }
}

fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        // RFC 3986 pchar without `;`, which some servers cut a segment at.
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b01_a_resource_is_its_origin_and_path() {
        let same = |one, other| same_resource(one, other, true);
        assert!(same("https://a.example/x?b=1", "https://A.example:443/x"));
        assert!(same("https://a.example/%61", "https://a.example/a"));
        for other in ["https://b.example/x", "http://a.example/x", "https://a.example/y", "/x", ""] {
            assert!(!same("https://a.example/x", other), "{other}");
        }
        assert!(same_resource("https://a.example/x", "http://b.example/x", false));
    }

    #[test]
    fn only_this_machine_is_believed_without_a_public_url() {
        for ours in ["localhost", "localhost:4021", "127.0.0.1:1", "[::1]:80", "LOCALHOST"] {
            assert!(is_loopback(ours), "{ours}");
        }
        for other in
            ["evil.example", "localhost.evil.example", "a@localhost", "127.0.0.1.evil", "", "0.0.0.0"]
        {
            assert!(!is_loopback(other), "{other}");
        }
    }

    #[test]
    fn a_canonical_path_stays_as_it_is() {
        for raw in ["/", "/a", "/a/", "/caf%C3%A9/x%20y", "/a+b,c=d:@e", "/100%25", "/%7Bx%7D"] {
            let once = path(raw).unwrap();
            assert_eq!(path(&once).unwrap(), once, "{raw}");
        }
        assert_eq!(path("/%61%2d%7e").unwrap(), "/a-~");
        assert_eq!(path("/caf%c3%a9").unwrap(), "/caf%C3%A9");
    }
}
