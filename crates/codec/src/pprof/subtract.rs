//! The difference of two profiles whose values grow over a process's life.

use std::collections::HashMap;

use hearth_profile::{ProfileBatch, Remap, StackId, ValueType};

/// Subtracts `previous` from the sample types of `current` which `is_cumulative` says grow over the
/// process's life; other types stay as they are. What would be negative, because the process
/// began anew, becomes zero.
pub fn subtract(
    current: &mut ProfileBatch,
    previous: &ProfileBatch,
    is_cumulative: impl Fn(&ValueType) -> bool,
) {
    let mut remap = Remap::new(&previous.dictionary);
    let mut before: HashMap<(ValueType, StackId, String), i64> = HashMap::new();
    for profile in previous.profiles().filter(|profile| is_cumulative(&profile.sample_type)) {
        for sample in &profile.samples {
            let stack = remap.stack(&previous.dictionary, &mut current.dictionary, sample.stack);
            let key = (profile.sample_type.clone(), stack, labels(&sample.attributes));
            let sum = before.entry(key).or_default();
            *sum = sum.saturating_add(sample.value);
        }
    }
    for profile in current.resources.iter_mut().flat_map(|resource| &mut resource.profiles) {
        if !is_cumulative(&profile.sample_type) {
            continue;
        }
        for sample in &mut profile.samples {
            let key = (profile.sample_type.clone(), sample.stack, labels(&sample.attributes));
            if let Some(left) = before.get_mut(&key) {
                let taken = sample.value.min(*left).max(0);
                sample.value -= taken;
                *left -= taken;
            }
        }
        profile.samples.retain(|sample| sample.value != 0);
    }
}

/// What tells samples of one stack apart.
fn labels(attributes: &hearth_profile::Attributes) -> String {
    attributes.iter().map(|(key, value)| format!("{key}={value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use hearth_profile::{Profile, ResourceProfiles, Sample};

    use super::*;
    use crate::{folded, stacks};

    fn batch(entries: &[(&str, &str)]) -> ProfileBatch {
        let mut batch = ProfileBatch::default();
        let mut resource = ResourceProfiles::default();
        for (name, text) in entries {
            let tree = folded::read(text.as_bytes(), &Default::default()).unwrap();
            let (dictionary, sums) = stacks::from_tree(&tree);
            let mut remap = Remap::new(&dictionary);
            let samples = sums
                .into_iter()
                .map(|(stack, value)| {
                    let stack = remap.stack(&dictionary, &mut batch.dictionary, stack);
                    Sample { stack, value, ..Sample::default() }
                })
                .collect();
            let sample_type = ValueType::new(*name, "count");
            resource.profiles.push(Profile { sample_type, samples, ..Profile::default() });
        }
        batch.resources.push(resource);
        batch
    }

    #[test]
    fn only_what_grew_is_left() {
        let mut current = batch(&[("alloc", "main;a 10\nmain;b 3\nmain;c 5"), ("inuse", "main;a 4")]);
        let previous = batch(&[("inuse", "main;a 4"), ("alloc", "main;a 4\nmain;b 3\nmain;c 9\nold 1")]);
        subtract(&mut current, &previous, |kind| kind.name == "alloc");
        let texts: Vec<String> = current
            .profiles()
            .map(|profile| {
                let sums = profile.samples.iter().map(|sample| (sample.stack, sample.value));
                folded::write(&hearth_profile::Tree::from_stacks(&current.dictionary, sums))
            })
            .collect();
        assert_eq!(texts, ["main;a 6\n", "main;a 4\n"]);
    }
}
