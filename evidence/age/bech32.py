"""Bech32 (BIP 173) without its length limit: the text form of age's keys."""

_CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUE_OF = {character: value for value, character in enumerate(_CHARSET)}
_CHECKSUM_LENGTH = 6
# The generator of BIP 173's checksum, "Checksum" section.
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


class Bech32Error(ValueError):
    """A text is not Bech32; ``str()`` is the reason as half a sentence, without the text."""


def encode(prefix: str, data: bytes) -> str:
    """Write data under a prefix, in lower case; age shows secret keys in upper case."""
    values = _regroup(data, 8, 5)
    if remainder := len(data) * 8 % 5:
        values.append(data[-1] << (5 - remainder) & 31)
    checksum = _checksum(_expanded(prefix) + values + [0] * _CHECKSUM_LENGTH) ^ 1
    values += [checksum >> 5 * (5 - place) & 31 for place in range(_CHECKSUM_LENGTH)]
    return f"{prefix}1{''.join(_CHARSET[value] for value in values)}"


def decode(text: str) -> tuple[str, bytes]:
    """Read a text that is all lower or all upper case, and give its prefix as written and its data.

    Raises Bech32Error for anything that `encode` does not write.
    """
    if text not in (text.lower(), text.upper()):
        raise Bech32Error("it mixes upper and lower case")
    prefix, separator, encoded = text.rpartition("1")
    if not separator or not prefix or len(encoded) < _CHECKSUM_LENGTH:
        raise Bech32Error("it is too short")
    if not all(33 <= ord(character) <= 126 for character in prefix):
        raise Bech32Error("its prefix has a character that is not allowed")
    try:
        values = [_VALUE_OF[character] for character in encoded.lower()]
    except KeyError:
        raise Bech32Error("it has a character that is not allowed") from None
    if _checksum(_expanded(prefix.lower()) + values) != 1:
        raise Bech32Error("its checksum does not match, so a character is wrong or missing")
    values = values[:-_CHECKSUM_LENGTH]
    unused_bits = len(values) * 5 % 8
    if unused_bits >= 5 or (values and values[-1] & ((1 << unused_bits) - 1)):
        raise Bech32Error("its length does not fit")
    return prefix, bytes(_regroup(values, 5, 8))


def _expanded(prefix: str) -> list[int]:
    return [ord(character) >> 5 for character in prefix] + [0] + [ord(character) & 31 for character in prefix]


def _checksum(values: list[int]) -> int:
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for place, term in enumerate(_GENERATOR):
            if top >> place & 1:
                checksum ^= term
    return checksum


def _regroup(values: bytes | list[int], width: int, new_width: int) -> list[int]:
    """Cut the same bits into groups of another width, without the bits that fill no whole group."""
    groups: list[int] = []
    pending = pending_bits = 0
    for value in values:
        pending = pending << width | value
        pending_bits += width
        while pending_bits >= new_width:
            pending_bits -= new_width
            groups.append(pending >> pending_bits)
            pending &= (1 << pending_bits) - 1
    return groups
