"""The specification of each step that makes spellings alike: these texts become that one, those stay as they are."""

# ruff: noqa: RUF001  # confusable characters are what this is about

from __future__ import annotations

import pytest

from dmp_identity.domain import spelling
from dmp_identity.domain.normalisation import STEPS

BECOMES: dict[str, dict[str, list[str]]] = {
    "trim": {"a b": [" a b", "a b\t", "\n a b \u3000"]},
    "strip_invisible": {
        "ab": ["a\u200bb", "\ufeffab", "ab\u200e", "a\x00\x1bb", "a\u00ad\u2066b", "a\x7fb", "\U000e0041ab"],
        "é1": ["é\u200d1"],
    },
    "nfkc": {"ab1": ["ａb1", "a\uff421", "ab①"], "é": ["e\u0301"]},
    "lower": {"ann@x": ["ANN@x", "Ann@X"], "é": ["É"]},
    "separators": {"123": ["1 2.3", "(1)-2 [3]", "1\u20132\u22123", "{1}\t2\n3", "1 - 2 - 3"]},
    "slashes": {"123": ["1/2/3", "1\\2\\3", "1//23", "1\u20442\u22153"]},
    "hex_lower": {"0xabc1": ["0xABC1", "0Xabc1", "0XAbC1"]},
    "bech32_lower": {"bc1qar0sr": ["BC1QAR0SR"], "addr1qqqqqq": ["ADDR1QQQQQQ"]},
    "whole_number": {"12345": ["12345.0", "12345.000"], "-7": ["-7.0"], "0": ["0.0"]},
    "point_zero": {"12345": ["12345.0"], "+4930": ["+4930.0"]},
    "decimal_digits": {"1203": ["١٢٠٣", "1２0３", "१२०३"], "é1": ["é١"]},
    "email_address": {
        "a@b": ["mailto:a@b", "MailTo: a@b", "mailto:mailto:a@b", "mailto:a@b?subject=a?b", "<a@b>", "A <a@b>"],
        "A:b@c": ["Ann: <A:b@c>", "<A:b@c> or so", "A <x> < A:b@c >"],
        "": ["mailto:?subject=x"],
    },
    "trailing_dot": {"a@b.com": ["a@b.com.", "a@b.com.."]},
    "idna_domain": {
        "bob@bücher.de": ["bob@xn--bcher-kva.de", "bob@XN--BCHER-KVA.de", "bob@Bücher.de"],
        "a@b@bücher.de": ["a@b@xn--bcher-kva.de"],
        "bob@straße.de": ["bob@straße.de", "bob@xn--strae-oqa.de"],
        "bob@例え.jp": ["bob@例え。jp"],
    },
    "phone_scheme": {"+49": ["tel:+49", "TEL: +49", "callto:+49", "sms:+49", "tel:sms:+49"]},
    "phone_extension": {
        "123;ext=45": [
            "123x45",
            "123 x 45",
            "123 X45",
            "123 #45",
            "123#45#",
            "123 ext 45",
            "123 ext. 45",
            "123 ext: 45",
            "123 EXT=45",
            "123 ext-45",
            "123 extn.45",
            "123 xtn 45",
            "123, extension 45",
            "123 (ext. 45)",
            "123 (x45) ",
            "123;ext=45",
            "123; ext 45",
        ],
        "1;ext=12345678901": ["1x12345678901"],
        "a1b (2);ext=3": ["a1b (2) x3"],
    },
    "double_zero": {"+493": ["00493"], "+49123;ext=4": ["0049123;ext=4"]},
    "ip_port_zone": {
        "1.2.3.4": ["1.2.3.4:80", "1.2.3.4:65535", "[1.2.3.4]:80", "[1.2.3.4]"],
        "fe80::1": ["fe80::1%eth0", "[fe80::1]", "[fe80::1]:443", "[fe80::1%25en0]:80"],
    },
    "ip": {
        "1.2.3.4": ["::ffff:1.2.3.4", "::ffff:102:304"],
        "2001:db8::1": ["2001:DB8:0::1", "2001:0db8:0:0:0:0:0:1"],
    },
}
STAYS: dict[str, list[str]] = {
    "trim": ["", "a b"],
    "strip_invisible": ["", "a b", "a\tb", "a\nb", "é", "日本"],
    "nfkc": ["", "ab1", "é"],
    "lower": ["", "ab1"],
    "separators": ["", "123", "1/2", "1_2", "1,2", "1+2"],
    "slashes": ["", "1-2", "1|2"],
    "hex_lower": ["ABC1", "0xABCG", "0x", "x0ABC", "0xABC "],
    "bech32_lower": [
        "BC1QAR0",  # five characters after the 1
        "bc1QAR0SR",
        "BC1Qar0SR",
        "BC1QARBSR",  # B, I and O are no characters of bech32
        "BC1QARISR",
        "BC1QAROSR",
        "ABCDEFGHIJKLMNOPQ1QQQQQQ",  # seventeen letters before the 1
        "1BOATSLRHTKNNGKDXEEO",
    ],
    "whole_number": ["12345", "12345.", "12345.50", "12345.01", "a1.0", "1.2.0", "--1.0", "+1.0", ".0", "١.0"],
    "point_zero": ["12345", "555.00", "555.0000", "1.2.0", ".0", "+.0", "-1.0", "a1.0", "++1.0"],
    "decimal_digits": ["", "a1", "é", "½", "四"],
    "email_address": ["", "a@b", "A <a@b", "A <>", "A < >", "a:b@c", "x mailto:a@b", "> a", "a > b"],
    "trailing_dot": ["a@b.com", "abc.", ".", "a.@b"],
    "idna_domain": [
        "",
        "bücher.de",  # no address
        "bob@",
        "bob@x.com",
        "bob@X.com",  # what is plain is not touched, so that its case is left to other steps
        "bob@xn--strasse-de",  # no such domain
        "bob@ü..de",
        "bob@\u0378.de",
        f"bob@{'ü.' * 127}",
        "xn--bcher-kva@x.com",
    ],
    "phone_scheme": ["+49", "tel+49", "fax:+49", "a tel:+49", "hotel:+49"],
    "phone_extension": [
        "",
        "123",
        "x45",  # no number before it
        "ext 45",
        "(x45)",
        "12345 45",  # no name before it
        "123x",
        "123 x123456789012",  # twelve digits
        "123 text 45",  # the end of a word
        "123 max45",
        "1-800-FLOWERSx4",
        "abc x45",  # no digit before it
        "45",
        "123 x4a",
        "123 extension of the second desk 45",
    ],
    "double_zero": ["00", "001", "0012", "0000", "000123", "0a123", "+49123", "049123", "00123a", "00١٢٣٤", "0012 34"],
    "ip_port_zone": [
        "",
        "1.2.3.4",
        "fe80::1",
        "::1:80",
        "1.2.3.4:http",
        "1.2.3.4:123456",
        "1.2.3.4:",
        "[1.2.3.4",
        "[1.2.3.4]80",
        "[1.2.3.4]:",
        "[1.2.3.4]:a",
        "[not an address]:80",
        "host:80",
        "100%",
    ],
    "ip": ["", "1.2.3", "1.2.3.4:80", "1.2.3.04", "not an address", "1.2.3.4", "2001:db8::1"],
}


def test_every_step_is_described() -> None:
    assert STEPS.keys() == BECOMES.keys() == STAYS.keys()


@pytest.mark.parametrize("step", BECOMES)
def test_spellings_become_one_text(step: str) -> None:
    for text, spellings in BECOMES[step].items():
        assert {one: getattr(spelling, step)(one) for one in spellings} == dict.fromkeys(spellings, text)


@pytest.mark.parametrize("step", STAYS)
def test_other_texts_stay_as_they_are(step: str) -> None:
    assert {text: getattr(spelling, step)(text) for text in STAYS[step]} == {text: text for text in STAYS[step]}
