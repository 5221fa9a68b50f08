//! `retry_on_failure`: how long to wait before the next attempt, and when to give up.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::decode::Section;
use crate::duration;

/// Exponential backoff with jitter, as the Collector's `retry_on_failure`.
#[derive(Clone, Debug, PartialEq)]
pub struct RetrySettings {
    /// Whether to try again at all.
    pub enabled: bool,
    /// Wait after the first failure.
    pub initial_interval: Duration,
    /// Each wait is random within this share of itself, from 0 to 1.
    pub randomization_factor: f64,
    /// How much longer each wait is than the one before.
    pub multiplier: f64,
    /// The longest wait.
    pub max_interval: Duration,
    /// Time after the first attempt when to give up; zero means never.
    pub max_elapsed_time: Duration,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            enabled: true,
            initial_interval: Duration::from_secs(5),
            randomization_factor: 0.5,
            multiplier: 1.5,
            max_interval: Duration::from_secs(30),
            max_elapsed_time: Duration::from_secs(300),
        }
    }
}

impl RetrySettings {
    /// Reads the section `retry_on_failure`.
    pub fn read(&mut self, section: &mut Section<'_, '_>) {
        section.bool("enabled", &mut self.enabled);
        section.duration("initial_interval", &mut self.initial_interval);
        section.float("randomization_factor", &mut self.randomization_factor);
        section.float("multiplier", &mut self.multiplier);
        section.duration("max_interval", &mut self.max_interval);
        section.duration("max_elapsed_time", &mut self.max_elapsed_time);
        if !self.enabled {
            return;
        }
        if !(0.0..=1.0).contains(&self.randomization_factor) {
            section.invalid("", "'randomization_factor' must be within [0, 1]");
        }
        if !self.multiplier.is_finite() || self.multiplier < 0.0 {
            section.invalid("", "'multiplier' must be non-negative");
        }
        if !self.max_elapsed_time.is_zero() {
            for (name, interval) in
                [("initial_interval", self.initial_interval), ("max_interval", self.max_interval)]
            {
                if self.max_elapsed_time < interval {
                    section.invalid(
                        "",
                        format!(
                            "'max_elapsed_time' ({}) must not be less than '{name}' ({})",
                            duration::format(self.max_elapsed_time),
                            duration::format(interval)
                        ),
                    );
                }
            }
        }
    }

    /// The waits of one request.
    pub(super) fn backoff(&self) -> Backoff<'_> {
        Backoff { settings: self, next: self.initial_interval }
    }
}

/// The waits between attempts of one request.
pub(super) struct Backoff<'a> {
    settings: &'a RetrySettings,
    next: Duration,
}

impl Backoff<'_> {
    /// The next wait. `random` is uniform in 0 to 1.
    pub(super) fn wait(&mut self, random: f64) -> Duration {
        let Self { settings, next } = self;
        let interval = (*next).min(settings.max_interval);
        let spread = settings.randomization_factor * (2.0 * random - 1.0);
        let seconds = interval.as_secs_f64() * settings.multiplier;
        let longest = settings.max_interval.as_secs_f64();
        *next = Duration::try_from_secs_f64(seconds.min(longest)).unwrap_or(settings.max_interval);
        interval.mul_f64((1.0 + spread).max(0.0))
    }
}

/// A number from 0 to 1. Jitter only has to differ between machines and attempts; the seed of the
/// standard library's hasher, which comes from the operating system, is enough.
pub(super) fn random() -> f64 {
    let bits = RandomState::new().hash_one(0u8) >> 11;
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit an f64 exactly")]
    let number = bits as f64 / (1u64 << 53) as f64;
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::confmap::parse;
    use crate::decode::{Problems, read_section};

    #[test]
    fn waits_grow_to_the_longest_and_stay_within_the_jitter() {
        let settings = RetrySettings::default();
        let mut middle = settings.backoff();
        let waits: Vec<f64> = (0..7).map(|_| middle.wait(0.5).as_secs_f64()).collect();
        assert_eq!(waits, [5.0, 7.5, 11.25, 16.875, 25.3125, 30.0, 30.0]);
        assert_eq!(settings.backoff().wait(0.0), Duration::from_millis(2500));
        assert_eq!(settings.backoff().wait(1.0), Duration::from_millis(7500));
        assert!((0..1000).all(|_| (0.0..1.0).contains(&random())));
    }

    #[test]
    #[rustfmt::skip]
    fn senseless_settings_are_refused() {
        let cases = [
            ("{}",                                        None),
            ("{enabled: false, multiplier: -1}",          None),
            ("{max_elapsed_time: 0}",                     None),
            ("{randomization_factor: 2}",                 Some("'randomization_factor' must be within [0, 1]")),
            ("{multiplier: -1}",                          Some("'multiplier' must be non-negative")),
            ("{max_elapsed_time: 10s, max_interval: 8s, initial_interval: 20s}",
                Some("'max_elapsed_time' (10s) must not be less than 'initial_interval' (20s)")),
            ("{max_elapsed_time: 10s}",                   Some("'max_elapsed_time' (10s) must not be less than 'max_interval' (30s)")),
        ];
        for (yaml, want) in cases {
            let mut problems = Problems::default();
            read_section(&parse(yaml).unwrap(), &mut problems, |section| RetrySettings::default().read(section));
            assert_eq!(problems.invalid.first().map(|remark| remark.message.as_str()), want, "{yaml}");
        }
    }
}
