//! Log lines as the Collector writes them: time, level, message, fields.
//!
//! In the console encoding tabs separate them and fields are one JSON object, left out if empty; in
//! the JSON encoding everything is one object.

use std::fmt;

use hearth_collector::config::{LogEncoding, LogLevel, Telemetry};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// Installs the process's logger. A second call has no effect: a logger cannot be replaced.
pub(crate) fn install(telemetry: &Telemetry) {
    let level = match telemetry.log_level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    // Libraries speak only when something is wrong.
    let targets = Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("hearth", level);
    let format = CollectorFormat {
        encoding: telemetry.log_encoding,
        fields: telemetry
            .log_fields
            .iter()
            .map(|(key, value)| (key.clone(), value.as_str().into()))
            .collect(),
    };
    let layer = tracing_subscriber::fmt::layer().event_format(format).with_writer(std::io::stderr);
    let _ = tracing_subscriber::registry().with(targets).with(layer).try_init();
}

struct CollectorFormat {
    encoding: LogEncoding,
    fields: Map<String, Value>,
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

impl<S, N> FormatEvent<S, N> for CollectorFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields { message: String::new(), rest: self.fields.clone() };
        event.record(&mut fields);
        let level = level_name(*event.metadata().level());
        match self.encoding {
            LogEncoding::Console => {
                SystemTime.format_time(&mut writer)?;
                write!(writer, "\t{level}\t{}", fields.message)?;
                if fields.rest.is_empty() {
                    writeln!(writer)
                } else {
                    writeln!(writer, "\t{}", Value::Object(fields.rest))
                }
            }
            LogEncoding::Json => {
                let now =
                    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                let mut line = Map::new();
                line.insert("level".into(), level.into());
                line.insert("ts".into(), now.as_secs_f64().into());
                line.insert("msg".into(), fields.message.into());
                line.append(&mut fields.rest);
                writeln!(writer, "{}", Value::Object(line))
            }
        }
    }
}

struct Fields {
    message: String,
    rest: Map<String, Value>,
}

impl Fields {
    fn set(&mut self, field: &Field, value: Value) {
        self.rest.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.set(field, format!("{value:?}").into());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn line(encoding: LogEncoding) -> String {
        let buffer = Buffer::default();
        let fields = [("dc".to_owned(), Value::from("eu"))].into_iter().collect();
        let writer = buffer.clone();
        let layer = tracing_subscriber::fmt::layer()
            .event_format(CollectorFormat { encoding, fields })
            .with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::warn!("otelcol.component.id" = "debug", count = 3u64, "Samples lost");
        });
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn lines_look_like_the_collectors() {
        let console = line(LogEncoding::Console);
        let (time, rest) = console.split_once('\t').unwrap();
        assert!(time.ends_with('Z'), "{time}");
        assert_eq!(
            rest,
            "warn\tSamples lost\t{\"count\":3,\"dc\":\"eu\",\"otelcol.component.id\":\"debug\"}\n"
        );
        let json: Value = serde_json::from_str(&line(LogEncoding::Json)).unwrap();
        assert_eq!(
            (&json["level"], &json["msg"], &json["count"]),
            (&"warn".into(), &"Samples lost".into(), &3.into())
        );
        assert!(json["ts"].as_f64().unwrap() > 1.0e9);
    }
}
