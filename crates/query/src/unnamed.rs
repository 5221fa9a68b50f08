//! Code without a name: which binaries it is in, and how much of the time it took.

use std::collections::HashMap;

use hearth_block::Row;
use hearth_profile::{Dictionary, FrameKind, LocationId, StackId};

use crate::engine::Scan;
use crate::{Engine, Error, Query};

/// How much of what was sampled has no name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unnamed {
    /// The sum over everything.
    pub total: i64,
    /// The sum over samples whose leaf has no name.
    pub leaf: i64,
    /// The binaries with such code, heaviest first.
    pub binaries: Vec<UnnamedBinary>,
}

/// A binary with code that nobody could name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnnamedBinary {
    /// Its path; empty for code that is in no file.
    pub filename: String,
    /// Its build ID; empty if it has none.
    pub build_id: String,
    /// Whether it is the kernel or a part of it.
    pub kernel: bool,
    /// The sum over samples whose leaf is unnamed code of this binary.
    pub leaf: i64,
    /// The sum over samples with unnamed code of this binary anywhere in their stack.
    pub total: i64,
    /// Unnamed places, those of each stored piece counted apart.
    pub places: usize,
}

/// What tells binaries apart: path, build ID, kernel.
type Key = (String, String, bool);

#[derive(Default)]
struct Gathered {
    total: i64,
    leaf: i64,
    binaries: HashMap<Key, UnnamedBinary>,
}

impl Engine {
    /// The binaries of a tenant with code that has no name. The query should select one profile type.
    ///
    /// A binary that has several files (a new version of each) is listed once per build ID.
    ///
    /// # Errors
    ///
    /// [`Error`], as all methods here.
    pub fn unnamed(&self, query: &Query) -> Result<Unnamed, Error> {
        let mut gathered = Gathered::default();
        for scan in self.scans(query, query.range)? {
            gathered.add(&scan)?;
            self.bounded("binaries without names", gathered.binaries.len())?;
        }
        let Gathered { total, leaf, binaries } = gathered;
        let mut binaries: Vec<UnnamedBinary> =
            binaries.into_values().filter(|binary| binary.total != 0).collect();
        binaries
            .sort_by(|a, b| (b.total, &a.filename, &a.build_id).cmp(&(a.total, &b.filename, &b.build_id)));
        Ok(Unnamed { total, leaf, binaries })
    }
}

impl Gathered {
    fn add(&mut self, scan: &Scan) -> Result<(), Error> {
        let dictionary = scan.source.dictionary()?;
        let mut sums: Vec<i64> = vec![0; dictionary.stacks().len()];
        scan.source.rows(&scan.filter, &mut |row: Row| {
            if let Some(sum) = sums.get_mut(row.stack.index()) {
                *sum = sum.saturating_add(row.value);
            }
        })?;
        let places = Places::of(&dictionary);
        let mut seen = vec![false; places.keys.len()];
        let mut used = vec![false; dictionary.locations().len()];
        for (index, &sum) in sums.iter().enumerate().filter(|(_, sum)| **sum != 0) {
            self.total = self.total.saturating_add(sum);
            let stack = StackId(u32::try_from(index).unwrap_or(0));
            if !places.below.get(index).copied().unwrap_or(false) {
                continue;
            }
            seen.fill(false);
            for (depth, location) in dictionary.leaf_first(stack).enumerate() {
                let Some(Some(binary)) = places.binary.get(location.index()).copied() else { continue };
                used[location.index()] = true;
                let binary_seen = std::mem::replace(&mut seen[binary], true);
                let key = &places.keys[binary];
                let entry = self.binaries.entry(key.clone()).or_insert_with(|| UnnamedBinary {
                    filename: key.0.clone(),
                    build_id: key.1.clone(),
                    kernel: key.2,
                    ..UnnamedBinary::default()
                });
                if !binary_seen {
                    entry.total = entry.total.saturating_add(sum);
                }
                if depth == 0 {
                    entry.leaf = entry.leaf.saturating_add(sum);
                    self.leaf = self.leaf.saturating_add(sum);
                }
            }
        }
        for (binary, used) in places.binary.iter().zip(used) {
            if let Some(entry) =
                binary.filter(|_| used).and_then(|binary| self.binaries.get_mut(&places.keys[binary]))
            {
                entry.places += 1;
            }
        }
        Ok(())
    }
}

/// Where a dictionary has code without names.
struct Places {
    keys: Vec<Key>,
    /// By location: which of `keys`, if it has no name.
    binary: Vec<Option<usize>>,
    /// By stack: whether any location of it has no name.
    below: Vec<bool>,
}

impl Places {
    fn of(dictionary: &Dictionary) -> Self {
        let mut keys: Vec<Key> = Vec::new();
        let mut known: HashMap<Key, usize> = HashMap::new();
        let mut binary = vec![None];
        for location in dictionary.locations().skip(1) {
            let mapping = dictionary.get_mapping(location.mapping);
            let unnamed = !dictionary.is_named(location);
            binary.push(unnamed.then(|| {
                let text = |id| dictionary.get_string(id).to_owned();
                let kernel = location.kind == FrameKind::Kernel;
                let key = (text(mapping.filename), text(mapping.build_id), kernel);
                *known.entry(key.clone()).or_insert_with(|| {
                    keys.push(key);
                    keys.len() - 1
                })
            }));
        }
        let mut below: Vec<bool> = Vec::with_capacity(dictionary.stacks().len());
        for (location, caller) in dictionary.stacks() {
            let caller = below.get(caller.index()).copied().unwrap_or(false);
            let own =
                location != LocationId::NONE && binary.get(location.index()).is_some_and(Option::is_some);
            below.push(caller || own);
        }
        Self { keys, binary, below }
    }
}

#[cfg(test)]
mod tests {
    use crate::UnnamedBinary;
    use crate::fixture::{Fixture, query};

    #[test]
    fn binaries_without_names_are_listed_by_weight() {
        let cpu = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
        let engine = Fixture::default()
            .source("a", &[(cpu, "shop", "web", 0, "main;work", 5), (cpu, "shop", "web", 0, "main", 1)])
            .source("a", &[(cpu, "shop", "web", 0, "0x10;0x20", 7), (cpu, "mail", "m", 0, "0x20;send", 2)])
            .engine();
        let unnamed = engine.unnamed(&query("a", cpu, 0, 20_000)).unwrap();
        assert_eq!((unnamed.total, unnamed.leaf), (15, 7));
        let app = UnnamedBinary {
            filename: "/opt/app".into(),
            build_id: "ab".into(),
            kernel: false,
            leaf: 7,
            total: 9,
            places: 2,
        };
        assert_eq!(unnamed.binaries, [app]);
    }
}
