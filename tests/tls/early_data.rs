//! Requests in early data, which anyone who saw them can send again: safe ones only, and the backend is told.

use foregate_testkit::{Answer, Backend, Gateway};
use foregate_tests::secure::Certificates;

const CONFIG: &str = r#"
[listeners.secure]
address = "127.0.0.1:0"
tls = true
protocols = ["h1"]
[tls]
early_data = {early_data}
[certificates.one]
certificate = "{certificates}/one.pem"
key = "{certificates}/one.key"
[sites."one.example"]
upstream = "app"
tls = "files"
[upstreams.app]
servers = ["{backend}"]
"#;

struct Story {
    certificates: Certificates,
    backend: Backend,
    gateway: Gateway,
}

impl Story {
    fn begin(early_data: bool) -> Story {
        let certificates = Certificates::new();
        certificates.issue("one", &["one.example"]);
        let backend = Backend::answering(|request| {
            let early = request.field("early-data").unwrap_or("not early");
            Answer::ok(format!("[{early}]"))
        });
        let gateway = Gateway::new(CONFIG)
            .fill("early_data", early_data)
            .fill("certificates", certificates.directory())
            .fill("backend", backend.address())
            .start();
        Story {
            certificates,
            backend,
            gateway,
        }
    }

    /// Runs `openssl s_client`, sends some bytes behind the handshake, and returns all that it prints.
    fn client(&self, behind: &str, more: &[&str]) -> String {
        let own = ["-tls1_3", "-servername", "one.example"];
        let secure = self.gateway.listener("secure");
        self.certificates
            .s_client(secure, behind, &[&own, more].concat())
    }

    /// A session to resume, in a file.
    fn session(&self) -> String {
        let path = self.certificates.path("session");
        let told = self.client(&request("GET"), &["-sess_out", &path]);
        assert!(told.contains("[not early]"), "{told}");
        path
    }

    /// What becomes of a request in early data.
    fn early(&self, method: &str) -> String {
        self.early_request(&request(method))
    }

    fn early_request(&self, request: &str) -> String {
        let session = self.session();
        let file = self.certificates.put("request", request);
        self.client("", &["-sess_in", &session, "-early_data", &file])
    }
}

fn request(method: &str) -> String {
    format!(
        "{method} / HTTP/1.1\r\nHost: one.example\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
}

#[test]
fn a_safe_request_is_served_and_the_backend_knows() {
    let story = Story::begin(true);
    let told = story.early("GET");
    assert!(told.contains("Early data was accepted"), "{told}");
    assert!(told.contains("[1]"), "{told}");
}

#[test]
fn an_unsafe_request_has_to_come_again() {
    let story = Story::begin(true);
    let told = story.early("POST");
    assert!(told.contains("HTTP/1.1 425 Too Early"), "{told}");
    assert_eq!(
        story.backend.requests().len(),
        1,
        "the one of the first session"
    );
    let lines = story.gateway.log_lines(2);
    assert_eq!(lines[1].reason(), "too-early");
}

/// A status of gRPC would be the end of the call.
#[test]
fn a_call_of_grpc_has_to_come_again_as_any_request() {
    let story = Story::begin(true);
    let call = "POST / HTTP/1.1\r\nHost: one.example\r\nContent-Type: application/grpc-web\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let told = story.early_request(call);
    assert!(told.contains("HTTP/1.1 425 Too Early"), "{told}");
    let lines = story.gateway.log_lines(2);
    assert_eq!(
        (lines[1].status(), lines[1].reason()),
        (425, "too-early".into())
    );
}

#[test]
fn a_session_can_be_resumed_only_once() {
    let story = Story::begin(true);
    let session = story.session();
    let file = story.certificates.put("request", &request("GET"));
    let more = ["-sess_in", session.as_str(), "-early_data", &file];
    assert!(story.client("", &more).contains("Early data was accepted"));
    let again = story.client(&request("GET"), &more);
    assert!(again.contains("Early data was rejected"), "{again}");
    assert!(again.contains("[not early]"), "{again}");
}

#[test]
fn by_default_none_is_taken() {
    let story = Story::begin(false);
    let session = story.session();
    let told = story.client(&request("GET"), &["-sess_in", &session]);
    assert!(told.contains("Max Early Data: 0"), "{told}");
}
