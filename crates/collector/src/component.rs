//! What a component is: the traits a pipeline is made of.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hearth_profile::ProfileBatch;

use crate::{BuildInfo, ComponentId, Metrics};

/// Why a component could not be made, started or stopped; the text is shown after its id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ComponentError(String);

impl ComponentError {
    /// An error with this text.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// Why a batch was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsumeError {
    /// The same batch would be refused again: drop it.
    #[error("{0}")]
    Permanent(String),
    /// The batch may be offered again, not before `after` if that is given.
    #[error("{message}")]
    Retryable {
        /// What happened.
        message: String,
        /// How long the receiver of the data asked to wait.
        after: Option<Duration>,
    },
}

impl ConsumeError {
    /// An error after which the same batch may be offered again at any time.
    pub fn retryable(message: impl Into<String>) -> Self {
        Self::Retryable { message: message.into(), after: None }
    }
}

/// Something that takes profiles: a processor, an exporter or a fan-out to several.
#[async_trait]
pub trait Consumer: Send + Sync {
    /// Takes a batch; returning means that it is delivered or safely queued.
    ///
    /// # Errors
    ///
    /// [`ConsumeError`] says whether offering the batch again makes sense.
    async fn consume(&self, batch: Arc<ProfileBatch>) -> Result<(), ConsumeError>;
}

/// Anything with a life: started once, stopped once.
#[async_trait]
pub trait Component: Send + Sync {
    /// Acquires what it needs and begins to work. Called once.
    ///
    /// # Errors
    ///
    /// Ends the start of the whole service; what was started before is stopped.
    async fn start(&self) -> Result<(), ComponentError> {
        Ok(())
    }

    /// Finishes what was taken and releases everything. Called once, also after a failed start.
    ///
    /// # Errors
    ///
    /// Reported; the other components are stopped all the same.
    async fn shutdown(&self) -> Result<(), ComponentError> {
        Ok(())
    }
}

/// A source of profiles.
pub trait Receiver: Component {}

/// A step between receivers and exporters.
pub trait Processor: Component + Consumer {}

/// A destination of profiles.
pub trait Exporter: Component + Consumer {}

/// A helper outside of pipelines.
pub trait Extension: Component {}

/// What a component is given when it is made.
#[derive(Clone, Debug)]
pub struct Context {
    /// Its id as the configuration writes it; used in logs and metrics.
    pub id: ComponentId,
    /// Where it counts.
    pub metrics: Metrics,
    /// Which program this is.
    pub build: BuildInfo,
}

/// Hands every batch to several consumers.
pub(crate) struct FanOut(pub(crate) Vec<Arc<dyn Consumer>>);

impl FanOut {
    /// A consumer that stands for all of `consumers`.
    pub(crate) fn of(mut consumers: Vec<Arc<dyn Consumer>>) -> Arc<dyn Consumer> {
        if consumers.len() == 1 { consumers.remove(0) } else { Arc::new(Self(consumers)) }
    }
}

#[async_trait]
impl Consumer for FanOut {
    /// Every consumer gets the batch, even after another failed. The result is retryable only if no
    /// consumer took it for good, because offering it again would give it twice to the others.
    async fn consume(&self, batch: Arc<ProfileBatch>) -> Result<(), ConsumeError> {
        let mut errors = Vec::new();
        for consumer in &self.0 {
            if let Err(error) = consumer.consume(Arc::clone(&batch)).await {
                errors.push(error);
            }
        }
        if errors.is_empty() {
            return Ok(());
        }
        let message = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let all_retryable = errors.iter().all(|error| matches!(error, ConsumeError::Retryable { .. }));
        Err(if all_retryable && errors.len() == self.0.len() {
            ConsumeError::retryable(message)
        } else {
            ConsumeError::Permanent(message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(Result<(), ConsumeError>);

    #[async_trait]
    impl Consumer for Fixed {
        async fn consume(&self, _: Arc<ProfileBatch>) -> Result<(), ConsumeError> {
            self.0.clone()
        }
    }

    #[tokio::test]
    async fn a_fan_out_is_retryable_only_if_nobody_took_the_batch() {
        let ok = || Fixed(Ok(()));
        let busy = || Fixed(Err(ConsumeError::retryable("busy")));
        let bad = || Fixed(Err(ConsumeError::Permanent("bad".into())));
        let cases = [
            (vec![ok(), ok()], Ok(())),
            (vec![busy(), busy()], Err(ConsumeError::retryable("busy; busy"))),
            (vec![ok(), busy()], Err(ConsumeError::Permanent("busy".into()))),
            (vec![bad(), busy()], Err(ConsumeError::Permanent("bad; busy".into()))),
        ];
        for (consumers, want) in cases {
            let all = consumers.into_iter().map(|one| Arc::new(one) as Arc<dyn Consumer>).collect();
            assert_eq!(FanOut::of(all).consume(Arc::default()).await, want);
        }
    }
}
