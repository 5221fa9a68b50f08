//! What was sampled, as plain stacks: who, which frames, whether the walk reached the root; and how
//! far apart two sets of stacks are.

use std::collections::{BTreeMap, HashMap};

use hearth_profile::{Dictionary, FrameKind, LocationId, ProfileBatch};

/// One distinct stack of one process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    /// `service.name`; empty if unknown.
    pub service: String,
    /// `process.executable.name`; empty if unknown.
    pub executable: String,
    /// `process.pid`; 0 if unknown.
    pub pid: i64,
    /// Root first, kernel frames last; the mark of a walk that stopped early is no frame.
    pub frames: Vec<StackFrame>,
    /// Why the walk stopped before the root; none if it reached it.
    pub stop: Option<String>,
    /// How many samples.
    pub count: i64,
}

/// One frame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct StackFrame {
    /// The function, without what is inlined into it; empty if it has no name.
    pub function: String,
    /// The path of its file, or what stands for it: `[kernel]`, `[anonymous]`.
    pub binary: String,
    /// ELF address, of callers the call's last byte; 0 if unknown.
    pub address: u64,
    /// Whether it ran in the kernel.
    pub in_kernel: bool,
}

impl Stack {
    /// The user frames, root first.
    pub fn user_frames(&self) -> &[StackFrame] {
        let kernel = self.frames.iter().rev().take_while(|frame| frame.in_kernel).count();
        &self.frames[..self.frames.len() - kernel]
    }

    /// Function names, or addresses in brackets, root first, joined by semicolons.
    pub fn folded(&self) -> String {
        self.frames.iter().map(StackFrame::shown).collect::<Vec<_>>().join(";")
    }
}

impl StackFrame {
    /// The name; else the file and the address.
    pub fn shown(&self) -> String {
        if self.function.is_empty() {
            return format!("{}+{:#x}", self.file_name(), self.address);
        }
        self.function.clone()
    }

    /// The last component of [`binary`](Self::binary).
    pub fn file_name(&self) -> &str {
        self.binary.rsplit('/').next().unwrap_or_default()
    }
}

/// Every stack of a batch.
pub fn stacks(batch: &ProfileBatch) -> Vec<Stack> {
    let mut found = Vec::new();
    for resource in &batch.resources {
        let text = |key: &str| resource.resource.get_str(key).unwrap_or_default().to_owned();
        let pid = resource.resource.get("process.pid").and_then(|pid| pid.to_string().parse().ok());
        let head = Stack {
            service: text("service.name"),
            executable: text("process.executable.name"),
            pid: pid.unwrap_or(0),
            ..Stack::default()
        };
        for sample in resource.profiles.iter().flat_map(|profile| &profile.samples) {
            let mut stack = Stack { count: sample.value, ..head.clone() };
            for location in batch.dictionary.leaf_first(sample.stack) {
                let frame = frame(&batch.dictionary, location);
                let stop = frame.function.strip_prefix("[stopped: ").and_then(|text| text.strip_suffix(']'));
                match stop {
                    Some(reason) => stack.stop = Some(reason.to_owned()),
                    None => stack.frames.push(frame),
                }
            }
            stack.frames.reverse();
            found.push(stack);
        }
    }
    found
}

fn frame(dictionary: &Dictionary, id: LocationId) -> StackFrame {
    let location = dictionary.get_location(id);
    // The last line is the function that is really there; those before are inlined into it.
    let function = location.lines.last().map(|line| {
        let name = dictionary.get_function(line.function).name;
        dictionary.get_string(name).to_owned()
    });
    let filename = dictionary.get_mapping(location.mapping).filename;
    StackFrame {
        function: function.unwrap_or_default(),
        binary: dictionary.get_string(filename).to_owned(),
        address: location.address,
        in_kernel: location.kind == FrameKind::Kernel,
    }
}

/// How many samples were whole, and why the others were not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completeness {
    /// All samples.
    pub samples: i64,
    /// Those whose walk reached the root.
    pub complete: i64,
    /// Those which did not, by reason.
    pub stops: BTreeMap<String, i64>,
    /// User frames of all samples.
    pub frames: i64,
}

impl Completeness {
    /// Counts one stack.
    pub fn add(&mut self, stack: &Stack) {
        self.samples += stack.count;
        self.frames += stack.count * i64::try_from(stack.user_frames().len()).unwrap_or(0);
        match &stack.stop {
            None => self.complete += stack.count,
            Some(reason) => *self.stops.entry(reason.clone()).or_default() += stack.count,
        }
    }

    /// Percent of the samples whose walk reached the root; 0 if there are none.
    pub fn percent(&self) -> f64 {
        self.complete as f64 * 100.0 / self.samples.max(1) as f64
    }

    /// The reasons with their shares, the most frequent first: `0.31 % no frame pointer`.
    pub fn reasons(&self) -> String {
        let mut stops: Vec<_> = self.stops.iter().collect();
        stops.sort_by_key(|(_, count)| -**count);
        let share = |count: i64| count as f64 * 100.0 / self.samples.max(1) as f64;
        let texts = stops.iter().map(|(reason, count)| format!("{:.2} % {reason}", share(**count)));
        texts.collect::<Vec<_>>().join(", ")
    }
}

/// Total variation distance of two sets of counted things: half the sum of the differences of their
/// shares. 0 if they are distributed alike, 1 if nothing occurs in both. None if one is empty.
pub fn distance<K: std::hash::Hash + Eq>(a: &HashMap<K, i64>, b: &HashMap<K, i64>) -> Option<f64> {
    let (total_a, total_b) = (a.values().sum::<i64>(), b.values().sum::<i64>());
    if total_a <= 0 || total_b <= 0 {
        return None;
    }
    let share_a = |key: &K| a.get(key).copied().unwrap_or(0) as f64 / total_a as f64;
    let share_b = |key: &K| b.get(key).copied().unwrap_or(0) as f64 / total_b as f64;
    let of_a: f64 = a.keys().map(|key| (share_a(key) - share_b(key)).abs()).sum();
    let only_b: f64 = b.keys().filter(|key| !a.contains_key(key)).map(share_b).sum();
    Some((of_a + only_b) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn distances() {
        type Counted = &'static [(&'static str, i64)];
        let cases: [(Counted, Counted, Option<f64>); 5] = [
            (&[("a", 1), ("b", 1)], &[("a", 10), ("b", 10)], Some(0.0)),
            (&[("a", 1)],           &[("b", 7)],             Some(1.0)),
            (&[("a", 3), ("b", 1)], &[("a", 1), ("b", 3)],   Some(0.5)),
            (&[("a", 1), ("b", 1)], &[("a", 1), ("c", 1)],   Some(0.5)),
            (&[],                   &[("a", 1)],             None),
        ];
        for (a, b, want) in cases {
            let map = |pairs: Counted| pairs.iter().copied().collect::<HashMap<_, _>>();
            assert_eq!(distance(&map(a), &map(b)), want, "{a:?} {b:?}");
        }
    }
}
