//! What is written is read back; what is damaged is refused; merging never changes a sum.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use expect_test::expect;
use hearth_profile::{
    Dictionary, FrameKind, Function, Line, Location, LocationId, Mapping, ProfileType, StackId, ValueType,
};
use proptest::prelude::*;

use crate::format::Directory;
use crate::{
    Block, Code, Error, Filter, Frames, NamedFrame, Namer, Naming, Point, Row, SLOT_MS, Series, Source, merge,
};

/// A source in memory, as a head is one.
#[derive(Clone, Debug, Default)]
struct Memory {
    dictionary: Dictionary,
    series: Vec<Series>,
    rows: Vec<Row>,
}

impl Source for Memory {
    fn slot_range_ms(&self) -> (i64, i64) {
        let slots = || self.rows.iter().map(|row| row.slot_ms);
        (slots().min().unwrap_or(0), slots().max().unwrap_or(0))
    }

    fn series(&self) -> Result<Arc<[Series]>, Error> {
        Ok(self.series.clone().into())
    }

    fn dictionary(&self) -> Result<Arc<Dictionary>, Error> {
        Ok(Arc::new(self.dictionary.clone()))
    }

    fn rows(&self, filter: &Filter, row: &mut dyn FnMut(Row)) -> Result<(), Error> {
        self.rows
            .iter()
            .filter(|wanted| filter.wants(wanted.series, wanted.slot_ms))
            .for_each(|wanted| row(*wanted));
        Ok(())
    }

    fn points(&self, filter: &Filter, point: &mut dyn FnMut(Point)) -> Result<(), Error> {
        self.rows(filter, &mut |Row { series, slot_ms, value, .. }| point(Point { series, slot_ms, value }))
    }
}

fn series(service: &str, pod: &str) -> Series {
    let labels = [("service_name", service), ("pod", pod)].into_iter().collect();
    Series { profile_type: ProfileType::process_cpu(), labels }
}

/// A location that uses every field there is.
fn location(dictionary: &mut Dictionary, number: u32) -> LocationId {
    let name = dictionary.string(&format!("module::function_{number}"));
    let system_name = dictionary.string(&format!("_ZN6module8function_{number}E"));
    let filename = dictionary.string(&format!("src/file_{}.rs", number % 7));
    let path = dictionary.string("/usr/bin/app");
    let build_id = dictionary.string("00ff");
    let function = dictionary.function(Function { name, system_name, filename, start_line: number });
    let inlined = dictionary.function(Function { name, ..Function::default() });
    let mapping =
        Mapping { filename: path, build_id, memory_start: u64::MAX, memory_limit: 7, file_offset: 4096 };
    let mapping = dictionary.mapping(mapping);
    let lines = [Line { function: inlined, line: 3, column: 9 }, Line { function, line: number, column: 0 }];
    let lines = if number.is_multiple_of(3) { [].into() } else { lines.into() };
    let address = u64::MAX - u64::from(number);
    dictionary.location(Location { mapping, address, lines, kind: FrameKind::Rust })
}

/// Sums by what they mean, without any id.
type Meaning = BTreeMap<(String, String, i64), i128>;

fn stack_text(dictionary: &Dictionary, stack: StackId) -> String {
    let text = |location: LocationId| {
        let value = dictionary.get_location(location);
        let mapping = dictionary.get_mapping(value.mapping);
        let lines: Vec<_> = value
            .lines
            .iter()
            .map(|line| {
                let function = dictionary.get_function(line.function);
                let strings = [function.name, function.system_name, function.filename];
                let strings = strings.map(|id| dictionary.get_string(id));
                format!("{strings:?}:{}:{}:{}", function.start_line, line.line, line.column)
            })
            .collect();
        let strings = [mapping.filename, mapping.build_id].map(|id| dictionary.get_string(id));
        format!("{strings:?} {mapping:?} {:x} {:?} {lines:?}", value.address, value.kind)
            .replace(&format!("{:?}", mapping.filename), "")
            .replace(&format!("{:?}", mapping.build_id), "")
    };
    dictionary.leaf_first(stack).map(text).collect::<Vec<_>>().join(";")
}

fn add_meaning(meaning: &mut Meaning, source: &dyn Source) -> Result<(), Error> {
    let (series, dictionary) = (source.series()?, source.dictionary()?);
    let mut texts = BTreeMap::new();
    source.rows(&everything(), &mut |row| {
        let series = &series[row.series as usize];
        let stack = texts.entry(row.stack).or_insert_with(|| stack_text(&dictionary, row.stack)).clone();
        let key = (format!("{} {}", series.profile_type, series.labels), stack, row.slot_ms);
        *meaning.entry(key).or_default() += i128::from(row.value);
    })
}

fn meaning(sources: &[Arc<dyn Source>]) -> Meaning {
    let mut meaning = Meaning::new();
    sources.iter().for_each(|source| add_meaning(&mut meaning, source.as_ref()).unwrap());
    meaning
}

fn everything() -> Filter {
    Filter { series: vec![true; 4096], start_ms: i64::MIN, end_ms: i64::MAX }
}

fn write(sources: &[Arc<dyn Source>]) -> Bytes {
    merge("test", sources, Vec::new()).unwrap().0.into()
}

fn open(bytes: Bytes) -> Result<Block, Error> {
    Block::open("test.block", Arc::new(bytes))
}

fn points(source: &dyn Source, filter: &Filter) -> BTreeMap<(u32, i64), i128> {
    let mut sums = BTreeMap::new();
    let add = &mut |point: Point| {
        *sums.entry((point.series, point.slot_ms)).or_default() += i128::from(point.value)
    };
    source.points(filter, add).unwrap();
    sums
}

fn sample() -> Memory {
    let mut dictionary = Dictionary::default();
    let locations: Vec<_> = (0..40).map(|number| location(&mut dictionary, number)).collect();
    let stacks: Vec<_> = (1..30).map(|start| dictionary.stack(&locations[start..start + 10])).collect();
    let series = vec![series("b", "1"), series("a", "2"), series("a", "1")];
    let mut rows = Vec::new();
    for slot in 0..6 {
        for (index, &stack) in stacks.iter().enumerate() {
            let value = 10_309_278 * (1 + index as i64 % 5);
            rows.push(Row {
                series: index as u32 % 3,
                stack,
                slot_ms: 1_700_000_000_000 + slot * SLOT_MS,
                value,
            });
        }
    }
    Memory { dictionary, series, rows }
}

#[test]
fn a_block_holds_what_was_written_in_order() {
    let memory: Arc<dyn Source> = Arc::new(sample());
    let block = open(write(&[Arc::clone(&memory)])).unwrap();
    assert_eq!(block.row_count(), 29 * 6);
    assert_eq!(block.verify().unwrap(), 29 * 6);
    assert_eq!(block.slot_range_ms(), (1_700_000_000_000, 1_700_000_025_000));
    let labels: Vec<_> = block.series().unwrap().iter().map(|series| series.labels.to_string()).collect();
    expect![[r#"
        [
            "{pod=\"1\", service_name=\"a\"}",
            "{pod=\"2\", service_name=\"a\"}",
            "{pod=\"1\", service_name=\"b\"}",
        ]
    "#]]
    .assert_debug_eq(&labels);
    assert_eq!(meaning(&[Arc::new(block)]), meaning(&[memory]));
}

#[test]
fn a_filter_selects_series_and_slots() {
    let block = open(write(&[Arc::new(sample())])).unwrap();
    let start_ms = 1_700_000_005_000;
    let filter = Filter { series: vec![false, true], start_ms, end_ms: start_ms + 2 * SLOT_MS };
    let (mut rows, mut sums) = (Vec::new(), BTreeMap::new());
    block.rows(&filter, &mut |row| rows.push(row)).unwrap();
    assert!(rows.iter().all(|row| row.series == 1 && (start_ms..start_ms + 10_000).contains(&row.slot_ms)));
    for row in rows {
        *sums.entry((row.series, row.slot_ms)).or_default() += i128::from(row.value);
    }
    assert_eq!(sums.len(), 2);
    assert_eq!(points(&block, &filter), sums);
}

#[test]
fn merging_adds_equal_rows_and_keeps_every_sum() {
    let mut other = sample();
    other.series.reverse();
    let sources: [Arc<dyn Source>; 3] =
        [Arc::new(sample()), Arc::new(other), Arc::new(open(write(&[Arc::new(sample())])).unwrap())];
    let block = open(write(&sources)).unwrap();
    block.verify().unwrap();
    assert!(block.row_count() < 3 * 29 * 6);
    assert_eq!(meaning(&[Arc::new(block)]), meaning(&sources));
}

#[test]
fn sums_beyond_64_bits_stay_exact() {
    let mut memory = sample();
    memory.rows.truncate(2);
    memory.rows[1] = memory.rows[0];
    memory.rows.iter_mut().for_each(|row| row.value = i64::MAX);
    let block = open(write(&[Arc::new(memory)])).unwrap();
    block.verify().unwrap();
    assert_eq!(points(&block, &everything()).into_values().sum::<i128>(), 2 * i128::from(i64::MAX));
}

#[test]
fn no_rows_make_an_empty_block() {
    let block = open(write(&[])).unwrap();
    assert_eq!(
        (block.verify().unwrap(), block.series().unwrap().len(), block.slot_range_ms()),
        (0, 0, (0, 0))
    );
}

#[test]
fn large_services_get_row_groups_of_their_own() {
    let mut memory = sample();
    let stack = memory.rows[0].stack;
    memory.series = vec![series("a", "1"), series("b", "1")];
    memory.rows = (0..40_000)
        .map(|index| Row { series: index % 2, stack, slot_ms: i64::from(index / 2) * SLOT_MS, value: 1 })
        .collect();
    let bytes = write(&[Arc::new(memory)]);
    // The first row group is damaged; rows of the other are still read.
    let mut damaged = bytes.to_vec();
    damaged[40] ^= 1;
    let block = open(damaged.into()).unwrap();
    let only = |wanted: usize| Filter { series: vec![wanted == 0, wanted == 1], ..everything() };
    let mut rows = 0;
    block.rows(&only(1), &mut |_| rows += 1).unwrap();
    assert_eq!(rows, 20_000);
    let message = block.rows(&only(0), &mut |_| ()).unwrap_err().to_string();
    assert!(message.starts_with("test.block: corrupt block: ") && message.contains("checksum"), "{message}");
}

#[test]
fn what_is_no_block_is_refused_with_a_reason() {
    let good = write(&[Arc::new(sample())]);
    let newer = |position: usize| {
        let mut bytes = good.to_vec();
        bytes[position] = 2;
        bytes
    };
    let cases: [(&str, Vec<u8>, &str); 5] = [
        ("nothing", Vec::new(), "0 bytes are too few for a block"),
        ("another file", vec![7; 100], "does not end as a block does: cut off, or no block"),
        ("cut off", good[..good.len() - 1].to_vec(), "does not end as a block does: cut off, or no block"),
        ("newer trailer", newer(good.len() - 16), "format version 2; expected 1 to 1"),
        ("other header", newer(8), "does not begin as a block does"),
    ];
    for (case, bytes, reason) in cases {
        let message = open(bytes.into()).unwrap_err().to_string();
        assert_eq!(message, format!("test.block: corrupt block: {reason}"), "{case}");
    }
}

/// Every format that was ever released stays readable: the fixture is never rewritten.
#[test]
fn format_version_1_stays_readable() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/blocks/v1/sample.block");
    if std::env::var_os("HEARTH_NEW_FIXTURE").is_some() {
        std::fs::write(&path, write(&[Arc::new(sample())])).unwrap();
    }
    let block = open(std::fs::read(&path).unwrap().into()).unwrap();
    block.verify().unwrap();
    assert_eq!(meaning(&[Arc::new(block)]), meaning(&[Arc::new(sample())]));
}

fn memories() -> impl Strategy<Value = Memory> {
    let stacks = prop::collection::vec(prop::collection::vec(0u32..30, 0..12), 1..20);
    let names = prop::collection::vec(("[a-c]{1,2}", "[a-zµ]{0,3}", 0usize..2), 1..6);
    let rows = prop::collection::vec((0u32..6, 0usize..20, 0i64..50, any::<i64>()), 0..200);
    (stacks, names, rows).prop_map(|(stacks, names, rows)| {
        let mut dictionary = Dictionary::default();
        let stacks: Vec<_> = stacks
            .iter()
            .map(|numbers| {
                let locations: Vec<_> =
                    numbers.iter().map(|&number| location(&mut dictionary, number)).collect();
                dictionary.stack(&locations)
            })
            .collect();
        let mut all: Vec<_> = names
            .iter()
            .map(|(service, pod, kind)| {
                let mut series = series(service, pod);
                if *kind == 1 {
                    series.profile_type.sample = ValueType::new("other", "count");
                }
                series
            })
            .collect();
        all.sort();
        all.dedup();
        let rows = rows
            .into_iter()
            .map(|(series, stack, slot, value)| Row {
                series: series % all.len() as u32,
                stack: stacks[stack % stacks.len()],
                slot_ms: slot * SLOT_MS,
                value,
            })
            .collect();
        Memory { dictionary, series: all, rows }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn writing_and_reading_keeps_every_sum(a in memories(), b in memories()) {
        let sources: [Arc<dyn Source>; 2] = [Arc::new(a), Arc::new(b)];
        let block = open(write(&sources)).unwrap();
        block.verify().unwrap();
        prop_assert_eq!(meaning(&[Arc::new(block)]), meaning(&sources));
    }

    /// With every byte under a checksum, damage is found or harmless.
    #[test]
    fn damage_is_found(changes in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4), cut in any::<Option<prop::sample::Index>>()) {
        let good = write(&[Arc::new(sample())]);
        let mut bytes = good.to_vec();
        for (position, change) in changes {
            let position = position.index(bytes.len());
            bytes[position] ^= change;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(good.len()));
        }
        let unchanged = bytes == good;
        let read = open(bytes.into()).and_then(|block| {
            block.verify()?;
            let mut read = Meaning::new();
            add_meaning(&mut read, &block)?;
            Ok(read)
        });
        match read {
            Ok(read) => prop_assert_eq!(read, meaning(&[Arc::new(sample())])),
            Err(error) => prop_assert!(!unchanged && matches!(error, Error::Corrupt { .. }), "{}", error),
        }
    }

    /// Bytes made to harm have right checksums: then the decoder must hold.
    #[test]
    fn harm_under_right_checksums_is_an_error_at_worst(changes in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4)) {
        let mut bytes = write(&[Arc::new(sample())]).to_vec();
        let trailer = bytes.len() - 24;
        let len = u32::from_le_bytes(bytes[trailer..trailer + 4].try_into().unwrap()) as usize;
        let parts_end = trailer - len;
        let mut directory = Directory::decode(&bytes[parts_end..trailer], bytes.len() as u64).unwrap();
        for (position, change) in changes {
            let position = 16 + position.index(parts_end - 16);
            bytes[position] ^= change;
        }
        for part in &mut directory.parts {
            let mut at = part.offset as usize;
            for chunk in &mut part.chunks {
                chunk.crc = crc32fast::hash(&bytes[at..at + chunk.len as usize]);
                at += chunk.len as usize;
            }
        }
        bytes.truncate(parts_end);
        bytes.extend(directory.encode());
        // Whatever it says now, it must say so.
        let _ = open(bytes.into()).and_then(|block| block.verify());
    }
}

/// Names the addresses of one binary.
#[derive(Debug)]
struct OneBinary;

impl Namer for OneBinary {
    fn generation(&self) -> u64 {
        7
    }

    fn arrived(&self, tenant: &str, build_id: &str) -> Option<u64> {
        (tenant == "t" && build_id == "00ff").then_some(7)
    }

    fn frames(&self, _: &str, code: &Code<'_>) -> Option<Frames> {
        assert_eq!((code.mapping.file_offset, code.filename, code.build_id), (4096, "/usr/bin/app", "00ff"));
        let number = u64::MAX - code.address;
        let frame = |name: String| NamedFrame { name, line: 5, kind: FrameKind::Go, ..NamedFrame::default() };
        (number < 30).then(|| [frame(format!("inlined_{number}")), frame("outer".into())].into())
    }
}

#[test]
fn a_block_gets_names_and_keeps_its_rows() {
    let block = open(write(&[Arc::new(sample()) as Arc<dyn Source>])).unwrap();
    assert_eq!(block.build_ids().unwrap(), ["00ff"]);
    let naming = Naming { namer: &OneBinary, tenant: "t", after: 6 };
    let before = block.dictionary().unwrap();
    let after = naming.named(&before).unwrap();
    assert!(Naming { after: 7, ..naming }.named(&before).is_none(), "nothing new");
    assert!(Naming { tenant: "other", ..naming }.named(&before).is_none(), "another tenant's symbols");
    assert_eq!(before.stacks().collect::<Vec<_>>(), after.stacks().collect::<Vec<_>>());
    let (bytes, summary) = block.rewrite("new", &after, Vec::new()).unwrap();
    assert_eq!((summary.bytes, summary.rows), (bytes.len() as u64, block.row_count()));
    let named = open(bytes.into()).unwrap();
    assert_eq!(named.verify().unwrap(), block.row_count());
    assert_eq!(points(&named, &everything()), points(&block, &everything()));
    let read = named.dictionary().unwrap();
    for (id, location) in (0..).map(LocationId).zip(read.locations()).skip(1) {
        let number = u64::MAX - location.address;
        let names: Vec<String> = read.names(id).into_iter().map(|(name, _)| name).collect();
        match number < 30 {
            true => assert_eq!(names, [format!("inlined_{number}"), "outer".into()]),
            false => assert_eq!(read.names(id), before.names(id)),
        }
    }
    let wrong = block.rewrite("new", &Dictionary::default(), Vec::new()).unwrap_err().to_string();
    assert!(wrong.contains("a dictionary of 1 stacks"), "{wrong}");
}
