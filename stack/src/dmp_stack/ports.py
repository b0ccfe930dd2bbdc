"""Loopback ports that stay ours while the process behind them comes and goes."""

from __future__ import annotations

import errno
import platform
import socket
from dataclasses import dataclass

from dmp_stack.errors import StackError

_HOLD = platform.system() == "Linux"


@dataclass(slots=True, kw_only=True)
class PortReservation:
    """A port that a child of ours listens on, now or after its next restart.

    On Linux a bound socket that does not listen keeps the kernel from giving the port to anybody else, while a server
    that sets SO_REUSEADDR (all do) can still listen on it. Elsewhere the port is only chosen.
    """

    port: int
    _socket: socket.socket

    def close(self) -> None:
        """Gives the port back."""
        self._socket.close()


def reserve_port(host: str, port: int = 0) -> PortReservation:
    """Reserves a port, a free one for 0. Raises StackError if somebody listens there or the port is not for us."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    holder = socket.socket(family, socket.SOCK_STREAM)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind((host, port))
    except OSError as error:
        holder.close()
        if error.errno == errno.EADDRINUSE:
            raise StackError(
                f"port {port} on {host} is taken by another process. Stop that one, or choose another port: "
                f"DMP_HTTP_PORT={port + 1 if port < 65535 else port - 1}"
            ) from error
        raise StackError(f"cannot listen on {host} port {port}: {error.strerror}") from error
    chosen = int(holder.getsockname()[1])
    if not _HOLD:
        holder.close()
    return PortReservation(port=chosen, _socket=holder)
