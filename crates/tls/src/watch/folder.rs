//! Folders of certificates: which pairs are in them.

use crate::watch::{FilesPlan, FolderPlan};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// How many certificates a folder may hold.
const FOLDER_CERTIFICATES_MAX: usize = 100_000;

/// What a folder holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FolderPairs {
    /// The pairs, by name.
    pub pairs: Vec<FilesPlan>,
    /// What is not served, as another one of the same name is.
    pub passed_over: Vec<PassedOver>,
}

/// A certificate in a folder that is not served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PassedOver {
    /// Its chain.
    pub certificate: PathBuf,
    /// The chain that is served under its name.
    pub served: PathBuf,
}

/// A pair and its place among those of the same name.
struct Found {
    form: Form,
    certificate: PathBuf,
    key: PathBuf,
}

/// How a pair stands in a folder. Of several with one name the first counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    /// `NAME.pem`.
    Pem,
    /// `NAME.crt`.
    Crt,
    /// A folder of its own.
    Subfolder,
}

/// The pairs in a folder. An error where that can't be told for sure.
pub(super) fn pairs(folder: &FolderPlan) -> io::Result<FolderPairs> {
    let mut by_name: BTreeMap<String, Found> = BTreeMap::new();
    let mut passed_over = Vec::new();
    for (path, is_file) in list(&folder.folder)? {
        if by_name.len() == FOLDER_CERTIFICATES_MAX {
            break;
        }
        let Some((name, mut found)) = pair(&path, is_file)? else {
            continue;
        };
        if let Some(other) = by_name.get_mut(&name) {
            if found.form < other.form {
                std::mem::swap(other, &mut found);
            }
            passed_over.push((name, found.certificate));
        } else {
            by_name.insert(name, found);
        }
    }
    let served = |name: &String| by_name.get(name).map(|found| found.certificate.clone());
    let passed_over = passed_over.into_iter().filter_map(|(name, certificate)| {
        let served = served(&name)?;
        Some(PassedOver {
            certificate,
            served,
        })
    });
    let passed_over = passed_over.collect();
    let pairs = by_name.into_iter().map(|(name, found)| FilesPlan {
        id: format!("{}/{name}", folder.id),
        certificate: found.certificate,
        key: found.key,
        ocsp: None,
    });
    Ok(FolderPairs {
        pairs: pairs.collect(),
        passed_over,
    })
}

fn pair(path: &Path, is_file: bool) -> io::Result<Option<(String, Found)>> {
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
                let found = Found {
                    form: Form::Subfolder,
                    certificate,
                    key: path.join(key),
                };
                return Ok(Some((file_name.to_owned(), found)));
            }
        }
        return Ok(None);
    }
    let of = |ending: &str, form: Form| Some((file_name.strip_suffix(ending)?, form));
    let Some((name, form)) = of(".pem", Form::Pem).or_else(|| of(".crt", Form::Crt)) else {
        return Ok(None);
    };
    let key = path.with_extension("key");
    // A file can hold both.
    let key = match key.try_exists()? {
        true => key,
        false => path.to_owned(),
    };
    let found = Found {
        form,
        certificate: path.to_owned(),
        key,
    };
    Ok(Some((name.to_owned(), found)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use foregate_testkit::Scratch;

    #[test]
    fn of_several_of_one_name_one_is_taken() {
        let scratch = Scratch::new();
        for file in [
            "a/fullchain.pem",
            "a-b.pem",
            "a.crt",
            "a.key",
            "a.pem",
            "b.crt",
            "b/tls.crt",
            "c/tls.crt",
            "c/fullchain.pem",
        ] {
            scratch.write(file, "");
        }
        let plan = FolderPlan {
            id: "certs".to_owned(),
            folder: scratch.path().to_owned(),
        };
        let found = plan.pairs().unwrap();
        let place = |file: &str| scratch.join(file);
        let pairs = found.pairs.iter();
        let pairs: Vec<_> = pairs
            .map(|pair| (&*pair.id, pair.certificate.clone()))
            .collect();
        let expected = [
            ("certs/a", place("a.pem")),
            ("certs/a-b", place("a-b.pem")),
            ("certs/b", place("b.crt")),
            ("certs/c", place("c/fullchain.pem")),
        ];
        assert_eq!(pairs, expected);
        assert_eq!(found.pairs[0].key, place("a.key"));
        let passed_over = |certificate: &str, served: &str| PassedOver {
            certificate: place(certificate),
            served: place(served),
        };
        let expected = [
            passed_over("a/fullchain.pem", "a.pem"),
            passed_over("a.crt", "a.pem"),
            passed_over("b/tls.crt", "b.crt"),
        ];
        let mut told = found.passed_over;
        told.sort_by_key(|one| expected.iter().position(|other| other == one));
        assert_eq!(told, expected);
    }
}
