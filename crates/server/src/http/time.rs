//! Times as Pyroscope's older interface writes them.

/// A time in nanoseconds since 1970, or `None` if `text` is no time.
///
/// Accepted are seconds, milliseconds (13 digits), microseconds (16) and nanoseconds (19) since
/// 1970, a day as `YYYYMMDD`, and `now` with a distance such as `now-1h` or `now-30min`.
pub(super) fn parse(text: &str, now_ns: i64) -> Option<i64> {
    let text = text.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number: i64 = text.parse().ok()?;
        return match text.len() {
            8 => day(number),
            13 => number.checked_mul(1_000_000),
            16 => number.checked_mul(1_000),
            19 => Some(number),
            _ => number.checked_mul(1_000_000_000),
        };
    }
    let at = text.find(['-', '+']);
    let (reference, distance) = text.split_at(at.unwrap_or(text.len()));
    if !reference.trim().chars().all(char::is_alphabetic) {
        return None;
    }
    if distance.is_empty() {
        return (reference.trim() == "now").then_some(now_ns);
    }
    let (sign, distance) = distance.split_at(1);
    let distance = duration(distance.trim())?;
    if sign == "-" { now_ns.checked_sub(distance) } else { now_ns.checked_add(distance) }
}

/// A distance such as `1h` or `30min`, in nanoseconds.
fn duration(text: &str) -> Option<i64> {
    let digits = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "s" | "sec" | "second" | "seconds" => 1,
        "m" | "min" | "minute" | "minutes" => 60,
        "h" | "hour" | "hours" => 3_600,
        "d" | "day" | "days" => 86_400,
        "w" | "week" | "weeks" => 7 * 86_400,
        "M" | "mon" | "month" | "months" => 30 * 86_400,
        "y" | "year" | "years" => 365 * 86_400,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(seconds)?.checked_mul(1_000_000_000)
}

/// The first nanosecond of a day in UTC.
fn day(number: i64) -> Option<i64> {
    let (year, month, day) = (number / 10_000, number / 100 % 100, number % 100);
    if !(1970..=2200).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years that begin in March, so that the leap day is the last one: Hinnant, days_from_civil.
    let shifted = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + day_of_year - 719_468;
    days.checked_mul(86_400_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn times_are_read_in_all_forms() {
        const S: i64 = 1_000_000_000;
        let now = 1_700_000_000 * S;
        let cases = [
            ("now",                 Some(now)),
            ("now-1h",              Some(now - 3_600 * S)),
            ("now - 30min",         Some(now - 1_800 * S)),
            ("now+1d",              Some(now + 86_400 * S)),
            ("today-2w",            Some(now - 14 * 86_400 * S)),
            ("1700000000",          Some(now)),
            ("1700000000000",       Some(now)),
            ("1700000000000000",    Some(now)),
            ("1700000000000000000", Some(now)),
            ("0",                   Some(0)),
            ("19700101",            Some(0)),
            ("20240229",            Some(1_709_164_800 * S)),
            ("20241301",            None),
            ("yesterday",           None),
            ("now-1fortnight",      None),
            ("now-h",               None),
            ("99999999999999999999", None),
            ("9223372036854775",    Some(9_223_372_036_854_775_000)),
            ("1.5",                 None),
            ("",                    None),
        ];
        for (text, want) in cases {
            assert_eq!(parse(text, now), want, "{text}");
        }
    }
}
