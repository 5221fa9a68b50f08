//! The two variables of `/proc/PID/environ` by which a process says what it is.
//!
//! Sources: OpenTelemetry specification, "General SDK Configuration" (`OTEL_SERVICE_NAME`,
//! `OTEL_RESOURCE_ATTRIBUTES`) and "Resource SDK", "Specifying resource information via an
//! environment variable"; W3C Baggage for the form of the list.

/// Attributes taken from one process; further ones are left out.
pub const RESOURCE_ATTRIBUTES_MAX: usize = 64;
/// Bytes of one attribute's key or value, and of a service name; longer ones are left out.
const TEXT_BYTES_MAX: usize = 1024;

/// What a process's environment says about its resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `OTEL_SERVICE_NAME`, else `service.name` of `OTEL_RESOURCE_ATTRIBUTES`. Never empty.
    pub service_name: Option<String>,
    /// The other attributes of `OTEL_RESOURCE_ATTRIBUTES`, in its order, each key once.
    pub attributes: Vec<(String, String)>,
}

/// Looks for OpenTelemetry's variables in `environ`: `NAME=value` ended by NULs.
///
/// As in `getenv`, the first variable of a name counts. An empty value is the same as none. An
/// entry that was cut off (the environment is longer than what was read) is left out by the caller's
/// bound only if it is the last; it is then cut, never misread as another variable.
pub fn parse_environ(environ: &[u8]) -> Environment {
    let variable = |name: &[u8]| {
        environ
            .split(|byte| *byte == 0)
            .find_map(|entry| entry.strip_prefix(name)?.strip_prefix(b"="))
            .and_then(|value| std::str::from_utf8(value).ok())
    };
    let mut attributes =
        variable(b"OTEL_RESOURCE_ATTRIBUTES").map_or_else(Vec::new, parse_resource_attributes);
    let explicit =
        variable(b"OTEL_SERVICE_NAME").map(str::trim).filter(|name| is_usable(name)).map(str::to_owned);
    let position = attributes.iter().position(|(key, _)| key == "service.name");
    let from_attributes =
        position.map(|position| attributes.remove(position).1).filter(|name| is_usable(name));
    Environment { service_name: explicit.or(from_attributes), attributes }
}

fn is_usable(text: &str) -> bool {
    !text.is_empty() && text.len() <= TEXT_BYTES_MAX
}

/// Parses `key=value,key=value`, percent-decoding both sides. Of equal keys the last counts.
///
/// As the specification demands, an error anywhere discards the whole list: an entry without `=`,
/// an empty key, an invalid escape, or bytes that are no UTF-8. Spaces around keys and values are
/// not part of them. At most [`RESOURCE_ATTRIBUTES_MAX`] are taken.
pub fn parse_resource_attributes(list: &str) -> Vec<(String, String)> {
    let mut attributes: Vec<(String, String)> = Vec::new();
    for member in list.split(',').filter(|member| !member.trim().is_empty()) {
        let Some((key, value)) = member.split_once('=') else { return Vec::new() };
        let (Some(key), Some(value)) = (percent_decoded(key.trim()), percent_decoded(value.trim())) else {
            return Vec::new();
        };
        if key.is_empty() {
            return Vec::new();
        }
        if key.len() > TEXT_BYTES_MAX || value.len() > TEXT_BYTES_MAX {
            continue;
        }
        if let Some(known) = attributes.iter_mut().find(|(known, _)| *known == key) {
            known.1 = value;
        } else if attributes.len() < RESOURCE_ATTRIBUTES_MAX {
            attributes.push((key, value));
        }
    }
    attributes
}

/// `text` with `%XX` replaced; none if an escape is invalid or the result is no UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let high = char::from(bytes.next()?).to_digit(16)?;
        let low = char::from(bytes.next()?).to_digit(16)?;
        decoded.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn resource_attributes_follow_the_specification() {
        let cases = [
            ("empty", "", &[][..]),
            ("one", "a=b", &[("a", "b")]),
            ("order is kept", "z=1,a=2", &[("z", "1"), ("a", "2")]),
            ("spaces around", " a = b , c=d ", &[("a", "b"), ("c", "d")]),
            ("escapes in values", "a=x%2Cy%3Dz%20%25", &[("a", "x,y=z %")]),
            ("escapes in keys", "a%3Db=c", &[("a=b", "c")]),
            ("UTF-8 by escapes", "a=%C3%A9", &[("a", "é")]),
            ("equals sign in a value", "a=b=c", &[("a", "b=c")]),
            ("empty value", "a=", &[("a", "")]),
            ("last of equal keys", "a=1,b=2,a=3", &[("a", "3"), ("b", "2")]),
            ("an invalid escape discards all", "a=b,c=%zz", &[]),
            ("an entry without = discards all", "a=b,c", &[]),
            ("invalid UTF-8 discards all", "a=b,c=%ff", &[]),
        ];
        for (case, list, want) in cases {
            let want: Vec<_> = want.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            assert_eq!(parse_resource_attributes(list), want, "{case}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn service_name_is_taken_from_the_more_specific_variable() {
        let cases: [(&str, &[u8], Option<&str>); 8] = [
            ("nothing", b"PATH=/bin\0", None),
            ("name", b"A=b\0OTEL_SERVICE_NAME=shop\0C=d\0", Some("shop")),
            ("attribute", b"OTEL_RESOURCE_ATTRIBUTES=service.name=cart,x=y\0", Some("cart")),
            ("name wins", b"OTEL_RESOURCE_ATTRIBUTES=service.name=cart\0OTEL_SERVICE_NAME=shop\0", Some("shop")),
            ("empty name is none", b"OTEL_SERVICE_NAME=\0OTEL_RESOURCE_ATTRIBUTES=service.name=cart\0", Some("cart")),
            ("first of equal names", b"OTEL_SERVICE_NAME=a\0OTEL_SERVICE_NAME=b\0", Some("a")),
            ("a longer name is another", b"OTEL_SERVICE_NAME_X=a\0XOTEL_SERVICE_NAME=b\0", None),
            ("not ended", b"OTEL_SERVICE_NAME=shop", Some("shop")),
        ];
        for (case, environ, want) in cases {
            assert_eq!(parse_environ(environ).service_name.as_deref(), want, "{case}");
        }
    }

    #[test]
    fn other_attributes_are_kept_and_bounded() {
        let environment =
            parse_environ(b"OTEL_RESOURCE_ATTRIBUTES=deployment.environment=prod,service.name=a,k=v\0");
        let keys: Vec<_> = environment.attributes.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["deployment.environment", "k"]);
        let many: Vec<String> = (0..10_000).map(|i| format!("k{i}=v")).collect();
        assert_eq!(parse_resource_attributes(&many.join(",")).len(), RESOURCE_ATTRIBUTES_MAX);
        let long = format!("a={},b=c", "x".repeat(5000));
        assert_eq!(parse_resource_attributes(&long), [("b".to_owned(), "c".to_owned())]);
    }
}
