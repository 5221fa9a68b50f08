//! What was sampled, from start to end.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use hearth_profile::{
    Attributes, Dictionary, Layer, NodeId, Profile, ProfileBatch, Remap, ResourceProfiles, Sample, Scope,
    StackId, Tree, ValueType,
};
use hearth_sampler::{Collection, Status};

/// All samples of a recording, summed by process and stack.
pub(super) struct Recording {
    pub(super) samples_per_second: u32,
    pub(super) samples: u64,
    pub(super) elapsed: Duration,
    pub(super) cpus: u64,
    /// What was lost, by reason.
    pub(super) lost: BTreeMap<&'static str, u64>,
    /// Why the sampler works in a lesser way, if it does.
    pub(super) degraded: Option<String>,
    started: SystemTime,
    dictionary: Dictionary,
    processes: Vec<Process>,
    /// Indices into `processes`, by process id and executable.
    known: HashMap<(String, String), usize>,
}

/// The samples of one process.
struct Process {
    attributes: Attributes,
    sums: BTreeMap<StackId, i64>,
}

impl Process {
    /// Its name for people.
    fn name(&self) -> &str {
        self.attributes.get_str("process.executable.name").unwrap_or("[unknown process]")
    }
}

impl Recording {
    pub(super) fn new(samples_per_second: u32) -> Self {
        Self {
            samples_per_second,
            samples: 0,
            elapsed: Duration::ZERO,
            cpus: 0,
            lost: BTreeMap::new(),
            degraded: None,
            started: SystemTime::now(),
            dictionary: Dictionary::default(),
            processes: Vec::new(),
            known: HashMap::new(),
        }
    }

    /// Nanoseconds of CPU time that one sample stands for.
    pub(super) fn period_ns(&self) -> i64 {
        1_000_000_000 / i64::from(self.samples_per_second.max(1))
    }

    /// Adds what was sampled since the last time.
    pub(super) fn add(&mut self, collection: Collection) {
        let Collection { batch, lost, .. } = collection;
        for (reason, count) in lost {
            *self.lost.entry(reason).or_default() += count;
        }
        let mut remap = Remap::new(&batch.dictionary);
        for resource in &batch.resources {
            let process = self.process(&resource.resource);
            for sample in resource.profiles.iter().flat_map(|profile| &profile.samples) {
                let stack = remap.stack(&batch.dictionary, &mut self.dictionary, sample.stack);
                let sum = self.processes[process].sums.entry(stack).or_default();
                *sum = sum.saturating_add(sample.value);
                self.samples = self.samples.saturating_add(sample.value.max(0).unsigned_abs());
            }
        }
    }

    fn process(&mut self, attributes: &Attributes) -> usize {
        let text = |key| attributes.get(key).map(ToString::to_string).unwrap_or_default();
        let key = (text("process.pid"), text("process.executable.path"));
        let next = self.processes.len();
        let index = *self.known.entry(key).or_insert(next);
        if index == next {
            self.processes.push(Process { attributes: attributes.clone(), sums: BTreeMap::new() });
        }
        index
    }

    /// Adds the last samples and what the sampler says of the whole time.
    pub(super) fn finish(&mut self, collection: Collection, status: &Status, elapsed: Duration) {
        self.add(collection);
        self.elapsed = elapsed;
        self.cpus = status.cpus;
        self.degraded.clone_from(&status.degraded);
    }

    /// Whether processes of different names were sampled.
    fn has_several_names(&self) -> bool {
        self.processes.windows(2).any(|pair| pair[0].name() != pair[1].name())
    }

    /// Functions by call path, whatever their process; values are samples times `factor`.
    pub(super) fn functions(&self, factor: i64) -> Tree {
        let mut tree = Tree::default();
        for process in &self.processes {
            tree.add_stacks(&self.dictionary, process.scaled(factor));
        }
        tree
    }

    /// As [`Self::functions`]; if there are processes of different names, these are the first level.
    pub(super) fn tree(&self, factor: i64) -> Tree {
        if !self.has_several_names() {
            return self.functions(factor);
        }
        let mut tree = Tree::default();
        for process in &self.processes {
            let own = Tree::from_stacks(&self.dictionary, process.scaled(factor));
            let top = tree.child(NodeId::ROOT, process.name(), Layer::App);
            graft(&mut tree, top, &own);
        }
        tree
    }

    /// As one batch, with one resource per process.
    pub(super) fn batch(&self) -> ProfileBatch {
        let time_unix_nano = self.started.duration_since(SystemTime::UNIX_EPOCH).map_or(0, nanoseconds);
        let resources = self.processes.iter().map(|process| {
            let samples = process.sums.iter();
            let samples =
                samples.map(|(&stack, &value)| Sample { stack, value, ..Sample::default() }).collect();
            let profile = Profile {
                sample_type: ValueType::new("samples", "count"),
                period_type: ValueType::new("cpu", "nanoseconds"),
                period: self.period_ns(),
                time_unix_nano,
                duration_nano: nanoseconds(self.elapsed),
                samples,
                ..Profile::default()
            };
            let scope = Scope {
                name: "hearth".into(),
                version: env!("CARGO_PKG_VERSION").into(),
                ..Scope::default()
            };
            ResourceProfiles { resource: process.attributes.clone(), scope, profiles: vec![profile] }
        });
        ProfileBatch { dictionary: self.dictionary.clone(), resources: resources.collect() }
    }
}

impl Process {
    fn scaled(&self, factor: i64) -> impl Iterator<Item = (StackId, i64)> {
        self.sums.iter().map(move |(&stack, &value)| (stack, value.saturating_mul(factor)))
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Adds all of `tree` below `top` of `to`.
fn graft(to: &mut Tree, top: NodeId, tree: &Tree) {
    let layers: Vec<Layer> = tree.names().map(|(_, layer)| layer).collect();
    let mut copied = vec![top; tree.len()];
    for (node, _) in tree.preorder() {
        if node != NodeId::ROOT {
            let parent = copied[tree.parent(node).0 as usize];
            let layer = layers[tree.name_index(node) as usize];
            copied[node.0 as usize] = to.child(parent, tree.name(node), layer);
        }
        to.add(copied[node.0 as usize], tree.self_value(node));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use expect_test::expect;
    use hearth_profile::{Function, Line, Location};

    /// A collection from lines of `process/pid function;function value`.
    pub(crate) fn collection(text: &str) -> Collection {
        let mut batch = ProfileBatch::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split(' ').collect();
            let (name, pid) = words[0].split_once('/').unwrap();
            let mut stack = StackId::NONE;
            for function in words[1].split(';') {
                let dictionary = &mut batch.dictionary;
                let name = dictionary.string(function);
                let function = dictionary.function(Function { name, ..Function::default() });
                let lines = [Line { function, ..Line::default() }].into();
                let location = dictionary.location(Location { lines, ..Location::default() });
                stack = dictionary.push(stack, location);
            }
            let mut resource = Attributes::default();
            resource.set("process.pid", pid.parse::<i64>().unwrap());
            resource.set("process.executable.name", name);
            let sample = Sample { stack, value: words[2].parse().unwrap(), ..Sample::default() };
            let profile = Profile { samples: vec![sample], ..Profile::default() };
            batch.resources.push(ResourceProfiles {
                resource,
                profiles: vec![profile],
                ..ResourceProfiles::default()
            });
        }
        Collection { batch, samples: 0, lost: vec![("sample ring full", 2)] }
    }

    #[test]
    fn collections_add_up() {
        let mut recording = Recording::new(1_000);
        recording.add(collection("make/1 main;fork 2\nmake/1 main 1"));
        recording.add(collection("make/1 main;fork 3"));
        assert_eq!((recording.samples, recording.lost["sample ring full"]), (6, 4));
        expect![["main 1\nmain;fork 5\n"]].assert_eq(&hearth_codec::folded::write(&recording.tree(1)));
        let batch = recording.batch();
        assert_eq!((batch.resources.len(), batch.sample_count()), (1, 2));
        assert_eq!(batch.resources[0].profiles[0].period, 1_000_000);
    }

    #[test]
    fn processes_of_different_names_stand_apart() {
        let mut recording = Recording::new(1_000);
        recording.add(collection("make/1 main 1\ncc/2 main;parse 2\ncc/3 main;parse 3"));
        expect![["cc;main;parse 5\nmake;main 1\n"]]
            .assert_eq(&hearth_codec::folded::write(&recording.tree(1)));
        expect![["main 1\nmain;parse 5\n"]].assert_eq(&hearth_codec::folded::write(&recording.functions(1)));
        assert_eq!(recording.batch().resources.len(), 3);
    }
}
