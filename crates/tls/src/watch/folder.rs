//! Folders of certificates: which pairs are in them.

use crate::watch::{FilesPlan, FolderPlan};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// How many certificates a folder may hold.
const FOLDER_CERTIFICATES_MAX: usize = 100_000;

/// The pairs in a folder. An error where that can't be told for sure.
pub(super) fn pairs(folder: &FolderPlan) -> io::Result<Vec<FilesPlan>> {
    let mut pairs = Vec::new();
    for (path, is_file) in list(&folder.folder)? {
        if pairs.len() == FOLDER_CERTIFICATES_MAX {
            break;
        }
        let Some(pair) = pair(&path, is_file)? else {
            continue;
        };
        let (name, certificate, key) = pair;
        pairs.push(FilesPlan {
            id: format!("{}/{name}", folder.id),
            certificate,
            key,
            ocsp: None,
        });
    }
    Ok(pairs)
}

fn pair(path: &Path, is_file: bool) -> io::Result<Option<(String, PathBuf, PathBuf)>> {
    let Some(file_name) = path.file_name().and_then(|name| name.to_str()) else {
        return Ok(None);
    };
    // Hidden ones are somebody's scaffolding: Kubernetes has `..data`.
    if file_name.starts_with('.') {
        return Ok(None);
    }
    let is_folder = || match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.is_dir())),
        // It went away meanwhile, or is a link to nothing.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    let is_folder = match is_file {
        true => false,
        false => match is_folder()? {
            Some(is_folder) => is_folder,
            None => return Ok(None),
        },
    };
    if is_folder {
        for (certificate, key) in [("fullchain.pem", "privkey.pem"), ("tls.crt", "tls.key")] {
            let certificate = path.join(certificate);
            if certificate.try_exists()? {
                return Ok(Some((file_name.to_owned(), certificate, path.join(key))));
            }
        }
        return Ok(None);
    }
    let name = file_name.strip_suffix(".pem");
    let Some(name) = name.or(file_name.strip_suffix(".crt")) else {
        return Ok(None);
    };
    let key = path.with_extension("key");
    // A file can hold both.
    let key = match key.try_exists()? {
        true => key,
        false => path.to_owned(),
    };
    Ok(Some((name.to_owned(), path.to_owned(), key)))
}

/// What is a directory in a folder, or leads to one: a listing tells that of most entries without a look at each.
pub(super) fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_file()))
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect()
}

/// What a folder holds, by name, and whether the listing says that it is a file: links are to be looked at.
fn list(folder: &Path) -> io::Result<Vec<(PathBuf, bool)>> {
    let entries = std::fs::read_dir(folder)?.map(|entry| {
        let entry = entry?;
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        Ok((entry.path(), is_file))
    });
    let mut entries = entries.collect::<io::Result<Vec<_>>>()?;
    entries.sort_unstable_by(|(a, _), (b, _)| a.as_os_str().cmp(b.as_os_str()));
    Ok(entries)
}
