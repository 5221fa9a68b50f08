//! The overview: every service with its share, its course and its hottest function.

use std::collections::{BTreeSet, HashMap};

use hearth_block::{Row, SLOT_MS};
use hearth_profile::{Dictionary, Layer, StackId};
use indexmap::{IndexMap, IndexSet};

use crate::engine::{Scan, step_for};
use crate::{Engine, Error, Query};

/// Labels that name a host, best first.
const HOST_LABELS: [&str; 4] = ["host.name", "k8s.node.name", "hostname", "node"];

/// All services of a tenant in one stretch of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overview {
    /// Distance of two values, milliseconds.
    pub step_ms: i64,
    /// First slot with data and the end of the last one; both 0 if there is none.
    pub data_ms: (i64, i64),
    /// The sum over all services.
    pub total: i64,
    /// How many hosts the data comes from; at least 1 if there is data.
    pub hosts: usize,
    /// The services, largest first.
    pub services: Vec<ServiceOverview>,
}

/// One service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceOverview {
    /// Its `service_name`.
    pub name: String,
    /// Its sum.
    pub total: i64,
    /// Its sum per step.
    pub values: Vec<i64>,
    /// Its sum by the layer of the leaf frame, in the order of [`Layer::ALL`].
    pub layers: [i64; 5],
    /// The function with the largest self value.
    pub hottest: Option<Hottest>,
}

/// A function and what it spent itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hottest {
    /// Its name.
    pub name: String,
    /// Its self value.
    pub self_value: i64,
}

#[derive(Default)]
struct Gathered {
    services: IndexMap<String, ServiceOverview>,
    names: IndexSet<String>,
    /// Self value by (service, leaf name).
    selves: HashMap<(u32, u32), i64, foldhash::fast::RandomState>,
    hosts: BTreeSet<String>,
    first_ms: Option<i64>,
    last_ms: Option<i64>,
}

impl Engine {
    /// The services of a tenant. The query should select one profile type: sums of several mean
    /// nothing. `points` is the number of steps wanted; the step is a multiple of a slot.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] if there are too many services or functions.
    pub fn overview(&self, query: &Query, points: usize) -> Result<Overview, Error> {
        let step_ms = step_for(query.range, points)?;
        let steps = crate::range::steps(query.range.length_ms(), step_ms)?;
        let mut gathered = Gathered::default();
        for scan in self.scans(query, query.range)? {
            gathered.add(&scan, query.range.start_ms(), step_ms, steps)?;
            self.bounded("functions of services", gathered.selves.len())?;
            self.bounded("points", gathered.services.len().saturating_mul(steps))?;
        }
        Ok(gathered.finish(step_ms))
    }
}

impl Gathered {
    fn add(&mut self, scan: &Scan, start_ms: i64, step_ms: i64, steps: usize) -> Result<(), Error> {
        let dictionary = scan.source.dictionary()?;
        let mut leaves = Leaves::new(&dictionary);
        let services: Vec<u32> = scan.series.iter().map(|series| self.service(series, steps)).collect();
        let mut seen = vec![false; services.len()];
        scan.source.rows(&scan.filter, &mut |row: Row| {
            let Some(&service) = services.get(row.series as usize) else { return };
            seen[row.series as usize] = true;
            let (name, layer) = leaves.get(&dictionary, row.stack, &mut self.names);
            let self_value = self.selves.entry((service, name)).or_default();
            *self_value = self_value.saturating_add(row.value);
            self.first_ms = Some(self.first_ms.map_or(row.slot_ms, |first| first.min(row.slot_ms)));
            self.last_ms = Some(self.last_ms.map_or(row.slot_ms, |last| last.max(row.slot_ms)));
            let Some((_, overview)) = self.services.get_index_mut(service as usize) else { return };
            overview.total = overview.total.saturating_add(row.value);
            let sum = &mut overview.layers[layer as usize];
            *sum = sum.saturating_add(row.value);
            let step = usize::try_from(row.slot_ms.saturating_sub(start_ms).div_euclid(step_ms)).ok();
            if let Some(sum) = step.and_then(|step| overview.values.get_mut(step)) {
                *sum = sum.saturating_add(row.value);
            }
        })?;
        for (series, _) in scan.series.iter().zip(seen).filter(|(_, seen)| *seen) {
            if let Some(host) = HOST_LABELS.iter().find_map(|name| series.labels.get(name)) {
                self.hosts.insert(host.to_owned());
            }
        }
        Ok(())
    }

    fn service(&mut self, series: &hearth_block::Series, steps: usize) -> u32 {
        let name = series.labels.get("service_name").unwrap_or("unknown_service");
        let index = match self.services.get_index_of(name) {
            Some(index) => index,
            None => {
                let overview = ServiceOverview {
                    name: name.to_owned(),
                    values: vec![0; steps],
                    ..ServiceOverview::default()
                };
                self.services.insert_full(name.to_owned(), overview).0
            }
        };
        u32::try_from(index).unwrap_or(u32::MAX)
    }

    fn finish(mut self, step_ms: i64) -> Overview {
        let mut best: HashMap<u32, (u32, i64)> = HashMap::new();
        for (&(service, name), &value) in &self.selves {
            let entry = best.entry(service).or_insert((name, value));
            if (value, std::cmp::Reverse(name)) > (entry.1, std::cmp::Reverse(entry.0)) {
                *entry = (name, value);
            }
        }
        for (service, (name, self_value)) in best {
            let name = self.names.get_index(name as usize).cloned();
            if let (Some((_, overview)), Some(name)) = (self.services.get_index_mut(service as usize), name) {
                overview.hottest = Some(Hottest { name, self_value });
            }
        }
        let mut services: Vec<ServiceOverview> =
            self.services.into_values().filter(|service| service.total != 0).collect();
        services.sort_by(|a, b| b.total.cmp(&a.total).then_with(|| a.name.cmp(&b.name)));
        let total = services.iter().fold(0_i64, |sum, service| sum.saturating_add(service.total));
        let end_ms = self.last_ms.map_or(0, |last| last.saturating_add(SLOT_MS));
        let hosts = if services.is_empty() { 0 } else { self.hosts.len().max(1) };
        Overview { step_ms, data_ms: (self.first_ms.unwrap_or(0), end_ms), total, hosts, services }
    }
}

/// Name and layer of each stack's leaf, found on first use.
struct Leaves {
    by_stack: Vec<Option<(u32, Layer)>>,
}

impl Leaves {
    fn new(dictionary: &Dictionary) -> Self {
        Self { by_stack: vec![None; dictionary.stacks().len()] }
    }

    fn get(&mut self, dictionary: &Dictionary, stack: StackId, names: &mut IndexSet<String>) -> (u32, Layer) {
        if let Some(Some(known)) = self.by_stack.get(stack.index()) {
            return *known;
        }
        let leaf = dictionary.names(dictionary.get_stack(stack).0).into_iter().next();
        let (name, layer) = leaf.unwrap_or_else(|| ("[unknown]".to_owned(), Layer::App));
        let (index, _) = names.insert_full(name);
        let found = (u32::try_from(index).unwrap_or(u32::MAX), layer);
        if let Some(slot) = self.by_stack.get_mut(stack.index()) {
            *slot = Some(found);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use crate::fixture::{Fixture, query};

    #[test]
    fn services_come_with_course_share_and_hottest_function() {
        let cpu = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
        let engine = Fixture::default()
            .source(
                "a",
                &[(cpu, "shop", "web-1", 0, "main;work", 5), (cpu, "shop", "web-2", 5_000, "main", 2)],
            )
            .source("a", &[(cpu, "shop", "web-1", 10_000, "main;work", 3), (cpu, "mail", "m", 0, "main", 1)])
            .engine();
        let overview = engine.overview(&query("a", cpu, 0, 20_000), 2).unwrap();
        assert_eq!((overview.step_ms, overview.total, overview.hosts), (10_000, 11, 1));
        assert_eq!(overview.data_ms, (0, 15_000));
        let shop = &overview.services[0];
        assert_eq!((shop.name.as_str(), shop.total, shop.values.as_slice()), ("shop", 10, &[7_i64, 3][..]));
        assert_eq!(shop.layers.iter().sum::<i64>(), shop.total);
        let hottest = shop.hottest.as_ref().unwrap();
        assert_eq!((hottest.name.as_str(), hottest.self_value), ("work", 8));
        assert_eq!(overview.services.len(), 2);
        let empty = engine.overview(&query("a", cpu, 100_000, 120_000), 2).unwrap();
        assert_eq!((empty.total, empty.hosts, empty.services.len()), (0, 0, 0));
    }
}
