"""Whether the URL of a database or of Redis has the server prove who it is, where it is not on this machine."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from dmp_chassis.settings import EnvReader

PLAIN_STORES: Final = "DMP_PLAIN_STORES"
"""The variable that lets servers of other machines go without proof."""

_HOW: Final = {
    "postgresql": "sslmode=verify-full and sslrootcert",
    "redis": "rediss:// and ssl_ca_certs",
    "rediss": "no ssl_cert_reqs and no ssl_check_hostname",
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
                "leads to another machine, and nothing proves that its server is the right one: give the URL "
                f"{_HOW[urlsplit(url).scheme]}, or, in a network that you trust, set {PLAIN_STORES}=1",
            )


def proves_itself(url: str) -> bool:
    """Whether the server is on this machine, or its certificate and its name are verified. url: of PostgreSQL or Redis,
    or empty."""
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
            parts.scheme == "rediss"
            and given.get("ssl_cert_reqs", "required") == "required"
            and given.get("ssl_check_hostname", "").lower() not in _NOT
        )
    return verified or parts.scheme in ("unix", "") or all(map(_is_here, hosts))


def _is_here(host: str) -> bool:
    if host in ("", "localhost") or host.startswith(("/", "@")):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
