//! An endpoint that is slow gets little.

use crate::{get, named, shares};
use foregate_testkit::{Answer, Backend, Gateway};
use std::time::Duration;

#[test]
fn a_slow_backend_is_avoided_after_its_first_answer() {
    let (quick, other) = (named("quick"), named("other"));
    let slow = Backend::answering(|_| {
        std::thread::sleep(Duration::from_millis(150));
        Answer::ok("slow")
    });
    let gateway = Gateway::new(
        r#"
        workers = 1
        [sites."*"]
        upstream = "app"
        [upstreams.app]
        servers = ["{quick}", "{other}", "{slow}"]
        balance = "peak-ewma"
        "#,
    )
    .fill("quick", quick.address())
    .fill("other", other.address())
    .fill("slow", slow.address())
    .start();
    let shares = shares(&gateway, 200, |_| get("/"));
    // It is asked once while nothing is known of it.
    assert!(shares.get("slow").copied().unwrap_or(0) <= 3, "{shares:?}");
    assert!(shares["quick"] > 40 && shares["other"] > 40, "{shares:?}");
}
