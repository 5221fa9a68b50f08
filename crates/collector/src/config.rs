//! From a resolved tree to a checked configuration.
//!
//! Reading collects every problem before it gives up. Problems of form (unknown keys, wrong types)
//! are reported first and alone, as by the Collector; only a configuration without them is checked for sense.

mod telemetry;

use std::fmt;

pub use self::telemetry::{LogEncoding, LogLevel, MetricsEndpoint, Telemetry};
use crate::confmap::{Map, Value};
use crate::decode::{Problems, Remark, Section, read_section};
use crate::gates::PROFILES_SUPPORT;
use crate::registry::not_implemented;
use crate::{
    ComponentId, CreateExporter, CreateExtension, CreateProcessor, CreateReceiver, Factory, Gates, Kind,
    Registry, Stability,
};

/// Why a configuration cannot run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// Keys or types that do not fit.
    Decode(Vec<String>),
    /// It fits and makes no sense.
    Invalid(Vec<String>),
}

impl ConfigError {
    /// The text without the prefix that says when it happened, as `validate` prints it.
    pub fn bare(&self) -> String {
        match self {
            Self::Decode(_) => self.to_string(),
            Self::Invalid(messages) => messages.join("\n"),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode(messages) => write!(
                f,
                "failed to get config: cannot unmarshal the configuration: \
                 decoding failed due to the following error(s):\n\n{}",
                messages.join("\n")
            ),
            Self::Invalid(messages) => write!(f, "invalid configuration: {}", messages.join("\n")),
        }
    }
}

impl std::error::Error for ConfigError {}

/// A component that was configured.
pub(crate) struct Configured<C> {
    pub(crate) id: ComponentId,
    pub(crate) create: C,
    pub(crate) stability: Stability,
}

/// A path of profiles through components.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pipeline {
    pub(crate) id: ComponentId,
    pub(crate) receivers: Vec<ComponentId>,
    pub(crate) processors: Vec<ComponentId>,
    pub(crate) exporters: Vec<ComponentId>,
}

/// A configuration that can run.
pub struct Config {
    pub(crate) receivers: Vec<Configured<CreateReceiver>>,
    pub(crate) processors: Vec<Configured<CreateProcessor>>,
    pub(crate) exporters: Vec<Configured<CreateExporter>>,
    pub(crate) extensions: Vec<Configured<CreateExtension>>,
    pub(crate) service_extensions: Vec<ComponentId>,
    pub(crate) pipelines: Vec<Pipeline>,
    /// What the service says about itself.
    pub telemetry: Telemetry,
    /// What will work differently than written; to be logged.
    pub warnings: Vec<String>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("pipelines", &self.pipelines)
            .field("telemetry", &self.telemetry)
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}

/// Reads and checks a configuration.
///
/// # Errors
///
/// [`ConfigError`] with all problems of its stage, in the Collector's words.
pub fn load(map: &Map, registry: &Registry, gates: &Gates) -> Result<Config, ConfigError> {
    let mut loader = Loader::default();
    let mut root = Problems::default();
    let mut sections: [Option<&Value>; 5] = [None; 5];
    let mut service = ServiceSection::default();
    let value = Value::Map(map.clone());
    read_section(&value, &mut root, |section| {
        for (slot, kind) in sections.iter_mut().zip(Kind::ALL) {
            let _ = section.value(kind.section());
            *slot = map.get(kind.section());
        }
        section.child("service", |section| service.read(section));
    });
    loader.decode.append(&mut root.decode);
    let [receivers, processors, exporters, connectors, extensions] = sections;
    let empty = Vec::<Factory<()>>::new();
    let receivers = loader.components(Kind::Receiver, receivers, &registry.receivers);
    let processors = loader.components(Kind::Processor, processors, &registry.processors);
    let exporters = loader.components(Kind::Exporter, exporters, &registry.exporters);
    loader.components(Kind::Connector, connectors, &empty);
    let extensions = loader.components(Kind::Extension, extensions, &registry.extensions);
    if !loader.decode.is_empty() {
        return Err(ConfigError::Decode(loader.decode));
    }
    loader.take_remarks("", root);
    let pipelines = loader.check_pipelines(service.pipelines, gates);
    loader.check_references(&pipelines, &service.extensions);
    if !loader.invalid.is_empty() {
        return Err(ConfigError::Invalid(loader.invalid));
    }
    Ok(Config {
        receivers,
        processors,
        exporters,
        extensions,
        service_extensions: service.extensions,
        pipelines,
        telemetry: service.telemetry,
        warnings: loader.warnings,
    })
}

/// The section `service` before its references are followed.
#[derive(Default)]
struct ServiceSection {
    extensions: Vec<ComponentId>,
    pipelines: Vec<Pipeline>,
    telemetry: Telemetry,
}

impl ServiceSection {
    fn read(&mut self, section: &mut Section<'_, '_>) {
        self.extensions = read_ids(section, "extensions");
        section.child("telemetry", |telemetry| self.telemetry.read(telemetry));
        section.child("pipelines", |pipelines| {
            for (key, value) in pipelines.entries() {
                let id = match ComponentId::parse(key) {
                    Ok(id) => id,
                    Err(error) => {
                        pipelines.decode_error(key, &error.to_string());
                        continue;
                    }
                };
                if !["traces", "metrics", "logs", "profiles"].contains(&id.type_name.as_str()) {
                    pipelines.decode_error(key, &format!("unknown pipeline signal: {:?}", id.type_name));
                    continue;
                }
                let mut pipeline =
                    Pipeline { id, receivers: Vec::new(), processors: Vec::new(), exporters: Vec::new() };
                pipelines.nested(key, value, |section| {
                    pipeline.receivers = read_ids(section, "receivers");
                    pipeline.processors = read_ids(section, "processors");
                    pipeline.exporters = read_ids(section, "exporters");
                });
                self.pipelines.push(pipeline);
            }
        });
    }
}

fn read_ids(section: &mut Section<'_, '_>, key: &'static str) -> Vec<ComponentId> {
    let mut texts = Vec::new();
    section.strings(key, &mut texts);
    let mut ids = Vec::new();
    for text in texts {
        match ComponentId::parse(&text) {
            Ok(id) => ids.push(id),
            Err(error) => section.decode_error(key, &error.to_string()),
        }
    }
    ids
}

#[derive(Default)]
struct Loader {
    decode: Vec<String>,
    invalid: Vec<String>,
    warnings: Vec<String>,
    /// Everything that was configured, by kind.
    configured: Vec<(Kind, ComponentId)>,
    /// Configured components of types that Hearth does not have, with what to do instead.
    missing: Vec<(Kind, ComponentId, &'static str)>,
}

impl Loader {
    /// Turns what a section found into messages below `prefix`.
    fn take_remarks(&mut self, prefix: &str, problems: Problems) {
        let written = |remark: Remark| {
            let path: Vec<&str> =
                [prefix, &remark.path].into_iter().filter(|part| !part.is_empty()).collect();
            format!("{}: {}", path.join("::"), remark.message)
        };
        self.invalid.extend(problems.invalid.into_iter().map(written));
        self.warnings.extend(problems.warnings.into_iter().map(written));
    }

    fn components<C>(
        &mut self,
        kind: Kind,
        section: Option<&Value>,
        factories: &[Factory<C>],
    ) -> Vec<Configured<C>> {
        let mut configured = Vec::new();
        let Some(section) = section.filter(|section| !section.is_null()) else { return configured };
        let Some(map) = section.as_map() else {
            let message =
                format!("'{}' expected a map or struct, got {:?}", kind.section(), section.type_name());
            self.decode.push(message);
            return configured;
        };
        for (key, value) in map {
            let id = match ComponentId::parse(key) {
                Ok(id) => id,
                Err(error) => {
                    self.decode.push(format!("'{}' {error}", kind.section()));
                    continue;
                }
            };
            if self.configured.contains(&(kind, id.clone())) {
                let message =
                    format!("'{}' duplicate name \"{id}\" after unmarshaling {key:?}", kind.section());
                self.decode.push(message);
                continue;
            }
            self.configured.push((kind, id.clone()));
            if let Some(component) = self.component(kind, id, value, factories) {
                configured.push(component);
            }
        }
        configured
    }

    fn component<C>(
        &mut self,
        kind: Kind,
        id: ComponentId,
        value: &Value,
        factories: &[Factory<C>],
    ) -> Option<Configured<C>> {
        let named = |factory: &&Factory<C>| {
            factory.name == id.type_name || factory.alias == Some(id.type_name.as_str())
        };
        let Some(factory) = factories.iter().find(named) else {
            if let Some(advice) = not_implemented(kind, &id.type_name) {
                self.missing.push((kind, id, advice));
            } else {
                let mut valid: Vec<&str> = factories.iter().map(|factory| factory.name).collect();
                valid.sort_unstable();
                self.decode.push(format!(
                    "'{}' unknown type: {:?} for id: \"{id}\" (valid values: [{}])",
                    kind.section(),
                    id.type_name,
                    valid.join(" ")
                ));
            }
            return None;
        };
        if factory.name != id.type_name {
            self.warnings
                .push(format!("{:?} alias is deprecated; use {:?} instead", id.type_name, factory.name));
        }
        let mut problems = Problems::default();
        let create = read_section(value, &mut problems, &factory.configure);
        if !problems.decode.is_empty() {
            self.decode.push(format!(
                "'{}' error reading configuration for \"{id}\": \
                 decoding failed due to the following error(s):\n\n{}",
                kind.section(),
                problems.decode.join("\n")
            ));
        }
        self.take_remarks(&format!("{}::{id}", kind.section()), problems);
        Some(Configured { id, create, stability: factory.stability })
    }

    fn has_kind(&self, kind: Kind) -> bool {
        self.configured.iter().any(|(of, _)| *of == kind)
    }

    fn check_pipelines(&mut self, pipelines: Vec<Pipeline>, gates: &Gates) -> Vec<Pipeline> {
        if self.configured.is_empty() {
            self.invalid.push("empty configuration file".into());
            return Vec::new();
        }
        for (kind, name) in [(Kind::Receiver, "receiver"), (Kind::Exporter, "exporter")] {
            if !self.has_kind(kind) {
                self.invalid.push(format!("no {name} configuration specified in config"));
            }
        }
        if pipelines.is_empty() {
            self.invalid.push("service::pipelines: service must have at least one pipeline".into());
        }
        let mut profiles = Vec::new();
        for pipeline in pipelines {
            if pipeline.id.type_name != "profiles" {
                self.invalid.push(format!(
                    "service::pipelines::{}: Hearth's collector carries profiles only; \
                     move this pipeline to another collector",
                    pipeline.id
                ));
                continue;
            }
            if !gates.enabled(PROFILES_SUPPORT) {
                self.invalid.push(format!(
                    "service::pipelines: pipeline \"{}\": profiling signal support is at alpha level, \
                     gated under the {PROFILES_SUPPORT:?} feature gate",
                    pipeline.id
                ));
            }
            for (name, list) in [("receiver", &pipeline.receivers), ("exporter", &pipeline.exporters)] {
                if list.is_empty() {
                    self.invalid
                        .push(format!("service::pipelines::{}: must have at least one {name}", pipeline.id));
                }
            }
            profiles.push(pipeline);
        }
        profiles
    }

    /// Every reference must lead to a configured component, once; what Hearth does not have is an
    /// error where it is used and a warning where it is not.
    fn check_references(&mut self, pipelines: &[Pipeline], extensions: &[ComponentId]) {
        let mut used = Vec::new();
        for pipeline in pipelines {
            let lists = [
                (Kind::Receiver, &pipeline.receivers),
                (Kind::Processor, &pipeline.processors),
                (Kind::Exporter, &pipeline.exporters),
            ];
            for (kind, ids) in lists {
                let place = format!("service::pipelines::{}", pipeline.id);
                self.check_list(kind, ids, &place);
                used.extend(ids.iter().map(|id| (kind, id.clone())));
            }
        }
        self.check_list(Kind::Extension, extensions, "service::extensions");
        used.extend(extensions.iter().map(|id| (Kind::Extension, id.clone())));
        for (kind, id, advice) in std::mem::take(&mut self.missing) {
            let what =
                format!("{}::{id}: this {} is not supported yet by Hearth", kind.section(), kind.name());
            // A connector stands in pipelines as a receiver and as an exporter.
            let is_used = used.iter().any(|(of, other)| {
                *other == id && (*of == kind || (kind == Kind::Connector && *of != Kind::Extension))
            });
            if is_used {
                self.invalid.push(format!("{what}; {advice}"));
            } else {
                self.warnings.push(format!("{what}; nothing uses it, so it is left out"));
            }
        }
    }

    fn check_list(&mut self, kind: Kind, ids: &[ComponentId], place: &str) {
        for (index, id) in ids.iter().enumerate() {
            let stands_for = |of: Kind| self.configured.contains(&(of, id.clone()));
            let is_end = kind == Kind::Receiver || kind == Kind::Exporter;
            if !(stands_for(kind) || is_end && stands_for(Kind::Connector)) {
                let message = format!("{place}: references {} \"{id}\" which is not configured", kind.name());
                self.invalid.push(message);
            } else if ids[..index].contains(id) {
                self.invalid.push(format!("{place}: references {} \"{id}\" multiple times", kind.name()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
