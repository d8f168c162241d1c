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

    /// Whether it depends on the value, so that it matters which of several counts.
    fn reads_value(&self) -> bool {
        matches!(self, ValueTest::Exact(_) | ValueTest::Regex(_))
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

    /// Tells which of the fields and parameters whose value is asked for come several times, and how often.
    pub(crate) fn repeated(&self, question: &Question<'_>, mut tell: impl FnMut(Cause, usize)) {
        for (name, _) in self.headers.iter().filter(|(_, test)| test.reads_value()) {
            let times = question.head.fields.all_named(name).count();
            if times > 1 {
                tell(Cause::Header(name.as_str().into()), times);
            }
        }
        for (name, _) in self.query.iter().filter(|(_, test)| test.reads_value()) {
            let query = question.query.unwrap_or_default();
            let times = query::values(query, name.as_bytes()).count();
            if times > 1 {
                tell(Cause::Query(name.to_string()), times);
            }
        }
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

/// Of a field in several lines, as of a parameter that comes several times, the first is the one that counts. If any of them
/// did, conditions on two values would both hold for a request that has both, and the routes' places would decide.
fn field_holds(head: &RequestHead, name: &FieldName, test: &ValueTest) -> bool {
    let first = head.fields.all_named(name).next();
    match (test, first) {
        (ValueTest::Exact(text), Some(value)) => *value == **text,
        (ValueTest::Regex(regex), Some(value)) => regex.is_match(value),
        (ValueTest::Present, value) => value.is_some(),
        (ValueTest::Absent, value) => value.is_none(),
        (ValueTest::Exact(_) | ValueTest::Regex(_), None) => false,
    }
}

fn parameter_holds(query: &[u8], name: &[u8], test: &ValueTest) -> bool {
    let first = query::values(query, name).next();
    match (test, first) {
        (ValueTest::Exact(text), Some(value)) => query::is(value, text),
        (ValueTest::Regex(regex), Some(value)) => {
            query::with_decoded(value, |plain| regex.is_match(plain))
        }
        (ValueTest::Present, value) => value.is_some(),
        (ValueTest::Absent, value) => value.is_none(),
        (ValueTest::Exact(_) | ValueTest::Regex(_), None) => false,
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
            ("x-a", "1"),
            ("X-A", "2"),
            ("Cookie", ""),
            ("accept", "text/html"),
        ];
        assert_eq!(check(&route, "GET", &all, ""), None);
        for (lines, refused) in [(1..4, 0), (0..1, 1), (0..2, 1), (0..3, 3)] {
            assert_eq!(
                check(&route, "GET", &all[lines.clone()], ""),
                Some(Refusal::Header(refused)),
                "{lines:?}"
            );
        }
        let with = [all[0], all[2], ("X-NO", "x"), all[3]];
        assert_eq!(check(&route, "GET", &with, ""), Some(Refusal::Header(2)));
        let second = [all[0], all[2], ("Accept", "*/*"), all[3]];
        assert_eq!(check(&route, "GET", &second, ""), Some(Refusal::Header(3)));
    }

    #[test]
    fn query_parameters() {
        let mut route = route();
        route.query = vec![
            ("a b".into(), ValueMatch::Exact("1 2".into())),
            ("c".into(), ValueMatch::Regex("^x+$".into())),
        ];
        assert_eq!(check(&route, "GET", &[], "a%20b=1+2&c=%78x"), None);
        assert_eq!(check(&route, "GET", &[], "a+b=1%202&%61+b=0&c=x&c=y"), None);
        assert_eq!(
            check(&route, "GET", &[], "%61+b=0&a+b=1%202&c=x"),
            Some(Refusal::Query(0))
        );
        assert_eq!(
            check(&route, "GET", &[], "a+b=1+2&c&c=x"),
            Some(Refusal::Query(1))
        );
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
