//! Child processes that end with their test, and what they cost.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A child process, killed when dropped; its standard error is kept for the test's message.
#[derive(Debug)]
pub struct Child {
    child: std::process::Child,
    log: Arc<Mutex<String>>,
}

impl Child {
    /// Starts `command`; its standard error is captured, its standard output dropped.
    ///
    /// # Panics
    ///
    /// If the program cannot be started: the test cannot go on.
    pub fn spawn(command: &mut Command) -> Self {
        Self::spawn_into(command, Stdio::null())
    }

    /// The same with standard output going to `stdout`, for example a file.
    ///
    /// # Panics
    ///
    /// If the program cannot be started: the test cannot go on.
    pub fn spawn_into(command: &mut Command, stdout: impl Into<Stdio>) -> Self {
        let command = command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let log = Arc::new(Mutex::new(String::new()));
        if let Some(stderr) = child.stderr.take() {
            let log = Arc::clone(&log);
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    if let Ok(mut log) = log.lock() {
                        log.push_str(&line);
                        log.push('\n');
                    }
                }
            });
        }
        Self { child, log }
    }

    /// The process ID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard error so far.
    pub fn log(&self) -> String {
        self.log.lock().map(|log| log.clone()).unwrap_or_default()
    }

    /// Ends it without a chance to clean up (SIGKILL).
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end (SIGTERM) and waits; its exit code, or `None` if a signal ended it.
    pub fn terminate(&mut self) -> Option<i32> {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        self.child.wait().ok().and_then(|status| status.code())
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// CPU time and memory of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// User and system time in seconds.
    pub cpu_seconds: f64,
    /// Resident memory in bytes.
    pub rss_bytes: u64,
    /// Of it, anonymous.
    pub anonymous_bytes: u64,
}

/// What process `pid` has used so far; zeros if it is gone.
pub fn usage(pid: u32) -> Usage {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0)
    };
    Usage {
        // Fields 14 and 15 of proc_pid_stat(5), in clock ticks of which Linux has 100 a second.
        cpu_seconds: (ticks(11) + ticks(12)) / 100.0,
        rss_bytes: kib("VmRSS:") * 1024,
        anonymous_bytes: kib("RssAnon:") * 1024,
    }
}

/// A TCP port on the loopback interface that nobody listens on right now.
///
/// # Panics
///
/// If the loopback interface has none.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.map(|address| address.port()).unwrap_or_else(|error| panic!("no free port: {error}"))
}

/// Whether this process may load BPF programs, as far as its user ID tells.
pub fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
}

/// Tries `attempt` every 50 ms until it gives something; `None` after `limit`.
pub fn wait_until<T>(limit: Duration, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = attempt() {
            return Some(found);
        }
        if start.elapsed() > limit {
            return None;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Writes a line to standard output: what a test skipped and why, or a figure it measured.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
