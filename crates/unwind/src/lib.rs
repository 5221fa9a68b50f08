//! How stacks are walked: stop reasons and the reference frame-pointer walker.
