use super::*;
use proptest::prelude::*;

/// A worker as its pool behaves.
#[derive(Clone, Debug, Default)]
struct Worker {
    idle: usize,
    busy: usize,
    /// Requests that wait for a connection.
    waiting: usize,
    served: usize,
    opened: usize,
}

/// The workers of a process before one endpoint.
struct Process {
    seats: Seats,
    workers: Vec<Worker>,
    max: usize,
}

impl Process {
    fn new(max: usize, workers: usize) -> Process {
        let mut seats = Seats::default();
        assert!(seats.set_max(max).is_empty());
        for number in 0..workers {
            assert_eq!(seats.join(0), number);
        }
        Process {
            seats,
            workers: vec![Worker::default(); workers],
            max,
        }
    }

    fn open(&self) -> usize {
        self.workers.iter().map(|one| one.idle + one.busy).sum()
    }

    #[track_caller]
    fn check(&self) {
        assert!(self.open() <= self.max, "{:?}", self.workers);
        assert!(self.seats.taken() <= self.max);
        let granted: usize = (0..self.workers.len())
            .map(|number| self.seats.granted(number))
            .sum();
        assert_eq!(self.seats.taken(), self.open() + granted);
    }

    fn request(&mut self, number: usize) {
        let worker = &mut self.workers[number];
        if worker.idle > 0 {
            worker.idle -= 1;
            worker.busy += 1;
        } else if self.seats.take(number) {
            worker.busy += 1;
            worker.opened += 1;
        } else {
            worker.waiting += 1;
            self.wait(number);
        }
        self.check();
    }

    fn wait(&mut self, number: usize) {
        let calls = self.seats.wait(number);
        self.called(calls);
    }

    /// Closes what has been idle for a while, as far as it is for others.
    fn sweep(&mut self, number: usize) {
        while self.workers[number].waiting == 0
            && self.workers[number].idle > 0
            && self.seats.must_spare(number)
        {
            self.workers[number].idle -= 1;
            self.closed(number);
        }
    }

    /// Nothing lies idle beyond a fair share while somebody waits.
    fn is_well_used(&self) -> bool {
        let waits = self.workers.iter().any(|one| one.waiting > 0);
        let share = self.seats.fair_share();
        let is_idle = |one: &Worker| one.idle > 0 && one.idle + one.busy > share;
        !waits || !self.workers.iter().any(is_idle)
    }

    /// A request has ended in order.
    fn finish(&mut self, number: usize) {
        let gives = self.seats.must_give(number);
        let worker = &mut self.workers[number];
        worker.busy -= 1;
        worker.served += 1;
        if gives {
            return self.closed(number);
        }
        if worker.waiting > 0 {
            worker.waiting -= 1;
            worker.busy += 1;
            if worker.waiting == 0 {
                self.seats.stop_waiting(number);
            }
        } else {
            worker.idle += 1;
        }
        self.check();
    }

    /// A connection is gone, for whatever reason.
    fn closed(&mut self, number: usize) {
        let calls = self.seats.close(number);
        self.check();
        self.called(calls);
        if self.workers[number].waiting > 0 {
            self.wait(number);
        }
    }

    fn called(&mut self, calls: Calls) {
        for number in calls {
            while self.seats.granted(number) > 0 {
                let worker = &mut self.workers[number];
                if worker.waiting == 0 {
                    let calls = self.seats.decline(number);
                    self.called(calls);
                    continue;
                }
                assert!(self.seats.take(number));
                worker.waiting -= 1;
                worker.busy += 1;
                worker.opened += 1;
                if worker.waiting > 0 {
                    self.wait(number);
                }
            }
            while self.seats.must_give(number) && self.workers[number].idle > 0 {
                self.workers[number].idle -= 1;
                self.closed(number);
            }
            self.sweep(number);
        }
        self.check();
    }

    fn break_off(&mut self, number: usize) {
        if self.workers[number].busy > 0 {
            self.workers[number].busy -= 1;
            self.closed(number);
        }
    }

    /// A request stops to wait.
    fn give_up(&mut self, number: usize) {
        let worker = &mut self.workers[number];
        if worker.waiting > 0 {
            worker.waiting -= 1;
            if worker.waiting == 0 {
                self.seats.stop_waiting(number);
            }
        }
    }
}

proptest! {
    #[test]
    fn the_bound_holds_and_whoever_waits_is_served(
        max in 1usize..9,
        workers in 1usize..6,
        steps in proptest::collection::vec((0usize..5, 0u8..9), 0..200),
    ) {
        let mut process = Process::new(max, workers);
        for (number, what) in steps {
            let number = number % workers;
            match what {
                0..=3 => process.request(number),
                4..=6 if process.workers[number].busy > 0 => process.finish(number),
                7 => process.break_off(number),
                8 => process.give_up(number),
                _ => {}
            }
            (0..workers).for_each(|number| process.sweep(number));
            prop_assert!(process.is_well_used(), "{:?}", process.workers);
        }
        // Requests end: then nobody is left who waits, however they were spread.
        let mut rounds = 0;
        while process.workers.iter().any(|one| one.waiting > 0) {
            for number in 0..workers {
                if process.workers[number].busy > 0 {
                    process.finish(number);
                }
            }
            rounds += 1;
            prop_assert!(rounds < 1_000, "{:?}", process.workers);
        }
    }

    #[test]
    fn busy_workers_come_to_their_fair_share_and_then_stay_with_what_they_have(
        max in 1usize..20,
        workers in 1usize..6,
        greedy in 0usize..5,
    ) {
        let greedy = greedy % workers;
        let mut process = Process::new(max, workers);
        // One was there first and has all.
        for _ in 0..max {
            process.request(greedy);
        }
        for number in 0..workers {
            for _ in 0..1_000 {
                process.request(number);
            }
        }
        let share = max / workers;
        let round = |process: &mut Process| {
            for number in 0..workers {
                for _ in 0..process.workers[number].busy {
                    process.finish(number);
                }
            }
        };
        for _ in 0..workers {
            round(&mut process);
        }
        let before: Vec<Worker> = process.workers.clone();
        for one in &before {
            prop_assert!(one.idle + one.busy >= share, "{before:?}");
        }
        for _ in 0..20 {
            round(&mut process);
        }
        for (one, then) in process.workers.iter().zip(&before) {
            prop_assert!(one.served > then.served, "starved: {:?}", process.workers);
            if share > 0 {
                prop_assert_eq!(one.opened, then.opened, "connections change hands for nothing");
            }
        }
    }
}

#[test]
fn idle_connections_of_others_are_given_at_once() {
    let mut process = Process::new(2, 2);
    process.request(0);
    process.request(0);
    process.finish(0);
    process.finish(0);
    assert_eq!(process.workers[0].idle, 2);
    process.request(1);
    assert_eq!((process.workers[0].idle, process.workers[1].busy), (1, 1));
    // Its fair share stays.
    process.request(1);
    assert_eq!(
        (process.workers[0].idle, process.workers[1].waiting),
        (1, 1)
    );
}

#[test]
fn who_waits_is_not_passed_by_who_comes_later() {
    let mut seats = Seats::default();
    seats.set_max(1);
    let (first, second, third) = (seats.join(0), seats.join(0), seats.join(0));
    assert!(seats.take(first));
    assert_eq!(seats.wait(second), [first], "who must give is told");
    assert!(seats.must_give(first));
    assert_eq!(seats.close(first), [second]);
    assert!(!seats.take(third) && !seats.take(first));
    assert!(seats.take(second));
    assert!(!seats.take(second), "once");
}

#[test]
fn a_member_that_leaves_gives_back_what_it_had() {
    let mut seats = Seats::default();
    seats.set_max(2);
    let (first, second) = (seats.join(2), seats.join(0));
    assert!(!seats.take(second));
    assert_eq!(seats.wait(second), [first]);
    assert_eq!(seats.leave(first), [second]);
    assert_eq!(seats.taken(), 1);
    assert_eq!(seats.join(0), first, "its number is free");
    assert!(seats.take(second) && seats.take(first));
    seats.wait(first);
    assert_eq!(seats.set_max(3), [first]);
}

#[test]
fn what_is_idle_beyond_a_fair_share_is_given_to_whoever_waits() {
    let mut process = Process::new(3, 2);
    process.request(0);
    process.request(1);
    process.request(1);
    // Both are busy: that is not taken from it.
    process.request(0);
    assert_eq!(
        (process.workers[0].waiting, process.workers[1].busy),
        (1, 2)
    );
    process.finish(1);
    process.sweep(1);
    assert_eq!((process.workers[0].busy, process.workers[1].busy), (2, 1));
    // Nor is its fair share.
    process.request(0);
    process.finish(1);
    assert_eq!(
        (process.workers[0].waiting, process.workers[1].idle),
        (1, 1)
    );

    let mut process = Process::new(3, 2);
    process.request(1);
    process.request(1);
    process.finish(1);
    process.finish(1);
    process.request(0);
    process.request(0);
    assert_eq!((process.workers[0].busy, process.workers[1].idle), (2, 1));
}

#[test]
fn who_is_short_once_another_has_left_is_served_as_such() {
    let mut seats = Seats::default();
    seats.set_max(4);
    let (first, second, third) = (seats.join(3), seats.join(1), seats.join(0));
    assert_eq!(seats.wait(second), [first], "for what is idle");
    assert!(!seats.is_anybody_short(), "of three it has its share");
    // Of two the share is two.
    assert_eq!(seats.leave(third), [first]);
    assert!(seats.is_anybody_short() && seats.must_give(first));
    assert_eq!(seats.close(first), [second]);
    // With a larger bound, too.
    let mut seats = Seats::default();
    seats.set_max(3);
    let (first, second) = (seats.join(4), seats.join(1));
    seats.wait(second);
    assert!(!seats.is_anybody_short());
    assert_eq!(seats.set_max(4), [first]);
    assert!(seats.must_give(first));
    // And whoever is short no more since another has come stands where it belongs.
    seats.join(0);
    assert!(!seats.is_anybody_short());
}
