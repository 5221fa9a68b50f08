//! Generated profiles, the same for the same seed: processes with call graphs like those measured
//! on real hosts (stacks 10 to 30 frames deep that share their roots).

use hearth_profile::{
    Attributes, Dictionary, FrameKind, Function, Line, Location, Mapping, Profile, ProfileBatch,
    ResourceProfiles, Sample, Scope, StackId, ValueType,
};

/// Distinct paths of one process. A day of a real service has some ten thousand; a few minutes of it
/// meet a part of them again and again.
const PATHS: u64 = 2_000;

/// Makes batches as an agent would export them every few seconds.
#[derive(Clone, Debug)]
pub struct Generator {
    state: u64,
    processes: u32,
    stacks: u32,
    /// By process, root-first numbers of functions.
    paths: Vec<Vec<Vec<u64>>>,
}

impl Generator {
    /// For a host with `processes` busy processes of `stacks` samples each per export.
    pub fn new(seed: u64, processes: u32, stacks: u32) -> Self {
        let mut generator = Self { state: seed | 1, processes, stacks, paths: Vec::new() };
        generator.paths = (0..u64::from(processes))
            .map(|process| (0..PATHS).map(|_| generator.path(process)).collect())
            .collect();
        generator
    }

    /// Xorshift64*: good enough to spread, and the same everywhere.
    fn next(&mut self, bound: u64) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound.max(1)
    }

    /// Few branches near the root, many near the leaf.
    fn path(&mut self, process: u64) -> Vec<u64> {
        let mut at = process;
        (0..10 + self.next(20))
            .map(|level| {
                at = at.wrapping_mul(31).wrapping_add(self.next(1 + level / 3)) % 4_096;
                at
            })
            .collect()
    }

    /// One export at `time_unix_nano`: on-CPU samples of every process at 97 Hz.
    pub fn batch(&mut self, time_unix_nano: u64) -> ProfileBatch {
        let mut batch = ProfileBatch::default();
        for process in 0..self.processes {
            let samples = (0..self.stacks).map(|_| self.sample(&mut batch.dictionary, process)).collect();
            let name = format!("service-{process}");
            let resource: Attributes =
                [("service.name", name.clone()), ("process.executable.name", name)].into_iter().collect();
            let profile = Profile {
                sample_type: ValueType::new("samples", "count"),
                period_type: ValueType::new("cpu", "nanoseconds"),
                period: 1_000_000_000 / 97,
                time_unix_nano,
                duration_nano: 5_000_000_000,
                samples,
                ..Profile::default()
            };
            let scope = Scope { name: "hearth".into(), ..Scope::default() };
            batch.resources.push(ResourceProfiles { resource, scope, profiles: vec![profile] });
        }
        batch
    }

    fn sample(&mut self, dictionary: &mut Dictionary, process: u32) -> Sample {
        // The product of two even choices: low numbers are often chosen, high ones rarely.
        let number = usize::try_from(self.next(PATHS) * self.next(PATHS) / PATHS).unwrap_or(0);
        let path = &self.paths[process as usize][number];
        let stack = path.iter().fold(StackId::NONE, |stack, &function| {
            let location = location(dictionary, process, function);
            dictionary.push(stack, location)
        });
        Sample { stack, value: 1 + i64::try_from(self.next(4)).unwrap_or(0), ..Sample::default() }
    }
}

fn location(dictionary: &mut Dictionary, process: u32, function: u64) -> hearth_profile::LocationId {
    let name =
        dictionary.string(&format!("package{}::module{}::function_{function}", process, function % 37));
    let filename = dictionary.string(&format!("/usr/bin/service-{process}"));
    let build_id = dictionary.string(&format!("{process:040x}"));
    let function_id = dictionary.function(Function { name, ..Function::default() });
    let mapping = dictionary.mapping(Mapping { filename, build_id, ..Mapping::default() });
    dictionary.location(Location {
        mapping,
        address: 0x1000 + function * 16,
        lines: [Line { function: function_id, ..Line::default() }].into(),
        kind: FrameKind::Native,
    })
}
