//! `foregate endpoints`, and the token that an open admin listener demands.

use foregate_testkit::{Answer, Authority, Backend, Gateway, Issued, Run, Signal, foregate};
use foregate_tests::metric;

fn named(name: &'static str) -> Backend {
    Backend::answering(move |_| Answer::ok(name))
}

fn run(gateway: &Gateway, arguments: &[&str]) -> Run {
    let admin = gateway.listener("admin").to_string();
    let mut all = vec!["endpoints", "--admin", &admin];
    all.extend(arguments);
    foregate(&all)
}

#[track_caller]
fn done(run: &Run) {
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
}

#[test]
fn endpoints_are_listed_and_changed_by_commands() {
    let (a, b) = (named("a"), named("b"));
    let gateway = Gateway::before(&[a.address()]);
    let (first, second) = (a.address().to_string(), b.address().to_string());
    done(&run(&gateway, &["add", "app", &second, "--weight", "3"]));
    done(&run(&gateway, &["drain", "app", &first]));
    let list = run(&gateway, &["list"]);
    done(&list);
    let lines: Vec<&str> = list.stdout.lines().collect();
    assert!(
        lines[1].contains(&first) && lines[1].contains("draining"),
        "{}",
        list.stdout
    );
    assert!(
        lines[2].contains(&second) && lines[2].contains("api"),
        "{}",
        list.stdout
    );
    assert_eq!(gateway.get("a", "/").text(), "b");
    done(&run(&gateway, &["enable", "app", &first]));
    done(&run(&gateway, &["weight", "app", &first, "9"]));
    done(&run(&gateway, &["remove", "app", &second]));
    let list = run(&gateway, &["list", "app", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&list.stdout).unwrap();
    let endpoints = &told["upstreams"][0]["endpoints"];
    assert_eq!(endpoints.as_array().map(Vec::len), Some(1), "{told}");
    assert_eq!(endpoints[0]["weight"], 9);
    let twice = run(&gateway, &["remove", "app", &second]);
    assert_eq!(twice.code, Some(1));
    assert!(twice.stderr.contains("has no endpoint"), "{}", twice.stderr);
}

const OPEN: &str = "[sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\nservers = [\"127.0.0.1:1\"]\n[admin]\naddress = \"0.0.0.0:0\"\n";

#[test]
fn a_listener_that_is_open_to_others_demands_a_token_and_a_certificate() {
    let refused = Gateway::new(OPEN).command(&["check"]);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.stderr.contains("open to whoever reaches"),
        "{}",
        refused.stderr
    );
    let token = format!("{OPEN}token = \"${{FILE:token}}\"\n");
    let check = |text: &str, certificate: &Issued| {
        Gateway::new(text)
            .file("token", "0123456789abcdef0123")
            .file("admin.pem", &certificate.certificate_pem)
            .file("admin.key", &certificate.key_pem)
            .command(&["check"])
    };
    let certificate = Authority::new("operators").issue(&["localhost"]);
    let readable = check(&token, &certificate);
    assert_eq!(readable.code, Some(2));
    assert!(
        readable.stderr.contains("in cleartext") && readable.stderr.contains("certificate = "),
        "{}",
        readable.stderr
    );
    let text = format!(
        "{token}certificate = \"admin\"\n[certificates.admin]\ncertificate = \"admin.pem\"\nkey = \"admin.key\"\n"
    );
    let good = check(&text, &certificate);
    done(&good);
    assert!(!good.stderr.contains("no site"), "{}", good.stderr);
}

#[test]
fn commands_show_the_token_of_the_configuration() {
    let a = named("a");
    let port = foregate_testkit::free_port();
    let text = format!(
        "[sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\nservers = [\"{}\"]\n[listeners.public]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:{port}\"\ntoken = \"0123456789abcdef0123\"\n",
        a.address()
    );
    let folder = foregate_testkit::Scratch::new();
    let path = folder.write("foregate.toml", text);
    let path = path.to_string_lossy().into_owned();
    let mut gateway = foregate_testkit::Process::spawn(&["run", "-c", &path], None);
    gateway.wait_stdout("ready\n");
    let list = foregate(&["endpoints", "-c", &path, "list"]);
    done(&list);
    assert!(
        list.stdout.contains(&a.address().to_string()),
        "{}",
        list.stdout
    );
    done(&foregate(&["reload", "-c", &path]));
    let stranger = foregate(&["endpoints", "--admin", &format!("127.0.0.1:{port}"), "list"]);
    assert_eq!(stranger.code, Some(1));
    assert!(
        stranger.stderr.contains("show the admin token"),
        "{}",
        stranger.stderr
    );
}

#[test]
fn a_refused_reload_is_one_line_an_event() {
    let backend = named("a");
    let mut gateway = Gateway::before(&[backend.address()]);
    let broken = "drain_timout = \"1s\"\n[sites.\"_\"]\nupstream = \"app\"\n[upstreams.app]\nservers = [\"a b:1\"]\n";
    gateway.rewrite_config(broken, &[]);
    gateway.signal(Signal::Hup);
    gateway.wait_stderr("is not the address of a server");
    let log = gateway.stderr();
    let at = log.find("reload refused").expect("it is told");
    let line_start = log[..at].rfind('\n').map_or(0, |end| end + 1);
    let lines: Vec<&str> = log[line_start..].lines().collect();
    assert_eq!(lines.len(), 4, "{log}");
    for (line, expected) in lines.iter().zip([
        " error reload refused, the configuration in force stays reason=config-refused problems=3",
        " code=unknown-key problem=\"there is no key `drain_timout` at the top\" help=\"did you mean `drain_timeout`?\"",
        " warn doubtful in the refused configuration at=",
        " code=bad-address problem=\"`a b:1` is not the address of a server\"",
    ]) {
        assert!(line.starts_with("20") && line.contains(expected), "{expected}: {line}");
    }
    assert_eq!(gateway.get("a.example", "/").text(), "a");
}

#[test]
fn every_refusal_is_told_as_what_it_is_and_counted() {
    let config = "[[sites.\"*\".routes]]\nrespond = { status = 204 }\n";
    let gateway = Gateway::new(config).start();
    let failed = || gateway.metric(metric::CONFIG_RELOADS, &[("result", "failed")]);
    let refused = |path: &str, error: &str, line: &str| {
        let answer = gateway.admin_send("POST", path, "");
        assert_eq!(
            (answer.status, answer.json()["error"].as_str()),
            (409, Some(error))
        );
        gateway.wait_stderr(&format!(
            "{line} refused, the configuration in force stays reason={error}"
        ));
    };
    refused("/config/rollback", "nothing-to-roll-back", "rollback");
    assert_eq!(failed(), 1.0);
    refused("/config/confirm", "nothing-to-confirm", "confirmation");
    assert_eq!(failed(), 1.0, "a confirmation changes nothing");
    let text = std::fs::read_to_string(gateway.config_path()).expect("it is there");
    let other = text.replace("204", "205");
    let put = |path: &str| gateway.admin_send("PUT", path, &other).status;
    assert_eq!(put("/config?confirm=1h"), 200);
    refused("/reload", "unconfirmed", "reload");
    assert_eq!(put("/config"), 409);
    assert_eq!(failed(), 3.0);
}
