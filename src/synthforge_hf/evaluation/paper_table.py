"""The tables of the SynthForge paper, to stand beside a result of ours.

Figures are as published, each under its authors' own protocol (crops, resolution, training data); ours is named below
the table. So a row can be compared as far as its protocol can.
"""

from rich.console import Console
from rich.table import Table

from synthforge_hf.errors import UsageError
from synthforge_hf.evaluation.report import EvaluationResult

LANDMARKS: tuple[tuple[str, float, float], ...] = (
    ("Wood et al. 2021", 5.61, 8.43),
    ("Wood et al. 2021 + label adaptation", 3.09, 4.86),
    ("FaRL-B", 2.50, 4.42),
    ("STAR", 2.52, 4.32),
    ("DECA + LF", 4.26, 7.33),
    ("DECA + LF with features", 3.86, 6.40),
    ("random sampling + LF", 5.18, 9.25),
    ("random sampling + LF with features", 5.06, 8.84),
    ("synthetic backbone (SB)", 5.74, 9.30),
    ("SB + LF", 3.01, 4.96),
    ("SB + LF with features", 2.90, 4.74),
)
"""Table 1: 300-W, NME by the outer eye corners; method, common, challenge."""

LAPA: tuple[tuple[str, float], ...] = (
    ("Liu et al. 2020", 89.8),
    ("Te et al. 2020", 91.1),
    ("Wood et al. 2021", 90.1),
    ("FaRL-B", 93.88),
    ("random sampling + LF", 87.98),
    ("DECA + LF", 87.94),
    ("SB + LF", 90.03),
)
"""Table 2: LaPa, mean F1 over 10 classes."""

CELEBAMASK_HQ: tuple[tuple[str, float], ...] = (
    ("Wei et al. 2019", 87.80),
    ("EAGR", 90.27),
    ("AGRNet", 90.37),
    ("DML-CSR", 90.23),
    ("FaRL-B", 90.13),
    ("SB + LF with features", 88.15),
)
"""Table 3: CelebAMask-HQ, mean F1 over 14 classes."""


def print_paper_table(result: EvaluationResult, subset: str | None, console: Console | None = None) -> None:
    """Print the paper's table for the benchmark of ``result`` with ours as the last row and its protocol below.

    subset: of the benchmark. Raises UsageError for a benchmark without a table.
    """
    check_has_table(result.benchmark, "paper")
    ours = f"{result.model} (ours)"
    if result.benchmark == "300w":
        columns = ("common", "challenge")
        table = _table("300-W: NME, percent of the outer eye corners' distance", (*columns, "this subset"))
        for method, *values in LANDMARKS:
            table.add_row(method, *(f"{value:.2f}" for value in values), "")
        value = f"{result.metrics['nme_interocular']:.2f}"
        cells = [value if subset == column else "" for column in columns]
        table.add_row(ours, *cells, "" if subset in columns else value, style="bold")
    elif result.benchmark == "lapa":
        table = _table("LaPa: mean F1 over 10 classes, percent", ("mean F1",))
        for method, published in LAPA:
            table.add_row(method, f"{published:.2f}")
        table.add_row(ours, f"{result.metrics['mean_f1']:.2f}", style="bold")
    else:
        table = _table("CelebAMask-HQ: mean F1 over 14 classes, percent", ("mean F1",))
        for method, published in CELEBAMASK_HQ:
            table.add_row(method, f"{published:.2f}")
        table.add_row(ours, f"{result.metrics['mean_f1_14']:.2f}", style="bold")
    console = console or Console()
    console.print(table)
    console.print(f"ours: {result.num_images} images; {result.protocol}", highlight=False, soft_wrap=True)
    console.print("the others: as published, each under its authors' protocol", highlight=False, soft_wrap=True)


def check_has_table(benchmark: str, table: str) -> None:
    """Raise UsageError unless ``print_paper_table`` can print ``table`` for a benchmark."""
    if table != "paper":
        raise UsageError(f"there is no table '{table}', only: paper")
    if benchmark not in ("300w", "lapa", "celebamask-hq"):
        raise UsageError(f"the paper has no table for '{benchmark}', only for 300w, lapa and celebamask-hq")


def _table(title: str, columns: tuple[str, ...]) -> Table:
    table = Table(title=title)
    table.add_column("method")
    for column in columns:
        table.add_column(column, justify="right")
    return table
