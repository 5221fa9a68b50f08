//! Queue and retry, on a paused clock.

use std::collections::VecDeque;

use hearth_profile::{Profile, ResourceProfiles, Sample};

use super::*;
use crate::{BuildInfo, ComponentId, Metrics};

type Outcome = Result<(), SendError>;

/// Answers from a list, then with success; `block` makes an attempt hang.
struct Script {
    outcomes: Mutex<VecDeque<Outcome>>,
    attempts: Arc<AtomicU64>,
    block: bool,
}

#[async_trait]
impl Sender for Script {
    fn encode(&self, _: &ProfileBatch) -> Bytes {
        Bytes::from_static(b"x")
    }

    async fn start(&self) -> Result<(), ComponentError> {
        Ok(())
    }

    async fn send(&self, _: Bytes) -> Outcome {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        if self.block {
            std::future::pending::<()>().await;
        }
        self.outcomes.lock().unwrap().pop_front().unwrap_or(Ok(()))
    }
}

fn busy() -> Outcome {
    Err(SendError::Retryable { message: "busy".into(), after: None })
}

fn context() -> Context {
    let build = BuildInfo { command: "t".into(), description: "t".into(), version: "1".into() };
    Context { id: ComponentId::parse("otlp_grpc").unwrap(), metrics: Metrics::new("t", "1", "i"), build }
}

fn direct() -> HelperSettings {
    let mut settings = HelperSettings::default();
    settings.queue.enabled = false;
    settings
}

fn exporter(
    outcomes: Vec<Outcome>,
    settings: HelperSettings,
    block: bool,
) -> (Helper<Script>, Arc<AtomicU64>) {
    let attempts = Arc::new(AtomicU64::new(0));
    let script = Script { outcomes: Mutex::new(outcomes.into()), attempts: Arc::clone(&attempts), block };
    (Helper::new(script, settings, &context()), attempts)
}

fn two_samples() -> Arc<ProfileBatch> {
    let profile = Profile { samples: vec![Sample::default(); 2], ..Profile::default() };
    let resource = ResourceProfiles { profiles: vec![profile], ..ResourceProfiles::default() };
    Arc::new(ProfileBatch { resources: vec![resource], ..ProfileBatch::default() })
}

#[tokio::test(start_paused = true)]
async fn retries_until_delivered() {
    let (exporter, attempts) = exporter(vec![busy(), busy(), Ok(())], direct(), false);
    exporter.start().await.unwrap();
    exporter.consume(two_samples()).await.unwrap();
    assert_eq!(attempts.load(Ordering::Relaxed), 3);
    assert_eq!((exporter.inner.counters.sent.get(), exporter.inner.counters.send_failed.get()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_good_is_not_sent_again() {
    let refused = Err(SendError::Permanent("bad".into()));
    let (exporter, attempts) = exporter(vec![refused], direct(), false);
    let error = exporter.consume(two_samples()).await.unwrap_err();
    assert_eq!(error, ConsumeError::Permanent("not retryable error: Permanent error: bad".into()));
    assert_eq!(attempts.load(Ordering::Relaxed), 1);
    assert_eq!(exporter.inner.counters.send_failed.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn gives_up_when_the_next_wait_would_pass_the_limit() {
    let (exporter, attempts) = exporter((0..1000).map(|_| busy()).collect(), direct(), false);
    let started = Instant::now();
    let error = exporter.consume(two_samples()).await.unwrap_err();
    assert_eq!(error.to_string(), "no more retries left: busy");
    assert!(started.elapsed() <= Duration::from_secs(300));
    assert!(attempts.load(Ordering::Relaxed) > 5);
}

#[tokio::test(start_paused = true)]
async fn waits_as_long_as_the_other_side_asks() {
    let later = |seconds| {
        Err(SendError::Retryable { message: "busy".into(), after: Some(Duration::from_secs(seconds)) })
    };
    let (patient, _) = exporter(vec![later(100)], direct(), false);
    let started = Instant::now();
    patient.consume(two_samples()).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(100));
    // Further away than max_elapsed_time: no point in waiting.
    let (impatient, _) = exporter(vec![later(1000)], direct(), false);
    let started = Instant::now();
    assert!(impatient.consume(two_samples()).await.is_err());
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn retry_can_be_switched_off_and_attempts_time_out() {
    let mut settings = direct();
    settings.retry.enabled = false;
    let (exporter, attempts) = exporter(Vec::new(), settings, true);
    let error = exporter.consume(two_samples()).await.unwrap_err();
    assert_eq!(error.to_string(), "request timed out after 5s: context deadline exceeded");
    assert_eq!(attempts.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_and_counts() {
    let mut settings = HelperSettings { timeout: Duration::ZERO, ..HelperSettings::default() };
    settings.queue = QueueSettings { num_consumers: 1, queue_size: 1, ..QueueSettings::default() };
    let (exporter, attempts) = exporter(Vec::new(), settings, true);
    exporter.start().await.unwrap();
    exporter.consume(two_samples()).await.unwrap();
    while attempts.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    exporter.consume(two_samples()).await.unwrap();
    let error = exporter.consume(two_samples()).await.unwrap_err();
    assert_eq!(error, ConsumeError::retryable("sending queue is full"));
    let counters = &exporter.inner.counters;
    assert_eq!((counters.enqueue_failed.get(), counters.queue_size.get()), (2, 1));
    // The one in hand and the one waiting are lost, and said so.
    exporter.shutdown().await.unwrap();
    let counters = &exporter.inner.counters;
    assert_eq!((counters.send_failed.get(), counters.queue_size.get()), (4, 0));
}

#[tokio::test(start_paused = true)]
async fn shutdown_delivers_what_waits_with_one_attempt_each() {
    let mut settings = HelperSettings::default();
    settings.queue.num_consumers = 1;
    let (exporter, attempts) = exporter(vec![busy(), busy(), Ok(()), busy()], settings, false);
    exporter.start().await.unwrap();
    for _ in 0..4 {
        exporter.consume(two_samples()).await.unwrap();
    }
    while attempts.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    exporter.shutdown().await.unwrap();
    assert_eq!(attempts.load(Ordering::Relaxed), 4);
    let counters = &exporter.inner.counters;
    assert_eq!((counters.sent.get(), counters.send_failed.get(), counters.queue_size.get()), (2, 6, 0));
}

#[tokio::test(start_paused = true)]
async fn block_on_overflow_waits_for_room() {
    let queue = QueueSettings {
        num_consumers: 1,
        queue_size: 1,
        block_on_overflow: true,
        ..QueueSettings::default()
    };
    let settings = HelperSettings { queue, ..HelperSettings::default() };
    let (exporter, attempts) = exporter(vec![busy()], settings, false);
    exporter.start().await.unwrap();
    for _ in 0..5 {
        exporter.consume(two_samples()).await.unwrap();
    }
    exporter.shutdown().await.unwrap();
    assert_eq!(attempts.load(Ordering::Relaxed), 6);
    assert_eq!(exporter.inner.counters.sent.get(), 10);
}
