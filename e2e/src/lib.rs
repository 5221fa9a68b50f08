//! End-to-end tests: the real binaries on a live kernel.
