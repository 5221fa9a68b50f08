//! Who a process is, from its exec event or from /proc, and what filters are asked about it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::abi::ExecEvent;
use crate::filter::{Fact, Facts};
use crate::process::{self, ProcessInfo};

/// Who a process is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) pid: u32,
    pub(crate) executable_name: Option<String>,
    pub(crate) executable_path: Option<String>,
    pub(crate) service_name: Option<String>,
    pub(crate) container_id: Option<String>,
    /// Paths of its cgroups; none if not all of a path is known.
    pub(crate) cgroups: Option<Vec<String>>,
    pub(crate) kernel_thread: bool,
    /// What the process says about itself in OTEL_RESOURCE_ATTRIBUTES.
    pub(crate) attributes: Vec<(String, String)>,
}

impl From<ProcessInfo> for Identity {
    fn from(info: ProcessInfo) -> Self {
        Self {
            pid: info.pid,
            executable_name: Some(info.executable_name),
            executable_path: info.executable_path,
            service_name: Some(info.service_name),
            container_id: info.container_id,
            cgroups: Some(info.cgroups).filter(|paths| !paths.is_empty()),
            kernel_thread: info.kernel_thread,
            attributes: info.attributes,
        }
    }
}

impl Identity {
    /// From what the kernel side read at exec.
    pub(crate) fn of_exec(exec: &ExecEvent, paths: &mut Paths) -> Self {
        let arguments = process::split_arguments(&exec.arguments);
        let given = executable_given(&exec.path, &arguments);
        let path = given.and_then(|path| paths.resolved(path, exec.pid_namespace));
        let name = path.as_deref().or(given).and_then(process::base_name).unwrap_or(&exec.comm).to_owned();
        let environment = process::parse_environ(&exec.environment);
        let groups = process::parse_cgroup(cgroup_text(exec).as_bytes());
        let (service, _) =
            process::service_name(&environment, &name, &arguments, groups.systemd_unit.as_deref());
        let is_whole = |names: &[String]| names.len() < CGROUP_LEVELS;
        Self {
            pid: exec.process.pid,
            executable_name: Some(name),
            executable_path: path,
            service_name: Some(service),
            container_id: groups.container_id,
            cgroups: (is_whole(&exec.cgroup) && is_whole(&exec.cgroup_v1))
                .then(|| vec![cgroup_path(&exec.cgroup), cgroup_path(&exec.cgroup_v1)]),
            kernel_thread: false,
            attributes: environment.attributes,
        }
    }
}

/// Names of a cgroup's path in an exec event, at most; as many may not be all.
const CGROUP_LEVELS: usize = 3;

fn cgroup_path(innermost_first: &[String]) -> String {
    let mut path = String::new();
    for name in innermost_first.iter().rev() {
        path.push('/');
        path.push_str(name);
    }
    if path.is_empty() { "/".into() } else { path }
}

/// The event's cgroups as lines of /proc/PID/cgroup.
fn cgroup_text(exec: &ExecEvent) -> String {
    format!("0::{}\n1:pids:{}\n", cgroup_path(&exec.cgroup), cgroup_path(&exec.cgroup_v1))
}

/// The path of the program that runs: for a script the interpreter's, which the kernel puts before the
/// script's own path in the arguments. None if nothing was given.
fn executable_given<'a>(path: &'a str, arguments: &'a [String]) -> Option<&'a str> {
    let script_at = arguments.iter().take(3).position(|argument| argument == path);
    match (script_at, arguments.first()) {
        (Some(1 | 2), Some(interpreter)) if interpreter.starts_with('/') && interpreter != path => {
            Some(interpreter)
        }
        _ => Some(path).filter(|path| !path.is_empty()),
    }
}

/// Paths given to execve and where their links lead, for processes in our own PID namespace: they see the
/// files we see. Asked again after a while, since links are changed.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    resolved: HashMap<String, (Option<String>, Instant)>,
    own_namespace: Option<u32>,
}

impl Paths {
    const PATHS_MAX: usize = 4096;
    const FRESH: Duration = Duration::from_secs(60);

    /// The path without links, as /proc/PID/exe would show it; none if it cannot be told.
    fn resolved(&mut self, given: &str, pid_namespace: u32) -> Option<String> {
        if !given.starts_with('/') {
            return None;
        }
        let own = *self
            .own_namespace
            .get_or_insert_with(|| process::pid_namespace(std::process::id()).unwrap_or(0));
        if own != pid_namespace {
            return Some(given.to_owned());
        }
        if let Some((path, when)) = self.resolved.get(given)
            && when.elapsed() < Self::FRESH
        {
            return path.clone();
        }
        if self.resolved.len() >= Self::PATHS_MAX {
            self.resolved.clear();
        }
        let path = std::fs::canonicalize(given).ok().and_then(|path| path.to_str().map(str::to_owned));
        // A program that is gone by now was at the path it was given by.
        let path = path.or_else(|| Some(given.to_owned()));
        self.resolved.insert(given.to_owned(), (path.clone(), Instant::now()));
        path
    }
}

/// What filters are asked about.
pub(crate) fn facts_of(identity: Option<&Identity>, pid_namespace: Option<u32>) -> Facts<'_> {
    let unknown = Facts {
        cgroups: Fact::Unknown,
        container_id: Fact::Unknown,
        executable: Fact::Unknown,
        pid_namespace: pid_namespace.map_or(Fact::Unknown, Fact::Is),
    };
    let Some(identity) = identity else { return unknown };
    Facts {
        cgroups: identity.cgroups.as_deref().map_or(Fact::Unknown, Fact::Is),
        container_id: identity.container_id.as_deref().map_or(Fact::None, Fact::Is),
        executable: match &identity.executable_path {
            Some(path) => Fact::Is(path),
            None if identity.kernel_thread => Fact::None,
            None => Fact::Unknown,
        },
        ..unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::ProcessKey;

    fn exec(path: &str, arguments: &str, environment: &str, cgroup: &[&str]) -> ExecEvent {
        let nul = |text: &str| text.replace(' ', "\0").into_bytes();
        ExecEvent {
            process: ProcessKey { pid: 7, start_ns: 1 },
            time_ns: 0,
            cgroup_id: 1,
            cgroup_v1_id: 0,
            pid_namespace: 0,
            comm: "comm".into(),
            path: path.into(),
            cgroup: cgroup.iter().map(|name| (*name).to_owned()).collect(),
            cgroup_v1: Vec::new(),
            arguments: nul(arguments),
            environment: nul(environment),
        }
    }

    #[test]
    #[rustfmt::skip]
    fn an_exec_event_says_who_a_process_is() {
        let cases = [
            ("/usr/bin/shop", "shop -v", "A=b", "/usr/bin/shop", "shop", "shop"),
            ("/usr/bin/shop", "shop -v", "OTEL_SERVICE_NAME=cart", "/usr/bin/shop", "shop", "cart"),
            ("/usr/bin/python3.11", "python3 /srv/worker.py", "", "/usr/bin/python3.11", "python3.11", "worker.py"),
            ("/srv/run.sh", "/bin/bash /srv/run.sh x", "", "/bin/bash", "bash", "run.sh"),
            ("/srv/run.sh", "/bin/bash -e /srv/run.sh x", "", "/bin/bash", "bash", "run.sh"),
            ("./shop", "./shop", "", "", "shop", "shop"),
            ("", "", "", "", "comm", "comm"),
        ];
        for (path, arguments, environment, want_path, want_name, want_service) in cases {
            let identity = Identity::of_exec(&exec(path, arguments, environment, &[]), &mut Paths::default());
            let got = (identity.executable_path.as_deref().unwrap_or(""), identity.executable_name.as_deref(), identity.service_name.as_deref());
            assert_eq!(got, (want_path, Some(want_name), Some(want_service)), "{path} {arguments}");
        }
    }

    #[test]
    fn an_exec_event_names_the_container() {
        let id = "3f4a".repeat(16);
        let scope = format!("cri-containerd-{id}.scope");
        let names = [scope.as_str(), "kubepods-pod1.slice", "kubepods.slice"];
        let identity = Identity::of_exec(&exec("/a", "a", "", &names), &mut Paths::default());
        assert_eq!(identity.container_id.as_deref(), Some(id.as_str()));
        assert_eq!(identity.cgroups, None, "there may be further names");
        let identity = Identity::of_exec(&exec("/a", "a", "", &names[1..]), &mut Paths::default());
        assert_eq!(identity.cgroups.unwrap()[0], "/kubepods.slice/kubepods-pod1.slice");
    }
}
