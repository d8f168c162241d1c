//! A real name server: BIND with one zone that takes signed updates.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use crate::patience::eventually;
use crate::pebble::free_port;
use crate::scratch::Scratch;

/// A running `named`.
#[derive(Debug)]
pub struct NameServer {
    child: Child,
    address: SocketAddr,
    _files: Scratch,
}

impl NameServer {
    /// Starts it with a zone that has these further records. `key` is a name and a secret in base64, for
    /// `hmac-sha256`; `policy` says what it may change, as `update-policy` does.
    ///
    /// # Panics
    /// When it is not installed (`./test.sh install` does that), or does not come up.
    pub fn start(zone: &str, records: &str, key: (&str, &str), policy: &str) -> NameServer {
        let files = Scratch::new();
        let port = free_port();
        let head = format!(
            "$TTL 60\n@ IN SOA ns.{zone}. root.{zone}. 1 60 60 60 60\n@ IN NS ns.{zone}.\nns IN A 127.0.0.1\n"
        );
        files.write("zone.db", head + records);
        let (folder, (name, secret)) = (files.path().display(), key);
        let config = format!(
            r#"options {{ directory "{folder}"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
                recursion no; pid-file none; session-keyfile none; dnssec-validation no; }};
            controls {{ }};
            key "{name}" {{ algorithm hmac-sha256; secret "{secret}"; }};
            zone "{zone}" {{ type primary; file "zone.db"; update-policy {{ {policy} }}; }};"#
        );
        let config = files.write("named.conf", config);
        // Where Debian has it, which is not on the path of ordinary users.
        let child = Command::new("/usr/sbin/named")
            .arg("-f")
            .arg("-c")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("named is installed");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let server = NameServer {
            child,
            address,
            _files: files,
        };
        // It listens before it has read its zone.
        eventually("the name server's zone", || {
            (!server.dig(zone, "SOA").is_empty()).then_some(())
        });
        server
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `dig` says of a name's TXT records.
    ///
    /// # Panics
    /// When `dig` is not installed.
    pub fn texts(&self, name: &str) -> String {
        self.dig(name, "TXT")
    }

    fn dig(&self, name: &str, kind: &str) -> String {
        let port = self.address.port().to_string();
        let output = Command::new("dig")
            .args([
                "+short",
                "+tries=1",
                "+time=1",
                "-p",
                &port,
                "@127.0.0.1",
                name,
                kind,
            ])
            .output()
            .expect("dig is installed");
        // What it says of trouble begins with semicolons.
        match output.status.success() {
            true => String::from_utf8_lossy(&output.stdout).into_owned(),
            false => String::new(),
        }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
