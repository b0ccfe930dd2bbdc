"""Sends events to DMP so that each is counted exactly once, and asks it about people and campaigns.

from dmp_client import DmpClient

with DmpClient("http://localhost:8080", source="shop") as dmp:
    dmp.track("click", campaign_id="camp_123", user_id="u_999")
"""

from dmp_client.async_client import AsyncDmpClient
from dmp_client.backoff import RetryPolicy
from dmp_client.client import DmpClient
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
from dmp_client.sending import MEMORY, SendingOptions
from dmp_client.verdicts import Verdict, VerdictKind

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
