//! Which processes are left out: rules, and what they say about a process.
//!
//! ```text
//! what is known of a process ─▶ Filters::verdict ─▶ sampled | left out | undecided
//! ```
//!
//! A process is sampled if an include rule matches it (or there is none) and no exclude rule does. Rules
//! are asked in user space, once per process; the answer goes into a map of the kernel side, so that a
//! process that is left out costs one look-up per timer tick. What cannot be known of a process that has
//! already ended matches nothing and refutes nothing: the verdict is *undecided*, and what is undecided
//! is left out, since a filter must never let through what it was made to keep away.

use std::fmt;

/// Longest pattern.
const PATTERN_BYTES_MAX: usize = 4096;
/// Most rules in one list.
const RULES_MAX: usize = 256;
/// Digits by which a container may be named short.
const SHORT_ID_DIGITS_MIN: usize = 12;

/// Which processes are sampled. The default lets everything through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// If not empty, only processes that one of these matches.
    pub include: Vec<Rule>,
    /// Processes that one of these matches are left out.
    pub exclude: Vec<Rule>,
}

/// A rule. All conditions that are given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Path of a cgroup, in any hierarchy; it and what is below match by `/**`.
    pub cgroup: Option<Pattern>,
    /// Id of the container; 12 or more leading digits are enough.
    pub container_id: Option<Pattern>,
    /// Path of the executable as the process sees it.
    pub executable: Option<Pattern>,
    /// Number of the PID namespace, as `readlink /proc/PID/ns/pid` shows it.
    pub pid_namespace: Option<u32>,
}

/// A pattern for paths: `*` and `?` stand for anything but a slash, `**` for anything. At most 4,096 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

/// Why a rule is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// It matches everything or nothing.
    #[error("a rule without a condition; expected cgroup, container_id, executable or pid_namespace")]
    Empty,
    /// The pattern is empty or too long.
    #[error("a pattern of {0} bytes; expected 1 to 4096")]
    Length(usize),
    /// There are too many.
    #[error("{0} rules; expected at most 256")]
    Count(usize),
}

impl Pattern {
    /// Checks a pattern.
    ///
    /// # Errors
    ///
    /// If it is empty or longer than 4,096 bytes.
    pub fn new(text: impl Into<String>) -> Result<Self, RuleError> {
        let text = text.into();
        match text.len() {
            1..=PATTERN_BYTES_MAX => Ok(Self(text)),
            length => Err(RuleError::Length(length)),
        }
    }

    /// Whether `text` as a whole is of this form. Takes time proportional to the product of both lengths.
    pub fn matches(&self, text: &str) -> bool {
        glob(self.0.as_bytes(), text.as_bytes())
    }

    fn matches_container(&self, id: &str) -> bool {
        let short = self.0.len() >= SHORT_ID_DIGITS_MIN && id.starts_with(&self.0);
        short || self.matches(id)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Greedy matching with two places to go back to: the last `*` and the last `**`.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on in the pattern, and from which byte of the text the star's part ends.
    let mut star: Option<(usize, usize)> = None;
    let mut stars: Option<(usize, usize)> = None;
    loop {
        match pattern.get(p) {
            Some(b'*') if pattern.get(p + 1) == Some(&b'*') => {
                p += 2;
                stars = Some((p, t));
                star = None;
                continue;
            }
            Some(b'*') => {
                p += 1;
                star = Some((p, t));
                continue;
            }
            Some(b'?') if text.get(t).is_some_and(|byte| *byte != b'/') => {
                (p, t) = (p + 1, t + 1);
                continue;
            }
            Some(byte) if *byte != b'?' && text.get(t) == Some(byte) => {
                (p, t) = (p + 1, t + 1);
                continue;
            }
            None if t == text.len() => return true,
            _ => {}
        }
        if let Some((after, from)) = star
            && text.get(from).is_some_and(|byte| *byte != b'/')
        {
            star = Some((after, from + 1));
            (p, t) = (after, from + 1);
        } else if let Some((after, from)) = stars
            && from < text.len()
        {
            star = None;
            stars = Some((after, from + 1));
            (p, t) = (after, from + 1);
        } else {
            return false;
        }
    }
}

/// What is known about one fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fact<T> {
    /// It could not be found out.
    Unknown,
    /// The process has none.
    None,
    /// This.
    Is(T),
}

/// What rules are asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    /// Paths of its cgroups in all hierarchies.
    pub(crate) cgroups: Fact<&'a [String]>,
    pub(crate) container_id: Fact<&'a str>,
    pub(crate) executable: Fact<&'a str>,
    pub(crate) pid_namespace: Fact<u32>,
}

/// What is done with a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Sample,
    LeaveOut,
    /// Too little is known; left out at collection.
    Undecided,
}

/// Yes, no or not known, in this order of certainty for a conjunction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    Unknown,
}

impl<T> Fact<T> {
    fn answer(self, matches: impl FnOnce(T) -> bool) -> Answer {
        match self {
            Self::Unknown => Answer::Unknown,
            Self::None => Answer::No,
            Self::Is(value) => {
                if matches(value) {
                    Answer::Yes
                } else {
                    Answer::No
                }
            }
        }
    }
}

impl Rule {
    fn answer(&self, facts: &Facts<'_>) -> Answer {
        let cgroup = self
            .cgroup
            .as_ref()
            .map(|pattern| facts.cgroups.answer(|paths| paths.iter().any(|path| pattern.matches(path))));
        let container = self
            .container_id
            .as_ref()
            .map(|pattern| facts.container_id.answer(|id| pattern.matches_container(id)));
        let executable =
            self.executable.as_ref().map(|pattern| facts.executable.answer(|path| pattern.matches(path)));
        let namespace =
            self.pid_namespace.map(|wanted| facts.pid_namespace.answer(|number| number == wanted));
        let answers = [cgroup, container, executable, namespace];
        if answers.contains(&Some(Answer::No)) {
            Answer::No
        } else if answers.contains(&Some(Answer::Unknown)) {
            Answer::Unknown
        } else {
            Answer::Yes
        }
    }
}

fn any(rules: &[Rule], facts: &Facts<'_>) -> Answer {
    let mut result = Answer::No;
    for rule in rules {
        match rule.answer(facts) {
            Answer::Yes => return Answer::Yes,
            Answer::Unknown => result = Answer::Unknown,
            Answer::No => {}
        }
    }
    result
}

impl Filters {
    /// Whether everything is let through.
    pub fn is_empty(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    /// Checks all rules.
    ///
    /// # Errors
    ///
    /// If a list has more than 256 rules or a rule has no condition.
    pub fn check(&self) -> Result<(), RuleError> {
        for rules in [&self.include, &self.exclude] {
            if rules.len() > RULES_MAX {
                return Err(RuleError::Count(rules.len()));
            }
            if rules.contains(&Rule::default()) {
                return Err(RuleError::Empty);
            }
        }
        Ok(())
    }

    /// What is done with a process.
    pub(crate) fn verdict(&self, facts: &Facts<'_>) -> Verdict {
        let included = if self.include.is_empty() { Answer::Yes } else { any(&self.include, facts) };
        match (included, any(&self.exclude, facts)) {
            (Answer::No, _) | (_, Answer::Yes) => Verdict::LeaveOut,
            (Answer::Yes, Answer::No) => Verdict::Sample,
            _ => Verdict::Undecided,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).unwrap()
    }

    #[test]
    #[rustfmt::skip]
    fn patterns_match_whole_paths() {
        let cases = [
            ("/usr/bin/ls",     "/usr/bin/ls",                 true),
            ("/usr/bin/ls",     "/usr/bin/lsof",               false),
            ("/usr/bin/*",      "/usr/bin/ls",                 true),
            ("/usr/bin/*",      "/usr/bin/x/ls",               false),
            ("/usr/*/ls",       "/usr/bin/ls",                 true),
            ("/usr/**",         "/usr/local/bin/ls",           true),
            ("**/ls",           "/usr/local/bin/ls",           true),
            ("**/b*n/l?",       "/usr/bin/bin/ls",             true),
            ("**/*.slice/**",   "/a/user.slice/b/c",           true),
            ("**/*.slice",      "/a/user.slice/b",             false),
            ("/a/*b*c",         "/a/xbxbxc",                   true),
            ("/a/*b*c",         "/a/xbxb/c",                   false),
            ("?",               "/",                           false),
            ("*",               "",                            true),
            ("**",              "/anything/at all",            true),
            ("a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ];
        for (text, path, want) in cases {
            assert_eq!(pattern(text).matches(path), want, "{text} on {path}");
        }
    }

    #[test]
    fn patterns_that_make_no_sense_are_refused() {
        assert_eq!(Pattern::new("").unwrap_err().to_string(), "a pattern of 0 bytes; expected 1 to 4096");
        assert!(Pattern::new("x".repeat(5000)).is_err());
        let empty = Filters { include: vec![Rule::default()], ..Filters::default() };
        assert_eq!(empty.check(), Err(RuleError::Empty));
    }

    #[test]
    #[rustfmt::skip]
    fn include_then_exclude_and_nothing_unknown_passes() {
        let cgroups = vec!["/system.slice/a.service".to_owned(), "/".to_owned()];
        let id = "3f4a".repeat(16);
        let known = Facts { cgroups: Fact::Is(&cgroups), container_id: Fact::Is(&id), executable: Fact::Is("/bin/a"), pid_namespace: Fact::Is(7) };
        let nothing = Facts { cgroups: Fact::Unknown, container_id: Fact::Unknown, executable: Fact::Unknown, pid_namespace: Fact::Unknown };
        let kernel = Facts { executable: Fact::None, ..known };
        let cgroup = |text| Rule { cgroup: Some(pattern(text)), ..Rule::default() };
        let executable = |text| Rule { executable: Some(pattern(text)), ..Rule::default() };
        let container = |text: &str| Rule { container_id: Some(pattern(text)), ..Rule::default() };
        let both = Rule { cgroup: Some(pattern("/system.slice/**")), pid_namespace: Some(8), ..Rule::default() };
        let cases = [
            ("no rules",               vec![],                            vec![],                      known,   Verdict::Sample),
            ("no rules, unknown",      vec![],                            vec![],                      nothing, Verdict::Sample),
            ("included",               vec![cgroup("/system.slice/**")],  vec![],                      known,   Verdict::Sample),
            ("not included",           vec![cgroup("/user.slice/**")],    vec![],                      known,   Verdict::LeaveOut),
            ("short container id",     vec![container("3f4a3f4a3f4a")],   vec![],                      known,   Verdict::Sample),
            ("too short",              vec![container("3f4a")],           vec![],                      known,   Verdict::LeaveOut),
            ("excluded wins",          vec![cgroup("/system.slice/**")],  vec![executable("/bin/*")],  known,   Verdict::LeaveOut),
            ("all conditions",         vec![both],                        vec![],                      known,   Verdict::LeaveOut),
            ("unknown, included",      vec![executable("/bin/*")],        vec![],                      nothing, Verdict::Undecided),
            ("unknown, excluded",      vec![],                            vec![executable("/bin/*")],  nothing, Verdict::Undecided),
            ("kernel, executable",     vec![],                            vec![executable("**")],      kernel,  Verdict::Sample),
        ];
        for (case, include, exclude, facts, want) in cases {
            assert_eq!(Filters { include, exclude }.verdict(&facts), want, "{case}");
        }
    }
}
