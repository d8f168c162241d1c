//! How connections end.

use crate::handshakes::peers::{Manner, Server, converse, run};
use foregate_eventloop::TcpStream;
use foregate_testkit::Authority;
use foregate_tls::{Connector, ConnectorPlan, RootsPlan, Stream};
use std::io::ErrorKind;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) async fn connect(server: &Server, authority: &Authority) -> Stream {
    let plan = ConnectorPlan {
        roots: RootsPlan::Pem(authority.pem().into_bytes()),
        ..ConnectorPlan::default()
    };
    let connector = Connector::new(&plan).unwrap();
    let socket = TcpStream::connect(server.address).await.unwrap();
    connector.connect(socket, "localhost").await.unwrap()
}

#[test]
fn a_client_that_has_closed_its_side_still_gets_its_answer() {
    let authority = Authority::new("Root");
    let answer = Arc::new(vec![7; 3_000_000]);
    let server = Server::usual(&authority, Manner::AnswerAtEnd(Arc::clone(&answer)));
    run(async {
        let mut stream = connect(&server, &authority).await;
        stream.write_all(b"everything I have to say").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await.unwrap();
        assert!(received == *answer);
        assert_eq!(
            stream.write(b"more").await.unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
    });
    let (bytes, end) = server.ended();
    assert_eq!(bytes, 24);
    end.unwrap();
}

#[test]
fn an_answer_that_was_cut_off_is_never_taken_for_whole() {
    let authority = Authority::new("Root");
    let server = Server::usual(
        &authority,
        Manner::AnswerAndCut(Arc::new(b"half of".to_vec())),
    );
    run(async {
        let mut stream = connect(&server, &authority).await;
        stream.write_all(b"?").await.unwrap();
        let mut received = Vec::new();
        let error = stream.read_to_end(&mut received).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert_eq!(received, b"half of");
    });
}

#[test]
fn a_client_that_is_cut_off_is_told_from_one_that_has_finished() {
    let authority = Authority::new("Root");
    let server = Server::usual(&authority, Manner::Echo);
    run(async {
        let mut stream = connect(&server, &authority).await;
        stream.write_all(b"half of").await.unwrap();
        let mut echo = [0; 7];
        stream.read_exact(&mut echo).await.unwrap();
        // Closed without a word.
        drop(stream);
    });
    let (bytes, end) = server.ended();
    assert_eq!(bytes, 7);
    assert_eq!(end.unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn a_connection_is_closed_without_waiting() {
    let authority = Authority::new("Root");
    let server = Server::usual(&authority, Manner::Echo);
    run(async {
        let mut stream = connect(&server, &authority).await;
        stream.close_now();
        drop(stream);
    });
    server.ended().1.unwrap();
}

#[test]
fn rest_is_told_from_news() {
    let authority = Authority::new("Root");
    let server = Server::usual(&authority, Manner::Echo);
    run(async {
        let mut stream = connect(&server, &authority).await;
        stream.write_all(b"one").await.unwrap();
        let mut echo = [0; 3];
        stream.read_exact(&mut echo).await.unwrap();
        // The tickets that came along are not for the application.
        assert!(stream.is_quiet(true) && stream.is_quiet(false));
        stream.write_all(b"two").await.unwrap();
        std::future::poll_fn(|cx| stream.poll_read_ready(cx)).await;
        assert!(!stream.is_quiet(true));
        // What was looked at is still there.
        std::future::poll_fn(|cx| stream.poll_read_ready(cx)).await;
        stream.read_exact(&mut echo).await.unwrap();
        assert_eq!(&echo, b"two");
        assert!(stream.is_quiet(true));
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert!(!stream.is_quiet(false));
    });
}

#[test]
fn keys_change_in_the_middle() {
    let authority = Authority::new("Root");
    let server = Server::usual(&authority, Manner::Echo);
    // `k` changes the client's key, `K` asks for ours to change too; what is written behind must arrive and come back.
    converse(
        &server,
        &["-servername", "localhost", "-tls1_3", "-no_ign_eof"],
        &[
            ("once upon\n", "once upon"),
            ("k\n", "KEYUPDATE"),
            ("second\n", "second"),
            ("K\n", "KEYUPDATE"),
            ("third\n", "third"),
            ("fourth\n", "fourth"),
        ],
    );
    let (bytes, end) = server.ended();
    assert_eq!(bytes, "once upon\nsecond\nthird\nfourth\n".len());
    end.unwrap();
}

#[test]
fn renegotiation_is_refused() {
    let authority = Authority::new("Root");
    let server = Server::usual(&authority, Manner::Echo);
    let seen = converse(
        &server,
        &["-servername", "localhost", "-tls1_2", "-no_ign_eof"],
        &[("once upon\n", "once upon"), ("R\n", "no renegotiation")],
    );
    assert!(seen.contains("RENEGOTIATING"), "{seen}");
    let (bytes, _) = server.ended();
    assert_eq!(bytes, 10);
}
