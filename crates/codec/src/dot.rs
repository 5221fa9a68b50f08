//! A call graph in Graphviz' language, as `dot` draws it.
//!
//! Functions are boxes with what they took themselves and with everything they called; edges are
//! calls. A function that calls itself counts once.

use std::collections::HashMap;
use std::fmt::Write as _;

use hearth_profile::{NodeId, Tree, ValueType};

/// What is known of a function.
#[derive(Clone, Copy, Default)]
struct Function {
    own: i64,
    total: i64,
}

/// Writes the `max_nodes` functions with the largest totals, and the calls between them; 0 writes all.
pub fn write(tree: &Tree, title: &str, kind: &ValueType, max_nodes: usize) -> String {
    let (functions, calls) = sums(tree);
    let mut shown: Vec<usize> = (0..functions.len()).filter(|&name| functions[name].total > 0).collect();
    shown.sort_by_key(|&name| (std::cmp::Reverse(functions[name].total), name));
    if max_nodes > 0 {
        shown.truncate(max_nodes);
    }
    let all = tree.total().max(1);
    let percent = |value: i64| value as f64 * 100.0 / all as f64;
    let names: Vec<&str> = tree.names().map(|(name, _)| name).collect();
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ =
        writeln!(text, "digraph {} {{\nnode [shape=box, style=filled, fillcolor=\"#f8f8f8\"]", quoted(title));
    let _ = writeln!(text, "label={}", quoted(&format!("{title}: {all} {}", kind.unit)));
    let mut index = vec![None; functions.len()];
    for (number, &name) in shown.iter().enumerate() {
        index[name] = Some(number);
        let Function { own, total } = functions[name];
        let label =
            format!("{}\n{own} ({:.2}%)\nof {total} ({:.2}%)", names[name], percent(own), percent(total));
        let size = 8.0 + 16.0 * (own as f64 / all as f64).sqrt();
        let _ = writeln!(text, "N{number} [label={}, fontsize={size:.0}]", quoted(&label));
    }
    let mut calls: Vec<_> = calls.into_iter().collect();
    calls.sort_unstable();
    for ((caller, callee), value) in calls {
        if let (Some(caller), Some(callee)) = (index[caller], index[callee]) {
            let weight = (percent(value) as i64).max(1);
            let _ = writeln!(text, "N{caller} -> N{callee} [label=\" {value}\", weight={weight}]");
        }
    }
    text.push_str("}\n");
    text
}

type Calls = HashMap<(usize, usize), i64>;

/// Sums by function, by index of its name, and by pair of caller and callee.
fn sums(tree: &Tree) -> (Vec<Function>, Calls) {
    let totals = tree.totals();
    let mut functions = vec![Function::default(); tree.names().len()];
    let mut calls = Calls::new();
    let mut on_path: HashMap<usize, u32> = HashMap::new();
    let mut calls_on_path: HashMap<(usize, usize), u32> = HashMap::new();
    let mut path: Vec<(usize, Option<(usize, usize)>)> = Vec::new();
    for (node, depth) in tree.preorder() {
        if node == NodeId::ROOT {
            continue;
        }
        while path.len() >= depth as usize {
            let Some((name, call)) = path.pop() else { break };
            leave(&mut on_path, name);
            if let Some(call) = call {
                leave(&mut calls_on_path, call);
            }
        }
        let name = tree.name_index(node) as usize;
        let value = totals[node.0 as usize];
        functions[name].own = functions[name].own.saturating_add(tree.self_value(node));
        if enter(&mut on_path, name) {
            functions[name].total = functions[name].total.saturating_add(value);
        }
        let call = path.last().map(|(caller, _)| (*caller, name));
        if let Some(call) = call
            && enter(&mut calls_on_path, call)
        {
            let sum = calls.entry(call).or_default();
            *sum = sum.saturating_add(value);
        }
        path.push((name, call));
    }
    (functions, calls)
}

/// Counts one more; says whether it is the first.
fn enter<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, u32>, key: K) -> bool {
    let count = counts.entry(key).or_default();
    *count += 1;
    *count == 1
}

fn leave<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, u32>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count = count.saturating_sub(1);
    }
}

/// A string of Graphviz.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            letter if letter.is_control() => quoted.push(' '),
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn recursion_counts_once() {
        let mut tree = Tree::default();
        tree.add_path(["main", "f", "f", "g"], 6);
        tree.add_path(["main", "f"], 2);
        tree.add_path(["a\"b"], 2);
        let text = write(&tree, "cpu", &ValueType::new("cpu", "ns"), 0);
        expect![[r##"
            digraph "cpu" {
            node [shape=box, style=filled, fillcolor="#f8f8f8"]
            label="cpu: 10 ns"
            N0 [label="main\n0 (0.00%)\nof 8 (80.00%)", fontsize=8]
            N1 [label="f\n2 (20.00%)\nof 8 (80.00%)", fontsize=15]
            N2 [label="g\n6 (60.00%)\nof 6 (60.00%)", fontsize=20]
            N3 [label="a\"b\n2 (20.00%)\nof 2 (20.00%)", fontsize=15]
            N0 -> N1 [label=" 8", weight=80]
            N1 -> N1 [label=" 6", weight=60]
            N1 -> N2 [label=" 6", weight=60]
            }
        "##]]
        .assert_eq(&text);
        assert_eq!(write(&tree, "cpu", &ValueType::default(), 2).matches("->").count(), 2);
    }
}
