//! Sockets of a loop, at loopback.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use foregate_eventloop::{TcpListener, TcpStream, block_on, spawn_local, yield_now};
use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::thread;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

fn anywhere() -> std::net::TcpListener {
    let socket = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

fn listener() -> (TcpListener, SocketAddr) {
    let socket = anywhere();
    let address = socket.local_addr().unwrap();
    (TcpListener::from_std(socket).unwrap(), address)
}

async fn accept(listener: &TcpListener) -> TcpStream {
    poll_fn(|cx| listener.poll_accept(cx)).await.unwrap().0
}

/// Both ends of a connection, on one loop.
async fn pair() -> (TcpStream, TcpStream) {
    let (listener, address) = listener();
    let client = TcpStream::connect(address).await.unwrap();
    let server = accept(&listener).await;
    assert_eq!(client.local_addr().unwrap(), server.peer_addr().unwrap());
    (client, server)
}

#[test]
fn bytes_come_and_go_whole() {
    block_on(async {
        let (mut client, mut server) = pair().await;
        let sent: Vec<u8> = (0..3_000_000_u32).map(|number| number as u8).collect();
        let expected = sent.clone();
        spawn_local(async move {
            client.write_all(&sent).await.unwrap();
            client.shutdown().await.unwrap();
        });
        let mut received = Vec::new();
        server.read_to_end(&mut received).await.unwrap();
        assert!(received == expected);
    })
    .unwrap();
}

#[test]
fn an_end_that_comes_along_with_bytes_is_found() {
    let socket = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    let peer = thread::spawn(move || {
        let (mut stream, _) = socket.accept().unwrap();
        stream.write_all(b"all that there is").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
    });
    block_on(async {
        let mut client = TcpStream::connect(address).await.unwrap();
        // Both are here before anybody looks.
        while client.take_error().unwrap().is_none() && peek(&client) < 17 {
            yield_now().await;
        }
        let mut all = Vec::new();
        let mut room = [0; 1024];
        // A read that got less than it wanted must not hide the end, of which there will be no second event.
        loop {
            let bytes = client.read(&mut room).await.unwrap();
            if bytes == 0 {
                break;
            }
            all.extend_from_slice(&room[..bytes]);
        }
        assert_eq!(all, b"all that there is");
    })
    .unwrap();
    peer.join().unwrap();
}

fn peek(stream: &TcpStream) -> usize {
    let mut room = [0; 64];
    let flags = rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::DONTWAIT;
    rustix::net::recv(stream, &mut room, flags).map_or(0, |(bytes, _)| bytes)
}

#[test]
fn who_takes_nothing_is_waited_for() {
    block_on(async {
        let (mut client, mut server) = pair().await;
        let piece = [7; 64 * 1024];
        let mut sent = 0;
        while let Ok(bytes) = client.try_write(&piece) {
            sent += bytes;
        }
        assert!(sent > 0);
        let is_full = poll_fn(|cx| Poll::Ready(client.poll_write_ready(cx).is_pending())).await;
        assert!(is_full);
        let done = Rc::new(Cell::new(false));
        let told = Rc::clone(&done);
        spawn_local(async move {
            client.write_all(b"!").await.unwrap();
            told.set(true);
        });
        yield_now().await;
        assert!(!done.get());
        let mut received = vec![0; sent + 1];
        server.read_exact(&mut received).await.unwrap();
        assert_eq!(received.last(), Some(&b'!'));
        while !done.get() {
            yield_now().await;
        }
    })
    .unwrap();
}

#[test]
fn nothing_is_asked_in_vain() {
    block_on(async {
        let (mut client, server) = pair().await;
        let asked = Cell::new(0);
        let read = || {
            server.read_once(|| {
                asked.set(asked.get() + 1);
                let mut room = [0; 100];
                let (bytes, _) =
                    rustix::net::recv(&server, &mut room, rustix::net::RecvFlags::empty())?;
                Ok((bytes, room.len()))
            })
        };
        assert!(read().is_pending());
        assert_eq!(asked.get(), 0, "no event has come");
        client.write_all(b"some").await.unwrap();
        server.readable().await;
        assert!(matches!(read(), Poll::Ready(Ok(4))));
        assert!(read().is_pending());
        assert_eq!(asked.get(), 1, "less than was wanted was all there was");
        client.write_all(&[0; 100]).await.unwrap();
        server.readable().await;
        assert!(matches!(read(), Poll::Ready(Ok(100))));
        assert!(read().is_pending());
        assert_eq!(asked.get(), 3, "as much as was wanted may not be all");
    })
    .unwrap();
}

#[test]
fn what_refuses_is_told() {
    let address = anywhere().local_addr().unwrap();
    let refused = block_on(async { TcpStream::connect(address).await });
    let error = refused.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_reset_is_told_to_who_waits() {
    block_on(async {
        let (client, mut server) = pair().await;
        spawn_local(async move {
            yield_now().await;
            rustix::net::sockopt::set_socket_linger(&client, Some(std::time::Duration::ZERO))
                .unwrap();
            drop(client);
        });
        let error = server.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    })
    .unwrap();
}

#[test]
fn a_socket_that_always_has_more_leaves_the_others_their_turns() {
    let socket = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    let flood = thread::spawn(move || {
        let (mut stream, _) = socket.accept().unwrap();
        while stream.write_all(&[0; 64 * 1024]).is_ok() {}
    });
    block_on(async {
        let mut client = TcpStream::connect(address).await.unwrap();
        let others = Rc::new(Cell::new(0));
        let counted = Rc::clone(&others);
        spawn_local(async move {
            loop {
                counted.set(counted.get() + 1);
                yield_now().await;
            }
        });
        // One byte at a time: there is more, whenever it looks.
        let mut byte = [0];
        let mut most = 0;
        for _ in 0..100 {
            let before = others.get();
            let mut reads = 0;
            while others.get() == before {
                client.read_exact(&mut byte).await.unwrap();
                reads += 1;
            }
            most = most.max(reads);
        }
        assert!(most <= 1_000, "{most} reads while others waited");
    })
    .unwrap();
    flood.join().unwrap();
}

#[test]
fn slices_leave_in_one_write() {
    block_on(async {
        let (mut client, mut server) = pair().await;
        let slices = [IoSlice::new(b"one "), IoSlice::new(b"and two")];
        let written: io::Result<usize> =
            poll_fn(|cx| Pin::new(&mut client).poll_write_vectored(cx, &slices)).await;
        assert_eq!(written.unwrap(), 11);
        let mut received = [0; 11];
        server.read_exact(&mut received).await.unwrap();
        assert_eq!(&received, b"one and two");
    })
    .unwrap();
}

/// Numbers of sockets are given out anew; what was told of the one before is not taken for news of the next.
#[test]
fn a_place_that_changes_hands_knows_nothing_of_the_one_before() {
    block_on(async {
        let (listener, address) = listener();
        for _ in 0..200 {
            let mut client = TcpStream::connect(address).await.unwrap();
            let server = accept(&listener).await;
            client.write_all(b"x").await.unwrap();
            // Its event may be on its way while it is closed.
            drop(server);
            let next = TcpStream::connect(address).await.unwrap();
            let waits = poll_fn(|cx| Poll::Ready(next.poll_read_ready(cx).is_pending())).await;
            assert!(waits);
            let quiet = next.read_once(|| -> io::Result<(usize, usize)> {
                unreachable!("nothing has come on it")
            });
            assert!(quiet.is_pending());
            drop(accept(&listener).await);
        }
    })
    .unwrap();
}
