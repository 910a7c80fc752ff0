//! Files that take another's place when they are whole.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// A file that is written beside its place and renamed when it is whole, so that no reader meets half
/// of it, and a file that stood there is lost to no failure. If it is dropped before
/// [`finish`](Self::finish), nothing is left of it.
#[derive(Debug)]
pub struct Replacement {
    path: PathBuf,
    file: NamedTempFile,
}

impl Replacement {
    /// Begins an empty file in the folder of `path`, with the permissions of the one that it is to
    /// replace.
    ///
    /// # Errors
    /// There can be no file in that folder; or at the path is something that must not be replaced, such
    /// as a folder or a device.
    pub fn begin(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        // Renaming would put a file in the place of a device or a pipe.
        let existing = fs::metadata(path).ok();
        if existing.as_ref().is_some_and(|existing| !existing.is_file()) {
            let kind = io::ErrorKind::InvalidInput;
            return Err(io::Error::new(kind, "not a file that can be replaced"));
        }
        // The error of a folder that is not there names the folder's path, not the temporary file's.
        fs::metadata(directory)?;
        let mut builder = tempfile::Builder::new();
        // The permissions of any new file (less the umask), not those of a private temporary one.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file = builder.prefix(".mixfold-").tempfile_in(directory)?;
        if let Some(existing) = existing {
            file.as_file().set_permissions(existing.permissions())?;
        }
        Ok(Replacement { path: path.into(), file })
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub fn finish(self) -> io::Result<()> {
        self.file.persist(self.path).map(drop).map_err(|error| error.error)
    }
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
