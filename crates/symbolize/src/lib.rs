//! Addresses to frames: symbol tables, kallsyms, demangling. Performs no I/O.
