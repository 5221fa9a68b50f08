//! `GET /api/v1/unnamed`: the binaries with code that has no name, by weight, with what would fix it.

use hearth_query::{Unnamed, UnnamedBinary};
use serde_json::{Value, json};

use super::api::{Answer, Asked};
use super::rpc::RpcError;
use crate::symbols::hint;

/// Binaries listed if the request does not say, and at most.
const BINARIES_DEFAULT: i64 = 50;
const BINARIES_MAX: i64 = 10_000;

/// The answer for one profile type in one stretch of time.
pub(super) fn answer(asked: &Asked<'_>) -> Result<Answer, RpcError> {
    let limit = usize::try_from(asked.number("limit", BINARIES_DEFAULT, 1, BINARIES_MAX)?).unwrap_or(0);
    let query = asked.typed()?;
    let Unnamed { total, leaf, binaries } = asked.app.engine.unnamed(&query)?;
    let share = |value: i64| if total == 0 { 0.0 } else { value as f64 / total as f64 };
    let debuginfod = !asked.app.config.symbols.debuginfod_urls.is_empty();
    let object = |binary: &UnnamedBinary| {
        let facts = asked.app.symbols.shelf.facts(&asked.tenant, &binary.build_id);
        let has_names = facts.is_some_and(|facts| facts.has_names());
        json!({
            "binary": binary.filename,
            "build_id": binary.build_id,
            "kernel": binary.kernel,
            "total": binary.total,
            "share": share(binary.total),
            "leaf": binary.leaf,
            "leaf_share": share(binary.leaf),
            "places": binary.places,
            "hint": hint(binary, has_names, debuginfod),
        })
    };
    let listed: Vec<Value> = binaries.iter().take(limit).map(object).collect();
    Ok(json!({
        "from": query.range.start_ms(),
        "to": query.range.end_ms(),
        "total": total,
        "leaf": leaf,
        "leaf_share": share(leaf),
        "count": binaries.len(),
        "binaries": listed,
    })
    .into())
}
