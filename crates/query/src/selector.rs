//! Selectors: which series a query is about, in PromQL's notation.
//!
//! ```text
//! selector = [ name | profile type ] [ "{" [ matcher { "," matcher } [ "," ] ] "}" ]
//! matcher  = label ( "=" | "!=" | "=~" | "!~" ) string | quoted name
//! label    = [a-zA-Z_][a-zA-Z0-9_.]* | quoted
//! ```
//!
//! Strings are quoted with `"`, `'` or `` ` ``; the first two know Go's escapes. Regular
//! expressions match whole values. A leading `process_cpu:cpu:nanoseconds:cpu:nanoseconds` means
//! the same as a matcher on `__profile_type__`; a leading word without colons one on `__name__`.
//! An empty text selects everything.

use hearth_block::Series;
use hearth_profile::ProfileType;
use regex::{Regex, RegexBuilder};

use crate::labels::label;

/// Longest selector, in bytes.
const TEXT_MAX: usize = 16 * 1024;
/// Most matchers in one selector.
const MATCHERS_MAX: usize = 100;
/// Largest compiled regular expression, in bytes.
const REGEX_MAX: usize = 1 << 20;

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

/// One condition on one label. A label that is absent has the empty value.
#[derive(Clone, Debug)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    regex: Option<Regex>,
}

impl Matcher {
    /// A matcher for exactly this value.
    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), op: MatchOp::Equal, value: value.into(), regex: None }
    }

    /// The label.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The comparison.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The value or regular expression, as written.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a value fulfils the condition.
    pub fn accepts(&self, value: &str) -> bool {
        match self.op {
            MatchOp::Equal => value == self.value,
            MatchOp::NotEqual => value != self.value,
            MatchOp::Regex => self.regex.as_ref().is_some_and(|regex| regex.is_match(value)),
            MatchOp::NotRegex => !self.regex.as_ref().is_some_and(|regex| regex.is_match(value)),
        }
    }

    fn matches(&self, series: &Series) -> bool {
        // Older query editors put the whole profile type where PromQL has the metric name.
        let name = match self.name.as_str() {
            "__name__" if self.value.contains(':') => "__profile_type__",
            name => name,
        };
        self.accepts(&label(series, name))
    }
}

/// A conjunction of matchers.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    matchers: Vec<Matcher>,
}

/// A text that is no selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid selector: {reason} at position {position} of {text:?}")]
pub struct SelectorError {
    /// What is wrong.
    pub reason: String,
    /// Where, counted in characters from 1.
    pub position: usize,
    /// The selector, shortened to 200 characters.
    pub text: String,
}

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    ///
    /// [`SelectorError`] with the position of the first thing that cannot be read.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut parser = Parser { text, at: 0 };
        if text.len() > TEXT_MAX {
            return Err(parser.error(format!("{} bytes are more than the limit of {TEXT_MAX}", text.len())));
        }
        let matchers = parser.selector()?;
        Ok(Self { matchers })
    }

    /// The same with one more condition: series of this profile type.
    #[must_use]
    pub fn with_type(mut self, profile_type: &ProfileType) -> Self {
        self.matchers.push(Matcher::equal("__profile_type__", profile_type.to_string()));
        self
    }

    /// The conditions.
    pub fn matchers(&self) -> &[Matcher] {
        &self.matchers
    }

    /// Whether a series fulfils all conditions.
    pub fn matches(&self, series: &Series) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches(series))
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn error(&self, reason: impl Into<String>) -> SelectorError {
        SelectorError {
            reason: reason.into(),
            position: self.text[..self.at].chars().count() + 1,
            text: self.text.chars().take(200).collect(),
        }
    }

    fn found(&self) -> String {
        match self.rest().chars().next() {
            Some(char) => format!("found {char:?}"),
            None => "found the end".into(),
        }
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn eat(&mut self, token: &str) -> bool {
        self.skip_space();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn selector(&mut self) -> Result<Vec<Matcher>, SelectorError> {
        let mut matchers = Vec::new();
        self.skip_space();
        let head = self.rest().split('{').next().unwrap_or_default().trim_end();
        if !head.is_empty() {
            matchers.push(self.head(head)?);
            self.at += head.len();
        }
        if self.eat("{") {
            self.braces(&mut matchers)?;
        }
        self.skip_space();
        if !self.rest().is_empty() {
            return Err(self.error(format!("expected the end, {}", self.found())));
        }
        Ok(matchers)
    }

    fn head(&self, head: &str) -> Result<Matcher, SelectorError> {
        if head.contains(':') {
            let profile_type: ProfileType = head
                .parse()
                .map_err(|error: hearth_profile::ProfileTypeError| self.error(error.to_string()))?;
            return Ok(Matcher::equal("__profile_type__", profile_type.to_string()));
        }
        if head.chars().all(is_name_char) {
            return Ok(Matcher::equal("__name__", head));
        }
        Err(self.error(format!("expected a profile type or \"{{\", {}", self.found())))
    }

    fn braces(&mut self, matchers: &mut Vec<Matcher>) -> Result<(), SelectorError> {
        loop {
            if self.eat("}") {
                return Ok(());
            }
            matchers.push(self.matcher()?);
            if matchers.len() > MATCHERS_MAX {
                return Err(self.error(format!("more than {MATCHERS_MAX} matchers")));
            }
            if !self.eat(",") && !self.rest().starts_with('}') {
                return Err(self.error(format!("expected \",\" or \"}}\", {}", self.found())));
            }
        }
    }

    fn matcher(&mut self) -> Result<Matcher, SelectorError> {
        self.skip_space();
        let quoted = self.rest().starts_with(['"', '\'', '`']);
        let name = if quoted { self.string()? } else { self.name()? };
        self.skip_space();
        let ops = [
            ("=~", MatchOp::Regex),
            ("!~", MatchOp::NotRegex),
            ("!=", MatchOp::NotEqual),
            ("=", MatchOp::Equal),
        ];
        let Some((token, op)) = ops.into_iter().find(|(token, _)| self.rest().starts_with(token)) else {
            if quoted && self.rest().starts_with([',', '}']) {
                return Ok(Matcher::equal("__name__", name));
            }
            return Err(self.error(format!("expected =, !=, =~ or !~ after {name:?}, {}", self.found())));
        };
        self.at += token.len();
        self.skip_space();
        let start = self.at;
        let value = self.string()?;
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(compile(&value).map_err(|reason| {
                Parser { text: self.text, at: start }.error(format!("regular expression {value:?}: {reason}"))
            })?),
        };
        Ok(Matcher { name, op, value, regex })
    }

    fn name(&mut self) -> Result<String, SelectorError> {
        let rest = self.rest();
        let length = rest.find(|char| !is_name_char(char)).unwrap_or(rest.len());
        if length == 0 || rest.starts_with(|char: char| char.is_ascii_digit()) {
            return Err(self.error(format!("expected a label name, {}", self.found())));
        }
        self.at += length;
        Ok(rest[..length].to_owned())
    }

    fn string(&mut self) -> Result<String, SelectorError> {
        let start = self.at;
        let Some(quote) = self.rest().chars().next().filter(|char| matches!(char, '"' | '\'' | '`')) else {
            return Err(self.error(format!("expected a quoted string, {}", self.found())));
        };
        self.at += 1;
        let mut value = String::new();
        loop {
            let Some(char) = self.rest().chars().next() else {
                return Err(Parser { text: self.text, at: start }.error("this string has no closing quote"));
            };
            if char == '\\' && quote != '`' {
                value.push(self.escape()?);
                continue;
            }
            self.at += char.len_utf8();
            if char == quote {
                return Ok(value);
            }
            value.push(char);
        }
    }

    /// One of Go's escapes, `\` included.
    fn escape(&mut self) -> Result<char, SelectorError> {
        let rest = &self.rest()[1..];
        let Some(kind) = rest.chars().next() else {
            return Err(self.error("this escape has no end"));
        };
        let simple = match kind {
            'a' => Some('\x07'),
            'b' => Some('\x08'),
            'f' => Some('\x0c'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\x0b'),
            '\\' | '"' | '\'' => Some(kind),
            _ => None,
        };
        if let Some(char) = simple {
            self.at += 2;
            return Ok(char);
        }
        let digits = match kind {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => return Err(self.error(format!("unknown escape \\{kind}"))),
        };
        let code = rest.get(1..1 + digits).and_then(|hex| u32::from_str_radix(hex, 16).ok());
        let Some(char) = code.and_then(char::from_u32) else {
            return Err(self.error(format!("\\{kind} needs {digits} hexadecimal digits of a character")));
        };
        self.at += 2 + digits;
        Ok(char)
    }
}

fn is_name_char(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_' || char == '.'
}

/// Compiles a regular expression that must match the whole value.
fn compile(pattern: &str) -> Result<Regex, String> {
    // On its own first, so that an unbalanced parenthesis cannot escape the anchors.
    let build = |pattern: &str| {
        RegexBuilder::new(pattern).size_limit(REGEX_MAX).dfa_size_limit(REGEX_MAX).nest_limit(50).build()
    };
    build(pattern).and_then(|_| build(&format!("^(?s:{pattern})$"))).map_err(|error| match error {
        regex::Error::CompiledTooBig(limit) => format!("compiled size exceeds the limit of {limit} bytes"),
        error => error.to_string().lines().last().unwrap_or("invalid").trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearth_profile::LabelSet;

    fn series() -> Series {
        let labels = [("service_name", "shop"), ("a.b", "c"), ("pod", "web-1"), ("odd", "say \"hi\"\n")];
        Series { profile_type: ProfileType::process_cpu(), labels: labels.into_iter().collect::<LabelSet>() }
    }

    #[test]
    #[rustfmt::skip]
    fn selectors_match_as_in_promql() {
        let cases = [
            ("",                                                                true),
            ("{}",                                                              true),
            (" { } ",                                                           true),
            (r#"{service_name="shop"}"#,                                        true),
            (r#"{service_name="shop",}"#,                                       true),
            (r#"{ service_name = "shop" , pod =~ "web-.*" }"#,                  true),
            (r#"{pod=~"web"}"#,                                                 false),
            (r#"{pod=~"x|web-1"}"#,                                             true),
            (r#"{pod!~"web-[2-9]"}"#,                                           true),
            (r#"{pod!="web-1"}"#,                                               false),
            (r#"{absent=""}"#,                                                  true),
            (r#"{absent!=""}"#,                                                 false),
            (r#"{absent=~".*"}"#,                                               true),
            (r#"{"a.b"="c"}"#,                                                  true),
            (r#"{a.b='c'}"#,                                                    true),
            ("{pod=`web-1`}",                                                   true),
            (r#"{odd="say \"hi\"\n"}"#,                                         true),
            (r#"{odd="say \x22hi\u0022\n"}"#,                                   true),
            (r#"{odd=~"say.*"}"#,                                               true),
            ("process_cpu:cpu:nanoseconds:cpu:nanoseconds",                     true),
            ("process_cpu:cpu:nanoseconds:cpu:nanoseconds{}",                   true),
            (r#"process_cpu:cpu:nanoseconds:cpu:nanoseconds{pod="web-1"}"#,     true),
            ("memory:space:bytes:space:bytes{}",                                false),
            (r#"{__profile_type__="process_cpu:cpu:nanoseconds:cpu:nanoseconds",service_name="shop"}"#, true),
            (r#"{__name__="process_cpu:cpu:nanoseconds:cpu:nanoseconds"}"#,     true),
            ("process_cpu{}",                                                   true),
            (r#"{"process_cpu"}"#,                                              true),
            (r#"{__type__="cpu",__unit__="nanoseconds",__period_type__="cpu"}"#, true),
        ];
        for (text, want) in cases {
            assert_eq!(Selector::parse(text).unwrap().matches(&series()), want, "{text}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn errors_say_what_and_where() {
        let cases = [
            (r"{pod}",                 5, "expected =, !=, =~ or !~ after \"pod\""),
            (r"{pod=web}",             6, "expected a quoted string, found 'w'"),
            (r#"{pod="web"#,           6, "no closing quote"),
            (r#"{pod="a" x="b"}"#,    10, "expected \",\" or \"}\", found 'x'"),
            (r#"{pod="a""#,            9, "found the end"),
            (r#"{pod=~"("}"#,          7, "regular expression \"(\""),
            (r#"{pod=~"a){9999}(b"}"#, 7, "regular expression"),
            (r#"{pod=~"(a{1000}){1000}"}"#, 7, "exceeds the limit"),
            (r#"{pod="a\q"}"#,         8, "unknown escape \\q"),
            (r#"{pod="\u12"}"#,        7, "needs 4 hexadecimal digits"),
            (r#"{="a"}"#,              2, "expected a label name, found '='"),
            (r#"{é="a"}"#,             2, "expected a label name, found 'é'"),
            ("{} x",                   4, "expected the end, found 'x'"),
            ("a:b{}",                  1, "has 2 parts; expected 5"),
            ("a b{}",                  1, "expected a profile type"),
        ];
        for (text, position, reason) in cases {
            let error = Selector::parse(text).unwrap_err();
            assert!(error.reason.contains(reason), "{text}: {error}");
            assert_eq!(error.position, position, "{text}: {error}");
        }
        assert!(Selector::parse(&"x".repeat(20_000)).unwrap_err().reason.contains("limit of 16384"));
    }
}
