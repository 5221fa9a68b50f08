//! The stock processor.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hearth_profile::ProfileBatch;

use crate::{Component, ConsumeError, Consumer, CreateProcessor, Factory, Processor, Stability};

struct PassThrough(Arc<dyn Consumer>);

impl Component for PassThrough {}
impl Processor for PassThrough {}

#[async_trait]
impl Consumer for PassThrough {
    async fn consume(&self, batch: Arc<ProfileBatch>) -> Result<(), ConsumeError> {
        self.0.consume(batch).await
    }
}

/// `batch`: accepted because real configurations carry it. The profiling receiver already sends one
/// batch per interval, so there is nothing to merge; said in a warning.
pub(crate) fn batch() -> Factory<CreateProcessor> {
    Factory::new("batch", Stability::Alpha, |section| -> CreateProcessor {
        let (mut size, mut size_max, mut cardinality) = (8192u32, 0u32, 1000u32);
        let mut timeout = Duration::from_millis(200);
        let mut keys = Vec::new();
        section.integer("send_batch_size", &mut size);
        section.integer("send_batch_max_size", &mut size_max);
        section.integer("metadata_cardinality_limit", &mut cardinality);
        section.duration("timeout", &mut timeout);
        section.strings("metadata_keys", &mut keys);
        if size_max > 0 && size_max < size {
            section.invalid("", "send_batch_max_size must be greater or equal to send_batch_size");
        }
        section.warn(
            "",
            "profiles pass through unchanged: the receiver already sends one batch per reporter_interval",
        );
        Box::new(|_, next| Ok(Arc::new(PassThrough(next))))
    })
}
