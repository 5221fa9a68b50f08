//! Symbols of real files and corpora of names, against what other tools read in them.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test panics to fail and says what it skips")]

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use hearth_objfile::{ElfAddress, FileOffset, ObjectFile, ProcessAddress};
use hearth_profile::FrameKind;
use hearth_symbolize::{FrameSource, KernelSymbols, KernelSymbolsError, SymbolTable, demangle};
use object::ReadCache;

fn corpora() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora");
    if !folder.is_dir() {
        println!("skipped: {} is absent", folder.display());
        return None;
    }
    Some(folder)
}

/// Files every Linux machine with a Rust toolchain has, and this test itself.
fn real_files() -> Vec<PathBuf> {
    let mut files = vec![std::env::current_exe().unwrap()];
    files.extend(["/bin/true", "/usr/bin/gcc", "/usr/bin/node", "/lib64/libc.so.6"].map(PathBuf::from));
    files.extend(
        ["/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/x86_64-linux-gnu/libstdc++.so.6"].map(PathBuf::from),
    );
    if let Some(corpora) = corpora() {
        files.extend(["go-1.24.0", "inline"].map(|name| corpora.join("elf/symblib").join(name)));
    }
    files.retain(|file| file.is_file());
    files
}

fn table(path: &Path) -> SymbolTable {
    let cache = ReadCache::new(File::open(path).unwrap());
    SymbolTable::from_elf(&cache).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Functions of both tables that have a size: by address and size, all names.
fn readelf_functions(path: &Path) -> Option<HashMap<(u64, u64), Vec<String>>> {
    let output = Command::new("readelf").arg("-sW").arg(path).env("LC_ALL", "C").output().ok()?;
    let mut functions: HashMap<(u64, u64), Vec<String>> = HashMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        // "   12: 0000000000001139    22 FUNC    GLOBAL DEFAULT   14 main"
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, value, size, kind, _, _, section, ref name @ ..] = words[..] else { continue };
        // Names of Go's functions contain spaces.
        let name = name.join(" ");
        if !matches!(kind, "FUNC" | "IFUNC") || section.parse::<u16>().is_err() {
            continue;
        }
        let size = match size.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).unwrap(),
            None => size.parse().unwrap(),
        };
        if size > 0 {
            let value = u64::from_str_radix(value, 16).unwrap();
            functions.entry((value, size)).or_default().push(name);
        }
    }
    Some(functions)
}

#[test]
fn functions_are_those_readelf_shows() {
    for path in real_files() {
        let Some(functions) = readelf_functions(&path) else {
            println!("skipped: no readelf");
            return;
        };
        let table = table(&path);
        let known: HashMap<(u64, u64), String> =
            table.iter().map(|symbol| ((symbol.start.0, symbol.size), symbol.name)).collect();
        for ((start, size), names) in &functions {
            let name = known
                .get(&(*start, *size))
                .unwrap_or_else(|| panic!("{}: {names:?} is missing", path.display()));
            // readelf cuts nothing with -W; a version follows an @.
            let is_one =
                names.iter().any(|other| other == name || other.split('@').next() == name.split('@').next());
            assert!(is_one, "{}: {name} is none of {names:?}", path.display());
            for address in [*start, start + size - 1] {
                let found = table.lookup(ElfAddress(address)).unwrap();
                assert!((found.start.0..found.start.0 + found.size).contains(&address), "{name}");
                assert!(found.size <= *size, "the innermost function wins: {} in {name}", found.name);
            }
        }
        println!("{}: {} functions", path.display(), table.len());
    }
}

#[test]
fn addresses_outside_all_functions_have_no_name() {
    for path in real_files() {
        let table = table(&path);
        let mut end = 0;
        for symbol in table.iter() {
            if symbol.start.0 > end {
                assert_eq!(
                    table.lookup(ElfAddress(symbol.start.0 - 1)),
                    None,
                    "{}: {}",
                    path.display(),
                    symbol.name
                );
            }
            end = end.max(symbol.start.0 + symbol.size);
        }
        assert_eq!(table.lookup(ElfAddress(end)), None);
    }
}

#[test]
fn a_symbol_takes_16_bytes_and_its_compressed_name() {
    let table = table(&std::env::current_exe().unwrap());
    let names: usize = table.iter().map(|symbol| symbol.name.len()).sum();
    assert!(table.len() > 1000);
    assert!(
        table.memory_bytes() <= 16 * table.len() + names * 6 / 10 + 128,
        "{} for {names}",
        table.memory_bytes()
    );
}

#[test]
fn this_test_finds_itself() {
    let here = this_test_finds_itself as *const () as u64;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let hex = |text: &str| u64::from_str_radix(text, 16).unwrap();
    let offset = maps.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (start, end) = words[0].split_once('-').unwrap();
        let inside = (hex(start)..hex(end)).contains(&here);
        inside
            .then(|| ProcessAddress(here).file_offset(ProcessAddress(hex(start)), FileOffset(hex(words[2]))))
    });
    let path = std::env::current_exe().unwrap();
    let object = ObjectFile::parse(std::fs::read(&path).unwrap().as_slice()).unwrap();
    let address = object.elf_address(offset.flatten().unwrap()).unwrap();
    let mut frames = Vec::new();
    assert!(table(&path).frames(address, &mut frames));
    assert_eq!(frames[0].name, "files::this_test_finds_itself");
    assert_eq!(frames[0].kind, FrameKind::Rust);
    assert!(frames[0].system_name.starts_with("_R") || frames[0].system_name.starts_with("_ZN"));
}

#[test]
fn go_functions_are_those_gos_own_table_has() {
    let Some(corpora) = corpora() else { return };
    for version in ["go-1.20.14", "go-1.24.0"] {
        let oracle = corpora.join(format!("oracle/elf_symblib_{version}.gosym.txt.gz"));
        let text = Command::new("gzip").arg("-dc").arg(&oracle).output().unwrap();
        let table = table(&corpora.join("elf/symblib").join(version));
        if table.is_empty() {
            println!("skipped: {version} is stripped");
            continue;
        }
        let mut checked = 0;
        for line in String::from_utf8(text.stdout).unwrap().lines() {
            // "0x401000 0x401020 internal/abi.NoEscape file:line …"; names may contain spaces.
            let mut words = line.split(' ');
            let mut hex = || u64::from_str_radix(words.next().unwrap().trim_start_matches("0x"), 16).unwrap();
            let (start, end) = (hex(), hex());
            let mut frames = Vec::new();
            // Go's table pads a function up to the next one; its symbols do not.
            assert!(table.frames(ElfAddress(start), &mut frames), "{line}");
            let want = line.splitn(3, ' ').nth(2).unwrap().replace('·', ".");
            // Type arguments are `[...]` in Go's table.
            let shown = frames[0].name.split('[').next().unwrap();
            assert!(want.starts_with(shown), "{version} {start:#x}..{end:#x}: {} / {want}", frames[0].name);
            checked += 1;
        }
        assert!(checked > 1000, "{checked}");
    }
}

#[test]
fn enclosing_functions_are_those_llvm_names() {
    let Some(corpora) = corpora() else { return };
    let oracle = corpora.join("oracle/elf_symblib_inline.symbolizer.json.gz");
    let text = Command::new("gzip").arg("-dc").arg(&oracle).output().unwrap();
    let oracle: serde_json::Value = serde_json::from_slice(&text.stdout).unwrap();
    let table = table(&corpora.join("elf/symblib/inline"));
    let rows = oracle["rows"].as_array().unwrap();
    for row in rows {
        let address = u64::from_str_radix(row[0].as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
        let enclosing = row[1].as_array().unwrap().last().unwrap()[0].as_str().unwrap();
        let name = table.lookup(ElfAddress(address)).map_or(String::new(), |symbol| symbol.name);
        assert_eq!(name, enclosing, "{address:#x}");
    }
    assert!(rows.len() > 10);
}

#[test]
fn the_running_kernel_is_understood() {
    let Ok(text) = std::fs::read("/proc/kallsyms") else {
        println!("skipped: no /proc/kallsyms");
        return;
    };
    match KernelSymbols::parse(&text) {
        Ok(symbols) => {
            let text = String::from_utf8(text).unwrap();
            let line = text.lines().find(|line| line.ends_with(" vfs_read")).unwrap();
            let address = u64::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap();
            assert_eq!(symbols.lookup(address + 1).unwrap().name, "vfs_read");
            assert!(symbols.len() > 10_000);
            assert!(symbols.memory_bytes() < 40 * symbols.len());
        }
        Err(error) => {
            assert_eq!(error, KernelSymbolsError::Hidden);
            println!("skipped: {error}");
        }
    }
}

/// The lines of a corpus file; none if the corpora are not here.
fn corpus(name: &str) -> Option<Vec<String>> {
    let path = corpora()?.join("demangle").join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(text.lines().map(str::to_owned).collect()),
        Err(error) => {
            println!("skipped: {}: {error}", path.display());
            None
        }
    }
}

/// Cases of binutils' format: options, mangled, expected, and with `--no-params` expected without.
fn libiberty_cases(name: &str) -> Vec<(String, String, String)> {
    let Some(lines) = corpus(name) else { return Vec::new() };
    let mut lines = lines.into_iter().filter(|line| !line.starts_with('#'));
    let mut cases = Vec::new();
    while let (Some(options), Some(mangled), Some(mut expected)) = (lines.next(), lines.next(), lines.next())
    {
        if options.contains("--no-params") {
            expected = lines.next().unwrap_or_default();
        }
        cases.push((options, mangled, expected));
    }
    cases
}

/// Fails if a name is shown differently from `expected`, except where it is known and told why.
fn check_corpus(cases: &[(String, String)], known: &[(&str, &str)]) {
    let mut differences = Vec::new();
    for (mangled, expected) in cases {
        let shown = demangle(mangled).name;
        let is_known = known.iter().any(|(name, _)| name == mangled);
        if (shown == *expected) == is_known {
            differences.push(format!("{mangled}\n  {expected}\n  {shown}"));
        }
    }
    assert_eq!(differences.len(), 0, "of {}\n{}", cases.len(), differences.join("\n"));
}

const NOT_ESCAPED: &str = "letters of all scripts are shown, not escaped";

#[test]
fn binutils_rust_names_are_read_as_binutils_reads_them() {
    let cases: Vec<_> = libiberty_cases("rust-demangle-expected")
        .into_iter()
        .map(|(_, mangled, expected)| (mangled, expected))
        // The corpus names this one twice: with the hash as C++, without it as Rust.
        .filter(|(_, expected)| expected != "main::main::he714a2e23ed7db23")
        .collect();
    check_corpus(&cases, &[("_RMCs4fqI2P2rA04_13const_genericINtB0_4CharKc2202_E", NOT_ESCAPED)]);
}

#[test]
fn llvm_rust_names_are_read_as_llvm_reads_them() {
    let Some(lines) = corpus("rust.test") else { return };
    let mut cases = Vec::new();
    let mut expected = None;
    for line in lines {
        if let Some(name) = line.strip_prefix("CHECK:") {
            expected = Some(name.trim().to_owned());
        } else if let Some(expected) = expected.take() {
            // Where LLVM gives up because a name breaks a rule, our demangler may be more lenient.
            cases.push((line.trim().to_owned(), expected));
        }
    }
    cases.retain(|(mangled, expected)| mangled != expected);
    let many_lifetimes = "_RIC7bindersFGs_RLt_RLs_RLr_RLq_RLp_RLo_RLn_RLm_RLl_RLk_RLj_RLi_RLh_RLg_RLf_RLe_RLd_RLc_RLb_RLa_RL9_RL8_RL7_RL6_RL5_RL4_RL3_RL2_RL1_RL0_uEuE";
    let known = [
        ("_RIC4charKc1f40d_E", NOT_ESCAPED),
        ("_RC3dot.llvm.1234", "suffixes of clones are cut off"),
        ("_RC3dotC5crate.llvm.6789", "suffixes of clones are cut off"),
        ("_RIC5traitFG_DG_EL0_EuE", "one more space"),
        (many_lifetimes, "the 27th lifetime has another name"),
    ];
    check_corpus(&cases, &known);
}

#[test]
fn binutils_cpp_names_are_read_as_binutils_reads_them_without_parameters() {
    let cases: Vec<_> = libiberty_cases("demangle-expected")
        .into_iter()
        .filter(|(options, mangled, _)| options.contains("--no-params") && mangled.starts_with("_Z"))
        .map(|(_, mangled, expected)| (mangled, expected))
        .collect();
    let not_read = "the demangler does not know this construct";
    let known = [
        (
            "_Z1fILi1ELc120EEv1AIXplT_cviLd810000000000000000703DAD7A370C5EEE",
            "types of literals are left out",
        ),
        ("_ZN1KIXadL_ZN1S1mEiEEE1fEv", "a function as a template argument keeps its parameters"),
        ("_ZN1AcvT_IiEI1CEEv", not_read),
        ("_Z3xxxDFyuVb", not_read),
        (
            "_ZN13PatternDriver23StringScalarDeleteValueC1ERKNS_25ConflateStringScalarValueERKNS_25AbstractStringScalarValueERKNS_12TemplateEnumINS_12pdcomplementELZNS_16complement_namesEELZNS_14COMPLEMENTENUMEEEE",
            "a mangling of old compilers, against the standard",
        ),
    ];
    check_corpus(&cases, &known);
}
