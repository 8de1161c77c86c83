//! JSON in its one canonical form (RFC 8785), so that everybody hashes the same bytes.

use serde_json::{Map, Number, Value};

/// The canonical text of an object.
pub(super) fn object(members: &Map<String, Value>) -> String {
    let mut out = String::new();
    write_object(members, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => write_object(members, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Number(number) => out.push_str(&write_number(number)),
        // Here serde_json writes what the RFC wants: short escapes, else \u00xx in lower case.
        Value::String(_) | Value::Bool(_) | Value::Null => out.push_str(&value.to_string()),
    }
}

fn write_object(members: &Map<String, Value>, out: &mut String) {
    let mut members: Vec<_> = members.iter().collect();
    // By UTF-16 code units (section 3.2.3), which is not the order of bytes.
    members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    out.push('{');
    for (index, (key, value)) in members.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(&Value::from(key.as_str()), out);
        out.push(':');
        write(value, out);
    }
    out.push('}');
}

/// A number as ECMAScript writes a double (section 3.2.2.3): the shortest digits, laid out by the exponent.
fn write_number(number: &Number) -> String {
    // JSON has no number that a double cannot stand for, or it was refused when it was read.
    let Some(double) = number.as_f64().and_then(Number::from_f64) else { return "null".into() };
    // serde_json finds the right digits, also between two that are equally near, and lays them out in its own way.
    let text = double.to_string();
    let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let padded = format!("{whole}{fraction}");
    let digits = padded.trim_start_matches('0');
    // ECMA-262, Number::toString: `point` is n, the digits before the decimal point.
    let point = whole.len() as i32 + exponent - (padded.len() - digits.len()) as i32;
    let digits = digits.trim_end_matches('0');
    if digits.is_empty() {
        return "0".into();
    }
    let count = digits.len() as i32;
    let zeros = |count: i32| "0".repeat(count.unsigned_abs() as usize);
    let body = match point {
        point if count <= point && point <= 21 => digits.to_owned() + &zeros(point - count),
        1..=21 => format!("{}.{}", &digits[..point as usize], &digits[point as usize..]),
        -5..=0 => format!("0.{}{digits}", zeros(point)),
        _ => {
            let (first, rest) = digits.split_at(1);
            let dot = if rest.is_empty() { "" } else { "." };
            let plus = if point < 1 { "-" } else { "+" };
            format!("{first}{dot}{rest}e{plus}{}", (point - 1).unsigned_abs())
        }
    };
    format!("{sign}{body}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        object(serde_json::from_str::<Value>(text).unwrap().as_object().unwrap())
    }

    #[test]
    fn the_samples_of_the_rfc() {
        // Section 3.2.2 to 3.2.4.
        let input = r#"{
            "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
            "literals": [null, true, false]
        }"#;
        assert_eq!(
            canonical(input),
            r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#
        );
        let input = r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh",
            "1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#;
        let order: Vec<_> = ["Carriage", "One", "Control", "Latin", "Euro", "Emoji", "Hebrew"]
            .map(|word| canonical(input).find(word))
            .into();
        assert!(order.is_sorted() && order[0].is_some(), "{order:?}");
    }

    #[test]
    fn numbers_are_written_as_the_appendix_has_them() {
        for (bits, text) in [
            (0x0000_0000_0000_0000, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] {
            assert_eq!(write_number(&Number::from_f64(f64::from_bits(bits)).unwrap()), text);
        }
        assert_eq!(write_number(&Number::from(1_735_920_000u64)), "1735920000");
        assert_eq!(write_number(&Number::from(-7)), "-7");
    }
}
