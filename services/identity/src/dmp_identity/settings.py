"""The settings of identity, read from the environment, and its policy, read from a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from dmp_chassis.service_settings import CommonSettings, read_common, read_database_url, read_log_level
from dmp_chassis.settings import EnvReader
from dmp_identity.domain.identifier_policy import IdentifierPolicy, PolicyError
from dmp_identity.domain.policy_text import policy_from_toml


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that a deployment of identity chooses."""

    common: CommonSettings
    policy: IdentifierPolicy
    pool_size: int
    identify_queue_length: int
    inbox_retention_days: int
    trial_memory_bytes: int
    trial_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RenormaliseSettings:
    """What reading stored values again needs."""

    database_url: str
    log_level: str
    policy: IdentifierPolicy


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Reads every setting. Raises SettingsError with all problems at once."""
    env = EnvReader(environ)
    common = read_common(env, "identity", port=50052)
    pool_size = env.integer("DMP_IDENTITY_POOL_SIZE", 8, minimum=2, maximum=100)
    identify_queue_length = env.integer("DMP_IDENTITY_IDENTIFY_QUEUE", 2000, minimum=1)
    inbox_retention_days = env.integer("DMP_IDENTITY_INBOX_RETENTION_DAYS", 30, minimum=0)
    trial_memory_mib = env.integer("DMP_IDENTITY_TRIAL_MEMORY_MIB", 1024, minimum=256)
    trial_seconds = env.seconds("DMP_IDENTITY_TRIAL_SECONDS", 50, maximum=3600)
    policy = _read_policy(env)
    env.finish()
    assert policy is not None
    return Settings(
        common=common,
        policy=policy,
        pool_size=pool_size,
        identify_queue_length=identify_queue_length,
        inbox_retention_days=inbox_retention_days,
        trial_memory_bytes=trial_memory_mib << 20,
        trial_seconds=trial_seconds,
    )


def read_renormalise_settings(environ: Mapping[str, str]) -> RenormaliseSettings:
    """All that `renormalise` needs. Raises SettingsError."""
    env = EnvReader(environ)
    database_url = read_database_url(env, "identity")
    log_level = read_log_level(env)
    policy = _read_policy(env)
    env.finish()
    assert policy is not None
    return RenormaliseSettings(database_url=database_url, log_level=log_level, policy=policy)


def _read_policy(env: EnvReader) -> IdentifierPolicy | None:
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
