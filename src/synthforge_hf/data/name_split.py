"""A split that anybody can repeat: a sample belongs to the training share by the hash of its name, wherever it lies."""

import hashlib

from synthforge_hf.errors import UsageError


def place_of_name(name: str) -> float:
    """Return where a name lies in [0, 1): the first 8 bytes of its SHA-256 (big-endian) over 2**64."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64


def in_training_share(name: str, share: float) -> bool:
    """Return whether a sample is one of about ``share`` (0 to 1) of all names: those that lie below ``share``."""
    return place_of_name(name) < share


def check_share(share: float) -> None:
    """Raise UsageError unless 0 < share < 1."""
    if not 0 < share < 1:
        raise UsageError(f"the training share is {share:g}: it must lie between 0 and 1")
