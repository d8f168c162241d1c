//! The document of the admin API, against real answers and a validator that others wrote.

use foregate_testkit::{
    Answer, Authority, Backend, Gateway, Response, Scratch, eventually, foregate,
};
use foregate_tests::foreign::run_python;
use serde_json::{Value, json};

/// Method, path as the document has it, target, body.
const REQUESTS: &[(&str, &str, &str, &str)] = &[
    ("GET", "/healthz", "/healthz", ""),
    ("GET", "/readyz", "/readyz", ""),
    ("GET", "/status", "/status", ""),
    ("GET", "/config", "/config", ""),
    ("GET", "/config/values", "/config/values?limit=5", ""),
    ("GET", "/config/values", "/config/values?colour=red", ""),
    ("PUT", "/config", "/config?confirm=1h&note=x", "{whole}"),
    ("GET", "/config", "/config", ""),
    ("PUT", "/config", "/config", "{whole}"),
    ("POST", "/config/confirm", "/config/confirm", ""),
    ("POST", "/config/confirm", "/config/confirm", ""),
    ("PUT", "/config", "/config", "workers = \"many\""),
    ("POST", "/config/rollback", "/config/rollback", "{\"id\":1}"),
    (
        "POST",
        "/config/rollback",
        "/config/rollback",
        "{\"id\":77}",
    ),
    ("GET", "/config/history", "/config/history", ""),
    ("GET", "/config/history/{id}", "/config/history/2", ""),
    ("GET", "/config/history/{id}", "/config/history/77", ""),
    ("POST", "/reload", "/reload", ""),
    ("GET", "/routes", "/routes", ""),
    ("GET", "/endpoints", "/endpoints?upstream=app", ""),
    ("GET", "/connections", "/connections?limit=5", ""),
    ("GET", "/connections", "/connections?state=asleep", ""),
    (
        "DELETE",
        "/connections/{id}",
        "/connections/{connection}?now=true",
        "",
    ),
    ("DELETE", "/connections/{id}", "/connections/0-77", ""),
    ("GET", "/upstreams", "/upstreams", ""),
    ("GET", "/upstreams/{upstream}", "/upstreams/app", ""),
    ("GET", "/upstreams/{upstream}", "/upstreams/none", ""),
    (
        "POST",
        "/upstreams/{upstream}/endpoints",
        "/upstreams/app/endpoints",
        r#"{"address":"127.0.0.1:1"}"#,
    ),
    (
        "PATCH",
        "/upstreams/{upstream}/endpoints/{endpoint}",
        "/upstreams/app/endpoints/{one}",
        "{\"weight\":3}",
    ),
    (
        "DELETE",
        "/upstreams/{upstream}/endpoints/{endpoint}",
        "/upstreams/app/endpoints/{one}",
        "",
    ),
    ("GET", "/certificates", "/certificates", ""),
    (
        "POST",
        "/certificates/{name}/renew",
        "/certificates/a.example/renew",
        "",
    ),
    ("GET", "/openapi.json", "/openapi.json", ""),
];

/// A certificate from files, and one that the gateway issues itself beside that of the site `b`.
const SECURE: &str = r#"
[listeners.public]
address = "127.0.0.1:0"
[listeners.secure]
address = "127.0.0.1:0"
tls = true
[certificates.c]
certificate = "c.pem"
key = "c.key"
[sites."c.example"]
tls = "files"
upstream = "app"
[sites."d.test"]
upstream = "app"
"#;

#[test]
fn real_answers_are_as_the_document_has_them() {
    let backend = Backend::answering(|_| Answer::ok("a"));
    let probed = "[sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\nservers = [\"{backend}\"]\nprobe = { path = \"/\" }\n[[sites.\"b\".routes]]\npath = \"/r\"\nredirect = { to = \"https://b.example/\" }\n";
    let state = Scratch::new();
    let certificate = Authority::new("operators").issue(&["c.example"]);
    let gateway = Gateway::new(&format!("state_dir = \"{{state}}\"\n{probed}{SECURE}"))
        .fill("state", state.join("state").display())
        .fill("backend", backend.address())
        .file("c.pem", &certificate.certificate_pem)
        .file("c.key", &certificate.key_pem)
        .start();
    eventually("all certificates are told of", || {
        let told = gateway.admin_send("GET", "/certificates", "").json();
        let certificates = told["certificates"].as_array()?;
        let sources: Vec<&Value> = certificates.iter().map(|one| &one["source"]).collect();
        (sources == ["internal", "internal", "files"]).then_some(())
    });
    gateway.get("a", "/");
    let _open = held_open(&gateway);
    let page = gateway.admin_send("GET", "/connections", "").json();
    let connection = page["items"][0]["id"].as_str().expect("one is open");
    let text = std::fs::read_to_string(gateway.config_path()).expect("it is there");
    let mut answers = Vec::new();
    for (method, path, target, body) in REQUESTS {
        let target = target
            .replace("{one}", &backend.address().to_string())
            .replace("{connection}", connection);
        let body = body.replace("{whole}", &text);
        let answer = gateway.admin_send(method, &target, &body);
        answers.push(json!({
            "method": method.to_lowercase(),
            "path": path,
            "status": answer.status,
            "body": body_of(&answer),
        }));
    }
    let count = answers.len();
    let document = gateway.admin_send("GET", "/openapi.json", "").json();
    let printed: Value = serde_json::from_str(&foregate(&["openapi"]).stdout).expect("it is JSON");
    assert_eq!(document, printed);
    let told = json!({ "document": document, "answers": answers });
    let file = gateway.scratch().write("answers.json", told.to_string());
    let said = run_python("change/openapi.py", &[&file.to_string_lossy()]);
    assert_eq!(said.trim(), count.to_string());
}

/// A connection that has been served.
fn held_open(gateway: &Gateway) -> foregate_testkit::RawClient {
    let mut client = gateway.connect();
    let answer = client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(answer.status, 200);
    client
}

fn body_of(answer: &Response) -> Value {
    match answer.status {
        204 => Value::Null,
        _ => answer.json(),
    }
}

#[test]
fn routes_endpoints_and_values_are_told_page_by_page() {
    let gateway = Gateway::new(
        "[sites.\"a\"]\n[[sites.\"a\".routes]]\nname = \"rest\"\npath = \"/\"\nrespond = { status = 204 }\n[[sites.\"a\".routes]]\nname = \"api\"\npath = \"/api\"\nupstream = \"app\"\n[upstreams.app]\nservers = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n",
    )
    .start();
    let get = |target: &str| gateway.admin_send("GET", target, "").json();
    let routes = get("/routes?site=a");
    assert_eq!(routes["total"], 2, "{routes}");
    let names: Vec<&str> = (routes["items"].as_array().into_iter().flatten())
        .filter_map(|route| route["route"].as_str())
        .collect();
    assert_eq!(names, ["api", "rest"], "the first to be asked comes first");
    assert_eq!(routes["items"][0]["targets"][0]["upstream"], "app");
    let endpoints = get("/endpoints?limit=1&offset=1");
    assert_eq!(
        (&endpoints["total"], &endpoints["items"][0]["endpoint"]),
        (&2.into(), &"127.0.0.1:2".into())
    );
    let values = get("/config/values?under=upstreams.app");
    let items = values["items"].as_array().cloned().unwrap_or_default();
    let of = |path: &str| items.iter().find(|item| item["path"] == path).cloned();
    let servers = of("upstreams.app.servers").expect("it is written");
    assert_eq!(
        (&servers["from"], &servers["line"]),
        (&"file".into(), &12.into()),
        "{servers}"
    );
    let balance = of("upstreams.app.balance").expect("it has a default");
    assert_eq!(
        (&balance["from"], &balance["file"]),
        (&"default".into(), &Value::Null)
    );
}
