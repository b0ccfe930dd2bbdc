"""The settings of ingest, read from the environment, and its policy, read from a file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Final

from dmp_chassis.instants import instant_problem, read_instant_us
from dmp_chassis.service_settings import CommonSettings, read_common, read_database_url, read_log_level
from dmp_chassis.settings import EnvReader, SettingsError
from dmp_ingest.adapters.outbox import CONSUMERS, ConsumerName
from dmp_ingest.domain.event_policy import EventPolicy, PolicyError, event_policy

_DAY_LENGTH: Final = len("2026-11-27")
_INBOX_DAYS: Final = 30
_US_A_DAY: Final = 86_400 * 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """How many events may wait for a commit, and how many one commit stores."""

    max_events: int
    max_group_events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuousAuditSettings:
    """How many hours the continuous audit reaches back, 0 for none, and the time between two of its steps."""

    hours: int
    pause_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that a deployment of ingest chooses. Times in seconds."""

    common: CommonSettings
    identity_addresses: tuple[str, ...]
    stats_addresses: tuple[str, ...]
    policy: EventPolicy
    pool_size: int
    claim_window_seconds: float
    apply_wait_seconds: float
    commit_timeout_seconds: float
    queue: QueueSettings
    audit: ContinuousAuditSettings
    log_retention_days: int
    """For how many days after it happened the log has the content of an event; 0 stands for ever."""


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Reads every setting. Raises SettingsError with all problems at once."""
    env = EnvReader(environ)
    policy_file = env.text("DMP_INGEST_POLICY_FILE", "")
    settings = Settings(
        common=read_common(env, "ingest", port=50051),
        identity_addresses=env.addresses("DMP_IDENTITY_ADDRESS"),
        stats_addresses=env.addresses("DMP_STATS_ADDRESS"),
        policy=_read_policy(policy_file, env),
        pool_size=env.integer("DMP_INGEST_POOL_SIZE", 8, minimum=3, maximum=200),
        claim_window_seconds=env.seconds("DMP_INGEST_CLAIM_WINDOW_SECONDS", 3600.0, minimum=1.0),
        apply_wait_seconds=env.seconds("DMP_INGEST_APPLY_WAIT_SECONDS", 1.0, minimum=0.01, maximum=10.0),
        commit_timeout_seconds=env.seconds("DMP_INGEST_COMMIT_TIMEOUT_SECONDS", 5.0, minimum=0.1, maximum=60.0),
        queue=QueueSettings(
            max_events=env.integer("DMP_INGEST_MAX_QUEUED_EVENTS", 40_000, minimum=1, maximum=10_000_000),
            max_group_events=env.integer("DMP_INGEST_MAX_GROUP_EVENTS", 4_000, minimum=1, maximum=100_000),
        ),
        audit=ContinuousAuditSettings(
            hours=env.integer("DMP_INGEST_AUDIT_HOURS", 3, minimum=0, maximum=168),
            pause_seconds=env.seconds("DMP_INGEST_AUDIT_PAUSE_SECONDS", 10.0, minimum=0.05, maximum=60.0),
        ),
        log_retention_days=env.integer("DMP_INGEST_LOG_RETENTION_DAYS", 0, minimum=0, maximum=36_500),
    )
    env.finish()
    if 0 < settings.log_retention_days * 24 < settings.audit.hours:
        raise SettingsError(["DMP_INGEST_AUDIT_HOURS must reach back no further than DMP_INGEST_LOG_RETENTION_DAYS"])
    return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOverSettings:
    """What `hand-over` needs: where the log is, how events count, and what to hand over to whom."""

    database_url: str
    log_level: str
    policy: EventPolicy
    consumers: tuple[ConsumerName, ...]
    first_us: int
    """Batches from here on, in microseconds since 1970."""
    end_us: int


def read_hand_over_settings(environ: Mapping[str, str], given: Mapping[str, str], *, now_us: int) -> HandOverSettings:
    """Reads the environment, and the options as the command line has them. Raises SettingsError with all problems."""
    env = EnvReader(environ)
    consumers = [name for name in CONSUMERS if given.get("consumer", "") in (name, "both")]
    if not consumers:
        env.problem("--consumer", "must be identity, stats or both")
    first_us = _read_time(env, given, "from")
    end_us = _read_time(env, given, "to") if "to" in given else now_us
    days = given.get("inbox-days", str(_INBOX_DAYS))
    if not (days.isascii() and days.isdecimal() and len(days) < 6):
        env.problem("--inbox-days", "must be a whole number")
    elif int(days) and first_us < now_us - int(days) * _US_A_DAY:
        env.problem("--from", f"must lie within the last {days} days: consumers may have forgotten what is older")
    if first_us >= end_us:
        env.problem("--to", "must lie after --from")
    settings = HandOverSettings(
        database_url=read_database_url(env, "ingest"),
        log_level=read_log_level(env),
        policy=_read_policy(env.text("DMP_INGEST_POLICY_FILE", ""), env),
        consumers=tuple(consumers),
        first_us=first_us,
        end_us=end_us,
    )
    env.finish()
    return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSettings:
    """What `export` needs: where the log is, where files go, and the days, both included."""

    database_url: str
    log_level: str
    directory: Path
    first: date
    last: date


def read_export_settings(environ: Mapping[str, str], given: Mapping[str, str], *, last_whole: date) -> ExportSettings:
    """Reads the environment, and the options as the command line has them. Raises SettingsError with all problems.

    last_whole: the last day that can be exported.
    """
    env = EnvReader(environ)
    if not given.get("directory"):
        env.problem("--directory", "is required")
    first = _read_day(env, given.get("from", ""), "--from")
    last = _read_day(env, given["to"], "--to") if "to" in given else last_whole
    if last > last_whole:
        env.problem("--to", f"must not be after {last_whole}: events of later days are still being stored")
    elif first > last:
        env.problem("--from", f"must not be after {last}")
    settings = ExportSettings(
        database_url=read_database_url(env, "ingest"),
        log_level=read_log_level(env),
        directory=Path(given.get("directory", "")),
        first=first,
        last=last,
    )
    env.finish()
    return settings


def _read_day(env: EnvReader, text: str, option: str) -> date:
    try:
        if len(text) == _DAY_LENGTH:
            return date.fromisoformat(text)
    except ValueError:
        pass
    env.problem(option, "must be a day such as 2026-11-27")
    return date.min


def _read_time(env: EnvReader, given: Mapping[str, str], option: str) -> int:
    text = given.get(option, "")
    at_us = read_instant_us(text)
    if at_us is None:
        env.problem(f"--{option}", instant_problem(text))
    return at_us or 0


def _read_policy(path: str, env: EnvReader) -> EventPolicy:
    try:
        text = (
            Path(path).read_text("utf-8")
            if path
            else (resources.files("dmp_ingest") / "policy.toml").read_text("utf-8")
        )
        return parse_policy(text)
    except (
        OSError,
        UnicodeDecodeError,
        tomllib.TOMLDecodeError,
        KeyError,
        TypeError,
        AttributeError,
        PolicyError,
    ) as error:
        env.problem("DMP_INGEST_POLICY_FILE", f"cannot be used: {error!r}")
        env.finish()
        raise SettingsError([]) from error


def parse_policy(text: str) -> EventPolicy:
    """The policy that a file of the form of `policy.toml` describes. Raises what tomllib raises, KeyError, TypeError
    or PolicyError."""
    document = tomllib.loads(text)
    types, identifiers, clock, limits = (document[name] for name in ("event_types", "identifiers", "clock", "limits"))
    return event_policy(
        known_types=list(types["known"]),
        types_by_count={name: list(names) for name, names in types.get("counts_as", {}).items()},
        identifier_lengths={str(name): int(length) for name, length in identifiers["max_length"].items()},
        identifier_aliases=dict(identifiers.get("aliases", {})),
        text_only_identifiers=list(identifiers.get("text_only", [])),
        max_ahead_seconds=int(clock["max_ahead_seconds"]),
        max_activity_skew_seconds=int(clock["max_activity_skew_seconds"]),
        max_events_per_request=int(limits["max_events_per_request"]),
        max_body_bytes=int(limits["max_body_bytes"]),
        max_metadata_bytes=int(limits["max_metadata_bytes"]),
        max_metadata_depth=int(limits["max_metadata_depth"]),
        flag_unfilled_macros=bool(document.get("warnings", {}).get("unfilled_macros", True)),
    )
