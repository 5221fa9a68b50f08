//! The records of the kernel side, as `bpf/record.h` lays them out.
//!
//! Records come from the kernel, yet every access is checked: a record that is too short for what it
//! claims is `None` and counted, never a panic.

/// Length of a thread's name.
pub(crate) const COMM_BYTES: usize = 16;
/// Ids from here on are given out by user space, smaller ones by the kernel side.
pub(crate) const FILE_ID_USER_MIN: u32 = 1 << 23;

const OFFSET_BITS: u32 = 40;
const OFFSET_MAX: u64 = (1 << OFFSET_BITS) - 1;
const TAG_SHIFT: u32 = 56;
const ADDRESS_MASK: u64 = (1 << TAG_SHIFT) - 1;
const TAG_KERNEL: u64 = 0xfd;
const TAG_ANONYMOUS: u64 = 0xfe;
const TAG_RAW: u64 = 0xff;
/// Below any kernel address: marks of walks that stopped early.
const MARKS: u64 = 0x1_0000;

const SAMPLE_BYTES: usize = 56;
const EVENT_FILE: u32 = 1;
const EVENT_EXEC: u32 = 2;
const EVENT_FORK: u32 = 3;
const EVENT_EXIT: u32 = 4;

/// A frame in the 8 bytes in which it is aggregated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Frame {
    /// Code of a file.
    File { id: u32, offset: u64 },
    /// Code in memory without a file, at an address of the process.
    Anonymous(u64),
    /// An address of the process that nobody could look up yet.
    Raw(u64),
    /// An address in the kernel.
    Kernel(u64),
    /// Why there are no frames further out; the number of a stop reason.
    Stopped(u16),
}

impl Frame {
    /// From its 8 bytes.
    pub(crate) fn decode(bits: u64) -> Self {
        let address = bits & ADDRESS_MASK;
        match bits >> TAG_SHIFT {
            TAG_RAW => Self::Raw(address),
            TAG_ANONYMOUS => Self::Anonymous(address),
            TAG_KERNEL if address < MARKS => Self::Stopped(u16::try_from(address).unwrap_or(u16::MAX)),
            TAG_KERNEL => Self::Kernel(address | 0xff << TAG_SHIFT),
            _ => Self::File {
                id: u32::try_from(bits >> OFFSET_BITS).unwrap_or(u32::MAX),
                offset: bits & OFFSET_MAX,
            },
        }
    }

    /// Into 8 bytes.
    pub(crate) fn encode(self) -> u64 {
        match self {
            Self::File { id, offset } => u64::from(id) << OFFSET_BITS | (offset & OFFSET_MAX),
            Self::Anonymous(address) => TAG_ANONYMOUS << TAG_SHIFT | (address & ADDRESS_MASK),
            Self::Raw(address) => TAG_RAW << TAG_SHIFT | (address & ADDRESS_MASK),
            Self::Kernel(address) => TAG_KERNEL << TAG_SHIFT | (address & ADDRESS_MASK),
            Self::Stopped(number) => TAG_KERNEL << TAG_SHIFT | u64::from(number),
        }
    }
}

/// Per-CPU counters of the kernel side: `enum counter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Counter {
    Samples = 0,
    LostRing = 1,
    LostState = 2,
    LostEvents = 3,
    RunNs = 4,
    UserFrames = 5,
    KernelFrames = 6,
    VmaWalks = 7,
    FilesFull = 8,
    TreeChanged = 9,
}

/// What identifies a process: PIDs are reused, start times are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ProcessKey {
    /// Thread group id, as the initial PID namespace counts.
    pub(crate) pid: u32,
    /// When it was started, nanoseconds since boot.
    pub(crate) start_ns: u64,
}

/// One sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample<'a> {
    pub(crate) time_ns: u64,
    pub(crate) process: ProcessKey,
    pub(crate) cgroup_id: u64,
    pub(crate) comm: &'a [u8],
    /// Why the walk ended: the number of a stop reason.
    pub(crate) stop: u16,
    kernel: &'a [u8],
    user: &'a [u8],
}

impl<'a> Sample<'a> {
    /// Reads a record of the sample ring.
    pub(crate) fn parse(record: &'a [u8]) -> Option<Self> {
        let frames = record.get(SAMPLE_BYTES..)?;
        let kernel_bytes = usize::from(u16_at(record, 50)?) * 8;
        let user_bytes = usize::from(u16_at(record, 52)?) * 8;
        Some(Self {
            time_ns: u64_at(record, 0)?,
            process: ProcessKey { pid: u32_at(record, 24)?, start_ns: u64_at(record, 8)? },
            cgroup_id: u64_at(record, 16)?,
            comm: record.get(32..32 + COMM_BYTES)?,
            stop: u16_at(record, 54)?,
            kernel: frames.get(..kernel_bytes)?,
            user: frames.get(kernel_bytes..kernel_bytes.checked_add(user_bytes)?)?,
        })
    }

    /// The kernel's frames, outermost first.
    pub(crate) fn kernel_frames(&self) -> impl Iterator<Item = Frame> {
        words(self.kernel).rev().map(Frame::Kernel)
    }

    /// The user frames, leaf first.
    pub(crate) fn user_frames(&self) -> impl ExactSizeIterator<Item = Frame> + DoubleEndedIterator {
        words(self.user).map(Frame::decode)
    }
}

/// A mapping through which a file was met, and the id it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileEvent {
    pub(crate) process: ProcessKey,
    pub(crate) vma_start: u64,
    pub(crate) vma_end: u64,
    /// Size of the file when it was met.
    pub(crate) size: u64,
    /// Its key in the map `files`.
    pub(crate) key: FileKey,
    pub(crate) id: u32,
    /// Last component of its path.
    pub(crate) name: String,
}

/// `struct file_key`: inode, seconds, nanoseconds and device, generation.
pub(crate) type FileKey = [u64; 4];
/// `struct file_entry`: id and known, time of asking.
pub(crate) type FileEntry = [u64; 2];

/// The key of the vDSO, which has no file.
pub(crate) fn is_vdso(key: &FileKey) -> bool {
    key[0] == 1 && key[2] >> 32 == u64::from(u32::MAX)
}

/// The value by which the kernel side knows that the file needs no more requests.
pub(crate) fn known_entry(id: u32) -> FileEntry {
    [u64::from(id) | 1 << 32, 0]
}

/// Anything in the event ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A file was met that user space has not opened.
    File(FileEvent),
    /// A process began to execute a program.
    Exec { process: ProcessKey, time_ns: u64, cgroup_id: u64, comm: String, path: String },
    /// A process was forked.
    Fork { process: ProcessKey, parent: ProcessKey },
    /// A process ended.
    Exit { process: ProcessKey },
}

impl Event {
    /// Reads a record of the event ring.
    pub(crate) fn parse(record: &[u8]) -> Option<Self> {
        let process = ProcessKey { pid: u32_at(record, 4)?, start_ns: u64_at(record, 16)? };
        match u32_at(record, 0)? {
            EVENT_FILE => Some(Self::File(FileEvent {
                process,
                vma_start: u64_at(record, 24)?,
                vma_end: u64_at(record, 32)?,
                size: u64_at(record, 40)?,
                key: [u64_at(record, 48)?, u64_at(record, 56)?, u64_at(record, 64)?, u64_at(record, 72)?],
                id: u32_at(record, 80)?,
                name: text(record.get(88..152)?),
            })),
            EVENT_EXEC => Some(Self::Exec {
                process,
                time_ns: u64_at(record, 8)?,
                cgroup_id: u64_at(record, 24)?,
                comm: text(record.get(48..64)?),
                path: text(record.get(64..192)?),
            }),
            EVENT_FORK => Some(Self::Fork {
                process,
                parent: ProcessKey { pid: u32_at(record, 40)?, start_ns: u64_at(record, 32)? },
            }),
            EVENT_EXIT => Some(Self::Exit { process }),
            _ => None,
        }
    }
}

/// What the self-test's program answers: `struct test_result`.
pub(crate) type TestResult = [u64; 6];

/// Text up to the first NUL; invalid UTF-8 is replaced.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or(bytes)).into_owned()
}

fn words(bytes: &[u8]) -> impl ExactSizeIterator<Item = u64> + DoubleEndedIterator {
    bytes.chunks_exact(8).map(|word| {
        let mut copy = [0; 8];
        copy.copy_from_slice(word);
        u64::from_ne_bytes(copy)
    })
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn frames_round_trip_through_their_bits() {
        let cases = [
            Frame::File { id: 1, offset: 0x1234 },
            Frame::File { id: FILE_ID_USER_MIN + 5, offset: OFFSET_MAX },
            Frame::Anonymous(0x7fff_1234_5678),
            Frame::Raw(0x7fff_1234_5678),
            Frame::Kernel(0xffff_ffff_8100_0000),
            Frame::Kernel(0xff11_0000_8100_0000),
            Frame::Stopped(7),
        ];
        for frame in cases {
            assert_eq!(Frame::decode(frame.encode()), frame);
        }
    }

    impl Counter {
        /// All counters, in the order of their numbers.
        const ALL: [Self; 10] = [
            Self::Samples,
            Self::LostRing,
            Self::LostState,
            Self::LostEvents,
            Self::RunNs,
            Self::UserFrames,
            Self::KernelFrames,
            Self::VmaWalks,
            Self::FilesFull,
            Self::TreeChanged,
        ];
    }

    #[test]
    fn a_record_shorter_than_it_claims_is_refused() {
        let mut record = vec![0; 56 + 3 * 8];
        record[50] = 1;
        record[52] = 2;
        record[56..64].copy_from_slice(&0xffff_ffff_8100_0000_u64.to_ne_bytes());
        let sample = Sample::parse(&record).unwrap();
        assert_eq!(sample.kernel_frames().collect::<Vec<_>>(), [Frame::Kernel(0xffff_ffff_8100_0000)]);
        assert_eq!(sample.user_frames().len(), 2);
        for length in 0..record.len() {
            assert!(Sample::parse(&record[..length]).is_none(), "{length} bytes");
            assert!(Event::parse(&record[..length.min(23)]).is_none(), "{length} bytes");
        }
    }

    /// Numbers shared with the kernel side, compared with the header's text.
    #[test]
    fn numbers_are_those_of_the_c_header() {
        let header = include_str!("../../../bpf/record.h");
        let counters: Vec<&str> =
            header.lines().map(str::trim).filter(|line| line.starts_with("COUNT_")).collect();
        assert_eq!(counters.len(), Counter::ALL.len());
        for (index, counter) in Counter::ALL.iter().enumerate() {
            assert_eq!(*counter as usize, index);
            let name: String =
                counters[index].split(' ').next().unwrap().replace("COUNT_", "").replace('_', "");
            assert_eq!(name.to_lowercase(), format!("{counter:?}").to_lowercase());
        }
        for line in [
            "#define FRAME_OFFSET_BITS 40",
            "#define FRAME_TAG_SHIFT 56",
            "#define FRAME_ANONYMOUS 0xfe",
            "#define FRAME_RAW 0xff",
            "#define FILE_ID_MAX ((1 << 23) - 1)",
            "EVENT_FILE = 1",
            "EVENT_EXEC = 2",
            "EVENT_FORK = 3",
            "EVENT_EXIT = 4",
        ] {
            assert!(header.contains(line), "bpf/record.h does not say {line:?}");
        }
    }
}
