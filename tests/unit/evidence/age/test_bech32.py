"""Bech32 as BIP 173 has it, and every way to get it wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.age import bech32


@given(st.binary(max_size=2000))
def test_what_is_written_is_read_again_in_either_case(data: bytes) -> None:
    text = bech32.encode("age1pq", data)
    assert bech32.decode(text) == ("age1pq", data)
    assert bech32.decode(text.upper()) == ("AGE1PQ", data)


def test_the_example_of_the_age_specification_is_written_and_read_the_same() -> None:
    text = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
    assert bech32.decode(text) == ("AGE-SECRET-KEY-", b"\x42" * 32)
    assert bech32.encode("age-secret-key-", b"\x42" * 32).upper() == text


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("A12UEL5L", "A"),
        ("a12uel5l", "a"),
        ("abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw", "abcdef"),
        ("split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w", "split"),
        ("?1ezyfcl", "?"),
    ],
)
def test_the_valid_examples_of_bip_173_are_read(text: str, prefix: str) -> None:
    assert bech32.decode(text)[0] == prefix


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("\x201nwldj5", "prefix has a character"),
        ("\x7f1axkwrx", "prefix has a character"),
        ("pzry9x0s0muk", "too short"),
        ("1pzry9x0s0muk", "too short"),
        ("x1b4n0q5v", "a character that is not allowed"),
        ("li1dgmt3", "too short"),
        ("A1G7SGD8", "checksum"),
        ("10a06t8", "too short"),
        ("1qzzfhee", "too short"),
        ("A12uEL5L", "mixes upper and lower case"),
        ("", "too short"),
    ],
)
def test_the_invalid_examples_of_bip_173_are_refused(text: str, reason: str) -> None:
    with pytest.raises(bech32.Bech32Error, match=reason):
        bech32.decode(text)


@pytest.mark.parametrize("values", [[1], [0, 1], [0, 0, 0], [0] * 6])
def test_bits_that_fill_no_byte_are_refused(values: list[int]) -> None:
    charset = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
    body = "".join(charset[value] for value in values)
    checksum = bech32._checksum(bech32._expanded("age") + values + [0] * 6) ^ 1
    text = f"age1{body}" + "".join(charset[checksum >> 5 * (5 - place) & 31] for place in range(6))
    with pytest.raises(bech32.Bech32Error, match="length"):
        bech32.decode(text)


def test_every_single_wrong_character_is_noticed() -> None:
    text = bech32.encode("age", bytes(range(32)))
    for place in range(len(text)):
        for character in "qpz1":
            if text[place] != character:
                with pytest.raises(bech32.Bech32Error):
                    bech32.decode(text[:place] + character + text[place + 1 :])
