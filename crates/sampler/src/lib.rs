//! Samples every process on this host with eBPF and turns raw traces into profiles.

pub mod process;
