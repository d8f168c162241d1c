//! Names, asked for again when their records say so.

use std::net::SocketAddr;

use foregate_testkit::{Answer, Answers, Backend, Gateway, Names, eventually};

use crate::{check, finding, shown, wait_for};

/// A backend at this loopback address, on a given port or one of the system's choice.
fn at(ip: [u8; 4], port: u16) -> Backend {
    let name = format!("{}", ip[3]);
    let script = Answers(move |_: &foregate_testkit::Request| Answer::ok(name.clone()));
    Backend::start_at(SocketAddr::from((ip, port)), script)
}

/// Backends at 127.0.0.1, 127.0.0.2 and so on, all on one port.
fn three() -> [Backend; 3] {
    let first = at([127, 0, 0, 1], 0);
    let port = first.address().port();
    [first, at([127, 0, 0, 2], port), at([127, 0, 0, 3], port)]
}

fn asking(names: &Names, port: u16) -> Gateway {
    let server = names.address();
    finding(&format!(
        "dns = {{ name = \"app.test:{port}\", name_servers = [\"{server}\"], ttl_min = \"100ms\" }}"
    ))
    .start()
}

#[test]
fn every_address_is_an_endpoint_and_new_ones_come_with_the_time_to_live() {
    let all = three();
    let port = all[0].address().port();
    let names = Names::start();
    names.set("app.test", &["127.0.0.1", "127.0.0.2"]);
    let gateway = asking(&names, port);
    check(&gateway, &["1", "2"]);
    names.set("app.test", &["127.0.0.2", "127.0.0.3"]);
    wait_for(&gateway, &["2", "3"]);
    let view = shown(&gateway);
    assert_eq!(
        view["endpoints"][0]["endpoint"],
        format!("app.test:{port}"),
        "{view}"
    );
    assert_eq!(
        view["endpoints"][0]["address"],
        format!("127.0.0.2:{port}"),
        "{view}"
    );
    // The backend hears the name, as it would of a name in `servers`.
    let host = all[2].last_request().field("host").map(str::to_owned);
    assert_eq!(host.as_deref(), Some("a"));
    gateway.assert_no_leaks();
}

#[test]
fn a_long_time_to_live_is_kept() {
    let all = three();
    let names = Names::start();
    names.set("app.test", &["127.0.0.1"]);
    names.set_ttl(3_600);
    let gateway = asking(&names, all[0].address().port());
    let before = names.questions();
    names.set("app.test", &["127.0.0.2"]);
    foregate_testkit::holds_for(std::time::Duration::from_millis(500), "nobody asks", || {
        names.questions() == before
    });
    check(&gateway, &["1"]);
}

#[test]
fn a_name_in_trouble_takes_nothing_away() {
    let all = three();
    let names = Names::start();
    names.set("app.test", &["127.0.0.1"]);
    let gateway = asking(&names, all[0].address().port());
    check(&gateway, &["1"]);
    names.be_broken(true);
    gateway.wait_stderr("endpoints can't be found");
    check(&gateway, &["1"]);
    names.be_broken(false);
    names.set("app.test", &[]);
    eventually("the empty answer is told", || {
        let trouble = shown(&gateway)["discovery"]["trouble"].clone();
        trouble.as_str()?.contains("has no address").then_some(())
    });
    check(&gateway, &["1"]);
    names.set("app.test", &["127.0.0.2"]);
    wait_for(&gateway, &["2"]);
}

#[test]
fn a_silent_name_server_harms_its_own_upstream_alone() {
    let all = three();
    let names = Names::start();
    names.be_silent(true);
    let text = "workers = 1\n[sites.\"a\"]\nupstream = \"app\"\n[sites.\"b\"]\nupstream = \"other\"\n\
        [upstreams.app]\ndiscovery = { dns = { name = \"app.test:{port}\", name_servers = [\"{server}\"] } }\n\
        [upstreams.other]\nservers = [\"127.0.0.3:{port}\"]\n";
    let gateway = Gateway::new(text)
        .fill("port", all[0].address().port())
        .fill("server", names.address())
        .start();
    assert_eq!(gateway.get("a", "/").status, 503);
    assert_eq!(gateway.get("b", "/").text(), "3");
    names.be_silent(false);
    names.set("app.test", &["127.0.0.1"]);
    eventually("the name is there", || {
        (gateway.get("a", "/").status == 200).then_some(())
    });
}

#[test]
fn both_families_are_taken_where_there_is_a_way_to_them() {
    let all = three();
    let port = all[0].address().port();
    let names = Names::start();
    // Nobody has a way to the documentation prefix, unless all of IPv6 has one; loopback always has.
    names.set("app.test", &["127.0.0.1", "::1"]);
    let gateway = asking(&names, port);
    let view = shown(&gateway);
    let addresses: Vec<String> = view["endpoints"]
        .as_array()
        .map(|all| {
            all.iter()
                .filter_map(|one| Some(one["address"].as_str()?.to_owned()))
                .collect()
        })
        .unwrap_or_default();
    let (six, four) = (format!("[::1]:{port}"), format!("127.0.0.1:{port}"));
    let has_six = std::net::UdpSocket::bind("[::1]:0").is_ok();
    match has_six {
        true => assert_eq!(addresses, [six, four]),
        false => assert_eq!(addresses, [four]),
    }
}

#[test]
fn services_bring_their_ports_and_weights_and_those_less_preferred_are_backups() {
    let (a, b, c) = (
        at([127, 0, 0, 1], 0),
        at([127, 0, 0, 2], 0),
        at([127, 0, 0, 3], 0),
    );
    let names = Names::start();
    names.set("a.test", &["127.0.0.1"]);
    names.set("b.test", &["127.0.0.2"]);
    names.set("c.test", &["127.0.0.3"]);
    let (pa, pb, pc) = (a.address().port(), b.address().port(), c.address().port());
    let service = "_http._tcp.app.test";
    names.set_services(
        service,
        &[
            (1, 3, pa, "a.test"),
            (1, 1, pb, "b.test"),
            (2, 1, pc, "c.test"),
        ],
    );
    let server = names.address();
    let gateway = Gateway::new(&format!(
        "workers = 2\n[sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\nbalance = \"round-robin\"\n\
         [upstreams.app.discovery]\nsrv = {{ name = \"{service}\", name_servers = [\"{server}\"], ttl_min = \"100ms\" }}\n"
    ))
    .start();
    check(&gateway, &["1", "2"]);
    let view = shown(&gateway);
    let first = &view["endpoints"][0];
    assert_eq!(
        (&first["endpoint"], &first["weight"]),
        (&format!("a.test:{pa}").into(), &3.into())
    );
    let backups: Vec<_> = view["endpoints"]
        .as_array()
        .map(|all| all.iter().map(|one| one["backup"] == true).collect())
        .unwrap_or_default();
    assert_eq!(backups, [false, false, true], "{view}");
    // They step in for who has failed.
    drop((a, b));
    wait_for(&gateway, &["3"]);
    names.set_services(service, &[(2, 1, pc, "c.test")]);
    eventually("the one that is left is no backup", || {
        let all = shown(&gateway)["endpoints"].clone();
        (all.as_array()?.len() == 1 && all[0]["backup"] == false).then_some(())
    });
    check(&gateway, &["3"]);
}

#[test]
fn a_target_without_address_is_left_out() {
    let a = at([127, 0, 0, 1], 0);
    let names = Names::start();
    names.set("a.test", &["127.0.0.1"]);
    let service = "_http._tcp.app.test";
    let port = a.address().port();
    // The first one's name is nobody's, so the second one is no backup.
    let services = [(1, 1, port, "gone.test"), (2, 1, port, "a.test")];
    names.set_services(service, &services);
    let server = names.address();
    let gateway = finding(&format!(
        "srv = {{ name = \"{service}\", name_servers = [\"{server}\"], ttl_min = \"100ms\" }}"
    ))
    .start();
    check(&gateway, &["1"]);
    let view = shown(&gateway);
    assert_eq!(
        view["endpoints"].as_array().map(Vec::len),
        Some(1),
        "{view}"
    );
    assert_eq!(view["endpoints"][0]["backup"], false, "{view}");
}
