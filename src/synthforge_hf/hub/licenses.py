"""Under what terms data and models may be published: the licence of every generator, asset and label behind them."""

from collections.abc import Iterable
from dataclasses import dataclass

from synthforge_hf.data.licenses import NON_COMMERCIAL, OPEN
from synthforge_hf.errors import UsageError


@dataclass(frozen=True)
class Source:
    """One thing that a data set or a model is made from, with the terms it comes under."""

    name: str
    license: str
    terms: str
    commercial: bool
    upload: bool
    known: bool = True

    @property
    def restriction(self) -> str:
        """What the licence forbids, in words; empty where it forbids nothing that matters here."""
        if not self.known:
            return f"what {self.name} ({self.license}) allows is not known here"
        forbidden = [
            *(["commercial use"] if not self.commercial else []),
            *(["passing it on without leave"] if not self.upload else []),
        ]
        return f"{self.name} ({self.license}) forbids {' and '.join(forbidden)}" if forbidden else ""


_CODE = Source("synthforge_hf (rendering, labels)", "Apache-2.0", "attribution and notices kept", True, True)

_BEHIND_GENERATOR = {
    "graphics": (
        Source("head: MakeHuman base mesh, targets and facial actions", "CC0-1.0", "no condition", True, True),
        Source("textures, hair, clothes, light: made procedurally or CC0", "CC0-1.0", "no condition", True, True),
    ),
    "next3d": (
        Source(
            "Next3D network, from your own copy (trained on photos of real people)",
            "its authors' terms",
            "research without commercial use; read the licence that came with your copy",
            False,
            True,
        ),
        Source(
            "FLAME head model, from your own copy",
            "FLAME licence",
            "research without commercial use, the model itself must not be passed on; FLAME 2023 Open: CC BY 4.0",
            False,
            True,
        ),
    ),
}


def source(name: str, license_name: str) -> Source:
    """Return what is known about a licence. An unknown or missing one allows nothing."""
    key = license_name.strip().lower()
    if key in OPEN:
        return Source(name, license_name, OPEN[key], True, True)
    if key in NON_COMMERCIAL:
        return Source(name, license_name, NON_COMMERCIAL[key], False, True)
    if not key:
        return Source(name, "not stated", "nobody has said what is allowed", False, False, known=False)
    return Source(name, license_name, "terms not known to this package: read them", False, False, known=False)


def sources_of_generator(generator: str, license_name: str, pictures: str = "") -> list[Source]:
    """Return everything behind the images and labels of a generator: the images' own licence first.

    pictures: name of the user's own background pictures, if there are any.
    """
    own = [source(f"background pictures '{pictures}'", "")] if pictures else []
    behind = _BEHIND_GENERATOR.get(generator, ())
    return [source(f"images and labels of the generator '{generator}'", license_name), *own, _CODE, *behind]


def refuse_unaccepted(sources: Iterable[Source], repo_id: str) -> None:
    """Raise UsageError that names every licence which stands against a public upload."""
    restrictions = [each.restriction for each in sources if each.restriction]
    if restrictions:
        raise UsageError(
            f"{repo_id} would be public, but {'; '.join(restrictions)}: add --private, or --accept-licenses if you "
            "have read the terms and may publish this"
        )


def license_table(sources: Iterable[Source]) -> str:
    """Return the sources as a Markdown table."""
    rows = ["| part | licence | terms | commercial use | passing on |", "|---|---|---|---|---|"]
    for each in sources:
        allowed = [_allowed(each, each.commercial), _allowed(each, each.upload)]
        rows.append(f"| {' | '.join([each.name, each.license, each.terms, *allowed])} |")
    return "\n".join(rows)


def _allowed(origin: Source, allowed: bool) -> str:
    return ("yes" if allowed else "no") if origin.known else "not known"
