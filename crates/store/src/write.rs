//! What callers hand to the store, and the rules it must obey.

use hearth_block::{Row, SLOT_MS, Series};
use hearth_profile::Dictionary;

use crate::Error;

/// Rows with the tables they index.
#[derive(Clone, Debug, Default)]
pub struct Write {
    /// The stacks of `rows`; may hold more than they use.
    pub dictionary: Dictionary,
    /// The series of `rows`.
    pub series: Vec<Series>,
    /// What is added. Rows of equal series, stack and slot are summed.
    pub rows: Vec<Row>,
}

/// What became of a write that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// How many rows were added: 0 for a duplicate.
    pub rows: usize,
    /// Whether a batch with this id was stored before, so that this one was not.
    pub duplicate: bool,
}

/// Longest tenant name.
const TENANT_LEN_MAX: usize = 150;

/// Checks a tenant's name: Pyroscope's rule, which also makes it a safe directory name.
///
/// # Errors
///
/// [`Error::Tenant`] that names the rule which the name breaks.
pub fn check_tenant(name: &str) -> Result<(), Error> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!_.*'()-".contains(&byte);
    let reason = match name {
        "" => "empty",
        "." | ".." => "a directory's own name",
        _ if name.len() > TENANT_LEN_MAX => "too long",
        _ if !name.bytes().all(allowed) => "contains another character",
        _ => return Ok(()),
    };
    Err(Error::Tenant { name: name.chars().take(200).collect(), reason })
}

impl Write {
    /// Checks that every row indexes this write's tables and that its slot is one.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let stacks = self.dictionary.stacks().len();
        let slot_ms_max = i64::from(i32::MAX) * SLOT_MS;
        for (index, row) in self.rows.iter().enumerate() {
            let reason = if row.series as usize >= self.series.len() {
                format!("row {index}: series {} of {}", row.series, self.series.len())
            } else if row.stack.index() >= stacks {
                format!("row {index}: stack {} of {stacks}", row.stack.0)
            } else if row.slot_ms.rem_euclid(SLOT_MS) != 0 || !(0..=slot_ms_max).contains(&row.slot_ms) {
                format!(
                    "row {index}: slot {} ms; expected a multiple of {SLOT_MS} from 0 to {slot_ms_max}",
                    row.slot_ms
                )
            } else {
                continue;
            };
            return Err(Error::Invalid { reason });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn tenants_are_safe_directory_names() {
        let cases = [
            ("anonymous",        true),
            ("Team-1_(a)*.b!'",  true),
            ("...",              true),
            ("",                 false),
            (".",                false),
            ("..",               false),
            ("a/b",              false),
            ("a\0",              false),
            ("ä",                false),
        ];
        for (name, allowed) in cases {
            assert_eq!(check_tenant(name).is_ok(), allowed, "{name:?}");
        }
        assert!(check_tenant(&"a".repeat(150)).is_ok());
        assert!(check_tenant(&"a".repeat(151)).is_err());
    }
}
