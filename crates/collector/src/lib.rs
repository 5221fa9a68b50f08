//! A small Collector runtime: configuration, component graph, queue, retry, stock components.
