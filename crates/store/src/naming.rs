//! Names that arrive after the data: what is read gets them at once, what is on the disk soon after.
//!
//! ```text
//! symbols arrive (Namer) ─▶ dictionaries that queries, flushes and merges read have names
//!                         └▶ compactor: blocks with such binaries are rewritten, dictionary only
//! ```
//!
//! Each block's row in the catalog says up to which generation of symbols it was named, so that a
//! start looks at no block twice. A rewrite is a merge of one block: written, synced, then exchanged
//! in one transaction; a crash leaves the old block or the new one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hearth_block::{Namer, Naming};
use hearth_profile::Dictionary;

use crate::Error;
use crate::blocks::{StoredBlock, write_durably};
use crate::catalog::BlockRow;
use crate::compact::exchange;
use crate::shared::Shared;

/// What `dictionary` is with all names known now; `after` is the generation up to which it has them.
pub(crate) fn with_names(
    namer: Option<&Arc<dyn Namer>>,
    tenant: &str,
    after: u64,
    dictionary: Arc<Dictionary>,
) -> Arc<Dictionary> {
    let Some(namer) = namer else { return dictionary };
    Naming { namer: namer.as_ref(), tenant, after }.named(&dictionary).map_or(dictionary, Arc::new)
}

/// Rewrites the blocks for whose binaries symbols arrived since they were written.
pub(crate) fn name_blocks(shared: &Arc<Shared>) -> Result<(), Error> {
    let Some(namer) = shared.options.namer.clone() else { return Ok(()) };
    let generation = namer.generation();
    let mut blocks: BTreeMap<Arc<str>, Vec<Arc<StoredBlock>>> = BTreeMap::new();
    for (tenant, data) in &shared.state().tenants {
        let behind = data.blocks.iter().filter(|block| block.named() < generation).cloned().collect();
        blocks.insert(Arc::clone(tenant), behind);
    }
    for (tenant, blocks) in blocks {
        let mut looked_at = Vec::new();
        for block in blocks {
            if shared.stopping.load(Ordering::Relaxed) {
                break;
            }
            let naming = Naming { namer: namer.as_ref(), tenant: &tenant, after: block.named() };
            match name_block(shared, &block, &naming, generation) {
                Ok(Outcome::Nothing) => looked_at.push(block),
                Ok(Outcome::Rewritten) => shared.state().stats.blocks_named += 1,
                // The block withdrew itself.
                Err(Error::Block(hearth_block::Error::Corrupt { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        let ids: Vec<i64> = looked_at.iter().map(|block| block.row.id).collect();
        shared.catalog().set_named(&ids, generation)?;
        looked_at.iter().for_each(|block| block.set_named(generation));
    }
    Ok(())
}

enum Outcome {
    /// No name was missing, or none is known.
    Nothing,
    Rewritten,
}

fn name_block(
    shared: &Arc<Shared>,
    block: &Arc<StoredBlock>,
    naming: &Naming<'_>,
    generation: u64,
) -> Result<Outcome, Error> {
    if !naming.has_news(block.build_ids()?.iter().map(String::as_str)) {
        return Ok(Outcome::Nothing);
    }
    let stored = block.stored_dictionary()?;
    let Some(dictionary) = naming.named(&stored) else { return Ok(Outcome::Nothing) };
    let row = write_durably(shared, &block.row.tenant, |name, out| block.rewrite(name, &dictionary, out))?;
    let row = BlockRow { level: block.row.level, created_ms: block.row.created_ms, named: generation, ..row };
    match exchange(shared, &[block.row.id], row)? {
        true => Ok(Outcome::Rewritten),
        // It was merged or deleted meanwhile.
        false => Ok(Outcome::Nothing),
    }
}
