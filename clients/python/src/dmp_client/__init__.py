"""Sends events to DMP so that each is counted exactly once, and asks it about people and campaigns.

from dmp_client import DmpClient

with DmpClient("http://localhost:8080", source="shop") as dmp:
    dmp.track("click", campaign_id="camp_123", user_id="u_999")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from dmp_client.backoff import RetryPolicy
from dmp_client.delivery_options import DeliveryOptions
from dmp_client.errors import (
    ClosedError,
    ConflictError,
    DmpError,
    InvalidEventError,
    NotAllowedError,
    NotFoundError,
    RefusedError,
    SpoolError,
    SpoolFullError,
    UnavailableError,
)
from dmp_client.health import Health
from dmp_client.verdicts import Verdict, VerdictKind

if TYPE_CHECKING:
    from dmp_client.async_client import AsyncDmpClient
    from dmp_client.client import DmpClient
    from dmp_client.sending import MEMORY, SendingOptions

__all__ = [
    "MEMORY",
    "AsyncDmpClient",
    "ClosedError",
    "ConflictError",
    "DeliveryOptions",
    "DmpClient",
    "DmpError",
    "Health",
    "InvalidEventError",
    "NotAllowedError",
    "NotFoundError",
    "RefusedError",
    "RetryPolicy",
    "SendingOptions",
    "SpoolError",
    "SpoolFullError",
    "UnavailableError",
    "Verdict",
    "VerdictKind",
]

_LATER: Final = {
    "AsyncDmpClient": "async_client",
    "DmpClient": "client",
    "MEMORY": "sending",
    "SendingOptions": "sending",
}
"""What brings the HTTP library along, which takes half of the time to start, and its module."""


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"dmp_client.{_LATER[name]}"), name)
    return value
