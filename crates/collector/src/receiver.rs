//! The stock receiver.

use std::sync::Arc;

use crate::{Component, CreateReceiver, Factory, Receiver, Stability};

struct Nop;

impl Component for Nop {}
impl Receiver for Nop {}

/// `nop`: receives nothing.
pub(crate) fn nop() -> Factory<CreateReceiver> {
    Factory::new("nop", Stability::Alpha, |_| -> CreateReceiver { Box::new(|_, _| Ok(Arc::new(Nop))) })
}
