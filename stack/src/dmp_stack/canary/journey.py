"""The journey of one canary event: sent through the gateway, then looked for wherever it must show.

Its statistics are its own: the campaign, source and users that begin with `dmp-canary` are reserved for it, four users
in all. It is dated almost as far back as the window reaches, so that `/metrics` and `/live` of the last minutes, which
know no campaigns, do not show it.
"""

from __future__ import annotations

import contextlib
import ssl
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from dmp_chassis.page_token import token_of
from dmp_stack.canary.settings import CanarySettings
from dmp_stack.demo_client import DemoClient, DemoError

NAME: Final = "dmp-canary"
"""The reserved campaign and source; users are `dmp-canary-0` to `dmp-canary-3`."""
LOST_SECONDS: Final = 10.0
"""After so long an event counts as lost where it has not been seen."""
_USERS: Final = 4
_INSIDE_SECONDS: Final = 60
"""How far inside the window an event is: so long it can be seen there."""
_PAUSE_SECONDS: Final = 0.1
_REQUEST_SECONDS: Final = 5.0
_PAGE: Final = "100"

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """One event.

    second: of its minute; its creative names it, so that the events of one minute are told apart.
    """

    event_id: str
    at: datetime
    user: str

    @property
    def second(self) -> str:
        return f"{self.at.second:02d}"

    def event(self, event_type: str) -> dict[str, str]:
        """As `POST /events` takes it."""
        return {
            "event_id": self.event_id,
            "type": event_type,
            "campaign_id": NAME,
            "creative_id": self.second,
            "source": NAME,
            "user_id": self.user,
            "occurred_at": _text(self.at),
        }


def next_canary(now: float, *, window_seconds: int) -> Canary:
    """The event to send at this time, in seconds since 1970. Not more than one a second."""
    second = int(now) - window_seconds + _INSIDE_SECONDS
    return Canary(
        event_id=f"{NAME}-{uuid.uuid4()}",
        at=datetime.fromtimestamp(second, UTC),
        user=f"{NAME}-{second // 10 % _USERS}",
    )


def travel(canary: Canary, settings: CanarySettings) -> dict[str, float]:
    """Sends the event and looks for it until it has been seen everywhere, or the time is up.

    Returns, for each station where it was seen, after how many seconds that was. Takes at most `LOST_SECONDS`, and the
    answer that it waits for then.
    """
    seen: dict[str, float] = {}
    began = time.monotonic()
    try:
        made = _client(settings)
    except OSError:
        return seen  # the certificate is not there, or is no certificate
    with made as client:
        looks = _Looks(client, canary, settings)
        stations: dict[str, Callable[[], bool]] = {"accept": looks.accept}
        while stations:
            for station, look in tuple(stations.items()):
                if _succeeds(look):
                    seen[station] = time.monotonic() - began
                    del stations[station]
                    if station == "accept":
                        stations = looks.others()
            if time.monotonic() - began > LOST_SECONDS:
                break
            if stations:
                time.sleep(_PAUSE_SECONDS)  # between two looks whether it has arrived
    return seen


class _Looks:
    """Where the event is looked for. Each look says whether it is there."""

    def __init__(self, client: DemoClient, canary: Canary, settings: CanarySettings) -> None:
        self._client = client
        self._canary = canary
        self._settings = settings
        self._person = ""

    def others(self) -> dict[str, Callable[[], bool]]:
        """All stations but the first."""
        return {"log": self._log, "timeline": self._timeline, "count": self._count, "window": self._window}

    def accept(self) -> bool:
        answer = self._client.post("/events", self._canary.event(self._settings.event_type), expected=(202,))
        self._person = answer["results"][0].get("internal_user_id", "")
        return True

    def _log(self) -> bool:
        found = self._client.get(f"/events/{quote(self._canary.event_id)}")
        self._person = self._person or found.get("internal_user_id", "")
        return bool(found["event"]["event_id"] == self._canary.event_id)

    def _timeline(self) -> bool:
        if not self._person:
            return False
        # The page that begins where the event must be: the timeline before it grows for ever.
        before = token_of((int(self._canary.at.timestamp()) * 1_000_000 - 1, ""))
        found = self._client.get(f"/users/{quote(self._person)}", page_token=before, page_size=_PAGE)
        return any(entry["event_id"] == self._canary.event_id for entry in found["events"])

    def _count(self) -> bool:
        minute = _text(self._canary.at.replace(second=0))
        found = self._client.get(
            "/stats",
            campaign_id=NAME,
            **{"from": minute, "to": minute},
            granularity="minute",
            group_by="creative_id",
        )
        return any(point["group"] == self._canary.second and point["events"] for point in found["series"])

    def _window(self) -> bool:
        """The window tells no users apart: it must answer, and have an event, which may be somebody else's."""
        found = self._client.get("/metrics", window=str(self._settings.window_seconds))
        return bool(found["events_per_sec"] > 0)


def _succeeds(look: Callable[[], bool]) -> bool:
    with contextlib.suppress(DemoError, KeyError, IndexError, TypeError):
        return look()
    return False


def _client(settings: CanarySettings) -> DemoClient:
    context = None
    if settings.certificate is not None:
        # Exactly this certificate, or one that it has signed; the name is the one that others use.
        context = ssl.create_default_context(cafile=str(settings.certificate))
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    address = settings.url.removeprefix("http://")
    return DemoClient(address, timeout_seconds=_REQUEST_SECONDS, api_key=settings.api_key, context=context)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
