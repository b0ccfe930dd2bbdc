"""HTTP/2 by hand: what the server says before it has been told everything.

A polite client waits until its whole body is sent before it listens, which a refused upload never is.
"""

from __future__ import annotations

import h2.config
import h2.connection
import h2.events

from tests.contracts.wire import RawAnswer, open_connection


def post_over_http2(base_url: str, path: str, body: bytes, *, announced: bool) -> RawAnswer:
    """Sends the body as far as the server lets us and returns its answer. `announced`: with a content length."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
    connection.initiate_connection()
    headers = [
        (":method", "POST"),
        (":path", path),
        (":scheme", base_url.partition(":")[0]),
        (":authority", "localhost"),
    ]
    if announced:
        headers.append(("content-length", str(len(body))))
    connection.send_headers(1, headers)
    sent, answered, content = 0, {}, b""
    with open_connection(base_url, http2=True) as wire:
        while True:
            room = min(connection.local_flow_control_window(1), len(body) - sent)
            while room > 0:
                size = min(room, connection.max_outbound_frame_size)
                connection.send_data(1, body[sent : sent + size], end_stream=sent + size == len(body))
                sent, room = sent + size, room - size
            wire.sendall(connection.data_to_send())
            received = wire.recv(65536)
            assert received, "the server closed the connection without an answer"
            for event in connection.receive_data(received):
                if isinstance(event, h2.events.ResponseReceived):
                    answered = {str(name): str(value) for name, value in event.headers or []}
                elif isinstance(event, h2.events.DataReceived):
                    content += event.data or b""
                elif isinstance(event, h2.events.StreamEnded):
                    status = int(answered.pop(":status"))
                    return RawAnswer(status=status, headers=answered, body=content)
                else:
                    assert not isinstance(event, h2.events.StreamReset), "the server reset the stream without an answer"
