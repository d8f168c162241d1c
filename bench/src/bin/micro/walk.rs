//! Route choice alone: the same random walk over hosts and paths with one route and with thousands.

use std::hint::black_box;
use std::net::IpAddr;
use std::time::Instant;

use foregate_message::RequestHead;
use foregate_route::{HostMatch, PathMatch, Question, RouteSpec, Router, SiteSpec};

pub(crate) const HOSTS: usize = 1000;
pub(crate) const ROUTES_EACH: usize = 10;

/// Larger than the caches that belong to a core.
const SWEPT_BYTES: usize = 8 << 20;
const LINE_BYTES: usize = 64;

/// Sites of so many hosts with so many routes each.
pub(crate) fn sites(hosts: usize, routes_each: usize) -> Vec<SiteSpec> {
    (0..hosts)
        .map(|host| SiteSpec {
            hosts: vec![HostMatch::Exact(format!("h{host}.bench.example"))],
            listeners: Vec::new(),
            routes: (0..routes_each)
                .map(|number| prefix(format!("service-{number}"), format!("/service-{number}")))
                .collect(),
        })
        .collect()
}

/// One route that takes everything.
fn one_route() -> Vec<SiteSpec> {
    vec![SiteSpec {
        hosts: vec![HostMatch::Any],
        listeners: Vec::new(),
        routes: vec![prefix("all".to_owned(), "/".to_owned())],
    }]
}

fn prefix(name: String, path: String) -> RouteSpec {
    RouteSpec {
        name,
        priority: 0,
        path: PathMatch::Prefix(path),
        methods: Vec::new(),
        headers: Vec::new(),
        query: Vec::new(),
        clients: Vec::new(),
    }
}

/// A router, the questions asked of it, and the head that they share.
pub(crate) struct Walk {
    router: Router,
    asked: Vec<(String, String)>,
    head: RequestHead,
}

impl Walk {
    /// The same questions, in the same random order, for one route or for all of them.
    pub(crate) fn new(many: bool, head: RequestHead) -> Self {
        let sites = if many {
            sites(HOSTS, ROUTES_EACH)
        } else {
            one_route()
        };
        let mut asked: Vec<(String, String)> = (0..HOSTS * ROUTES_EACH)
            .map(|number| {
                let (host, route) = (number / ROUTES_EACH, number % ROUTES_EACH);
                (
                    format!("h{host}.bench.example"),
                    format!("/service-{route}/1k"),
                )
            })
            .collect();
        let mut random = 0x9E37_79B9_7F4A_7C15_u64;
        for at in (1..asked.len()).rev() {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            asked.swap(at, (random % (at as u64 + 1)) as usize);
        }
        Self {
            router: Router::compile(&sites).expect("the sample routes compile"),
            asked,
            head,
        }
    }

    fn choose(&self, number: usize) {
        let (host, path) = &self.asked[number % self.asked.len()];
        let question = Question {
            listener: 0,
            host: host.as_bytes(),
            path: path.as_bytes(),
            query: None,
            head: &self.head,
            client: IpAddr::from([127, 0, 0, 1]),
        };
        let found = self.router.find(black_box(&question), None);
        assert!(found.is_ok(), "{host}{path} has a route");
    }

    /// So many choices.
    pub(crate) fn run(&self, count: u64) {
        for number in 0..count as usize {
            self.choose(number);
        }
    }

    /// Nanoseconds of a choice, over one whole walk.
    fn warm_ns(&self) -> f64 {
        let began = Instant::now();
        self.run(self.asked.len() as u64);
        began.elapsed().as_nanos() as f64 / self.asked.len() as f64
    }

    /// Nanoseconds of one choice after the caches were swept, its question alone looked at before.
    fn cold_ns(&self, number: usize, swept: &mut [u8]) -> f64 {
        for line in swept.iter_mut().step_by(LINE_BYTES) {
            *line = line.wrapping_add(1);
        }
        let (host, path) = &self.asked[number % self.asked.len()];
        black_box((host.as_bytes()[0], path.as_bytes()[0]));
        let began = Instant::now();
        self.choose(number);
        began.elapsed().as_nanos() as f64
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Times both configurations in turn in this one process and prints medians, one line of JSON.
pub(crate) fn clock(head: &RequestHead, rounds: usize, cold_count: usize) {
    let walks = [false, true].map(|many| Walk::new(many, head.clone()));
    let mut swept = vec![0; SWEPT_BYTES];
    let (mut warm, mut cold) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for _ in 0..rounds.max(1) {
        for (walk, found) in walks.iter().zip(&mut warm) {
            found.push(walk.warm_ns());
        }
    }
    for number in 0..cold_count.max(1) {
        for (walk, found) in walks.iter().zip(&mut cold) {
            found.push(walk.cold_ns(number, &mut swept));
        }
    }
    black_box(&swept);
    let [warm_one, warm_many] = warm.map(|mut found| median(&mut found));
    let [cold_one, cold_many] = cold.map(|mut found| median(&mut found));
    println!(
        "{{\"walk_ns\": {{\"one\": {warm_one:.1}, \"many\": {warm_many:.1}}}, \
         \"cold_ns\": {{\"one\": {cold_one:.1}, \"many\": {cold_many:.1}}}}}"
    );
}
