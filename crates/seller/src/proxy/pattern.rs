//! Route patterns as the official SDKs write them: `GET /weather/:city`, `/files/*`, `/users/[id]/avatar`.

use std::str::FromStr;

use http::Method;

use crate::config::ConfigError;

/// `[VERB ]path`: `*` is any run of characters, also across slashes; `:name` and `[name]` are one segment; everything
/// else is literal, compared without regard to case. A trailing `/*` also matches without it, and a trailing slash of
/// the path does not count. `GET` covers `HEAD` (threat row H15).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    method: Option<Method>,
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// One character, in lower case.
    Literal(char),
    /// Any run, also an empty one.
    Any,
    /// At least one character, none of them a slash.
    Segment,
}

impl Pattern {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its method, `*` for any, and its path.
    pub(crate) fn parts(&self) -> (&str, &str) {
        let path = self.text.split_once(' ').map_or(self.text.as_str(), |(_, path)| path);
        (self.method.as_ref().map_or("*", Method::as_str), path)
    }

    /// Whether the rule is about this method.
    pub fn covers(&self, method: &Method) -> bool {
        match &self.method {
            None => true,
            Some(own) => own == method || (own == Method::GET && method == Method::HEAD),
        }
    }

    /// Whether the rule is about this path, given without escapes. Takes time in proportion to both lengths.
    pub(crate) fn matches(&self, path: &str) -> bool {
        let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
        self.run(path)
            || self.tokens.ends_with(&[Token::Literal('/'), Token::Any]) && self.run(&format!("{path}/"))
    }

    fn run(&self, path: &str) -> bool {
        // `at[i]`: the characters so far can be what the first `i` tokens say.
        let mut at = vec![false; self.tokens.len() + 1];
        at[0] = true;
        self.skip_runs(&mut at);
        for c in path.chars().flat_map(char::to_lowercase) {
            let mut next = vec![false; at.len()];
            for (index, token) in self.tokens.iter().enumerate() {
                match token {
                    Token::Literal(own) if *own == c => next[index + 1] |= at[index],
                    Token::Any => next[index] |= at[index],
                    // The token is done with its first character and may take more.
                    Token::Segment if c != '/' => next[index + 1] |= at[index] || at[index + 1],
                    _ => {}
                }
            }
            self.skip_runs(&mut next);
            at = next;
        }
        at[self.tokens.len()]
    }

    fn skip_runs(&self, at: &mut [bool]) {
        for (index, token) in self.tokens.iter().enumerate() {
            if *token == Token::Any && at[index] {
                at[index + 1] = true;
            }
        }
    }
}

impl FromStr for Pattern {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let wrong = |problem: &str| ConfigError::wrong(format!("route `{text}`"), problem);
        let (method, path) = match text.split_once(' ') {
            None => (None, text),
            Some(("*", path)) => (None, path),
            Some((verb, path)) => {
                let verb = Method::from_bytes(verb.to_ascii_uppercase().as_bytes());
                (Some(verb.map_err(|_| wrong("the verb is not an HTTP method"))?), path)
            }
        };
        if !path.starts_with(['/', '*']) {
            return Err(wrong("a path begins with `/` or `*`"));
        }
        if let Some(c) =
            path.chars().find(|c| matches!(c, '%' | '?' | '#' | ';' | '\\' | ' ') || c.is_control())
        {
            return Err(wrong(&format!(
                "`{}` cannot be matched; write paths without escapes",
                c.escape_default()
            )));
        }
        // Paths are compared without their trailing slash, so a pattern must not ask for one.
        let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
        Ok(Self { text: text.to_owned(), method, tokens: tokens(path) })
    }
}

fn tokens(path: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = path;
    while let Some(c) = rest.chars().next() {
        let name = |text: &str| text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        let after = &rest[c.len_utf8()..];
        let length = name(after);
        let closed = after[length..].starts_with(']');
        let (token, taken) = match c {
            '*' => (Some(Token::Any), 1),
            ':' if length > 0 => (Some(Token::Segment), 1 + length),
            '[' if length > 0 && closed => (Some(Token::Segment), 2 + length),
            _ => (None, c.len_utf8()),
        };
        match token {
            Some(token) => tokens.push(token),
            None => tokens.extend(c.to_lowercase().map(Token::Literal)),
        }
        rest = &rest[taken..];
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        pattern.parse::<Pattern>().unwrap().matches(path)
    }

    #[test]
    fn patterns_mean_what_the_official_sdks_say() {
        for (pattern, yes, no) in [
            ("/a", &["/a", "/A", "/a/"][..], &["/", "/ab", "/a/b", "/b"][..]),
            ("*", &["/", "/a", "/a/b"], &[]),
            ("/a/*", &["/a", "/a/", "/a/b", "/a/b/c"], &["/ab", "/"]),
            ("/a*", &["/a", "/ab", "/a/b"], &["/b"]),
            ("/w/:city", &["/w/oslo", "/w/Oslo/"], &["/w", "/w/", "/w/a/b"]),
            ("/w/[city]/now", &["/w/x/now"], &["/w/now", "/w/a/b/now"]),
            ("/w/[city].json", &["/w/a.json", "/w/a.b.json"], &["/w/.json", "/w/a"]),
            ("/x/*/y", &["/x/1/y", "/x/1/2/y", "/x//y"], &["/x/y", "/x/1/z"]),
            ("/a/", &["/a", "/a/"], &["/a/b"]),
            ("/caf\u{e9}", &["/caf\u{e9}", "/CAF\u{c9}"], &["/cafe"]),
            ("/", &["/"], &["/a"]),
            ("/a.c", &["/a.c"], &["/abc"]),
        ] {
            yes.iter().for_each(|path| assert!(matches(pattern, path), "{pattern} {path}"));
            no.iter().for_each(|path| assert!(!matches(pattern, path), "{pattern} {path}"));
        }
    }

    #[test]
    fn h15_get_covers_head_and_a_rule_without_verb_covers_all() {
        let rule: Pattern = "get /a".parse().unwrap();
        assert!(rule.covers(&Method::GET) && rule.covers(&Method::HEAD) && !rule.covers(&Method::POST));
        assert!("/a".parse::<Pattern>().unwrap().covers(&Method::DELETE));
        assert!("* /a".parse::<Pattern>().unwrap().covers(&Method::DELETE));
    }

    #[test]
    fn a_pattern_that_could_never_match_is_an_error() {
        for bad in ["a", "GET a", "/a?b", "/%61", "/a b", "G\u{1}T /a", "", "/a;b"] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_is_matched_in_linear_time() {
        let pattern = format!("/{}b", "*a".repeat(50));
        assert!(!matches(&pattern, &format!("/{}", "a".repeat(4_000))));
    }
}
