//! The stock exporters and what they share.

mod debug;
mod helper;
mod nop;
mod otlp_grpc;
mod retry;

pub(crate) use debug::factory as debug_factory;
pub use helper::{Helper, HelperSettings, QueueSettings, SendError, Sender};
pub(crate) use nop::factory as nop_factory;
pub(crate) use otlp_grpc::factory as otlp_grpc_factory;
pub use retry::RetrySettings;
