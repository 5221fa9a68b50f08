//! What was acknowledged is found exactly once: after kills at any moment and at every step, torn and
//! damaged logs, failing and full disks, retries, concurrent writers and readers.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Write as _};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hearth_block::{Code, Filter, Frames, NamedFrame, Namer, Row, SLOT_MS, Series, Snapshot};
use hearth_profile::{Dictionary, Function, LabelSet, Line, Location, Mapping, ProfileType};
use tempfile::TempDir;

use crate::{Error, Options, Probe, Step, Store, SyncPolicy, Write};

const TENANT: &str = "anonymous";
const TIME_MS: i64 = 1_700_000_000_000;

/// A write of one row whose function is `number`: so each write can be told from all others.
fn write(number: u64) -> Write {
    let mut dictionary = Dictionary::default();
    let mut location = |name: &str| {
        let name = dictionary.string(name);
        let function = dictionary.function(Function { name, ..Function::default() });
        dictionary.location(Location {
            lines: [Line { function, ..Line::default() }].into(),
            ..Location::default()
        })
    };
    let stack = [location(&format!("write_{number}")), location("main")];
    let stack = dictionary.stack(&stack);
    let labels: LabelSet = [("service_name", format!("service-{}", number % 3))].into_iter().collect();
    let series = vec![Series { profile_type: ProfileType::process_cpu(), labels }];
    let rows = vec![Row { series: 0, stack, slot_ms: TIME_MS + (number % 7) as i64 * SLOT_MS, value: 1 }];
    Write { dictionary, series, rows }
}

fn id(number: u64) -> [u8; 16] {
    (u128::from(number) + 1).to_le_bytes()
}

fn options(dir: &Path) -> Options {
    // No flush but those a test asks for.
    Options { flush_interval: Duration::from_secs(3600), ..Options::new(dir) }
}

/// Sums by function name, and the total of all points.
fn sums(snapshot: &dyn Snapshot, tenant: &str) -> Result<(BTreeMap<String, i64>, i64), hearth_block::Error> {
    let (mut sums, mut points) = (BTreeMap::new(), 0);
    for source in snapshot.sources(tenant, i64::MIN, i64::MAX)? {
        let dictionary = source.dictionary()?;
        let series = vec![true; source.series()?.len()];
        let everything = Filter { series, start_ms: i64::MIN, end_ms: i64::MAX };
        source.rows(&everything, &mut |row| {
            let leaf = dictionary.leaf_first(row.stack).next().map(|leaf| dictionary.names(leaf));
            let name = leaf.map_or_else(String::new, |names| names[0].0.clone());
            *sums.entry(name).or_default() += row.value;
        })?;
        source.points(&everything, &mut |point| points += point.value)?;
    }
    Ok((sums, points))
}

/// Asserts that exactly the writes with these numbers are stored, each once.
fn assert_stored(store: &Store, numbers: impl IntoIterator<Item = u64>) {
    let want: BTreeMap<_, _> = numbers.into_iter().map(|number| (format!("write_{number}"), 1)).collect();
    let (sums, points) = sums(store.snapshot().as_ref(), TENANT).unwrap();
    assert_eq!(points, want.len() as i64);
    assert_eq!(sums, want);
}

async fn append(store: &Store, number: u64) -> Result<crate::Appended, Error> {
    store.append(TENANT, Some(id(number)), write(number)).await
}

fn logs(dir: &Path) -> Vec<PathBuf> {
    crate::files::list(&dir.join("wal")).unwrap()
}

fn blocks(dir: &Path) -> Vec<PathBuf> {
    crate::files::list(&dir.join("blocks").join(TENANT)).unwrap()
}

/// The one log file that holds anything.
fn used_log(dir: &Path) -> PathBuf {
    logs(dir).into_iter().find(|path| path.metadata().unwrap().len() > 16).unwrap()
}

#[tokio::test]
async fn rows_are_found_once_while_they_move_from_head_to_block() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(Options { compact_segments: 0, ..options(dir.path()) }).unwrap();
    let mut before = None;
    for round in 0..5 {
        for number in round * 10..round * 10 + 10 {
            assert_eq!(append(&store, number).await.unwrap(), crate::Appended { rows: 1, duplicate: false });
        }
        assert_stored(&store, 0..round * 10 + 10);
        store.flush().await.unwrap();
        assert_stored(&store, 0..round * 10 + 10);
        before.get_or_insert_with(|| store.snapshot());
    }
    store.compact().await.unwrap();
    assert_stored(&store, 0..50);
    assert_eq!(store.stats().segments, 1);
    // A file that was replaced stays for whoever still reads it.
    assert_eq!(sums(before.as_deref().unwrap(), TENANT).unwrap().1, 10);
    assert_eq!(blocks(dir.path()).len(), 2);
    drop(before);
    assert_eq!(blocks(dir.path()).len(), 1);
    store.shutdown().await.unwrap();
    assert!(matches!(append(&store, 99).await, Err(Error::Closed)));
    let store = Store::open(options(dir.path())).unwrap();
    assert_stored(&store, 0..50);
    assert_eq!(store.stats().rows_total, 50);
    assert_eq!(store.tenants(), [TENANT]);
}

#[tokio::test]
async fn unflushed_rows_are_replayed_and_flushed() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    for number in 0..20 {
        append(&store, number).await.unwrap();
    }
    drop(store);
    for _ in 0..3 {
        let store = Store::open(options(dir.path())).unwrap();
        assert_stored(&store, 0..20);
        store.flush().await.unwrap();
        assert_stored(&store, 0..20);
        assert_eq!(store.stats().segments, 1);
        drop(store);
    }
}

#[tokio::test]
async fn a_batch_is_stored_once_however_often_it_is_sent() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    assert!(!append(&store, 1).await.unwrap().duplicate);
    assert!(append(&store, 1).await.unwrap().duplicate);
    // Another tenant's batch of the same id is another batch.
    assert!(!store.append("other", Some(id(1)), write(1)).await.unwrap().duplicate);
    // Without an id nothing is a duplicate.
    store.append("third", None, write(1)).await.unwrap();
    assert!(!store.append("third", None, write(1)).await.unwrap().duplicate);
    drop(store);
    let store = Store::open(options(dir.path())).unwrap();
    assert!(append(&store, 1).await.unwrap().duplicate, "known from the log");
    store.flush().await.unwrap();
    assert!(append(&store, 1).await.unwrap().duplicate, "known after a flush");
    store.shutdown().await.unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    assert!(append(&store, 1).await.unwrap().duplicate, "known from the catalog");
    assert_stored(&store, [1]);
    assert_eq!(store.stats().duplicates, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_batch_sent_at_once_is_stored_once() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    let sends = (0..32).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { append(&store, 5).await.unwrap().duplicate })
    });
    let mut fresh = 0;
    for send in sends.collect::<Vec<_>>() {
        fresh += usize::from(!send.await.unwrap());
    }
    assert_eq!(fresh, 1);
    assert_stored(&store, [5]);
}

#[tokio::test]
async fn a_torn_tail_is_cut_at_every_length() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    append(&store, 0).await.unwrap();
    let first_len = used_log(dir.path()).metadata().unwrap().len();
    append(&store, 1).await.unwrap();
    drop(store);
    let path = used_log(dir.path());
    let good = fs::read(&path).unwrap();
    for cut in (first_len..good.len() as u64).step_by(7) {
        let copy = TempDir::new().unwrap();
        copy_dir(dir.path(), copy.path());
        let file = OpenOptions::new().write(true).open(used_log(copy.path())).unwrap();
        file.set_len(cut).unwrap();
        let store = Store::open(options(copy.path())).unwrap();
        assert_stored(&store, [0]);
        let stats = store.stats();
        assert_eq!((stats.torn_bytes, stats.corrupt_files), (cut - first_len, 0));
    }
}

#[tokio::test]
async fn damage_in_the_middle_of_the_log_costs_one_write_and_is_reported() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    append(&store, 0).await.unwrap();
    let first_len = used_log(dir.path()).metadata().unwrap().len();
    append(&store, 1).await.unwrap();
    let second_len = used_log(dir.path()).metadata().unwrap().len();
    append(&store, 2).await.unwrap();
    drop(store);
    let path = used_log(dir.path());
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    // Also where it hits the length, so that the next record must be searched for.
    for position in (first_len..second_len).step_by(5) {
        let good = fs::read(&path).unwrap();
        file.write_all_at(&[good[position as usize] ^ 0x40], position).unwrap();
        let copy = TempDir::new().unwrap();
        copy_dir(dir.path(), copy.path());
        file.write_all_at(&good[position as usize..=position as usize], position).unwrap();
        let store = Store::open(options(copy.path())).unwrap();
        assert_stored(&store, [0, 2]);
        let stats = store.stats();
        assert_eq!((stats.corrupt_files, stats.torn_bytes), (1, 0));
        assert!(stats.last_corruption.unwrap().contains("corrupt log"));
        assert_eq!(crate::files::list(&copy.path().join("corrupt")).unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_damaged_block_is_named_and_set_aside_and_the_rest_stays_readable() {
    let dir = TempDir::new().unwrap();
    // An hour between them, so that they are not merged meanwhile.
    let append = async |store: &Store, number: u64| {
        let mut write = write(number);
        write.rows[0].slot_ms += number as i64 * 3_600_000;
        store.append(TENANT, None, write).await
    };
    let store = Store::open(options(dir.path())).unwrap();
    append(&store, 0).await.unwrap();
    store.flush().await.unwrap();
    append(&store, 1).await.unwrap();
    store.flush().await.unwrap();
    let damaged = blocks(dir.path())[0].clone();
    let file = OpenOptions::new().write(true).open(&damaged).unwrap();
    file.write_all_at(&[0xff; 4], 40).unwrap();
    let message = sums(store.snapshot().as_ref(), TENANT).unwrap_err().to_string();
    assert!(message.starts_with(&format!("{}: corrupt block: ", damaged.display())), "{message}");
    // Reported once, then left out.
    assert_stored(&store, [1]);
    store.compact().await.unwrap();
    assert_eq!(store.stats().corrupt_files, 1);
    assert!(!damaged.exists() && dir.path().join("corrupt").join(damaged.file_name().unwrap()).exists());
    // One that lost its end is found at the start.
    append(&store, 2).await.unwrap();
    store.flush().await.unwrap();
    drop(store);
    let short = blocks(dir.path()).pop().unwrap();
    OpenOptions::new().write(true).open(&short).unwrap().set_len(100).unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    assert_stored(&store, [1]);
    assert!(store.stats().last_corruption.unwrap().contains("100 bytes; the catalog says"));
}

#[tokio::test]
async fn a_directory_is_used_by_one_process_and_by_no_older_one() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    let message = Store::open(options(dir.path())).unwrap_err().to_string();
    assert!(
        message.contains(&format!("in use by another process (process {})", std::process::id())),
        "{message}"
    );
    store.shutdown().await.unwrap();
    fs::write(dir.path().join("VERSION"), "hearth data directory, version 2\n").unwrap();
    let message = Store::open(options(dir.path())).unwrap_err().to_string();
    assert!(message.contains("format version 2 is newer than 1"), "{message}");
}

#[tokio::test]
async fn a_lost_catalog_is_not_replaced_by_an_empty_one() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    append(&store, 0).await.unwrap();
    store.shutdown().await.unwrap();
    let catalog = dir.path().join("catalog.sqlite");
    for how in ["emptied", "removed"] {
        match how {
            "emptied" => fs::write(&catalog, []).unwrap(),
            _ => fs::remove_file(&catalog).unwrap(),
        }
        let message = Store::open(options(dir.path())).unwrap_err().to_string();
        assert!(message.contains("missing or empty although there are blocks"), "{how}: {message}");
        assert_eq!(blocks(dir.path()).len(), 1, "{how}");
    }
}

#[tokio::test]
async fn writes_that_contradict_themselves_are_refused() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    let mut wrong = [write(0), write(0), write(0)];
    wrong[0].rows[0].series = 1;
    wrong[1].rows[0].stack.0 = 77;
    wrong[2].rows[0].slot_ms += 1;
    for (write, reason) in
        wrong.into_iter().zip(["series 1 of 1", "stack 77 of 3", "expected a multiple of 5000"])
    {
        let error = store.append(TENANT, None, write).await.unwrap_err();
        assert!(error.to_string().contains(reason) && !error.is_retryable(), "{error}");
    }
    assert!(matches!(store.append("a/b", None, write(0)).await, Err(Error::Tenant { .. })));
    assert_stored(&store, []);
}

#[tokio::test]
async fn old_data_goes_when_its_time_and_its_arrival_are_past_the_retention() {
    let dir = TempDir::new().unwrap();
    let keep = Options { retention: Some(Duration::from_secs(3600)), ..options(dir.path()) };
    let store = Store::open(keep.clone()).unwrap();
    append(&store, 0).await.unwrap();
    store.flush().await.unwrap();
    store.compact().await.unwrap();
    assert_stored(&store, [0]);
    store.shutdown().await.unwrap();
    let store = Store::open(Options { retention: Some(Duration::ZERO), ..keep }).unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    store.compact().await.unwrap();
    assert_stored(&store, []);
    assert!(blocks(dir.path()).is_empty());
}

/// A probe that fails `step` while the flag is set.
fn failing(step: Step, kind: io::ErrorKind) -> (Probe, Arc<AtomicBool>) {
    let flag = Arc::new(AtomicBool::new(false));
    let fails = Arc::clone(&flag);
    let probe = move |reached| match reached == step && fails.load(Ordering::SeqCst) {
        true => Err(kind.into()),
        false => Ok(()),
    };
    (Probe(Arc::new(probe)), flag)
}

#[tokio::test]
async fn a_failed_sync_acknowledges_nothing_and_refuses_until_a_new_file_works() {
    let dir = TempDir::new().unwrap();
    let failing = Arc::new(Mutex::new(HashSet::new()));
    let steps = Arc::clone(&failing);
    let probe = Probe(Arc::new(move |step| match steps.lock().unwrap().contains(&step) {
        true => Err(io::Error::other("injected")),
        false => Ok(()),
    }));
    let store = Store::open(Options { probe: Some(probe), ..options(dir.path()) }).unwrap();
    append(&store, 0).await.unwrap();
    failing.lock().unwrap().extend([Step::LogSync, Step::LogRotate]);
    for number in 1..4 {
        let message = append(&store, number).await.unwrap_err().to_string();
        assert!(message.contains("writes are refused") && message.contains("injected"), "{message}");
    }
    assert!(store.stats().log_error.is_some());
    assert_stored(&store, [0]);
    failing.lock().unwrap().clear();
    // The log is tried again once a second.
    let mut attempts = 0;
    while append(&store, 4).await.is_err() {
        attempts += 1;
        assert!(attempts < 100);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(store.stats().log_error, None);
    assert_stored(&store, [0, 4]);
    drop(store);
    let store = Store::open(options(dir.path())).unwrap();
    assert_stored(&store, [0, 4]);
    assert_eq!(store.stats().corrupt_files, 0);
}

#[tokio::test]
async fn a_failed_step_of_a_flush_loses_nothing() {
    for step in [Step::LogRotate, Step::BlockWrite, Step::BlockRename, Step::CatalogCommit, Step::LogDelete] {
        let dir = TempDir::new().unwrap();
        let (probe, flag) = failing(step, io::ErrorKind::Other);
        let store = Store::open(Options { probe: Some(probe), ..options(dir.path()) }).unwrap();
        append(&store, 0).await.unwrap();
        flag.store(true, Ordering::SeqCst);
        store.flush().await.unwrap_err();
        assert_stored(&store, [0]);
        append(&store, 1).await.unwrap();
        store.flush().await.unwrap_err();
        assert_stored(&store, [0, 1]);
        assert_eq!(store.stats().flush_failures, 2, "{step:?}");
        flag.store(false, Ordering::SeqCst);
        append(&store, 2).await.unwrap();
        store.flush().await.unwrap();
        assert_stored(&store, [0, 1, 2]);
        assert_eq!((store.stats().last_flush_error, store.stats().head_rows), (None, 0));
        drop(store);
        assert_stored(&Store::open(options(dir.path())).unwrap(), [0, 1, 2]);
    }
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_goes_on_reading() {
    let dir = TempDir::new().unwrap();
    let mount =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(dir.path()).output();
    if !mount.as_ref().is_ok_and(|mount| mount.status.success()) {
        skipped("cannot mount a tmpfs");
        return;
    }
    let _unmount = Unmount(dir.path().to_owned());
    let store = Store::open(Options { compact_segments: 1000, ..options(dir.path()) }).unwrap();
    append(&store, 0).await.unwrap();
    store.flush().await.unwrap();
    append(&store, 1).await.unwrap();
    let ballast = dir.path().join("ballast");
    let mut file = fs::File::create(&ballast).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    // What is left of the log's last page may still take a write or two.
    let mut stored = vec![0, 1];
    let error = loop {
        let number = stored.len() as u64;
        match append(&store, number).await {
            Ok(_) => stored.push(number),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Full { .. }), "{error}");
    assert!(error.to_string().contains("no space left") && error.is_retryable());
    assert!(matches!(store.flush().await, Err(Error::Full { .. } | Error::LogFailed { .. })));
    assert_stored(&store, stored.clone());
    drop(file);
    fs::remove_file(&ballast).unwrap();
    let number = stored.len() as u64;
    append(&store, number).await.unwrap();
    stored.push(number);
    store.flush().await.unwrap();
    assert_stored(&store, stored.clone());
    store.shutdown().await.unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    assert_stored(&store, stored);
    store.shutdown().await.unwrap();
}

struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().unwrap();
    }
}

fn skipped(why: &str) {
    writeln!(io::stderr(), "skipped: {why}").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_whole_while_writers_flushes_and_compactions_run() {
    let dir = TempDir::new().unwrap();
    let store =
        Store::open(Options { sync: SyncPolicy::Off, compact_segments: 3, ..options(dir.path()) }).unwrap();
    let acknowledged = Arc::new(Mutex::new(HashSet::new()));
    let done = Arc::new(AtomicBool::new(false));
    let writers = (0..4u64).map(|writer| {
        let (store, acknowledged) = (Arc::clone(&store), Arc::clone(&acknowledged));
        tokio::spawn(async move {
            for number in 0..150 {
                let number = writer * 1000 + number;
                append(&store, number).await.unwrap();
                acknowledged.lock().unwrap().insert(number);
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let flusher = {
        let (store, done) = (Arc::clone(&store), Arc::clone(&done));
        tokio::spawn(async move {
            while !done.load(Ordering::SeqCst) {
                store.flush().await.unwrap();
                store.compact().await.unwrap();
            }
        })
    };
    let reader = {
        let (store, done) = (Arc::clone(&store), Arc::clone(&done));
        let acknowledged = Arc::clone(&acknowledged);
        std::thread::spawn(move || {
            while !done.load(Ordering::SeqCst) {
                let before = acknowledged.lock().unwrap().clone();
                let (sums, points) = sums(store.snapshot().as_ref(), TENANT).unwrap();
                assert!(sums.values().all(|&sum| sum == 1), "{sums:?}");
                assert_eq!(points, sums.len() as i64);
                for number in before {
                    assert!(sums.contains_key(&format!("write_{number}")), "{number} is missing");
                }
            }
        })
    };
    for writer in writers {
        writer.await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    flusher.await.unwrap();
    reader.join().unwrap();
    let all = acknowledged.lock().unwrap().clone();
    assert_eq!(all.len(), 600);
    assert_stored(&store, all);
}

fn copy_dir(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&to).unwrap();
            copy_dir(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

const CHILD: &str = "HEARTH_STORE_TEST_CHILD";

/// Not a test by itself: the process that the tests below kill. It appends, flushes and compacts, and
/// reports each acknowledged number. `STEP:COUNT` makes it abort at that step.
#[tokio::test(flavor = "multi_thread")]
async fn child_process() {
    let Ok(spec) = std::env::var(CHILD) else { return };
    let [dir, first, step, count] = spec.split('|').collect::<Vec<_>>().try_into().unwrap();
    let left = Mutex::new(count.parse::<u32>().unwrap());
    let step = step.to_owned();
    let probe = Probe(Arc::new(move |reached| {
        let mut left = left.lock().unwrap();
        if format!("{reached:?}") == step {
            *left -= 1;
            if *left == 0 {
                std::process::abort();
            }
        }
        Ok(())
    }));
    let options = Options { probe: Some(probe), compact_segments: 2, ..options(Path::new(dir)) };
    let store = Store::open(options).unwrap();
    let first: u64 = first.parse().unwrap();
    let tasks = (0..4).map(|task| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for number in (first + task..first + 100_000).step_by(4) {
                append(&store, number).await.unwrap();
                writeln!(io::stdout(), "acknowledged {number}").unwrap();
                if number % 16 == 5 {
                    store.flush().await.unwrap();
                    store.compact().await.unwrap();
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

/// Runs the child until `lines` numbers are acknowledged, then kills it, or until it ends by itself;
/// returns what it acknowledged.
fn run_child(dir: &Path, first: u64, step: &str, count: u32, lines: usize) -> Vec<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::child_process", "--nocapture", "--test-threads=1"])
        .env(CHILD, format!("{}|{first}|{step}|{count}", dir.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        // The harness may print before the first number on the same line; a cut line is none.
        let line = line.unwrap();
        if let Some((_, number)) = line.split_once("acknowledged ") {
            acknowledged.push(number.parse().unwrap());
        }
        if acknowledged.len() == lines {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    acknowledged
}

/// Reopens and asserts: all acknowledged are there, nothing twice; sent again, all are duplicates.
async fn assert_nothing_lost(dir: &Path, acknowledged: &[u64]) {
    let store = Store::open(Options { compact_segments: 2, ..options(dir) }).unwrap();
    let (sums, points) = sums(store.snapshot().as_ref(), TENANT).unwrap();
    assert_eq!(store.stats().corrupt_files, 0, "{:?}", store.stats());
    assert_eq!(points, sums.len() as i64);
    assert!(sums.values().all(|&sum| sum == 1), "stored twice: {sums:?}");
    for number in acknowledged {
        assert!(sums.contains_key(&format!("write_{number}")), "{number} was acknowledged and is lost");
    }
    for &number in acknowledged.iter().rev().take(20) {
        assert!(append(&store, number).await.unwrap().duplicate);
    }
    drop(store);
}

#[tokio::test]
async fn kill_9_loses_nothing_that_was_acknowledged() {
    let dir = TempDir::new().unwrap();
    let mut all = Vec::new();
    for round in 0..8u64 {
        let lines = 17 + 23 * round as usize % 90;
        let acknowledged = run_child(dir.path(), round * 1_000_000, "none", 1, lines);
        assert!(acknowledged.len() >= lines);
        all.extend(acknowledged);
        assert_nothing_lost(dir.path(), &all).await;
    }
}

#[tokio::test]
async fn dying_at_any_step_loses_nothing_that_was_acknowledged() {
    let steps = [
        (Step::LogWrite, 9),
        (Step::LogSync, 9),
        (Step::LogRotate, 3),
        (Step::BlockWrite, 2),
        (Step::BlockRename, 3),
        (Step::CatalogCommit, 2),
        (Step::CatalogCommit, 5),
        (Step::LogDelete, 2),
        (Step::BlockDelete, 2),
    ];
    for (step, count) in steps {
        let dir = TempDir::new().unwrap();
        let mut all = Vec::new();
        for round in 0..2 {
            let acknowledged =
                run_child(dir.path(), round * 1_000_000, &format!("{step:?}"), count, usize::MAX);
            all.extend(acknowledged);
            assert_nothing_lost(dir.path(), &all).await;
        }
        assert!(!all.is_empty(), "{step:?}");
    }
}

/// A write of one row whose leaf has an address only, called by `main`; each in an hour of its own.
fn unnamed(number: u64) -> Write {
    let mut write = write(number);
    write.rows[0].slot_ms = TIME_MS + number as i64 * 3_600_000;
    let dictionary = &mut write.dictionary;
    let main = dictionary.leaf_first(write.rows[0].stack).last().unwrap();
    let (filename, build_id) = (dictionary.string("/opt/app"), dictionary.string("abcd"));
    let mapping = dictionary.mapping(Mapping { filename, build_id, ..Mapping::default() });
    let leaf = dictionary.location(Location { mapping, address: 0x1000 + number, ..Location::default() });
    write.rows[0].stack = dictionary.stack(&[leaf, main]);
    write
}

/// Knows the binary `abcd` since the generation it holds; nothing while that is 0.
#[derive(Debug, Default)]
struct Symbols(AtomicU64);

impl Namer for Symbols {
    fn generation(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn arrived(&self, _: &str, build_id: &str) -> Option<u64> {
        let generation = self.generation();
        (generation > 0 && build_id == "abcd").then_some(generation)
    }

    fn frames(&self, _: &str, code: &Code<'_>) -> Option<Frames> {
        let name = format!("work_{}_{}", code.address - 0x1000, self.generation());
        Some([NamedFrame { name, ..NamedFrame::default() }].into())
    }
}

fn names(store: &Store) -> Vec<String> {
    let (sums, points) = sums(store.snapshot().as_ref(), TENANT).unwrap();
    assert_eq!(sums.values().sum::<i64>(), points);
    assert!(sums.values().all(|sum| *sum == 1), "{sums:?}");
    sums.into_keys().collect()
}

#[tokio::test]
async fn names_that_arrive_late_are_everywhere_at_once_and_stay() {
    let dir = TempDir::new().unwrap();
    let symbols = Arc::new(Symbols::default());
    let namer: Arc<dyn Namer> = symbols.clone();
    let options = Options { namer: Some(namer), ..options(dir.path()) };
    let store = Store::open(options.clone()).unwrap();
    for number in 0..2 {
        store.append(TENANT, None, unnamed(number)).await.unwrap();
        if number == 0 {
            store.flush().await.unwrap();
        }
    }
    assert_eq!(names(&store), ["app+0x1000", "app+0x1001"]);
    // One is in a segment, one in the head; both were read before.
    symbols.0.store(5, Ordering::SeqCst);
    assert_eq!(names(&store), ["work_0_5", "work_1_5"]);
    // What a flush writes has names; the segment before gets them by being rewritten.
    store.flush().await.unwrap();
    assert_eq!(store.stats().blocks_named, 0);
    store.compact().await.unwrap();
    assert_eq!((store.stats().blocks_named, store.stats().segments), (1, 2));
    store.compact().await.unwrap();
    assert_eq!(store.stats().blocks_named, 1, "nothing is looked at twice");
    drop(store);
    // Without symbols the names stay; better ones that come later replace them.
    let store = Store::open(self::options(dir.path())).unwrap();
    assert_eq!(names(&store), ["work_0_5", "work_1_5"]);
    drop(store);
    symbols.0.store(9, Ordering::SeqCst);
    let store = Store::open(options).unwrap();
    store.append(TENANT, None, unnamed(0)).await.unwrap();
    assert_eq!(sums(store.snapshot().as_ref(), TENANT).unwrap().0["work_0_9"], 2);
    // Two segments of one hour are merged, and that names them, too.
    store.flush().await.unwrap();
    store.compact().await.unwrap();
    assert_eq!((store.stats().segments, store.stats().blocks_named), (2, 1));
    drop(store);
    let store = Store::open(self::options(dir.path())).unwrap();
    let (sums, points) = sums(store.snapshot().as_ref(), TENANT).unwrap();
    assert_eq!((sums["work_0_9"], sums["work_1_9"], points, store.stats().corrupt_files), (2, 1, 3, 0));
}

#[tokio::test]
async fn a_failed_step_of_a_rewrite_leaves_the_old_block_or_the_new() {
    for step in [Step::BlockWrite, Step::BlockRename, Step::CatalogCommit, Step::BlockDelete] {
        let dir = TempDir::new().unwrap();
        let (probe, flag) = failing(step, io::ErrorKind::Other);
        let symbols = Arc::new(Symbols::default());
        let namer: Arc<dyn Namer> = symbols.clone();
        let with = Options { namer: Some(namer), probe: Some(probe), ..options(dir.path()) };
        let store = Store::open(with.clone()).unwrap();
        store.append(TENANT, None, unnamed(0)).await.unwrap();
        store.flush().await.unwrap();
        symbols.0.store(5, Ordering::SeqCst);
        flag.store(true, Ordering::SeqCst);
        let done = store.compact().await;
        assert_eq!(done.is_ok(), step == Step::BlockDelete, "{step:?}");
        assert_eq!(names(&store), ["work_0_5"], "{step:?}");
        drop(store);
        let store = Store::open(Options { probe: None, ..with }).unwrap();
        assert_eq!((names(&store), blocks(dir.path()).len()), (vec!["work_0_5".to_owned()], 1), "{step:?}");
        store.compact().await.unwrap();
        assert_eq!((store.stats().segments, store.stats().corrupt_files), (1, 0), "{step:?}");
        drop(store);
        assert_eq!(names(&Store::open(options(dir.path())).unwrap()), ["work_0_5"], "{step:?}");
    }
}

#[tokio::test]
async fn a_catalog_from_before_late_names_is_read() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    append(&store, 0).await.unwrap();
    store.shutdown().await.unwrap();
    drop(store);
    let catalog = rusqlite::Connection::open(dir.path().join("catalog.sqlite")).unwrap();
    catalog.execute_batch("ALTER TABLE blocks DROP COLUMN named").unwrap();
    drop(catalog);
    assert_stored(&Store::open(options(dir.path())).unwrap(), [0]);
}
