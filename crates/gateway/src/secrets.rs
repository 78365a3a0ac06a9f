//! Numbers that nobody outside knows. One of them outlives the node: what cookies call instances by, so that a
//! client stays where it is over a restart.

use crate::{error::Error, policies::Secrets};
use logic::sticky::Key;
use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

const KEY_SIZE: usize = 16;

/// Random numbers for this node.
///
/// # Errors
/// When the system has none.
pub(crate) fn draw() -> io::Result<Secrets> {
    let mut passwords = [0; 32];
    getrandom::fill(&mut passwords).map_err(io::Error::other)?;
    let rates = getrandom::u64().map_err(io::Error::other)?;
    Ok(Secrets { rates, passwords })
}

/// The key of sticky sessions that is kept in `file`; a new one when there is none, or what is there is none.
///
/// # Errors
/// When it can neither be read nor written.
pub(crate) fn sticky_key(file: &Path) -> Result<Key, Error> {
    let fail = |cause| Error::State { path: file.to_owned(), cause };
    match fs::read(file) {
        Ok(bytes) => {
            if let Ok(key) = <[u8; KEY_SIZE]>::try_from(bytes) {
                return Ok(Key::new(key));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(fail(error)),
    }
    let mut key = [0; KEY_SIZE];
    getrandom::fill(&mut key).map_err(|error| fail(io::Error::other(error)))?;
    write(file, &key).map_err(fail)?;
    Ok(Key::new(key))
}

/// Writes what only this user may read, whole or not at all.
fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let beside = file.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let mut new = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    new.write_all(bytes)?;
    new.sync_all()?;
    fs::rename(&beside, file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_key_of_cookies_stays_the_same_and_is_the_users_own() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("run").join("sticky.key");
        let token = |key: Key| key.token("users", "users/1");
        let first = token(sticky_key(&file).unwrap());
        assert_eq!(first, token(sticky_key(&file).unwrap()));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&file, "torn").unwrap();
        assert_ne!(first, token(sticky_key(&file).unwrap()));
        assert_eq!(fs::read(&file).unwrap().len(), KEY_SIZE);
    }
}
