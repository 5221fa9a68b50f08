//! `hearth doctor`: what this kernel and these privileges allow, what is degraded and how to fix it.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use hearth_sampler::{Check, CheckStatus, doctor};

const AFTER_HELP: &str = "\
Checks everything that sampling depends on: the kernel, its settings and the privileges of this process. Loads the \
BPF programs for a moment, changes nothing.

Run it the way the agent will run: as the same user, in the same container. The exit status is 0 if sampling is \
possible, even if something is degraded, and 1 if it is not.

Examples:
  sudo hearth doctor                 with all privileges
  hearth doctor                      as this user
  hearth doctor --json | jq '.checks[] | select(.status != \"ok\")'";

/// Arguments of `hearth doctor`.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the checks; succeeds if sampling is possible.
pub(crate) fn run(arguments: &DoctorArgs) -> ExitCode {
    let findings = Findings {
        architecture: std::env::consts::ARCH,
        user: rustix::process::geteuid().as_raw(),
        checks: doctor(),
    };
    let text = if arguments.json { findings.json() } else { findings.table() };
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever reads has read enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let _ = writeln!(io::stderr(), "hearth doctor: cannot print: {error}");
            ExitCode::FAILURE
        }
        _ if findings.possible() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

struct Findings {
    architecture: &'static str,
    user: u32,
    checks: Vec<Check>,
}

impl Findings {
    fn count(&self, status: CheckStatus) -> usize {
        self.checks.iter().filter(|check| check.status == status).count()
    }

    fn possible(&self) -> bool {
        self.count(CheckStatus::Missing) == 0
    }

    fn json(&self) -> String {
        let checks = self.checks.iter().map(|check| {
            serde_json::json!({
                "name": check.name,
                "status": check.status.name(),
                "found": check.found,
                "meaning": check.meaning,
                "remedy": check.remedy,
            })
        });
        let document = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "architecture": self.architecture,
            "user": self.user,
            "possible": self.possible(),
            "checks": checks.collect::<Vec<_>>(),
        });
        format!("{document:#}\n")
    }

    fn table(&self) -> String {
        let user = if self.user == 0 { "root".to_owned() } else { format!("user {}", self.user) };
        let mut text =
            format!("Hearth {} on {}, as {user}\n\n", env!("CARGO_PKG_VERSION"), self.architecture);
        let width = self.checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
        for Check { name, status, found, meaning, remedy } in &self.checks {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{:<8}  {name:<width$}  {found}", status.name());
            if *status != CheckStatus::Ok {
                let _ = writeln!(text, "{:8}  {:width$}  why: {meaning}", "", "");
                let _ = writeln!(text, "{:8}  {:width$}  fix: {remedy}", "", "");
            }
        }
        text.push('\n');
        text + &self.verdict()
    }

    fn verdict(&self) -> String {
        let (missing, degraded) = (self.count(CheckStatus::Missing), self.count(CheckStatus::Degraded));
        match (missing, degraded) {
            (0, 0) => "Sampling is possible; nothing is degraded.\n".into(),
            (0, degraded) => format!("Sampling is possible; degraded: {degraded}, see above.\n"),
            (missing, _) => format!("Sampling is not possible; missing: {missing}, see above.\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn findings(status: CheckStatus) -> Findings {
        let check = |name: &str, status, found: &str| Check {
            name: name.into(),
            status,
            found: found.into(),
            meaning: "names are missing".into(),
            remedy: if status == CheckStatus::Ok { String::new() } else { "grant it".into() },
        };
        let checks =
            vec![check("kernel", CheckStatus::Ok, "6.1.0"), check("CAP_SYSLOG", status, "not granted")];
        Findings { architecture: "x86_64", user: 1000, checks }
    }

    #[test]
    fn the_table_says_why_and_how_to_fix() {
        let degraded = findings(CheckStatus::Degraded);
        expect![[r#"
            ok        kernel      6.1.0
            degraded  CAP_SYSLOG  not granted
                                  why: names are missing
                                  fix: grant it

            Sampling is possible; degraded: 1, see above.
        "#]]
        .assert_eq(degraded.table().split_once("\n\n").unwrap().1);
        assert!(degraded.possible());
        assert!(!findings(CheckStatus::Missing).possible());
        assert!(
            findings(CheckStatus::Missing)
                .table()
                .ends_with("Sampling is not possible; missing: 1, see above.\n")
        );
        assert!(findings(CheckStatus::Ok).table().ends_with("nothing is degraded.\n"));
    }

    #[test]
    fn json_has_the_same_facts() {
        let document: serde_json::Value =
            serde_json::from_str(&findings(CheckStatus::Missing).json()).unwrap();
        assert_eq!(document["possible"], false);
        assert_eq!(document["checks"][1]["status"], "missing");
        assert_eq!(document["checks"][1]["remedy"], "grant it");
    }
}
