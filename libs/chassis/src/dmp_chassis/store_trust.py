"""Whether the URL of a database or of Redis has the server prove who it is, where it is not on this machine."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from dmp_chassis.settings import EnvReader

PLAIN_STORES: Final = "DMP_PLAIN_STORES"
"""The variable that lets servers of other machines go without proof."""

SEVERAL_SERVERS: Final = ("redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel")
"""Schemes of URLs by which servers are found, of which the URL names only some."""

_HOW: Final = {
    "postgresql": "sslmode=verify-full and sslrootcert",
    "redis": "rediss:// and ssl_ca_certs",
    "rediss": "no ssl_cert_reqs and no ssl_check_hostname",
    "redis+cluster": "rediss+cluster:// and ssl_ca_certs",
    "rediss+cluster": "no ssl_cert_reqs and no ssl_check_hostname",
    "redis+sentinel": "rediss+sentinel:// and ssl_ca_certs",
    "rediss+sentinel": "no ssl_cert_reqs and no ssl_check_hostname",
}
_NOT: Final = frozenset({"0", "false", "f", "no", "n", "off"})


def check_stores(env: EnvReader, urls: dict[str, str]) -> None:
    """Notes a problem in `env` for each URL that leads to a server on another machine and asks for no proof, unless
    DMP_PLAIN_STORES=1 says that the network is trusted. urls: by the names of their variables.
    """
    if env.boolean(PLAIN_STORES, False):
        return
    for name, url in urls.items():
        if not proves_itself(url):
            env.problem(
                name,
                f"{_leads(url)}, and nothing proves that its server is the right one: give the URL "
                f"{_HOW[urlsplit(url).scheme]}, or, in a network that you trust, set {PLAIN_STORES}=1",
            )


def proves_itself(url: str) -> bool:
    """Whether the server is on this machine, or its certificate and its name are verified. url: of PostgreSQL or Redis,
    or empty. Nodes of a cluster and Sentinels name others, wherever these are: they must be verified in any case."""
    parts = urlsplit(url)
    given = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    hosts = [unquote(parts.hostname or "")]
    if parts.scheme == "postgresql":
        # The library takes the host of the query, if there is one, and connects to hostaddr, if there is one.
        named = [given[name] for name in ("host", "hostaddr") if given.get(name)]
        hosts = [host for text in named for host in text.split(",")] or hosts
        verified = given.get("sslmode") == "verify-full"
    else:
        verified = (
            parts.scheme.startswith("rediss")
            and given.get("ssl_cert_reqs", "required") == "required"
            and given.get("ssl_check_hostname", "").lower() not in _NOT
        )
    if parts.scheme in SEVERAL_SERVERS:
        return verified
    return verified or parts.scheme in ("unix", "") or all(map(_is_here, hosts))


def _leads(url: str) -> str:
    return "finds servers on any machine" if urlsplit(url).scheme in SEVERAL_SERVERS else "leads to another machine"


def _is_here(host: str) -> bool:
    if host in ("", "localhost") or host.startswith(("/", "@")):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
