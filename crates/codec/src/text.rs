//! Bytes as text: hexadecimal and base64, as JSON carries them.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Standard base64 with padding.
pub fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |group, &byte| group << 8 | u32::from(byte));
        let group = group << (8 * (3 - chunk.len()));
        for index in 0..4 {
            let digit = (group >> (18 - 6 * index)) as usize & 63;
            text.push(if index <= chunk.len() { char::from(ALPHABET[digit]) } else { '=' });
        }
    }
    text
}

/// Base64 of either alphabet, padded or not; `None` if the text is none.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for chunk in digits.as_bytes().chunks(4) {
        let mut group = 0_u32;
        for &digit in chunk {
            let value = match digit {
                b'-' => 62,
                b'_' => 63,
                _ => ALPHABET.iter().position(|&letter| letter == digit)?,
            };
            group = group << 6 | value as u32;
        }
        match chunk.len() {
            4 => bytes.extend_from_slice(&group.to_be_bytes()[1..]),
            3 => bytes.extend_from_slice(&(group >> 2).to_be_bytes()[2..]),
            2 => bytes.push((group >> 4) as u8),
            _ => return None,
        }
    }
    Some(bytes)
}

/// Hexadecimal digits of either case; `None` if the text is none.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    text.as_bytes().chunks(2).map(|pair| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn base64_round_trips() {
        let cases: [(&[u8], &str); 5] =
            [(b"", ""), (b"f", "Zg=="), (b"fo", "Zm8="), (b"foo", "Zm9v"), (b"\xff\xfe\xfdb", "//79Yg==")];
        for (bytes, text) in cases {
            assert_eq!(to_base64(bytes), text);
            assert_eq!(from_base64(text).as_deref(), Some(bytes));
            let url = text.replace('/', "_").replace('=', "");
            assert_eq!(from_base64(&url).as_deref(), Some(bytes));
        }
        for bad in ["Z", "Zm9vY", "Zm!v"] {
            assert_eq!(from_base64(bad), None, "{bad}");
        }
        assert_eq!(from_hex("0aFf"), Some(vec![0x0a, 0xff]));
        assert_eq!((from_hex("0a1"), from_hex("zz")), (None, None));
    }
}
