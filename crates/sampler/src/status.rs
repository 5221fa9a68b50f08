//! Counters since the start, and what is in use.

use std::sync::atomic::Ordering;
use std::time::Duration;

use hearth_unwind::StopReason;

use crate::Sampler;
use crate::abi::Counter;
use crate::loader::FeatureLevel;
use crate::processes::lock;
use crate::ring::STOPS;

/// Counters since the start, and what is in use.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Samples taken by the kernel side, lost ones included.
    pub samples: u64,
    /// Samples which filters left out after they were taken.
    pub left_out: u64,
    /// Frames in them, of users and of the kernel.
    pub frames: u64,
    /// Samples and events lost, by reason.
    pub lost: Vec<(&'static str, u64)>,
    /// What was left out for want of a budget or by a file's own fault, by reason.
    pub dropped: Vec<(&'static str, u64)>,
    /// How often a walk ended for each reason.
    pub stops: Vec<(StopReason, u64)>,
    /// Which programs are loaded.
    pub feature_level: FeatureLevel,
    /// Why mappings are told to the kernel side; none if it finds them itself.
    pub degraded: Option<String>,
    /// CPUs that are sampled.
    pub cpus: u64,
    /// Time spent in the sampling program, all CPUs together.
    pub bpf_run_time: Duration,
    /// How often it ran.
    pub bpf_run_count: u64,
    /// Look-ups of mappings by the kernel side.
    pub vma_walks: u64,
    /// Look-ups that met a tree in motion, and were not trusted.
    pub vma_walks_changed: u64,
    /// Frames that left the kernel as addresses of a process because its table of files was full.
    pub frames_without_file_id: u64,
    /// Callers that were found by unwind rows.
    pub frames_by_rows: u64,
    /// Samples that carried stack bytes because a file was not ready, and these bytes.
    pub raw_stacks: u64,
    /// See [`raw_stacks`](Self::raw_stacks).
    pub raw_bytes: u64,
    /// Samples that should have carried them, but the ring was half full.
    pub raw_skipped: u64,
    /// Lost samples that are in the totals, but not in the resource of their process: too many lost some.
    pub lost_unnamed: u64,
    /// Verdicts of filters which the kernel side had no room for: these processes are sampled and left out
    /// later.
    pub verdicts_full: u64,
    /// Kernel memory of all maps, unwind tables included.
    pub map_bytes: u64,
    /// Unwind tables in place.
    pub tables: u64,
    /// Bytes of the pages they are in.
    pub table_bytes: u64,
    /// From the sample that met a file to its published unwind table: how many took up to this long and
    /// longer than the one before. The last has no bound.
    pub table_latencies: Vec<(Option<Duration>, u64)>,
    /// CPU time spent on reading files.
    pub preparation: Duration,
    /// Bytes held by symbols of files and of the kernel.
    pub symbol_bytes: u64,
    /// Files known by name.
    pub files: u64,
    /// From the call of [`Sampler::start`] to the first sample; none if there was none yet.
    pub start_to_first_sample: Option<Duration>,
}

impl Sampler {
    /// Counters since the start, and what is in use.
    pub fn status(&self) -> Status {
        let count = |counter| self.losses.counter(counter);
        let samples = count(Counter::Samples);
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let stops = StopReason::ALL.iter().zip(&self.counters.stops[..STOPS]);
        let first = load(&self.counters.first_sample_ns);
        let tables = &self.helpers.tables;
        let (table_count, table_bytes) = tables.usage();
        Status {
            samples,
            left_out: load(&self.counters.left_out),
            frames: count(Counter::UserFrames) + count(Counter::KernelFrames),
            lost: self.losses.named(&self.counters),
            dropped: self.helpers.drops.named(),
            stops: stops.map(|(reason, count)| (*reason, load(count))).collect(),
            feature_level: self.level,
            degraded: self.degraded.clone(),
            cpus: load(&self.counters.cpus),
            bpf_run_time: Duration::from_nanos(count(Counter::RunNs)),
            bpf_run_count: samples,
            vma_walks: count(Counter::VmaWalks),
            vma_walks_changed: count(Counter::TreeChanged),
            frames_without_file_id: count(Counter::FilesFull),
            frames_by_rows: count(Counter::RowsFrames),
            raw_stacks: count(Counter::RawTails),
            raw_bytes: count(Counter::RawBytes),
            raw_skipped: count(Counter::RawSkipped),
            lost_unnamed: count(Counter::LostUnnamed),
            verdicts_full: count(Counter::VerdictsFull),
            map_bytes: self.map_bytes + tables.chunk_bytes(),
            tables: table_count,
            table_bytes,
            table_latencies: tables.latencies.read(),
            preparation: self.budget.spent(),
            symbol_bytes: lock(&self.names).memory_bytes() as u64,
            files: self.files.len() as u64,
            start_to_first_sample: (first > 0).then(|| Duration::from_nanos(first)),
        }
    }
}
