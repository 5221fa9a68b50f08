//! The programs of `e2e/vm/programs`, and what a test asks of their stacks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use hearth_profile::{ProfileBatch, ResourceProfiles};
use hearth_testkit::say;

/// Where the programs are: `$HEARTH_PROGRAMS`, else built here once per test executable.
pub(crate) fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        if let Some(folder) = std::env::var_os("HEARTH_PROGRAMS") {
            return folder.into();
        }
        let folder =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("programs-{}", env!("CARGO_CRATE_NAME")));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/vm/programs/build.sh");
        let built = Command::new(&script).arg(&folder).status();
        assert!(
            built.as_ref().is_ok_and(std::process::ExitStatus::success),
            "{}: {built:?}",
            script.display()
        );
        folder
    })
}

/// The path of a program.
pub(crate) fn program(name: &str) -> PathBuf {
    folder().join(name)
}

/// Says what was measured; `cargo xtask vm` collects these lines.
pub(crate) fn figure(text: &str) {
    say(&format!("\nfigure: {text}"));
}

/// Whether this is a guest of `cargo xtask vm`, where a test may break things; says so when not.
pub(crate) fn in_guest(test: &str) -> bool {
    let guest = std::env::var_os("HEARTH_GUEST").is_some();
    if !guest {
        say(&format!("{test}: skipped: not in a guest; cargo xtask vm runs it there"));
    }
    guest
}

/// A process that is killed when dropped.
#[derive(Debug)]
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Starts a program that says nothing.
pub(crate) fn run(command: &mut Command) -> Running {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Running(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
}

/// Weights by stack, root first, names joined by semicolons.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stacks(pub(crate) BTreeMap<String, i64>);

impl Stacks {
    /// Adds what a batch holds of a process.
    pub(crate) fn add(&mut self, batch: &ProfileBatch, pid: u32) {
        let pid = pid.to_string();
        for resource in &batch.resources {
            if resource.resource.get("process.pid").is_some_and(|value| value.to_string() == pid) {
                self.add_resource(batch, resource);
            }
        }
    }

    /// Adds what a resource of a batch holds.
    pub(crate) fn add_resource(&mut self, batch: &ProfileBatch, resource: &ResourceProfiles) {
        for sample in resource.profiles.iter().flat_map(|profile| &profile.samples) {
            let locations = batch.dictionary.leaf_first(sample.stack);
            let mut names: Vec<String> = locations
                .flat_map(|location| batch.dictionary.names(location))
                .map(|(name, _)| name)
                .collect();
            names.reverse();
            *self.0.entry(names.join(";")).or_insert(0) += sample.value;
        }
    }

    /// The sum of all weights.
    pub(crate) fn total(&self) -> i64 {
        self.0.values().sum()
    }

    /// The weight of the stacks that `wanted` accepts.
    pub(crate) fn weight(&self, wanted: impl Fn(&str) -> bool) -> i64 {
        self.0.iter().filter(|(path, _)| wanted(path)).map(|(_, weight)| weight).sum()
    }

    /// The heaviest stacks, for a test's message.
    pub(crate) fn shown(&self, count: usize) -> String {
        let mut heaviest: Vec<(&i64, &String)> = self.0.iter().map(|(path, weight)| (weight, path)).collect();
        heaviest.sort_by(|a, b| b.cmp(a));
        let line = |(weight, path): &(&i64, &String)| {
            let shown: String = path.chars().take(240).collect();
            format!("  {weight:6} {shown}\n")
        };
        heaviest.iter().take(count).map(line).collect()
    }
}
