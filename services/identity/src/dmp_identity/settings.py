"""The settings of the identity service, read from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from dmp_chassis.settings import EnvReader
from dmp_identity.domain.identifier_policy import IdentifierPolicy, PolicyError
from dmp_identity.domain.policy_text import policy_from_toml


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set; the names of the variables and their meaning are in the service's README."""

    database_url: str
    redis_url: str
    listen: str
    log_level: str
    policy: IdentifierPolicy
    pool_size: int
    identify_queue_length: int
    drain_seconds: float
    trial_memory_bytes: int
    trial_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RenormaliseSettings:
    """What reading stored values again needs."""

    database_url: str
    log_level: str
    policy: IdentifierPolicy


def database_url_from_env(environ: Mapping[str, str]) -> str:
    """All that `migrate` needs. Raises SettingsError."""
    env = EnvReader(environ)
    url = env.url("DMP_IDENTITY_DATABASE_URL", schemes=("postgresql",))
    env.finish()
    return url


def from_env(environ: Mapping[str, str]) -> Settings:
    """Settings from environment variables. Raises SettingsError with every problem at once."""
    env = EnvReader(environ)
    database_url = env.url("DMP_IDENTITY_DATABASE_URL", schemes=("postgresql",))
    redis_url = env.url("DMP_REDIS_URL", schemes=("redis", "rediss", "unix"))
    listen = env.address("DMP_IDENTITY_LISTEN", "0.0.0.0:50052")
    log_level = env.text("DMP_LOG_LEVEL", "info", choices=("debug", "info", "warning", "error"))
    pool_size = env.integer("DMP_IDENTITY_POOL_SIZE", 8, minimum=2, maximum=100)
    identify_queue_length = env.integer("DMP_IDENTITY_IDENTIFY_QUEUE", 2000, minimum=1)
    drain_seconds = env.seconds("DMP_DRAIN_SECONDS", 2.5, maximum=60)
    trial_memory_mib = env.integer("DMP_IDENTITY_TRIAL_MEMORY_MIB", 1024, minimum=256)
    trial_seconds = env.seconds("DMP_IDENTITY_TRIAL_SECONDS", 50, maximum=3600)
    policy = _policy(env)
    env.finish()
    assert policy is not None
    return Settings(
        database_url=database_url,
        redis_url=redis_url,
        listen=listen,
        log_level=log_level,
        policy=policy,
        pool_size=pool_size,
        identify_queue_length=identify_queue_length,
        drain_seconds=drain_seconds,
        trial_memory_bytes=trial_memory_mib << 20,
        trial_seconds=trial_seconds,
    )


def renormalise_settings_from_env(environ: Mapping[str, str]) -> RenormaliseSettings:
    """All that `renormalise` needs. Raises SettingsError."""
    env = EnvReader(environ)
    database_url = env.url("DMP_IDENTITY_DATABASE_URL", schemes=("postgresql",))
    log_level = env.text("DMP_LOG_LEVEL", "info", choices=("debug", "info", "warning", "error"))
    policy = _policy(env)
    env.finish()
    assert policy is not None
    return RenormaliseSettings(database_url=database_url, log_level=log_level, policy=policy)


def _policy(env: EnvReader) -> IdentifierPolicy | None:
    """The policy; None if there is a problem, which is noted."""
    policy_file = env.text("DMP_IDENTITY_POLICY_FILE", "")
    try:
        return load_policy(policy_file)
    except OSError:
        env.problem("DMP_IDENTITY_POLICY_FILE", "must be a file that can be read")
    except PolicyError as error:
        for problem in error.problems:
            env.problem("DMP_IDENTITY_POLICY_FILE", problem)
    return None


def load_policy(path: str = "") -> IdentifierPolicy:
    """The policy in a file, or the one in the package. Raises OSError, PolicyError."""
    source = Path(path) if path else resources.files("dmp_identity") / "policy.toml"
    return policy_from_toml(source.read_bytes())
