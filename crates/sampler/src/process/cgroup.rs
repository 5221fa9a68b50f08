//! `/proc/PID/cgroup`: which container or systemd service a process belongs to.
//!
//! A line is `hierarchy:controllers:path`. Version 2 has one hierarchy, `0::path`; version 1 has one
//! per controller, and `name=systemd` for systemd's own tree; hybrid hosts have both, and only one
//! of them knows about containers. So all paths are looked at.
//!
//! Container runtimes spell a container's cgroup differently, but all put its ID into one
//! component of the path: 64 lower-case hexadecimal digits,
//!
//! ```text
//! /docker/ID                                        docker, cgroupfs
//! /system.slice/docker-ID.scope                     docker, systemd
//! /kubepods/burstable/podUID/ID                     any, cgroupfs
//! /kubepods.slice/…/cri-containerd-ID.scope         containerd, systemd
//! /…/kubepods-burstable-podUID.slice:cri-containerd:ID    containerd, mixed
//! /…/crio-ID.scope                                  CRI-O; crio-conmon-ID.scope is its monitor, outside
//! /machine.slice/libpod-ID.scope/container          podman; libpod-conmon-ID.scope likewise
//! /ecs/TASK/TASK-NUMBER                             Amazon ECS on Fargate: 32 digits, dash, digits
//! ```
//!
//! The last such component is the innermost container, which is the one a process lives in.

/// Lines looked at; hosts have up to 14.
const LINES_MAX: usize = 64;

/// What a process's cgroups say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CgroupFacts {
    /// ID of the innermost container.
    pub container_id: Option<String>,
    /// Name of the innermost systemd service, unescaped, without `.service`. None in a container,
    /// and none for a user's whole session (`user@1000.service`), which says nothing.
    pub systemd_unit: Option<String>,
    /// The paths in all hierarchies, each once.
    pub paths: Vec<String>,
}

/// Parses the text of `/proc/PID/cgroup`. Lines that are not of its form are skipped.
pub fn parse_cgroup(text: &[u8]) -> CgroupFacts {
    let mut paths: Vec<(u8, &str)> = text
        .split(|byte| *byte == b'\n')
        .take(LINES_MAX)
        .filter_map(|line| parse_line(std::str::from_utf8(line).ok()?))
        .collect();
    paths.sort_by_key(|(preference, _)| *preference);
    let container_id = paths.iter().find_map(|(_, path)| container_id(path)).map(str::to_owned);
    let systemd_unit = match container_id {
        Some(_) => None,
        None => paths.iter().find_map(|(_, path)| systemd_unit(path)),
    };
    let mut all: Vec<String> = Vec::new();
    for (_, path) in paths {
        if !all.iter().any(|known| known == path) {
            all.push(path.to_owned());
        }
    }
    CgroupFacts { container_id, systemd_unit, paths: all }
}

/// The path and how much to prefer it (less is better) where hierarchies disagree: those that
/// service managers and runtimes always use come first.
fn parse_line(line: &str) -> Option<(u8, &str)> {
    let mut parts = line.splitn(3, ':');
    let (hierarchy, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    let has = |name: &str| controllers.split(',').any(|controller| controller == name);
    let preference = match hierarchy {
        "0" => 1,
        _ if has("name=systemd") => 0,
        _ if has("memory") || has("cpu") || has("pids") => 2,
        _ => 3,
    };
    path.starts_with('/').then_some((preference, path))
}

/// The ID in the innermost component that has one.
fn container_id(path: &str) -> Option<&str> {
    path.rsplit('/').find_map(component_id)
}

fn component_id(component: &str) -> Option<&str> {
    const ID_DIGITS: usize = 64;
    let component = component.strip_suffix(".scope").unwrap_or(component);
    let last = component.rsplit(':').next().unwrap_or(component);
    let (prefix, id) = last.rsplit_once('-').unwrap_or(("", last));
    if id.len() == ID_DIGITS && is_hex(id) {
        // The monitor of a container runs beside it.
        return (prefix != "conmon" && !prefix.ends_with("-conmon")).then_some(id);
    }
    let is_fargate = prefix.len() == 32
        && is_hex(prefix)
        && !id.is_empty()
        && id.bytes().all(|byte| byte.is_ascii_digit());
    is_fargate.then_some(last)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn systemd_unit(path: &str) -> Option<String> {
    let unit = path.rsplit('/').find_map(|component| component.strip_suffix(".service"))?;
    if unit.is_empty() || unit.starts_with("user@") {
        return None;
    }
    Some(unescaped(unit))
}

/// Replaces systemd's `\xHH`; leaves what is not of that form.
fn unescaped(unit: &str) -> String {
    let mut out = String::with_capacity(unit.len());
    let mut rest = unit;
    while let Some(at) = rest.find("\\x") {
        let byte = rest.get(at + 2..at + 4).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte.filter(u8::is_ascii_graphic) {
            Some(byte) => {
                out.push_str(&rest[..at]);
                out.push(char::from(byte));
                rest = &rest[at + 4..];
            }
            None => {
                out.push_str(&rest[..at + 2]);
                rest = &rest[at + 2..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests;
