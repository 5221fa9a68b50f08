//! The Collector-compatible agent: the collector with the sampler as its profiling receiver.
