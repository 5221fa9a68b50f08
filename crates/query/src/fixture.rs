//! Stored data for tests: sources written as folded stacks.

use std::collections::HashMap;
use std::sync::Arc;

use hearth_block::{Error, Filter, Point, Row, Series, Snapshot, Source};
use hearth_profile::{Dictionary, Function, LabelSet, Line, Location, Mapping, StackId};

use crate::{Cancel, Engine, Query, Range, Selector};

/// Profile type, service, pod, slot, folded stack (root first; `0x…` is code of `/opt/app` without a
/// name), value.
pub(crate) type Entry<'a> = (&'a str, &'a str, &'a str, i64, &'a str, i64);

struct Memory {
    series: Arc<[Series]>,
    dictionary: Arc<Dictionary>,
    rows: Vec<Row>,
}

impl Source for Memory {
    fn slot_range_ms(&self) -> (i64, i64) {
        let slots = || self.rows.iter().map(|row| row.slot_ms);
        (slots().min().unwrap_or(0), slots().max().unwrap_or(-1))
    }

    fn series(&self) -> Result<Arc<[Series]>, Error> {
        Ok(self.series.clone())
    }

    fn dictionary(&self) -> Result<Arc<Dictionary>, Error> {
        Ok(self.dictionary.clone())
    }

    fn rows(&self, filter: &Filter, row: &mut dyn FnMut(Row)) -> Result<(), Error> {
        self.rows.iter().filter(|row| filter.wants(row.series, row.slot_ms)).for_each(|found| row(*found));
        Ok(())
    }

    fn points(&self, filter: &Filter, point: &mut dyn FnMut(Point)) -> Result<(), Error> {
        self.rows(filter, &mut |Row { series, slot_ms, value, .. }| point(Point { series, slot_ms, value }))
    }
}

#[derive(Clone, Default)]
pub(crate) struct Fixture {
    tenants: HashMap<String, Vec<Arc<dyn Source>>>,
}

impl Snapshot for Fixture {
    fn sources(&self, tenant: &str, start_ms: i64, end_ms: i64) -> Result<Vec<Arc<dyn Source>>, Error> {
        let sources = self.tenants.get(tenant).cloned().unwrap_or_default();
        let overlaps = |(first, last): (i64, i64)| first < end_ms && start_ms <= last;
        Ok(sources.into_iter().filter(|source| overlaps(source.slot_range_ms())).collect())
    }
}

impl Fixture {
    pub(crate) fn source(mut self, tenant: &str, entries: &[Entry<'_>]) -> Self {
        let mut dictionary = Dictionary::default();
        let mut series: Vec<Series> = Vec::new();
        let mut rows = Vec::new();
        for &(profile_type, service, pod, slot_ms, folded, value) in entries {
            let labels: LabelSet = [("service_name", service), ("pod", pod)].into_iter().collect();
            let one = Series { profile_type: profile_type.parse().unwrap(), labels };
            let index = series.iter().position(|known| *known == one).unwrap_or_else(|| {
                series.push(one);
                series.len() - 1
            });
            let stack = folded.split(';').fold(StackId::NONE, |caller, name| {
                if let Some(address) = name.strip_prefix("0x") {
                    let address = u64::from_str_radix(address, 16).unwrap();
                    let (filename, build_id) = (dictionary.string("/opt/app"), dictionary.string("ab"));
                    let mapping = dictionary.mapping(Mapping { filename, build_id, ..Mapping::default() });
                    let unnamed = Location { mapping, address, ..Location::default() };
                    let unnamed = dictionary.location(unnamed);
                    return dictionary.push(caller, unnamed);
                }
                let name = dictionary.string(name);
                let function = dictionary.function(Function { name, ..Function::default() });
                let lines = [Line { function, ..Line::default() }].into();
                let location = dictionary.location(Location { lines, ..Location::default() });
                dictionary.push(caller, location)
            });
            rows.push(Row { series: index as u32, stack, slot_ms, value });
        }
        let source = Memory { series: series.into(), dictionary: Arc::new(dictionary), rows };
        self.tenants.entry(tenant.to_owned()).or_default().push(Arc::new(source));
        self
    }

    pub(crate) fn engine(self) -> Engine {
        let snapshot: Arc<dyn Snapshot> = Arc::new(self);
        Engine::new(Arc::new(move || snapshot.clone()))
    }
}

pub(crate) fn query(tenant: &str, selector: &str, start_ms: i64, end_ms: i64) -> Query {
    Query {
        tenant: tenant.to_owned(),
        selector: Selector::parse(selector).unwrap(),
        range: Range::new(start_ms, end_ms).unwrap(),
        cancel: Cancel::default(),
    }
}
