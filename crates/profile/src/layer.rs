//! Layers: what kind of code a frame is, for colours and for "where does it go".

use crate::FrameKind;

/// The kind of code that burns CPU, as the UI colours it. This is the only place that decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Layer {
    /// The program itself.
    #[default]
    App = 0,
    /// Shared libraries and packages it uses.
    Library = 1,
    /// Language runtimes and standard libraries.
    Runtime = 2,
    /// The C library, the loader and the vDSO.
    Native = 3,
    /// The kernel.
    Kernel = 4,
}

impl Layer {
    /// All layers, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::App, Self::Library, Self::Runtime, Self::Native, Self::Kernel];

    /// Lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Library => "library",
            Self::Runtime => "runtime",
            Self::Native => "native",
            Self::Kernel => "kernel",
        }
    }

    /// Classifies a frame by its kind, its mapping's path and its function's name.
    pub fn of(kind: FrameKind, mapping: &str, function: &str) -> Self {
        let file = mapping.rsplit('/').next().unwrap_or(mapping);
        if kind == FrameKind::Kernel {
            Self::Kernel
        } else if starts_with_any(function, &RUNTIME_FUNCTIONS) || starts_with_any(file, &RUNTIME_FILES) {
            Self::Runtime
        } else if starts_with_any(file, &NATIVE_FILES) {
            Self::Native
        } else if file.contains(".so.") || file.ends_with(".so") {
            Self::Library
        } else {
            Self::App
        }
    }
}

const RUNTIME_FUNCTIONS: [&str; 9] =
    ["runtime.", "std::", "core::", "alloc::", "<alloc::", "<core::", "<std::", "v8::", "_PyEval_"];
const RUNTIME_FILES: [&str; 8] =
    ["libjvm.so", "libpython", "python3", "node", "libnode", "libstdc++", "libc++", "libgo"];
const NATIVE_FILES: [&str; 9] =
    ["libc.so", "libc-", "ld-linux", "ld-musl", "libm.so", "libpthread", "libgcc_s", "[vdso]", "linux-vdso"];

fn starts_with_any(text: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| text.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn layers_follow_kind_then_name_then_file() {
        let cases = [
            (FrameKind::Kernel, "vmlinux",                   "do_syscall_64",        Layer::Kernel),
            (FrameKind::Native, "/usr/lib/libc.so.6",        "malloc",               Layer::Native),
            (FrameKind::Native, "/usr/lib/libcrypto.so.3",   "aesni_encrypt",        Layer::Library),
            (FrameKind::Native, "/usr/bin/app",              "core::fmt::write",     Layer::Runtime),
            (FrameKind::Native, "/usr/bin/python3.11",       "PyObject_Call",        Layer::Runtime),
            (FrameKind::Native, "/usr/bin/app",              "main",                 Layer::App),
        ];
        for (kind, file, function, want) in cases {
            assert_eq!(Layer::of(kind, file, function), want, "{file} {function}");
        }
    }
}
