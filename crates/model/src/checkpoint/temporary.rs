//! Files that take another's place when they are whole.

use std::fs;
use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

/// A file in the folder of `path`, with the permissions of the one that it is to replace.
pub(crate) fn temporary_beside(path: &Path) -> io::Result<NamedTempFile> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // Renaming would put a file in the place of a device or a pipe.
    let existing = fs::metadata(path).ok();
    if existing.as_ref().is_some_and(|existing| !existing.is_file()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file that can be replaced"));
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
    Ok(file)
}
