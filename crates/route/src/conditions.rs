//! What a route asks of a request beside its path.

use crate::pattern;
use crate::query;
use crate::router::Question;
use crate::spec::{Problem, RouteSpec, ValueMatch};
use crate::trace::Cause;
use foregate_message::{FieldName, Method, RequestHead};
use ipnet::IpNet;
use regex::bytes::Regex;

/// The first condition that does not hold; numbers are places in the route's lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    Method,
    Header(u32),
    Query(u32),
    Client,
}

#[derive(Debug)]
enum ValueTest {
    Exact(Box<[u8]>),
    Present,
    Absent,
    Regex(Regex),
}

impl ValueTest {
    fn new(value: &ValueMatch) -> Result<ValueTest, String> {
        Ok(match value {
            ValueMatch::Exact(text) => ValueTest::Exact(text.as_bytes().into()),
            ValueMatch::Present => ValueTest::Present,
            ValueMatch::Absent => ValueTest::Absent,
            ValueMatch::Regex(text) => ValueTest::Regex(pattern::compile(text)?),
        })
    }
}

/// A set of methods: a bit for each known one, and the names of the others.
#[derive(Debug)]
struct MethodTest {
    known: u16,
    extensions: Box<[Box<[u8]>]>,
}

const fn bit(method: &Method) -> u16 {
    match method {
        Method::Get => 1,
        Method::Head => 1 << 1,
        Method::Post => 1 << 2,
        Method::Put => 1 << 3,
        Method::Delete => 1 << 4,
        Method::Options => 1 << 5,
        Method::Patch => 1 << 6,
        Method::Connect => 1 << 7,
        Method::Trace => 1 << 8,
        Method::Extension(_) => 0,
    }
}

impl MethodTest {
    fn new(names: &[String]) -> MethodTest {
        let mut known = 0;
        let mut extensions: Vec<Box<[u8]>> = Vec::new();
        for name in names {
            match Method::known(name.as_bytes()) {
                Some(method) => known |= bit(&method),
                None => extensions.push(name.as_bytes().into()),
            }
        }
        MethodTest {
            known,
            extensions: extensions.into(),
        }
    }

    #[inline]
    fn holds(&self, head: &RequestHead) -> bool {
        match &head.method {
            Method::Extension(_) => {
                let name = head.method_name();
                self.extensions.iter().any(|each| **each == *name)
            }
            known => self.known & bit(known) != 0,
        }
    }
}

/// All conditions of a route beside its path, `None` when there are none.
#[derive(Debug)]
pub(crate) struct Conditions {
    methods: Option<MethodTest>,
    headers: Box<[(FieldName, ValueTest)]>,
    query: Box<[(Box<str>, ValueTest)]>,
    clients: Box<[IpNet]>,
}

impl Conditions {
    pub(crate) fn compile(route: &RouteSpec) -> Result<Option<Box<Conditions>>, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut headers = Vec::with_capacity(route.headers.len());
        for (name, value) in &route.headers {
            match ValueTest::new(value) {
                Ok(test) => headers.push((name.clone(), test)),
                Err(why) => problems.push(Problem::HeaderPattern(name.as_str().into(), why)),
            }
        }
        let mut query: Vec<(Box<str>, ValueTest)> = Vec::with_capacity(route.query.len());
        for (name, value) in &route.query {
            match ValueTest::new(value) {
                Ok(test) => query.push((name.as_str().into(), test)),
                Err(why) => problems.push(Problem::QueryPattern(name.clone(), why)),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let conditions = Conditions {
            methods: (!route.methods.is_empty()).then(|| MethodTest::new(&route.methods)),
            headers: headers.into(),
            query: query.into(),
            clients: route.clients.as_slice().into(),
        };
        Ok((!conditions.is_empty()).then(|| Box::new(conditions)))
    }

    fn is_empty(&self) -> bool {
        self.methods.is_none()
            && self.headers.is_empty()
            && self.query.is_empty()
            && self.clients.is_empty()
    }

    /// The first condition that does not hold, in the order method, fields, query, client.
    pub(crate) fn refusal(&self, question: &Question<'_>) -> Option<Refusal> {
        if self
            .methods
            .as_ref()
            .is_some_and(|test| !test.holds(question.head))
        {
            return Some(Refusal::Method);
        }
        for (at, (name, test)) in (0..).zip(&self.headers) {
            if !field_holds(question.head, name, test) {
                return Some(Refusal::Header(at));
            }
        }
        for (at, (name, test)) in (0..).zip(&self.query) {
            if !parameter_holds(question.query.unwrap_or_default(), name.as_bytes(), test) {
                return Some(Refusal::Query(at));
            }
        }
        if !self.clients.is_empty() {
            let client = question.client.to_canonical();
            if !self.clients.iter().any(|range| range.contains(&client)) {
                return Some(Refusal::Client);
            }
        }
        None
    }

    /// A refusal with the names that an operator knows.
    pub(crate) fn cause(&self, refusal: Refusal) -> Cause {
        match refusal {
            Refusal::Method => Cause::Method,
            Refusal::Header(at) => {
                let named = self.headers.get(at as usize);
                Cause::Header(named.map_or_else(String::new, |(name, _)| name.as_str().into()))
            }
            Refusal::Query(at) => {
                let named = self.query.get(at as usize);
                Cause::Query(named.map_or_else(String::new, |(name, _)| name.to_string()))
            }
            Refusal::Client => Cause::Client,
        }
    }
}

fn field_holds(head: &RequestHead, name: &FieldName, test: &ValueTest) -> bool {
    let mut values = head.fields.all_named(name);
    match test {
        ValueTest::Exact(text) => values.any(|value| *value == **text),
        ValueTest::Present => values.next().is_some(),
        ValueTest::Absent => values.next().is_none(),
        ValueTest::Regex(regex) => values.any(|value| regex.is_match(value)),
    }
}

fn parameter_holds(query: &[u8], name: &[u8], test: &ValueTest) -> bool {
    let mut values = query::pairs(query)
        .filter(|(each, _)| query::is(each, name))
        .map(|(_, value)| value);
    match test {
        ValueTest::Exact(text) => values.any(|value| query::is(value, text)),
        ValueTest::Present => values.next().is_some(),
        ValueTest::Absent => values.next().is_none(),
        ValueTest::Regex(regex) => {
            values.any(|value| query::with_decoded(value, |plain| regex.is_match(plain)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::PathMatch;

    fn route() -> RouteSpec {
        RouteSpec {
            name: "r".into(),
            priority: 0,
            path: PathMatch::Prefix("/".into()),
            methods: Vec::new(),
            headers: Vec::new(),
            query: Vec::new(),
            clients: Vec::new(),
        }
    }

    fn check(
        route: &RouteSpec,
        method: &str,
        lines: &[(&str, &str)],
        query: &str,
    ) -> Option<Refusal> {
        let mut head = RequestHead::with(method, b"/");
        for (name, value) in lines {
            head.fields.append_line(name.as_bytes(), value.as_bytes());
        }
        let question = Question {
            listener: 0,
            host: b"a",
            path: b"/",
            query: Some(query.as_bytes()),
            head: &head,
            client: "::ffff:10.1.2.3".parse().unwrap(),
        };
        Conditions::compile(route)
            .unwrap()
            .unwrap()
            .refusal(&question)
    }

    #[test]
    fn a_route_without_conditions_has_none() {
        assert!(Conditions::compile(&route()).unwrap().is_none());
    }

    #[test]
    fn methods() {
        let mut route = route();
        route.methods = vec!["GET".into(), "PURGE".into()];
        for (method, expected) in [
            ("GET", None),
            ("PURGE", None),
            ("POST", Some(Refusal::Method)),
            ("purge", Some(Refusal::Method)),
        ] {
            assert_eq!(check(&route, method, &[], ""), expected, "{method}");
        }
    }

    #[test]
    fn headers() {
        let name = |text: &str| FieldName::new(text).unwrap();
        let mut route = route();
        route.headers = vec![
            (name("X-A"), ValueMatch::Exact("1".into())),
            (name("cookie"), ValueMatch::Present),
            (name("X-No"), ValueMatch::Absent),
            (name("Accept"), ValueMatch::Regex("^text/".into())),
        ];
        let all = [
            ("x-a", "2"),
            ("X-A", "1"),
            ("Cookie", ""),
            ("accept", "text/html"),
        ];
        assert_eq!(check(&route, "GET", &all, ""), None);
        assert_eq!(
            check(&route, "GET", &all[..1], ""),
            Some(Refusal::Header(0))
        );
        assert_eq!(
            check(&route, "GET", &all[1..2], ""),
            Some(Refusal::Header(1))
        );
        assert_eq!(
            check(&route, "GET", &all[1..3], ""),
            Some(Refusal::Header(3))
        );
        let with = [all[1], all[2], ("X-NO", "x"), all[3]];
        assert_eq!(check(&route, "GET", &with, ""), Some(Refusal::Header(2)));
    }

    #[test]
    fn query_parameters() {
        let mut route = route();
        route.query = vec![
            ("a b".into(), ValueMatch::Exact("1 2".into())),
            ("c".into(), ValueMatch::Regex("^x+$".into())),
        ];
        assert_eq!(check(&route, "GET", &[], "a%20b=1+2&c=%78x"), None);
        assert_eq!(check(&route, "GET", &[], "a+b=0&a+b=1%202&c=x"), None);
        assert_eq!(check(&route, "GET", &[], "c=x"), Some(Refusal::Query(0)));
        assert_eq!(
            check(&route, "GET", &[], "a+b=1+2&c=y"),
            Some(Refusal::Query(1))
        );
        assert_eq!(check(&route, "GET", &[], ""), Some(Refusal::Query(0)));
    }

    #[test]
    fn mapped_addresses_are_ipv4_clients() {
        let mut route = route();
        route.clients = vec!["10.0.0.0/8".parse().unwrap()];
        assert_eq!(check(&route, "GET", &[], ""), None);
        route.clients = vec!["11.0.0.0/8".parse().unwrap(), "::/0".parse().unwrap()];
        assert_eq!(check(&route, "GET", &[], ""), Some(Refusal::Client));
    }
}
