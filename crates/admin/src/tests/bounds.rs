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
