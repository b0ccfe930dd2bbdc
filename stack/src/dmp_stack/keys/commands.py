"""`python -m dmp_stack keys`: create, list, revoke, rotate. Everything it changes counts at once, without a restart."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Final

from dmp_stack.keys.api_key import SCOPES, ApiKey, KeysError, digest, generate, new_id, now, problems
from dmp_stack.keys.keys_file import KeysDirectory
from dmp_stack.private_file import write_private

FIRST_NAME: Final = "first-admin"
CANARY_NAME: Final = "canary"
_RESERVED: Final = "operator"

_TRUE: Final = frozenset({"1", "true", "yes", "on"})  # as the settings of all services have it
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def keys_path(environ: Mapping[str, str]) -> Path:
    """The directory of the keys: DMP_KEYS_DIR, else `keys` in the data directory."""
    data = Path(os.path.abspath(environ.get("DMP_DATA_DIR") or ".data"))  # noqa: PTH100 - keeps symbolic links
    return Path(environ["DMP_KEYS_DIR"]).absolute() if environ.get("DMP_KEYS_DIR") else data / "keys"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `keys` and of each of its commands."""
    parser.add_argument("--directory", type=Path, metavar="DIR", help="default: DMP_KEYS_DIR, or keys in DMP_DATA_DIR")
    commands = parser.add_subparsers(
        dest="act", required=True, metavar="create | list | revoke | rotate | prune | history | first"
    )
    create = commands.add_parser("create", help="make a key and show it, once")
    create.add_argument("name", help="whose key it is: services, limits and the log know its caller by this name")
    create.add_argument(
        "--scopes", required=True, metavar="A,B", help=f"some of {','.join(SCOPES)}; none includes another"
    )
    create.add_argument("--expires-in", type=_duration, metavar="90d", help="default: never")
    create.add_argument(
        "--origins", default="", metavar="URL,URL", help="makes it a public key, for pages of these origins"
    )
    create.add_argument("--requests-per-second", type=int, metavar="N", help="default: no limit")
    create.add_argument("--bytes-per-second", type=int, metavar="N", help="default: no limit")
    create.add_argument("--address-requests-per-second", type=int, metavar="N", help="public keys; default: 20")
    create.add_argument("--address-bytes-per-second", type=int, metavar="N", help="public keys; default: 262144")
    commands.add_parser("list", help="show all keys: their names and what they may, never the keys")
    revoke = commands.add_parser("revoke", help="refuse a key from now on")
    revoke.add_argument("key", metavar="NAME|ID", help="a name stands for all of its keys")
    rotate = commands.add_parser("rotate", help="make a new key in place of a name's, which is accepted a while longer")
    rotate.add_argument("name")
    rotate.add_argument(
        "--overlap", type=_duration, default=timedelta(days=1), metavar="24h", help="default: 24h; 0s ends it now"
    )
    commands.add_parser("prune", help="forget the keys that are revoked or have expired")
    commands.add_parser("history", help="show who made, revoked, rotated and forgot which keys, the last 10,000 acts")
    commands.add_parser(
        "first",
        help="make the first admin key if there is no key yet, and say where it is; DMP_OPEN_TO_ANYBODY=1 asks nobody",
    )


def run(options: argparse.Namespace) -> int:
    """Does what the command says; returns the exit code: 0, or 1 with a sentence on standard error."""
    directory = KeysDirectory(path=(options.directory or keys_path(os.environ)).absolute())
    acts = {
        "create": create,
        "list": show,
        "revoke": revoke,
        "rotate": rotate,
        "prune": prune,
        "history": history,
        "first": first,
    }
    try:
        acts[options.act](directory, options)
    except KeysError as error:
        print(f"keys: {error}", file=sys.stderr)
        return 1
    return 0


def create(directory: KeysDirectory, options: argparse.Namespace) -> None:
    """Makes a key and shows it."""
    origins = tuple(filter(None, options.origins.split(",")))
    made_at = now()
    secret = generate(bool(origins))
    key = ApiKey(
        id=new_id(),
        name=options.name,
        sha256=digest(secret),
        scopes=_scopes(options.scopes),
        created_at=made_at,
        origins=origins,
        expires_at=None if options.expires_in is None else made_at + options.expires_in,
        requests_per_second=options.requests_per_second,
        bytes_per_second=options.bytes_per_second,
        address_requests_per_second=options.address_requests_per_second or (20 if origins else None),
        address_bytes_per_second=options.address_bytes_per_second or (262_144 if origins else None),
    )
    if key.name == _RESERVED:
        raise KeysError(f"the audit log names commands {_RESERVED}: choose another name")
    if wrong := problems(key):
        raise KeysError("; ".join(wrong))

    def decide(keys: list[ApiKey]) -> tuple[list[ApiKey], None]:
        if any(other.name == key.name and other.usable(made_at) for other in keys):
            raise KeysError(f"{key.name} has a key: `rotate` gives it a new one, `revoke` takes it away")
        return [*keys, key], None

    directory.change(decide)
    _show_once(secret, f"the key of {key.name} ({key.id}), with the scopes {', '.join(key.scopes)}")


def revoke(directory: KeysDirectory, options: argparse.Namespace) -> None:
    """Refuses the keys of a name, or one by its id."""
    moment = now()

    def decide(keys: list[ApiKey]) -> tuple[list[ApiKey], list[str]]:
        meant = [key.id for key in keys if options.key in (key.name, key.id) and key.usable(moment)]
        if not meant:
            raise KeysError(f"there is no key {options.key!r} that is in use")
        return [replace(key, revoked_at=moment) if key.id in meant else key for key in keys], meant

    print(f"revoked: {', '.join(directory.change(decide))}")


def rotate(directory: KeysDirectory, options: argparse.Namespace) -> None:
    """Makes a key in place of a name's newest, and lets its others expire after the overlap."""
    moment = now()
    ends = moment + options.overlap

    def decide(keys: list[ApiKey]) -> tuple[list[ApiKey], tuple[str, ApiKey]]:
        current = [key for key in keys if key.name == options.name and key.usable(moment)]
        if not current:
            raise KeysError(f"{options.name!r} has no key that is in use; `create` makes one")
        secret = generate(current[-1].public)
        fresh = replace(current[-1], id=new_id(), sha256=digest(secret), created_at=moment, expires_at=None)
        if current[-1].expires_at is not None:
            fresh = replace(fresh, expires_at=moment + (current[-1].expires_at - current[-1].created_at))
        older = {key.id: min(ends, key.expires_at or ends) for key in current}
        kept = [replace(key, expires_at=older[key.id]) if key.id in older else key for key in keys]
        return [*kept, fresh], (secret, fresh)

    secret, fresh = directory.change(decide)
    _show_once(secret, f"the new key of {fresh.name} ({fresh.id}); the old one is accepted until {ends.isoformat()}")


def show(directory: KeysDirectory, _: argparse.Namespace) -> None:
    """Prints a line for each key."""
    moment = now()
    print(f"{'id':12} {'name':24} {'state':8} {'scopes':26} expires, limits, origins")
    for key in directory.read():
        state = "in use" if key.usable(moment) else "revoked" if key.revoked_at else "expired"
        limits = {
            "requests/s": key.requests_per_second,
            "bytes/s": key.bytes_per_second,
            "requests/s and address": key.address_requests_per_second,
            "bytes/s and address": key.address_bytes_per_second,
        }
        details = [key.expires_at.isoformat() if key.expires_at else "never"]
        details += [f"{value} {unit}" for unit, value in limits.items() if value is not None] + list(key.origins)
        print(f"{key.id:12} {key.name:24} {state:8} {','.join(key.scopes):26} {', '.join(details)}")


def prune(directory: KeysDirectory, _: argparse.Namespace) -> None:
    """Takes out the keys that nobody can use any more."""
    moment = now()

    def decide(keys: list[ApiKey]) -> tuple[list[ApiKey], int]:
        kept = [key for key in keys if key.usable(moment)]
        return kept, len(keys) - len(kept)

    print(f"forgotten: {directory.change(decide)}")


def history(directory: KeysDirectory, _: argparse.Namespace) -> None:
    """Prints a line for each act, the oldest first."""
    print(f"{'when':25} {'by':16} {'act':10} {'id':12} name")
    for one in directory.history():
        print(f"{one.at.isoformat():25} {one.by:16} {one.act:10} {one.id:12} {one.name}")


def first(directory: KeysDirectory, _: argparse.Namespace) -> None:
    """Makes sure that somebody can get in, and that the gateway has its files."""
    if os.environ.get("DMP_OPEN_TO_ANYBODY", "").lower() in _TRUE:
        directory.tell_gateway(open_to_anybody=True)
        print("keys: nobody is asked for a key. Whoever reaches the port may read people and erase them.")
    elif make_first_key(directory):
        print(f"keys: the first admin key is in {directory.first_key}")


def make_first_key(directory: KeysDirectory) -> bool:
    """Makes a key with every scope if there is none that is in use, in a file for our eyes only; tells the gateway.

    Returns whether it made one. Raises KeysError.
    """
    moment = now()
    secret = generate(False)
    key = ApiKey(id=new_id(), name=FIRST_NAME, sha256=digest(secret), scopes=SCOPES, created_at=moment)

    def decide(keys: list[ApiKey]) -> tuple[list[ApiKey], bool]:
        if keys:
            return keys, False
        write_private(directory.first_key, f"{secret}\n")
        return [key], True

    return directory.change(decide)


def make_canary_key(directory: KeysDirectory, path: Path) -> None:
    """Makes sure that the file has the canary's key, which sends events, reads counts and reads people.

    A key that is in it and in use stays; else there is a new one, and no other of that name. Raises KeysError.
    """
    moment = now()
    known = digest(path.read_text().strip()) if path.exists() else ""
    secret = generate(False)
    key = ApiKey(
        id=new_id(),
        name=CANARY_NAME,
        sha256=digest(secret),
        scopes=tuple(scope for scope in SCOPES if scope != "admin"),
        created_at=moment,
    )

    def decide(keys: list[ApiKey]) -> tuple[list[ApiKey], None]:
        if any(each.sha256 == known and each.usable(moment) for each in keys):
            return keys, None
        write_private(path, f"{secret}\n")
        others = [
            replace(each, revoked_at=moment) if each.name == CANARY_NAME and each.usable(moment) else each
            for each in keys
        ]
        return [*others, key], None

    directory.change(decide)


def _scopes(text: str) -> tuple[str, ...]:
    asked = text.split(",")
    if unknown := sorted(set(asked) - set(SCOPES)):
        raise KeysError(f"{', '.join(map(repr, unknown))} is no scope; there are {', '.join(SCOPES)}")
    return tuple(scope for scope in SCOPES if scope in asked)


def _duration(text: str) -> timedelta:
    number, unit = text[:-1], text[-1:]
    if not number.isdecimal() or not number.isascii() or unit not in _UNITS or len(number) > 6:
        raise argparse.ArgumentTypeError("must be a whole number of s, m, h or d, such as 90d")
    return timedelta(seconds=int(number) * _UNITS[unit])


def _show_once(secret: str, what: str) -> None:
    print(f"keys: {what}. It is shown this once.", file=sys.stderr, flush=True)
    print(secret)
