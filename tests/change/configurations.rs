//! Configurations that are applied whole, confirmed, taken back and remembered.

use std::fs;
use std::path::PathBuf;

use foregate_testkit::{
    Answer, Backend, Gateway, Process, Run, Scratch, Signal, Successor, eventually, foregate,
    free_port,
};
use serde_json::Value;

/// A gateway that answers by itself with one word.
const SAYS: &str =
    "[[sites.\"*\".routes]]\npath = \"/\"\nrespond = { status = 200, body = \"{word}\" }\n";

fn saying(word: &str, admin: &str) -> Gateway {
    let text =
        format!("{SAYS}[access_log]\nto = \"off\"\n[admin]\naddress = \"127.0.0.1:0\"\n{admin}");
    Gateway::new(&text).fill("word", word).start()
}

fn said(gateway: &Gateway) -> String {
    gateway.get("a", "/").text()
}

/// The gateway's own configuration with another word.
fn with_word(gateway: &Gateway, old: &str, new: &str) -> String {
    let text = fs::read_to_string(gateway.config_path()).expect("the configuration is there");
    text.replace(&format!("\"{old}\""), &format!("\"{new}\""))
}

fn put(gateway: &Gateway, query: &str, text: &str) -> (u16, Value) {
    let answer = gateway.admin_send("PUT", &format!("/config{query}"), text);
    (answer.status, answer.json())
}

fn post(gateway: &Gateway, target: &str, body: &str) -> (u16, Value) {
    let answer = gateway.admin_send("POST", target, body);
    (answer.status, answer.json())
}

fn config(gateway: &Gateway) -> Value {
    gateway.admin_send("GET", "/config", "").json()
}

/// Runs a command that asks this gateway.
fn run(gateway: &Gateway, arguments: &[&str]) -> Run {
    let admin = gateway.listener("admin").to_string();
    let mut all = arguments.to_vec();
    all.extend(["--admin", &admin]);
    foregate(&all)
}

fn beside(gateway: &Gateway, name: &str, text: &str) -> PathBuf {
    gateway.scratch().write(name, text)
}

#[test]
fn a_configuration_is_applied_whole_or_not_at_all() {
    let gateway = saying("one", "");
    let mut client = gateway.connect();
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(client.exchange(request).text(), "one");
    let (status, told) = put(
        &gateway,
        "?note=try+two",
        &with_word(&gateway, "one", "two"),
    );
    assert_eq!((status, &told["id"]), (200, &2.into()), "{told}");
    assert_eq!(client.exchange(request).text(), "two", "a connection stays");

    let broken = with_word(&gateway, "one", "three") + "[upstreams.app]\nservers = [1]\n";
    let (status, told) = put(&gateway, "?name=new.toml", &broken);
    assert_eq!((status, &told["error"]), (422, &"config-refused".into()));
    let diagnostics = told["diagnostics"].as_array().unwrap();
    let line = broken.lines().count() as u64;
    assert!(
        diagnostics.iter().any(|one| one["line"] == line
            && one["file"]
                .as_str()
                .is_some_and(|file| file.ends_with("/new.toml"))),
        "{told}"
    );
    let detail = told["detail"].as_str().unwrap();
    assert!(detail.contains(&format!("new.toml:{line}:")), "{detail}");
    assert_eq!(said(&gateway), "two");
    drop(client);
    gateway.assert_no_leaks();
}

#[test]
fn what_is_in_force_and_the_file_are_compared() {
    let gateway = saying("one", "");
    assert_eq!(config(&gateway)["drift"]["state"], "none");
    put(&gateway, "", &with_word(&gateway, "one", "two"));
    let told = config(&gateway);
    assert_eq!(told["drift"]["state"], "differs", "{told}");
    let difference = told["drift"]["diff"].as_str().unwrap();
    assert!(
        difference.contains("body = \"one\"") && difference.contains("\n-"),
        "{difference}"
    );
    let status = gateway.admin_send("GET", "/status", "").json();
    assert_eq!(status["configuration"]["drift"], "differs");
    assert_eq!(status["configuration"]["cause"], "apply");
    let shown = run(&gateway, &["config"]);
    assert!(
        shown.stdout.contains("the file says otherwise"),
        "{}",
        shown.stdout
    );

    gateway.signal(Signal::Hup);
    // Workers take a configuration up before its history is written.
    let told = eventually("the file is in force", || {
        let told = config(&gateway);
        (told["cause"] == "signal").then_some(told)
    });
    assert_eq!(
        (said(&gateway).as_str(), told["drift"]["state"].as_str()),
        ("one", Some("none"))
    );
}

#[test]
fn what_is_not_confirmed_comes_back_by_itself() {
    let gateway = saying("one", "");
    let two = with_word(&gateway, "one", "two");
    let (status, told) = put(&gateway, "?confirm=1s", &two);
    assert_eq!(
        (status, &told["confirm_within_ms"]),
        (200, &1000.into()),
        "{told}"
    );
    assert_eq!(said(&gateway), "two");
    gateway.wait_stderr("was not confirmed in time");
    eventually("the old one is back", || {
        (said(&gateway) == "one").then_some(())
    });
    // Workers go by it a moment before the history has it.
    let told = eventually("it is in the history", || {
        let told = config(&gateway);
        (told["cause"] == "expiry").then_some(told)
    });
    assert_eq!(told["id"], 3);
    assert_eq!(told["drift"]["state"], "none");
    let (status, told) = post(&gateway, "/config/confirm", "");
    assert_eq!(
        (status, &told["error"]),
        (409, &"nothing-to-confirm".into())
    );
}

#[test]
fn what_was_taken_back_is_no_way_back() {
    let gateway = saying("one", "");
    let bad = with_word(&gateway, "one", "bad");
    assert_eq!(put(&gateway, "?confirm=500ms", &bad).0, 200);
    eventually("the old one is back", || {
        (config(&gateway)["cause"] == "expiry").then_some(())
    });
    let told = gateway.admin_send("GET", "/config/history", "").json();
    let taken_back = |number: usize| told["versions"][number]["taken_back"].as_bool();
    let all = [taken_back(0), taken_back(1), taken_back(2)];
    assert_eq!(all, [Some(false), Some(true), Some(false)], "{told}");
    let shown = run(&gateway, &["config", "history"]);
    let signs: Vec<&str> = shown.stdout.lines().map(|line| &line[..1]).collect();
    assert_eq!(signs, ["*", "-", " "], "{}", shown.stdout);
    let (status, told) = post(&gateway, "/config/rollback", "");
    assert_eq!(
        (status, &told["error"]),
        (409, &"nothing-to-roll-back".into()),
        "{told}"
    );
    assert_eq!(said(&gateway), "one");
    assert_eq!(run(&gateway, &["rollback"]).code, Some(1));
    let better = with_word(&gateway, "one", "better");
    assert_eq!(put(&gateway, "", &better).0, 200);
    assert_eq!(post(&gateway, "/config/rollback", "").0, 200);
    assert_eq!(said(&gateway), "one", "not the one that nobody confirmed");
    // Who names it has it.
    assert_eq!(post(&gateway, "/config/rollback", "{\"id\":2}").0, 200);
    assert_eq!(said(&gateway), "bad");
}

#[test]
fn the_files_own_text_is_told_as_such_when_it_came_back() {
    let gateway = saying("one", "");
    let two = with_word(&gateway, "one", "two");
    let origin = || {
        let target = "/config/values?under=access_log";
        let values = gateway.admin_send("GET", target, "").json();
        let mut items = values["items"].as_array().cloned().unwrap_or_default();
        items.retain(|one| one["path"] == "access_log.to");
        items.pop().map(|one| one["from"].clone())
    };
    assert_eq!(origin(), Some("file".into()));
    assert_eq!(put(&gateway, "?confirm=1h", &two).0, 200);
    assert_eq!(origin(), Some("api".into()));
    assert_eq!(post(&gateway, "/config/rollback", "").0, 200);
    assert_eq!(origin(), Some("file".into()));
    fs::write(gateway.config_path(), two).unwrap();
    let detail = eventually("the file is seen to differ", || {
        let drift = config(&gateway)["drift"].clone();
        (drift["state"] == "differs").then(|| drift["detail"].clone())
    });
    assert_eq!(detail, "the file was changed and not reloaded");
}

#[test]
fn what_operators_said_of_endpoints_outlives_a_configuration_without_them() {
    let (a, b) = (
        Backend::answering(|_| Answer::ok("a")),
        Backend::answering(|_| Answer::ok("b")),
    );
    let gateway = Gateway::before(&[a.address(), b.address()]);
    let target = format!("/upstreams/app/endpoints/{}", a.address());
    let drained = gateway.admin_send("PATCH", &target, r#"{"state":"draining"}"#);
    assert_eq!(drained.status, 200, "{}", drained.text());
    let without = SAYS.replace("{word}", "none");
    let text = fs::read_to_string(gateway.config_path()).unwrap();
    let (before, rest) = text.split_once("[sites").unwrap();
    let after = rest.split_once("\n[listeners").unwrap().1;
    let without = format!("{before}{without}[listeners{after}");
    let (status, told) = put(&gateway, "?confirm=500ms", &without);
    assert_eq!(status, 200, "{told}");
    gateway.wait_stderr("is gone: the changes wait for it");
    eventually("the old one is back", || {
        (config(&gateway)["cause"] == "expiry").then_some(())
    });
    let shown = gateway.admin_send("GET", "/upstreams/app", "").json();
    assert_eq!(shown["endpoints"][0]["state"], "draining", "{shown}");
    for _ in 0..6 {
        assert_eq!(said(&gateway), "b");
    }
}

#[test]
fn while_one_waits_for_confirmation_there_is_no_other() {
    let gateway = saying("one", "");
    let two = with_word(&gateway, "one", "two");
    assert_eq!(put(&gateway, "?confirm=1h", &two).0, 200);
    for (status, told) in [
        put(&gateway, "", &two),
        post(&gateway, "/reload", ""),
        post(&gateway, "/config/rollback", "{\"id\":7}"),
    ] {
        assert_eq!(
            (status, &told["error"]),
            (409, &"unconfirmed".into()),
            "{told}"
        );
    }
    let (status, told) = post(&gateway, "/upgrade", "");
    assert_eq!(status, 503);
    assert!(
        told["detail"]
            .as_str()
            .unwrap()
            .contains("waits for confirmation"),
        "{told}"
    );
    assert_eq!(config(&gateway)["unconfirmed_apply"]["returns_to"], 1);
    let confirmed = run(&gateway, &["confirm"]);
    assert_eq!(confirmed.code, Some(0), "{}", confirmed.stderr);
    assert_eq!(config(&gateway)["unconfirmed_apply"], Value::Null);
    assert_eq!(
        put(
            &gateway,
            "?confirm=1h",
            &with_word(&gateway, "one", "three")
        )
        .0,
        200
    );
    assert_eq!(said(&gateway), "three");
    assert_eq!(post(&gateway, "/config/rollback", "").0, 200);
    assert_eq!(said(&gateway), "two");
}

#[test]
fn commands_apply_confirm_and_roll_back() {
    let gateway = saying("one", "");
    let new = beside(&gateway, "new.toml", &with_word(&gateway, "one", "two"));
    let new = new.to_string_lossy().into_owned();
    let applied = run(
        &gateway,
        &["apply", "-c", &new, "--confirm", "10m", "--note", "a & b"],
    );
    assert_eq!(applied.code, Some(0), "{}", applied.stderr);
    assert!(
        applied.stdout.contains("comes back in 600 s"),
        "{}",
        applied.stdout
    );
    assert_eq!(said(&gateway), "two");
    assert_eq!(run(&gateway, &["confirm"]).code, Some(0));
    let history = run(&gateway, &["config", "history"]);
    let lines: Vec<&str> = history.stdout.lines().collect();
    assert!(
        lines[0].starts_with("*    2") && lines[0].ends_with("a & b"),
        "{lines:?}"
    );
    assert!(lines[1].contains("start"), "{lines:?}");
    let difference = run(&gateway, &["config", "diff"]);
    assert!(
        difference
            .stdout
            .contains("+respond = { status = 200, body = \"two\" }"),
        "{}",
        difference.stdout
    );
    assert_eq!(run(&gateway, &["rollback"]).code, Some(0));
    assert_eq!(said(&gateway), "one");
    assert_eq!(run(&gateway, &["rollback", "2"]).code, Some(0));
    assert_eq!(said(&gateway), "two");
    assert_eq!(run(&gateway, &["rollback", "99"]).code, Some(1));

    let broken = beside(&gateway, "broken.toml", "workers = \"many\"\n");
    let broken = broken.to_string_lossy().into_owned();
    let refused = run(&gateway, &["apply", "-c", &broken]);
    assert_eq!(refused.code, Some(2));
    let place = format!("{broken}:1:11");
    assert!(refused.stderr.contains(&place), "{}", refused.stderr);
}

/// Where a configuration is shown, or parts of one.
const SHOWING: [&str; 7] = [
    "/config",
    "/config/values",
    "/config/history",
    "/config/history/2",
    "/routes",
    "/upstreams",
    "/status",
];

#[test]
fn secrets_are_shown_to_nobody() {
    let gateway = saying("one", "");
    let secret = "a-secret-of-many-letters";
    let sticky = "[upstreams.app]\nservers = [\"127.0.0.1:1\"]\nsticky = { secrets = [\"a-secret-of-many-letters\"] }\n[[sites.\"b\".routes]]\nheaders = { X-Api-Key = \"a-secret-of-many-letters\" }\nupstream = \"app\"\n";
    let text = with_word(&gateway, "one", "two") + sticky;
    let (status, told) = put(&gateway, "", &text);
    assert_eq!(status, 200, "{told}");
    // Not even when a slip of the pen hides from us where it stands.
    let slips = [
        text.clone() + "broken = [",
        text.replace("secrets = [", "secerts = ["),
        text.replace(&format!("[\"{secret}\"]"), &format!("\"{secret}\"")),
        text.replace("servers = [", &format!("token = \"{secret}\"\nservers = [")),
    ];
    for slip in &slips {
        assert!(slip != &text && slip.contains(secret));
        fs::write(gateway.config_path(), slip).unwrap();
        let reloaded = gateway.admin_send("POST", "/reload", "");
        assert_eq!(reloaded.status, 422);
        let told = reloaded.text();
        assert!(!told.contains(secret), "{told}");
        let (status, told) = put(&gateway, "", slip);
        assert_eq!(status, 422);
        assert!(!told.to_string().contains(secret), "{told}");
    }
    // How the file differs is looked at ever so often.
    eventually("the slip is noticed", || {
        let detail = config(&gateway)["drift"]["detail"].to_string();
        detail.contains("can't be used").then_some(())
    });
    for target in SHOWING {
        let shown = gateway.admin_send("GET", target, "").text();
        assert!(!shown.contains(secret), "{target}: {shown}");
    }
    assert!(!gateway.stderr().contains(secret));
    assert_eq!(config(&gateway)["drift"]["state"], "differs");
    let shown = run(&gateway, &["config", "show"]).stdout;
    assert!(shown.contains("secrets = [\"…\"]"), "{shown}");
    assert_eq!(post(&gateway, "/config/rollback", "").0, 200);
    assert_eq!(
        post(&gateway, "/config/rollback", "{\"id\":2}").0,
        200,
        "the secret itself is kept"
    );
}

#[test]
fn an_older_configuration_is_taken_with_the_files_that_it_imported_then() {
    let site = |word: &str| SAYS.replace("{word}", word);
    let gateway = Gateway::new("import = [\"site-*.toml\"]\n")
        .file("site-a.toml", &site("one"))
        .start();
    fs::write(gateway.scratch().join("site-a.toml"), site("two")).unwrap();
    assert_eq!(config(&gateway)["drift"]["state"], "differs");
    assert_eq!(post(&gateway, "/reload", "").0, 200);
    assert_eq!(said(&gateway), "two");
    fs::write(gateway.scratch().join("site-b.toml"), "broken = [").unwrap();
    assert_eq!(post(&gateway, "/config/rollback", "").0, 200);
    assert_eq!(said(&gateway), "one");
}

#[test]
fn what_was_applied_survives_a_restart_if_it_is_to_be_kept_and_the_file_is_the_same() {
    let kept = Scratch::new();
    let file = kept.join("history.json");
    let admin = format!("history_file = {file:?}\nkeep_applied = true\n");
    let gateway = saying("one", &admin);
    let config_text = fs::read_to_string(gateway.config_path()).unwrap();
    assert_eq!(put(&gateway, "", &with_word(&gateway, "one", "two")).0, 200);
    assert_eq!(
        put(
            &gateway,
            "?confirm=1h",
            &with_word(&gateway, "one", "three")
        )
        .0,
        200
    );
    drop(gateway);
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&file).unwrap());
    assert_eq!(mode & 0o777, 0o600);

    // Told by its text: the story's folder, and so the path of its log, is another one.
    let again = |text: &str| Gateway::new(text).start();
    let gateway = again(&config_text);
    assert_eq!(said(&gateway), "two", "what was not confirmed is not kept");
    assert_eq!(config(&gateway)["drift"]["state"], "differs");
    drop(gateway);
    let gateway = again(&(config_text.clone() + "# changed\n"));
    assert_eq!(said(&gateway), "one");
    gateway.wait_stderr("was changed since");
    let history = gateway.admin_send("GET", "/config/history", "").json();
    assert!(
        history["versions"].as_array().unwrap().len() >= 3,
        "{history}"
    );
    assert_eq!(post(&gateway, "/config/rollback", "{\"id\":2}").0, 200);
    assert_eq!(said(&gateway), "two");
    drop(gateway);

    fs::write(&file, "{").unwrap();
    let gateway = again(&config_text);
    assert_eq!(said(&gateway), "one");
    gateway.wait_stderr("begun anew");
}

#[test]
fn a_configuration_that_never_served_is_no_part_of_the_history() {
    let taken = Backend::answering(|_| Answer::ok("taken"));
    let folder = Scratch::new();
    let file = folder.join("history.json");
    let on = |address: &str| {
        format!(
            "{SAYS}[listeners.public]\naddress = \"{address}\"\n[admin]\naddress = \"127.0.0.1:0\"\nhistory_file = {file:?}\n"
        )
    };
    let there = |address: &str| Gateway::new(&on(address)).fill("word", "one");
    let run = there(&taken.address().to_string()).run_to_end();
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(!file.exists(), "nothing has served");
    drop(there("127.0.0.1:0").start());
    let kept = fs::read_to_string(&file).expect("it is kept once it serves");
    let run = there(&taken.address().to_string()).run_to_end();
    assert_eq!(run.code, Some(1), "{run:?}");
    assert_eq!(fs::read_to_string(&file).ok(), Some(kept));
}

#[test]
fn a_history_is_kept_where_the_file_says_whatever_is_applied() {
    let kept = Scratch::new();
    let file = kept.join("history.json");
    let admin = format!("history_file = {file:?}\nkeep_applied = true\n");
    let gateway = saying("one", &admin);
    let config_text = fs::read_to_string(gateway.config_path()).unwrap();
    let elsewhere = |word: &str| {
        let text = config_text.replace("\"one\"", &format!("\"{word}\""));
        text.replace(&admin, "")
    };
    assert_eq!(put(&gateway, "", &with_word(&gateway, "one", "two")).0, 200);
    let (status, told) = put(&gateway, "", &elsewhere("three"));
    assert_eq!(status, 200, "{told}");
    let warnings = told["warnings"].to_string();
    assert!(
        warnings.contains("history_file") && warnings.contains("history.json"),
        "{told}"
    );
    drop(gateway);
    let gateway = Gateway::new(&config_text).start();
    assert_eq!(said(&gateway), "three", "not the one before");
    assert_eq!(put(&gateway, "", &elsewhere("four")).0, 200);
    drop(gateway);
    let gateway = Gateway::new(&config_text).start();
    assert_eq!(said(&gateway), "four");
}

#[test]
fn one_that_waits_for_confirmation_does_not_cost_the_one_before_its_place() {
    let kept = Scratch::new();
    let file = kept.join("history.json");
    let admin = format!("history_file = {file:?}\nkeep_applied = true\nhistory_max = 1\n");
    let gateway = saying("one", &admin);
    let config_text = fs::read_to_string(gateway.config_path()).unwrap();
    assert_eq!(put(&gateway, "", &with_word(&gateway, "one", "two")).0, 200);
    let three = with_word(&gateway, "one", "three");
    assert_eq!(put(&gateway, "?confirm=1h", &three).0, 200);
    // As a crash does.
    drop(gateway);
    let gateway = Gateway::new(&config_text).start();
    assert_eq!(said(&gateway), "two");
}

#[test]
fn without_a_file_what_was_applied_ends_with_the_process() {
    let gateway = saying("one", "history_max = 2\n");
    let text = fs::read_to_string(gateway.config_path()).unwrap();
    for word in ["two", "three"] {
        assert_eq!(put(&gateway, "", &with_word(&gateway, "one", word)).0, 200);
    }
    let history = gateway.admin_send("GET", "/config/history", "").json();
    assert_eq!(
        history["versions"].as_array().map(Vec::len),
        Some(2),
        "{history}"
    );
    assert_eq!(post(&gateway, "/config/rollback", "{\"id\":1}").0, 404);
    drop(gateway);
    assert_eq!(said(&Gateway::new(&text).start()), "one");
    let refused =
        Gateway::new(&text.replace("history_max = 2", "keep_applied = true")).command(&["check"]);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.stderr.contains("history_file"),
        "{}",
        refused.stderr
    );
}

#[test]
fn texts_that_are_too_large_are_refused_before_they_are_sent() {
    let backend = Backend::answering(|_| Answer::ok("x"));
    let gateway = Gateway::before(&[backend.address()]);
    let answer = foregate_testkit::RawClient::connect(gateway.listener("admin")).exchange(
        "PUT /config HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 99999999\r\n\r\n",
    );
    assert_eq!(answer.status, 413);
}

#[test]
fn a_successor_goes_on_with_what_was_applied() {
    let gateway = saying("one", "");
    assert_eq!(
        put(&gateway, "?note=mine", &with_word(&gateway, "one", "two")).0,
        200
    );
    let (status, told) = post(&gateway, "/upgrade", "");
    assert_eq!(status, 200, "{told}");
    let pid = told["pid"].as_u64().and_then(|pid| pid.try_into().ok());
    let _successor = Successor::new(pid.expect("the answer names the new process"));
    eventually("the successor answers", || {
        let history = gateway.admin_send("GET", "/config", "").json();
        (history["note"] == "mine").then_some(())
    });
    assert_eq!(said(&gateway), "two");
    assert_eq!(post(&gateway, "/config/rollback", "").0, 200);
    eventually("the old one is back", || {
        (said(&gateway) == "one").then_some(())
    });
}

/// The gateway took its paths from where it was started, and every command took them from `/`: the same text looked like another.
#[test]
fn the_same_text_changes_nothing_wherever_the_gateway_was_started() {
    let folder = Scratch::new();
    let admin = free_port();
    let text = SAYS.replace("{word}", "one")
        + &format!(
            "[listeners.public]\naddress = \"127.0.0.1:0\"\n[access_log]\nto = \"g.log\"\n\
             [admin]\naddress = \"127.0.0.1:{admin}\"\nhistory_file = \"history.json\"\n"
        );
    folder.write("g.toml", &text);
    let applied = folder.write("h.toml", format!("{text}# The same.\n"));
    let mut gateway = Process::spawn(&["run", "-c", "g.toml"], Some(folder.path()));
    gateway.wait_stdout("ready\n");
    let run = foregate(&["apply", "-c", &applied.to_string_lossy()]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let told = format!("{}{}", run.stdout, run.stderr);
    for word in ["access log", "history_file", "next start"] {
        assert!(!told.contains(word), "{told}");
    }
    assert!(folder.join("g.log").exists() && folder.join("history.json").exists());
}
