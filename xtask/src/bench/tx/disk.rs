//! How long the disk takes to make something durable: what bounds every submission.

use std::{fs::OpenOptions, io::Write as _, path::Path, time::Instant};

use anyhow::{Context, Result};

use super::scenario::Figures;
use crate::bench::stats;

/// Appends of one measurement, each synced.
const APPENDS: u32 = 300;
/// Bytes of each: about the record of a small transaction.
const BYTES: [u8; 512] = [b'x'; 512];

/// Appends to a file of its own and syncs, one after the other.
pub(super) fn measure(folder: &Path) -> Result<Figures> {
    let path = folder.join("disk.probe");
    let file = OpenOptions::new().append(true).create(true).open(&path);
    let mut file = file.with_context(|| format!("cannot write `{}`", path.display()))?;
    let mut times_us = Vec::new();
    for _ in 0..APPENDS {
        let start = Instant::now();
        file.write_all(&BYTES)?;
        file.sync_data()?;
        times_us.push(start.elapsed().as_secs_f64() * 1e6);
    }
    std::fs::remove_file(&path)?;
    Ok(Figures::from([
        ("disk_p50_us", stats::quantile(&mut times_us, 0.5)),
        ("disk_p99_us", stats::quantile(&mut times_us, 0.99)),
    ]))
}
