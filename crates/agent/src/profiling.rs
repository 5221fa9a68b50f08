//! The `profiling` receiver: samples this host and hands over a batch per interval.

mod sampling;
mod settings;

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use hearth_collector::{
    Component, ComponentError, Consumer, Context, CreateReceiver, Factory, Receiver, Stability,
};
use hearth_profile::ProfileBatch;
use hearth_sampler::{Collection, Sampler, Settings, Target};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use sampling::SamplingSettings;
pub use settings::{ErrorMode, OutOfRange, ProfilingConfig, ProfilingSettings};

/// Something that samples; a trait so that the receiver is tested without a kernel.
pub trait ProfileSource: Send + Sync {
    /// Everything sampled since the previous call. Blocks.
    fn collect(&self) -> Collection;
}

impl ProfileSource for Sampler {
    fn collect(&self) -> Collection {
        Self::collect(self)
    }
}

/// Starts a source; the error is one line for the operator. Blocks.
pub type StartSource = Arc<dyn Fn(Settings) -> Result<Box<dyn ProfileSource>, String> + Send + Sync>;

/// The receiver over the kernel's sampler.
pub fn factory() -> Factory<CreateReceiver> {
    factory_over(Arc::new(|settings| match Sampler::start(settings) {
        Ok(sampler) => Ok(Box::new(sampler)),
        Err(error) => Err(error.to_string()),
    }))
}

/// The receiver over any source.
pub fn factory_over(start: StartSource) -> Factory<CreateReceiver> {
    Factory::new("profiling", Stability::Development, move |section| -> CreateReceiver {
        let settings = ProfilingConfig::read(section);
        let start = Arc::clone(&start);
        Box::new(move |context, next| {
            let settings = settings.clone().map_err(|error| ComponentError::new(error.to_string()))?;
            Ok(Arc::new(Profiling {
                settings,
                start: Arc::clone(&start),
                context,
                next,
                running: Mutex::new(None),
            }))
        })
    })
}

struct Profiling {
    settings: ProfilingSettings,
    start: StartSource,
    context: Context,
    next: Arc<dyn Consumer>,
    running: Mutex<Option<Running>>,
}

struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Receiver for Profiling {}

#[async_trait]
impl Component for Profiling {
    async fn start(&self) -> Result<(), ComponentError> {
        let start = Arc::clone(&self.start);
        let SamplingSettings { event, attributes, filters, budgets } = self.settings.sampling.clone();
        let samples_per_second = self.settings.samples_per_second;
        let settings =
            Settings { samples_per_second, target: Target::Host, filters, attributes, event, budgets };
        let started = tokio::task::spawn_blocking(move || start(settings)).await;
        let source = match started.unwrap_or_else(|error| Err(format!("the sampler's start failed: {error}")))
        {
            Ok(source) => source,
            Err(error) if self.settings.error_mode == ErrorMode::Ignore => {
                tracing::error!(
                    "otelcol.component.id" = self.context.id.to_string(),
                    "otelcol.component.kind" = "receiver",
                    error,
                    "Profiling cannot start and error_mode is ignore: going on without profiles"
                );
                return Ok(());
            }
            Err(error) => return Err(ComponentError::new(error)),
        };
        tracing::info!(
            "otelcol.component.id" = self.context.id.to_string(),
            "otelcol.component.kind" = "receiver",
            samples_per_second = self.settings.samples_per_second,
            "Profiling this host"
        );
        let (stop, stopped) = watch::channel(false);
        let reporter = Reporter::new(self, source);
        let task = tokio::spawn(reporter.run(stopped));
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(Running { stop, task });
        Ok(())
    }

    async fn shutdown(&self) -> Result<(), ComponentError> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { stop, task }) = running else { return Ok(()) };
        stop.send_replace(true);
        task.await.map_err(|error| ComponentError::new(format!("the reporter ended early: {error}")))
    }
}

/// Collects and hands over until stopped.
struct Reporter {
    source: Arc<dyn ProfileSource>,
    settings: ProfilingSettings,
    context: Context,
    next: Arc<dyn Consumer>,
    host_name: Option<String>,
}

impl Reporter {
    fn new(receiver: &Profiling, source: Box<dyn ProfileSource>) -> Self {
        Self {
            source: source.into(),
            settings: receiver.settings.clone(),
            context: receiver.context.clone(),
            next: Arc::clone(&receiver.next),
            host_name: host_name(),
        }
    }

    async fn run(self, mut stopped: watch::Receiver<bool>) {
        let mut stop = false;
        while !stop {
            stop = self.sleep(self.until_boundary(SystemTime::now()), &mut stopped).await;
            let collection = self.collect().await;
            if !stop {
                // A stop meanwhile ends the next sleep at once, so that one more collection follows.
                self.sleep(self.jitter(), &mut stopped).await;
            }
            if let Some(collection) = collection {
                self.hand_over(collection).await;
            }
        }
        // Stopping the sampler joins its threads.
        let source = self.source;
        if let Err(error) = tokio::task::spawn_blocking(move || drop(source)).await {
            tracing::error!(error = error.to_string(), "The sampler did not stop cleanly");
        }
    }

    /// Sleeps; true if it was told to stop meanwhile.
    async fn sleep(&self, duration: Duration, stopped: &mut watch::Receiver<bool>) -> bool {
        tokio::select! {
            () = tokio::time::sleep(duration) => false,
            // The sender is dropped only after it has sent.
            _ = stopped.wait_for(|stop| *stop) => true,
        }
    }

    /// Time to the next multiple of `reporter_interval` since the Unix epoch. Collections end there, so
    /// that each lies in one slot of a store that keeps time in slots, and series have no beat.
    fn until_boundary(&self, now: SystemTime) -> Duration {
        let interval = self.settings.reporter_interval.max(Duration::from_millis(10));
        let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let past = since_epoch.as_nanos() % interval.as_nanos();
        interval - Duration::from_nanos(u64::try_from(past).unwrap_or(0))
    }

    /// How long a collection waits before it is sent: up to `reporter_jitter` of the interval, so that
    /// many agents do not send at once.
    fn jitter(&self) -> Duration {
        let bits = RandomState::new().hash_one(0u8) >> 11;
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit an f64 exactly")]
        let random = bits as f64 / (1u64 << 53) as f64;
        self.settings.reporter_interval.mul_f64((self.settings.reporter_jitter * random).clamp(0.0, 1.0))
    }

    async fn collect(&self) -> Option<Collection> {
        let source = Arc::clone(&self.source);
        let collected = tokio::task::spawn_blocking(move || source.collect()).await;
        collected
            .inspect_err(|error| tracing::error!(error = error.to_string(), "Samples could not be collected"))
            .ok()
    }

    async fn hand_over(&self, collection: Collection) {
        self.report_lost(&collection.lost);
        let mut batch = collection.batch;
        let records = batch.sample_count() as u64;
        if records == 0 {
            return;
        }
        self.name_host(&mut batch);
        let result = self.next.consume(Arc::new(batch)).await;
        let id = self.context.id.to_string();
        let labels = [("receiver", id.as_str()), ("transport", "bpf")];
        let name = match &result {
            Ok(()) => "receiver_accepted_profile_samples",
            Err(_) => "receiver_refused_profile_samples",
        };
        self.context.metrics.counter(name, &labels).add(records);
        if let Err(error) = result {
            tracing::error!(
                "otelcol.component.id" = id,
                "otelcol.component.kind" = "receiver",
                error = error.to_string(),
                dropped_items = records,
                "The pipeline refused profiles"
            );
        }
    }

    fn name_host(&self, batch: &mut ProfileBatch) {
        let Some(name) = &self.host_name else { return };
        for entry in &mut batch.resources {
            if entry.resource.get("host.name").is_none() {
                entry.resource.set("host.name", name.as_str());
            }
        }
    }

    fn report_lost(&self, lost: &[(&'static str, u64)]) {
        let id = self.context.id.to_string();
        for (reason, count) in lost.iter().filter(|(_, count)| *count > 0) {
            let labels = [("reason", *reason), ("receiver", id.as_str())];
            self.context.metrics.counter("receiver_lost_profile_samples", &labels).add(*count);
            tracing::warn!(
                "otelcol.component.id" = id,
                "otelcol.component.kind" = "receiver",
                reason,
                count,
                "Samples lost"
            );
        }
    }
}

/// The host's name as the kernel knows it; none in a system without `/proc`.
fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests;
