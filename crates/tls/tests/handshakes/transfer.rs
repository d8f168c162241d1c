//! Many bytes both ways.

use crate::handshakes::closing::connect;
use crate::handshakes::peers::{Manner, Server, run};
use foregate_testkit::Authority;
use foregate_tls::Stream;
use std::io::IoSlice;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

/// Bytes that repeat at no length that a buffer has.
fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

async fn send(mut half: WriteHalf<Stream>, bytes: &[u8], piece: usize) {
    for piece in bytes.chunks(piece) {
        half.write_all(piece).await.unwrap();
    }
    half.shutdown().await.unwrap();
}

async fn receive(mut half: ReadHalf<Stream>, piece: usize) -> Vec<u8> {
    let mut received = Vec::new();
    let mut buffer = vec![0; piece];
    loop {
        match half.read(&mut buffer).await.unwrap() {
            0 => return received,
            bytes => received.extend_from_slice(&buffer[..bytes]),
        }
    }
}

#[test]
fn everything_arrives_whatever_the_buffers() {
    let authority = Authority::new("Root");
    let server = Server::usual(&authority, Manner::Echo);
    let sent = pattern(5_000_000);
    for (written, read) in [
        (1_000_000, 1_000_000),
        (16 * 1024, 16 * 1024),
        (70_001, 7_001),
        (999, 300_000),
    ] {
        run(async {
            let stream = connect(&server, &authority).await;
            let (reading, writing) = tokio::io::split(stream);
            let (received, ()) =
                tokio::join!(receive(reading, read), send(writing, &sent, written));
            assert!(received == sent, "written by {written}, read by {read}");
        });
    }
}

#[test]
fn a_head_and_its_body_are_one_record() {
    let authority = Authority::new("Root");
    let server = Server::usual(&authority, Manner::Echo);
    run(async {
        let mut stream = connect(&server, &authority).await;
        let slices = [
            IoSlice::new(b"head "),
            IoSlice::new(b""),
            IoSlice::new(b"and body"),
        ];
        assert_eq!(stream.write_vectored(&slices).await.unwrap(), 13);
        let mut buffer = [0; 100];
        // One record is opened at once; two could come apart.
        assert_eq!(stream.read(&mut buffer).await.unwrap(), 13);
        assert_eq!(&buffer[..13], b"head and body");
    });
}
