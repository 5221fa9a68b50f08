//! The server as its clients see it: real sockets, real clients, one process.

#[cfg(test)]
mod access;
#[cfg(test)]
mod common;
#[cfg(test)]
mod doors;
#[cfg(test)]
mod grafana;
#[cfg(test)]
mod ingest_and_query;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod symbols;
#[cfg(test)]
mod ui;
