//! `nop`: drops everything, for tests of everything before it.

use std::sync::Arc;

use async_trait::async_trait;
use hearth_profile::ProfileBatch;

use crate::{Component, ConsumeError, Consumer, CreateExporter, Exporter, Factory, Stability};

struct Nop;

impl Component for Nop {}
impl Exporter for Nop {}

#[async_trait]
impl Consumer for Nop {
    async fn consume(&self, _: Arc<ProfileBatch>) -> Result<(), ConsumeError> {
        Ok(())
    }
}

pub(crate) fn factory() -> Factory<CreateExporter> {
    Factory::new("nop", Stability::Alpha, |_| -> CreateExporter { Box::new(|_| Ok(Arc::new(Nop))) })
}
