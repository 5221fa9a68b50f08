//! `/proc/PID/stat`.

/// What of `stat` is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The name the kernel keeps; invalid UTF-8 replaced.
    pub comm: String,
    /// The parent's process ID.
    pub parent_pid: u32,
    /// Whether it is a kernel thread.
    pub kernel_thread: bool,
    /// Whether its main thread has ended and waits for its parent, or for other threads.
    pub zombie: bool,
    /// When it started, in clock ticks since the host's start.
    pub start_time: u64,
}

/// `PF_KTHREAD` of `include/linux/sched.h`, unchanged since 2.6.
const KERNEL_THREAD_FLAG: u64 = 0x0020_0000;

/// Parses `/proc/PID/stat`; none if it is not of its form.
///
/// The comm stands in parentheses and may itself contain parentheses, spaces and newlines, so the
/// last closing parenthesis ends it.
pub fn parse_stat(text: &[u8]) -> Option<Stat> {
    // Positions after the comm, from 0, of proc(5)'s fields 3, 4, 9 and 22.
    const STATE: usize = 0;
    const PARENT: usize = 1;
    const FLAGS: usize = 6;
    const START_TIME: usize = 19;
    let open = text.iter().position(|byte| *byte == b'(')?;
    let close = text.iter().rposition(|byte| *byte == b')')?;
    let comm = String::from_utf8_lossy(text.get(open + 1..close)?).into_owned();
    let rest = std::str::from_utf8(text.get(close + 1..)?).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().take(START_TIME + 1).collect();
    let flags: u64 = fields.get(FLAGS)?.parse().ok()?;
    Some(Stat {
        comm,
        parent_pid: fields.get(PARENT)?.parse().ok()?,
        kernel_thread: flags & KERNEL_THREAD_FLAG != 0,
        zombie: matches!(*fields.get(STATE)?, "Z" | "X"),
        start_time: fields.get(START_TIME)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(comm: &str, flags: u64) -> String {
        format!(
            "17 ({comm}) S 1 17 17 0 -1 {flags} 5 0 0 0 1 2 0 0 20 0 3 0 4711 1000 200 18446744073709551615 1"
        )
    }

    #[test]
    fn comm_may_contain_anything() {
        for comm in ["bash", "a b", "a) b (c", "(sd-pam)", ")", "", "new\nline", "tmux: server", "é"] {
            let want = Stat {
                comm: comm.into(),
                parent_pid: 1,
                kernel_thread: false,
                zombie: false,
                start_time: 4711,
            };
            assert_eq!(parse_stat(stat(comm, 0x40_0000).as_bytes()), Some(want), "{comm:?}");
        }
    }

    #[test]
    fn kernel_threads_are_known_by_their_flag() {
        let kernel_thread = |flags| parse_stat(stat("x", flags).as_bytes()).unwrap().kernel_thread;
        assert!(kernel_thread(0x0020_8040));
        assert!(!kernel_thread(0x0040_0100));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "1",
            "1 (a",
            ")(",
            "1 (a) S 1",
            "1 (a) S x 1 1 0 -1 0 5 0 0 0 1 2 0 0 20 0 3 0 4711",
            "1 (a) S",
        ] {
            assert_eq!(parse_stat(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(parse_stat(&[0xff; 64]), None);
    }
}
