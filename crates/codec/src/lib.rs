//! Wire formats to and from profiles: OTLP, pprof, folded, SVG, Pyroscope's messages.
