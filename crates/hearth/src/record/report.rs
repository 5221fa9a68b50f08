//! The report of a recording: the top functions and what was sampled.

use std::fmt::Write as _;

use hearth_codec::svg::amount;
use hearth_profile::{NodeId, Tree};

use super::recording::Recording;

/// What one function used.
#[derive(Debug, PartialEq, Eq)]
struct Row<'a> {
    name: &'a str,
    own: i64,
    total: i64,
}

/// The `count` functions with the largest own values, then those that only call others but make up
/// a hundredth of everything. A function that calls itself counts once.
fn top(tree: &Tree, count: usize) -> Vec<Row<'_>> {
    let totals = tree.totals();
    let names: Vec<&str> = tree.names().map(|(name, _)| name).collect();
    let mut rows: Vec<Row<'_>> = names.into_iter().map(|name| Row { name, own: 0, total: 0 }).collect();
    // The names on the path to the current node, and how often each is on it.
    let mut path: Vec<usize> = Vec::new();
    let mut open = vec![0_u32; rows.len()];
    for (node, depth) in tree.preorder() {
        if node == NodeId::ROOT {
            continue;
        }
        while path.len() >= depth as usize
            && let Some(name) = path.pop()
        {
            open[name] -= 1;
        }
        let name = tree.name_index(node) as usize;
        rows[name].own += tree.self_value(node);
        if open[name] == 0 {
            rows[name].total += totals[node.0 as usize];
        }
        open[name] += 1;
        path.push(name);
    }
    let share = tree.total() / 100;
    rows.retain(|row| row.own > 0 || row.total > share);
    rows.sort_by(|a, b| b.own.cmp(&a.own).then(b.total.cmp(&a.total)).then(a.name.cmp(b.name)));
    rows.truncate(count);
    rows
}

/// The report, in lines of at most `width` columns.
pub(super) fn text(recording: &Recording, count: usize, width: usize) -> String {
    let tree = recording.functions(recording.period_ns());
    let all = tree.total().max(1);
    let mut text = String::new();
    if recording.samples > 0 && count > 0 {
        text += "      self               total           function\n";
    }
    for row in top(&tree, count) {
        let cell = |value: i64| {
            let share = value as f64 / all as f64 * 100.0;
            format!("{:>10} {share:>5.1} %", amount(value, "nanoseconds"))
        };
        let line = format!("{} {}   {}", cell(row.own), cell(row.total), row.name);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", cut(&line, width));
    }
    text + &summary(recording)
}

fn summary(recording: &Recording) -> String {
    let elapsed = i64::try_from(recording.elapsed.as_nanos()).unwrap_or(i64::MAX);
    let mut text = format!(
        "\n{} samples in {}, {} per second on each of {} CPUs",
        recording.samples,
        amount(elapsed, "nanoseconds"),
        recording.samples_per_second,
        recording.cpus
    );
    if recording.lost.is_empty() {
        text += "; none lost\n";
    } else {
        let lost = recording.lost.iter().map(|(reason, count)| format!("{count} ({reason})"));
        text += &format!("; lost {}\n", lost.collect::<Vec<_>>().join(", "));
    }
    if recording.samples == 0 {
        text += "no samples: nothing that was recorded used the CPU long enough to be met; try a longer time or a \
                 higher --frequency\n";
    }
    if let Some(reason) = &recording.degraded {
        text += &format!("degraded: {reason}; see `hearth doctor`\n");
    }
    text
}

/// A line of at most `width` columns, each letter taken for one.
fn cut(line: &str, width: usize) -> String {
    match line.char_indices().nth(width) {
        Some(_) if width > 0 => line.chars().take(width - 1).chain(['…']).collect(),
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::recording::tests::collection;
    use super::*;
    use expect_test::expect;
    use std::time::Duration;

    fn recording() -> Recording {
        let mut recording = Recording::new(1_000);
        recording.add(collection(
            "app/1 main;work;hash 600\napp/1 main;work 300\napp/1 main;visit;visit;visit 100",
        ));
        recording.elapsed = Duration::from_millis(1_020);
        recording.cpus = 2;
        recording
    }

    #[test]
    fn the_report_names_the_top_functions() {
        let mut recording = recording();
        expect![[r#"
                  self               total           function
                600 ms  60.0 %     600 ms  60.0 %   hash
                300 ms  30.0 %     900 ms  90.0 %   work
                100 ms  10.0 %     100 ms  10.0 %   visit
                  0 ns   0.0 %        1 s 100.0 %   main

            1000 samples in 1.02 s, 1000 per second on each of 2 CPUs; lost 2 (sample ring full)
        "#]]
        .assert_eq(&text(&recording, 20, usize::MAX));
        recording.lost.clear();
        let narrow = text(&recording, 1, 48);
        assert!(narrow.lines().nth(1).unwrap().ends_with("600 ms  60.0 %   hash"), "{narrow}");
        assert!(text(&recording, 1, 40).lines().nth(1).unwrap().ends_with('…'));
        assert!(narrow.contains("; none lost"));
    }

    #[test]
    fn a_recording_without_samples_says_why() {
        let report = text(&Recording::new(97), 20, 80);
        assert!(report.contains("0 samples in 0 ns, 97 per second"), "{report}");
        assert!(report.contains("no samples: "), "{report}");
    }
}
