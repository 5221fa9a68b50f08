//! The server as its clients see it: real sockets, real clients, one process.

mod common;
mod grafana;
mod ingest_and_query;
mod ui;
