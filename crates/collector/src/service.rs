//! The running graph: makes the components of a configuration, starts and stops them in order.
//!
//! Exporters start first and receivers last, so that nothing arrives where nobody takes it; stopping
//! goes the other way, so that everything on its way is delivered.

use std::sync::Arc;

use crate::component::FanOut;
use crate::config::{Configured, MetricsEndpoint};
use crate::metrics_server::MetricsServer;
use crate::{
    Component, ComponentError, ComponentId, Config, Consumer, Context, Exporter, Kind, Metrics, Stability,
};

/// Which program this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildInfo {
    /// The command, for the log.
    pub command: String,
    /// What it is, for the user agent.
    pub description: String,
    /// Its version.
    pub version: String,
}

/// Why a service cannot be made or started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// A component cannot be made of its configuration.
    #[error("failed to build pipelines: failed to create \"{id}\" {}, in pipeline \"{pipeline}\": {error}", kind.name())]
    Create {
        /// The component's role.
        kind: Kind,
        /// The component.
        id: ComponentId,
        /// A pipeline that uses it.
        pipeline: String,
        /// Why.
        error: ComponentError,
    },
    /// A component cannot start.
    #[error("cannot start pipelines: failed to start \"{id}\" {}: {error}", kind.name())]
    Start {
        /// The component's role.
        kind: Kind,
        /// The component.
        id: ComponentId,
        /// Why.
        error: ComponentError,
    },
    /// The metrics endpoint that the configuration names cannot be opened.
    #[error("failed to start metrics endpoint {address}: {reason}")]
    Metrics {
        /// Host and port.
        address: String,
        /// Why.
        reason: String,
    },
}

struct Part {
    kind: Kind,
    id: ComponentId,
    stability: Stability,
    component: Arc<dyn Component>,
}

impl Part {
    fn new<C>(kind: Kind, of: &Configured<C>, component: Arc<dyn Component>) -> Self {
        Self { kind, id: of.id.clone(), stability: of.stability, component }
    }
}

/// The components of a configuration, connected.
pub struct Service {
    build: BuildInfo,
    metrics: Metrics,
    endpoints: Vec<MetricsEndpoint>,
    warnings: Vec<String>,
    /// In the order of starting: extensions, exporters, processors, receivers.
    parts: Vec<Part>,
    started: usize,
    servers: Vec<MetricsServer>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts: Vec<String> =
            self.parts.iter().map(|part| format!("{} {}", part.kind.name(), part.id)).collect();
        f.debug_struct("Service")
            .field("parts", &parts)
            .field("started", &self.started)
            .finish_non_exhaustive()
    }
}

fn find<'a, C>(list: &'a [Configured<C>], id: &ComponentId) -> Option<&'a Configured<C>> {
    list.iter().find(|configured| configured.id == *id)
}

impl Service {
    /// Makes and connects all components that are in use; nothing is started, opened or sent.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Create`] names the component and a pipeline that uses it.
    pub fn build(config: Config, build: BuildInfo) -> Result<Self, ServiceError> {
        let instance = format!("{:016x}{:016x}", random_bits(), random_bits());
        let metrics = Metrics::new(&build.command, &build.version, &instance);
        let context =
            |id: &ComponentId| Context { id: id.clone(), metrics: metrics.clone(), build: build.clone() };
        let mut parts = Vec::new();
        for id in &config.service_extensions {
            if let Some(configured) = find(&config.extensions, id) {
                let made = (configured.create)(context(id));
                let made = made.map_err(|error| create_error(Kind::Extension, id, "service", error))?;
                parts.push(Part::new(Kind::Extension, configured, made));
            }
        }
        let mut exporters: Vec<(ComponentId, Arc<dyn Exporter>)> = Vec::new();
        for pipeline in &config.pipelines {
            for id in &pipeline.exporters {
                let Some(configured) = find(&config.exporters, id) else { continue };
                if exporters.iter().any(|(known, _)| known == id) {
                    continue;
                }
                let made = (configured.create)(context(id));
                let made =
                    made.map_err(|error| create_error(Kind::Exporter, id, &pipeline.id.to_string(), error))?;
                exporters.push((id.clone(), Arc::clone(&made)));
                parts.push(Part::new(Kind::Exporter, configured, made));
            }
        }
        // The first consumer of each pipeline; processors are made from the last to the first.
        let mut heads: Vec<Arc<dyn Consumer>> = Vec::new();
        for pipeline in &config.pipelines {
            let ends = exporters
                .iter()
                .filter(|(id, _)| pipeline.exporters.contains(id))
                .map(|(_, exporter)| Arc::clone(exporter) as Arc<dyn Consumer>);
            let mut head = FanOut::of(ends.collect());
            for id in pipeline.processors.iter().rev() {
                let Some(configured) = find(&config.processors, id) else { continue };
                let made = (configured.create)(context(id), head);
                let made =
                    made.map_err(|error| create_error(Kind::Processor, id, &pipeline.id.to_string(), error))?;
                head = Arc::clone(&made) as Arc<dyn Consumer>;
                parts.push(Part::new(Kind::Processor, configured, made));
            }
            heads.push(head);
        }
        for configured in &config.receivers {
            let users = config.pipelines.iter().zip(&heads);
            let users: Vec<_> =
                users.filter(|(pipeline, _)| pipeline.receivers.contains(&configured.id)).collect();
            let Some((first, _)) = users.first() else { continue };
            let next = FanOut::of(users.iter().map(|(_, head)| Arc::clone(head)).collect());
            let made = (configured.create)(context(&configured.id), next);
            let made = made.map_err(|error| {
                create_error(Kind::Receiver, &configured.id, &first.id.to_string(), error)
            })?;
            parts.push(Part::new(Kind::Receiver, configured, made));
        }
        let Config { telemetry, warnings, .. } = config;
        Ok(Self {
            build,
            metrics,
            endpoints: telemetry.metrics,
            warnings,
            parts,
            started: 0,
            servers: Vec::new(),
        })
    }

    /// The counters of this service.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Starts everything.
    ///
    /// # Errors
    ///
    /// [`ServiceError`] names what did not start; everything started before is stopped again.
    pub async fn start(&mut self) -> Result<(), ServiceError> {
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        for warning in &self.warnings {
            tracing::warn!("{warning}");
        }
        tracing::info!(Version = self.build.version, NumCPU = cpus, "Starting {}...", self.build.command);
        let result = self.start_all().await;
        match &result {
            Ok(()) => tracing::info!("Everything is ready. Begin running and processing data."),
            Err(_) => self.stop_all().await,
        }
        result
    }

    async fn start_all(&mut self) -> Result<(), ServiceError> {
        for endpoint in std::mem::take(&mut self.endpoints) {
            self.serve_metrics(&endpoint).await?;
        }
        tracing::info!("Starting extensions...");
        for part in &self.parts {
            let name = match part.stability {
                Stability::Stable => None,
                stability => Some(stability.name()),
            };
            if let Some(name) = name {
                tracing::info!(
                    "otelcol.component.id" = part.id.to_string(),
                    "otelcol.component.kind" = part.kind.name(),
                    "{name} component. May change in the future."
                );
            }
            self.started += 1;
            part.component.start().await.map_err(|error| ServiceError::Start {
                kind: part.kind,
                id: part.id.clone(),
                error,
            })?;
        }
        Ok(())
    }

    async fn serve_metrics(&mut self, endpoint: &MetricsEndpoint) -> Result<(), ServiceError> {
        let address = format!("{}:{}", endpoint.host, endpoint.port);
        match MetricsServer::start(&endpoint.host, endpoint.port, self.metrics.clone()).await {
            Ok(server) => {
                tracing::info!(endpoint = server.local_addr().to_string(), "Serving metrics");
                self.servers.push(server);
                Ok(())
            }
            Err(error) if endpoint.explicit => {
                Err(ServiceError::Metrics { address, reason: error.to_string() })
            }
            Err(error) => {
                tracing::warn!(
                    error = error.to_string(),
                    "Metrics are not served: {address}, the default, cannot be opened; \
                     choose another port under service::telemetry::metrics::readers"
                );
                Ok(())
            }
        }
    }

    async fn stop_all(&mut self) {
        let started = std::mem::take(&mut self.started);
        for part in self.parts.drain(..).take(started).collect::<Vec<_>>().into_iter().rev() {
            if let Err(error) = part.component.shutdown().await {
                tracing::error!(
                    "otelcol.component.id" = part.id.to_string(),
                    "otelcol.component.kind" = part.kind.name(),
                    error = error.to_string(),
                    "failed to shutdown component"
                );
            }
        }
        self.servers.clear();
    }

    /// Stops everything: receivers first, exporters deliver what waits.
    pub async fn shutdown(mut self) {
        tracing::info!("Starting shutdown...");
        self.stop_all().await;
        tracing::info!("Shutdown complete.");
    }
}

fn create_error(kind: Kind, id: &ComponentId, pipeline: &str, error: ComponentError) -> ServiceError {
    ServiceError::Create { kind, id: id.clone(), pipeline: pipeline.into(), error }
}

/// Bits that differ between runs; they only tell instances apart.
fn random_bits() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0u8)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use hearth_profile::ProfileBatch;

    use super::*;
    use crate::confmap::{ProcessEnvironment, resolve};
    use crate::{ConsumeError, CreateExporter, CreateReceiver, Factory, Gates, Receiver, Registry, config};

    type Log = Arc<Mutex<Vec<String>>>;

    /// A component of every kind that writes down what happens to it.
    struct Probe {
        name: String,
        log: Log,
        next: Option<Arc<dyn Consumer>>,
        fails: bool,
    }

    #[async_trait]
    impl Component for Probe {
        async fn start(&self) -> Result<(), ComponentError> {
            self.log.lock().unwrap().push(format!("start {}", self.name));
            if self.fails {
                return Err(ComponentError::new("no way"));
            }
            if let Some(next) = &self.next {
                next.consume(Arc::default()).await.map_err(|error| ComponentError::new(error.to_string()))?;
            }
            Ok(())
        }

        async fn shutdown(&self) -> Result<(), ComponentError> {
            self.log.lock().unwrap().push(format!("stop {}", self.name));
            Ok(())
        }
    }

    #[async_trait]
    impl Consumer for Probe {
        async fn consume(&self, _: Arc<ProfileBatch>) -> Result<(), ConsumeError> {
            self.log.lock().unwrap().push(format!("batch for {}", self.name));
            Ok(())
        }
    }

    impl Receiver for Probe {}
    impl Exporter for Probe {}

    fn registry(log: &Log) -> Registry {
        let mut registry = Registry::stock();
        let for_receivers = Arc::clone(log);
        registry.receivers.push(Factory::new("probe", Stability::Stable, move |section| -> CreateReceiver {
            let log = Arc::clone(&for_receivers);
            let mut fails = false;
            section.bool("fails", &mut fails);
            Box::new(move |context, next| {
                let name = context.id.to_string();
                Ok(Arc::new(Probe { name, log: Arc::clone(&log), next: Some(next), fails }))
            })
        }));
        let for_exporters = Arc::clone(log);
        registry.exporters.push(Factory::new("probe", Stability::Stable, move |_| -> CreateExporter {
            let log = Arc::clone(&for_exporters);
            Box::new(move |context| {
                let name = format!("exporter {}", context.id);
                Ok(Arc::new(Probe { name, log: Arc::clone(&log), next: None, fails: false }))
            })
        }));
        registry
    }

    fn service(log: &Log, yaml: &str) -> Service {
        let resolved = resolve(&[format!("yaml:{yaml}")], &ProcessEnvironment, false).unwrap();
        let config = config::load(&resolved.config, &registry(log), &Gates::with_profiles()).unwrap();
        let text = |text: &str| text.to_owned();
        let build = BuildInfo { command: text("test"), description: text("Test"), version: text("1") };
        Service::build(config, build).unwrap()
    }

    #[tokio::test]
    async fn exporters_start_first_and_stop_last_and_every_pipeline_gets_the_batch() {
        let log = Log::default();
        let mut service = service(
            &log,
            "{receivers: {probe: , probe/unused: }, processors: {batch: }, exporters: {probe/a: , probe/b: },
              service: {telemetry: {metrics: {level: none}}, pipelines: {
                profiles: {receivers: [probe], processors: [batch], exporters: [probe/a]},
                profiles/2: {receivers: [probe], exporters: [probe/a, probe/b]}}}}",
        );
        service.start().await.unwrap();
        service.shutdown().await;
        assert_eq!(
            *log.lock().unwrap(),
            [
                "start exporter probe/a",
                "start exporter probe/b",
                "start probe",
                "batch for exporter probe/a",
                "batch for exporter probe/a",
                "batch for exporter probe/b",
                "stop probe",
                "stop exporter probe/b",
                "stop exporter probe/a",
            ]
        );
    }

    #[tokio::test]
    async fn a_failed_start_names_the_component_and_stops_the_others() {
        let log = Log::default();
        let mut service = service(
            &log,
            "{receivers: {probe: {fails: true}}, exporters: {probe: },
              service: {telemetry: {metrics: {level: none}}, pipelines: {profiles: {receivers: [probe], exporters: [probe]}}}}",
        );
        let error = service.start().await.unwrap_err();
        assert_eq!(error.to_string(), "cannot start pipelines: failed to start \"probe\" receiver: no way");
        assert_eq!(
            *log.lock().unwrap(),
            ["start exporter probe", "start probe", "stop probe", "stop exporter probe"]
        );
    }

    #[tokio::test]
    async fn a_metrics_port_in_use_ends_the_start_only_if_it_was_asked_for() {
        let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = taken.local_addr().unwrap().port();
        let yaml = format!(
            "{{receivers: {{nop: }}, exporters: {{nop: }}, service: {{pipelines: {{profiles: {{receivers: [nop], exporters: [nop]}}}},
               telemetry: {{metrics: {{readers: [{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: {port}}}}}}}}}]}}}}}}}}"
        );
        let mut named = service(&Log::default(), &yaml);
        let error = named.start().await.unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("failed to start metrics endpoint 127.0.0.1:{port}: ")),
            "{error}"
        );
        let mut default = service(&Log::default(), &yaml);
        default.endpoints[0].explicit = false;
        default.start().await.unwrap();
        default.shutdown().await;
    }
}
