//! Where commands without a configuration keep what they make.

use std::path::PathBuf;

use foregate_config::Files;

use crate::files::SystemFiles;

/// The user's own folder for state (XDG Base Directory Specification), or the system's where the user has none.
pub(crate) fn folder() -> PathBuf {
    folder_in(|name| SystemFiles.env(name).filter(|value| !value.is_empty()))
}

fn folder_in(env: impl Fn(&str) -> Option<String>) -> PathBuf {
    let own = env("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| env("HOME").map(|home| PathBuf::from(home).join(".local/state")));
    own.unwrap_or_else(|| "/var/lib".into()).join("foregate")
}

#[cfg(test)]
mod tests {
    use super::folder_in;

    #[test]
    fn the_users_own_folder_comes_first() {
        let folder = |known: &[(&str, &str)]| {
            let env = |name: &str| {
                let found = known.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            folder_in(env).display().to_string()
        };
        let (home, state) = (("HOME", "/home/a"), ("XDG_STATE_HOME", "/s"));
        assert_eq!(folder(&[home, state]), "/s/foregate");
        assert_eq!(folder(&[home]), "/home/a/.local/state/foregate");
        assert_eq!(folder(&[]), "/var/lib/foregate");
    }
}
