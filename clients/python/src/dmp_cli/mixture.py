"""Made-up traffic in a realistic mixture: mostly impressions, few clicks, fewer purchases, some of it late or twice."""

from __future__ import annotations

import json
import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Final

_MIXTURE: Final = (
    ("impression", 80.0),
    ("click", 4.0),
    ("page_view", 10.0),
    ("form_submit", 1.0),
    ("purchase", 0.5),
    ("activity", 4.5),
)
_REPEATED: Final = 0.02
_LATE: Final = 0.03


class Mixture:
    """Makes events one after the other. campaigns, people: how many different ones there are.

    Ids, campaigns and people of one mixture begin with its mark, so that they are told from real ones.
    """

    def __init__(self, *, mark: str, campaigns: int, people: int, seed: int) -> None:
        self._mark = mark
        self._campaigns = campaigns
        self._people = people
        self._random = random.Random(seed)  # noqa: S311 - made-up traffic is no secret
        self._last: list[bytes] = []

    def event(self, now: datetime) -> bytes:
        """The next event, as JSON; sometimes one that was made before."""
        chosen = self._random
        if self._last and chosen.random() < _REPEATED:
            return chosen.choice(self._last)
        body = json.dumps(self._new(now), separators=(",", ":")).encode()
        self._last.append(body)
        if len(self._last) > 500:
            del self._last[:250]
        return body

    def _new(self, now: datetime) -> dict[str, Any]:
        chosen = self._random
        (kind,) = chosen.choices([name for name, _ in _MIXTURE], [weight for _, weight in _MIXTURE])
        person = min(int(chosen.expovariate(3 / self._people)), self._people - 1)
        event: dict[str, Any] = {"event_id": str(uuid.UUID(int=chosen.getrandbits(128), version=4))}
        at = now - timedelta(hours=chosen.uniform(0.1, 6)) if chosen.random() < _LATE else now
        if kind == "activity":
            return {**event, "type": "click", "user_id": f"{self._mark}-u{person}", "ts": _text(now)}
        if kind in ("page_view", "form_submit"):
            identifiers = {"browser_id": f"{self._mark}-b{person}"}
            if kind == "form_submit":
                identifiers["email"] = f"p{person}@{self._mark}.example"
            return {
                **event,
                "event_type": kind,
                "source": "load_site",
                "timestamp": round(at.timestamp(), 3),
                "identifiers": identifiers,
            }
        campaign = min(int(chosen.expovariate(3 / self._campaigns)), self._campaigns - 1)
        event |= {
            "type": kind,
            "campaign_id": f"{self._mark}-c{campaign}",
            "creative_id": f"cr_{chosen.randrange(5)}",
            "source": "load_ads",
            "occurred_at": _text(at),
        }
        if kind != "impression" or chosen.random() < 0.2:
            event["user_id"] = f"{self._mark}-u{person}"
        return event


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
