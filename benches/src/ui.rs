//! What the browser has to load.

use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::figure;

pub(crate) fn run() -> Result<(), String> {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ui/dist");
    let mut total = 0;
    for file in ["index.html", "assets/app.js", "assets/app.css"] {
        let bytes = std::fs::read(dist.join(file)).map_err(|error| format!("ui/dist/{file}: {error}"))?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let packed =
            encoder.write_all(&bytes).and_then(|()| encoder.finish()).map_err(|error| error.to_string())?;
        figure(&format!("ui/dist/{file}, gzip"), packed.len() as f64 / 1e3, "kB");
        total += packed.len();
    }
    figure("UI bundle, gzip", total as f64 / 1e3, "kB");
    Ok(())
}
