//! The state folder on a real disk.
#![expect(clippy::disallowed_methods, reason = "tests may block")]

use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use foregate_telemetry::clock::UnixTime;
use foregate_testkit::Scratch;

use super::*;
use crate::Authority;
use crate::certificate::Source;

fn open(scratch: &Scratch) -> Result<StateFolder, Failure> {
    StateFolder::open(&scratch.join("state"))
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn widen(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A folder with one certificate of the internal CA.
fn furnished(scratch: &Scratch) -> (StateFolder, Key, Issued) {
    let folder = open(scratch).unwrap();
    let names = vec!["a.test".to_owned()];
    let now = UnixTime::from_seconds(1_800_000_000);
    let issued = Authority::open(&folder, now)
        .unwrap()
        .issue(&names, now)
        .unwrap();
    let key = Key::of(&names, Source::Internal, None);
    let mut record = Record::new(names, Source::Internal, None, false);
    record.certificate = Some(issued.facts.clone());
    folder.store_certificate(&key, &record, &issued).unwrap();
    (folder, key, issued)
}

#[test]
fn what_is_stored_is_found() {
    let scratch = Scratch::new();
    let (folder, key, issued) = furnished(&scratch);
    let stored = folder.certificate(&key).unwrap().unwrap();
    assert_eq!(stored.issued, Some(issued));
    assert_eq!(folder.keys().unwrap(), std::slice::from_ref(&key));
    folder.remove_certificate(&key).unwrap();
    assert!(folder.certificate(&key).unwrap().is_none());
}

#[test]
fn permissions_that_are_too_wide_are_mended() {
    let scratch = Scratch::new();
    let (folder, key, _) = furnished(&scratch);
    let pem = folder.file("certificates", key.as_str(), ".pem");
    widen(&scratch.join("state"), 0o755);
    widen(&scratch.join("state/certificates"), 0o777);
    widen(&pem, 0o644);
    let folder = open(&scratch).unwrap();
    folder.certificate(&key).unwrap();
    assert_eq!(mode(&scratch.join("state")), 0o700);
    assert_eq!(mode(&scratch.join("state/certificates")), 0o700);
    assert_eq!(mode(&pem), 0o600);
}

#[test]
fn a_folder_with_other_things_in_it_is_not_narrowed() {
    let scratch = Scratch::new();
    scratch.write("state/other.txt", "");
    widen(&scratch.join("state"), 0o777);
    let failure = open(&scratch).unwrap_err();
    assert_eq!(failure.reason, Reason::StateUnusable);
    assert!(failure.detail.contains("folder of its own"), "{failure}");
    widen(&scratch.join("state"), 0o755);
    open(&scratch).unwrap();
    assert_eq!(mode(&scratch.join("state")), 0o755);
    assert_eq!(mode(&scratch.join("state/certificates")), 0o700);
}

#[test]
fn what_belongs_to_others_is_refused() {
    if !rustix::process::geteuid().is_root() {
        // Only root can give files away; ./test.sh runs as root where it matters.
        return;
    }
    let scratch = Scratch::new();
    let (_, key, _) = furnished(&scratch);
    let folder = open(&scratch).unwrap();
    let pem = folder.file("certificates", key.as_str(), ".pem");
    chown(&pem, Some(12_345), None).unwrap();
    let failure = folder.certificate(&key).unwrap_err();
    assert_eq!(failure.reason, Reason::StateForeign);
    assert!(failure.detail.contains("user 12345"), "{failure}");
    chown(scratch.join("state"), Some(12_345), None).unwrap();
    assert_eq!(open(&scratch).unwrap_err().reason, Reason::StateForeign);
}

#[test]
fn links_are_not_followed() {
    let scratch = Scratch::new();
    let (folder, key, _) = furnished(&scratch);
    let pem = folder.file("certificates", key.as_str(), ".pem");
    let elsewhere = scratch.join("elsewhere.pem");
    std::fs::rename(&pem, &elsewhere).unwrap();
    symlink(&elsewhere, &pem).unwrap();
    assert_eq!(
        folder.certificate(&key).unwrap_err().reason,
        Reason::StateUnusable
    );
}

#[test]
fn damage_and_newer_versions_are_told_with_the_file() {
    let scratch = Scratch::new();
    let (folder, key, _) = furnished(&scratch);
    let record = folder.file("certificates", key.as_str(), ".json");
    let pem = folder.file("certificates", key.as_str(), ".pem");
    let why = |text: &str, path: &Path| {
        std::fs::write(path, text).unwrap();
        let failure = folder.certificate(&key).unwrap_err();
        let reason = match text.contains("version") {
            true => Reason::StateNewer,
            false => Reason::StateUnreadable,
        };
        assert_eq!(failure.reason, reason);
        assert!(
            failure.detail.contains(&path.display().to_string()),
            "{failure}"
        );
        failure.detail
    };
    let good = std::fs::read_to_string(&record).unwrap();
    assert!(why("{\"version\":9}", &record).contains("newer Foregate"));
    assert!(why("{", &record).contains("damaged"));
    std::fs::write(&record, good).unwrap();
    assert!(why("half a fi", &pem).contains("damaged"));
    std::fs::write(scratch.join("state/foregate.json"), "{\"version\":2}").unwrap();
    assert_eq!(open(&scratch).unwrap_err().reason, Reason::StateNewer);
}

#[test]
fn what_a_newer_version_has_written_is_neither_replaced_nor_removed() {
    let scratch = Scratch::new();
    let (folder, key, issued) = furnished(&scratch);
    let record = folder.certificate(&key).unwrap().unwrap().record;
    let file = |ending: &str| folder.file("certificates", key.as_str(), ending);
    let newer = r#"{"version":99,"names":["a.test"],"worth":"keeping"}"#;
    std::fs::write(file(".json"), newer).unwrap();
    let pem = std::fs::read(file(".pem")).unwrap();
    let refused = |outcome: Result<(), Failure>| {
        let failure = outcome.unwrap_err();
        assert_eq!(failure.reason, Reason::StateNewer, "{failure}");
    };
    refused(folder.store_record(&key, &record));
    let next = Issued {
        key_pem: issued.key_pem.clone(),
        chain_pem: issued.chain_pem.repeat(2),
        ..issued
    };
    refused(folder.store_certificate(&key, &record, &next));
    refused(folder.remove_certificate(&key));
    assert_eq!(std::fs::read_to_string(file(".json")).unwrap(), newer);
    assert_eq!(std::fs::read(file(".pem")).unwrap(), pem);
}

#[test]
fn processes_that_write_at_the_same_time_have_files_of_their_own() {
    let scratch = Scratch::new();
    let folder = open(&scratch).unwrap();
    let path = folder.file("certificates", "x", ".json");
    // As another process of the same number that is in the middle of it.
    let theirs = folder.file("certificates", "x", &format!(".{}.tmp", std::process::id()));
    std::fs::write(&theirs, "half a fi").unwrap();
    disk::write(&path, b"{}").unwrap();
    assert_eq!(std::fs::read_to_string(&theirs).unwrap(), "half a fi");
    // What was left long ago is nobody's.
    let file = std::fs::File::options().write(true).open(&theirs).unwrap();
    let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000);
    file.set_modified(long_ago).unwrap();
    let fresh = folder.file("certificates", "y", ".pem.1.tmp");
    std::fs::write(&fresh, "").unwrap();
    open(&scratch).unwrap();
    assert!(!theirs.exists() && fresh.exists() && path.exists());
}

#[test]
fn a_key_of_another_certificate_is_noticed() {
    let scratch = Scratch::new();
    let (folder, key, issued) = furnished(&scratch);
    let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let pem = folder.file("certificates", key.as_str(), ".pem");
    std::fs::write(pem, format!("{other}{}", issued.chain_pem)).unwrap();
    let failure = folder.certificate(&key).unwrap_err();
    assert!(
        failure.detail.contains("not for this private key"),
        "{failure}"
    );
}

#[test]
fn a_certificate_newer_than_its_record_counts() {
    let scratch = Scratch::new();
    let (folder, key, _) = furnished(&scratch);
    let path = folder.file("certificates", key.as_str(), ".json");
    let record = std::fs::read(&path).unwrap();
    let now = UnixTime::from_seconds(1_800_100_000);
    let names = vec!["a.test".to_owned()];
    let next = Authority::open(&folder, now)
        .unwrap()
        .issue(&names, now)
        .unwrap();
    let stored = folder.certificate(&key).unwrap().unwrap();
    folder
        .store_certificate(&key, &stored.record, &next)
        .unwrap();
    // As a process leaves it that ends between the two files.
    std::fs::write(&path, record).unwrap();
    let stored = folder.certificate(&key).unwrap().unwrap();
    assert_eq!(stored.record.certificate, Some(next.facts));
}

#[test]
fn a_lock_is_held_by_one() {
    let scratch = Scratch::new();
    let (one, two) = (open(&scratch).unwrap(), open(&scratch).unwrap());
    let key = Key::of(&["a.test".to_owned()], Source::Acme, None);
    let other = Key::of(&["b.test".to_owned()], Source::Acme, None);
    let held = one.try_lock(&key).unwrap().unwrap();
    assert!(two.try_lock(&key).unwrap().is_none());
    assert!(two.try_lock(&other).unwrap().is_some());
    drop(held);
    assert!(two.try_lock(&key).unwrap().is_some());
}

#[test]
fn a_root_near_its_end_is_followed_by_another() {
    let scratch = Scratch::new();
    let folder = open(&scratch).unwrap();
    let at = |days: u64| UnixTime::from_seconds(1_800_000_000 + days * 86_400);
    let root = |days| {
        Authority::open(&folder, at(days))
            .unwrap()
            .root_pem()
            .to_owned()
    };
    let first = root(0);
    assert_eq!(root(3_600), first);
    assert_ne!(root(3_630), first);
}

#[test]
fn what_is_damaged_is_put_aside_and_what_is_newer_stays() {
    let scratch = Scratch::new();
    let (folder, key, issued) = furnished(&scratch);
    let file = |ending: &str| folder.file("certificates", key.as_str(), ending);
    let pending = Pending::new("https://ca/".into(), "https://ca/1".into(), "key".into());
    folder.store_pending(&key, &pending).unwrap();
    assert!(folder.put_damaged_aside(&key).unwrap().is_empty());
    // As a disk that was full, or lost its power, leaves them.
    let pem = std::fs::read(file(".pem")).unwrap();
    std::fs::write(file(".pem"), &pem[..pem.len() / 2]).unwrap();
    std::fs::write(file(".pending"), "").unwrap();
    assert!(folder.certificate(&key).is_err() && folder.pending(&key).is_err());
    let aside = folder.put_damaged_aside(&key).unwrap();
    assert_eq!(aside, [file(".pem"), file(".pending")]);
    assert!(file(".pem.bad").exists());
    assert!(folder.pending(&key).unwrap().is_none());
    let stored = folder.certificate(&key).unwrap().unwrap();
    assert!(stored.issued.is_none());
    folder
        .store_certificate(&key, &stored.record, &issued)
        .unwrap();
    let stored = folder.certificate(&key).unwrap().unwrap();
    assert_eq!(stored.issued, Some(issued));

    std::fs::write(file(".json"), r#"{"version":1,"names":["a.te"#).unwrap();
    assert_eq!(folder.put_damaged_aside(&key).unwrap(), [file(".json")]);
    std::fs::write(file(".json"), r#"{"version":99,"names":7}"#).unwrap();
    assert!(folder.put_damaged_aside(&key).unwrap().is_empty());
    assert!(file(".json").exists());
}
