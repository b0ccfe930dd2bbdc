"""Which server has the stream of domain events: that of a URL, the node of a cluster, or whom Sentinels name.

The URLs are those of DMP_REDIS_URL: `redis://`, `rediss://` and `unix://` for one server, `redis+cluster://a:1,b:2` for
a cluster, `redis+sentinel://a,b/0?service=name` for Sentinels; both also with `rediss+`.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from redis import ConnectionError, RedisCluster, Sentinel
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.exceptions import RedisClusterException
from redis.retry import Retry

_TIMEOUT_SECONDS: Final = 3.0
_PORTS: Final = {"cluster": 6379, "sentinel": 26379}


def server_of(url: str, key: str) -> str:
    """The URL of the server that has a key now. Raises ValueError for a URL that is none, ConnectionError of redis if
    nobody answers."""
    parts = urlsplit(url)
    scheme, _, kind = parts.scheme.partition("+")
    if not kind:
        return url
    login, at, hosts = parts.netloc.rpartition("@")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    of_sentinels = {name: query.pop(f"sentinel_{name}", None) for name in ("username", "password")}
    service = query.pop("service", "")

    def url_of(host: str, port: int) -> str:
        place = f"[{host}]" if ":" in host else host
        return urlunsplit((scheme, f"{login}{at}{place}:{port}", parts.path, urlencode(query), ""))

    nodes = [_node(host, _PORTS.get(kind, 0)) for host in hosts.split(",")]
    if kind == "cluster":
        return url_of(*_owner(url_of(*nodes[0]), nodes, key))
    if kind == "sentinel" and service:
        with_tls = {name: value for name, value in query.items() if name.startswith("ssl_")}
        given: dict[str, Any] = {**with_tls, **of_sentinels, "ssl": scheme == "rediss"}
        given |= {"socket_timeout": _TIMEOUT_SECONDS, "retry": Retry(NoBackoff(), 0)}  # there are other Sentinels
        sentinels = Sentinel(nodes, sentinel_kwargs=given)  # type: ignore[no-untyped-call]
        return url_of(*sentinels.discover_master(service))  # type: ignore[no-untyped-call]
    raise ValueError("it is neither of a server, nor of a cluster, nor of Sentinels with ?service=")


def _owner(url: str, nodes: list[tuple[str, int]], key: str) -> tuple[str, int]:
    try:
        cluster = RedisCluster.from_url(
            url,
            startup_nodes=[ClusterNode(*node) for node in nodes],  # type: ignore[no-untyped-call]
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
        )
    except RedisClusterException as error:
        raise ConnectionError(str(error)) from None
    try:
        node = cluster.get_node_from_key(key)  # type: ignore[no-untyped-call]
        return str(node.host), int(node.port)
    finally:
        cluster.close()


def _node(text: str, default_port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("it must name hosts, with commas between them")
    return parts.hostname, parts.port or default_port
