//! Where the node's own words go: `.flotilla/node.log`, never between the lines of the services.

use crate::cli::locate::{NODE_LOG, Place};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    sync::Mutex,
};
use tracing::Level;

/// Size at which the log is put aside before a start, in bytes. One older file is kept, so a node that writes
/// little never takes more than twice this much.
const LOG_LEN_MAX: u64 = 4 << 20;

/// Opens the log for appending; makes the state folder when it is not there.
///
/// # Errors
/// When the folder cannot be made or the file cannot be opened.
pub(crate) fn open(place: &Place) -> io::Result<File> {
    let state = place.state();
    DirBuilder::new().recursive(true).mode(0o700).create(&state)?;
    let path = state.join(NODE_LOG);
    if fs::metadata(&path).is_ok_and(|about| about.len() > LOG_LEN_MAX) {
        fs::rename(&path, path.with_extension("log.1"))?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// Begins to write what the node says to `file`.
pub(crate) fn start(file: File, verbose: u8) {
    let wish = std::env::var("FLOTILLA_LOG").ok().and_then(|level| level.parse().ok());
    let level = match (verbose, wish) {
        (0, Some(level)) => level,
        (0, None) => Level::INFO,
        (1, _) => Level::DEBUG,
        _ => Level::TRACE,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .with_writer(Mutex::new(file))
        .finish();
    // One that is there already was set by a test.
    let _already = tracing::subscriber::set_global_default(subscriber);
}
