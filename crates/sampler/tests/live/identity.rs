//! Who a process is: also if it lives for milliseconds, lost its main thread or has a used process id.

use super::*;

/// Burns for some milliseconds and ends.
const SHORT: &str = r"
#include <stdint.h>
volatile uint64_t sink;
void burn(uint64_t n) { for (uint64_t i = 0; i < n; i++) sink += i; }
int main(void) { burn(12000000); return 0; }
";

/// The main thread ends, another goes on.
const ORPHAN: &str = r"
#include <pthread.h>
#include <stdint.h>
volatile uint64_t sink;
void burn(void) { for (;;) sink++; }
void *run(void *arg) { burn(); return arg; }
int main(void) { pthread_t thread; pthread_create(&thread, 0, run, 0); pthread_exit(0); }
";

/// Forks a child that burns and executes nothing.
const FORKS: &str = r"
#include <stdint.h>
#include <unistd.h>
#include <sys/wait.h>
volatile uint64_t sink;
void burn(void) { for (uint64_t i = 0; i < 200000000; i++) sink++; }
int main(void) { for (;;) { if (!fork()) { burn(); _exit(0); } wait(0); } }
";

fn weight_by(batch: &ProfileBatch, key: &str) -> HashMap<String, i64> {
    let mut weights = HashMap::new();
    for resource in &batch.resources {
        let value = resource.resource.get_str(key).unwrap_or("").to_owned();
        *weights.entry(value).or_insert(0) += resource.profiles.iter().map(|p| p.total()).sum::<i64>();
    }
    weights
}

fn of_executable<'b>(batch: &'b ProfileBatch, name: &str) -> Vec<&'b ResourceProfiles> {
    let is =
        |resource: &&ResourceProfiles| resource.resource.get_str("process.executable.name") == Some(name);
    batch.resources.iter().filter(is).collect()
}

#[test]
fn a_process_of_milliseconds_has_its_service_name_and_executable() {
    let _turn = take_turn();
    let Some(binary) = compile("short", SHORT) else { return };
    for way in WAYS {
        let Some(sampler) = start(Target::Host, way) else { return };
        for _ in 0..10 {
            let mut command = Command::new(&binary);
            command.env("OTEL_SERVICE_NAME", "cart").env("OTEL_RESOURCE_ATTRIBUTES", "team=shop");
            command.status().unwrap();
        }
        let batch = sampler.collect().batch;
        let processes = of_executable(&batch, "short");
        assert!(processes.len() >= 8, "{way:?}: {:?}", weight_by(&batch, "process.executable.name"));
        let is_whole = |process: &&&ResourceProfiles| {
            let text = |key| process.resource.get_str(key);
            (text("service.name"), text("team")) == (Some("cart"), Some("shop"))
                && text("process.executable.path") == binary.to_str()
        };
        // On a busy machine one of the events of these ten may be lost, which is counted.
        let whole = processes.iter().filter(is_whole).count();
        assert!(whole + 1 >= processes.len(), "{way:?}: {:?}", weight_by(&batch, "service.name"));
    }
}

#[test]
fn a_script_is_named_by_itself_and_its_interpreter() {
    let _turn = take_turn();
    let script = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("nightly.sh");
    std::fs::write(&script, "#!/bin/sh\ni=0; while [ $i -lt 20000 ]; do i=$((i+1)); done\n").unwrap();
    Command::new("chmod").arg("+x").arg(&script).status().unwrap();
    let Some(sampler) = start(Target::Host, WAYS[0]) else { return };
    for _ in 0..10 {
        Command::new(&script).status().unwrap();
    }
    let batch = sampler.collect().batch;
    let services = weight_by(&batch, "service.name");
    assert!(services.contains_key("nightly.sh"), "{services:?}");
    let is_script =
        |resource: &&ResourceProfiles| resource.resource.get_str("service.name") == Some("nightly.sh");
    let shell = std::fs::canonicalize("/bin/sh").unwrap();
    for process in batch.resources.iter().filter(is_script) {
        assert_eq!(process.resource.get_str("process.executable.path"), shell.to_str());
    }
}

#[test]
fn a_forked_child_is_what_its_parent_is() {
    let _turn = take_turn();
    let Some(binary) = compile("forks", FORKS) else { return };
    for way in WAYS {
        let Some(sampler) = start(Target::Host, way) else { return };
        let parent = spawn(Command::new(&binary).env("OTEL_SERVICE_NAME", "workers"));
        sleep(RUN);
        let batch = sampler.collect().batch;
        drop(parent);
        let processes = of_executable(&batch, "forks");
        let burning: Vec<_> =
            processes.iter().filter(|process| process.profiles.iter().any(|p| p.total() > 20)).collect();
        assert!(!burning.is_empty(), "{way:?}: {:?}", weight_by(&batch, "process.executable.name"));
        for process in burning {
            assert_eq!(process.resource.get_str("service.name"), Some("workers"));
            let pid = process.resource.get("process.pid").unwrap().to_string().parse().unwrap();
            let paths = paths(&batch, pid);
            assert!(weight_of(&paths, "main;burn") > 0, "{way:?}: {paths:#?}");
        }
    }
}

#[test]
fn threads_that_outlive_the_main_thread_keep_name_and_functions() {
    let _turn = take_turn();
    let Some(binary) = compile_with("orphan", ORPHAN, &["-fomit-frame-pointer", "-pthread"]) else { return };
    for way in WAYS {
        let orphan = spawn(Command::new(&binary).env("OTEL_SERVICE_NAME", "lasting"));
        // The sampler meets it when only the thread is left.
        sleep(Duration::from_millis(200));
        let Some(sampler) = start(Target::Processes(vec![orphan.0.id()]), way) else { return };
        sleep(RUN);
        let batch = sampler.collect().batch;
        let resource = &resource_of(&batch, orphan.0.id()).expect("it runs").resource;
        assert_eq!(resource.get_str("process.executable.path"), binary.to_str(), "{way:?}");
        assert_eq!(resource.get_str("service.name"), Some("lasting"), "{way:?}");
        let paths = paths(&batch, orphan.0.id());
        let all: i64 = paths.values().sum();
        assert!(weight_of(&paths, "run;burn") * 100 >= all * 95, "{way:?}: {paths:#?}");
    }
}

#[test]
fn a_process_id_that_is_used_again_is_another_process() {
    let _turn = take_turn();
    let (Some(first), Some(second)) = (compile("former", SHORT), compile("latter", SHORT)) else { return };
    let Some(sampler) = start(Target::Host, WAYS[0]) else { return };
    for _ in 0..50 {
        let mut child = Command::new(&first).spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        if std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).is_err() {
            println!("skipped: process ids cannot be chosen here (CAP_CHECKPOINT_RESTORE)");
            return;
        }
        let mut child = Command::new(&second).spawn().unwrap();
        let is_same = child.id() == pid;
        child.wait().unwrap();
        if !is_same {
            continue;
        }
        let batch = sampler.collect().batch;
        let number = i64::from(pid);
        let names: Vec<_> = batch
            .resources
            .iter()
            .filter(|resource| {
                resource.resource.get("process.pid").unwrap().to_string() == number.to_string()
            })
            .filter_map(|resource| resource.resource.get_str("process.executable.name"))
            .collect();
        assert!(names.contains(&"former") && names.contains(&"latter"), "{names:?}");
        return;
    }
    println!("skipped: others took the process id every time");
}
