"""Splits that anybody can repeat: a sample is held out of training by the hash of its name, wherever it lies."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from synthforge_hf.errors import UsageError

Item = TypeVar("Item")


def place_of_name(name: str) -> float:
    """Return where a name lies in [0, 1): the first 8 bytes of its SHA-256 (big-endian) over 2**64."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64


@dataclass(frozen=True)
class NameSplit:
    """Names whose place lies in [low, high), both from 0 to 1, are held out; training has all others.

    fold: "K/N" where the split was asked for as a fold, for texts; None: as a training share, which ends at ``low``.
    """

    low: float
    high: float
    fold: str | None = None

    @classmethod
    def from_share(cls, share: float) -> "NameSplit":
        """Train on about ``share`` of all names, those below it. Raises UsageError unless 0 < share < 1."""
        if not 0 < share < 1:
            raise UsageError(f"the training share is {share:g}: it must lie between 0 and 1")
        return cls(share, 1.0)

    @classmethod
    def from_fold(cls, fold: str) -> "NameSplit":
        """Hold out one of N equal parts: "2/5" is the second fifth. Raises UsageError unless it is K/N, 1 <= K <= N."""
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", fold)
        number, count = (int(found[1]), int(found[2])) if found else (0, 0)
        if count < 2 or not 1 <= number <= count:
            raise UsageError(f"the fold is '{fold}': it must be K/N with N at least 2 and K from 1 to N, such as 2/5")
        return cls((number - 1) / count, number / count, f"{number}/{count}")

    @classmethod
    def from_request(cls, share: float | None, fold: str | None) -> "NameSplit | None":
        """Return the split that was asked for, if any. Raises UsageError for both at once or an impossible one."""
        if share is not None and fold is not None:
            raise UsageError(f"a training share ({share:g}) and a fold ({fold}) are both given: give only one of them")
        if fold is not None:
            return cls.from_fold(fold)
        return None if share is None else cls.from_share(share)

    def held_out(self, name: str) -> bool:
        """Return whether a sample of this name is kept for validating and measuring."""
        return self.low <= place_of_name(name) < self.high

    def __str__(self) -> str:
        return f"the fold {self.fold}" if self.fold else f"the training share {self.low:g}"

    @property
    def of_held_out(self) -> str:
        """Where the held-out photos lie, for protocols."""
        return f"only {self}" if self.fold else f"outside {self}"

    @property
    def of_trained(self) -> str:
        """What the names of the others do, for cards."""
        return f"lie outside {self}" if self.fold else f"fall into {self}"


def held_out_only(items: Sequence[Item], names: Iterable[str], split: NameSplit | None) -> list[Item]:
    """Return the items whose names ``split`` holds out, all without a split. Raises UsageError when none is left."""
    if split is None:
        return list(items)
    kept = [item for item, name in zip(items, names, strict=True) if split.held_out(name)]
    if not kept:
        raise UsageError(f"{split} holds out none of the {len(items)} photos: choose another")
    return kept
