//! Signals that come before there is anybody to hear them.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use foregate_testkit::{Process, RawClient, Scratch, Signal, eventually};

/// The bit of a signal in the masks of `/proc`.
fn bit(number: u32) -> u64 {
    1 << (number - 1)
}

const HUP: u32 = 1;
const USR1: u32 = 10;

/// The signals for which a process has a handler.
fn caught(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("it lives");
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    u64::from_str_radix(mask.expect("a mask").trim(), 16).expect("hexadecimal")
}

/// A configuration file that is read when somebody writes it: until then a start stands still.
fn pipe(folder: &Scratch) -> std::path::PathBuf {
    let path = folder.join("foregate.toml");
    let made = Command::new("mkfifo").arg(&path).status();
    assert!(made.expect("mkfifo").success());
    path
}

fn write(path: &Path, word: &str) {
    let text = format!(
        "workers = 1\n[admin]\nenabled = false\n[listeners.public]\naddresses = [\"127.0.0.1:0\"]\n[sites.\"*\"]\n\
         [[sites.\"*\".routes]]\nrespond = {{ status = 200, body = \"{word}\" }}\n"
    );
    fs::write(path, text).expect("somebody reads it");
}

#[test]
fn a_hup_that_comes_during_the_start_reloads_after_it() {
    let folder = Scratch::new();
    let path = pipe(&folder);
    let arguments = ["run", "-c", &path.to_string_lossy()];
    let mut process = Process::spawn(&arguments, Some(folder.path()));
    let wanted = bit(HUP) | bit(USR1);
    eventually("the first thing that it does", || {
        (caught(process.id()) & wanted == wanted).then_some(())
    });
    for _ in 0..10 {
        process.signal(Signal::Usr1);
        process.signal(Signal::Hup);
    }
    write(&path, "old");
    let out = process.wait_stdout("ready\n");
    let address: SocketAddr = out
        .lines()
        .find_map(|line| line.strip_prefix("listening public "))
        .and_then(|address| address.parse().ok())
        .expect("an address");
    // It reads the file again, as it was told to.
    write(&path, "new");
    eventually("the reload", || {
        let mut client = RawClient::connect(address);
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        (client.response().text() == "new").then_some(())
    });
    eventually("the log files", || {
        let log = process.stderr();
        log.contains("log files are opened anew").then_some(())
    });
}

#[test]
fn a_term_that_comes_during_the_start_ends_it() {
    let folder = Scratch::new();
    let path = pipe(&folder);
    let arguments = ["run", "-c", &path.to_string_lossy()];
    let mut process = Process::spawn(&arguments, Some(folder.path()));
    eventually("the first thing that it does", || {
        (caught(process.id()) & bit(HUP) != 0).then_some(())
    });
    process.signal(Signal::Term);
    assert!(!process.wait_exit().success());
}
