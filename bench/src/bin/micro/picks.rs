//! Picks of an endpoint: each algorithm, and what stands around it, among 10, 32 and 1,000 endpoints.

use foregate_balance::{
    Algorithm, Attributes, Balancing, Bounds, Endpoint, Health, Member, Need, Picker, Roster,
    Subset, Tried, hash,
};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

/// How many endpoints there are.
pub(crate) const SIZES: [usize; 3] = [10, 32, 1_000];

/// Picks of a millisecond: what is looked at now and then is looked at as often as with so many requests.
const PICKS_PER_MS: u64 = 20;

/// Picks of a round of the clock.
const ROUND_PICKS: u64 = 20_000;

/// Random numbers that are made before anything is counted; a power of two.
const NUMBERS: usize = 1 << 14;

/// What is picked from, and how.
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    algorithm: Algorithm,
    /// Weights repeat from 1 to this.
    weights: u32,
    /// Requests in flight for each endpoint, at any time.
    busy: usize,
    /// So many of a hundred endpoints are unhealthy.
    unhealthy: usize,
    /// A bound on the requests of each.
    requests_max: Option<u32>,
    /// Two zones, and backups in both.
    levels: bool,
    /// Of ten groups by label, the third.
    subset: bool,
    /// Every request has a session.
    session: bool,
    /// Every request has the same key.
    one_key: bool,
}

impl Scene {
    const fn plain(name: &'static str, algorithm: Algorithm) -> Scene {
        Scene {
            name,
            algorithm,
            weights: 1,
            busy: 1,
            unhealthy: 0,
            requests_max: None,
            levels: false,
            subset: false,
            session: false,
            one_key: false,
        }
    }
}

/// All of them.
pub(crate) const SCENES: &[Scene] = &[
    Scene::plain("round-robin", Algorithm::RoundRobin),
    Scene {
        weights: 7,
        ..Scene::plain("round-robin-weighted", Algorithm::RoundRobin)
    },
    Scene::plain("least-requests", Algorithm::LeastRequests),
    Scene {
        weights: 7,
        busy: 8,
        ..Scene::plain("least-requests-weighted", Algorithm::LeastRequests)
    },
    Scene::plain("power-of-two", Algorithm::PowerOfTwo),
    Scene::plain("peak-ewma", Algorithm::PeakEwma),
    Scene {
        weights: 7,
        ..Scene::plain("random", Algorithm::Random)
    },
    Scene {
        busy: 20,
        ..Scene::plain("hash-ring", Algorithm::HashRing)
    },
    Scene {
        busy: 20,
        ..Scene::plain("hash-maglev", Algorithm::HashMaglev)
    },
    Scene {
        busy: 20,
        one_key: true,
        ..Scene::plain("hash-maglev-one-key", Algorithm::HashMaglev)
    },
    Scene {
        session: true,
        ..Scene::plain("session", Algorithm::LeastRequests)
    },
    Scene {
        levels: true,
        ..Scene::plain("zones-and-tiers", Algorithm::RoundRobin)
    },
    Scene {
        subset: true,
        ..Scene::plain("subset", Algorithm::RoundRobin)
    },
    Scene {
        requests_max: Some(16),
        busy: 8,
        ..Scene::plain("bounded", Algorithm::LeastRequests)
    },
    Scene {
        unhealthy: 40,
        ..Scene::plain("unhealthy-round-robin", Algorithm::RoundRobin)
    },
    Scene {
        unhealthy: 90,
        ..Scene::plain("unhealthy-least-requests", Algorithm::LeastRequests)
    },
    Scene {
        unhealthy: 90,
        ..Scene::plain("unhealthy-power-of-two", Algorithm::PowerOfTwo)
    },
    Scene {
        unhealthy: 90,
        ..Scene::plain("unhealthy-random", Algorithm::Random)
    },
    Scene {
        unhealthy: 90,
        ..Scene::plain("unhealthy-hash-maglev", Algorithm::HashMaglev)
    },
];

/// A scene with its endpoints.
struct Stage {
    scene: &'static Scene,
    members: Vec<Member>,
    picker: Picker,
    numbers: Vec<u64>,
    /// Endpoints with a request in flight, the oldest at `picks`.
    busy: Vec<Option<usize>>,
    picks: u64,
}

fn members(scene: &Scene, count: usize) -> Vec<Member> {
    let text = |text: &str| Box::<str>::from(text);
    let member = |number: usize| {
        let weight = 1 + number as u32 % scene.weights;
        let endpoint = Endpoint::new(format!("10.0.{}.{}:80", number / 250, number % 250), weight);
        endpoint.answered(1_000 + number as u64, 0);
        // Spread over the list, and the same for every size.
        if number * 37 % 100 < scene.unhealthy {
            endpoint.set_health(Health::Unhealthy, 0);
        }
        let attributes = Attributes {
            backup: scene.levels && number % 4 == 3,
            zone: scene.levels.then(|| text(["a", "b"][number / 2 % 2])),
            labels: [(text("group"), text(&(number % 10).to_string()))].into(),
        };
        Member {
            attributes: Arc::new(attributes),
            ..Member::plain(Arc::new(endpoint))
        }
    };
    (0..count).map(member).collect()
}

fn roster(scene: &Scene, members: &[Member]) -> Roster {
    let group: Subset = [("group".into(), "3".into())].into();
    let balancing = Balancing {
        load_max_percent: Some(125),
        zone: scene.levels.then(|| "a".into()),
        zone_fit_min_percent: 70,
        primary_fit_min_percent: 50,
        panic_threshold_percent: if scene.unhealthy > 50 { 0 } else { 50 },
        bounds: Bounds {
            requests_max: scene.requests_max,
            ..Bounds::default()
        },
        subsets: [group].into(),
        ..Balancing::plain(scene.algorithm)
    };
    Roster::new(balancing, members)
}

impl Stage {
    fn new(scene: &'static Scene, count: usize) -> Stage {
        let members = members(scene, count);
        Stage {
            picker: Picker::new(Arc::new(roster(scene, &members)), 0),
            scene,
            numbers: (0..NUMBERS as u64)
                .map(|number| hash(&number.to_le_bytes()))
                .collect(),
            busy: vec![None; scene.busy * count],
            members,
            picks: 0,
        }
    }

    /// So many picks, each of which begins a request in place of the oldest.
    fn run(&mut self, count: u64) {
        for _ in 0..count {
            let number = self.picks as usize;
            let random = self.numbers[number % NUMBERS];
            let session = self.numbers[(number + 1) % NUMBERS] as usize % self.members.len();
            let need = Need {
                key: Some(if self.scene.one_key { 7 } else { random }),
                subset: u32::from(self.scene.subset),
                session: self.scene.session.then(|| self.members[session].id),
                ..Need::any(1_000 + self.picks / PICKS_PER_MS, random, &Tried::NONE)
            };
            let picked = self.picker.pick(black_box(&need)).ok();
            let slot = number % self.busy.len();
            let picked = picked.map(|pick| pick.index);
            if let Some(index) = picked {
                self.members[index].endpoint.enter();
            }
            if let Some(index) = std::mem::replace(&mut self.busy[slot], picked) {
                self.members[index].endpoint.leave();
            }
            self.picks += 1;
        }
    }
}

/// So many picks of a scene among so many endpoints.
pub(crate) fn run(scene: &'static Scene, endpoints: usize, count: u64) {
    let mut stage = Stage::new(scene, endpoints);
    stage.run(count);
    black_box(stage.picks);
}

/// The scene and the number of endpoints of a case such as `pick-random-1000`.
pub(crate) fn find(case: &str) -> Option<(&'static Scene, usize)> {
    let (name, size) = case.strip_prefix("pick-")?.rsplit_once('-')?;
    let size = SIZES.into_iter().find(|one| one.to_string() == size)?;
    let scene = SCENES.iter().find(|scene| scene.name == name)?;
    Some((scene, size))
}

/// The least of several rounds: what else the machine does only ever adds.
fn least(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::MAX, f64::min)
}

/// Nanoseconds of a pick with the counting of the request that it begins and of one that ends.
fn clocked(scene: &'static Scene, endpoints: usize, rounds: usize) -> f64 {
    let mut stage = Stage::new(scene, endpoints);
    // Until as many requests are in flight as shall be.
    stage.run(ROUND_PICKS.max(2 * stage.busy.len() as u64));
    let round = |_| {
        let began = Instant::now();
        stage.run(ROUND_PICKS);
        began.elapsed().as_nanos() as f64 / ROUND_PICKS as f64
    };
    least((0..rounds.max(1)).map(round))
}

/// Times every scene over so many rounds and prints a table of the fastest ones; then how long tables take to build.
pub(crate) fn clock(rounds: usize) {
    println!("| pick | 10 endpoints, ns | 32 | 1,000 |");
    println!("|---|---|---|---|");
    for scene in SCENES {
        let [few, some, many] = SIZES.map(|size| clocked(scene, size, rounds));
        println!("| {} | {few:.0} | {some:.0} | {many:.0} |", scene.name);
    }
    println!("\n| built for 1,000 endpoints | ms |");
    println!("|---|---|");
    for scene in SCENES
        .iter()
        .filter(|one| one.unhealthy == 0 && !one.one_key)
    {
        let members = members(scene, 1_000);
        let round = |_| {
            let began = Instant::now();
            let roster = Arc::new(roster(scene, &members));
            let picker = Picker::new(roster, 0);
            let took = began.elapsed().as_nanos() as f64 / 1e6;
            black_box(&picker);
            took
        };
        let took = least((0..rounds.clamp(1, 15)).map(round));
        println!("| {} | {took:.2} |", scene.name);
    }
}
