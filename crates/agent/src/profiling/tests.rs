//! The receiver over a made-up sampler.

use std::collections::VecDeque;

use hearth_collector::confmap::parse;
use hearth_collector::decode::{Problems, read_section};
use hearth_collector::{BuildInfo, ComponentId, ConsumeError, Metrics};
use hearth_profile::{Attributes, Profile, ResourceProfiles, Sample};
use hearth_sampler::{Budgets, Event, Filters, Pattern, Rule, SampleAttributes};

use super::*;

fn read(yaml: &str) -> (Result<ProfilingSettings, OutOfRange>, Problems) {
    let mut problems = Problems::default();
    let settings = read_section(&parse(yaml).unwrap(), &mut problems, ProfilingConfig::read);
    (settings, problems)
}

fn all(problems: Problems) -> Vec<String> {
    let written = problems.invalid.into_iter().chain(problems.warnings);
    let mut all = problems.decode;
    all.extend(written.map(|remark| format!("{}: {}", remark.path, remark.message)));
    all
}

#[test]
fn defaults_are_the_originals() {
    let (settings, problems) = read("");
    let want = ProfilingSettings {
        samples_per_second: 20,
        reporter_interval: Duration::from_secs(5),
        reporter_jitter: 0.2,
        error_mode: ErrorMode::Propagate,
        sampling: SamplingSettings::default(),
    };
    assert_eq!((settings, all(problems)), (Ok(want), Vec::new()));
}

#[test]
fn every_key_of_the_original_at_its_default_is_silent() {
    let (settings, problems) = read(
        "{reporter_interval: 5s, reporter_jitter: 0.2, monitor_interval: 5s, samples_per_second: 20, frame_cache_size: 16384,
          probabilistic_interval: 1m, probabilistic_threshold: 100, interpreters: {python: {disabled: false}, go: {disabled: false, labels: true}, ruby: {skip_native_resume: false}},
          clock_sync_interval: 3m, send_error_frames: false, send_idle_frames: false, filter_min_process_age: 0, verbose_mode: false,
          off_cpu_threshold: 0, include_env_vars: '', map_scale_factor: 0, bpf_verifier_log_level: 0, no_kernel_version_check: false,
          max_grpc_retries: 5, max_rpc_msg_size: 33554432, bpf_fs_root: /sys/fs/bpf/, error_mode: propagate, obi_process_ctx: false,
          pid_namespace_translation: false, pin_cpu_ids: '', probes: []}",
    );
    assert!(settings.is_ok());
    assert_eq!(all(problems), Vec::<String>::new());
}

#[test]
#[rustfmt::skip]
fn every_other_value_is_answered_by_name() {
    let cases = [
        ("samples_per_second: 0",        "samples_per_second: 0 is out of range; expected 1 to 1000 per CPU"),
        ("samples_per_second: 1001",     "samples_per_second: 1001 is out of range; expected 1 to 1000 per CPU"),
        ("samples_per_second: x",        "'samples_per_second' expected type 'uint32', got unconvertible type 'string'"),
        ("samples_per_second: -1",       "'samples_per_second' cannot parse value as 'uint32': -1 is out of range"),
        ("reporter_interval: 1ms",       "reporter_interval: 1ms is out of range; expected 100ms to 1h"),
        ("reporter_jitter: 1.5",         "reporter_jitter: 1.5 is out of range; expected 0 to 1"),
        ("error_mode: panic",            "error_mode: \"panic\" is out of range; expected propagate or ignore"),
        ("event: instructions",          "event: \"instructions\" is out of range; expected cpu-clock or cycles"),
        ("limits: {table_memory_mib: 256}", "limits::table_memory_mib: 256 is out of range; expected 1 to 255 MiB"),
        ("limits: {user_memory_mib: 1}", "limits::user_memory_mib: 1 is out of range; expected 4 to 1024 MiB"),
        ("limits: {preparation_cpu_percent: 0}", "limits::preparation_cpu_percent: 0 is out of range; expected 1 to 100 percent of one core"),
        ("limits: {memory: 1}",          "'limits' has invalid keys: memory"),
        ("filters: {include: x}",        "filters::include: expected a list of rules"),
        ("filters: {include: [{}]}",     "filters: a rule without a condition; expected cgroup, container_id, executable or pid_namespace"),
        ("filters: {exclude: [{executable: ''}]}", "filters::exclude[0]::executable: a pattern of 0 bytes; expected 1 to 4096"),
        ("filters: {exclude: [{exe: /bin/a, pid_namespace: 7}]}", "'filters.exclude[0]' has invalid keys: exe"),
        ("sample_per_second: 20",        "'' has invalid keys: sample_per_second"),
        ("off_cpu_threshold: 0.1",       "off_cpu_threshold: not implemented by Hearth yet, has no effect; only on-CPU time is sampled"),
        ("probabilistic_threshold: 50",  "probabilistic_threshold: not supported yet by Hearth; lower samples_per_second instead"),
        ("pin_cpu_ids: 0-3",             "pin_cpu_ids: not supported yet by Hearth; every online CPU is sampled; remove it"),
        ("frame_cache_size: 1024",       "frame_cache_size: not implemented by Hearth yet, has no effect; Hearth has no such part; remove it"),
        ("probes: [{type: kprobe}]",     "probes: not implemented by Hearth yet, has no effect; only on-CPU time is sampled"),
        ("interpreters: {go: {disabled: true}}", "interpreters::go::disabled: not implemented by Hearth yet, has no effect; Go code is sampled as native code"),
        ("interpreters: {lua: {}}",      "'interpreters' has invalid keys: lua"),
        ("tracers: all",                 "tracers: removed from the profiling receiver, has no effect; remove it"),
        ("probe_links: []",              "probe_links: removed from the profiling receiver, has no effect; remove it"),
        ("load_probe: true",             "load_probe: removed from the profiling receiver, has no effect; remove it"),
    ];
    for (yaml, want) in cases {
        let (_, problems) = read(yaml);
        assert_eq!(all(problems), [want], "{yaml}");
    }
}

#[test]
fn keys_of_our_own_go_to_the_sampler() {
    let (settings, problems) = read(
        "{event: cycles, sample_attributes: {thread_id: true, thread_name: true, cpu: true},
          filters: {include: [{cgroup: /system.slice/**}, {container_id: 3f4a3f4a3f4a}], exclude: [{executable: /usr/bin/*, pid_namespace: 7}]},
          limits: {table_memory_mib: 16, user_memory_mib: 8, preparation_cpu_percent: 5}}",
    );
    assert_eq!(all(problems), Vec::<String>::new());
    let pattern = |text| Some(Pattern::new(text).unwrap());
    let want = SamplingSettings {
        event: Event::Cycles,
        attributes: SampleAttributes { thread_id: true, thread_name: true, cpu: true },
        filters: Filters {
            include: vec![
                Rule { cgroup: pattern("/system.slice/**"), ..Rule::default() },
                Rule { container_id: pattern("3f4a3f4a3f4a"), ..Rule::default() },
            ],
            exclude: vec![Rule {
                executable: pattern("/usr/bin/*"),
                pid_namespace: Some(7),
                ..Rule::default()
            }],
        },
        budgets: Budgets { table_bytes: 16 << 20, user_bytes: 8 << 20, preparation_percent: 5 },
    };
    assert_eq!(settings.unwrap().sampling, want);
}

/// Collections from a list, then empty ones.
struct Script(Mutex<VecDeque<Collection>>);

impl ProfileSource for Script {
    fn collect(&self) -> Collection {
        let empty = Collection { batch: ProfileBatch::default(), samples: 0, lost: Vec::new() };
        self.0.lock().unwrap().pop_front().unwrap_or(empty)
    }
}

#[derive(Default)]
struct Sink(Mutex<Vec<Arc<ProfileBatch>>>, bool);

#[async_trait]
impl Consumer for Sink {
    async fn consume(&self, batch: Arc<ProfileBatch>) -> Result<(), ConsumeError> {
        self.0.lock().unwrap().push(batch);
        if self.1 { Err(ConsumeError::retryable("sending queue is full")) } else { Ok(()) }
    }
}

fn collection(samples: usize, lost: Vec<(&'static str, u64)>) -> Collection {
    let profile = Profile { samples: vec![Sample::default(); samples], ..Profile::default() };
    let mut batch = ProfileBatch::default();
    let named: Attributes = [("host.name", "guest")].into_iter().collect();
    for resource in [Attributes::default(), named] {
        batch.resources.push(ResourceProfiles {
            resource,
            profiles: vec![profile.clone()],
            ..ResourceProfiles::default()
        });
    }
    Collection { batch, samples: samples as u64, lost }
}

fn receiver(
    yaml: &str,
    script: Result<Vec<Collection>, String>,
    sink: Arc<Sink>,
) -> (Arc<dyn Receiver>, Metrics) {
    let script = Mutex::new(Some(script));
    let start: StartSource = Arc::new(move |_| {
        let collections = script.lock().unwrap().take().unwrap()?;
        Ok(Box::new(Script(Mutex::new(collections.into()))))
    });
    let factory = factory_over(start);
    let create = read_section(&parse(yaml).unwrap(), &mut Problems::default(), &factory.configure);
    let metrics = Metrics::new("t", "1", "i");
    let build = BuildInfo { command: "t".into(), description: "t".into(), version: "1".into() };
    let context = Context { id: ComponentId::parse("profiling").unwrap(), metrics: metrics.clone(), build };
    (create(context, sink).unwrap(), metrics)
}

#[tokio::test]
async fn batches_carry_the_host_and_losses_are_counted() {
    let sink = Arc::new(Sink::default());
    let script = vec![collection(3, vec![("sample ring full", 7)]), collection(1, Vec::new())];
    let (receiver, metrics) = receiver("{reporter_interval: 100ms}", Ok(script), Arc::clone(&sink));
    receiver.start().await.unwrap();
    while sink.0.lock().unwrap().len() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    receiver.shutdown().await.unwrap();
    let batches = sink.0.lock().unwrap();
    let host = host_name().unwrap();
    assert_eq!(batches[0].resources[0].resource.get_str("host.name"), Some(host.as_str()));
    assert_eq!(batches[0].resources[1].resource.get_str("host.name"), Some("guest"));
    let text = metrics.render();
    assert!(
        text.contains(
            "otelcol_receiver_accepted_profile_samples{receiver=\"profiling\",transport=\"bpf\"} 8\n"
        ),
        "{text}"
    );
    assert!(
        text.contains(
            "otelcol_receiver_lost_profile_samples{reason=\"sample ring full\",receiver=\"profiling\"} 7\n"
        ),
        "{text}"
    );
}

#[tokio::test]
async fn the_last_samples_are_handed_over_at_shutdown_and_refusals_counted() {
    let sink = Arc::new(Sink(Mutex::default(), true));
    let (receiver, metrics) =
        receiver("{reporter_interval: 1h}", Ok(vec![collection(2, Vec::new())]), Arc::clone(&sink));
    receiver.start().await.unwrap();
    receiver.shutdown().await.unwrap();
    assert_eq!(sink.0.lock().unwrap().len(), 1);
    let text = metrics.render();
    assert!(
        text.contains(
            "otelcol_receiver_refused_profile_samples{receiver=\"profiling\",transport=\"bpf\"} 4\n"
        ),
        "{text}"
    );
}

#[tokio::test]
async fn a_sampler_that_cannot_start_ends_the_start_unless_ignored() {
    let why = "not permitted to load BPF programs: missing CAP_BPF; run as root";
    let (strict, _) = receiver("", Err(why.into()), Arc::default());
    assert_eq!(strict.start().await.unwrap_err().to_string(), why);
    let (lenient, _) = receiver("{error_mode: ignore}", Err(why.into()), Arc::default());
    lenient.start().await.unwrap();
    lenient.shutdown().await.unwrap();
}
