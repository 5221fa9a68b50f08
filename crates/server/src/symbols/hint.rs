//! What a person can do about code without a name: concrete, by what is known of the binary.

use hearth_query::UnnamedBinary;

/// What would name the code of a binary.
///
/// `has_names` says whether symbols of it are kept that name some of it; `debuginfod` whether such
/// servers are asked.
pub(crate) fn hint(binary: &UnnamedBinary, has_names: bool, debuginfod: bool) -> String {
    let UnnamedBinary { filename, build_id, kernel, .. } = binary;
    let file = filename.as_str();
    if *kernel {
        return "The agent may not read the kernel's symbols: run it as root, or with CAP_SYSLOG, and set \
                kernel.kptr_restrict to 0 or 1. `hearth doctor` on that host says more."
            .to_owned();
    }
    if build_id.is_empty() && (file.is_empty() || file.starts_with('[') || file.starts_with("//anon")) {
        return "Code made at run time. Let the runtime say its names: node --perf-basic-prof, java with \
                -XX:+DumpPerfMapAtExit or a perf-map agent, .NET with DOTNET_PerfMapEnabled=1; the agent reads \
                /tmp/perf-PID.map."
            .to_owned();
    }
    if build_id.is_empty() {
        return format!(
            "It has no build ID, by which its symbols could be found: link {} with -Wl,--build-id, or let the agent \
             name it by not stripping it.",
            shown(file)
        );
    }
    if has_names {
        return format!(
            "Symbols of it are known, but not for this code. Bring its full debug information: \
             hearth symbols upload {}.debug",
            shown(file)
        );
    }
    let system = ["/usr/", "/lib", "/bin/", "/sbin/"].iter().any(|prefix| file.starts_with(prefix));
    let install = match system && !file.starts_with("/usr/local/") {
        true => format!(
            "Install its debug package on the host (Debian, Ubuntu: the one of `dpkg -S {}`, with -dbgsym or -dbg; \
             Fedora: dnf debuginfo-install), ",
            shown(file)
        ),
        false => "Build it with -g, or keep its debug file, ".to_owned(),
    };
    let ask = match debuginfod {
        true => "; the debuginfod servers asked do not have it",
        false => {
            ", or let the server ask debuginfod: -symbols.debuginfod-urls https://debuginfod.elfutils.org"
        }
    };
    format!("{install}or bring it: hearth symbols upload {}{ask}.", shown(file))
}

/// A path for a command line: as it is if that is safe, else as a stand-in.
fn shown(path: &str) -> &str {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"/._+-@:".contains(&byte);
    if !path.is_empty() && path.len() <= 200 && path.bytes().all(safe) { path } else { "FILE" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn each_kind_of_code_has_its_own_remedy() {
        // (path, build ID, kernel, some names known, debuginfod asked, what the hint says)
        let cases = [
            ("[kernel]",          "",   true,  false, false, "kptr_restrict"),
            ("",                  "",   false, false, false, "/tmp/perf-PID.map"),
            ("[anonymous]",       "",   false, false, false, "/tmp/perf-PID.map"),
            ("/opt/app",          "",   false, false, false, "link /opt/app with -Wl,--build-id"),
            ("/opt/app",          "ab", false, false, false, "Build it with -g"),
            ("/opt/app",          "ab", false, false, false, "hearth symbols upload /opt/app, or let the server ask"),
            ("/usr/bin/x",        "ab", false, false, false, "dpkg -S /usr/bin/x"),
            ("/usr/local/bin/x",  "ab", false, false, false, "Build it with -g"),
            ("/usr/bin/x",        "ab", false, false, true,  "servers asked do not have it"),
            ("/usr/bin/x",        "ab", false, true,  true,  "known, but not for this code"),
            ("/tmp/$(rm -r x)",   "ab", false, false, true,  "upload FILE"),
        ];
        for (filename, build_id, kernel, has_names, debuginfod, want) in cases {
            let binary = UnnamedBinary {
                filename: filename.into(), build_id: build_id.into(), kernel, ..UnnamedBinary::default()
            };
            let hint = hint(&binary, has_names, debuginfod);
            assert!(hint.contains(want), "{filename}: {hint}");
        }
    }
}
