//! What processes map, from perf's records: the fallback's way to notice that a table is out of date.

use crate::error::StartError;
use crate::kernel;
use crate::sys::MappingRecords;

const PERF_RECORD_MMAP2: u32 = 10;
const PERF_RECORD_LOST: u32 = 2;
/// Pages of each CPU's ring.
const PAGES: u32 = 16;
/// Processes told once per poll, however many mappings they made.
const PIDS_MAX: usize = 1024;

/// Records of all CPUs.
#[derive(Debug)]
pub(crate) struct SideBand {
    cpus: Vec<MappingRecords>,
    pids: Vec<u32>,
}

impl SideBand {
    /// Begins to record on all CPUs that are online.
    pub(crate) fn open() -> Result<Self, StartError> {
        let online = kernel::online_cpus().map_err(StartError::system("read which CPUs are online"))?;
        let cpus: std::io::Result<Vec<_>> =
            online.into_iter().map(|cpu| MappingRecords::open(cpu, PAGES)).collect();
        let cpus = cpus.map_err(StartError::system("record what processes map"))?;
        Ok(Self { cpus, pids: Vec::new() })
    }

    /// Calls `changed` with each process that mapped code since the last call.
    pub(crate) fn drain(&mut self, changed: impl FnMut(u32)) {
        let Self { cpus, pids } = self;
        pids.clear();
        for cpu in cpus {
            cpu.drain(|kind, body| match kind {
                PERF_RECORD_MMAP2 if pids.len() < PIDS_MAX => {
                    let pid = body.first_chunk::<4>().map(|bytes| u32::from_ne_bytes(*bytes));
                    if let Some(pid) = pid.filter(|pid| pids.last() != Some(pid)) {
                        pids.push(pid);
                    }
                }
                PERF_RECORD_LOST => tracing::debug!("records of mappings were lost"),
                _ => {}
            });
        }
        pids.sort_unstable();
        pids.dedup();
        pids.iter().copied().for_each(changed);
    }
}
