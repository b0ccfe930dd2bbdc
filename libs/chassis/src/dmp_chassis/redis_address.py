"""What DMP_REDIS_URL names: one server, a cluster, or the server that Sentinels point to.

    redis://host:6379/0  unix:///path               one server
    redis+cluster://host:6379,host:6379             some nodes of a cluster, which name the others
    redis+sentinel://host:26379,host/0?service=x    Sentinels, and the name under which they know the server

With TLS: `rediss://`, `rediss+cluster://`, `rediss+sentinel://`.

`user:password@` stands before the hosts. Sentinels that ask for a login of their own get that of the options
`sentinel_username` and `sentinel_password`. All other options are those of redis-py (`ssl_ca_certs`, …).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from dmp_chassis.settings import REQUIRED, EnvReader, Required
from dmp_chassis.store_trust import SEVERAL_SERVERS

REDIS_VARIABLE: Final = "DMP_REDIS_URL"
SCHEMES: Final = ("redis", "rediss", "unix", *SEVERAL_SERVERS)

_PORTS: Final = {"cluster": 6379, "sentinel": 26379}
_MOST_HOSTS: Final = 100
_LOGIN_OF_SENTINELS: Final = {"sentinel_username": "username", "sentinel_password": "password"}

Node = tuple[str, int]
"""Host and port of a server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAddress:
    """Where Redis is and how to connect to it."""

    kind: str
    """`server`, `cluster` or `sentinel`."""
    options: Mapping[str, Any]
    """What redis-py's connections take; with the host only for one server."""
    nodes: tuple[Node, ...] = ()
    """Nodes of the cluster, or Sentinels."""
    service: str = ""
    """The name under which Sentinels know the server."""
    sentinel_login: Mapping[str, str]
    """`username` and `password`, as far as Sentinels ask for them."""


def read_redis_url(env: EnvReader, default: str | Required = REQUIRED) -> str:
    """The URL of the Redis that all services share. A problem is noted in `env`."""
    url = env.url(REDIS_VARIABLE, default, schemes=SCHEMES)
    try:
        if url:
            redis_address(url)
    except ValueError as error:
        env.problem(REDIS_VARIABLE, str(error))
        return ""
    return url


def redis_address(url: str) -> RedisAddress:
    """Reads a URL. Raises ValueError with what it lacks, as the end of a sentence; no value is in it."""
    parts = urlsplit(url)
    scheme, _, kind = parts.scheme.partition("+")
    if not kind:
        return RedisAddress(kind="server", options=_options(url), sentinel_login={})
    login, at, hosts = parts.netloc.rpartition("@")
    nodes = tuple(_node(host, _PORTS[kind]) for host in hosts.split(","))
    if len(nodes) > _MOST_HOSTS:
        raise ValueError(f"names more than {_MOST_HOSTS} hosts")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    service = query.pop("service", "") if kind == "sentinel" else ""
    logins = {name: query.pop(name, "") for name in _LOGIN_OF_SENTINELS} if kind == "sentinel" else {}
    options = _options(urlunsplit((scheme, f"{login}{at}host", parts.path, urlencode(query), "")))
    del options["host"]
    if kind == "sentinel" and not service:
        raise ValueError("must say ?service=, the name under which Sentinels know the server")
    if kind == "cluster" and options.pop("db", 0):
        raise ValueError("must name no other database than 0: it is the only one that a cluster has")
    return RedisAddress(
        kind=kind,
        options=options,
        nodes=nodes,
        service=service,
        sentinel_login={_LOGIN_OF_SENTINELS[name]: value for name, value in logins.items() if value},
    )


def _options(url: str) -> dict[str, Any]:
    from redis.asyncio.connection import parse_url  # here: it is not loaded by whoever only starts others

    try:
        return dict(parse_url(url))
    except ValueError:
        raise ValueError("has an option whose value cannot be read") from None


def _node(text: str, default_port: int) -> Node:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("must name hosts, with commas between them")
    return parts.hostname, parts.port or default_port
