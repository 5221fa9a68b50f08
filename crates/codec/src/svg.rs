//! A flame graph as one SVG file that needs nothing else.
//!
//! Root at the top, one row per call, width by value, siblings by name, colour by
//! [`Layer`](hearth_profile::Layer). It is readable without scripts (names, and a tooltip per
//! bar); where scripts run, a click zooms and `/` searches. Bars narrower than a fifth of a pixel
//! are left out; their callers' width still counts them.

use std::borrow::Cow;
use std::fmt::Write as _;

use hearth_profile::{Layer, NodeId, Tree, ValueType};

const SCRIPT: &str = include_str!("svg.js");

const WIDTH: f64 = 1176.0;
const LEFT: f64 = 12.0;
const TOP: u32 = 64;
const ROW: u32 = 18;
/// Width of a letter at 11 pixels, on average.
const LETTER: f64 = 6.2;
const NARROWEST: f64 = 0.2;
/// Deeper rows are cut off; a browser cannot show a taller image well.
const ROWS_MAX: u32 = 1_000;

/// Four shades for each layer, in the order of their numbers, so that neighbours differ.
const SHADES: [[&str; 4]; 5] = [
    ["#e08164", "#e88c63", "#de8c51", "#e49952"],
    ["#ba9a4b", "#c0a555", "#b7a251", "#bdac5a"],
    ["#9897d5", "#a59edd", "#a798d5", "#b49fdd"],
    ["#58b0aa", "#60b8b7", "#5bb3b8", "#64bbc5"],
    ["#82a3bf", "#8cabc9", "#8aa6c5", "#95aecf"],
];

const STYLE: &str = "svg{background:#10131a}text{font:11px ui-monospace,'JetBrains Mono',Menlo,Consolas,monospace;\
fill:#15171d;pointer-events:none}.h,.s,.k,#status{font-family:Inter,system-ui,sans-serif}.h{font-size:15px;font-weight:600;\
fill:#e6e9f0}.s,.k{fill:#98a1b3}#status{fill:#6ea8fe;cursor:pointer;pointer-events:all;text-anchor:end}.b{cursor:pointer}\
.b:hover rect{stroke:#fff;stroke-width:1}rect.miss{opacity:.25}rect.hit{stroke:#ffd166;stroke-width:1.5}\
@media(prefers-color-scheme:light){svg{background:#fff}.h{fill:#171a21}.s,.k{fill:#5c6474}#status{fill:#2563eb}\
.b:hover rect{stroke:#171a21}}";

/// Writes a tree of values counted in `value_type`.
pub fn write(tree: &Tree, title: &str, value_type: &ValueType) -> String {
    let totals = tree.totals();
    let total = tree.total().max(1);
    let layers: Vec<Layer> = tree.names().map(|(_, layer)| layer).collect();
    let names: Vec<&str> = tree.names().map(|(name, _)| name).collect();
    let mut bars = String::new();
    let mut rows = 1;
    // Where each node's next child begins.
    let mut next = vec![0_i64; tree.len()];
    let mut share_of = [0_i64; Layer::ALL.len()];
    for (node, depth) in tree.preorder() {
        let (index, parent) = (node.0 as usize, tree.parent(node).0 as usize);
        let (value, own) = (totals[index].max(0), tree.self_value(node));
        let x = next[parent];
        if node != NodeId::ROOT {
            next[parent] = x.saturating_add(value);
        }
        next[index] = x.saturating_add(own.max(0));
        let name = tree.name_index(node) as usize;
        let layer = layers[name];
        share_of[layer as usize] = share_of[layer as usize].saturating_add(own);
        let width = value as f64 / total as f64 * WIDTH;
        if width < NARROWEST || depth >= ROWS_MAX {
            continue;
        }
        rows = rows.max(depth + 1);
        let bar = Bar { name: names[name], layer, depth, x: x as f64 / total as f64 * WIDTH, width };
        bar.write(&mut bars, &tooltip(names[name], value, own, total, value_type));
    }
    let height = TOP + rows * ROW + 12;
    let mut svg = String::with_capacity(bars.len() + 8_192);
    // Writing to a string cannot fail.
    let _ = write!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1200 {height}" width="1200" height="{height}"><style>{STYLE}"#
    );
    for (layer, shades) in SHADES.iter().enumerate() {
        for (shade, color) in shades.iter().enumerate() {
            let _ = write!(svg, ".l{layer}{shade}{{fill:{color}}}");
        }
    }
    let subtitle = format!("{} of {}", amount(tree.total(), &value_type.unit), plain(&value_type.name));
    let _ = write!(
        svg,
        r#"</style><text class="h" x="12" y="26">{}</text><text class="s" x="12" y="46">{}</text>"#,
        escape(title),
        escape(&subtitle)
    );
    legend(&mut svg, &share_of, total);
    svg += r#"<text id="status" x="1188" y="26">Search</text>"#;
    svg += &bars;
    svg += "<script><![CDATA[\n";
    svg += SCRIPT;
    svg += "]]></script></svg>\n";
    svg
}

struct Bar<'a> {
    name: &'a str,
    layer: Layer,
    depth: u32,
    x: f64,
    width: f64,
}

impl Bar<'_> {
    fn write(&self, svg: &mut String, tooltip: &str) {
        let (x, y) = (LEFT + self.x, TOP + self.depth * ROW);
        let shade =
            self.name.bytes().fold(0_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into())) % 4;
        // Half a pixel between neighbours, unless that would be most of the bar. Only what is drawn
        // wider than 1.5 was narrowed by just that; the script relies on it.
        let drawn = if self.width > 2.0 { self.width - 0.5 } else { self.width.min(1.5) };
        let _ = write!(
            svg,
            r#"<g class="b"><title>{}</title><rect class="l{}{shade}" x="{x:.2}" y="{y}" width="{drawn:.2}" height="{}" rx="1"/>"#,
            escape(tooltip),
            self.layer as u8,
            ROW - 1
        );
        let label = fit(self.name, self.width);
        if !label.is_empty() {
            let _ = write!(svg, r#"<text x="{:.2}" y="{}">{}</text>"#, x + 4.0, y + 13, escape(&label));
        }
        *svg += "</g>\n";
    }
}

fn legend(svg: &mut String, share_of: &[i64; 5], total: i64) {
    let mut x = 1188.0;
    for layer in Layer::ALL.into_iter().rev().filter(|layer| share_of[*layer as usize] > 0) {
        let text = format!("{} {}", layer.name(), percent(share_of[layer as usize], total));
        x -= text.len() as f64 * LETTER + 22.0;
        let _ = write!(
            svg,
            r#"<rect class="l{}1" x="{x:.0}" y="37" width="10" height="10" rx="2"/><text class="k" x="{:.0}" y="46">{text}</text>"#,
            layer as u8,
            x + 15.0
        );
    }
}

fn tooltip(name: &str, value: i64, own: i64, total: i64, value_type: &ValueType) -> String {
    format!(
        "{name}\ntotal {} ({})\nself {} ({})",
        amount(value, &value_type.unit),
        percent(value, total),
        amount(own, &value_type.unit),
        percent(own, total)
    )
}

fn percent(part: i64, whole: i64) -> String {
    format!("{:.2} %", part as f64 / whole as f64 * 100.0)
}

/// A value with its unit, for people: `1.52 s`, `3.1 MiB`, `1,204`.
pub fn amount(value: i64, unit: &str) -> String {
    let scaled = |steps: &[(f64, &str)]| {
        let size = (value as f64).abs();
        let (step, name) =
            steps.iter().find(|(step, _)| size >= *step).or(steps.last()).copied().unwrap_or((1.0, ""));
        format!("{} {name}", three_digits(value as f64 / step))
    };
    match unit {
        "nanoseconds" => {
            scaled(&[(3.6e12, "h"), (6e10, "min"), (1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")])
        }
        "bytes" => {
            let mib = 1024.0 * 1024.0;
            scaled(&[(mib * 1024.0, "GiB"), (mib, "MiB"), (1024.0, "KiB"), (1.0, "B")])
        }
        _ => grouped(value),
    }
}

fn three_digits(number: f64) -> String {
    let size = number.abs();
    let decimals = if size.fract() == 0.0 || size >= 99.95 {
        0
    } else if size >= 9.995 {
        1
    } else {
        2
    };
    format!("{number:.decimals$}")
}

/// Digits in groups of three.
fn grouped(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::from(if value < 0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A value type's name for people.
fn plain(name: &str) -> &str {
    match name {
        "" => "samples",
        "cpu" => "CPU time",
        name => name,
    }
}

/// As much of `name` as fits `width` pixels.
fn fit(name: &str, width: f64) -> Cow<'_, str> {
    let room = ((width - 6.0) / LETTER).max(0.0) as usize;
    if room < 3 {
        return Cow::Borrowed("");
    }
    match name.char_indices().nth(room) {
        None => Cow::Borrowed(name),
        Some(_) => Cow::Owned(name.chars().take(room - 1).chain(['…']).collect()),
    }
}

/// Text for an XML document. What XML cannot hold becomes U+FFFD.
fn escape(text: &str) -> Cow<'_, str> {
    let special = |letter: char| {
        matches!(letter, '&' | '<' | '>' | '"' | '\'' | '\u{fffe}' | '\u{ffff}')
            || (letter < ' ' && letter != '\n')
    };
    if !text.contains(special) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match letter {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            letter if special(letter) => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu() -> ValueType {
        ValueType::new("cpu", "nanoseconds")
    }

    #[test]
    fn every_name_is_escaped() {
        let mut tree = Tree::default();
        tree.add_path(["<script>alert('x')</script>", "a&b\u{1}]]>"], 1_500_000);
        let svg = write(&tree, "</text><script>", &cpu());
        assert_eq!(svg.matches("<script").count(), 1, "only our own");
        assert!(svg.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"));
        assert!(svg.contains("a&amp;b\u{fffd}]]&gt;"));
        assert!(svg.contains("total 1.50 ms (100.00 %)"));
        assert_eq!(svg.matches("]]>").count(), 1);
    }

    #[test]
    fn bars_lie_within_their_callers() {
        let tree =
            crate::folded::read(b"main;work;hash 30\nmain;idle 20\nmain 10", &crate::Limits::default());
        let svg = write(&tree.unwrap(), "t", &ValueType::new("samples", "count"));
        let bar = |name: &str| {
            let at = svg.find(&format!("<title>{name}\n")).unwrap();
            let number = |key: &str| -> f64 {
                let from = svg[at..].find(key).unwrap() + at + key.len();
                svg[from..].split('"').next().unwrap().parse().unwrap()
            };
            (number(" x=\""), number(" width=\""), number(" y=\""))
        };
        let (main, idle, work) = (bar("main"), bar("idle"), bar("work"));
        assert_eq!((main.0, main.1), (12.0, 1175.5));
        assert_eq!((idle.0, idle.1), (12.0 + 196.0, 391.5));
        assert_eq!((work.0, work.2), (idle.0 + 392.0, main.2 + 18.0));
    }

    #[test]
    fn a_deep_or_wide_tree_stays_small() {
        let mut tree = Tree::default();
        let deep: Vec<String> = (0..5_000).map(|level| format!("f{level}")).collect();
        tree.add_path(deep.iter().map(String::as_str), 10_000);
        for leaf in 0..20_000 {
            tree.add_path([format!("leaf {leaf}").as_str()], 1);
        }
        let svg = write(&tree, "t", &cpu());
        assert!(svg.len() < 1 << 20, "{}", svg.len());
    }

    #[test]
    #[rustfmt::skip]
    fn amounts_have_three_digits_and_a_unit() {
        let cases = [
            (0, "nanoseconds", "0 ns"),          (999, "nanoseconds", "999 ns"),   (1_520_000_000, "nanoseconds", "1.52 s"),
            (90_000_000_000, "nanoseconds", "1.50 min"), (2_048, "bytes", "2 KiB"), (1_234_567, "count", "1,234,567"),
            (-1_000, "count", "-1,000"),         (12, "", "12"),
        ];
        for (value, unit, want) in cases {
            assert_eq!(amount(value, unit), want);
        }
    }
}
