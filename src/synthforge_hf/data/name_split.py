"""A split that anybody can repeat: a sample belongs to the training share by the hash of its name, wherever it lies."""

import hashlib

from synthforge_hf.errors import UsageError


def in_training_share(name: str, share: float) -> bool:
    """Return whether a sample is one of about ``share`` (0 to 1) of all names: the first 8 bytes of its name's SHA-256,
    read as a fraction of 2**64, are below ``share``."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") < share * 2**64


def check_share(share: float) -> None:
    """Raise UsageError unless 0 < share < 1."""
    if not 0 < share < 1:
        raise UsageError(f"the training share is {share:g}: it must lie between 0 and 1")
