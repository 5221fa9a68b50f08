//! Which service a process belongs to.
//!
//! The most explicit statement wins:
//!
//! 1. `OTEL_SERVICE_NAME`,
//! 2. `service.name` in `OTEL_RESOURCE_ATTRIBUTES`,
//! 3. if the executable is an interpreter (a Java VM counts as one): what it interprets, as its
//!    command line says: script, module, jar or main class, by its own name (`worker.py`,
//!    `http.server`, `shop.jar`, `org.example.Main`),
//! 4. if that is not on the command line (`python -c …`, an interactive shell): the systemd service,
//! 5. the executable's name.
//!
//! A systemd service comes after the script because one unit often runs several programs, and
//! never replaces the name of an executable that has one of its own.

use super::environ::Environment;

/// Where a service's name comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceNameSource {
    /// The process's environment says so.
    Environment,
    /// The command line of an interpreter.
    CommandLine,
    /// The systemd service of an interpreter.
    SystemdUnit,
    /// The executable.
    Executable,
    /// It is a kernel thread.
    Kernel,
}

/// Bytes of a name taken from a command line.
const NAME_BYTES_MAX: usize = 128;

/// How an interpreter's command line is read. Lists hold whole options, with their dashes.
struct Interpreter {
    /// Executables, without version numbers.
    names: &'static [&'static str],
    /// Options that say what runs, in their next argument or attached (`-mjson.tool`).
    program: &'static [&'static str],
    /// Options after which there is no script: code on the command line, or no code at all.
    inline: &'static [&'static str],
    /// Other options whose value is the next argument.
    value: &'static [&'static str],
    /// Words that stand before the script.
    commands: &'static [&'static str],
    /// Whether single-letter options may be written together (`-Im`, `-ec`).
    clusters: bool,
}

/// Options that take no value are not listed: they are skipped.
const INTERPRETERS: [Interpreter; 12] = [
    Interpreter {
        names: &["python", "pypy"],
        program: &["-m"],
        inline: &["-c", "-"],
        value: &["-W", "-X", "-Q", "--check-hash-based-pycs"],
        commands: &[],
        clusters: true,
    },
    Interpreter {
        names: &["node", "nodejs"],
        program: &[],
        inline: &["-e", "--eval", "-p", "--print", "-pe", "-"],
        value: &[
            "-r",
            "--require",
            "--import",
            "--loader",
            "--experimental-loader",
            "-C",
            "--conditions",
            "--title",
            "--icu-data-dir",
            "--input-type",
            "--openssl-config",
            "--redirect-warnings",
        ],
        commands: &["inspect"],
        clusters: false,
    },
    Interpreter {
        names: &["deno", "bun"],
        program: &[],
        inline: &["-e", "--eval", "eval", "repl", "install", "test"],
        value: &["-c", "--config", "-L", "--log-level", "--import-map", "--lock", "-r", "--preload", "--cwd"],
        commands: &["run", "serve"],
        clusters: false,
    },
    Interpreter {
        names: &["ruby", "jruby", "truffleruby"],
        program: &["-S"],
        inline: &["-e", "-"],
        value: &["-I", "-r", "-E", "-C", "--encoding", "--external-encoding", "--internal-encoding"],
        commands: &[],
        clusters: true,
    },
    Interpreter {
        names: &["perl"],
        program: &[],
        inline: &["-e", "-E", "-"],
        value: &["-I"],
        commands: &[],
        clusters: true,
    },
    Interpreter {
        names: &["php", "php-cgi", "hhvm"],
        program: &["-f", "--file"],
        inline: &["-r", "--run", "-B", "-R", "-S", "-i", "-"],
        value: &["-c", "-d", "-z", "-t", "--php-ini", "--define", "--zend-extension"],
        commands: &[],
        clusters: false,
    },
    Interpreter {
        names: &["java"],
        program: &["-jar", "-m", "--module"],
        inline: &["-version", "--version"],
        value: &[
            "-cp",
            "-classpath",
            "--class-path",
            "-p",
            "--module-path",
            "--upgrade-module-path",
            "--add-modules",
            "--add-opens",
            "--add-exports",
            "--add-reads",
            "--patch-module",
            "--limit-modules",
            "--enable-native-access",
            "--source",
        ],
        commands: &[],
        clusters: false,
    },
    Interpreter {
        names: &["bash", "sh", "dash", "zsh", "ksh", "mksh", "ash", "fish"],
        program: &[],
        inline: &["-c", "-s", "-"],
        value: &["-o", "+o", "-O", "+O", "--rcfile", "--init-file"],
        commands: &[],
        clusters: true,
    },
    Interpreter {
        names: &["dotnet"],
        program: &[],
        inline: &["run", "build", "test", "restore", "publish"],
        value: &[
            "--additionalprobingpath",
            "--depsfile",
            "--runtimeconfig",
            "--fx-version",
            "--roll-forward",
        ],
        commands: &["exec"],
        clusters: false,
    },
    Interpreter {
        names: &["lua", "luajit", "texlua"],
        program: &[],
        inline: &["-e", "-"],
        value: &["-l", "-j", "-b"],
        commands: &[],
        clusters: false,
    },
    Interpreter {
        names: &["Rscript", "julia", "tclsh", "guile", "mono"],
        program: &[],
        inline: &["-e", "-E", "-c", "-"],
        value: &["-L", "-l", "-J", "-p", "-t"],
        commands: &[],
        clusters: false,
    },
    Interpreter {
        names: &["busybox"],
        program: &[],
        inline: &["-c", "-s", "-"],
        value: &["-o", "+o"],
        commands: &["sh", "ash", "hush"],
        clusters: true,
    },
];

/// What an argument means.
enum Meaning<'a> {
    /// The name of what runs.
    Program(&'a str),
    /// What runs is in the next argument.
    ProgramFollows,
    /// Nothing runs that has a name.
    Nameless,
    /// The next argument is not the script either.
    SkipNext,
    /// This argument is not the script.
    Skip,
}

/// The service of a process, by the rule of this module.
pub fn service_name(
    environment: &Environment,
    executable_name: &str,
    arguments: &[String],
    systemd_unit: Option<&str>,
) -> (String, ServiceNameSource) {
    if let Some(name) = &environment.service_name {
        return (name.clone(), ServiceNameSource::Environment);
    }
    if interpreter(executable_name).is_some() {
        if let Some(name) = interpreted_name(executable_name, arguments) {
            return (name, ServiceNameSource::CommandLine);
        }
        if let Some(unit) = systemd_unit {
            return (unit.to_owned(), ServiceNameSource::SystemdUnit);
        }
    }
    (executable_name.to_owned(), ServiceNameSource::Executable)
}

/// The script, module, jar or main class an interpreter runs, without its directory; none if the
/// executable is no interpreter or the command line does not say.
pub fn interpreted_name(executable_name: &str, arguments: &[String]) -> Option<String> {
    let interpreter = interpreter(executable_name)?;
    let mut rest = arguments.iter().skip(1).map(String::as_str);
    while let Some(argument) = rest.next() {
        match interpreter.meaning(argument) {
            Meaning::Program(program) => return named(program),
            Meaning::ProgramFollows => return named(rest.next()?),
            Meaning::Nameless => return None,
            Meaning::SkipNext => drop(rest.next()),
            Meaning::Skip => {}
        }
    }
    None
}

/// The interpreter with this executable: `python3.11` is python, `php8.2` is php.
fn interpreter(executable_name: &str) -> Option<&'static Interpreter> {
    let unversioned =
        executable_name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-'));
    INTERPRETERS.iter().find(|interpreter| {
        interpreter.names.contains(&executable_name) || interpreter.names.contains(&unversioned)
    })
}

impl Interpreter {
    fn meaning<'a>(&self, argument: &'a str) -> Meaning<'a> {
        if self.inline.contains(&argument) {
            return Meaning::Nameless;
        }
        if argument == "--" || self.program.contains(&argument) {
            return Meaning::ProgramFollows;
        }
        if self.value.contains(&argument) {
            return Meaning::SkipNext;
        }
        if self.commands.contains(&argument) {
            return Meaning::Skip;
        }
        if let Some((option, value)) = argument.split_once('=')
            && self.program.contains(&option)
        {
            return Meaning::Program(value);
        }
        // A file of further arguments, as Java has it.
        if argument.starts_with('@') || argument.is_empty() {
            return Meaning::Skip;
        }
        if !argument.starts_with(['-', '+']) {
            return Meaning::Program(argument);
        }
        if self.clusters && !argument.starts_with("--") { self.cluster(argument) } else { Meaning::Skip }
    }

    /// Options written together: the first that takes a value takes the rest of the argument, or
    /// the next argument if it is the last letter.
    fn cluster<'a>(&self, argument: &'a str) -> Meaning<'a> {
        let is = |list: &[&str], letter: char| {
            list.iter().any(|option| option.strip_prefix('-').is_some_and(|rest| rest.chars().eq([letter])))
        };
        for (at, letter) in argument.char_indices().skip(1) {
            let attached = &argument[at + letter.len_utf8()..];
            if is(self.inline, letter) {
                return Meaning::Nameless;
            }
            if is(self.program, letter) {
                return if attached.is_empty() {
                    Meaning::ProgramFollows
                } else {
                    Meaning::Program(attached)
                };
            }
            if is(self.value, letter) {
                return if attached.is_empty() { Meaning::SkipNext } else { Meaning::Skip };
            }
        }
        Meaning::Skip
    }
}

/// The last part of a path, or a module with its main class (`module/class`) by the latter.
fn named(program: &str) -> Option<String> {
    let name = base_name(program)?;
    let mut end = name.len().min(NAME_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    Some(name[..end].to_owned())
}

/// The last part of a path that is not empty.
pub(crate) fn base_name(path: &str) -> Option<&str> {
    path.rsplit('/').find(|part| !part.is_empty() && *part != "." && *part != "..")
}

/// A kernel thread's comm without what numbers its instances: `kworker/0:1H-kblockd` and
/// `kworker/u8:2` are `kworker`, `kswapd0` is `kswapd`.
pub fn kernel_thread_family(comm: &str) -> &str {
    let family = match comm.split_once('/') {
        Some((family, _)) => family,
        None => comm.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches(['_', '-', ':']),
    };
    if family.is_empty() { comm } else { family }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command: &str) -> (String, ServiceNameSource) {
        let arguments: Vec<String> = command.split(' ').map(str::to_owned).collect();
        let executable = base_name(&arguments[0]).unwrap();
        service_name(&Environment::default(), executable, &arguments, Some("unit"))
    }

    #[test]
    #[rustfmt::skip]
    fn interpreters_are_named_by_what_they_run() {
        let cases = [
            ("/usr/bin/python3.11 /srv/app/worker.py --port 80", "worker.py"),
            ("python3 -u -W ignore worker.py", "worker.py"),
            ("python3 -Wignore -X dev worker.py", "worker.py"),
            ("python3 -m http.server 8000", "http.server"),
            ("python3 -Im http.server", "http.server"),
            ("python3 -mjson.tool", "json.tool"),
            ("python -- -odd-.py", "-odd-.py"),
            ("/usr/bin/python3 /usr/bin/gunicorn app:app", "gunicorn"),
            ("pypy3 x.py", "x.py"),
            ("node --max-old-space-size=4096 -r dotenv/config /srv/shop/server.js", "server.js"),
            ("node inspect a.js", "a.js"),
            ("deno run --allow-net main.ts", "main.ts"),
            ("bun run index.ts", "index.ts"),
            ("ruby -Ilib -r json -W0 bin/rails server", "rails"),
            ("ruby2.7 -S rake", "rake"),
            ("perl5.36.0 -w -I /x -T /opt/munge.pl", "munge.pl"),
            ("php8.2 -d memory_limit=1G artisan queue:work", "artisan"),
            ("php -f job.php", "job.php"),
            ("java -Xmx1g -cp a.jar:b.jar -XX:+UseG1GC org.example.Main x", "org.example.Main"),
            ("/usr/lib/jvm/17/bin/java -Dx=y -jar /srv/shop-1.2.jar --port 1", "shop-1.2.jar"),
            ("java --module-path mods -m com.greetings/com.greetings.Main", "com.greetings.Main"),
            ("java --module=com.greetings/com.greetings.Main", "com.greetings.Main"),
            ("java @args org.example.Main", "org.example.Main"),
            ("/bin/bash /opt/run.sh", "run.sh"),
            ("bash -eu -o pipefail ./run.sh", "run.sh"),
            ("sh -e run.sh", "run.sh"),
            ("busybox sh /init.sh", "init.sh"),
            ("dotnet exec /app/Shop.dll", "Shop.dll"),
            ("dotnet Shop.dll", "Shop.dll"),
            ("luajit -l socket main.lua", "main.lua"),
            ("Rscript model.R", "model.R"),
        ];
        for (command, want) in cases {
            assert_eq!(check(command), (want.to_owned(), ServiceNameSource::CommandLine), "{command}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn without_a_script_the_unit_names_an_interpreter() {
        for command in ["python3 -c pass", "python3", "python3 -", "sh -ec ls", "bash", "bash -l", "-bash", "node -e 1",
            "perl -lane print", "java -version", "php -S localhost:1", "ruby -e 1 x.rb", "bash -s x", "python3 -m"] {
            let arguments: Vec<String> = command.split(' ').map(str::to_owned).collect();
            let executable = arguments[0].trim_start_matches('-');
            let unit = service_name(&Environment::default(), executable, &arguments, Some("unit"));
            assert_eq!(unit, ("unit".to_owned(), ServiceNameSource::SystemdUnit), "{command}");
            let none = service_name(&Environment::default(), executable, &arguments, None);
            assert_eq!(none, (executable.to_owned(), ServiceNameSource::Executable), "{command}");
        }
    }

    #[test]
    fn executables_keep_their_own_name() {
        for command in [
            "/usr/sbin/nginx -g x",
            "javac Main.java",
            "/opt/pythonista x.py",
            "node_exporter a",
            "php-fpm8.2",
        ] {
            let (name, source) = check(command);
            assert_eq!(source, ServiceNameSource::Executable, "{command}");
            assert!(command.contains(&name), "{command}: {name}");
        }
    }

    #[test]
    fn environment_wins() {
        let environment = Environment { service_name: Some("shop".into()), attributes: Vec::new() };
        let name = service_name(&environment, "python3", &["python3".into(), "a.py".into()], Some("unit"));
        assert_eq!(name, ("shop".to_owned(), ServiceNameSource::Environment));
    }

    #[test]
    fn hostile_command_lines_give_bounded_names() {
        let long = "x".repeat(100_000);
        let name = interpreted_name("python3", &["python3".into(), format!("/a/é{long}")]).unwrap();
        assert!(name.len() <= NAME_BYTES_MAX);
        for odd in ["", "/", "//", ".", "..", "-", "--", "=", "@", "\u{fffd}", "-é", "-mé"] {
            for executable in ["python3", "java", "sh", "node", "busybox", ""] {
                let _ = interpreted_name(executable, &[executable.into(), odd.into(), odd.into()]);
            }
        }
        assert_eq!(interpreted_name("python3", &[]), None);
    }

    #[test]
    #[rustfmt::skip]
    fn kernel_threads_are_grouped_by_family() {
        let cases = [
            ("kworker/0:1H-kblockd", "kworker"), ("kworker/u8:2-events", "kworker"), ("ksoftirqd/3", "ksoftirqd"),
            ("kswapd0", "kswapd"), ("scsi_eh_0", "scsi_eh"), ("kthreadd", "kthreadd"), ("jbd2/sda1-8", "jbd2"),
            ("rcu_preempt", "rcu_preempt"), ("irq/24-nvme0q1", "irq"), ("0", "0"), ("", ""), ("/", "/"),
        ];
        for (comm, want) in cases {
            assert_eq!(kernel_thread_family(comm), want, "{comm}");
        }
    }
}
