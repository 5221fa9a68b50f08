//! Which components a program has, and which of the original it knows it does not have.

use std::sync::Arc;

use crate::decode::Section;
use crate::{ComponentError, Consumer, Context, Exporter, Extension, Kind, Processor, Receiver};

/// Makes a configured receiver.
pub type CreateReceiver =
    Box<dyn Fn(Context, Arc<dyn Consumer>) -> Result<Arc<dyn Receiver>, ComponentError> + Send + Sync>;
/// Makes a configured processor.
pub type CreateProcessor =
    Box<dyn Fn(Context, Arc<dyn Consumer>) -> Result<Arc<dyn Processor>, ComponentError> + Send + Sync>;
/// Makes a configured exporter.
pub type CreateExporter = Box<dyn Fn(Context) -> Result<Arc<dyn Exporter>, ComponentError> + Send + Sync>;
/// Makes a configured extension.
pub type CreateExtension = Box<dyn Fn(Context) -> Result<Arc<dyn Extension>, ComponentError> + Send + Sync>;

/// How settled a component is, as the Collector says it in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stability {
    /// `Development component. May change in the future.`
    Development,
    /// `Alpha component. May change in the future.`
    Alpha,
    /// Nothing to say.
    Stable,
}

impl Stability {
    /// `Development`, `Alpha`, `Stable`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Development => "Development",
            Self::Alpha => "Alpha",
            Self::Stable => "Stable",
        }
    }
}

/// A type of component: how its section is read. `C` makes instances from what was read.
pub struct Factory<C> {
    /// The type's name in ids.
    pub name: &'static str,
    /// A former name, accepted with a warning.
    pub alias: Option<&'static str>,
    /// How settled it is.
    pub stability: Stability,
    /// Reads the section; problems go to it.
    pub configure: Box<dyn Fn(&mut Section<'_, '_>) -> C + Send + Sync>,
}

impl<C> Factory<C> {
    /// A factory without alias.
    pub fn new(
        name: &'static str,
        stability: Stability,
        configure: impl Fn(&mut Section<'_, '_>) -> C + Send + Sync + 'static,
    ) -> Self {
        Self { name, alias: None, stability, configure: Box::new(configure) }
    }
}

/// All component types a program has.
#[derive(Default)]
pub struct Registry {
    /// Receivers.
    pub receivers: Vec<Factory<CreateReceiver>>,
    /// Processors.
    pub processors: Vec<Factory<CreateProcessor>>,
    /// Exporters.
    pub exporters: Vec<Factory<CreateExporter>>,
    /// Extensions.
    pub extensions: Vec<Factory<CreateExtension>>,
}

impl Registry {
    /// The components of this crate.
    pub fn stock() -> Self {
        Self {
            receivers: vec![crate::receiver::nop()],
            processors: vec![crate::processor::batch()],
            exporters: vec![
                crate::exporter::debug_factory(),
                crate::exporter::nop_factory(),
                crate::exporter::otlp_grpc_factory(),
            ],
            extensions: Vec::new(),
        }
    }

    /// Adds a receiver.
    #[must_use]
    pub fn with_receiver(mut self, factory: Factory<CreateReceiver>) -> Self {
        self.receivers.push(factory);
        self
    }

    /// Names and stabilities of all types of a kind, sorted by name.
    pub fn list(&self, kind: Kind) -> Vec<(&'static str, Stability)> {
        fn names<C>(factories: &[Factory<C>]) -> Vec<(&'static str, Stability)> {
            let mut list: Vec<_> =
                factories.iter().map(|factory| (factory.name, factory.stability)).collect();
            list.sort_unstable_by_key(|(name, _)| *name);
            list
        }
        match kind {
            Kind::Receiver => names(&self.receivers),
            Kind::Processor => names(&self.processors),
            Kind::Exporter => names(&self.exporters),
            Kind::Extension => names(&self.extensions),
            Kind::Connector => Vec::new(),
        }
    }
}

/// Components of the eBPF profiler's distribution, and those people add to it, which Hearth does not
/// have: what to say about them instead of "unknown type".
const NOT_IMPLEMENTED: [(Kind, &[&str], &str); 12] = [
    (Kind::Receiver, &["otlp"], "send OTLP profiles straight to the server instead"),
    (
        Kind::Processor,
        &["memory_limiter"],
        "remove it; what waits in memory is bounded by each exporter's sending_queue",
    ),
    (
        Kind::Processor,
        &["k8s_attributes", "k8sattributes"],
        "remove it; container.id and service.name are set by the profiling receiver",
    ),
    (
        Kind::Processor,
        &["resource", "attributes", "resource_detection", "resourcedetection"],
        "remove it; host.name, service.name, container.id and process.* are set by the profiling receiver, \
         and the server can relabel",
    ),
    (Kind::Processor, &["filter", "transform"], "remove it; relabel or drop at the server"),
    (Kind::Exporter, &["otlp_http", "otlphttp"], "use otlp_grpc"),
    (Kind::Exporter, &["file", "pyroscope", "kafka"], "use otlp_grpc"),
    (
        Kind::Exporter,
        &["logging"],
        "the logging exporter has been deprecated, use the debug exporter instead",
    ),
    (Kind::Connector, &["forward"], "list the components in one pipeline"),
    (Kind::Extension, &["health_check", "healthcheckv2"], "remove it; probe the metrics endpoint instead"),
    (Kind::Extension, &["pprof", "zpages", "opamp"], "remove it"),
    (
        Kind::Extension,
        &["file_storage", "basicauth", "bearertokenauth", "headers_setter"],
        "remove it; a fixed credential can be written as a header of the exporter",
    ),
];

/// What to do instead of a component which the original has and Hearth has not.
pub(crate) fn not_implemented(kind: Kind, type_name: &str) -> Option<&'static str> {
    NOT_IMPLEMENTED
        .iter()
        .find(|(of, names, _)| *of == kind && names.contains(&type_name))
        .map(|(_, _, advice)| *advice)
}
