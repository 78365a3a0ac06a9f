//! Reading certificate files, and seeing that they changed.

use super::{Files, error::CertificatesError};
use proxy::{Pem, PemPair, Tls};
use std::{
    fs,
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Largest file that is read. A chain of ten certificates has about 20 KiB.
const FILE_SIZE_MAX: u64 = 1 << 20;

/// What changes when a file's content does; `None`: it is not there. Links are followed, so a link that
/// is set to another file (as certbot and Kubernetes do) is a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp(Option<(Option<SystemTime>, u64, u64, u64)>);

pub(super) fn stamps<'a>(paths: impl IntoIterator<Item = impl AsRef<Path> + 'a>) -> Vec<Stamp> {
    paths.into_iter().map(|path| stamp(path.as_ref())).collect()
}

fn stamp(path: &Path) -> Stamp {
    let seen = fs::metadata(path).ok();
    Stamp(seen.map(|seen| (seen.modified().ok(), seen.len(), seen.ino(), seen.dev())))
}

/// All files of the pairs.
pub(super) fn paths(pairs: &[Files]) -> impl Iterator<Item = &Path> {
    pairs.iter().flat_map(|pair| [pair.certificate.as_path(), pair.key.as_path()])
}

/// Reads and checks all pairs.
pub(super) fn read(pairs: &[Files]) -> Result<Tls, CertificatesError> {
    let contents: Result<Vec<_>, CertificatesError> =
        pairs.iter().map(|pair| Ok([content(&pair.certificate)?, content(&pair.key)?])).collect();
    let contents = contents?;
    let pairs: Vec<_> = contents
        .iter()
        .map(|[certificate, key]| PemPair { certificate: certificate.pem(), key: key.pem() })
        .collect();
    Ok(Tls::from_pem(&pairs)?)
}

/// A file that was read.
pub(super) struct Content {
    name: String,
    pub(super) bytes: Vec<u8>,
}

impl Content {
    pub(super) fn pem(&self) -> Pem<'_> {
        Pem { name: &self.name, bytes: &self.bytes }
    }
}

/// Reads a file that a person named. Only regular files: reading a pipe could wait for ever.
pub(super) fn content(path: &Path) -> Result<Content, CertificatesError> {
    let fail = |cause: io::Error| CertificatesError::Read { path: path.to_owned(), cause };
    let seen = fs::metadata(path).map_err(fail)?;
    if !seen.is_file() || seen.len() > FILE_SIZE_MAX {
        return Err(CertificatesError::NotAFile { path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(fail)?;
    file.take(FILE_SIZE_MAX).read_to_end(&mut bytes).map_err(fail)?;
    Ok(Content { name: path.display().to_string(), bytes })
}

/// Those that every user of the machine may read.
pub(super) fn world_readable<'a>(paths: impl Iterator<Item = &'a Path>) -> Vec<PathBuf> {
    const OTHERS_READ: u32 = 0o004;
    let is_open = |path: &&Path| {
        fs::metadata(path).is_ok_and(|seen| seen.permissions().mode() & OTHERS_READ != 0)
    };
    paths.filter(is_open).map(Path::to_owned).collect()
}
