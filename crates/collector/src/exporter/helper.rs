//! What exporters share: timeout, retry and the sending queue, with the Collector's log lines.
//!
//! ```text
//! consume ─▶ encode ─▶ queue (requests, bytes) ─▶ consumers ─▶ attempt ─▶ wait ─▶ attempt … ─▶ drop
//! ```
//!
//! Requests wait in encoded form: smaller than the profile, and encoded once however often they are
//! sent. Besides `queue_size` the queue is bounded by 64 MiB, because 1000
//! requests of a large machine would be far more memory than an agent may have.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hearth_profile::ProfileBatch;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::RetrySettings;
use super::retry::random;
use crate::decode::{Missing, Section};
use crate::{Component, ComponentError, ConsumeError, Consumer, Context, Counter, Exporter, Gauge, duration};

/// Bytes of encoded requests that may wait in one queue.
const QUEUE_BYTES_MAX: usize = 64 << 20;
/// Unit of the byte bound; a semaphore counts in 32 bits.
const BYTES_PER_PERMIT: usize = 1 << 10;
/// How long a shutdown waits for the queue to empty before it drops the rest.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);

/// Why a request was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It would be refused again.
    #[error("{0}")]
    Permanent(String),
    /// It may be sent again, not before `after` if that is given.
    #[error("{message}")]
    Retryable {
        /// What happened.
        message: String,
        /// How long the other side asked to wait.
        after: Option<Duration>,
    },
}

/// The part that differs between exporters: bytes and one attempt to deliver them.
#[async_trait]
pub trait Sender: Send + Sync + 'static {
    /// The request for a batch.
    fn encode(&self, batch: &ProfileBatch) -> Bytes;

    /// Acquires what sending needs.
    ///
    /// # Errors
    ///
    /// Ends the start of the service.
    async fn start(&self) -> Result<(), ComponentError>;

    /// One attempt.
    ///
    /// # Errors
    ///
    /// [`SendError`] says whether another attempt makes sense.
    async fn send(&self, request: Bytes) -> Result<(), SendError>;
}

/// The `sending_queue` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// Whether requests are queued at all; without, the receiver waits for each delivery.
    pub enabled: bool,
    /// Requests sent at the same time.
    pub num_consumers: usize,
    /// Requests that may wait.
    pub queue_size: usize,
    /// Whether a full queue makes the receiver wait instead of refusing.
    pub block_on_overflow: bool,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self { enabled: true, num_consumers: 10, queue_size: 1000, block_on_overflow: false }
    }
}

impl QueueSettings {
    fn read(&mut self, section: &mut Section<'_, '_>) {
        section.bool("enabled", &mut self.enabled);
        section.integer("num_consumers", &mut self.num_consumers);
        section.integer("queue_size", &mut self.queue_size);
        section.bool("block_on_overflow", &mut self.block_on_overflow);
        let mut sizer = String::from("requests");
        section.string("sizer", &mut sizer);
        match sizer.as_str() {
            "requests" => {}
            "items" | "bytes" => section.invalid(
                "sizer",
                format!(
                    "{sizer:?} is not supported yet by Hearth; leave it out and give queue_size in requests"
                ),
            ),
            _ => section.decode_error("sizer", &format!("invalid sizer: {sizer:?}")),
        }
        section.not_implemented("storage", "", Missing::Refuse, "leave it out: the queue is kept in memory");
        section.not_implemented("wait_for_result", "false", Missing::Refuse, "leave it out");
        if section.value("batch").is_some() {
            section.invalid(
                "batch",
                "not supported yet by Hearth; leave it out: each request is one batch already",
            );
        }
        if self.enabled {
            if self.num_consumers == 0 {
                section.invalid("", "`num_consumers` must be positive");
            }
            if self.queue_size == 0 {
                section.invalid("", "`queue_size` must be positive");
            }
            if self.num_consumers > 1000 {
                section.invalid(
                    "num_consumers",
                    format!("{} is out of range; expected 1 to 1000", self.num_consumers),
                );
            }
            if self.queue_size > 1_000_000 {
                section.invalid(
                    "queue_size",
                    format!("{} is out of range; expected 1 to 1000000", self.queue_size),
                );
            }
        }
    }
}

/// Timeout, retry and queue as written in an exporter's section.
#[derive(Clone, Debug, PartialEq)]
pub struct HelperSettings {
    /// Bound on one attempt; zero means none.
    pub timeout: Duration,
    /// `retry_on_failure`.
    pub retry: RetrySettings,
    /// `sending_queue`.
    pub queue: QueueSettings,
}

impl Default for HelperSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            retry: RetrySettings::default(),
            queue: QueueSettings::default(),
        }
    }
}

impl HelperSettings {
    /// Reads the keys `timeout`, `retry_on_failure` and `sending_queue`.
    pub fn read(&mut self, section: &mut Section<'_, '_>) {
        section.duration("timeout", &mut self.timeout);
        section.child("retry_on_failure", |retry| self.retry.read(retry));
        section.child("sending_queue", |queue| self.queue.read(queue));
    }
}

struct Request {
    bytes: Bytes,
    items: u64,
    /// Gives back its share of the byte bound.
    _share: Option<OwnedSemaphorePermit>,
}

struct Counters {
    sent: Counter,
    send_failed: Counter,
    enqueue_failed: Counter,
    queue_size: Gauge,
}

struct Inner<S> {
    sender: S,
    settings: HelperSettings,
    id: String,
    counters: Counters,
    stop: watch::Sender<bool>,
    in_hand: AtomicU64,
}

type Requests = Arc<tokio::sync::Mutex<mpsc::Receiver<Request>>>;

struct Queue {
    requests: mpsc::Sender<Request>,
    waiting: Requests,
    consumers: Vec<JoinHandle<()>>,
}

/// An exporter made of a [`Sender`].
pub struct Helper<S> {
    inner: Arc<Inner<S>>,
    queue: Mutex<Option<Queue>>,
    bytes_free: Arc<Semaphore>,
}

impl<S: Sender> Helper<S> {
    /// An exporter that is not started yet.
    pub fn new(sender: S, settings: HelperSettings, context: &Context) -> Self {
        let id = context.id.to_string();
        let labels = [("exporter", id.as_str())];
        let queue_labels = [("data_type", "profiles"), ("exporter", id.as_str())];
        let counters = Counters {
            sent: context.metrics.counter("exporter_sent_profile_samples", &labels),
            send_failed: context.metrics.counter("exporter_send_failed_profile_samples", &labels),
            enqueue_failed: context.metrics.counter("exporter_enqueue_failed_profile_samples", &labels),
            queue_size: context.metrics.gauge("exporter_queue_size", &queue_labels),
        };
        let capacity = if settings.queue.enabled { settings.queue.queue_size } else { 0 };
        let gauge = context.metrics.gauge("exporter_queue_capacity", &queue_labels);
        gauge.set(i64::try_from(capacity).unwrap_or(i64::MAX));
        let stop = watch::Sender::new(false);
        let inner = Inner { sender, settings, id, counters, stop, in_hand: AtomicU64::new(0) };
        Self {
            inner: Arc::new(inner),
            queue: Mutex::new(None),
            bytes_free: Arc::new(Semaphore::new(QUEUE_BYTES_MAX / BYTES_PER_PERMIT)),
        }
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Option<Queue>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request larger than the whole bound takes all of it, so that it can pass alone.
    fn permits(bytes: usize) -> u32 {
        let permits = bytes.div_ceil(BYTES_PER_PERMIT).clamp(1, QUEUE_BYTES_MAX / BYTES_PER_PERMIT);
        u32::try_from(permits).unwrap_or(u32::MAX)
    }

    async fn enqueue(
        &self,
        requests: mpsc::Sender<Request>,
        bytes: Bytes,
        items: u64,
    ) -> Result<(), ConsumeError> {
        let permits = Self::permits(bytes.len());
        let free = Arc::clone(&self.bytes_free);
        // Counted first: a consumer may take the request before this task runs again.
        self.inner.counters.queue_size.add(1);
        let queued = if self.inner.settings.queue.block_on_overflow {
            match free.acquire_many_owned(permits).await {
                Ok(share) => requests.send(Request { bytes, items, _share: Some(share) }).await.is_ok(),
                Err(_) => false,
            }
        } else {
            match free.try_acquire_many_owned(permits) {
                Ok(share) => requests.try_send(Request { bytes, items, _share: Some(share) }).is_ok(),
                Err(_) => false,
            }
        };
        if queued {
            return Ok(());
        }
        self.inner.counters.queue_size.add(-1);
        self.inner.counters.enqueue_failed.add(items);
        let error = if *self.inner.stop.borrow() { "exporter is shut down" } else { "sending queue is full" };
        tracing::error!(
            "otelcol.component.id" = self.inner.id,
            "otelcol.component.kind" = "exporter",
            "otelcol.signal" = "profiles",
            error,
            rejected_items = items,
            "Exporting failed. Rejecting data."
        );
        Err(ConsumeError::retryable(error))
    }
}

impl<S: Sender> Inner<S> {
    async fn attempt(&self, bytes: Bytes) -> Result<(), SendError> {
        let timeout = self.settings.timeout;
        if timeout.is_zero() {
            return self.sender.send(bytes).await;
        }
        match tokio::time::timeout(timeout, self.sender.send(bytes)).await {
            Ok(result) => result,
            Err(_) => Err(SendError::Retryable {
                message: format!(
                    "request timed out after {}: context deadline exceeded",
                    duration::format(timeout)
                ),
                after: None,
            }),
        }
    }

    /// Attempts until delivered, refused for good, out of time or stopped.
    async fn deliver(&self, request: &Request) -> Result<(), String> {
        let retry = &self.settings.retry;
        let started = Instant::now();
        let mut backoff = retry.backoff();
        let mut stopped = self.stop.subscribe();
        loop {
            let (message, after) = match self.attempt(request.bytes.clone()).await {
                Ok(()) => return Ok(()),
                Err(SendError::Permanent(message)) => {
                    return Err(format!("not retryable error: Permanent error: {message}"));
                }
                Err(SendError::Retryable { message, after }) => (message, after),
            };
            if !retry.enabled {
                return Err(message);
            }
            let wait = backoff.wait(random()).max(after.unwrap_or_default());
            let limit = retry.max_elapsed_time;
            if !limit.is_zero() && started.elapsed() + wait > limit {
                return Err(format!("no more retries left: {message}"));
            }
            if *stopped.borrow_and_update() {
                return Err(format!("interrupted due to shutdown: {message}"));
            }
            tracing::info!(
                "otelcol.component.id" = self.id,
                "otelcol.component.kind" = "exporter",
                "otelcol.signal" = "profiles",
                error = message,
                interval = duration::format(wait),
                "Exporting failed. Will retry the request after interval."
            );
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stopped.changed() => return Err(format!("interrupted due to shutdown: {message}")),
            }
        }
    }

    async fn deliver_and_count(&self, request: &Request) -> Result<(), String> {
        let result = self.deliver(request).await;
        let counter = if result.is_ok() { &self.counters.sent } else { &self.counters.send_failed };
        counter.add(request.items);
        result
    }

    async fn run_consumer(self: Arc<Self>, waiting: Requests) {
        loop {
            let request = waiting.lock().await.recv().await;
            let Some(request) = request else { return };
            self.counters.queue_size.add(-1);
            self.in_hand.fetch_add(request.items, Ordering::Relaxed);
            let result = self.deliver_and_count(&request).await;
            self.in_hand.fetch_sub(request.items, Ordering::Relaxed);
            if let Err(error) = result {
                self.log_dropped(&error, request.items);
            }
        }
    }

    fn log_dropped(&self, error: &str, dropped_items: u64) {
        tracing::error!(
            "otelcol.component.id" = self.id,
            "otelcol.component.kind" = "exporter",
            "otelcol.signal" = "profiles",
            error,
            dropped_items,
            "Exporting failed. Dropping data."
        );
    }
}

impl<S: Sender> Exporter for Helper<S> {}

#[async_trait]
impl<S: Sender> Component for Helper<S> {
    async fn start(&self) -> Result<(), ComponentError> {
        self.inner.sender.start().await?;
        let settings = &self.inner.settings.queue;
        if settings.enabled {
            let (requests, waiting) = mpsc::channel(settings.queue_size);
            let waiting: Requests = Arc::new(tokio::sync::Mutex::new(waiting));
            let consumers = (0..settings.num_consumers)
                .map(|_| tokio::spawn(Arc::clone(&self.inner).run_consumer(Arc::clone(&waiting))))
                .collect();
            *self.queue() = Some(Queue { requests, waiting, consumers });
        }
        Ok(())
    }

    /// No more retries; what waits gets one attempt each; what is left after ten seconds is dropped
    /// and counted.
    async fn shutdown(&self) -> Result<(), ComponentError> {
        self.inner.stop.send_replace(true);
        let Some(queue) = self.queue().take() else { return Ok(()) };
        let Queue { requests, waiting, mut consumers } = queue;
        drop(requests);
        self.bytes_free.close();
        let drained = tokio::time::timeout(DRAIN_TIME_MAX, async {
            for consumer in &mut consumers {
                // A consumer that panicked has nothing left to finish.
                let _ = consumer.await;
            }
        });
        if drained.await.is_err() {
            consumers.iter().for_each(JoinHandle::abort);
            let mut dropped = self.inner.in_hand.load(Ordering::Relaxed);
            let mut waiting = waiting.lock().await;
            while let Ok(request) = waiting.try_recv() {
                self.inner.counters.queue_size.add(-1);
                dropped += request.items;
            }
            self.inner.counters.send_failed.add(dropped);
            let error = format!("queue not empty {} after shutdown began", duration::format(DRAIN_TIME_MAX));
            self.inner.log_dropped(&error, dropped);
        }
        Ok(())
    }
}

#[async_trait]
impl<S: Sender> Consumer for Helper<S> {
    async fn consume(&self, batch: Arc<ProfileBatch>) -> Result<(), ConsumeError> {
        let items = batch.sample_count() as u64;
        let bytes = self.inner.sender.encode(&batch);
        drop(batch);
        let requests = self.queue().as_ref().map(|queue| queue.requests.clone());
        if let Some(requests) = requests {
            return self.enqueue(requests, bytes, items).await;
        }
        let request = Request { bytes, items, _share: None };
        self.inner.deliver_and_count(&request).await.map_err(|error| {
            tracing::error!(
                "otelcol.component.id" = self.inner.id,
                "otelcol.component.kind" = "exporter",
                "otelcol.signal" = "profiles",
                error,
                rejected_items = items,
                "Exporting failed. Rejecting data. Try enabling sending_queue to survive temporary failures."
            );
            // Delivery has used up its retries, whatever the cause.
            ConsumeError::Permanent(error)
        })
    }
}

#[cfg(test)]
mod tests;
