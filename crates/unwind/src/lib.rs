//! How stacks are walked: unwind rows and the pages they are packed in, why a walk stops, and the
//! reference walker.
//!
//! A stack without frame pointers can only be walked with a table that says, for every range of
//! instructions, where the caller's frame, frame pointer and return address are. This crate compiles
//! such tables from what executables carry, small enough for the kernel:
//!
//! ```text
//! .eh_frame, .debug_frame ─▶ rows (file offset ─▶ rule) ─▶ unwind pages of 4096 bytes
//! registers, memory, rule ─▶ the caller's registers, or a StopReason
//! ```
//!
//! In production stacks are walked in the kernel, by `bpf/rows.h` (by rules) and `bpf/walk.h` (by frame
//! pointers). This crate holds what both sides must agree on, and a second, plain implementation which
//! the C is tested against, and which finishes stacks that the kernel could not.
//!
//! # What this crate does not do
//!
//! It reads no file and no process memory: callers pass section bytes, and something that implements
//! [`Memory`].
//!
//! # Terms
//!
//! *Leaf*: the frame that was interrupted. *Frame pointer*: the register (`rbp`, `x29`) which in code
//! that keeps one points at the caller's frame pointer, with the return address above it. *CFA*:
//! canonical frame address, the stack pointer just before the call that entered a frame. *Row*: from
//! this file offset on, this rule holds. *Page*: a piece of a file's table, as the kernel reads it.
//!
//! Rows are keyed by file offset, never by address: the kernel knows which file is mapped where.
//!
//! Sources: System V ABI, AMD64 supplement, §3.2.2 and §3.6; DWARF 5 §6.4; Procedure Call Standard for
//! the Arm 64-bit Architecture, §6.4.6; DWARF for the Arm 64-bit Architecture.

mod apply;
mod cfi;
mod encode;
mod expression;
pub mod pages;
pub mod rows;
mod rule;
mod stop;
mod walk;

pub use apply::{FP_UNKNOWN, apply, step};
pub use cfi::eh_frame_address;
pub use encode::encode;
#[doc(hidden)]
pub use encode::{Tuning, encode_tuned};
pub use pages::{PAGE_BYTES, Page, Table};
pub use rows::{Input, Limits, Rows, Section, build};
pub use rule::{Arch, Frame, Rule, Saved, WIDE_WORDS};
pub use stop::StopReason;
pub use walk::{
    Memory, Outcome, Registers, START_BYTES_MAIN, START_BYTES_THREAD, frame_pointer_step, leaf_step,
    walk_step,
};
