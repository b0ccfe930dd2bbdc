"""A thousand identifiers as systems really send them, from a seed: what no rule about placeholders may touch.

Each maker below is one form: database keys, UUIDs of every version, ULIDs, hashes, analytics cookies, e-mail addresses
of people and of companies, phone numbers of several countries, wallets of several chains, user names, and the values of
the documents that the product comes from.
"""

from __future__ import annotations

import base64
import random
import uuid
from collections.abc import Callable, Iterator

_GIVEN = [
    "ada",
    "Nina",
    "Björn",
    "zoë",
    "Müller",
    "Иван",
    "李雷",
    "سارة",
    "O'Neil",
    "Jean-Luc",
    "Null-Meyer",
    "Guesthouse",
    "Anona",
]
_FAMILY = [
    "lovelace",
    "Adams",
    "Guest-Hall",
    "Test",
    "Default",
    "van der Berg",
    "Nakamura",
    "Xu",
    "Ng",
    "Userova",
    "de la Cruz",
]
_DOMAINS = [
    "gmail.com",
    "example.org",
    "a.co",
    "mail.ru",
    "bücher.de",
    "uni-köln.de",
    "hillvalley.edu",
    "acme.co.uk",
    "xn--bcher-kva.de",
]
_BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

SOURCES_OWN = {
    "user_id": [
        "abc",
        "xyz",
        "123",
        "u_999",
        "u_1001",
        "u-123",
        "user_001",
        "user_1",
        "7",
        "22",
        "333",
        "4444",
        "77777",
        "666666",
        "1111111",
    ],
    "email": [
        "a@b.com",
        "foo@bar.com",
        "abc",
        "george@hillvalley.edu",
        "newemail@example.com",
        "na@company.com",
        "test@acme.com",
        "user@acme.com",
    ],
    "phone": ["+919999999999", "789012", "717171", "123456", "123", "1", "+49 30 1", "0800 1111111"],
    "wallet_address": ["0xABC123", "0xabc", "w1"],
    "browser_id": ["browser_001", "browser-7", "b1", "cookie_77"],
    "ip_address": [
        "1.1.1.1",
        "11.11.11.11",
        "8.8.8.8",
        "127.0.0.1",
        "::1",
        "2001:db8::1",
        "111.111.111.111",
        "1111:1111:1111:1111::1",
    ],
}
"""Values of the product's own documents, and short and repeated ones that people have."""


def _characters(rng: random.Random, alphabet: str, length: int) -> str:
    return "".join(rng.choices(alphabet, k=length))


def _uuid(rng: random.Random) -> str:
    made = str(uuid.UUID(int=rng.getrandbits(128), version=rng.choice([1, 3, 4, 5])))
    return rng.choice([made, made.upper(), made.replace("-", ""), f"{{{made}}}", f"urn:uuid:{made}"])


def _user_name(rng: random.Random) -> str:
    given, family = rng.choice(_GIVEN), rng.choice(_FAMILY)
    return rng.choice(
        [
            f"{given} {family}",
            f"{given}.{family}",
            f"{given}_{family}{rng.randrange(100)}",
            f"__{given}_{rng.randrange(100)}__",
            f"xX{given}Xx",
            f"@{given}{rng.randrange(1000)}",
            f"{family}, {given}",
            f"${given}",
        ]
    )


def _email(rng: random.Random) -> str:
    given, family, domain = rng.choice(_GIVEN), rng.choice(_FAMILY), rng.choice(_DOMAINS)
    company = family.replace(" ", "").lower()
    return rng.choice(
        [
            f"{given}.{family}@{domain}".replace(" ", "."),
            f"{given}+news@{domain}",
            f"{given[0]}{rng.randrange(10_000)}@{domain}",
            f"info@{company}.de",
            f"guest@{company}-hotel.com",
            f"anon{rng.randrange(100, 1000)}@{domain}",
            f'"{given} {family}"@{domain}',
            f"{_characters(rng, '0123456789abcdef', 32)}@privaterelay.appleid.com",
        ]
    )


def _phone(rng: random.Random) -> str:
    number = str(rng.randrange(20_000_000, 99_999_999))
    return rng.choice(
        [
            f"+49 30 {number}",
            f"0049{number}",
            f"(0){number}",
            f"+1 ({number[:3]}) {number[3:6]}-{number[6:]}00",
            f"tel:+33{number}",
            f"+44 20 {number} x{rng.randrange(100)}",
            f"{number[:4]}/{number[4:]}",
            number,
        ]
    )


def _wallet(rng: random.Random) -> str:
    hexadecimal = _characters(rng, "0123456789abcdef", 40)
    return rng.choice(
        [
            f"0x{hexadecimal}",
            f"0X{hexadecimal.upper()}",
            f"0x{'0' * 8}{hexadecimal[8:]}",
            f"0xdead{hexadecimal[4:]}",
            f"1{_characters(rng, _BASE58, 33)}",
            f"bc1q{_characters(rng, _BECH32, 38)}",
            f"BC1Q{_characters(rng, _BECH32, 38).upper()}",
            f"T{_characters(rng, _BASE58, 33)}",
            _characters(rng, _BASE58, 44),
        ]
    )


def _database_key(rng: random.Random) -> str:
    return rng.choice(
        [
            str(rng.randrange(1, 10 ** rng.randrange(1, 19))),
            f"u_{rng.randrange(100_000)}",
            f"user-{rng.randrange(100_000)}",
            f"test-{rng.randrange(1, 100_000)}",
            f"crm:{rng.randrange(100_000)}",
            f"[user-{rng.randrange(10_000, 99_999)}]",
            f"gid://shop/Customer/{rng.randrange(10**9)}",
            _characters(rng, "0123456789abcdef", 24),
            _characters(rng, _BASE32, 26),
            _characters(rng, "0123456789abcdef", rng.choice([32, 40, 64])),
            base64.b64encode(rng.randbytes(rng.choice([9, 16, 20]))).decode(),
            f"auth0|{_characters(rng, '0123456789abcdef', 24)}",
        ]
    )


def _browser(rng: random.Random) -> str:
    return rng.choice(
        [
            f"GA1.2.{rng.randrange(10**9)}.{rng.randrange(10**9)}",
            f"fb.1.{rng.randrange(10**12)}.{rng.randrange(10**9)}",
            _uuid(rng),
            base64.urlsafe_b64encode(rng.randbytes(18)).decode(),
            f"%7B{uuid.UUID(int=rng.getrandbits(128))}%7D",
        ]
    )


def _ip(rng: random.Random) -> str:
    four = ".".join(str(rng.randrange(1, 255)) for _ in range(4))
    return rng.choice(
        [four, f"{four}:8080", ":".join(f"{rng.randrange(65_536):x}" for _ in range(8)), f"::ffff:{four}"]
    )


_MAKERS: dict[str, list[Callable[[random.Random], str]]] = {
    "user_id": [_database_key, _uuid, _user_name, _email, _phone, _wallet],
    "email": [_email],
    "phone": [_phone],
    "wallet_address": [_wallet],
    "browser_id": [_browser, _database_key],
    "ip_address": [_ip],
}


def realistic_ids(seed: int = 1, count: int = 1000) -> Iterator[tuple[str, str]]:
    """The sources' own values, then made ones: `count` pairs of a type and a value, always the same for a seed."""
    own = [(name, value) for name, values in SOURCES_OWN.items() for value in values]
    yield from own[:count]
    rng = random.Random(seed)
    for _ in range(count - len(own)):
        name = rng.choice(list(_MAKERS))
        yield name, rng.choice(_MAKERS[name])(rng)
