//! Backups, zones and subsets.

use crate::{explained, get, named, shares};
use foregate_testkit::Gateway;

#[test]
fn backups_serve_only_when_no_primary_does() {
    let (a, b, spare) = (named("a"), named("b"), named("spare"));
    let gateway = Gateway::new(
        r#"
        workers = 1
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{a}", "{b}", { address = "{spare}", backup = true }]
        ejection = { consecutive_failures = 1, base_time = "1h", time_max = "1h", share_max = 100 }
        "#,
    )
    .fill("a", a.address())
    .fill("b", b.address())
    .fill("spare", spare.address())
    .start();
    assert_eq!(shares(&gateway, 20, |_| get("/")).len(), 2);
    assert_eq!(spare.requests_total(), 0);
    let down = (a.kill(), b.kill());
    // Both fail within one request, which the backup serves.
    let answers = shares(&gateway, 20, |_| get("/"));
    assert_eq!(answers.keys().collect::<Vec<_>>(), ["spare"]);
    let said = explained(&gateway, &["GET", "http://a/"]);
    assert!(said.contains("backup"), "{said}");
    drop(down);
}

#[test]
fn the_own_zone_serves_while_enough_of_it_is_fit() {
    let (near, far) = (named("near"), named("far"));
    let gateway = Gateway::new(
        r#"
        workers = 1
        zone = "east"
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = [{ address = "{near}", zone = "east" }, { address = "{far}", zone = "west" }]
        "#,
    )
    .fill("near", near.address())
    .fill("far", far.address())
    .start();
    let answers = shares(&gateway, 20, |_| get("/"));
    assert_eq!(answers.keys().collect::<Vec<_>>(), ["near"]);
    let down = near.kill();
    let answers = shares(&gateway, 20, |_| get("/"));
    assert_eq!(answers.keys().collect::<Vec<_>>(), ["far"]);
    drop(down);
}

#[test]
fn a_route_chooses_servers_by_label() {
    let (old, new) = (named("old"), named("new"));
    let gateway = Gateway::new(
        r#"
        workers = 1
        [sites."*"]
        [[sites."*".routes]]
        path = "/"
        upstream = "app"
        subset = { version = "v1" }
        [[sites."*".routes]]
        name = "beta"
        path = "/"
        headers = { "X-Beta" = "1" }
        upstream = "app"
        subset = { version = "v2" }
        [upstreams.app]
        servers = [
            { address = "{old}", labels = { version = "v1" } },
            { address = "{new}", labels = { version = "v2" } },
        ]
        "#,
    )
    .fill("old", old.address())
    .fill("new", new.address())
    .start();
    let beta = |_| "GET / HTTP/1.1\r\nHost: a\r\nX-Beta: 1\r\n\r\n".to_owned();
    assert_eq!(
        shares(&gateway, 10, |_| get("/"))
            .keys()
            .collect::<Vec<_>>(),
        ["old"]
    );
    assert_eq!(
        shares(&gateway, 10, beta).keys().collect::<Vec<_>>(),
        ["new"]
    );
    let said = explained(&gateway, &["-H", "X-Beta: 1", "GET", "http://a/"]);
    assert!(
        said.contains("subset version=v2") && said.contains("other-subset"),
        "{said}"
    );
}
