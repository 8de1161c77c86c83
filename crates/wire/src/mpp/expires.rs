//! When a challenge ends: a date of RFC 3339. We write whole seconds in UTC; others write fractions and offsets.

use groat_core::Timestamp;

/// No date is longer: fractions may have many digits.
const SIZE_BYTES_MAX: usize = 40;

/// The second of a date, its fraction dropped; `None` for what is no date, or lies before 1970.
pub(super) fn read(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    if bytes.len() > SIZE_BYTES_MAX || !text.is_ascii() {
        return None;
    }
    let [year, month, day] = [number(bytes, 0, 4)?, number(bytes, 5, 2)?, number(bytes, 8, 2)?];
    let [hour, minute, second] = [number(bytes, 11, 2)?, number(bytes, 14, 2)?, number(bytes, 17, 2)?];
    let marks = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    let is_marked = marks.iter().all(|(at, mark)| bytes.get(*at) == Some(mark));
    let is_day = (1..=12).contains(&month) && day >= 1 && day <= days_of(year, month);
    let is_time = hour <= 23 && minute <= 59 && second <= 60;
    if !is_marked || !is_day || !is_time || !matches!(bytes.get(10), Some(b'T' | b't')) {
        return None;
    }
    let offset_s = offset(fraction(bytes.get(19..)?)?)?;
    let at = days_before(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset_s;
    u64::try_from(at).ok().map(Timestamp)
}

fn number(bytes: &[u8], at: usize, digits: usize) -> Option<i64> {
    let part = bytes.get(at..at + digits)?;
    part.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

/// What follows a fraction of at least one digit, or everything where there is none.
fn fraction(rest: &[u8]) -> Option<&[u8]> {
    let Some(digits) = rest.strip_prefix(b".") else { return Some(rest) };
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    if end == 0 { None } else { digits.get(end..) }
}

/// Seconds that local time is ahead of UTC.
fn offset(rest: &[u8]) -> Option<i64> {
    let sign = match rest {
        [b'Z' | b'z'] => return Some(0),
        [b'+', _, _, b':', _, _] => 1,
        [b'-', _, _, b':', _, _] => -1,
        _ => return None,
    };
    let (hours, minutes) = (number(rest, 1, 2)?, number(rest, 4, 2)?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn days_of(year: i64, month: i64) -> i64 {
    let leaps = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leaps => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March here, so that the odd day comes last; 400 of them have 146,097 days.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}
