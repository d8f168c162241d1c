//! The admin API over TLS.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use foregate_testkit::{
    Authority, PATIENCE, Process, Scratch, Successor, eventually, foregate, foregate_path,
    free_port,
};

const TOKEN: &str = "0123456789abcdef";

/// A gateway whose admin API has a certificate, and a token.
struct Encrypted {
    process: Process,
    folder: Scratch,
    authority: Authority,
    port: u16,
}

impl Encrypted {
    fn start() -> Encrypted {
        let authority = Authority::new("operators");
        let port = free_port();
        let folder = Scratch::new();
        folder.write("ca.pem", authority.pem());
        issue(&authority, &folder);
        let text = format!(
            "[listeners.public]\naddress = \"127.0.0.1:0\"\n[sites.\"*\"]\n[[sites.\"*\".routes]]\npath = \"/\"\nrespond = {{ status = 204 }}\n[admin]\naddress = \"0.0.0.0:{port}\"\ntoken = \"{TOKEN}\"\ncertificate = \"admin\"\n[certificates.admin]\ncertificate = \"admin.pem\"\nkey = \"admin.key\"\n"
        );
        let path = folder.write("foregate.toml", text);
        let mut process = Process::spawn(&["run", "-c", &path.to_string_lossy()], None);
        process.wait_stdout("ready\n");
        Encrypted {
            process,
            folder,
            authority,
            port,
        }
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }

    /// What curl prints, and whether it was content.
    fn curl(&self, arguments: &[&str]) -> (bool, String) {
        let output = Command::new("curl")
            .args(["-sS", "--max-time", "10"])
            .args(arguments)
            .output()
            .expect("curl is there");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success(), text)
    }
}

/// The exit code of `foregate config` for an address, and what it complains of.
fn config(place: &str, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = Command::new(foregate_path())
        .args(["config", "--admin", place])
        .env_remove("FOREGATE_ADMIN_CA")
        .envs(variables.iter().copied())
        .output()
        .expect("the binary is there");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), told)
}

/// A new certificate for the gateway.
fn issue(authority: &Authority, folder: &Scratch) {
    let issued = authority.issue(&["gateway.example", "localhost"]);
    folder.write("admin.key", &issued.key_pem);
    folder.write("admin.pem", &issued.chain_pem);
}

#[test]
fn the_api_answers_over_tls_alone() {
    let gateway = Encrypted::start();
    let (port, ca) = (gateway.port, gateway.path("ca.pem"));
    let bearer = format!("Authorization: Bearer {TOKEN}");
    let ready = format!("https://localhost:{port}/readyz");
    let told = gateway.curl(&["--cacert", &ca, &ready]);
    assert_eq!(told, (true, "{\"ready\":true}".to_owned()));
    let (is_content, _) = gateway.curl(&[&ready]);
    assert!(!is_content, "no authority of the system vouches for it");
    // Who shows certificate and token may be addressed by name.
    let resolve = format!("gateway.example:{port}:127.0.0.1");
    let status = format!("https://gateway.example:{port}/status");
    let by_name = ["--cacert", &ca, "--resolve", &resolve, &status];
    let (_, refused) = gateway.curl(&by_name);
    assert!(refused.contains("unauthorized"), "{refused}");
    let (_, told) = gateway.curl(&[&by_name[..], &["-H", &bearer]].concat());
    assert!(told.contains("\"uptime"), "{told}");
    // In cleartext nobody is answered.
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("it can be");
    stream
        .write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("it is sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it is closed");
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
}

#[test]
fn commands_believe_the_certificate_of_the_configuration_alone() {
    let gateway = Encrypted::start();
    let file = gateway.path("foregate.toml");
    let told = foregate(&["config", "-c", &file]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let top = foregate(&["top", "--once", "-c", &file]);
    assert_eq!(top.code, Some(0), "{}", top.stderr);
    // Another certificate of the same authority, for the same name, is another gateway.
    let other = Scratch::new();
    issue(&gateway.authority, &other);
    let text = std::fs::read_to_string(&file).expect("it is there");
    let path = other.write("foregate.toml", text);
    let refused = foregate(&["config", "-c", &path.to_string_lossy()]);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("another certificate than"),
        "{}",
        refused.stderr
    );
    // A renewal is followed by the gateway and by commands.
    issue(&gateway.authority, &gateway.folder);
    let reload = eventually("the renewal to be served", || {
        let run = foregate(&["reload", "-c", &file]);
        (run.code == Some(0)).then_some(run)
    });
    assert_eq!(reload.code, Some(0), "{}", reload.stderr);
}

#[test]
fn an_address_is_believed_by_an_authority() {
    let gateway = Encrypted::start();
    let ca = gateway.path("ca.pem");
    let place = format!("https://localhost:{}", gateway.port);
    let token = ("FOREGATE_ADMIN_TOKEN", TOKEN);
    let (code, told) = config(&place, &[token, ("FOREGATE_ADMIN_CA", &ca)]);
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = config(&place, &[token]);
    assert_eq!(code, Some(1));
    assert!(told.contains("authorities of the system"), "{told}");
    // It is for a name, not for the address.
    let address = format!("https://127.0.0.1:{}", gateway.port);
    let (code, told) = config(&address, &[token, ("FOREGATE_ADMIN_CA", &ca)]);
    assert_eq!(code, Some(1), "{told}");
    // The token goes nowhere in cleartext.
    let (_, told) = config("192.0.2.1:9180", &[token]);
    assert!(told.contains("sent in cleartext"), "{told}");
}

#[test]
fn a_successor_shows_the_certificate_too() {
    let gateway = Encrypted::start();
    let file = gateway.path("foregate.toml");
    let told = foregate(&["upgrade", "-c", &file]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let pid = told.stdout.split(' ').nth(1);
    let pid = pid.and_then(|pid| pid.parse().ok());
    let _successor = Successor::new(pid.expect("the new process is named"));
    let again = foregate(&["config", "-c", &file]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(!gateway.process.stdout().is_empty());
}
