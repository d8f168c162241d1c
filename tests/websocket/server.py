"""A WebSocket server with the library `websockets`: prints `port N`, serves until its input ends.

Messages come back as they are, but for `close CODE REASON`, which closes so, and `pieces N`, answered in N fragments.
What a connection ended with is printed as `closed CODE REASON`.
"""

import sys
import threading

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve


def attend(socket):
    try:
        for message in socket:
            words = message.split() if isinstance(message, str) else []
            if words[:1] == ["close"]:
                socket.close(int(words[1]), words[2])
            elif words[:1] == ["pieces"]:
                socket.send(f"piece {number};" for number in range(int(words[1])))
            elif words[:1] == ["ping"]:
                answered = socket.ping()
                threading.Thread(target=lambda: socket.send("answered" if answered.wait(10) else "silent")).start()
            else:
                socket.send(message)
    except ConnectionClosed:
        pass
    print("closed", socket.protocol.close_code, socket.protocol.close_reason or "-", flush=True)


with serve(attend, "127.0.0.1", 0, max_size=None, ping_interval=None) as server:
    print("port", server.socket.getsockname()[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    server.shutdown()
