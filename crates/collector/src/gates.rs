//! Feature gates: switches for behaviour that is not settled.

use std::collections::BTreeMap;

/// How settled a gate's behaviour is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Off unless switched on.
    Alpha,
    /// On unless switched off.
    Beta,
    /// On, cannot be switched off; the gate will go.
    Stable,
}

impl Stage {
    /// `Alpha`, `Beta`, `Stable`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alpha => "Alpha",
            Self::Beta => "Beta",
            Self::Stable => "Stable",
        }
    }
}

/// One gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Its id.
    pub id: &'static str,
    /// Its stage.
    pub stage: Stage,
    /// What it switches.
    pub description: &'static str,
}

/// Lets pipelines of profiles exist.
pub const PROFILES_SUPPORT: &str = "service.profilesSupport";
/// Appends component lists of several sources.
pub const MERGE_APPEND: &str = "confmap.enableMergeAppendOption";

/// The gates this program knows, sorted by id.
pub const KNOWN: [Gate; 2] = [
    Gate {
        id: MERGE_APPEND,
        stage: Stage::Alpha,
        description: "Combines receivers, exporters and extensions of several configuration sources by \
                      appending instead of overriding",
    },
    Gate {
        id: PROFILES_SUPPORT,
        stage: Stage::Alpha,
        description: "Controls whether profiles support can be enabled",
    },
];

/// Gates of the Collector that switch nothing Hearth has: accepted so that a command line keeps
/// working, and reported.
const WITHOUT_EFFECT: [&str; 6] = [
    "pdata.useProtoPooling",
    "receiverhelper.newReceiverMetrics",
    "service.AllowNoPipelines",
    "service.partialReload",
    "service.partialReloadReceivers",
    "telemetry.newPipelineTelemetry",
];

/// Which gates are on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gates {
    set: BTreeMap<&'static str, bool>,
    without_effect: Vec<&'static str>,
}

/// A gate that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such feature gate {id:?}. valid gates: [{valid}]")]
pub struct UnknownGate {
    /// What was asked for.
    pub id: String,
    /// The gates there are.
    pub valid: String,
}

impl Gates {
    /// The gates with profiles switched on, for programs whose purpose is profiles.
    pub fn with_profiles() -> Self {
        Self { set: [(PROFILES_SUPPORT, true)].into_iter().collect(), without_effect: Vec::new() }
    }

    /// Applies `--feature-gates`: `a,+b,-c`.
    ///
    /// # Errors
    ///
    /// [`UnknownGate`], listing the valid ones; nothing is applied then.
    pub fn apply(&mut self, flag: &str) -> Result<(), UnknownGate> {
        let mut next = self.clone();
        for part in flag.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (id, enabled) = match part.strip_prefix('-') {
                Some(id) => (id, false),
                None => (part.strip_prefix('+').unwrap_or(part), true),
            };
            if let Some(gate) = KNOWN.iter().find(|gate| gate.id == id) {
                next.set.insert(gate.id, enabled);
            } else if let Some(known) = WITHOUT_EFFECT.iter().find(|known| **known == id) {
                next.without_effect.push(known);
            } else {
                let valid: Vec<&str> = KNOWN.iter().map(|gate| gate.id).collect();
                return Err(UnknownGate { id: id.into(), valid: valid.join(" ") });
            }
        }
        *self = next;
        Ok(())
    }

    /// Whether a gate is on.
    pub fn enabled(&self, id: &str) -> bool {
        let default = KNOWN.iter().any(|gate| gate.id == id && gate.stage != Stage::Alpha);
        self.set.get(id).copied().unwrap_or(default)
    }

    /// Gates that were named and switch nothing here.
    pub fn without_effect(&self) -> &[&'static str] {
        &self.without_effect
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_switched_and_unknown_ones_refused() {
        let mut gates = Gates::default();
        assert!(!gates.enabled(PROFILES_SUPPORT));
        gates.apply("+service.profilesSupport, service.partialReload").unwrap();
        assert!(gates.enabled(PROFILES_SUPPORT));
        assert_eq!(gates.without_effect(), ["service.partialReload"]);
        gates.apply("-service.profilesSupport").unwrap();
        assert!(!gates.enabled(PROFILES_SUPPORT));
        assert_eq!(
            gates.apply("service.profilesSupport,nope").unwrap_err().to_string(),
            r#"no such feature gate "nope". valid gates: [confmap.enableMergeAppendOption service.profilesSupport]"#
        );
        assert!(!gates.enabled(PROFILES_SUPPORT), "a refused flag changes nothing");
    }
}
