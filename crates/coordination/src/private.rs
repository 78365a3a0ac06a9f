//! Files of this node that nobody else may read.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

/// Whether a file that is there may be replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replace {
    Always,
    Never,
}

/// Writes what only this user may read, whole or not at all.
pub(crate) fn write(path: &Path, text: &str, replace: Replace) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    let missing = folder.ancestors().take_while(|folder| !folder.is_dir());
    let missing: Vec<&Path> = missing.filter(|path| !path.as_os_str().is_empty()).collect();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    for made in missing {
        // A folder whose name is lost in a power cut takes all that is in it along.
        let parent = made.parent().filter(|parent| !parent.as_os_str().is_empty());
        fs::File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()?;
    }
    let number = getrandom::u64().map_err(io::Error::other)?;
    let beside = path.with_extension(format!("{number:016x}.new"));
    // A name that exists would be somebody else's file, or a link to it.
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let placed = written.and_then(|()| match replace {
        Replace::Always => fs::rename(&beside, path),
        // Unlike a rename, a link never takes the place of a file that has come to be there.
        Replace::Never => fs::hard_link(&beside, path),
    });
    if placed.is_err() || replace == Replace::Never {
        let removed = fs::remove_file(&beside);
        placed.and(removed)?;
    }
    fs::File::open(folder)?.sync_all()
}

/// The random name of a node that is kept in `file`; made when there is none.
///
/// # Errors
/// When it can neither be read nor written.
pub fn node_id(file: &Path) -> io::Result<String> {
    let is_id = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    for _ in 0..2 {
        match fs::read_to_string(file) {
            Ok(text) if is_id(text.trim()) => return Ok(text.trim().to_owned()),
            Ok(_) => {
                let reason = format!("`{}` has no name of a node; delete it", file.display());
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let number = getrandom::u64().map_err(io::Error::other)?;
        let text = format!("{number:016x}\n");
        match write(file, &text, Replace::Never) {
            // Another process may have been first: then its name counts.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_appears_in_between_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.key");
        fs::write(&path, "theirs").unwrap();
        let error = write(&path, "ours", Replace::Never).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_node_keeps_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("run").join("node.id");
        let name = node_id(&file).unwrap();
        assert_eq!(node_id(&file).unwrap(), name);
        fs::write(&file, "x").unwrap();
        assert!(node_id(&file).unwrap_err().to_string().contains("delete it"));
    }
}
