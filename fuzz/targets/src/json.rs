//! JSON in other spellings, and its shape read without a parser.

use serde_json::Value;

/// How deep a JSON text nests, from its brackets alone.
pub(crate) fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in text {
        match (in_text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_text = !in_text,
            (false, b'{' | b'[') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The same value with its members in reverse order; `loose` adds white space and escapes every character.
pub(crate) fn respell(value: &Value, loose: bool) -> String {
    let mut out = String::new();
    write(value, loose, &mut out);
    out
}

fn write(value: &Value, loose: bool, out: &mut String) {
    let space = if loose { " \n\t\r" } else { "" };
    out.push_str(space);
    match value {
        Value::Object(members) => {
            out.push('{');
            for (index, (key, value)) in members.iter().rev().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                out.push_str(space);
                text(key, loose, out);
                out.push_str(space);
                out.push(':');
                write(value, loose, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                write(item, loose, out);
            }
            out.push(']');
        }
        Value::String(own) => text(own, loose, out),
        plain => out.push_str(&plain.to_string()),
    }
    out.push_str(space);
}

fn text(own: &str, loose: bool, out: &mut String) {
    if !loose {
        return out.push_str(&serde_json::to_string(own).unwrap());
    }
    out.push('"');
    own.encode_utf16().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
    out.push('"');
}

/// The value of a member, any number of levels down.
pub(crate) fn at_mut<'v>(value: &'v mut Value, path: &[&str]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |value, key| value.get_mut(key))
}
