#![no_main]
//! What a process says about itself in /proc.

use hearth_sampler::process::{
    RESOURCE_ATTRIBUTES_MAX, interpreted_name, kernel_thread_family, parse_cgroup, parse_environ,
    parse_maps_line, parse_stat, service_name,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(stat) = parse_stat(data) {
        let _ = kernel_thread_family(&stat.comm);
    }
    if let Some(entry) = parse_maps_line(data) {
        assert!(entry.start < entry.end);
        let _ = entry.is_file();
    }
    let cgroup = parse_cgroup(data);
    assert!(cgroup.container_id.is_none() || cgroup.systemd_unit.is_none());
    let environment = parse_environ(data);
    assert!(environment.attributes.len() <= RESOURCE_ATTRIBUTES_MAX);
    let arguments: Vec<String> =
        data.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect();
    for executable in ["python3", "node", "java", "sh", "php", "busybox", arguments[0].as_str()] {
        if let Some(name) = interpreted_name(executable, &arguments) {
            assert!(!name.is_empty() && !name.contains('/'));
        }
        let (name, _) = service_name(&environment, executable, &arguments, None);
        assert!(!name.is_empty() || executable.is_empty());
    }
});
