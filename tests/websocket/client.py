"""WebSocket clients: `client.py STORY h1|h2 HOST:PORT` plays one story.

Over HTTP/1.1 it is the library `websockets`; over HTTP/2 (RFC 8441, in cleartext) the library `h2` with `websockets` for the
frames on the stream.
"""

import os
import socket
import sys
import threading

import h2.config
import h2.connection
import h2.events
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode
from websockets.protocol import State
from websockets.sync.client import connect
from websockets.uri import parse_uri

TIMEOUT = 20


class OverHttp1:
    """A connection of the library."""

    def __init__(self, target):
        self.socket = connect(f"ws://{target}/chat", max_size=None, ping_interval=None)

    def send(self, message):
        self.socket.send(message)

    def receive(self):
        return self.socket.recv(TIMEOUT)

    def ping(self, payload):
        assert self.socket.ping(payload).wait(TIMEOUT), "no pong"

    def close(self, code, reason):
        self.socket.close(code, reason)
        return self.ended()

    def ended(self):
        """Code and reason that the peer closed with."""
        try:
            self.socket.recv(TIMEOUT)
        except ConnectionClosed as closed:
            return closed.rcvd.code, closed.rcvd.reason
        raise AssertionError("the connection is open")


class OverHttp2:
    """One stream of an HTTP/2 connection, opened by extended CONNECT."""

    def __init__(self, target):
        host, port = target.split(":")
        self.tcp = socket.create_connection((host, int(port)), TIMEOUT)
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.http.initiate_connection()
        self.frames = ClientProtocol(parse_uri(f"ws://{target}/chat"), state=State.OPEN, max_size=None)
        self.events, self.head, self.over = [], None, False
        self.wait(lambda: self.http.remote_settings.enable_connect_protocol)
        self.stream = self.http.get_next_available_stream_id()
        self.http.send_headers(self.stream, [
            (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/chat"),
            (":authority", target), ("sec-websocket-version", "13"),
        ])
        self.wait(lambda: self.head)
        assert self.head[":status"] == "200", self.head
        assert "sec-websocket-accept" not in self.head, self.head

    def wait(self, enough):
        while not enough():
            self.tcp.sendall(self.http.data_to_send())
            data = self.tcp.recv(65536)
            assert data, "the connection has ended"
            for event in self.http.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    self.head = dict(event.headers)
                elif isinstance(event, h2.events.DataReceived):
                    self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    self.frames.receive_data(event.data)
                    self.events += self.frames.events_received()
                elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                    self.over = True
            self.flush()
        self.tcp.sendall(self.http.data_to_send())

    def flush(self):
        """Passes on what the frames' side wants to say, as far as the windows go."""
        for data in self.frames.data_to_send():
            while data:
                room = min(self.http.local_flow_control_window(self.stream), self.http.max_outbound_frame_size)
                if room == 0:
                    self.wait(lambda: self.http.local_flow_control_window(self.stream) > 0)
                    continue
                self.http.send_data(self.stream, data[:room])
                data = data[room:]
        self.tcp.sendall(self.http.data_to_send())

    def frame(self):
        self.wait(lambda: self.events)
        return self.events.pop(0)

    def send(self, message):
        if isinstance(message, (str, bytes)):
            pieces = [message]
        else:
            pieces = list(message)
        for number, piece in enumerate(pieces):
            last = number == len(pieces) - 1
            data = piece.encode() if isinstance(piece, str) else piece
            if number:
                self.frames.send_continuation(data, last)
            elif isinstance(piece, str):
                self.frames.send_text(data, last)
            else:
                self.frames.send_binary(data, last)
            self.flush()

    def receive(self):
        frame = self.frame()
        while frame.opcode in (Opcode.PING, Opcode.PONG):
            frame = self.frame()
        data, text = frame.data, frame.opcode is Opcode.TEXT
        while not frame.fin:
            frame = self.frame()
            data += frame.data
        return data.decode() if text else bytes(data)

    def ping(self, payload):
        self.frames.send_ping(payload)
        self.flush()
        frame = self.frame()
        assert (frame.opcode, bytes(frame.data)) == (Opcode.PONG, payload), frame

    def close(self, code, reason):
        self.frames.send_close(code, reason)
        self.flush()
        return self.ended()

    def ended(self):
        self.wait(lambda: self.frames.close_rcvd)
        closed = self.frames.close_rcvd
        self.http.end_stream(self.stream)
        self.wait(lambda: self.over)
        return closed.code, closed.reason


def messages(client):
    for message in ("hello", "ä" * 1000, "", b"", bytes(range(256))):
        client.send(message)
        assert client.receive() == message, message


def large_messages(client):
    for size in (65_535, 65_536, 8_000_000):
        message = os.urandom(size)
        client.send(message)
        assert client.receive() == message, size


def fragments(client):
    client.send(["one ", "two ", "three"])
    assert client.receive() == "one two three"
    client.send("pieces 20")
    assert client.receive() == "".join(f"piece {number};" for number in range(20))


def pings(client):
    client.ping(b"are you there")
    client.ping(b"")
    client.send("ping")
    assert client.receive() == "answered"


def closed_by_server(client):
    client.send("close 4001 enough")
    assert client.ended() == (4001, "enough")


def closed_by_client(client):
    assert client.close(4002, "going") == (4002, "going")


story, protocol, target = sys.argv[1:]
client = {"h1": OverHttp1, "h2": OverHttp2}[protocol](target)
globals()[story](client)
if not story.startswith("closed"):
    client.close(1000, "done")
