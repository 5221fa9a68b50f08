//! A Rust program as it is released: optimised, with line tables; maps, sorting, formatting, threads.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

#[derive(Clone, Debug)]
enum Tree {
    Leaf(u64),
    Node(Box<Tree>, Box<Tree>),
}

impl Tree {
    fn build(depth: u32, value: u64) -> Self {
        match depth {
            0 => Self::Leaf(value),
            _ => Self::Node(Self::build(depth - 1, value * 2).into(), Self::build(depth - 1, value * 2 + 1).into()),
        }
    }

    fn sum(&self) -> u64 {
        match self {
            Self::Leaf(value) => *value,
            Self::Node(left, right) => left.sum() ^ right.sum(),
        }
    }
}

fn words(count: u64) -> (String, usize) {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for i in 0..count {
        *seen.entry(format!("w{}", i * 7919 % 5003)).or_default() += 1;
    }
    let mut list: Vec<_> = seen.into_iter().collect();
    list.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    list.swap_remove(0)
}

fn texts(count: u64) -> usize {
    let mut text = String::new();
    let mut index: BTreeMap<String, u64> = BTreeMap::new();
    for i in 0..count {
        write!(text, "{i:>8} {:.3} {:?};", i as f64 / 7.0, Some(i)).unwrap();
        index.insert(i.wrapping_mul(2862933555777941757).to_string(), i);
    }
    text.split(';').filter(|part| part.contains("77")).count() + index.len()
}

fn main() {
    let workers: Vec<_> = (0..2)
        .map(|_| {
            std::thread::spawn(|| {
                (0..6).map(|_| (words(400_000), texts(120_000), Tree::build(17, 1).sum())).last()
            })
        })
        .collect();
    for worker in workers {
        println!("{:?}", worker.join().unwrap());
    }
}
