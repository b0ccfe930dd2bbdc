"""The order in which an event's identifiers count, and the keys under which one may be stored."""

from __future__ import annotations

import msgspec
import pytest

from dmp_identity.domain.identifier_parser import IdentifierParser
from dmp_identity.domain.parsed_identifier import ranked
from tests.identity.graphs import key, keys, short, small_policy


@pytest.mark.parametrize(
    ("shown", "ordered"),
    [
        pytest.param("", "", id="nothing"),
        pytest.param("phone:1", "phone:1", id="one"),
        pytest.param("device_id:d browser_id:b", "browser_id:b device_id:d", id="in the policy's order"),
        pytest.param("browser_id:2 browser_id:1", "browser_id:2 browser_id:1", id="of one type as they came"),
        pytest.param("ip_address:1 device_id:d", "device_id:d ip_address:1", id="what decides something first"),
        pytest.param("phone:1 email:e device_id:d", "device_id:d email:e phone:1", id="strong ones after those"),
        pytest.param("ip_address:1 shoe:42", "shoe:42 ip_address:1", id="what the policy does not know after those"),
    ],
)
def test_identifiers_are_ranked(shown: str, ordered: str) -> None:
    parser = IdentifierParser(small_policy())
    parsed = [one for one in (parser.parse(*each) for each in keys(shown)) if one is not None]
    assert " ".join(short(one.key) for one in ranked({one.key: one for one in parsed})) == ordered


def test_an_identifier_may_be_stored_under_its_key_or_one_by_other_rules() -> None:
    parsed = IdentifierParser(small_policy()).parse("email", "ann")
    assert parsed is not None
    assert parsed.all_keys() == [key("email:ann")]
    former = msgspec.structs.replace(parsed, former=((0, key("email:ANN")), (3, key("email:a"))))
    assert former.all_keys() == [key("email:ann"), key("email:ANN"), key("email:a")]
