//! Running a configuration.

use hearth_collector::confmap::{Map, ProcessEnvironment, ResolveError, Resolved, resolve};
use hearth_collector::gates::MERGE_APPEND;
use hearth_collector::{
    BuildInfo, Config, ConfigError, Gates, Metrics, Registry, Service, ServiceError, config,
};

use crate::profiling;

/// Where a part of the configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSource(String);

impl ConfigSource {
    /// A location as `--config` takes it: a path, `file:…`, `env:…` or `yaml:…`.
    pub fn location(location: impl Into<String>) -> Self {
        Self(location.into())
    }

    /// Configuration text.
    pub fn yaml(text: &str) -> Self {
        Self(format!("yaml:{text}"))
    }
}

/// Why the agent does not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The sources cannot be read or merged.
    #[error("failed to get config: cannot resolve the configuration: {0}")]
    Resolve(#[from] ResolveError),
    /// The configuration cannot run.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// A component cannot be made or started.
    #[error("{0}")]
    Service(#[from] ServiceError),
}

/// All components of the agent.
pub fn registry() -> Registry {
    Registry::stock().with_receiver(profiling::factory())
}

/// Which program this is, in logs, metrics and the user agent.
pub(crate) fn build_info() -> BuildInfo {
    BuildInfo {
        command: "hearth-agent".into(),
        description: "Hearth agent".into(),
        version: env!("CARGO_PKG_VERSION").into(),
    }
}

/// Reads and merges `sources` from this process's files and variables.
pub(crate) fn resolve_sources(sources: &[ConfigSource], gates: &Gates) -> Result<Resolved, ResolveError> {
    let locations: Vec<String> = sources.iter().map(|source| source.0.clone()).collect();
    resolve(&locations, &ProcessEnvironment, gates.enabled(MERGE_APPEND))
}

/// Checks a resolved configuration; what resolving found is added to its warnings.
pub(crate) fn load(resolved: &Resolved, registry: &Registry, gates: &Gates) -> Result<Config, ConfigError> {
    let mut config = config::load(&resolved.config, registry, gates)?;
    let unset = resolved.unset_variables.iter();
    config
        .warnings
        .extend(unset.map(|name| format!("Configuration references unset environment variable {name:?}")));
    let gates = gates.without_effect().iter();
    config.warnings.extend(gates.map(|id| format!("feature gate {id:?} has no effect in Hearth")));
    Ok(config)
}

/// A running agent. Stop it with [`shutdown`](Self::shutdown): dropping it loses what waits.
#[derive(Debug)]
pub struct Agent {
    service: Service,
    config: Map,
}

impl Agent {
    /// Resolves, checks and starts a configuration; returns when profiles are being taken.
    ///
    /// Logs through `tracing`; installs no subscriber.
    ///
    /// # Errors
    ///
    /// [`Error`], with nothing left running.
    pub async fn start(sources: Vec<ConfigSource>, gates: Gates) -> Result<Self, Error> {
        Self::start_with(&sources, &gates, &registry()).await
    }

    /// As [`start`](Self::start), with other components.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_with(
        sources: &[ConfigSource],
        gates: &Gates,
        registry: &Registry,
    ) -> Result<Self, Error> {
        let resolved = resolve_sources(sources, gates)?;
        Self::start_resolved(resolved, gates, registry).await
    }

    pub(crate) async fn start_resolved(
        resolved: Resolved,
        gates: &Gates,
        registry: &Registry,
    ) -> Result<Self, Error> {
        let config = load(&resolved, registry, gates)?;
        let mut service = Service::build(config, build_info())?;
        service.start().await?;
        Ok(Self { service, config: resolved.config })
    }

    /// What the agent counts.
    pub fn metrics(&self) -> &Metrics {
        self.service.metrics()
    }

    /// The resolved configuration that runs.
    pub(crate) fn config(&self) -> &Map {
        &self.config
    }

    /// Takes the last samples, delivers what waits and stops.
    pub async fn shutdown(self) {
        self.service.shutdown().await;
    }
}
