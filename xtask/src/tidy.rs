//! The rules of the tree, checked: who may depend on whom, what the pure crates must not touch,
//! that every module says what it is for, and where `unsafe` may stand.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Crates by layer, lowest first. A crate may depend only on crates of lower layers.
const LAYERS: [&[&str]; 5] = [
    &["profile", "objfile"],
    &["codec", "unwind", "symbolize", "block"],
    &["sampler", "collector", "store", "query"],
    &["agent", "server"],
    &["hearth"],
];

/// Layers 1 and 2 are pure.
const PURE_LAYERS: usize = 2;

/// What a pure crate must not name, with the reason.
const IMPURE: [(&str, &str); 11] = [
    ("std::fs", "I/O"),
    ("std::net", "I/O"),
    ("std::process", "I/O"),
    ("std::env", "I/O"),
    ("File::open", "I/O"),
    ("SystemTime::now", "a clock"),
    ("Instant::now", "a clock"),
    ("tokio::", "async"),
    ("async fn", "async"),
    ("tracing::", "logging"),
    ("unsafe ", "unsafe code"),
];

/// Checks every rule and reports all violations at once.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let mut problems = Vec::new();
    check_direction(root, &mut problems)?;
    let mut files = Vec::new();
    for folder in ["crates", "benches", "e2e", "xtask", "fuzz"] {
        rust_files(&root.join(folder), &mut files);
    }
    for file in &files {
        let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        check_file(file.strip_prefix(root).unwrap_or(file), &text, &mut problems);
    }
    if problems.is_empty() {
        crate::say(&format!("tidy: {} files, {} crates, no problems\n", files.len(), layer_of().len()));
        return Ok(());
    }
    problems.sort();
    Err(format!("tidy: {} problems\n{}", problems.len(), problems.join("\n")))
}

fn layer_of() -> HashMap<&'static str, usize> {
    let numbered = LAYERS.iter().enumerate();
    numbered.flat_map(|(layer, names)| names.iter().map(move |name| (*name, layer))).collect()
}

/// Dependencies point down only; siblings never see each other.
fn check_direction(root: &Path, problems: &mut Vec<String>) -> Result<(), String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
    let layers = layer_of();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = crate_name(&package["name"]);
        let Some(&layer) = layers.get(name) else {
            if package["manifest_path"].as_str().is_some_and(|path| path.contains("/crates/"))
                && name != "testkit"
            {
                problems.push(format!("crates/{name}: not in a layer; a new crate needs an ADR"));
            }
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let target = crate_name(&dependency["name"]);
            let is_dev = dependency["kind"] == "dev";
            match layers.get(target) {
                Some(&below) if below >= layer && target != name && !is_dev => problems.push(format!(
                    "crates/{name} (layer {}) depends on {target} (layer {}); dependencies point down only",
                    layer + 1,
                    below + 1
                )),
                None if target == "testkit" && !is_dev => {
                    problems.push(format!("crates/{name} depends on testkit outside tests"));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn crate_name(name: &serde_json::Value) -> &str {
    let name = name.as_str().unwrap_or("");
    name.strip_prefix("hearth-").unwrap_or(name)
}

fn check_file(path: &Path, text: &str, problems: &mut Vec<String>) {
    let shown = path.display();
    if !text.trim_start_matches("#![no_main]").trim_start().starts_with("//!") {
        problems.push(format!("{shown}:1: the module does not say what it is for (`//!`)"));
    }
    let mut parts = path.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
    let (in_crates, name) = (parts.next().as_deref() == Some("crates"), parts.next().unwrap_or_default());
    let is_test = path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests");
    let in_source = in_crates && !is_test && parts.next().as_deref() == Some("src");
    let pure = LAYERS[..PURE_LAYERS].iter().any(|layer| layer.contains(&name.as_str()));
    let may_be_unsafe = name == "sampler" && shown.to_string().contains("/sys");
    for (index, line) in text.lines().enumerate() {
        if in_source && line.trim() == "#[cfg(test)]" {
            break;
        }
        let code = line.split("//").next().unwrap_or("");
        if in_source && pure {
            for (word, what) in IMPURE {
                if code.contains(word) {
                    problems.push(format!("{shown}:{}: {what} ({word}) in a pure crate", index + 1));
                }
            }
        }
        if in_crates && !may_be_unsafe && (code.contains("unsafe {") || code.contains("unsafe impl")) {
            problems.push(format!("{shown}:{}: unsafe outside the sampler's sys module", index + 1));
        }
    }
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() && !path.ends_with("target") {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn each_rule_finds_its_violation() {
        let cases = [
            ("crates/profile/src/a.rs", "//! Doc.\nuse std::fs;",               "I/O (std::fs) in a pure crate"),
            ("crates/codec/src/a.rs",   "//! Doc.\nlet t = Instant::now();",    "a clock"),
            ("crates/server/src/a.rs",  "//! Doc.\nlet x = unsafe { f() };",    "unsafe outside"),
            ("crates/server/src/a.rs",  "use std::fs;",                         "does not say what it is for"),
            ("crates/profile/src/a.rs", "//! Doc.\n// std::fs is not used",     ""),
            ("crates/profile/src/a.rs", "//! Doc.\n#[cfg(test)]\nuse std::fs;", ""),
            ("crates/profile/src/tests.rs", "//! Doc.\nuse std::fs;",           ""),
            ("crates/sampler/src/sys.rs", "//! Doc.\nlet x = unsafe { f() };",  ""),
        ];
        for (path, text, want) in cases {
            let mut problems = Vec::new();
            check_file(Path::new(path), text, &mut problems);
            assert!(if want.is_empty() { problems.is_empty() } else { problems.join(" ").contains(want) }, "{path}: {problems:?}");
        }
    }
}
