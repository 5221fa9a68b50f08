//! Test support: folded-stack fixtures, generators, workloads with known shares.
