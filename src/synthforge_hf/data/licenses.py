"""Licences by the names that the Hub has for them, and how a card states one."""

import re

OPEN = {
    "apache-2.0": "attribution and notices kept",
    "bsd-2-clause": "attribution kept",
    "bsd-3-clause": "attribution kept",
    "cc-by-4.0": "attribution",
    "cc-by-sa-4.0": "attribution, same licence",
    "cc0-1.0": "no condition",
    "mit": "attribution kept",
}
NON_COMMERCIAL = {
    "cc-by-nc-4.0": "attribution, no commercial use",
    "cc-by-nc-sa-4.0": "attribution, same licence, no commercial use",
    "cc-by-nc-nd-4.0": "attribution, no changed versions, no commercial use",
}
"""Licence id of the Hub -> its terms, as in ``OPEN``; of other licences the terms are not known here."""


def license_metadata(name: str) -> dict[str, str]:
    """Return what a card's metadata say of a licence that a generator or a data set calls ``name``."""
    known = name.lower()
    return {"license": known} if known in OPEN | NON_COMMERCIAL else {"license": "other", "license_name": name}


def license_in_metadata(metadata: dict) -> str:
    """Return the name of the licence that a card's metadata state; empty without."""
    name = str(metadata.get("license") or "")
    return str(metadata.get("license_name") or name) if name == "other" else name


def plain_license_name(name: str) -> str:
    """Return a name as the Hub takes it, short and in small letters, of a name that may be a sentence."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")[:60]
