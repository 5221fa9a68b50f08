//! Time ranges and steps, checked before anything is read.

use hearth_block::SLOT_MS;

/// Most points one series may have in an answer.
pub(crate) const POINTS_MAX: usize = 11_000;

/// A stretch of time, milliseconds since the Unix epoch: `start_ms <= t < end_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    start_ms: i64,
    end_ms: i64,
}

/// A range or step that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RangeError {
    /// The range ends before it starts.
    #[error("invalid time range: start {start_ms} is after end {end_ms} (milliseconds since 1970)")]
    Reversed {
        /// Its start.
        start_ms: i64,
        /// Its end.
        end_ms: i64,
    },
    /// A step of no length.
    #[error("invalid step: {step_ms} ms; expected 1 ms or more")]
    Step {
        /// The step.
        step_ms: i64,
    },
    /// The step is too small for the range.
    #[error(
        "step {step_ms} ms over {length_ms} ms gives {points} points per series, more than the limit of \
         {POINTS_MAX}; use a step of at least {least_ms} ms"
    )]
    Points {
        /// The step.
        step_ms: i64,
        /// The length of the range.
        length_ms: i64,
        /// How many points that would be.
        points: i64,
        /// The smallest step that is allowed.
        least_ms: i64,
    },
}

impl Range {
    /// A range with an exclusive end.
    ///
    /// # Errors
    ///
    /// [`RangeError::Reversed`] if the start is after the end. An empty range is fine.
    pub fn new(start_ms: i64, end_ms: i64) -> Result<Self, RangeError> {
        if start_ms > end_ms {
            return Err(RangeError::Reversed { start_ms, end_ms });
        }
        Ok(Self { start_ms, end_ms })
    }

    /// A range that includes its last millisecond, as Pyroscope's requests mean it.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn inclusive(start_ms: i64, last_ms: i64) -> Result<Self, RangeError> {
        if start_ms > last_ms {
            return Err(RangeError::Reversed { start_ms, end_ms: last_ms });
        }
        Ok(Self { start_ms, end_ms: last_ms.saturating_add(1) })
    }

    /// Everything that is stored.
    pub fn all() -> Self {
        Self { start_ms: i64::MIN, end_ms: i64::MAX }
    }

    /// First millisecond.
    pub fn start_ms(self) -> i64 {
        self.start_ms
    }

    /// The millisecond after the last.
    pub fn end_ms(self) -> i64 {
        self.end_ms
    }

    /// Its length; saturates.
    pub fn length_ms(self) -> i64 {
        self.end_ms.saturating_sub(self.start_ms)
    }

    /// Whether all slots from `first` to `last`, both inclusive, lie in this range.
    pub(crate) fn contains(self, (first, last): (i64, i64)) -> bool {
        self.start_ms <= first && last < self.end_ms
    }
}

/// How many steps of `step_ms` begin within `length_ms`, at most [`POINTS_MAX`].
pub(crate) fn steps(length_ms: i64, step_ms: i64) -> Result<usize, RangeError> {
    if step_ms < 1 {
        return Err(RangeError::Step { step_ms });
    }
    let points = length_ms.max(0).saturating_add(step_ms - 1) / step_ms;
    let limit = i64::try_from(POINTS_MAX).unwrap_or(i64::MAX);
    if points > limit {
        let least_ms = (length_ms / limit).saturating_add(1).max(SLOT_MS);
        return Err(RangeError::Points { step_ms, length_ms, points, least_ms });
    }
    Ok(usize::try_from(points).unwrap_or(POINTS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_ranges_name_the_limit() {
        assert!(Range::new(5, 4).unwrap_err().to_string().contains("start 5 is after end 4"));
        assert!(steps(1_000, 0).unwrap_err().to_string().contains("expected 1 ms or more"));
        let error = steps(i64::MAX, 1).unwrap_err().to_string();
        assert!(error.contains("limit of 11000"), "{error}");
        assert_eq!(steps(60_000, 15_000), Ok(4));
        assert_eq!(steps(60_001, 15_000), Ok(5));
        assert_eq!(steps(-1, 15_000), Ok(0));
    }
}
