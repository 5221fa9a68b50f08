//! Values back to text, for `print-config`.

use super::Value;

/// The value as YAML, block style, with a final newline.
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    match value.parsed() {
        Value::Map(map) if !map.is_empty() => write_block(&mut out, value, 0),
        Value::List(items) if !items.is_empty() => write_block(&mut out, value, 0),
        other => {
            out.push_str(&inline(other));
            out.push('\n');
        }
    }
    out
}

fn write_block(out: &mut String, value: &Value, indent: usize) {
    let pad = " ".repeat(indent);
    match value.parsed() {
        Value::Map(map) => {
            for (key, child) in map {
                out.push_str(&format!("{pad}{}:", quoted(key)));
                write_child(out, child, indent + 4);
            }
        }
        Value::List(items) => {
            for child in items {
                match child.parsed() {
                    // The first key stands beside the dash.
                    Value::Map(map) if !map.is_empty() => {
                        let mut block = String::new();
                        write_block(&mut block, child, indent + 2);
                        block.replace_range(indent..=indent, "-");
                        out.push_str(&block);
                    }
                    _ => {
                        out.push_str(&format!("{pad}-"));
                        write_child(out, child, indent + 4);
                    }
                }
            }
        }
        _ => {}
    }
}

/// What follows a key or a dash, to the end of the line or as a block of its own.
fn write_child(out: &mut String, child: &Value, indent: usize) {
    match child.parsed() {
        Value::Map(map) if !map.is_empty() => {
            out.push('\n');
            write_block(out, child, indent);
        }
        Value::List(items) if !items.is_empty() => {
            out.push('\n');
            write_block(out, child, indent);
        }
        _ => out.push_str(&format!(" {}\n", inline(child))),
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::String(text) => quoted(text),
        Value::List(_) => "[]".into(),
        Value::Map(_) => "{}".into(),
        Value::Expanded(expanded) => match expanded.value.parsed() {
            Value::String(_) => quoted(&expanded.original),
            other => inline(other),
        },
    }
}

/// Text as a YAML scalar, quoted only where it would mean something else.
fn quoted(text: &str) -> String {
    let bare = !text.is_empty()
        && matches!(super::yaml::plain(text), Value::String(_))
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_./:-+${} ".contains(c))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || "_/.$".contains(c))
        && !text.contains(": ")
        && !text.ends_with([':', ' ']);
    // A JSON string is a YAML double-quoted scalar.
    if bare { text.into() } else { serde_json::Value::from(text).to_string() }
}

/// The value as JSON.
pub fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Float(value) => {
            serde_json::Number::from_f64(*value).map_or_else(|| value.to_string().into(), Into::into)
        }
        Value::String(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(map) => map.iter().map(|(key, value)| (key.clone(), to_json(value))).collect(),
        Value::Expanded(expanded) => to_json(&expanded.value),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn printed_yaml_reads_back_as_the_same_tree() {
        let text = "a:\n  b: '012'\n  c: [1, {d: ~, e: []}, 'x: y', '', 'true', \"tab\\t\"]\n  f: {}\ng: 1.5\n'h i': -1\n";
        let value = parse(text).unwrap();
        assert_eq!(parse(&to_yaml(&value)).unwrap(), value, "{}", to_yaml(&value));
        assert_eq!(to_json(&value)["a"]["c"][1]["d"], serde_json::Value::Null);
    }
}
