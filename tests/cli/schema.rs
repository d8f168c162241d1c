//! `foregate schema`: the JSON Schema of the configuration.

use foregate_testkit::foregate;

#[test]
fn it_is_json_and_knows_every_section() {
    let run = foregate(&["schema"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let schema: serde_json::Value =
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"));
    let properties = &schema["properties"];
    for section in [
        "listeners",
        "admin",
        "access_log",
        "client",
        "paths",
        "forwarding",
        "sites",
        "upstreams",
        "workers",
    ] {
        assert!(
            properties.get(section).is_some(),
            "{section} is missing in {properties}"
        );
    }
}
