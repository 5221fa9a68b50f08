//! The `profiling` receiver: samples this host and hands over a batch per interval.

mod settings;

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use hearth_collector::{
    Component, ComponentError, Consumer, Context, CreateReceiver, Factory, Receiver, Stability,
};
use hearth_profile::ProfileBatch;
use hearth_sampler::{Collection, Sampler, Settings, Target};
use tokio::sync::watch;
use tokio::task::JoinHandle;

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
        let settings =
            Settings { samples_per_second: self.settings.samples_per_second, target: Target::Host };
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
        loop {
            let stop = tokio::select! {
                () = tokio::time::sleep(self.interval()) => false,
                // The sender is dropped only after it has sent.
                _ = stopped.changed() => true,
            };
            self.report().await;
            if stop {
                break;
            }
        }
        // Stopping the sampler joins its threads.
        let source = self.source;
        if let Err(error) = tokio::task::spawn_blocking(move || drop(source)).await {
            tracing::error!(error = error.to_string(), "The sampler did not stop cleanly");
        }
    }

    /// `reporter_interval`, longer or shorter by up to `reporter_jitter` of it, so that agents started
    /// together do not report together.
    fn interval(&self) -> Duration {
        let bits = RandomState::new().hash_one(0u8) >> 11;
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit an f64 exactly")]
        let random = bits as f64 / (1u64 << 53) as f64;
        let factor = 1.0 + self.settings.reporter_jitter * (2.0 * random - 1.0);
        self.settings.reporter_interval.mul_f64(factor.max(0.0)).max(Duration::from_millis(10))
    }

    async fn report(&self) {
        let source = Arc::clone(&self.source);
        let collection = match tokio::task::spawn_blocking(move || source.collect()).await {
            Ok(collection) => collection,
            Err(error) => {
                tracing::error!(error = error.to_string(), "Samples could not be collected");
                return;
            }
        };
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
