//! What the admin API takes at most, and how it ends.

use super::*;

#[test]
fn large_heads_and_bodies_are_refused() {
    let admin = Admin::start();
    assert_eq!(admin.post("/reload", "Content-Length: 1000000\r\n").0, 413);
    let mut stream = admin.connect();
    let field = format!("X: {}\r\n", "x".repeat(32 * 1024));
    // The server may answer and close before everything is written.
    let _ = stream
        .write_all(format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{field}\r\n").as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(
        !answer.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    assert_eq!(admin.gateway.reloads.load(Ordering::SeqCst), 0);
}

#[test]
fn who_sends_a_configuration_slowly_stops_nobody() {
    let admin = Admin::start();
    let mut slow = admin.connect();
    slow.write_all(
        b"PUT /config HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 12\r\nConnection: close\r\n\r\n",
    )
    .unwrap();
    // Told once the body is waited for.
    let mut told = [0; 25];
    slow.read_exact(&mut told).unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    let (status, _, answer) = admin.ask(
        "PUT /config HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(status, 409, "one is held at a time: {answer}");
    for (target, status, named) in [
        ("/config/confirm", 409, "nothing-to-confirm"),
        ("/config/rollback", 200, "rolled back"),
        ("/reload", 200, "reloaded"),
    ] {
        let (answered, answer) = admin.post(target, "");
        assert_eq!(answered, status, "{target}: {answer}");
        assert!(answer.to_string().contains(named), "{target}: {answer}");
    }
    slow.write_all(b"workers = 1\n").unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn who_confirms_is_heard_while_a_change_is_under_way() {
    let admin = Admin::start();
    *admin.gateway.held.lock().unwrap() = true;
    let mut busy = admin.connect();
    busy.write_all(b"POST /reload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    while admin.gateway.reloads.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    let (_, answer) = admin.post("/config/confirm", "");
    assert_eq!(answer["error"], "nothing-to-confirm", "{answer}");
    assert_eq!(admin.post("/config/rollback", "").0, 200);
    *admin.gateway.held.lock().unwrap() = false;
    admin.gateway.released.notify_all();
    let mut answer = String::new();
    busy.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn connections_beyond_the_bound_wait_their_turn() {
    let admin = Admin::start();
    let mut idle: Vec<TcpStream> = (0..CONNECTIONS_MAX).map(|_| admin.connect()).collect();
    for stream in &mut idle {
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        stream.read_exact(&mut [0; 12]).unwrap();
    }
    let mut late = admin.connect();
    late.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    late.set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    assert!(
        late.read(&mut [0; 1]).is_err(),
        "it is served beyond the bound"
    );
    drop(idle.pop());
    late.set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut answer = String::new();
    late.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn stopping_ends_idle_connections_and_lets_answers_finish() {
    let mut admin = Admin::start();
    let mut idle = admin.connect();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    idle.read_exact(&mut [0; 12]).unwrap();
    *admin.gateway.held.lock().unwrap() = true;
    let mut busy = admin.connect();
    busy.write_all(b"POST /reload HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    while admin.gateway.reloads.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    drop(admin.stop.take());
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).unwrap();
    assert!(
        TcpStream::connect(admin.address).is_err(),
        "it still listens"
    );
    *admin.gateway.held.lock().unwrap() = false;
    admin.gateway.released.notify_all();
    let mut answer = String::new();
    busy.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
