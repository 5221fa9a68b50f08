//! The section of an `otlp_grpc` exporter.

use std::time::Duration;

use super::tls::TlsSettings;
use crate::decode::{Missing, Section};
use crate::exporter::HelperSettings;

/// How request bodies are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Zstd,
    None,
}

/// Pings on a quiet connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keepalive {
    pub(super) time: Duration,
    pub(super) timeout: Duration,
    pub(super) permit_without_stream: bool,
}

/// What was read; checked, so that starting fails only for reasons outside the configuration.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Settings {
    pub(super) endpoint: String,
    pub(super) compression: Compression,
    pub(super) headers: Vec<(String, String)>,
    pub(super) keepalive: Option<Keepalive>,
    pub(super) user_agent: String,
    pub(super) authority: String,
    pub(super) tls: TlsSettings,
    pub(super) helper: HelperSettings,
}

impl Settings {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let mut settings = Self {
            endpoint: String::new(),
            compression: Compression::Gzip,
            headers: Vec::new(),
            keepalive: None,
            user_agent: String::new(),
            authority: String::new(),
            tls: TlsSettings::default(),
            helper: HelperSettings::default(),
        };
        section.string("endpoint", &mut settings.endpoint);
        let mut compression = String::from("gzip");
        section.string("compression", &mut compression);
        section.pairs("headers", &mut settings.headers);
        section.string("user_agent", &mut settings.user_agent);
        section.string("authority", &mut settings.authority);
        section.child("tls", |tls| settings.tls.read(tls));
        let mut keepalive = Keepalive {
            time: Duration::from_secs(10),
            timeout: Duration::from_secs(10),
            permit_without_stream: false,
        };
        let present = section.child("keepalive", |section| {
            section.duration("time", &mut keepalive.time);
            section.duration("timeout", &mut keepalive.timeout);
            section.bool("permit_without_stream", &mut keepalive.permit_without_stream);
        });
        settings.keepalive = present.then_some(keepalive);
        settings.helper.read(section);
        settings.read_compression(section, &compression);
        settings.read_not_implemented(section);
        settings.check_endpoint(section);
        settings
    }

    fn read_compression(&mut self, section: &mut Section<'_, '_>, written: &str) {
        self.compression = match written {
            "gzip" => Compression::Gzip,
            "zstd" => Compression::Zstd,
            "none" | "" => Compression::None,
            "snappy" => {
                section
                    .warn("compression", "\"snappy\" is not implemented by Hearth yet; gzip is used instead");
                Compression::Gzip
            }
            other => {
                section.decode_error("compression", &format!("unsupported compression type {other:?}"));
                Compression::Gzip
            }
        };
    }

    fn read_not_implemented(&self, section: &mut Section<'_, '_>) {
        section.not_implemented("write_buffer_size", "524288", Missing::Warn, "remove it");
        section.not_implemented("read_buffer_size", "0", Missing::Warn, "remove it");
        section.not_implemented(
            "wait_for_ready",
            "false",
            Missing::Warn,
            "requests always wait for the connection",
        );
        section.not_implemented("balancer_name", "round_robin", Missing::Warn, "one connection is used");
        section.not_implemented("auth", "", Missing::Refuse, "write the credential under headers");
        section.not_implemented("middlewares", "", Missing::Refuse, "remove it");
    }

    /// `host:port`, without the scheme a user may have written.
    pub(super) fn address(&self) -> &str {
        let endpoint = self.endpoint.as_str();
        ["http://", "https://", "dns:///", "dns://", "dns:"]
            .iter()
            .find_map(|scheme| endpoint.strip_prefix(scheme))
            .unwrap_or(endpoint)
    }

    /// `tls.insecure` decides, not the scheme; only `https://` insists on TLS.
    pub(super) fn uses_tls(&self) -> bool {
        !self.tls.insecure || self.endpoint.starts_with("https://")
    }

    fn check_endpoint(&self, section: &mut Section<'_, '_>) {
        if self.endpoint.starts_with("unix:") {
            return section
                .invalid("endpoint", "unix sockets are not supported yet by Hearth; use host:port");
        }
        let address = self.address();
        if address.is_empty() {
            return section.invalid("", "requires a non-empty \"endpoint\"");
        }
        match split_host_port(address) {
            Err(message) => section.invalid("", message),
            Ok((_, port)) if port.parse::<u16>().is_err() => {
                section.invalid("", format!("invalid port \"{port}\""));
            }
            Ok(_) if address.parse::<http::uri::Authority>().is_err() => {
                section.invalid("endpoint", format!("{address:?} is not host:port"));
            }
            Ok(_) => {}
        }
        if self.endpoint.starts_with("http://") && !self.tls.insecure {
            section.warn(
                "endpoint",
                "begins with http:// and is used with TLS all the same; for plain text set tls::insecure: true",
            );
        }
    }
}

/// `net.SplitHostPort` of Go, with its texts.
fn split_host_port(address: &str) -> Result<(&str, &str), String> {
    let missing = || format!("address {address}: missing port in address");
    if let Some(rest) = address.strip_prefix('[') {
        let (host, rest) =
            rest.split_once(']').ok_or_else(|| format!("address {address}: missing ']' in address"))?;
        return Ok((host, rest.strip_prefix(':').ok_or_else(missing)?));
    }
    let (host, port) = address.rsplit_once(':').ok_or_else(missing)?;
    if host.contains(':') {
        return Err(format!("address {address}: too many colons in address"));
    }
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::confmap::parse;
    use crate::decode::{Problems, read_section};

    fn read(yaml: &str) -> (Settings, Problems) {
        let mut problems = Problems::default();
        let settings = read_section(&parse(yaml).unwrap(), &mut problems, Settings::read);
        (settings, problems)
    }

    #[test]
    #[rustfmt::skip]
    fn endpoints_are_checked_with_the_collectors_texts() {
        let cases = [
            ("{}",                                  Err(r#"requires a non-empty "endpoint""#)),
            ("{endpoint: 'https://'}",              Err(r#"requires a non-empty "endpoint""#)),
            ("{endpoint: localhost}",               Err("address localhost: missing port in address")),
            ("{endpoint: '::1:4317'}",              Err("address ::1:4317: too many colons in address")),
            ("{endpoint: 'localhost:http'}",        Err(r#"invalid port "http""#)),
            ("{endpoint: 'localhost:99999'}",       Err(r#"invalid port "99999""#)),
            ("{endpoint: 'a b:1'}",                 Err(r#""a b:1" is not host:port"#)),
            ("{endpoint: 'unix:///x'}",             Err("unix sockets are not supported yet by Hearth; use host:port")),
            ("{endpoint: 'pyroscope:4040'}",        Ok(("pyroscope:4040", true))),
            ("{endpoint: '[::1]:4317'}",            Ok(("[::1]:4317", true))),
            ("{endpoint: 'http://x:1', tls: {insecure: true}}",  Ok(("x:1", false))),
            ("{endpoint: 'http://x:1'}",            Ok(("x:1", true))),
            ("{endpoint: 'https://x:1', tls: {insecure: true}}", Ok(("x:1", true))),
            ("{endpoint: 'dns:///x:1', tls: {insecure: true}}",  Ok(("x:1", false))),
        ];
        for (yaml, want) in cases {
            let (settings, problems) = read(yaml);
            assert_eq!(problems.decode, Vec::<String>::new(), "{yaml}");
            match want {
                Err(message) => assert_eq!(problems.invalid[0].message, message, "{yaml}"),
                Ok(want) => {
                    assert_eq!(problems.invalid, [], "{yaml}");
                    assert_eq!((settings.address(), settings.uses_tls()), want, "{yaml}");
                }
            }
        }
    }

    #[test]
    #[rustfmt::skip]
    fn keys_without_implementation_are_named() {
        let cases = [
            ("wait_for_ready: true",           "wait_for_ready: not implemented by Hearth yet, has no effect; requests always wait for the connection"),
            ("write_buffer_size: 1024",        "write_buffer_size: not implemented by Hearth yet, has no effect; remove it"),
            ("compression: snappy",            "compression: \"snappy\" is not implemented by Hearth yet; gzip is used instead"),
            ("auth: {authenticator: basic}",   "auth: not supported yet by Hearth; write the credential under headers"),
            ("sending_queue: {sizer: bytes}",  "sending_queue::sizer: \"bytes\" is not supported yet by Hearth; leave it out and give queue_size in requests"),
            ("sending_queue: {storage: fs}",   "sending_queue::storage: not supported yet by Hearth; leave it out: the queue is kept in memory"),
            ("sending_queue: {batch: {}}",     "sending_queue::batch: not supported yet by Hearth; leave it out: each request is one batch already"),
            ("sending_queue: {queue_size: 0}", "sending_queue: `queue_size` must be positive"),
            ("sending_queue: {num_consumers: 0}", "sending_queue: `num_consumers` must be positive"),
            ("tls: {min_version: '1.3'}",      "tls::min_version: \"1.3\" is not supported yet by Hearth, which offers TLS 1.2 and 1.3; leave it out"),
            ("tls: {cert_file: x}",            "tls: provide both certificate and key, or neither"),
            ("write_buffer_size: 524288",      ""),
            ("sending_queue: {enabled: false, queue_size: 0}", ""),
        ];
        for (yaml, want) in cases {
            let (_, problems) = read(&format!("endpoint: x:1\n{yaml}\n"));
            let mut all = problems.invalid;
            all.extend(problems.warnings);
            let got = all.first().map(|remark| format!("{}: {}", remark.path, remark.message)).unwrap_or_default();
            assert_eq!(got, want, "{yaml}");
        }
    }
}
