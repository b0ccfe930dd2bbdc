"""Who calls: the service, by its certificate; which services each RPC believes; and whose key a call came with."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import descriptor_pool

from dmp_chassis.errors import CallerNotBelieved

if TYPE_CHECKING:
    from dmp_chassis.error_answers import Context

_LOG: Final = logging.getLogger(__name__)
CALLER: Final = "x-internal-caller"
"""The metadatum in which the gateway says whose key a call came with. The gateway drops what callers send by this name;
services pass it on to each other."""
_LONGEST_NAME: Final = 64
IDENTITY: Final = "spiffe://dmp/"
"""With a service's name behind it, what the certificate of that service has as URI in its alternative names."""

_NAMES_KEY: Final = "x509_subject_alternative_name"
_FOR_ALL: Final = "/grpc.health.v1.Health/"
"""Whoever has a certificate may ask how a server is."""


def key_of(context: Context) -> str:
    """The name of the key that a call came with, as the gateway says; empty while no keys are asked for."""
    for name, value in context.invocation_metadata() or ():
        if name == CALLER and isinstance(value, str):
            return value[:_LONGEST_NAME]
    return ""


def believed_callers(service: str, option: Any) -> dict[str, frozenset[str]]:  # noqa: ANN401 -- an extension of any type
    """The services that each RPC of a gRPC service believes, by the RPC's path: `{"/a.b.C/Do": {"ingest"}}`.

    service: its full name; its stubs are imported. option: the option of its methods that names them, values of an enum
    such as `CALLER_INGEST`. An RPC that names none believes nobody.
    """
    described = descriptor_pool.Default().FindServiceByName(service)
    names = {
        value.number: value.name.rpartition("_")[2].lower() for value in option.enum_type.values if value.number != 0
    }
    return {
        f"/{service}/{method.name}": frozenset(
            names[number] for number in method.GetOptions().Extensions[option] if number in names
        )
        for method in described.methods
    }


def calling_services(context: Context) -> frozenset[str]:
    """The names of the service whose certificate the caller has shown; empty without one. Costs some microseconds."""
    names = context.auth_context().get(_NAMES_KEY, ())
    texts = (name.decode(errors="replace") for name in names)
    return frozenset(text.removeprefix(IDENTITY) for text in texts if text.startswith(IDENTITY))


class CallerCheck:
    """Refuses the calls of those whom an RPC does not believe. An RPC that the table does not name believes nobody."""

    def __init__(self, believed: Mapping[str, Collection[str]]) -> None:
        self._believed = believed

    def require(self, context: Context, method: str) -> None:
        """Returns if the caller may call the RPC with this path. Raises CallerNotBelieved, and logs who it was."""
        if method.startswith(_FOR_ALL):
            return
        callers = calling_services(context)
        if callers.isdisjoint(self._believed.get(method, ())):
            _LOG.warning("a caller is not believed", extra={"method": method, "callers": sorted(callers)})
            raise CallerNotBelieved
