//! `debug`: writes what passes to the log.
//!
//! `basic` counts, `normal` writes a line per resource, scope and profile, `detailed` writes every
//! sample with its stack.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use hearth_profile::{Attributes, Dictionary, Profile, ProfileBatch, StackId};

use crate::decode::{Missing, Section};
use crate::{Component, ConsumeError, Consumer, CreateExporter, Exporter, Factory, Stability};

/// Length of one log message; the rest of a very large batch is left out and said so.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verbosity {
    Basic,
    Normal,
    Detailed,
}

#[derive(Clone, Debug)]
struct Settings {
    verbosity: Verbosity,
    sampling_initial: u64,
    sampling_thereafter: u64,
}

impl Settings {
    fn read(section: &mut Section<'_, '_>) -> Self {
        let mut settings = Self { verbosity: Verbosity::Basic, sampling_initial: 2, sampling_thereafter: 1 };
        let mut verbosity = String::from("basic");
        section.string("verbosity", &mut verbosity);
        settings.verbosity = match verbosity.to_ascii_lowercase().as_str() {
            "basic" => Verbosity::Basic,
            "normal" => Verbosity::Normal,
            "detailed" => Verbosity::Detailed,
            "none" => {
                section.invalid("", "verbosity level \"None\" is not supported");
                Verbosity::Basic
            }
            _ => {
                section.decode_error("verbosity", &format!("unknown metrics level {verbosity:?}"));
                Verbosity::Basic
            }
        };
        section.integer("sampling_initial", &mut settings.sampling_initial);
        section.integer("sampling_thereafter", &mut settings.sampling_thereafter);
        let (mut internal, mut paths) = (true, vec!["stdout".to_owned()]);
        section.bool("use_internal_logger", &mut internal);
        section.strings("output_paths", &mut paths);
        if !internal {
            section.invalid("use_internal_logger", "false is not supported yet by Hearth; leave it out");
        } else if paths != ["stdout"] {
            section.invalid("", "output_paths is not supported when use_internal_logger is true");
        }
        section.not_implemented(
            "sending_queue",
            "",
            Missing::Refuse,
            "leave it out: output is written at once",
        );
        settings
    }
}

pub(crate) fn factory() -> Factory<CreateExporter> {
    Factory::new("debug", Stability::Alpha, |section| -> CreateExporter {
        let settings = Settings::read(section);
        Box::new(move |context| {
            let labels = [("exporter", context.id.to_string())];
            let labels = labels.each_ref().map(|(name, value)| (*name, value.as_str()));
            Ok(Arc::new(Debug {
                settings: settings.clone(),
                id: context.id.to_string(),
                seen: AtomicU64::new(0),
                sent: context.metrics.counter("exporter_sent_profile_samples", &labels),
            }))
        })
    })
}

struct Debug {
    settings: Settings,
    id: String,
    seen: AtomicU64,
    sent: crate::Counter,
}

impl Component for Debug {}
impl Exporter for Debug {}

#[async_trait]
impl Consumer for Debug {
    async fn consume(&self, batch: Arc<ProfileBatch>) -> Result<(), ConsumeError> {
        self.sent.add(batch.sample_count() as u64);
        // The first few, then one in so many; the Collector's sampler starts anew each second, which
        // at one batch per interval comes to the same.
        let seen = self.seen.fetch_add(1, Ordering::Relaxed);
        let Settings { sampling_initial, sampling_thereafter, verbosity } = self.settings;
        if seen >= sampling_initial
            && (sampling_thereafter == 0
                || !(seen - sampling_initial + 1).is_multiple_of(sampling_thereafter))
        {
            return Ok(());
        }
        tracing::info!(
            "otelcol.component.id" = self.id,
            "otelcol.component.kind" = "exporter",
            "otelcol.signal" = "profiles",
            "resource profiles" = batch.resources.len(),
            "sample records" = batch.sample_count(),
            "Profiles"
        );
        let text = match verbosity {
            Verbosity::Basic => return Ok(()),
            Verbosity::Normal => normal(&batch),
            Verbosity::Detailed => detailed(&batch),
        };
        tracing::info!(
            "otelcol.component.id" = self.id,
            "otelcol.component.kind" = "exporter",
            "otelcol.signal" = "profiles",
            "{}",
            text.trim_end()
        );
        Ok(())
    }
}

/// Text up to [`MESSAGE_BYTES_MAX`]; later lines are counted only.
#[derive(Default)]
struct Message {
    text: String,
    left_out: usize,
}

impl Message {
    fn line(&mut self, line: impl std::fmt::Display) {
        if self.text.len() > MESSAGE_BYTES_MAX {
            self.left_out += 1;
        } else {
            // Writing to a String cannot fail.
            let _ = writeln!(self.text, "{line}");
        }
    }

    fn finish(mut self) -> String {
        if self.left_out > 0 {
            let _ = writeln!(self.text, "… {} further lines left out", self.left_out);
        }
        self.text
    }
}

fn one_line(attributes: &Attributes) -> String {
    attributes.iter().map(|(key, value)| format!(" {key}={value}")).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn normal(batch: &ProfileBatch) -> String {
    let mut out = Message::default();
    for (index, entry) in batch.resources.iter().enumerate() {
        out.line(format_args!("ResourceProfiles #{index}{}", one_line(&entry.resource)));
        let scope = &entry.scope;
        let version = if scope.version.is_empty() { String::new() } else { format!("@{}", scope.version) };
        out.line(format_args!("ScopeProfiles #0 {}{version}{}", scope.name, one_line(&scope.attributes)));
        for profile in &entry.profiles {
            out.line(format_args!(
                "{} samples={}{}",
                hex(&profile.profile_id),
                profile.samples.len(),
                one_line(&profile.attributes)
            ));
        }
    }
    out.finish()
}

fn list(out: &mut Message, title: &str, attributes: &Attributes) {
    if attributes.is_empty() {
        return;
    }
    out.line(format_args!("{title}:"));
    for (key, value) in attributes.iter() {
        out.line(format_args!("     -> {key}: {value}"));
    }
}

fn detailed(batch: &ProfileBatch) -> String {
    let mut out = Message::default();
    for (index, entry) in batch.resources.iter().enumerate() {
        out.line(format_args!("ResourceProfiles #{index}"));
        list(&mut out, "Resource attributes", &entry.resource);
        out.line("ScopeProfiles #0");
        out.line(format_args!("InstrumentationScope {} {}", entry.scope.name, entry.scope.version));
        list(&mut out, "InstrumentationScope attributes", &entry.scope.attributes);
        for (index, profile) in entry.profiles.iter().enumerate() {
            out.line(format_args!("Profile #{index}"));
            detailed_profile(&mut out, &batch.dictionary, profile);
        }
    }
    out.finish()
}

fn detailed_profile(out: &mut Message, dictionary: &Dictionary, profile: &Profile) {
    out.line(format_args!("    Profile ID     : {}", hex(&profile.profile_id)));
    out.line(format_args!("    Start time     : {} ns since 1970", profile.time_unix_nano));
    out.line(format_args!("    DurationNano   : {}", profile.duration_nano));
    out.line(format_args!("    Sample type    : {}/{}", profile.sample_type.name, profile.sample_type.unit));
    let period = &profile.period_type;
    out.line(format_args!("    Period         : {} {}/{}", profile.period, period.name, period.unit));
    for (index, sample) in profile.samples.iter().enumerate() {
        out.line(format_args!("    Sample #{index} value={}{}", sample.value, one_line(&sample.attributes)));
        detailed_stack(out, dictionary, sample.stack);
    }
}

/// The stack's frames, leaf first.
fn detailed_stack(out: &mut Message, dictionary: &Dictionary, stack: StackId) {
    for location in dictionary.leaf_first(stack) {
        let location = dictionary.get_location(location);
        let mapping = dictionary.get_mapping(location.mapping);
        let file = dictionary.get_string(mapping.filename);
        if location.lines.is_empty() {
            out.line(format_args!("        {file}+{:#x} [{}]", location.address, location.kind.name()));
        }
        for line in &location.lines {
            let function = dictionary.get_function(line.function);
            let name = dictionary.get_string(function.name);
            let source = dictionary.get_string(function.filename);
            let place = if source.is_empty() { String::new() } else { format!(" {source}:{}", line.line) };
            out.line(format_args!("        {name}{place} ({file}) [{}]", location.kind.name()));
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use hearth_profile::{
        FrameKind, Function, Line, Location, Mapping, ResourceProfiles, Sample, Scope, ValueType,
    };

    use super::*;
    use crate::confmap::parse;
    use crate::decode::{Problems, read_section};

    fn batch() -> ProfileBatch {
        let mut batch = ProfileBatch::default();
        let dictionary = &mut batch.dictionary;
        let filename = dictionary.string("/bin/cat");
        let mapping = dictionary.mapping(Mapping { filename, ..Mapping::default() });
        let (name, source) = (dictionary.string("main"), dictionary.string("cat.c"));
        let function = dictionary.function(Function { name, filename: source, ..Function::default() });
        let lines = vec![Line { function, line: 7, column: 0 }].into();
        let named = dictionary.location(Location { mapping, address: 1, lines, kind: FrameKind::Native });
        let unnamed = Location { mapping, address: 0x20, kind: FrameKind::Native, ..Location::default() };
        let unnamed = dictionary.location(unnamed);
        let stack = dictionary.stack(&[unnamed, named]);
        let profile = Profile {
            sample_type: ValueType::new("samples", "count"),
            period_type: ValueType::new("cpu", "nanoseconds"),
            period: 10_309_278,
            time_unix_nano: 5,
            duration_nano: 6,
            samples: vec![Sample { stack, value: 3, ..Sample::default() }],
            ..Profile::default()
        };
        batch.resources.push(ResourceProfiles {
            resource: [("service.name", "cat")].into_iter().collect(),
            scope: Scope { name: "hearth".into(), version: "1".into(), attributes: Attributes::default() },
            profiles: vec![profile],
        });
        batch
    }

    #[test]
    fn profiles_are_written_line_by_line() {
        expect![[r#"
            ResourceProfiles #0 service.name=cat
            ScopeProfiles #0 hearth@1
            00000000000000000000000000000000 samples=1
        "#]]
        .assert_eq(&normal(&batch()));
        expect![[r#"
            ResourceProfiles #0
            Resource attributes:
                 -> service.name: cat
            ScopeProfiles #0
            InstrumentationScope hearth 1
            Profile #0
                Profile ID     : 00000000000000000000000000000000
                Start time     : 5 ns since 1970
                DurationNano   : 6
                Sample type    : samples/count
                Period         : 10309278 cpu/nanoseconds
                Sample #0 value=3
                    /bin/cat+0x20 [native]
                    main cat.c:7 (/bin/cat) [native]
        "#]]
        .assert_eq(&detailed(&batch()));
    }

    #[test]
    #[rustfmt::skip]
    fn settings_are_checked() {
        let cases = [
            ("{}",                              ""),
            ("{verbosity: Detailed}",           ""),
            ("{verbosity: none}",               "verbosity level \"None\" is not supported"),
            ("{verbosity: loud}",               "'verbosity' unknown metrics level \"loud\""),
            ("{output_paths: [stderr]}",        "output_paths is not supported when use_internal_logger is true"),
            ("{use_internal_logger: false}",    "false is not supported yet by Hearth; leave it out"),
        ];
        for (yaml, want) in cases {
            let mut problems = Problems::default();
            read_section(&parse(yaml).unwrap(), &mut problems, Settings::read);
            let mut got = problems.decode;
            got.extend(problems.invalid.into_iter().map(|remark| remark.message));
            assert_eq!(got.join("|"), want, "{yaml}");
        }
    }
}
