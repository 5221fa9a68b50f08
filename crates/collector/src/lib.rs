//! A small Collector runtime: what an OpenTelemetry Collector does around its components.
//!
//! Somebody who operates a Collector should feel at home: the same YAML grammar, defaults, aliases,
//! error texts, log lines and metrics, for the one signal Hearth carries, profiles.
//!
//! ```text
//! --config, --set ─▶ confmap (one tree, ${…} expanded) ─▶ config (typed, checked) ─▶ service
//!                                                                                     │
//!   receiver ─▶ fan-out ─▶ processors ─▶ fan-out ─▶ exporter (queue ─▶ retry ─▶ send) ◀┘
//! ```
//!
//! A program registers the components it has in a [`Registry`]; [`Registry::stock`] holds the ones of
//! this crate. [`config::load`] turns a resolved tree into a [`Config`], [`Service`] runs it.
//!
//! # What this crate does not do
//!
//! It carries profiles only: pipelines of other signals are refused. It installs no logger, parses no
//! command line and handles no process signals (`hearth-agent` does). Keys and components
//! of the original that are not implemented are refused or warned about by name, never ignored in
//! silence.
//!
//! # Terms
//!
//! *Component*: a receiver, processor, exporter or extension. *ID*: `type[/name]`, how a
//! configuration names one. *Item*: one sample; what queues and counters count.

pub mod component;
pub mod config;
pub mod confmap;
pub mod decode;
pub mod duration;
pub mod exporter;
pub mod gates;
mod id;
mod metrics;
mod metrics_server;
mod processor;
mod receiver;
mod registry;
mod service;

pub use component::{
    Component, ComponentError, ConsumeError, Consumer, Context, Exporter, Extension, Processor, Receiver,
};
pub use config::{Config, ConfigError};
pub use gates::Gates;
pub use id::{ComponentId, IdError, Kind};
pub use metrics::{Counter, Gauge, Metrics};
pub use registry::{
    CreateExporter, CreateExtension, CreateProcessor, CreateReceiver, Factory, Registry, Stability,
};
pub use service::{BuildInfo, Service, ServiceError};
