//! Paths of a gateway: patterns mean what their regular expression means, and no spelling of a priced path is free.

use groat_seller::{Pattern, fuzzing};
use regex::{Regex, RegexBuilder};

/// A pattern, a NUL, and the path of a request.
pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (pattern, path) = text.split_once('\0').unwrap_or((text, text));
    if let Some(canonical) = fuzzing::canonical_path(path) {
        one_spelling(path, &canonical);
    }
    let Ok(pattern) = pattern.parse::<Pattern>() else { return };
    if let Some(canonical) = fuzzing::canonical_path(path) {
        as_the_regex_says(&pattern, &canonical);
    }
    nothing_is_free(&pattern, path);
}

/// The canonical path is stable and means the same bytes.
fn one_spelling(raw: &str, canonical: &str) {
    assert_eq!(fuzzing::canonical_path(canonical).as_deref(), Some(canonical), "{raw:?}");
    assert!(
        canonical.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\\"<>{}|^`;?#".contains(&byte)),
        "{canonical:?}"
    );
    assert_eq!(unescape(raw.as_bytes()), unescape(canonical.as_bytes()));
    assert!(!canonical.contains("//") && !canonical.contains("/../") && !canonical.ends_with("/.."));
}

/// The translation of the official SDKs (`parseRoutePattern`): escape, `*` is `.*?`, a parameter is `[^/]+`.
fn as_the_regex_says(pattern: &Pattern, canonical: &str) {
    let text = pattern.as_str();
    let path = text.split_once(' ').map_or(text, |(_, path)| path);
    let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
    let Some(regex) = regex(&lower(path)) else { return };
    let asked = lower(&String::from_utf8(unescape(canonical.as_bytes())).unwrap());
    let asked = if asked.len() > 1 { asked.trim_end_matches('/').to_owned() } else { asked };
    let expected =
        regex.is_match(&asked) || lower(path).ends_with("/*") && regex.is_match(&format!("{asked}/"));
    assert_eq!(fuzzing::matches(pattern, canonical), expected, "{text:?} {canonical:?}");
}

fn regex(path: &str) -> Option<Regex> {
    let parameter = Regex::new(r"\[[A-Za-z0-9_]+\]|:[A-Za-z0-9_]+|\*").unwrap();
    let mut source = String::from("^");
    let mut at = 0;
    for found in parameter.find_iter(path) {
        source.push_str(&regex::escape(&path[at..found.start()]));
        source.push_str(if found.as_str() == "*" { ".*" } else { "[^/]+" });
        at = found.end();
    }
    source.push_str(&regex::escape(&path[at..]));
    source.push('$');
    RegexBuilder::new(&source).dot_matches_new_line(true).size_limit(1 << 22).build().ok()
}

/// Character by character, as a path has no words whose last letter is special.
fn lower(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// A server behind the gateway may be tolerant: whatever it would take for the priced path is priced or refused.
fn nothing_is_free(pattern: &Pattern, path: &str) {
    let text = pattern.as_str();
    let priced = text.split_once(' ').map_or(text, |(_, path)| path);
    let plain = priced.starts_with('/') && !priced.contains(['*', ':', '[', ']']);
    if !plain || !path.starts_with('/') || path.contains(['?', '#']) || tolerant(priced) != tolerant(path) {
        return;
    }
    if let Some(canonical) = fuzzing::canonical_path(path)
        // A pattern that no request can be about prices nothing.
        && fuzzing::canonical_path(priced).is_some()
    {
        assert!(
            fuzzing::matches(pattern, &canonical),
            "{path:?} is {priced:?} to a tolerant server, and free"
        );
    }
}

/// How the most tolerant server reads a path: unescape until nothing changes, backslashes are slashes, parameters and
/// NUL end a segment, dots and spaces at its end do not count, empty segments and case neither, dot segments go up.
fn tolerant(path: &str) -> Vec<String> {
    let mut bytes = path.as_bytes().to_vec();
    loop {
        let next = unescape(&bytes);
        if next == bytes {
            break;
        }
        bytes = next;
    }
    let text = String::from_utf8_lossy(&bytes).replace('\\', "/");
    let mut segments: Vec<String> = Vec::new();
    for segment in text.split('/') {
        let segment = segment.split([';', '\0']).next().unwrap_or_default();
        match segment {
            ".." => drop(segments.pop()),
            _ => {
                let kept = lower(segment.trim_end_matches(['.', ' ']));
                segments.extend(Some(kept).filter(|kept| !kept.is_empty()));
            }
        }
    }
    segments
}

fn unescape(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, tail)) = rest.split_first() {
        let escaped = tail.get(..2).filter(|_| *first == b'%').and_then(|digits| hex::decode(digits).ok());
        match escaped {
            Some(byte) => {
                out.extend(byte);
                rest = &tail[2..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}
