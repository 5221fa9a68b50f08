//! Flags and files as people write them, right and wrong.

use std::time::Duration;

use super::*;

fn args(args: &[&str]) -> Result<Config, ConfigError> {
    Config::from_args(args.iter().map(OsString::from))
}

fn file(text: &str) -> Result<Config, String> {
    let mut config = Config::default();
    config.apply_file(text, false)?;
    config.finish();
    Ok(config)
}

#[test]
fn pyroscopes_flags_work_with_one_dash_and_with_two() {
    for dash in ["-", "--"] {
        let config = args(&[
            &format!("{dash}target=all"),
            &format!("{dash}server.http-listen-port=4041"),
            &format!("{dash}auth.multitenancy-enabled"),
            &format!("{dash}self-profiling.disable-push=true"),
            &format!("{dash}data"),
            "/var/lib/hearth",
        ])
        .unwrap();
        assert_eq!((config.listen_port, config.multitenancy), (4041, true));
        assert_eq!(config.data_dir, PathBuf::from("/var/lib/hearth"));
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    }
    let config = args(&["--listen", "[::1]:0"]).unwrap();
    assert_eq!((config.listen_host.as_str(), config.listen_port), ("::1", 0));
}

#[test]
fn flags_without_effect_are_named() {
    let config =
        args(&["-metastore.data-dir", "/x", "-server.grpc-listen-port=9095", "-write-path=x", "--data=d"])
            .unwrap();
    assert_eq!(config.warnings.len(), 3, "{:?}", config.warnings);
    assert!(config.warnings[0].starts_with("-metastore.data-dir "), "{:?}", config.warnings);
    assert_eq!(config.data_dir, PathBuf::from("d"));
}

#[test]
#[rustfmt::skip]
fn wrong_flags_are_refused_by_name() {
    let cases: [(&[&str], &str); 9] = [
        (&["--dta", "x"],                            "unknown flag -dta; did you mean data?"),
        (&["-server.http-listen-prt=1"],             "did you mean server.http-listen-port?"),
        (&["--nonsense"],                            "unknown flag -nonsense; --help"),
        (&["-server.http-listen-port=65536"],        "expected a whole number from 0 to 65535"),
        (&["-target=ingester"],                      "\"ingester\" is not supported; expected all"),
        (&["-storage.backend=s3"],                   "\"s3\" is not supported; expected filesystem"),
        (&["--data"],                                "needs a value"),
        (&["serve"],                                 "without a leading dash"),
        (&["-config.file=/nowhere/x.yaml"],          "configuration file /nowhere/x.yaml: No such file"),
    ];
    for (given, want) in cases {
        let error = args(given).unwrap_err().to_string();
        assert!(error.contains(want), "{given:?}: {error}");
    }
    assert_eq!(args(&["--help"]).unwrap_err(), ConfigError::Help);
}

#[test]
fn the_documented_relabeling_file_works() {
    let config = file(
        "limits:\n  ingestion_relabeling_rules:\n    - action: labelmap\n      regex: ^process.executable.name$\n      \
         replacement: service_name\n",
    )
    .unwrap();
    assert_eq!(config.limits.configured_rules.len(), 1);
    assert!(config.limits.rules.len() > 1);
    let rule = config.limits.rules.last().unwrap();
    assert!(rule.reads("process.executable.name") && !rule.reads("thread.id"));
}

#[test]
fn keys_without_effect_are_named_once() {
    let config = file("metastore:\n  data_dir: /x\nlimits:\n  max_query_lookback: 7d\nserver:\n").unwrap();
    assert_eq!(config.warnings.len(), 2, "{:?}", config.warnings);
    assert!(config.warnings[1].starts_with("limits.max_query_lookback (line 4)"), "{:?}", config.warnings);
}

#[test]
#[rustfmt::skip]
fn wrong_files_are_refused_with_key_and_line() {
    let cases = [
        ("lmits: {}",                                            "line 1: unknown key lmits"),
        ("server:\n  http_listen_prt: 1",                        "line 2: unknown key server.http_listen_prt; did you mean server.http_listen_port?"),
        ("server:\n  http_listen_port: \"4040\"",                "line 2: server.http_listen_port: \"4040\" is not valid"),
        ("server:\n  http_listen_port: yes",                     "expected a whole number"),
        ("multitenancy_enabled: 1",                              "multitenancy_enabled: \"1\" is not valid; expected true or false"),
        ("server: 4040",                                         "server is a single value; expected a mapping"),
        ("limits:\n  retention_period: 31",                      "expected a duration such as"),
        ("limits:\n  ingestion_relabeling_rules:\n  - action: labelmp",  "action: \"labelmp\" is unknown; expected one of replace"),
        ("limits:\n  ingestion_relabeling_rules:\n  - actoin: drop",     "rule 1: unknown key actoin; did you mean action?"),
        ("limits:\n  ingestion_relabeling_rules:\n  - action: replace",  "rule 1: target_label: missing"),
        ("limits:\n  ingestion_relabeling_rules: x",             "expected a list of relabeling rules"),
        ("a: [",                                                 "invalid YAML"),
        ("- a",                                                  "the document is a list; expected a mapping"),
        ("storage:\n  backend: s3",                              "\"s3\" is not supported"),
    ];
    for (text, want) in cases {
        let error = file(text).unwrap_err();
        assert!(error.contains(want), "{text:?}: {error}");
    }
}

#[test]
fn durations_are_read_as_in_prometheus() {
    let config = file("limits: {retention_period: 1d12h, reject_older_than: 0}").unwrap();
    assert_eq!(config.retention, Duration::from_secs(36 * 3600));
    assert_eq!(config.limits.reject_older_than, Duration::ZERO);
    let rules = r#"[{"action": "drop", "source_labels": ["pod"], "regex": "x"}]"#;
    let config = args(&[&format!("-distributor.ingestion-relabeling-rules={rules}")]).unwrap();
    assert_eq!(config.limits.configured_rules.len(), 1);
}

#[test]
#[rustfmt::skip]
fn the_log_is_forced_to_the_disk_as_asked() {
    use hearth_store::SyncPolicy;
    let cases = [
        ("always", Some(SyncPolicy::Always)),
        ("off",    Some(SyncPolicy::Off)),
        ("5ms",    Some(SyncPolicy::Interval(Duration::from_millis(5)))),
        ("0",      None),
        ("11s",    None),
        ("often",  None),
    ];
    for (text, want) in cases {
        let config = args(&["--wal-sync", text]);
        assert_eq!(config.as_ref().ok().map(|config| config.wal_sync), want, "{text}");
        assert!(want.is_some() || config.is_err_and(|error| error.to_string().contains(text)), "{text}");
    }
}

#[test]
#[rustfmt::skip]
fn files_belong_to_the_user_who_called_sudo() {
    use hearth_store::Owner;
    let cases = [
        (Some("1000"), Some("100"), Some(Owner { uid: 1000, gid: 100 })),
        (Some("1000"), None,        None),
        (Some("x"),    Some("100"), None),
        (None,         None,        None),
    ];
    for (uid, gid, want) in cases {
        let variable = |name: &str| if name == "SUDO_UID" { uid } else { gid }.map(str::to_owned);
        assert_eq!(super::invoking_user(variable), want);
    }
}

/// The table of Pyroscope's own tests of rules, if it is there.
fn rule_tables() -> Option<serde_json::Value> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/corpora/tables/pyroscope_ingest_relabel_rules.json"
    );
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

#[test]
fn rules_of_sample_types_are_checked_as_in_pyroscope() {
    let Some(tables) = rule_tables() else {
        println!("skipped: absent: table of Pyroscope's relabeling rules");
        return;
    };
    let cases = tables.pointer("/Test_SampleTypeRelabelRules_Set/0").unwrap().as_array().unwrap();
    assert!(cases.len() >= 5);
    for case in cases {
        let flag = format!("-distributor.sample-type-relabeling-rules={}", case["config"].as_str().unwrap());
        match (args(&[&flag]), case["errContains"].as_str()) {
            (Ok(config), None) => assert_eq!(config.limits.type_rules.len(), 1),
            (Err(error), Some(want)) => assert!(error.to_string().contains(want), "{error}"),
            (other, want) => panic!("{}: {other:?}, expected {want:?}", case["name"]),
        }
    }
}

#[test]
fn rules_of_tenants_stand_where_pyroscope_puts_them() {
    let Some(tables) = rule_tables() else {
        println!("skipped: absent: table of Pyroscope's relabeling rules");
        return;
    };
    let text = tables.pointer("/const tenantOverrideConfig/0/0").unwrap().as_str().unwrap();
    let tenants = Config::default().overrides(text).unwrap();
    let defaults = IngestLimits::default().rules.len();
    let first_is_drop = |config: &Config| {
        config.limits.rules.first().is_some_and(|rule| rule.action() == crate::relabel::Action::Drop)
    };
    let got: Vec<(&str, usize, bool)> = tenants
        .iter()
        .map(|(tenant, config)| (tenant.as_str(), config.limits.rules.len(), first_is_drop(config)))
        .collect();
    assert_eq!(
        got,
        [
            ("nothing", defaults, false),
            ("disabled", 0, false),
            ("custom-rule-end", defaults + 1, false),
            ("custom-rule-start", defaults + 1, true),
            ("custom-rule-only", 1, true),
        ]
    );
}
