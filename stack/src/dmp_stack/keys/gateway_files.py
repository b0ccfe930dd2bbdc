"""What the gateway is told of the keys: two filters in files that Envoy reads again whenever they change.

`authenticate.json` is the Lua filter with the keys' digests in front of it, `limit.json` the limits. They are apart
because a new `limit.json` forgets what everybody has used, so it is written only when limits change.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from dmp_stack.keys.api_key import ApiKey, now
from dmp_stack.private_file import write_private

FILTER: Final = Path(__file__).resolve().parents[4] / "gateway" / "authenticate.lua"
"""The filter without its keys, in the repository or in the image that has the same folders."""

MAX_ADDRESSES: Final = 20_000
"""Addresses whose limits are remembered; beyond it, those that were silent longest start afresh."""

_LARGEST_BODY: Final = {True: 64 * 1024 * 1024 + 65536, False: 16 * 1024 * 1024 + 65536}
"""What one request may have, by whether its key has the scope admin, and so what may always come at once."""

_NEVER: Final = 2**53
_LUA: Final = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"
_LOCAL_RATE_LIMIT: Final = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"


def write_gateway_files(folder: Path, keys: Sequence[ApiKey], *, open_to_anybody: bool = False) -> None:
    """Writes both files, each only if it says something new, and as one act, which Envoy notices."""
    usable = [key for key in keys if key.usable(now())]
    _write(folder / "limit.json", _resource("limit", limits(usable)))
    _write(folder / "authenticate.json", _resource("authenticate", authentication(usable, open_to_anybody)))


def authentication(keys: Sequence[ApiKey], open_to_anybody: bool) -> dict[str, Any]:
    """The configuration of the Lua filter."""
    metered = any(key.bytes_per_second or key.address_bytes_per_second for key in keys)
    table = "".join(f'  ["{key.sha256}"] = {_lua_key(key)},\n' for key in keys)
    head = f"local KEYS = {{\n{table}}}\nlocal OPEN = {_lua(open_to_anybody)}\nlocal METERED = {_lua(metered)}\n"
    return {"@type": _LUA, "default_source_code": {"inline_string": head + FILTER.read_text()}}


def _lua(truth: bool) -> str:
    return "true" if truth else "false"


def _lua_key(key: ApiKey) -> str:
    """A table of Lua. Every text has passed `check`, so none has a character with a meaning in Lua."""
    parts = [
        f'name = "{key.name}"',
        f'scopes = ",{",".join(key.scopes)},"',
        f"expires = {_seconds(key.expires_at)}",
    ]
    if key.public:
        parts.append("origins = {" + ", ".join(f'["{origin}"] = true' for origin in key.origins) + "}")
    if key.bytes_per_second or key.address_bytes_per_second:
        parts.append(f"most_bytes = {_burst(key)}")
    return "{" + ", ".join(parts) + "}"


def _seconds(time: datetime | None) -> int:
    return _NEVER if time is None else int(time.timestamp())


def _burst(key: ApiKey) -> int:
    return _LARGEST_BODY["admin" in key.scopes]


def limits(keys: Iterable[ApiKey]) -> dict[str, Any]:
    """The configuration of Envoy's own limits: a bucket for each name, and for each address of a public one.

    They hold for one gateway process: two of them let twice as much in.
    """
    by_name = {key.name: key for key in keys}  # of several keys of a name, the newest says the limits
    descriptors = []
    for name, key in sorted(by_name.items()):
        requests, spent = {"key": "caller", "value": name}, {"key": "metered", "value": name}
        address = {"key": "remote_address"}
        for entries, rate, burst in (
            ([requests], key.requests_per_second, 1),
            ([requests, address], key.address_requests_per_second, 1),
            ([spent], key.bytes_per_second, _burst(key)),
            ([spent, address], key.address_bytes_per_second, _burst(key)),
        ):
            if rate is not None:
                bucket = {"max_tokens": max(rate, burst), "tokens_per_fill": rate, "fill_interval": "1s"}
                descriptors.append({"entries": entries, "token_bucket": bucket})
    caller = {"request_headers": {"header_name": "x-internal-caller", "descriptor_key": "caller"}}
    metered = {
        "metadata": {
            "descriptor_key": "metered",
            "metadata_key": {"key": "dmp.access", "path": [{"key": "metered"}]},
            "source": "DYNAMIC",
            "skip_if_absent": True,
        }
    }
    by_bytes: list[dict[str, Any]] = [{"actions": [metered]}, {"actions": [metered, {"remote_address": {}}]}]
    spent_bytes = {"format": "%DYNAMIC_METADATA(dmp.access:bytes)%"}
    rate_limits: list[dict[str, Any]] = [{"actions": [caller]}, {"actions": [caller, {"remote_address": {}}]}]
    if any(key.bytes_per_second or key.address_bytes_per_second for key in by_name.values()):
        rate_limits += [{**limit, "hits_addend": spent_bytes} for limit in by_bytes]
    return {
        "@type": _LOCAL_RATE_LIMIT,
        "stat_prefix": "keys",
        "filter_enabled": {"default_value": {"numerator": 100}},
        "filter_enforced": {"default_value": {"numerator": 100}},
        "always_consume_default_token_bucket": False,
        "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
        "rate_limited_as_resource_exhausted": True,
        "response_headers_to_add": [{"header": {"key": "retry-after", "value": "1"}, "append_action": "ADD_IF_ABSENT"}],
        "max_dynamic_descriptors": MAX_ADDRESSES,
        "rate_limits": rate_limits,
        "descriptors": descriptors,
    }


def _resource(name: str, filter_configuration: dict[str, Any]) -> str:
    """A file as Envoy reads it: one extension's configuration, by the name of the filter."""
    extension = {
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": name,
        "typed_config": filter_configuration,
    }
    return json.dumps({"resources": [extension]}, indent=1)


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        write_private(path, text)
