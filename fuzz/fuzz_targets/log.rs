#![no_main]
//! The write-ahead log: a record with a true checksum and any payload, then any bytes.

use hearth_store::{Options, Store, SyncPolicy};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let split = data.first().map_or(0, |byte| usize::from(*byte) * 16).min(data.len());
    let (payload, tail) = data.split_at(split);
    let mut file = b"HEARTHWL\x01\0\0\0\0\0\0\0".to_vec();
    let (len, sequence) = (payload.len() as u32, 1u64);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&len.to_le_bytes());
    hasher.update(&sequence.to_le_bytes());
    hasher.update(payload);
    file.extend(len.to_le_bytes());
    file.extend(hasher.finalize().to_le_bytes());
    file.extend(sequence.to_le_bytes());
    file.extend(payload);
    file.extend(tail);

    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let log = folder.path().join("wal");
    std::fs::create_dir(&log).expect("a new folder");
    std::fs::write(log.join(format!("{:020}.log", 1)), file).expect("a new file");
    let options = Options { sync: SyncPolicy::Off, ..Options::new(folder.path()) };
    if let Ok(store) = Store::open(options) {
        let _ = store.stats();
    }
});
