//! `multipart/form-data`, as far as SDKs send profiles in it: fields by name, all in memory.
//!
//! Reference: RFC 7578, RFC 2046 §5.1.

/// Most fields of one form.
const FIELDS_MAX: usize = 64;
/// Longest boundary, by RFC 2046.
const BOUNDARY_MAX: usize = 70;

/// Whether a media type is that of a form.
pub fn is_form(media: &str) -> bool {
    media.trim_start().get(..19).is_some_and(|start| start.eq_ignore_ascii_case("multipart/form-data"))
}

/// The boundary that a media type names.
fn boundary(media: &str) -> Option<&str> {
    let parameter = media.split(';').skip(1).map(str::trim).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then_some(value)
    })?;
    let boundary = parameter.trim().trim_matches('"');
    (1..=BOUNDARY_MAX).contains(&boundary.len()).then_some(boundary)
}

/// The fields of a form, by name, in the form's order.
///
/// # Errors
///
/// What is wrong with the media type or the form.
pub fn fields<'b>(media: &str, body: &'b [u8]) -> Result<Vec<(String, &'b [u8])>, String> {
    let boundary = boundary(media).ok_or("content-type: multipart/form-data without a boundary")?;
    let delimiter = format!("--{boundary}").into_bytes();
    let mut fields = Vec::new();
    let Some(mut at) = find(body, &delimiter, 0) else {
        return Err("the form does not begin with its boundary".to_owned());
    };
    loop {
        at += delimiter.len();
        if body[at..].starts_with(b"--") {
            return Ok(fields);
        }
        let head = find(body, b"\r\n\r\n", at).ok_or("a field of the form has no headers")?;
        let mut separator = b"\r\n".to_vec();
        separator.extend_from_slice(&delimiter);
        let end = find(body, &separator, head + 2).ok_or("the form does not end with its boundary")?;
        let name = name(&body[at..head]).ok_or("a field of the form has no name")?;
        // An empty value ends where its headers do.
        fields.push((name, body.get(head + 4..end).unwrap_or_default()));
        if fields.len() > FIELDS_MAX {
            return Err(format!("the form has more than {FIELDS_MAX} fields"));
        }
        at = end + 2;
    }
}

/// Where `needle` is in `body`, at `from` or later.
fn find(body: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let first = *needle.first()?;
    let mut at = from;
    loop {
        at += body.get(at..)?.iter().position(|&byte| byte == first)?;
        if body[at..].starts_with(needle) {
            return Some(at);
        }
        at += 1;
    }
}

/// The name in the headers of a field.
fn name(headers: &[u8]) -> Option<String> {
    let headers = String::from_utf8_lossy(headers);
    let disposition = headers.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    disposition.split(';').map(str::trim).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("name").then(|| value.trim().trim_matches('"').to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name() {
        let media = "multipart/form-data; boundary=\"x-y\"";
        let body =
            b"preamble\r\n--x-y\r\nContent-Disposition: form-data; name=\"profile\"; filename=\"p\"\r\n\
            Content-Type: application/octet-stream\r\n\r\n\x1f\x8b\r\n-\r\n--x\r\n--x-y\r\n\
            content-disposition: form-data; name=empty\r\n\r\n\r\n--x-y--\r\n";
        assert!(is_form(media) && !is_form("text/plain"));
        let fields = fields(media, body).unwrap();
        assert_eq!(fields, [("profile".to_owned(), &b"\x1f\x8b\r\n-\r\n--x"[..]), ("empty".to_owned(), b"")]);
    }

    #[test]
    fn broken_forms_are_refused() {
        let media = "multipart/form-data; boundary=b";
        for (media, body, want) in [
            ("multipart/form-data", &b""[..], "without a boundary"),
            (media, b"nothing", "does not begin"),
            (media, b"--b\r\n", "no headers"),
            (media, b"--b\r\nx: y\r\n\r\nz", "does not end"),
            (media, b"--b\r\nx: y\r\n\r\nz\r\n--b--", "has no name"),
            (media, b"--b", "no headers"),
        ] {
            let error = fields(media, body).unwrap_err();
            assert!(error.contains(want), "{error}");
        }
    }
}
