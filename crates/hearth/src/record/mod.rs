//! `hearth record`: profile a command, processes or the whole host now, without a server.
//!
//! ```text
//! launch (a command waits, stopped) ─▶ Sampler ─▶ watch (end, time, Ctrl-C) ─▶ Recording
//!                                                       report (top functions) ◀──┴──▶ output (files)
//! ```
//!
//! The report goes to standard output, or to standard error if a command runs, whose output is its
//! own.

mod launch;
mod output;
mod recording;
mod report;
mod watch;

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use hearth_sampler::{Sampler, Settings, Target};

use launch::Launched;
use output::Output;
use recording::Recording;
use watch::Ending;

const USAGE: &str = "\
hearth record [OPTIONS] -- CMD [ARG]...
       hearth record [OPTIONS] -p PID
       hearth record [OPTIONS] -a";

const AFTER_HELP: &str = "\
Prints the functions that used most CPU time and writes what was sampled to files. Functions are sorted by self, the \
time in their own code; total adds what they called.

A command is recorded from its first instruction to its end, with all its children; its exit status becomes that \
of hearth record, and the report goes to standard error. Ctrl-C ends a recording early; it is printed and written \
all the same. Needs root, or the capabilities that `hearth doctor` lists.

Files, by extension:
  .svg     flame graph for any browser: hover, click to zoom, / to search
  .pb.gz   pprof, for `go tool pprof` and Pyroscope
  .folded  one line per stack, for flamegraph.pl, speedscope and grep

Examples:
  sudo hearth record -- make -j8                     print where a build spends its time
  sudo hearth record -o build.svg -- make -j8        and draw it
  sudo hearth record -p 1234 --duration 10s          a running process, for ten seconds
  sudo hearth record -p $(pidof nginx | tr ' ' ,)    all processes of a service, until Ctrl-C
  sudo hearth record -a --duration 30s -o host.pb.gz -o host.svg";

/// Arguments of `hearth record`.
#[derive(Args, Debug)]
#[command(override_usage = USAGE, after_help = AFTER_HELP)]
pub(crate) struct RecordArgs {
    /// Process to record, with the children it starts from now on; repeated or separated by commas
    #[arg(short, long, value_name = "PID", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=4_194_304))]
    pid: Vec<u32>,

    /// Record every process of this host, and the kernel
    #[arg(short, long)]
    all: bool,

    /// How long to record: 500ms, 10s, 2m, 1h; without it, until the end of what is recorded or Ctrl-C
    #[arg(short, long, value_name = "TIME", value_parser = parse_duration)]
    duration: Option<Duration>,

    /// Samples per second on each CPU, 1 to 10000; a number that does not divide round ones meets
    /// periodic work by chance and not always at the same place
    #[arg(short = 'F', long, value_name = "N", default_value_t = 997, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    frequency: u32,

    /// File to write, by extension: .folded, .pb.gz or .svg; may be repeated
    #[arg(short, long, value_name = "FILE", value_parser = Output::parse)]
    output: Vec<Output>,

    /// How many functions to print
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,

    /// Wait for SIGCONT, then become the command
    #[arg(long, hide = true)]
    launched: bool,

    /// Command to run and record, with its arguments
    #[arg(value_name = "CMD", trailing_var_arg = true)]
    command: Vec<OsString>,
}

/// What to record.
#[derive(Debug, PartialEq, Eq)]
enum What {
    Command(Vec<OsString>),
    Processes(Vec<u32>),
    Host,
}

impl RecordArgs {
    /// What to record.
    ///
    /// # Errors
    ///
    /// Unless exactly one thing was asked for.
    fn what(&self) -> Result<What, String> {
        let asked = [!self.command.is_empty(), !self.pid.is_empty(), self.all];
        match asked.iter().filter(|&&asked| asked).count() {
            1 if self.all => Ok(What::Host),
            1 if self.command.is_empty() => Ok(What::Processes(self.pid.clone())),
            1 => Ok(What::Command(self.command.clone())),
            0 => Err(
                "nothing to record; give a command (hearth record -- make), a process (-p PID) or -a for \
                      the whole host"
                    .into(),
            ),
            _ => Err("only one of a command, -p and -a can be recorded at a time".into()),
        }
    }
}

/// A time such as `500ms`, `10s`, `1.5m` or `1h`; a bare number is seconds.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let seconds = match &text[digits.len()..] {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        unit => return Err(format!("unknown unit {unit:?}; expected ms, s, m or h")),
    };
    let number: f64 = digits.parse().map_err(|_| format!("{text:?} is no time; expected one such as 10s"))?;
    let range = || format!("{text} is out of range; expected 10ms to 24h");
    let duration = Duration::try_from_secs_f64(number * seconds).map_err(|_| range())?;
    if (Duration::from_millis(10)..=Duration::from_secs(86_400)).contains(&duration) {
        Ok(duration)
    } else {
        Err(range())
    }
}

/// Records and returns the command's exit status, 0 if nothing was launched, 1 if something
/// failed, 2 if the arguments make no sense.
pub(crate) fn run(arguments: RecordArgs) -> ExitCode {
    if arguments.launched {
        return launch::become_command(&arguments.command);
    }
    let complain = |problem: &str| {
        // If standard error is closed there is nobody to tell.
        let _ = writeln!(io::stderr(), "hearth record: {problem}");
    };
    let what = match arguments.what() {
        Ok(what) => what,
        Err(problem) => {
            complain(&problem);
            complain("see `hearth record --help`");
            return ExitCode::from(2);
        }
    };
    match record(&arguments, what) {
        Ok(status) => status,
        Err(problem) => {
            complain(&problem);
            ExitCode::FAILURE
        }
    }
}

fn record(arguments: &RecordArgs, what: What) -> Result<ExitCode, String> {
    for output in &arguments.output {
        output.check()?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let mut launched = None;
    let (pids, target) = match &what {
        What::Command(command) => {
            let command = Launched::spawn(command)?;
            let pid = command.id();
            launched = Some(command);
            (vec![pid], Target::Processes(vec![pid]))
        }
        What::Processes(pids) => (pids.clone(), Target::Processes(pids.clone())),
        What::Host => (Vec::new(), Target::Host),
    };
    let session = Session { arguments, pids, target };
    let (recording, ending) = runtime.block_on(session.run(launched.as_mut()))?;
    let to_stdout = launched.is_none();
    let status = launched.map(|command| command.finish(ending)).transpose()?;
    let text = report::text(&recording, arguments.top, width(to_stdout));
    let mut problems = Vec::new();
    let mut written = String::new();
    for output in &arguments.output {
        match output.write(&recording) {
            Ok(line) => written += &line,
            Err(problem) => problems.push(problem),
        }
    }
    let note = status.as_ref().map_or("", |status| status.note.as_str());
    let report = format!("{text}{written}{note}");
    let shown = if to_stdout {
        io::stdout().write_all(report.as_bytes())
    } else {
        io::stderr().write_all(report.as_bytes())
    };
    match shown {
        // Whoever reads has read enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            problems.push(format!("cannot print: {error}"))
        }
        _ => {}
    }
    if problems.is_empty() {
        Ok(status.map_or(ExitCode::SUCCESS, |status| status.code))
    } else {
        Err(problems.join("\n"))
    }
}

/// Columns of the terminal to which the report goes; unlimited if it goes elsewhere.
fn width(to_stdout: bool) -> usize {
    let size = if to_stdout {
        io::stdout().is_terminal().then(|| rustix::termios::tcgetwinsize(io::stdout()))
    } else {
        io::stderr().is_terminal().then(|| rustix::termios::tcgetwinsize(io::stderr()))
    };
    match size {
        Some(Ok(size)) if size.ws_col > 0 => usize::from(size.ws_col),
        Some(_) => 80,
        None => usize::MAX,
    }
}

/// One recording from start to end.
struct Session<'a> {
    arguments: &'a RecordArgs,
    /// Whose end is the recording's end.
    pids: Vec<u32>,
    target: Target,
}

impl Session<'_> {
    async fn run(self, launched: Option<&mut Launched>) -> Result<(Recording, Ending), String> {
        let mut watch = watch::Watch::new(&self.pids, self.arguments.duration)?;
        let samples_per_second = self.arguments.frequency;
        let sampler =
            Sampler::start(Settings { samples_per_second, target: self.target, ..Settings::default() })
                .map_err(|error| error.to_string())?;
        let mut recording = Recording::new(samples_per_second);
        let started = Instant::now();
        watch.start(self.arguments.duration);
        let launched = launched.map(|command| command.release().map(|()| command.id())).transpose()?;
        let ending = loop {
            match watch.next().await {
                Some(ending) => break ending,
                // This waits for files that are being read; signals are kept meanwhile.
                None => recording.add(sampler.collect()),
            }
        };
        if let (Ending::Signal(signal), Some(pid)) = (ending, launched) {
            watch.let_end(pid, signal).await;
        }
        recording.finish(sampler.collect(), &sampler.status(), started.elapsed());
        Ok((recording, ending))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser, Debug)]
    struct Cli {
        #[command(flatten)]
        record: RecordArgs,
    }

    fn parse(line: &str) -> Result<What, String> {
        let words = std::iter::once("record").chain(line.split_whitespace());
        let cli = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
        cli.record.what()
    }

    #[test]
    fn exactly_one_thing_is_recorded() {
        let command = |words: &[&str]| Ok(What::Command(words.iter().map(Into::into).collect()));
        assert_eq!(parse("-- make -j8 --all"), command(&["make", "-j8", "--all"]));
        assert_eq!(parse("-F 99 dd if=/dev/zero -p"), command(&["dd", "if=/dev/zero", "-p"]));
        assert_eq!(parse("-p 7,8 -p 9 -d 1s"), Ok(What::Processes(vec![7, 8, 9])));
        assert_eq!(parse("-a"), Ok(What::Host));
    }

    #[test]
    #[rustfmt::skip]
    fn arguments_that_make_no_sense_are_refused_by_name() {
        let cases = [
            ("",                          "nothing to record; give a command"),
            ("-a -p 1",                   "only one of a command, -p and -a"),
            ("-a true",                   "only one of a command, -p and -a"),
            ("-p 0",                      "invalid value '0' for '--pid <PID>': 0 is not in 1..=4194304"),
            ("-p self",                   "invalid value 'self' for '--pid <PID>'"),
            ("-a -F 0",                   "0 is not in 1..=10000"),
            ("-a -F 10001",               "10001 is not in 1..=10000"),
            ("-a -d 5",                   "ok"),
            ("-a -d soon",                "\"soon\""),
            ("-a -d 5days",               "unknown unit \"days\"; expected ms, s, m or h"),
            ("-a -d 0s",                  "0s is out of range; expected 10ms to 24h"),
            ("-a -d 25h",                 "25h is out of range; expected 10ms to 24h"),
            ("-a -o out.xyz",             "'out.xyz' for '--output <FILE>': unknown extension; expected .folded, .pb.gz or .svg"),
            ("-a -o out",                 "unknown extension; expected .folded, .pb.gz or .svg"),
            ("-a --freqency 9",           "unexpected argument '--freqency'"),
        ];
        for (line, want) in cases {
            let got = parse(line).map_or_else(|problem| problem, |_| "ok".to_owned());
            assert!(got.contains(want), "{line}: {got}");
        }
    }

    #[test]
    fn times_are_read_with_their_unit() {
        for (text, millis) in
            [("10ms", 10), ("10s", 10_000), ("2", 2_000), ("1.5m", 90_000), ("1h", 3_600_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }
}
