//! Files that hold what TLS needs: read whole, up to a bound.

use std::fs::File;
use std::io::{Error, ErrorKind, Read};
use std::path::Path;

/// Bytes that a file may have; certificates with their chains have a few thousand.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// So many bytes are read at once; few chains and fewer keys have more.
const FILE_BYTES_USUAL: usize = 16 * 1024;

/// Reads a file whole.
///
/// # Errors
/// It can't be read or is too large, in words for people.
#[expect(
    clippy::disallowed_methods,
    reason = "files are read on the control plane, where nobody waits for it"
)]
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|error| in_few_words(&error))?;
    let mut bytes = Vec::with_capacity(FILE_BYTES_USUAL);
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| in_few_words(&error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("it is larger than {FILE_BYTES_MAX} bytes"));
    }
    Ok(bytes)
}

/// Why something can't be read, for people.
pub fn in_few_words(error: &Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "no such file".to_owned(),
        ErrorKind::PermissionDenied => {
            "permission denied; it must be readable by the user that Foregate runs as".to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foregate_testkit::Scratch;

    #[test]
    fn files_are_read_up_to_a_bound() {
        let scratch = Scratch::new();
        let read_of = |bytes: u64| {
            let path = scratch.write("file", vec![7; bytes as usize]);
            read(&path).map(|bytes| bytes.len() as u64)
        };
        assert_eq!(read_of(FILE_BYTES_MAX), Ok(FILE_BYTES_MAX));
        assert!(read_of(FILE_BYTES_MAX + 1).is_err());
        // It has no length before it is read, and no end.
        let told = read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(told, "it is larger than 4194304 bytes");
        assert_eq!(read(&scratch.join("none")), Err("no such file".to_owned()));
    }
}
