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
