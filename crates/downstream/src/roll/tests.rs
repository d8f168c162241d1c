use super::*;
use std::time::Duration;

const LISTENER: (ListenerId, u32) = (ListenerId::OTHER, 7);

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

fn rolled(count: u16) -> (Roll, Vec<Rc<Entry>>) {
    let roll = Roll::default();
    let entries = (1..=count)
        .map(|port| roll.enter(LISTENER, address(port), Closing::No))
        .collect();
    (roll, entries)
}

fn states(roll: &Roll, which: &Which) -> Vec<&'static str> {
    let survey = roll.survey(which);
    survey.items.iter().map(|one| one.state.name()).collect()
}

const ALL: Which = Which {
    listener: None,
    state: None,
    skip: 0,
    take: 100,
};

#[test]
fn states_follow_what_a_connection_does() {
    let (roll, entries) = rolled(1);
    let entry = &entries[0];
    let state = || states(&roll, &ALL)[0];
    entry.set_phase(Phase::Handshake);
    assert_eq!(state(), "handshake");
    entry.set_phase(Phase::Open);
    entry.set_protocol(Protocol::Http1);
    assert_eq!(state(), "waiting");
    entry.reads_head();
    assert_eq!(state(), "reading-head");
    entry.begin(now());
    assert_eq!(state(), "in-exchange");
    entry.going_to(Place {
        route: 3,
        endpoint: 4,
    });
    let note = &roll.survey(&ALL).items[0];
    assert_eq!((note.requests, note.running), (0, 1));
    assert_eq!(note.exchanges[0].place, Some((3, 4)));
    entry.end();
    assert_eq!(state(), "waiting");
    assert_eq!(roll.survey(&ALL).items[0].requests, 1);
    roll.end_listener(8);
    assert_eq!(state(), "waiting", "another listener's end");
    roll.end_listener(7);
    assert_eq!(state(), "draining");
    entry.set_phase(Phase::Lingering);
    assert_eq!(state(), "lingering");
}

#[test]
fn a_connection_with_many_streams_shows_a_few_and_counts_all() {
    let (roll, entries) = rolled(1);
    let entry = &entries[0];
    entry.set_protocol(Protocol::Http2);
    assert_eq!(states(&roll, &ALL), ["waiting"]);
    for slot in 0..20 {
        entry.begin_stream(slot, now());
    }
    let place = Place {
        route: 1,
        endpoint: 2,
    };
    entry.stream_going_to(1, place);
    entry.end_stream(0);
    let note = &roll.survey(&ALL).items[0];
    assert_eq!(note.state, ConnectionState::InExchange);
    assert_eq!((note.requests, note.running), (1, 19));
    assert_eq!(note.exchanges.len(), EXCHANGES_SHOWN_MAX);
    assert_eq!(note.exchanges[0].place, Some((1, 2)));
    for slot in 1..20 {
        entry.end_stream(slot);
    }
    entry.rest();
    let note = &roll.survey(&ALL).items[0];
    assert_eq!((note.requests, note.running), (20, 0));
    assert!(note.age < Duration::from_secs(60));
}

#[test]
fn pages_are_of_those_that_are_meant_and_oldest_first() {
    let (roll, entries) = rolled(5);
    for entry in &entries[1..4] {
        entry.set_protocol(Protocol::Http1);
        entry.begin(now());
    }
    let which = Which {
        state: Some(ConnectionState::InExchange),
        skip: 1,
        take: 1,
        ..ALL
    };
    let survey = roll.survey(&which);
    assert_eq!(survey.total, 3);
    assert_eq!(survey.items.len(), 1);
    assert_eq!(survey.items[0].client, address(3));
    roll.strike(&entries[2]);
    assert_eq!(roll.survey(&which).total, 2);
    assert_eq!(roll.survey(&ALL).total, 4);
}

#[test]
fn an_end_that_was_asked_for_can_only_come_sooner() {
    let (roll, entries) = rolled(1);
    let entry = &entries[0];
    assert!(roll.close(99, Closing::Now).is_none());
    let before = roll.close(1, Closing::Operator).unwrap();
    assert_eq!(before.closing, Closing::No);
    assert!(!entry.is_cut());
    roll.close(1, Closing::Now).unwrap();
    assert!(entry.is_cut());
    roll.close(1, Closing::Operator).unwrap();
    roll.end_listener(7);
    assert!(entry.is_cut());
}

#[test]
fn what_runs_is_cut_when_its_listener_is_gone_and_nothing_that_came_later() {
    let (roll, entries) = rolled(2);
    let number = entries[0].number;
    entries[1].close(Closing::Operator);
    roll.end_listener(number);
    let opened_until = entries.iter().map(|entry| entry.opened).max().unwrap();
    // Of another listener that has the number now.
    let later = roll.enter((entries[0].listener, number), address(9), Closing::No);
    roll.cut_listener(number + 1, opened_until);
    roll.cut_listener(number, Moment::default());
    assert!(!entries[0].is_cut());
    roll.cut_listener(number, opened_until);
    assert!(entries[0].is_cut() && entries[1].is_cut() && !later.is_cut());
    assert_eq!(entries[0].cut_reason(), Reason::Draining);
    roll.close(1, Closing::Now).unwrap();
    assert_eq!(entries[0].cut_reason(), Reason::ClosedByOperator);
}

#[test]
fn places_are_used_again_and_the_order_is_that_of_coming() {
    let (roll, entries) = rolled(4);
    roll.strike(&entries[0]);
    roll.strike(&entries[2]);
    for port in [5, 6, 7] {
        roll.enter(LISTENER, address(port), Closing::No);
    }
    let ports = |skip, take| -> Vec<u16> {
        let survey = roll.survey(&Which { skip, take, ..ALL });
        assert_eq!(survey.total, 5);
        survey.items.iter().map(|one| one.client.port()).collect()
    };
    assert_eq!(ports(0, 100), [2, 4, 5, 6, 7]);
    assert_eq!(ports(0, 2), [2, 4]);
    assert_eq!(ports(1, 3), [4, 5, 6]);
    assert_eq!(ports(4, 1), [7]);
    assert!(ports(5, 1).is_empty());
    assert!(ports(0, 0).is_empty());
    assert_eq!(roll.entries.borrow().slots.len(), 5);
}

#[test]
fn an_entry_is_small_and_tells_the_client_all_the_same() {
    // The two counters of its references are beside it.
    assert!(size_of::<Entry>() + 16 <= 104, "{}", size_of::<Entry>());
    for client in ["192.0.2.1:80", "[2001:db8::7]:65535", "[::1]:1"] {
        let client: SocketAddr = client.parse().unwrap();
        assert_eq!(ClientAddress::of(client).address(), client);
    }
}
