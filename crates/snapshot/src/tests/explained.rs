//! What becomes of a request, told and not done.

use super::*;

fn check(inquiry: &Inquiry, expected: &str) {
    let explained = explain(&snapshot(CONFIG), inquiry, Known::NOTHING).unwrap();
    let shown: Vec<String> = explained
        .to_string()
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    let expected: Vec<&str> = expected.trim().lines().map(str::trim).collect();
    assert_eq!(
        shown.iter().map(|line| line.trim()).collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn a_proxied_request_is_explained() {
    let mut asked = inquiry("http://www.example.com:8080/api/./users?a=b");
    asked.headers = vec![
        ("X-Forwarded-For".into(), "198.51.100.1".into()),
        ("Cookie".into(), "c".into()),
    ];
    asked.client = "10.0.0.1".parse().unwrap();
    check(
        &asked,
        "request     GET http://www.example.com:8080/api/./users?a=b
         listener    public
         client      198.51.100.1 (named by a trusted proxy)
         path        /api/users (received as /api/./users; backends are sent this form)
         not         site inner.test: host (wants host inner.test)
         not         route beta: header(x-beta) (wants path exactly /api/users, header x-beta = 1)
         site        example.com
         route       api (path prefix /api, method GET)
         forwards    /users?a=b (rewritten)
         host        backend.test:8080
         rule        remove Cookie
         rule        set X-Client: 198.51.100.1 www.example.com/api/users
         upstream    app, least-requests
                     10.1.0.1:80  weight 1  available  0 in flight
                     backend.test:8080  weight 3  available  0 in flight  <- a fresh worker's choice
                     [::1]:81  weight 1  available  0 in flight
         timeouts    connect 5000 ms, first byte 5000 ms, between bytes 60000 ms, request off
         retries     3 tries, on connect, refused, reset; idempotent requests once a backend was reached, bodies up to 65536 bytes, budget 20 % and 10 a second (else budget)
         response    add X-Id: 00000000000000000000000000000001",
    );
}

#[test]
fn what_asks_about_the_server_is_rewritten_to_no_path() {
    let mut asked = inquiry("http://www.example.com:8080");
    asked.method = "OPTIONS".into();
    let told = explain(&snapshot(CONFIG), &asked, Known::NOTHING)
        .unwrap()
        .to_string();
    assert!(told.contains("forwards    *\n"), "{told}");
}

#[test]
fn other_outcomes_are_explained() {
    let mut inner = inquiry("http://inner.test/a?b");
    inner.listener = Some("inner".into());
    check(
        &inner,
        "request     GET http://inner.test/a?b
         listener    inner
         client      192.0.2.1
         path        /a
         site        inner.test
         route       away (path prefix /)
         redirect    307 to https://example.org/a?b
         body        at most 1048576 bytes",
    );
    check(
        &inquiry("http://inner.test/a"),
        "request     GET http://inner.test/a
         listener    public (assumed: none listens on that port)
         client      192.0.2.1
         path        /a
         not         site inner.test: listener (wants host inner.test)
         not         site example.com: host (wants host example.com or *.example.com)
         refused     404, no-site",
    );
    check(
        &inquiry("http://example.com:8080/a%5Cb"),
        "request     GET http://example.com:8080/a%5Cb
         listener    public
         client      192.0.2.1
         refused     400, path-refused (backslash)",
    );
    let strict = format!("{CONFIG}\n[paths]\nparameters = \"reject\"\n");
    let refused = inquiry("http://example.com:8080/a;b");
    let explained = explain(&snapshot(&strict), &refused, Known::NOTHING).unwrap();
    let text = explained.to_string();
    assert!(
        text.trim_end().ends_with("400, path-refused (parameters)"),
        "{text}"
    );
    let mut beta = inquiry("http://example.com:8080/api/users");
    beta.headers = vec![("x-beta".into(), "1".into())];
    let explained = explain(&snapshot(CONFIG), &beta, Known::NOTHING).unwrap();
    assert_eq!(
        explained.outcome,
        Outcome::Responded {
            status: 503,
            body_bytes: 4
        }
    );
    beta.method = "TRACE".into();
    let explained = explain(&snapshot(CONFIG), &beta, Known::NOTHING).unwrap();
    assert_eq!(
        explained.outcome,
        Outcome::Refused {
            reason: "trace-refused",
            status: 405,
            detail: None
        }
    );
}

#[test]
fn what_comes_several_times_is_told() {
    let text = "[sites.\"*\"]\n[[sites.\"*\".routes]]\nname = \"one\"\nquery = { v = \"1\" }\nrespond = { status = 201 }\n\
        [[sites.\"*\".routes]]\nname = \"two\"\nquery = { v = \"2\" }\nrespond = { status = 202 }\n";
    let explained = explain(
        &snapshot(text),
        &inquiry("http://a:8080/?v=2&v=1"),
        Known::NOTHING,
    );
    let told = explained.unwrap().to_string();
    for expected in [
        "repeated    query(v) comes 2 times: the first counts\n",
        "not         route one: query(v) (wants path prefix /, query v = 1)\n",
        "route       two ",
    ] {
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn known_endpoints_are_asked_for_their_state() {
    let endpoint = Arc::new(foregate_balance::Endpoint::new("10.1.0.1:80", 1));
    endpoint.set_admin(foregate_balance::AdminState::Disabled);
    let states = |upstream: &str, authority: &str| {
        (upstream == "app" && authority == "10.1.0.1:80").then(|| Arc::clone(&endpoint))
    };
    let explained = explain(
        &snapshot(CONFIG),
        &inquiry("http://example.com:8080/"),
        Known {
            endpoints: &states,
            ..Known::NOTHING
        },
    )
    .unwrap();
    let Outcome::Proxied(proxy) = explained.outcome else {
        panic!("not proxied")
    };
    assert_eq!(proxy.candidates[0].standing, "disabled");
    assert_eq!(proxy.candidates[1].standing, "available");
}

#[test]
fn what_is_not_one_request_is_not_explained() {
    let snapshot = snapshot(CONFIG);
    let error = |inquiry: &Inquiry| explain(&snapshot, inquiry, Known::NOTHING).unwrap_err();
    for url in [
        "",
        "/a",
        "ftp://a/",
        "http://",
        "http:///a",
        "http://a/\r\nX: y",
        "http://a\n/",
    ] {
        assert_eq!(error(&inquiry(url)), InquiryError::Url(url.into()));
    }
    let good = inquiry("http://a/");
    assert_eq!(
        error(&Inquiry {
            method: "G T".into(),
            ..good.clone()
        }),
        InquiryError::Method("G T".into())
    );
    assert_eq!(
        error(&Inquiry {
            listener: Some("x".into()),
            ..good.clone()
        }),
        InquiryError::Listener("x".into())
    );
    let headers = vec![("X-A".to_owned(), "a\r\nb".to_owned())];
    assert_eq!(
        error(&Inquiry { headers, ..good }),
        InquiryError::Header("X-A".into())
    );
}

#[test]
fn what_is_malformed_or_over_a_limit_is_explained() {
    let text = "[listeners.public]\naddress = \"127.0.0.1:80\"\n[client]\ntarget_bytes_max = \"64B\"\nfields_max = 4\nhead_bytes_max = \"512B\"\n\
        [sites.\"a.test\"]\n[[sites.\"a.test\".routes]]\nbody_bytes_max = \"10B\"\nrespond = { status = 200 }\n";
    let snapshot = snapshot(text);
    let told = |url: &str, headers: &[(&str, &str)]| {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let inquiry = Inquiry {
            headers,
            ..inquiry(url)
        };
        match explain(&snapshot, &inquiry, Known::NOTHING)
            .unwrap()
            .outcome
        {
            Outcome::Refused {
                reason,
                status,
                detail,
            } => format!("{status} {reason} {}", detail.unwrap_or_default()),
            other => format!("{other:?}"),
        }
    };
    let long = format!("http://a.test/{}", "x".repeat(64));
    assert_eq!(
        told(&long, &[]),
        "414 request-target-too-long target_bytes_max is 64"
    );
    assert_eq!(
        told("http://a.test/", &[("A", "1"); 5]),
        "431 request-too-many-fields fields_max is 4"
    );
    assert_eq!(
        told("http://a.test/", &[("A", &"1".repeat(512))]),
        "431 request-head-too-large head_bytes_max is 512"
    );
    assert_eq!(
        told("http://a.test/", &[("Content-Length", "11")]),
        "413 request-body-too-large body_bytes_max is 10"
    );
    assert_eq!(
        told("http://a.test?x", &[("Content-Length", "ten")]),
        "400 request-bad-length "
    );
    for (url, reason) in [
        ("http://a b/", "bad-host"),
        ("http://u@a/", "bad-host"),
        ("http://a.test:x/", "bad-host"),
        ("http://a.test/ b", "bad-start-line"),
        ("http://a.test#b", "bad-target"),
        ("http://a.test/\u{e9}", "bad-target"),
    ] {
        assert_eq!(told(url, &[]), format!("400 request-{reason} "), "{url}");
    }
}

#[test]
fn a_trusted_proxy_that_ended_tls_is_believed_in_explanations_too() {
    let text = "[forwarding]\ntrusted_proxies = [\"192.0.2.1\"]\n[sites.\"a.test\"]\n\
        [[sites.\"a.test\".routes]]\nclients = [\"10.0.0.0/8\"]\nrespond = { status = 200 }\n\
        [[sites.\"a.test\".routes]]\nrespond = { status = 203 }\n";
    let snapshot = snapshot(text);
    let status = |forwarded: &str| {
        let inquiry = Inquiry {
            headers: vec![("Forwarded".into(), forwarded.into())],
            ..inquiry("http://a.test/")
        };
        match explain(&snapshot, &inquiry, Known::NOTHING)
            .unwrap()
            .outcome
        {
            Outcome::Responded { status, .. } | Outcome::Redirected { status, .. } => status,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(status("for=10.1.1.1;proto=https"), 200);
    assert_eq!(status("for=203.0.113.9;proto=https"), 203);
    assert_eq!(status("for=10.1.1.1;proto=http"), 308);
}

#[test]
fn what_is_said_of_the_scheme_is_what_a_trusted_proxy_said() {
    let text = "[forwarding]\ntrusted_proxies = [\"192.0.2.1\"]\n\
        [sites.\"a.test\"]\nhttps_redirect = \"off\"\nhsts = { max_age = \"1h\" }\n\
        [[sites.\"a.test\".routes]]\nredirect = { to = \"{scheme}://www.a.test{path}\" }\n";
    let snapshot = snapshot(text);
    let told = |client: &str, scheme: &str| {
        let inquiry = Inquiry {
            headers: vec![("X-Forwarded-Proto".into(), scheme.into())],
            client: client.parse().unwrap(),
            ..inquiry("http://a.test/x")
        };
        let explanation = explain(&snapshot, &inquiry, Known::NOTHING).unwrap();
        let hsts = explanation.tls.unwrap().hsts;
        match explanation.outcome {
            Outcome::Redirected { location, .. } => (location, hsts.is_some()),
            other => panic!("{other:?}"),
        }
    };
    let https = ("https://www.a.test/x".to_owned(), true);
    let http = ("http://www.a.test/x".to_owned(), false);
    assert_eq!(told("192.0.2.1", "https"), https);
    assert_eq!(told("192.0.2.1", "http"), http);
    assert_eq!(told("192.0.2.2", "https"), http);
}
