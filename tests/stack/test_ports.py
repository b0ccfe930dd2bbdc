"""Ports that are ours are nobody else's."""

from __future__ import annotations

import socket

import pytest

from dmp_stack.errors import StackError
from dmp_stack.ports import reserve_port


def test_a_port_that_somebody_listens_on_is_a_clear_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StackError, match=f"port {port} on 127.0.0.1 is taken .*DMP_HTTP_PORT="):
            reserve_port("127.0.0.1", port)


def test_a_reserved_port_can_be_listened_on_and_again_after_that_has_ended() -> None:
    reservation = reserve_port("127.0.0.1")
    for _ in range(2):
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("127.0.0.1", reservation.port))
            server.listen()
            with socket.create_connection(("127.0.0.1", reservation.port)):
                pass
    reservation.close()


def test_a_reserved_port_is_not_given_to_others() -> None:
    reservation = reserve_port("127.0.0.1")
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", reservation.port))
    reservation.close()
