//! Challenges that processes answer for each other: an authority may come to any of those that share a state folder.
//!
//! ```text
//! orders ─► published in the folder ─► (the others have looked) ─► the authority is told ─► it asks anybody ─► withdrawn
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use foregate_telemetry::clock::unix_now;
use foregate_telemetry::log::process;
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

use super::{Challenges, OPEN_MAX, alpn_certificate, is_token};
use crate::certificate::digest_hex;
use crate::folder::{Stamp, StateFolder};
use crate::reason::Failure;

/// How often the folder is looked at.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long after a challenge was published all others have seen it: they look every second, and file systems of
/// networks have to tell.
pub(crate) const SEEN_AFTER: Duration = Duration::from_secs(3);
/// How long a challenge is good for whoever finds it; an order takes five minutes at most.
const GOOD_SECONDS: u64 = 1_800;
/// Bytes of a key authorisation: a token, a dot, and a digest.
const ANSWER_BYTES_MAX: usize = 512;
/// Bytes of a host name (RFC 1035 §2.3.4).
const NAME_BYTES_MAX: usize = 253;

/// What it takes to answer a challenge.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(tag = "kind")]
pub(crate) enum Answer {
    /// RFC 8555 §8.3.
    #[serde(rename = "http-01")]
    Http {
        /// What the authority asks for.
        token: String,
        /// What it is answered.
        answer: String,
    },
    /// RFC 8737 §3.
    #[serde(rename = "tls-alpn-01")]
    Alpn {
        /// The host.
        name: String,
        /// SHA-256 of the key authorisation.
        digest: [u8; 32],
    },
}

impl Answer {
    /// What its file is called: nothing that an authority says becomes part of a path.
    fn id(&self) -> String {
        let (kind, what) = match self {
            Answer::Http { token, .. } => ("http-01", token),
            Answer::Alpn { name, .. } => ("tls-alpn-01", name),
        };
        let mut id = digest_hex(&format!("{kind}\n{what}"));
        id.truncate(32);
        id
    }

    /// Whether it is what a process of ours would have written.
    fn is_proper(&self) -> bool {
        match self {
            Answer::Http { token, answer } => {
                let thumbprint = answer.strip_prefix(token.as_str());
                is_token(token)
                    && answer.len() <= ANSWER_BYTES_MAX
                    && thumbprint.is_some_and(|rest| rest.strip_prefix('.').is_some_and(is_token))
            }
            Answer::Alpn { name, .. } => {
                let is_host = |byte: u8| {
                    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._:".contains(&byte)
                };
                !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_host)
            }
        }
    }
}

/// A challenge as it stands in the folder.
#[derive(Serialize, Deserialize)]
pub(crate) struct Published {
    version: u32,
    /// Until when it is to be answered, in seconds since 1970.
    until: u64,
    #[serde(flatten)]
    answer: Answer,
}

/// Has the other processes answer a challenge for as long as this lives.
#[derive(Debug)]
pub(crate) struct Publication {
    folder: StateFolder,
    id: String,
}

impl Publication {
    pub(crate) fn new(folder: &StateFolder, answer: Answer) -> Result<Publication, Failure> {
        let id = answer.id();
        let published = Published {
            version: crate::folder::VERSION,
            until: unix_now().seconds() + GOOD_SECONDS,
            answer,
        };
        folder.publish_challenge(&id, &published)?;
        Ok(Publication {
            folder: folder.clone(),
            id,
        })
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        if let Err(failure) = self.folder.withdraw_challenge(&self.id) {
            process::warn(
                "a challenge could not be removed from the state folder",
                &[("detail", &failure.detail)],
            );
        }
    }
}

/// What was found in the folder of a neighbour's.
#[derive(Clone)]
enum Found {
    Http(String, Arc<str>),
    Alpn(String, Arc<CertifiedKey>),
    /// Not to be answered: it is over, makes no sense, or is of this process itself.
    Nothing,
    /// It can't be read now.
    Unreadable,
}

/// The challenges of all who share a folder, as they were at the last look, and what tells each file from the next one
/// under its name: a name can be proved anew, with another answer, between two looks.
#[derive(Default)]
pub(crate) struct Neighbours {
    found: BTreeMap<String, (Option<Stamp>, Found)>,
}

impl Neighbours {
    /// Looks into the folder, and has `challenges` answer what is there.
    pub(crate) fn look(&mut self, folder: &StateFolder, challenges: &Challenges) {
        // What can't be listed now may be the next time.
        let Ok(mut ids) = folder.published_challenges() else {
            return;
        };
        ids.truncate(OPEN_MAX);
        let now = unix_now().seconds();
        let mut has_changed = ids.len() != self.found.len();
        let mut found = BTreeMap::new();
        for id in ids {
            let stamp = folder.published_stamp(&id);
            let before = self.found.remove(&id).filter(|(old, _)| *old == stamp);
            let one = match before {
                Some((_, known)) if !matches!(known, Found::Unreadable) => known,
                before => {
                    has_changed = true;
                    read(folder, challenges, &id, now, before.is_some())
                }
            };
            found.insert(id, (stamp, one));
        }
        self.found = found;
        if !has_changed {
            return;
        }
        let (mut http, mut alpn) = (Vec::new(), Vec::new());
        for (_, found) in self.found.values() {
            match found {
                Found::Http(token, answer) => http.push((token.clone(), Arc::clone(answer))),
                Found::Alpn(name, key) => alpn.push((name.clone(), Arc::clone(key))),
                Found::Nothing | Found::Unreadable => {}
            }
        }
        challenges.answer_for_others(http, alpn);
    }
}

fn read(
    folder: &StateFolder,
    challenges: &Challenges,
    id: &str,
    now: u64,
    was_told: bool,
) -> Found {
    let published = match folder.published_challenge(id) {
        Ok(Some(published)) => published,
        Ok(None) => return Found::Nothing,
        Err(failure) => {
            if !was_told {
                process::warn(
                    "a challenge in the state folder can't be read",
                    &[("detail", &failure.detail)],
                );
            }
            return Found::Unreadable;
        }
    };
    let answer = published.answer;
    if published.until <= now {
        // Whoever published it has ended without a word.
        let _ = folder.withdraw_challenge(id);
        return Found::Nothing;
    }
    if answer.id() != id || !answer.is_proper() || challenges.is_own(&answer) {
        return Found::Nothing;
    }
    match answer {
        Answer::Http { token, answer } => Found::Http(token, answer.into()),
        Answer::Alpn { name, digest } => match alpn_certificate(&name, &digest) {
            Ok(key) => Found::Alpn(name, Arc::new(key)),
            Err(_) => Found::Nothing,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foregate_testkit::Scratch;

    fn http(token: &str) -> Answer {
        Answer::Http {
            token: token.to_owned(),
            answer: format!("{token}.thumb"),
        }
    }

    /// Two processes that share a folder; one publishes, the other looks.
    struct Pair {
        scratch: Scratch,
        folder: StateFolder,
        neighbours: Neighbours,
        challenges: Challenges,
    }

    impl Pair {
        fn new() -> Pair {
            let scratch = Scratch::new();
            Pair {
                folder: StateFolder::open(&scratch.join("state")).unwrap(),
                scratch,
                neighbours: Neighbours::default(),
                challenges: Challenges::new(),
            }
        }

        fn look(&mut self) {
            self.neighbours.look(&self.folder, &self.challenges);
        }

        fn answer(&self, token: &str) -> Option<String> {
            let path = format!("{}{token}", super::super::HTTP_PATH);
            let answer = self.challenges.http_answer(path.as_bytes());
            answer.map(|answer| answer.to_string())
        }

        /// Writes a file as nobody of ours would.
        fn plant(&self, id: &str, text: &str) {
            let path = self
                .scratch
                .write(&format!("state/challenges/{id}.json"), text);
            drop(path);
        }
    }

    #[test]
    fn what_one_publishes_another_answers_until_it_is_withdrawn() {
        let mut pair = Pair::new();
        let one = Publication::new(&pair.folder, http("one")).unwrap();
        let alpn = Answer::Alpn {
            name: "shop.example".to_owned(),
            digest: [7; 32],
        };
        let two = Publication::new(&pair.folder, alpn).unwrap();
        assert_eq!(pair.answer("one"), None);
        pair.look();
        assert_eq!(pair.answer("one").as_deref(), Some("one.thumb"));
        assert_eq!(pair.answer("other"), None);
        let key = pair.challenges.alpn_certificate("shop.example").unwrap();
        pair.look();
        let again = pair.challenges.alpn_certificate("shop.example").unwrap();
        assert!(Arc::ptr_eq(&key, &again), "made once");
        drop((one, two));
        pair.look();
        assert!(pair.challenges.is_empty());
        assert_eq!(pair.folder.published_challenges().unwrap().len(), 0);
    }

    #[test]
    fn an_answer_that_was_replaced_between_two_looks_is_answered_anew() {
        let mut pair = Pair::new();
        let alpn = |digest: u8| Answer::Alpn {
            name: "shop.example".to_owned(),
            digest: [digest; 32],
        };
        let one = Publication::new(&pair.folder, alpn(1)).unwrap();
        pair.look();
        let first = pair.challenges.alpn_certificate("shop.example").unwrap();
        drop(one);
        let two = Publication::new(&pair.folder, alpn(2)).unwrap();
        pair.look();
        let second = pair.challenges.alpn_certificate("shop.example").unwrap();
        assert_ne!(first.cert, second.cert);
        drop(two);
        // One's own that a neighbour's follows.
        let own = pair.challenges.open_alpn("shop.example", &[3; 32]).unwrap();
        let three = Publication::new(&pair.folder, alpn(3)).unwrap();
        pair.look();
        drop((own, three));
        let four = Publication::new(&pair.folder, alpn(4)).unwrap();
        pair.look();
        assert!(pair.challenges.alpn_certificate("shop.example").is_some());
        drop(four);
    }

    #[test]
    fn what_could_not_be_read_once_is_read_again() {
        use std::os::unix::fs::symlink;
        let mut pair = Pair::new();
        let kept = Publication::new(&pair.folder, http("one")).unwrap();
        let path = pair
            .scratch
            .join(&format!("state/challenges/{}.json", http("one").id()));
        let aside = pair.scratch.join("aside.json");
        std::fs::rename(&path, &aside).unwrap();
        // Links are not followed, and look as what they lead to.
        symlink(&aside, &path).unwrap();
        pair.look();
        assert_eq!(pair.answer("one"), None);
        std::fs::rename(&aside, &path).unwrap();
        pair.look();
        assert_eq!(pair.answer("one").as_deref(), Some("one.thumb"));
        drop(kept);
    }

    #[test]
    fn files_are_for_nobody_else_and_lie_in_their_folder_whatever_the_token() {
        use std::os::unix::fs::PermissionsExt;
        let pair = Pair::new();
        let tokens = [
            "../../escaped",
            "/etc/passwd",
            "",
            "a\0b",
            &"x".repeat(5000),
        ];
        let kept: Vec<_> = tokens
            .iter()
            .map(|token| Publication::new(&pair.folder, http(token)).unwrap())
            .collect();
        let names = pair.folder.published_challenges().unwrap();
        assert_eq!(names.len(), tokens.len());
        for name in names {
            let path = pair.scratch.join(&format!("state/challenges/{name}.json"));
            let mode = path.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        drop(kept);
    }

    #[test]
    fn what_nobody_of_ours_would_write_is_not_answered() {
        let mut pair = Pair::new();
        let good = |answer: &Answer| {
            let published = Published {
                version: 1,
                until: u64::MAX,
                answer: answer.clone(),
            };
            serde_json::to_string(&published).unwrap()
        };
        // An answer that is none to its token would let whoever can write here speak for the site.
        let forged = Answer::Http {
            token: "forged".to_owned(),
            answer: "<script>".to_owned(),
        };
        pair.plant(&forged.id(), &good(&forged));
        let other = http("other");
        pair.plant(&"0".repeat(32), &good(&other));
        pair.plant("x", &good(&http("x")));
        let slash = http("a/../b");
        pair.plant(&slash.id(), &good(&slash));
        pair.plant(&"1".repeat(32), "not JSON");
        let newer = good(&http("newer")).replace("\"version\":1", "\"version\":99");
        pair.plant(&http("newer").id(), &newer);
        let over = good(&http("over")).replace(&u64::MAX.to_string(), "1000");
        pair.plant(&http("over").id(), &over);
        let fine = http("fine");
        pair.plant(&fine.id(), &good(&fine));
        pair.look();
        for token in ["forged", "other", "x", "a/../b", "newer", "over"] {
            assert_eq!(pair.answer(token), None, "{token}");
        }
        assert_eq!(pair.answer("fine").as_deref(), Some("fine.thumb"));
        // What is over is taken away by whoever finds it.
        let left = pair.folder.published_challenges().unwrap();
        assert!(!left.contains(&http("over").id()));
    }
}
