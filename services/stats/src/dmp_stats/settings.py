"""The settings of stats, read from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dmp_chassis.service_settings import CommonSettings, read_common
from dmp_chassis.settings import EnvReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that a deployment of stats chooses."""

    common: CommonSettings
    pool_size: int
    window_seconds: int
    fold_interval_seconds: float
    minute_retention_days: int
    hour_retention_days: int
    day_retention_days: int
    inbox_retention_days: int
    reference_max_users: int


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Reads every setting. Raises SettingsError with all problems at once."""
    env = EnvReader(environ)
    settings = Settings(
        common=read_common(env, "stats", port=50053),
        pool_size=env.integer("DMP_STATS_POOL_SIZE", 8, minimum=2, maximum=100),
        window_seconds=env.integer("DMP_STATS_WINDOW_SECONDS", 1800, minimum=60, maximum=86_400),
        fold_interval_seconds=env.seconds("DMP_STATS_FOLD_INTERVAL_SECONDS", 2.0, minimum=0.05, maximum=60.0),
        minute_retention_days=env.integer("DMP_STATS_MINUTE_RETENTION_DAYS", 0, minimum=0),
        hour_retention_days=env.integer("DMP_STATS_HOUR_RETENTION_DAYS", 0, minimum=0),
        day_retention_days=env.integer("DMP_STATS_DAY_RETENTION_DAYS", 0, minimum=0),
        inbox_retention_days=env.integer("DMP_STATS_INBOX_RETENTION_DAYS", 30, minimum=0),
        reference_max_users=env.integer("DMP_STATS_REFERENCE_MAX_USERS", 2_000_000, minimum=1),
    )
    if 0 < settings.hour_retention_days < settings.minute_retention_days:
        env.problem("DMP_STATS_HOUR_RETENTION_DAYS", "must not be less than DMP_STATS_MINUTE_RETENTION_DAYS")
    env.finish()
    return settings
