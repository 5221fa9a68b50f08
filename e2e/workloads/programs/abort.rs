//! Rust with `panic=abort`, optimised, without frame pointers: closures, trait objects, sorting with
//! a comparison of its own, recursion.
//!
//! roots workload_main
//! calls workload_main: recursive sorts dynamic formats library
//! calls recursive: recursive burn
//! calls sorts: library compare
//! through sorts: compare
//! calls compare: burn_little
//! calls dynamic: shape_a shape_b
//! calls shape_a: burn
//! calls shape_b: burn
//! calls formats: library

use std::hint::black_box;
use std::time::{Duration, Instant};

#[inline(never)]
#[unsafe(no_mangle)]
fn burn(rounds: u64) -> u64 {
    let mut value = rounds;
    for round in 0..rounds * 400 {
        value = black_box(value.wrapping_mul(2862933555777941757).wrapping_add(round));
    }
    value
}

#[inline(never)]
#[unsafe(no_mangle)]
fn burn_little(value: u64) -> u64 {
    (0..20).fold(value, |value, round| black_box(value.wrapping_mul(31) + round) & 0xffff_ffff)
}

#[inline(never)]
#[unsafe(no_mangle)]
fn recursive(depth: u32) -> u64 {
    black_box(if depth == 0 { burn(40) } else { recursive(depth - 1) + 1 })
}

#[inline(never)]
#[unsafe(no_mangle)]
fn compare(left: &u64, right: &u64) -> std::cmp::Ordering {
    black_box(burn_little(*left));
    left.cmp(right)
}

#[inline(never)]
#[unsafe(no_mangle)]
fn sorts() -> u64 {
    let mut numbers: Vec<u64> = (0..200).map(|number| number * 7919 % 200).collect();
    numbers.sort_by(compare);
    black_box(numbers[3])
}

#[inline(never)]
#[unsafe(no_mangle)]
fn shape_a() -> u64 {
    black_box(burn(20)) + 1
}

#[inline(never)]
#[unsafe(no_mangle)]
fn shape_b() -> u64 {
    black_box(burn(20)) + 2
}

#[inline(never)]
#[unsafe(no_mangle)]
fn dynamic(functions: &[fn() -> u64; 2]) -> u64 {
    black_box(black_box(functions)[0]() + black_box(functions)[1]())
}

#[inline(never)]
#[unsafe(no_mangle)]
fn formats(number: u64) -> String {
    black_box(format!("{number:>20} {:.3} {:?}", number as f64 / 3.0, Some("text")))
}

#[inline(never)]
#[unsafe(no_mangle)]
fn workload_main(end: Instant) {
    let mut number = 0;
    while Instant::now() < end {
        number += recursive(20) + sorts() + dynamic(&[shape_a, shape_b]);
        black_box(formats(number));
    }
}

fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1);
    workload_main(Instant::now() + Duration::from_secs(seconds));
    black_box(0);
}
