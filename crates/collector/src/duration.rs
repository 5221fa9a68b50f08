//! Durations as Go writes and reads them: `1h2m3.5s`, `200ms`.

use std::time::Duration;

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a duration.
///
/// # Errors
///
/// The text of Go's `time.ParseDuration`; negative durations are refused because no key takes one.
pub fn parse(text: &str) -> Result<Duration, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.starts_with('-') {
        return Err(format!("time: negative duration {text:?}"));
    }
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let number_len = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(number_len);
        let unit_len = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        if number.is_empty() || number == "." {
            return Err(invalid());
        }
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {text:?}"));
        }
        let &(_, scale) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(|| format!("time: unknown unit {unit:?} in duration {text:?}"))?;
        let nanos = scaled(number, scale).ok_or_else(invalid)?;
        total = total.checked_add(nanos).filter(|&nanos| i64::try_from(nanos).is_ok()).ok_or_else(invalid)?;
        rest = after;
    }
    Ok(Duration::from_nanos(total))
}

/// A decimal number times a unit, exact, truncated to nanoseconds.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
    let mut nanos = whole.checked_mul(scale)?;
    if !fraction.is_empty() {
        let digits = &fraction[..fraction.len().min(15)];
        let part = digits.parse::<u64>().ok()?;
        let power = 10u128.pow(u32::try_from(digits.len()).ok()?);
        nanos = nanos.checked_add(u64::try_from(u128::from(part) * u128::from(scale) / power).ok()?)?;
    }
    Some(nanos)
}

/// Writes a duration as Go's `Duration.String` does.
pub fn format(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let below_a_second = |scale: u128, unit: &str| {
        let text = format!("{}.{:0width$}", nanos / scale, nanos % scale, width = scale.ilog10() as usize);
        format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    match nanos {
        0 => "0s".into(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => below_a_second(1_000, "µs"),
        1_000_000..1_000_000_000 => below_a_second(1_000_000, "ms"),
        _ => {
            let seconds = duration.as_secs();
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let text = format!("{}.{:09}", seconds % 60, duration.subsec_nanos());
            let seconds = text.trim_end_matches('0').trim_end_matches('.');
            match (hours, minutes) {
                (0, 0) => format!("{seconds}s"),
                (0, _) => format!("{minutes}m{seconds}s"),
                _ => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn durations_are_read_and_written_as_in_go() {
        let cases = [
            ("5s", 5_000_000_000, "5s"),           ("1m", 60_000_000_000, "1m0s"),
            ("1h2m3.5s", 3_723_500_000_000, "1h2m3.5s"), ("200ms", 200_000_000, "200ms"),
            ("1.5ms", 1_500_000, "1.5ms"),         ("0", 0, "0s"),
            ("10us", 10_000, "10µs"),              ("7ns", 7, "7ns"),
            (".5s", 500_000_000, "500ms"),
        ];
        for (text, nanos, again) in cases {
            let duration = parse(text).unwrap();
            assert_eq!((duration.as_nanos(), format(duration).as_str()), (nanos, again), "{text}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn what_is_no_duration_says_why() {
        let cases = [
            ("5",    r#"time: missing unit in duration "5""#),
            ("",     r#"time: invalid duration """#),
            ("abc",  r#"time: invalid duration "abc""#),
            ("5x",   r#"time: unknown unit "x" in duration "5x""#),
            ("-5s",  r#"time: negative duration "-5s""#),
            ("9999999999h", r#"time: invalid duration "9999999999h""#),
            ("..s",  r#"time: invalid duration "..s""#),
        ];
        for (text, want) in cases {
            assert_eq!(parse(text).unwrap_err(), want, "{text}");
        }
    }
}
