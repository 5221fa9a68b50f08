//! speedscope's JSON: profiles in and out.
//!
//! A file holds any number of profiles over one list of frames. *Sampled* profiles list stacks,
//! root first, with weights; *evented* ones list when frames open and close. Reading keeps names
//! and weights; times of single samples are not kept.
//!
//! Reference: `https://www.speedscope.app/file-format-schema.json`.

use hearth_profile::{NodeId, Tree, ValueType};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::limits::within;
use crate::{LimitExceeded, Limits, depth};

const SCHEMA: &str = "https://www.speedscope.app/file-format-schema.json";

/// Why bytes are no speedscope file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is too large.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// It is not JSON, or not of this shape.
    #[error("no speedscope file: {0}")]
    Json(#[from] serde_json::Error),
    /// It contradicts itself.
    #[error("profile {profile}: {reason}")]
    Profile {
        /// The profile's index.
        profile: usize,
        /// What is wrong.
        reason: String,
    },
}

/// What the values of a profile count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Samples; the file does not say how far they are apart.
    Samples,
    /// Nanoseconds, whatever unit of time the file has.
    Nanoseconds,
    /// Bytes.
    Bytes,
}

/// One profile of a file.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// What its values count.
    pub unit: Unit,
    /// The stacks.
    pub tree: Tree,
}

#[derive(Deserialize)]
struct File<'a> {
    #[serde(rename = "$schema", default)]
    schema: String,
    #[serde(borrow)]
    shared: Shared<'a>,
    profiles: Vec<Written>,
}

#[derive(Deserialize)]
struct Shared<'a> {
    #[serde(borrow)]
    frames: Vec<Frame<'a>>,
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow, default)]
    name: std::borrow::Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: String,
    unit: String,
    #[serde(default)]
    start_value: f64,
    #[serde(default)]
    samples: Vec<Vec<u32>>,
    #[serde(default)]
    weights: Vec<f64>,
    #[serde(default)]
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    at: f64,
    frame: u32,
}

/// Reads all profiles of a file.
///
/// # Errors
///
/// [`Error`], naming the first profile that is wrong; and if there is more than `limits` admit.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Vec<Profile>, Error> {
    within("bytes of a speedscope file", bytes.len(), limits.max_bytes)?;
    let file: File<'_> = serde_json::from_slice(bytes)?;
    if !file.schema.is_empty() && file.schema != SCHEMA {
        let reason = format!("$schema is {:?}; expected {SCHEMA:?}", shown(&file.schema));
        return Err(Error::Profile { profile: 0, reason });
    }
    within("profiles of a speedscope file", file.profiles.len(), limits.max_profiles)?;
    let mut left = limits.max_table;
    let mut profiles = Vec::new();
    for (index, written) in file.profiles.iter().enumerate() {
        let reading = Reading { frames: &file.shared.frames, written, limits };
        let wrong = |reason| Error::Profile { profile: index, reason };
        let (unit, scale) = unit(&written.unit).map_err(wrong)?;
        let tree = match written.kind.as_str() {
            "sampled" => reading.sampled(scale),
            "evented" => reading.evented(scale),
            other => Err(format!("type {:?} is unknown; expected sampled or evented", shown(other))),
        };
        let tree = tree.map_err(wrong)?;
        within("nodes of all profiles", tree.len(), left)?;
        left -= tree.len();
        profiles.push(Profile { name: written.name.clone(), unit, tree });
    }
    Ok(profiles)
}

fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

/// What a unit becomes, and the factor.
fn unit(name: &str) -> Result<(Unit, f64), String> {
    Ok(match name {
        "none" => (Unit::Samples, 1.0),
        "bytes" => (Unit::Bytes, 1.0),
        "nanoseconds" => (Unit::Nanoseconds, 1.0),
        "microseconds" => (Unit::Nanoseconds, 1e3),
        "milliseconds" => (Unit::Nanoseconds, 1e6),
        "seconds" => (Unit::Nanoseconds, 1e9),
        other => {
            return Err(format!(
                "unit {:?} is unknown; expected none, nanoseconds, microseconds, milliseconds, seconds or bytes",
                shown(other)
            ));
        }
    })
}

struct Reading<'a> {
    frames: &'a [Frame<'a>],
    written: &'a Written,
    limits: &'a Limits,
}

impl Reading<'_> {
    fn name(&self, frame: u32) -> Result<&str, String> {
        let frame = self.frames.get(frame as usize).map(|frame| &*frame.name);
        frame.ok_or_else(|| format!("a frame's index exceeds shared.frames, which has {}", self.frames.len()))
    }

    fn sampled(&self, scale: f64) -> Result<Tree, String> {
        let Written { samples, weights, .. } = self.written;
        if samples.len() != weights.len() {
            return Err(format!("{} samples but {} weights", samples.len(), weights.len()));
        }
        let mut tree = Tree::default();
        for (sample, weight) in samples.iter().zip(weights) {
            let names = sample.iter().map(|&frame| self.name(frame)).collect::<Result<Vec<_>, _>>()?;
            tree.add_path(depth::fold_path(&names, self.limits.max_depth), value(*weight, scale)?);
            self.check(&tree)?;
        }
        Ok(tree)
    }

    fn evented(&self, scale: f64) -> Result<Tree, String> {
        let mut tree = Tree::default();
        let mut open: Vec<(u32, NodeId)> = Vec::new();
        let mut last = self.written.start_value;
        for event in &self.written.events {
            let passed = event.at - last;
            if passed < 0.0 {
                return Err(format!("an event at {} follows one at {last}", event.at));
            }
            last = event.at;
            if let Some((_, node)) = open.last() {
                tree.add(*node, value(passed, scale)?);
            }
            match event.kind.as_str() {
                "O" => {
                    let parent = open.last().map_or(NodeId::ROOT, |(_, node)| *node);
                    let deep = open.len() >= self.limits.max_depth;
                    let name = if deep { depth::MARKER } else { self.name(event.frame)? };
                    // Beyond the limit all frames are the one that stands for them.
                    let folded = deep && tree.name(parent) == depth::MARKER;
                    let node = if folded { parent } else { tree.child(parent, name, Default::default()) };
                    open.push((event.frame, node));
                }
                "C" => match open.pop() {
                    Some((frame, _)) if frame == event.frame => {}
                    _ => {
                        return Err(format!(
                            "frame {} is closed but not the innermost open one",
                            event.frame
                        ));
                    }
                },
                other => return Err(format!("event type {:?} is unknown; expected O or C", shown(other))),
            }
            self.check(&tree)?;
        }
        Ok(tree)
    }

    fn check(&self, tree: &Tree) -> Result<(), String> {
        within("nodes of the stack tree", tree.len(), self.limits.max_table)
            .map_err(|error| error.to_string())
    }
}

fn value(weight: f64, scale: f64) -> Result<i64, String> {
    let value = (weight * scale).round();
    if !(0.0..9e18).contains(&value) {
        return Err(format!("weight {weight} is out of range; expected 0 to 9e18 of the smallest unit"));
    }
    Ok(value as i64)
}

/// Writes a tree as a file with one sampled profile. Values are in the unit of `kind`.
pub fn write(tree: &Tree, name: &str, kind: &ValueType) -> String {
    let unit = match kind.unit.as_str() {
        "nanoseconds" | "bytes" => kind.unit.as_str(),
        _ => "none",
    };
    // The tree's first name is that of the root, which speedscope draws itself.
    let frames: Vec<Value> = tree.names().skip(1).map(|(name, _)| json!({"name": name})).collect();
    let (mut samples, mut weights) = (Vec::new(), Vec::new());
    let mut path: Vec<u32> = Vec::new();
    for (node, depth) in tree.preorder() {
        path.truncate((depth as usize).saturating_sub(1));
        if node != NodeId::ROOT {
            path.push(tree.name_index(node).saturating_sub(1));
        }
        if tree.self_value(node) != 0 {
            samples.push(path.clone());
            weights.push(tree.self_value(node));
        }
    }
    let file = json!({
        "$schema": SCHEMA,
        "exporter": "hearth",
        "name": name,
        "activeProfileIndex": 0,
        "profiles": [{
            "type": "sampled", "name": name, "unit": unit, "startValue": 0, "endValue": tree.total(),
            "samples": samples, "weights": weights,
        }],
        "shared": {"frames": frames},
    });
    file.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folded;

    const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora");

    #[test]
    fn files_mean_what_pyroscope_reads_in_them() {
        let Ok(expected) = std::fs::read(format!("{CORPUS}/expected/speedscope.json")) else {
            println!("skipped: absent: speedscope corpus");
            return;
        };
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        for (file, profiles, unit) in [
            ("simple", 1, Unit::Samples),
            ("two-sampled", 2, Unit::Nanoseconds),
            ("two-sampled-bytes", 2, Unit::Bytes),
            ("duplicates", 3, Unit::Nanoseconds),
        ] {
            let bytes = std::fs::read(format!("{CORPUS}/speedscope/{file}.speedscope.json")).unwrap();
            let read = read(&bytes, &Limits::default()).unwrap();
            assert_eq!(read.len(), profiles, "{file}");
            for profile in read {
                assert_eq!(profile.unit, unit, "{file}");
                // Pyroscope counts hundredths; here time is in nanoseconds.
                let scale = if unit == Unit::Nanoseconds { 1_000_000_000 } else { 1 };
                let want: String =
                    expected["collapsed"].as_str().unwrap().lines().fold(String::new(), |text, line| {
                        let (stack, value) = line.rsplit_once(' ').unwrap();
                        text + &format!("{stack} {}\n", value.parse::<i64>().unwrap() / 100 * scale)
                    });
                assert_eq!(folded::write(&profile.tree), want, "{file}");
            }
        }
        for listed in expected["files"]["two-sampled.speedscope.json"]["inputs"].as_array().unwrap() {
            assert!(["one", "two"].contains(&listed["profile_name"].as_str().unwrap()));
        }
    }

    #[test]
    fn trees_round_trip() {
        let mut tree = Tree::default();
        tree.add_path(["main", "a \"quoted\";name"], 3);
        tree.add_path(["main", "b", "main"], 4);
        tree.add_path(["main"], 1);
        let text = write(&tree, "title", &ValueType::new("cpu", "nanoseconds"));
        let [profile] = &read(text.as_bytes(), &Limits::default()).unwrap()[..] else { panic!() };
        assert_eq!((profile.name.as_str(), profile.unit), ("title", Unit::Nanoseconds));
        assert_eq!(folded::write(&profile.tree), folded::write(&tree));
    }

    #[test]
    #[rustfmt::skip]
    fn wrong_files_are_refused() {
        let file = |profile: &str| format!(r#"{{"shared": {{"frames": [{{"name": "a"}}]}}, "profiles": [{profile}]}}"#);
        let cases = [
            (r#"{"type": "sampled", "unit": "TRIGGER_PANIC_UNKNOWN_UNIT", "samples": [[0]], "weights": [1]}"#, "unit \"TRIGGER_PANIC"),
            (r#"{"type": "sampled", "unit": "none", "samples": [[0]], "weights": []}"#,                          "1 samples but 0 weights"),
            (r#"{"type": "sampled", "unit": "none", "samples": [[1]], "weights": [1]}"#,                         "exceeds shared.frames, which has 1"),
            (r#"{"type": "sampled", "unit": "none", "samples": [[0]], "weights": [-1]}"#,                        "weight -1 is out of range"),
            (r#"{"type": "sampled", "unit": "seconds", "samples": [[0]], "weights": [1e300]}"#,                  "out of range"),
            (r#"{"type": "odd", "unit": "none"}"#,                                                               "type \"odd\" is unknown"),
            (r#"{"type": "evented", "unit": "none", "events": [{"type": "C", "at": 1, "frame": 0}]}"#,           "is closed but not"),
            (r#"{"type": "evented", "unit": "none", "startValue": 5, "events": [{"type": "O", "at": 1, "frame": 0}]}"#, "follows one at 5"),
            (r#"{"type": "evented", "unit": "none", "events": [{"type": "X", "at": 1, "frame": 0}]}"#,           "event type \"X\""),
        ];
        for (profile, want) in cases {
            let error = read(file(profile).as_bytes(), &Limits::default()).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
        assert!(read(b"[]", &Limits::default()).unwrap_err().to_string().contains("no speedscope file"));
    }
}
