//! Tests of cgroup spellings: our table, and the corpus with another agent's answers.

use std::path::{Path, PathBuf};

use super::*;

const ID: &str = "63425c4a8b4291744a79dd9011fddc7a1f8ffda61f65d72196aa01d00cae2e2d";
const OTHER: &str = "b43d92bf1e5c6f78bb9b7bc6f40721280299855ba692092716e3a1b6c0b86f3f";

fn facts(text: &str) -> (Option<String>, Option<String>) {
    let facts = parse_cgroup(text.replace("ID", ID).replace("OTHER", OTHER).as_bytes());
    (facts.container_id, facts.systemd_unit)
}

#[test]
#[rustfmt::skip]
fn containers_are_found_in_every_spelling() {
    let cases = [
        ("docker, cgroupfs", "/docker/ID"),
        ("docker, systemd", "/system.slice/docker-ID.scope"),
        ("docker in another slice", "/machine.slice/docker-ID.scope"),
        ("rootless docker", "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope"),
        ("kubepods, cgroupfs", "/kubepods/burstable/pod6a4ce4a0-ba47-11ea-b2a7-0cc47ac5979e/ID"),
        ("pod without dashes", "/kubepods/burstable/pod9729a196c4723b60ab401eaff722982d/ID"),
        ("process in a child cgroup", "/kubepods/besteffort/pod0d08203e-255a-11e9-8cd9-0007cb0b2cc8/ID/kube-proxy"),
        ("containerd, systemd", "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod2942c55e_c9cb.slice/cri-containerd-ID.scope"),
        ("containerd, mixed", "/system.slice/containerd.service/kubepods-burstable-pod4ed0_0df8.slice:cri-containerd:ID"),
        ("containerd, ctr", "/default/ID"),
        ("nerdctl", "/system.slice/nerdctl-ID.scope"),
        ("CRI-O, cgroupfs", "/kubepods/poda48c12e8-255a-11e9-8cd9-0007cb0b2cc8/crio-ID"),
        ("CRI-O, systemd, child", "/kubepods.slice/kubepods-podea19.slice/crio-ID.scope/container"),
        ("podman", "/machine.slice/libpod-ID.scope/container"),
        ("podman, rootless", "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope"),
        ("podman, old", "/libpod_parent/libpod-ID"),
        ("nested: the innermost", "/docker/OTHER/kubepods/besteffort/pod1/ID"),
        ("from inside a cgroup namespace", "/../../../../system.slice/docker-ID.scope"),
        ("ECS on EC2", "/ecs/0410eff2-7e59-4111-823e-1e0d98ef7f30/ID"),
    ];
    for (case, path) in cases {
        for line in [format!("0::{path}\n"), format!("4:memory:{path}"), format!("9:name=systemd:/\n2:cpu:{path}\n1:x:/\n")] {
            assert_eq!(facts(&line), (Some(ID.into()), None), "{case}: {line}");
        }
    }
    let fargate = "0::/ecs/8f67f6bb7bd844a19a1d1c0e9c8b7f0e/8f67f6bb7bd844a19a1d1c0e9c8b7f0e-3681984407\n";
    assert_eq!(facts(fargate).0.as_deref(), Some("8f67f6bb7bd844a19a1d1c0e9c8b7f0e-3681984407"));
}

#[test]
#[rustfmt::skip]
fn what_runs_beside_containers_is_not_in_them() {
    for path in [
        "/", "/init.scope", "/machine.slice/libpod-conmon-ID.scope", "/kubepods/pod1/crio-conmon-ID", "/conmon-ID",
        "/docker/ID0", "/docker/short", "/docker/63425C4A8B4291744A79DD9011FDDC7A1F8FFDA61F65D72196AA01D00CAE2E2D",
        "/system.slice/run-ra2ddf9594bbf4a1986439b594f89eb0f.scope", "/kubepods/burstable/pod9729a196c4723b60ab401eaff722982d",
        "/system.slice/docker-ID.scope.d", "/ecs/8f67f6bb7bd844a19a1d1c0e9c8b7f0e",
    ] {
        assert_eq!(facts(&format!("0::{path}")).0, None, "{path}");
    }
}

#[test]
#[rustfmt::skip]
fn systemd_services_are_named() {
    let cases = [
        ("0::/system.slice/nginx.service", Some("nginx")),
        ("0::/system.slice/system-postgresql.slice/postgresql@9.4-main.service", Some("postgresql@9.4-main")),
        ("0::/system.slice/a\\x2db.service", Some("a-b")),
        ("0::/system.slice/bad\\x2.service", Some("bad\\x2")),
        ("0::/system.slice/bad\\xzz.service", Some("bad\\xzz")),
        ("1:name=systemd:/system.slice/ssh.service\n0::/", Some("ssh")),
        ("3:cpu:/\n0::/system.slice/nginx.service/worker", Some("nginx")),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/syncthing.service", Some("syncthing")),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-term.scope", None),
        ("0::/user.slice/user-1000.slice/session-3.scope", None),
        ("0::/system.slice/.service", None),
        ("0::/system.slice/docker-ID.scope\n1:name=systemd:/system.slice/docker.service", None),
    ];
    for (text, want) in cases {
        assert_eq!(facts(text).1.as_deref(), want, "{text}");
    }
}

#[test]
fn other_texts_say_nothing() {
    for text in ["", "\n", ":", "::", "0:", "0::", "0::x", "garbage", "0::/é/ü"] {
        assert_eq!(facts(text), (None, None), "{text:?}");
    }
    assert_eq!(parse_cgroup(&[0xff; 4096]), CgroupFacts::default());
    assert_eq!(parse_cgroup("/".repeat(100_000).as_bytes()), CgroupFacts::default());
}

fn corpora() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora");
    if folder.is_dir() {
        return Some(folder);
    }
    print_line(&format!("skipped: {} is absent", folder.display()));
    None
}

fn print_line(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// `key`'s string in each object of the corpus's JSON, which is one `"key": value` a line.
fn objects(text: &str, first_key: &str) -> Vec<Vec<(String, String)>> {
    let mut objects: Vec<Vec<(String, String)>> = Vec::new();
    for line in text.lines() {
        let Some((key, value)) = line.trim().trim_end_matches(',').split_once(": ") else { continue };
        let (key, value) = (key.trim_matches('"').to_owned(), value.trim_matches('"').replace("\\\\", "\\"));
        if key == first_key {
            objects.push(Vec::new());
        }
        if let Some(object) = objects.last_mut() {
            object.push((key, value));
        }
    }
    objects
}

fn get<'a>(object: &'a [(String, String)], key: &str) -> &'a str {
    object.iter().find(|(known, _)| known == key).map_or("", |(_, value)| value)
}

/// What the corpus's answer means here: it calls services and LXC guests containers too.
fn expected_id(object: &[(String, String)], id_key: &str) -> Option<String> {
    let id = get(object, id_key);
    (id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| id.to_owned())
}

#[test]
fn the_corpus_is_answered_as_expected() {
    let Some(corpora) = corpora() else { return };
    let text = std::fs::read_to_string(corpora.join("expected/cgroup_ids.json")).unwrap();
    let (paths, files) = text.split_once("\"proc_files\"").unwrap();
    let paths = objects(paths, "cgroup");
    assert!(paths.len() > 20, "{}", paths.len());
    for object in &paths {
        let path = get(object, "cgroup");
        // The other agent ignores a containerd container outside Kubernetes; it is one all the same.
        let ours = path.contains("/system.slice/cri-containerd-");
        let want = if ours { path.get(29..93).map(str::to_owned) } else { expected_id(object, "id") };
        assert_eq!(parse_cgroup(format!("0::{path}").as_bytes()).container_id, want, "{path}");
    }
    let files = objects(files, "file");
    assert!(files.len() > 8, "{}", files.len());
    for object in &files {
        let text = std::fs::read(corpora.join(get(object, "file"))).unwrap();
        let facts = parse_cgroup(&text);
        assert_eq!(facts.container_id, expected_id(object, "container_id"), "{}", get(object, "file"));
        if let Some(unit) = get(object, "cgroup_id")
            .strip_prefix("/system.slice/")
            .and_then(|rest| rest.strip_suffix(".service"))
        {
            assert_eq!(facts.systemd_unit.as_deref(), Some(unit), "{}", get(object, "file"));
        }
    }
}
