//! How stacks are walked: why a walk stops, and the reference walker by frame pointers.
//!
//! In production stacks are walked in the kernel, by `bpf/walk.h`. This crate holds what both sides
//! must agree on, and a second, plain implementation which the C is tested against:
//!
//! ```text
//! registers, memory ─▶ walk_step ─▶ the caller's registers, or a StopReason
//! ```
//!
//! # What this crate does not do
//!
//! It reads no process memory: callers pass something that implements [`Memory`].
//!
//! # Terms
//!
//! *Leaf*: the frame that was interrupted. *Frame pointer*: the register (`rbp`, `x29`) which in code
//! that keeps one points at the caller's frame pointer, with the return address above it.
//!
//! Sources: System V ABI, AMD64 supplement, §3.2.2; Procedure Call Standard for the Arm 64-bit
//! Architecture, §6.4.6.

mod stop;
mod walk;

pub use stop::StopReason;
pub use walk::{
    Memory, Outcome, Registers, START_BYTES_MAIN, START_BYTES_THREAD, frame_pointer_step, leaf_step,
    walk_step,
};
