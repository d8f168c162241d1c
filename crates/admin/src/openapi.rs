//! The document of the API for programs (OpenAPI 3.1), made from the types that are answered with.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    AddEndpoint, Applied, CertificatesView, ConfigView, ConnectionState, ConnectionView,
    ConnectionsPage, DiagnosticView, EndpointOfView, Page, Rollback, RouteView, SetEndpoint,
    StatusView, UpstreamView, ValueView, VersionDetail, VersionView,
};

/// What is answered where something is refused.
#[derive(Serialize, JsonSchema)]
struct Problem {
    /// The stable name of the reason.
    error: String,
    /// The reason, for people.
    detail: String,
}

/// What is answered where a configuration is refused.
#[derive(Serialize, JsonSchema)]
struct ConfigProblem {
    /// The stable name of the reason.
    error: String,
    /// The reason, for people, as `foregate check` tells it.
    detail: String,
    /// The same for programs.
    diagnostics: Vec<DiagnosticView>,
}

/// What is answered to a reload.
#[derive(Serialize, JsonSchema)]
struct Reloaded {
    /// Always true.
    reloaded: bool,
    /// Where the configuration came from.
    detail: String,
    /// Its number in the history.
    id: u64,
    /// What is different now.
    summary: String,
}

/// What is answered to an upgrade.
#[derive(Serialize, JsonSchema)]
struct Upgraded {
    /// Always true.
    upgraded: bool,
    /// The new process.
    pid: u32,
}

/// What is answered to a renewal.
#[derive(Serialize, JsonSchema)]
struct Renewed {
    /// Always true.
    renewed: bool,
    /// What came of it.
    detail: String,
}

/// The upstreams.
#[derive(Serialize, JsonSchema)]
struct Upstreams {
    /// In the order of their names.
    upstreams: Vec<UpstreamView>,
}

/// The history.
#[derive(Serialize, JsonSchema)]
struct Versions {
    /// Oldest first.
    versions: Vec<VersionView>,
}

/// Whether the process lives.
#[derive(Serialize, JsonSchema)]
struct Alive {
    /// Always true.
    alive: bool,
}

/// Whether new work is welcome.
#[derive(Serialize, JsonSchema)]
struct Ready {
    /// False while it drains.
    ready: bool,
}

/// Any object: what is in it is for people, and grows.
#[derive(Serialize, JsonSchema)]
struct Told {
    /// What there is.
    #[serde(flatten)]
    members: Map<String, Value>,
}

/// The paths in the making.
struct Paths {
    generator: SchemaGenerator,
    paths: Map<String, Value>,
}

/// One request that can be made.
struct Operation {
    told: Value,
}

impl Paths {
    fn schema<T: JsonSchema>(&mut self) -> Value {
        self.generator.subschema_for::<T>().to_value()
    }

    /// An operation that answers with this type.
    fn operation<T: JsonSchema>(&mut self, summary: &str, status: u16) -> Operation {
        let schema = self.schema::<T>();
        let problem = self.schema::<Problem>();
        let answers = json!({
            status.to_string(): answer("It is done, or shown.", &schema),
            "default": answer("It is refused.", &problem),
        });
        Operation {
            told: json!({ "summary": summary, "responses": answers }),
        }
    }

    fn add(&mut self, method: &str, path: &str, operation: Operation) {
        let methods = self.paths.entry(path).or_insert_with(|| json!({}));
        let mut told = operation.told;
        let names = path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        for name in names {
            push(
                &mut told["parameters"],
                json!({
                    "name": name, "in": "path", "required": true, "schema": { "type": "string" },
                }),
            );
        }
        methods[method] = told;
    }
}

impl Operation {
    fn answers(mut self, status: u16, description: &str, schema: &Value) -> Operation {
        self.told["responses"][status.to_string()] = answer(description, schema);
        self
    }

    /// A body that is sent with it.
    fn takes(mut self, kinds: &[&str], schema: &Value, required: bool) -> Operation {
        let content: Map<String, Value> = (kinds.iter())
            .map(|kind| ((*kind).to_owned(), json!({ "schema": schema })))
            .collect();
        self.told["requestBody"] = json!({ "required": required, "content": content });
        self
    }

    fn parameter(mut self, name: &str, description: &str, kind: &str) -> Operation {
        push(
            &mut self.told["parameters"],
            json!({
                "name": name, "in": "query", "description": description, "schema": { "type": kind },
            }),
        );
        self
    }

    /// Answered page by page.
    fn paged(self) -> Operation {
        self.parameter("offset", "how many to pass over", "integer")
            .parameter("limit", "how many to show, 1 to 10000", "integer")
    }
}

fn push(list: &mut Value, item: Value) {
    match list {
        Value::Array(items) => items.push(item),
        list => *list = json!([item]),
    }
}

fn answer(description: &str, schema: &Value) -> Value {
    json!({
        "description": description,
        "content": { "application/json": { "schema": schema } },
    })
}

/// The document.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut paths = Paths {
        generator: settings.into_generator(),
        paths: Map::new(),
    };
    process(&mut paths);
    configuration(&mut paths);
    upstreams(&mut paths);
    connections(&mut paths);
    let schemas = paths.generator.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Foregate admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Shows what a gateway does and changes it while requests run.",
        },
        "paths": paths.paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
        // Where there is no token, none is asked for.
        "security": [{ "token": [] }, {}],
    })
}

fn process(paths: &mut Paths) {
    let one = paths.operation::<Alive>("Whether the process lives", 200);
    paths.add("get", "/healthz", one);
    let ready = paths.schema::<Ready>();
    let one = paths.operation::<Ready>("Whether new work is welcome", 200);
    let one = one.answers(503, "It drains.", &ready);
    paths.add("get", "/readyz", one);
    let mut one = paths.operation::<Told>("Metrics in the Prometheus text format", 200);
    one.told["responses"]["200"] = json!({
        "description": "All metrics.",
        "content": { "text/plain": { "schema": { "type": "string" } } },
    });
    paths.add("get", "/metrics", one);
    let one = paths.operation::<StatusView>(
        "Version, state, configuration, listeners, routes, endpoints",
        200,
    );
    paths.add("get", "/status", one);
    let one = paths.operation::<Told>("This document", 200);
    paths.add("get", "/openapi.json", one);
    let one = paths.operation::<Upgraded>("Has a new process of the program take over", 200);
    paths.add("post", "/upgrade", one);
    let one = paths.operation::<CertificatesView>("Every certificate and how it is", 200);
    paths.add("get", "/certificates", one);
    let one = paths.operation::<Renewed>("Has a certificate issued anew", 200);
    paths.add("post", "/certificates/{name}/renew", one);
}

fn configuration(paths: &mut Paths) {
    let refused = paths.schema::<ConfigProblem>();
    let refuses = |one: Operation| {
        one.answers(422, "The configuration is wrong.", &refused)
            .answers(
                409,
                "Another change or an upgrade is under way, or one waits for confirmation.",
                &refused,
            )
    };
    let one = paths.operation::<ConfigView>("The configuration in force", 200);
    paths.add("get", "/config", one);
    let one = paths.operation::<Applied>("Puts a configuration in force", 200);
    let kinds = ["application/toml", "application/json"];
    let one = refuses(one)
        .takes(&kinds, &json!({}), true)
        .parameter("name", "as which file it is read", "string")
        .parameter("note", "what the history says of it", "string")
        .parameter(
            "confirm",
            "after which time the old one comes back unless confirmed, such as 60s",
            "string",
        );
    paths.add("put", "/config", one);
    let one = paths.operation::<Applied>("Has a configuration stay that waits for it", 200);
    paths.add("post", "/config/confirm", refuses(one));
    let body = paths.schema::<Rollback>();
    let one = paths.operation::<Applied>("Puts an older configuration in force", 200);
    let one = refuses(one).takes(&["application/json"], &body, false);
    paths.add("post", "/config/rollback", one);
    let one = paths.operation::<Versions>("The configurations that were in force", 200);
    paths.add("get", "/config/history", one);
    let one = paths.operation::<VersionDetail>("One of them, whole", 200);
    paths.add("get", "/config/history/{id}", one);
    let one = paths.operation::<Page<ValueView>>("Every value and where it comes from", 200);
    let one = one
        .paged()
        .parameter("under", "only those below these keys", "string");
    paths.add("get", "/config/values", one);
    let one = paths.operation::<Reloaded>("Reads the configuration again", 200);
    paths.add("post", "/reload", refuses(one));
    let one = paths
        .operation::<Page<RouteView>>("Every route, in the order that they are looked at", 200);
    let one = one
        .paged()
        .parameter("site", "only those of this site", "string");
    paths.add("get", "/routes", one);
}

fn upstreams(paths: &mut Paths) {
    let one = paths.operation::<Page<EndpointOfView>>("Every endpoint", 200);
    let one = one
        .paged()
        .parameter("upstream", "only those of this upstream", "string");
    paths.add("get", "/endpoints", one);
    let one = paths.operation::<Upstreams>("Every upstream and its endpoints", 200);
    paths.add("get", "/upstreams", one);
    let one = paths.operation::<UpstreamView>("One upstream", 200);
    paths.add("get", "/upstreams/{upstream}", one);
    let body = paths.schema::<AddEndpoint>();
    let one = paths.operation::<UpstreamView>("One endpoint more", 201);
    let pending = paths.schema::<Problem>();
    let later = |one: Operation| {
        let description = "It is noted, and not in force everywhere yet (`pending`).";
        one.answers(504, description, &pending)
    };
    let one = later(one).takes(&["application/json"], &body, true);
    paths.add("post", "/upstreams/{upstream}/endpoints", one);
    const ENDPOINT: &str = "/upstreams/{upstream}/endpoints/{endpoint}";
    let body = paths.schema::<SetEndpoint>();
    let one = paths.operation::<UpstreamView>("Changes an endpoint", 200);
    paths.add(
        "patch",
        ENDPOINT,
        later(one).takes(&["application/json"], &body, true),
    );
    let mut one = later(paths.operation::<Told>("One endpoint less", 200));
    if let Value::Object(answers) = &mut one.told["responses"] {
        answers.remove("200");
        answers.insert("204".into(), json!({ "description": "It is gone." }));
    }
    paths.add("delete", ENDPOINT, one);
}

fn connections(paths: &mut Paths) {
    let one = paths.operation::<ConnectionsPage>(
        "Open connections of clients, each worker's oldest first",
        200,
    );
    let state = paths.schema::<ConnectionState>();
    let mut one = (one.paged()).parameter("listener", "only those of this listener", "string");
    push(
        &mut one.told["parameters"],
        json!({
            "name": "state", "in": "query", "description": "only those in this state", "schema": state,
        }),
    );
    paths.add("get", "/connections", one);
    let one = paths.operation::<ConnectionView>(
        "Has a connection end: after what runs on it, or at once",
        200,
    );
    let one = one.parameter("now", "whatever runs on it", "boolean");
    paths.add("delete", "/connections/{id}", one);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_referred_to_is_there() {
        let document = document();
        let text = document.to_string();
        for part in text.split("\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(
                document["components"]["schemas"][name].is_object(),
                "no schema {name}"
            );
        }
        assert!(text.contains("#/components/schemas/UpstreamView"));
        let path = &document["paths"]["/config/history/{id}"]["get"]["parameters"];
        assert_eq!(path[0]["name"], "id");
    }
}
