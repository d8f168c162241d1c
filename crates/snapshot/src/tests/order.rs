//! The order in which routes are written means nothing: of what is accepted, every order serves the same.

use super::snapshot;
use crate::{Action, Snapshot};
use foregate_config::{Format, MemoryFiles, parse_str};
use foregate_message::RequestHead;
use foregate_route::Question;
use proptest::prelude::*;

/// What a route asks for; its number is its status, less 200.
#[derive(Clone, Debug)]
struct Wanted {
    number: u16,
    path: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    query: Vec<(&'static str, &'static str)>,
    methods: Vec<&'static str>,
    clients: Vec<&'static str>,
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let path = proptest::sample::select(vec![
        "\"/\"",
        "\"/a\"",
        "{ exact = \"/a\" }",
        "{ glob = \"/*\" }",
        "{ glob = \"/a*\" }",
        "{ regex = \"^/a\" }",
        "{ regex = \"a\" }",
    ]);
    let value = || proptest::sample::select(vec!["1", "2", "1", "2", "3", "*", "!", "~[12]"]);
    let conditions = |names: [&'static str; 2]| {
        (
            proptest::option::weighted(0.7, value()),
            proptest::option::weighted(0.3, value()),
        )
            .prop_map(move |(first, second)| {
                let pairs = names.into_iter().zip([first, second]);
                pairs
                    .filter_map(|(name, value)| Some((name, value?)))
                    .collect()
            })
    };
    let methods = proptest::sample::subsequence(vec!["GET", "PURGE"], 0..2);
    let clients = proptest::sample::subsequence(vec!["10.0.0.0/8", "10.0.0.0/31", "::/0"], 0..2);
    (
        path,
        conditions(["X-V", "X-W"]),
        conditions(["v", "w w"]),
        methods,
        clients,
    )
        .prop_map(|(path, headers, query, methods, clients)| Wanted {
            number: 0,
            path,
            headers,
            query,
            methods,
            clients,
        })
}

fn text(routes: &[Wanted]) -> String {
    let table = |pairs: &[(&str, &str)]| {
        let pairs: Vec<String> = pairs
            .iter()
            .map(|(name, value)| format!("\"{name}\" = \"{value}\""))
            .collect();
        format!("{{ {} }}", pairs.join(", "))
    };
    let mut text = "[sites.\"*\"]\n".to_owned();
    for route in routes {
        text += "[[sites.\"*\".routes]]\n";
        text += &format!("path = {}\n", route.path);
        text += &format!("headers = {}\n", table(&route.headers));
        text += &format!("query = {}\n", table(&route.query));
        text += &format!("methods = {:?}\n", route.methods);
        text += &format!("clients = {:?}\n", route.clients);
        text += &format!("respond = {{ status = {} }}\n", 200 + route.number);
    }
    text
}

/// Routes that differ in what they want of one header or of one parameter and in nothing else.
fn siblings() -> impl Strategy<Value = Vec<Wanted>> {
    let values = proptest::sample::subsequence(vec!["1", "2", "3", "!"], 2..4);
    (wanted(), any::<bool>(), values.prop_shuffle()).prop_map(|(base, by_header, values)| {
        let sibling = |value| {
            let mut route = Wanted {
                headers: Vec::new(),
                query: Vec::new(),
                ..base.clone()
            };
            match by_header {
                true => route.headers.push(("X-V", value)),
                false => route.query.push(("v", value)),
            }
            route
        };
        values.into_iter().map(sibling).collect()
    })
}

/// Several routes, and the same ones in another order.
fn both_orders() -> impl Strategy<Value = (Vec<Wanted>, Vec<Wanted>)> {
    let strangers = proptest::collection::vec(wanted(), 2..5);
    prop_oneof![strangers, siblings()].prop_flat_map(|mut routes| {
        for (number, route) in (0..).zip(&mut routes) {
            route.number = number;
        }
        let shuffled = Just(routes.clone()).prop_shuffle();
        (Just(routes), shuffled)
    })
}

fn is_accepted(text: &str) -> bool {
    let outcome = parse_str("foregate.toml", text, Format::Toml, &MemoryFiles::default());
    outcome.settings.is_some()
}

/// The status of the route that takes a request.
fn answer(snapshot: &Snapshot, question: &Question<'_>) -> Option<u16> {
    let (_, plan) = snapshot.find(question, None).ok()?;
    match &plan.action {
        Action::Respond(respond) => Some(respond.status().code()),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn position_never_decides(
        (routes, shuffled) in both_orders(),
        requests in proptest::collection::vec(
            (
                proptest::collection::vec(("[xX]-[vw]", "[123]"), 0..4),
                proptest::collection::vec("(v|w\\+w|w%20w|%76)(=[123])?", 0..4),
                proptest::sample::select(vec!["GET", "PURGE", "POST"]),
                proptest::sample::select(vec!["/", "/a", "/ab", "/a/b"]),
                0..4u8,
            ),
            8,
        ),
    ) {
        let (routes, shuffled) = (text(&routes), text(&shuffled));
        let accepted = is_accepted(&routes);
        prop_assert_eq!(accepted, is_accepted(&shuffled));
        if !accepted {
            return Ok(());
        }
        let (routes, shuffled) = (snapshot(&routes), snapshot(&shuffled));
        for (headers, query, method, path, last) in requests {
            let mut head = RequestHead::with(method, path.as_bytes());
            for (name, value) in &headers {
                head.fields.append_line(name.as_bytes(), value.as_bytes());
            }
            let query = query.join("&");
            let question = Question {
                listener: 0,
                host: b"any",
                path: path.as_bytes(),
                query: Some(query.as_bytes()),
                head: &head,
                client: [10, 0, 0, last].into(),
            };
            prop_assert_eq!(answer(&routes, &question), answer(&shuffled, &question));
        }
    }
}
