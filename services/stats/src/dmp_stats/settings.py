"""The settings of stats, read from the environment once, at start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dmp_chassis.settings import EnvReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set. Each field's variable and default stand in `settings_from_env`."""

    database_url: str
    redis_url: str
    listen: str
    log_level: str
    pool_size: int
    window_seconds: int
    fold_interval_seconds: float
    minute_retention_days: int
    hour_retention_days: int
    day_retention_days: int
    reference_max_users: int


def settings_from_env(environ: Mapping[str, str]) -> Settings:
    """The settings that the environment gives. Raises SettingsError with every problem."""
    env = EnvReader(environ)
    settings = Settings(
        database_url=env.url("DMP_STATS_DATABASE_URL", schemes=("postgresql",)),
        redis_url=env.url("DMP_REDIS_URL", schemes=("redis", "rediss", "unix")),
        listen=env.address("DMP_STATS_LISTEN", "0.0.0.0:50053"),
        log_level=env.text("DMP_LOG_LEVEL", "info", choices=("debug", "info", "warning", "error")),
        pool_size=env.integer("DMP_STATS_POOL_SIZE", 8, minimum=2, maximum=100),
        window_seconds=env.integer("DMP_STATS_WINDOW_SECONDS", 1800, minimum=60, maximum=86_400),
        fold_interval_seconds=env.seconds("DMP_STATS_FOLD_INTERVAL_SECONDS", 2.0, minimum=0.05, maximum=60.0),
        minute_retention_days=env.integer("DMP_STATS_MINUTE_RETENTION_DAYS", 0, minimum=0),
        hour_retention_days=env.integer("DMP_STATS_HOUR_RETENTION_DAYS", 0, minimum=0),
        day_retention_days=env.integer("DMP_STATS_DAY_RETENTION_DAYS", 0, minimum=0),
        reference_max_users=env.integer("DMP_STATS_REFERENCE_MAX_USERS", 2_000_000, minimum=1),
    )
    if 0 < settings.hour_retention_days < settings.minute_retention_days:
        env.problem("DMP_STATS_HOUR_RETENTION_DAYS", "must not be less than DMP_STATS_MINUTE_RETENTION_DAYS")
    env.finish()
    return settings


def migration_url_from_env(environ: Mapping[str, str]) -> str:
    """All that `migrate` needs. Raises SettingsError."""
    env = EnvReader(environ)
    url = env.url("DMP_STATS_DATABASE_URL", schemes=("postgresql",))
    env.finish()
    return url
