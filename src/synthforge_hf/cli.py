"""The command line: each command parses, calls one library function and prints. Heavy imports wait for their command.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. What users can mend is one line on standard error.
"""

import errno
import json
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from synthforge_hf import __version__
from synthforge_hf.errors import SynthForgeError, UsageError

app = typer.Typer(
    name="synthforge",
    help="Make face data sets with exact 3D labels; run and measure the models trained on them.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

convert = typer.Typer(help="Turn licensed files of your own into what this package reads. No code in them is run.")
app.add_typer(convert, name="convert")

INTERRUPTED = 130

ENVIRONMENT_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}
"""Errors of the operating system that are the user's to mend wherever they show up: no space, no permission."""

DataSet = Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the data set.", show_default=False)]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="Embedded checkpoint (mini), folder, or Hub repository.")]
Device = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option(help="Where to compute; auto takes CUDA if there is any.")
]
FlipTest = Annotated[
    bool | None,
    typer.Option(
        "--flip-test/--no-flip-test",
        help="Average with the mirrored crop; by default where it is known what that exchanges.",
    ),
]
Refine = Annotated[bool, typer.Option("--refine/--no-refine", help="Crop again around the first landmarks.")]
BatchSize = Annotated[int, typer.Option(help="Faces per forward pass.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"synthforge {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _synthforge(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(2)


@app.command()
def generate(
    out: DataSet,
    num_samples: Annotated[int, typer.Option(help="How many faces the data set is to hold.", show_default=False)],
    recipe: Annotated[str, typer.Option(metavar="NAME|FILE.yaml", help="What to draw samples from.")] = "faces",
    resolution: Annotated[int, typer.Option(help="Width and height of the images, pixels.")] = 512,
    seed: Annotated[int, typer.Option(help="The same seed makes the same faces.")] = 0,
    workers: Annotated[int | None, typer.Option(help="Processes; one per core if not given.")] = None,
    shard_size: Annotated[int, typer.Option(help="Faces per parquet file.")] = 500,
    generator: Annotated[str | None, typer.Option(help="What makes the faces, if not what the recipe says.")] = None,
    backgrounds: Annotated[
        str | None, typer.Option(metavar="DIR_OR_REPO", help="Pictures to put behind heads: a folder or a data set.")
    ] = None,
    executor: Annotated[
        Literal["local", "ray"], typer.Option(help="Processes of this machine, or of a Ray cluster.")
    ] = "local",
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Generate labelled faces into OUT.

    Running it again makes only what is missing or damaged.
    """
    from synthforge_hf.data.generation import generate

    report = generate(
        out,
        recipe,
        num_samples,
        resolution,
        seed,
        workers,
        shard_size,
        generator,
        device,
        executor,
        backgrounds=backgrounds,
    )
    rows = ", ".join(f"{split} {number}" for split, number in report.splits.items())
    text = (
        f"{report.num_samples} faces in {report.out} ({rows}); shards: {report.shards_made} made, "
        f"{report.shards_kept} kept; {report.seconds:.1f} s\nLoad them: datasets.load_dataset({report.out!r})"
    )
    _show(vars(report), text, as_json)


@app.command()
def verify(
    out: DataSet,
    quick: Annotated[bool, typer.Option("--quick", help="Names, sizes, row counts and ids; reads no images.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check that OUT is complete and right.

    Every shard: present, unaltered, labels consistent. If not: exit code 1 and a list of what is wrong.
    """
    if quick:
        from synthforge_hf.data.quick_verification import verify_quickly

        problems = verify_quickly(out)
    else:
        from synthforge_hf.data.verification import verify

        problems = verify(out)
    listing = [f"{problem}" for problem in problems] or [f"{out} is complete and sound"]
    content = {"out": str(out), "sound": not problems, "problems": [vars(problem) for problem in problems]}
    _show(content, "\n".join(listing), as_json)
    if problems:
        raise typer.Exit(1)


@app.command()
def preview(
    out: Annotated[
        Path | None, typer.Argument(metavar="[OUT]", help="Folder of the data set.", show_default=False)
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(metavar="NAME|FILE.yaml", help="Show this recipe instead of a data set.")
    ] = None,
    num: Annotated[int, typer.Option(help="How many faces to show.")] = 16,
    sheet: Annotated[Path, typer.Option("--out", metavar="FILE", help="The picture to write.")] = Path("preview.png"),
    as_json: AsJson = False,
) -> None:
    """Draw a contact sheet of OUT, or of what a recipe makes.

    Per face of OUT: image, depth, normals, segmentation, landmarks. With --recipe: new faces, images only.
    """
    from synthforge_hf.data.preview import preview, preview_recipe

    if (out is None) == (recipe is None):
        raise UsageError("preview needs either OUT, a data set, or --recipe")
    path = preview(out, num, sheet) if out is not None else preview_recipe(str(recipe), num, sheet)
    _show({"preview": str(path)}, str(path), as_json)


@app.command()
def predict(
    model: Model,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Photos of any size.", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for overlays and results.json.", show_default=False)],
    boxes: Annotated[
        Path | None, typer.Option(metavar="FILE", help='JSON: {"photo.jpg": [[x0, y0, x1, y1], ...]}, pixels.')
    ] = None,
    score_threshold: Annotated[float | None, typer.Option(help="Of the face detector, instead of its own.")] = None,
    flip_test: FlipTest = None,
    refine: Refine = True,
    batch_size: BatchSize = 32,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Find and analyse the faces of photos.

    Writes an overlay per photo and results.json. Exit code 1 if a photo cannot be read or no photo shows a face.
    """
    from synthforge_hf.evaluation import predict

    photos = predict(
        model,
        images,
        out,
        boxes,
        score_threshold=score_threshold,
        flip_test=flip_test,
        refine=refine,
        batch_size=batch_size,
        device=device,
        quiet=not sys.stderr.isatty(),
    )
    for photo in photos:
        if not photo.faces:
            _complain(photo.message)
    found = [f"{photo.message}, {photo.overlay}" for photo in photos if photo.faces]
    _show(
        {"photos": [photo.to_dict() for photo in photos]},
        "\n".join([*found, f"all results: {out}/results.json"]),
        as_json,
    )
    if not found or any(photo.error for photo in photos):
        raise typer.Exit(1)


@app.command()
def evaluate(
    benchmark: Annotated[str, typer.Option(help="300w, lapa, celebamask-hq or synthforge.", show_default=False)],
    data: Annotated[Path, typer.Option(help="Folder of the benchmark, as its authors ship it.", show_default=False)],
    model: Model = "mini",
    subset: Annotated[
        str | None, typer.Option(help="300w: common, challenge, full or a folder; else a split or partition.")
    ] = None,
    output: Annotated[
        Path, typer.Option(metavar="FILE", help="The result as JSON; a table per image goes beside it as .csv.")
    ] = Path("results.json"),
    boxes: Annotated[str, typer.Option(help="300w: ground-truth (of the landmarks) or detector.")] = "ground-truth",
    box_noise: Annotated[
        float, typer.Option(help="300w: shift and scale the boxes at random by about this share.")
    ] = 0.0,
    crop: Annotated[str, typer.Option(help="celebamask-hq: whole (the photo) or detector.")] = "whole",
    flip_test: FlipTest = None,
    refine: Refine = False,
    batch_size: BatchSize = 32,
    limit: Annotated[int | None, typer.Option(help="Only the first so many images.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the box noise.")] = 0,
    train_share: Annotated[
        float | None, typer.Option(help="Only photos that finetune.py with this share does not train on.")
    ] = None,
    fold: Annotated[
        str | None, typer.Option(metavar="K/N", help="Only the K-th of N parts, which finetune.py with it holds out.")
    ] = None,
    table: Annotated[
        str | None, typer.Option(metavar="paper", help="Print the result beside the paper's published figures.")
    ] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Measure a model on a benchmark.

    The protocol (subset, boxes, crop, classes) is named in the result.
    """
    from synthforge_hf.evaluation import check_has_table, evaluate, print_paper_table

    if table is not None:
        check_has_table(benchmark, table)
    result = evaluate(
        model,
        benchmark,
        data,
        subset,
        output,
        boxes=boxes,
        box_noise=box_noise,
        crop=crop,
        flip_test=flip_test,
        refine=refine,
        batch_size=batch_size,
        limit=limit,
        seed=seed,
        train_share=train_share,
        fold=fold,
        device=device,
        quiet=not sys.stderr.isatty(),
    )
    if as_json:
        _show(result.to_dict(), "", True)
    else:
        result.print()
        if table is not None:
            print_paper_table(result, subset)
        print(f"{output} and {output.with_suffix('.csv')}")


@app.command()
def push(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="Data set, model, embedded model or recipe file.", show_default=False)
    ],
    repo_id: Annotated[str, typer.Argument(metavar="REPO_ID", help="owner/name on the Hub.", show_default=False)],
    private: Annotated[bool, typer.Option("--private", help="Make the repository private.")] = False,
    revision: Annotated[str, typer.Option(metavar="BRANCH", help="Made if need be.")] = "main",
    tag: Annotated[str | None, typer.Option(help="Name for what is pushed, such as v1.")] = None,
    message: Annotated[str | None, typer.Option(help="Of the commit.")] = None,
    results: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Results of evaluate for the card; may be repeated.")
    ] = None,
    with_code: Annotated[
        bool, typer.Option("--with-code", help="Add the model's code, for trust_remote_code.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Put it in the place of another data set.")] = False,
    accept_licenses: Annotated[
        bool, typer.Option("--accept-licenses", help="Publish although a licence stands against it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Publish PATH on the Hugging Face Hub.

    One commit shows all of it or nothing. Running it again sends only what is missing or has changed.
    """
    from synthforge_hf.hub import push

    report = push(
        path,
        repo_id,
        private,
        revision=revision,
        tag=tag,
        message=message,
        results=results or (),
        with_code=with_code,
        replace_other=replace,
        accept_licenses=accept_licenses,
    )
    text = (
        f"{report.url} ({'private' if report.private else 'public'}) shows {path} at {report.revision} "
        f"{report.commit[:8]}: {report.uploaded} files sent, {report.unchanged} unchanged, {report.removed} removed"
    )
    _show(vars(report), text, as_json)


@app.command()
def pull(
    repo_id: Annotated[str, typer.Argument(metavar="REPO_ID", help="owner/name on the Hub.", show_default=False)],
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Folder to fill or update.", show_default=False)],
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit; main if not given.")] = None,
    kind: Annotated[Literal["dataset", "model"] | None, typer.Option(help="Where both have the same name.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a data set or model from the Hugging Face Hub into PATH.

    Every file is checked. An interrupted pull shows nothing; running it again goes on.
    """
    from synthforge_hf.hub import pull

    report = pull(repo_id, path, revision=revision, kind=kind)
    text = (
        f"{report.path} holds the {report.kind} {report.repo_id} at {report.commit[:8]}: "
        f"{report.fetched} files fetched, {report.unchanged} unchanged, {report.removed} removed"
    )
    _show(vars(report), text, as_json)


@convert.command("flame")
def convert_flame(
    source: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with your FLAME files.", show_default=False)],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write to.", show_default=False)],
    segmentation: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Painted texture of class ids, instead of the derived one.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Convert the FLAME head model.

    DIR holds, at any depth and under their published names, the model, the landmark embedding, the vertex masks and the
    texture coordinates. What is missing is named with where to get it.
    """
    from synthforge_hf.heads.flame_conversion import convert_flame

    converted = convert_flame(source, out, segmentation)
    text = (
        f"FLAME {converted.edition}, {converted.num_vertices} vertices, {converted.num_faces} triangles, in "
        f"{converted.folder}\nLicence: {converted.license}; its terms hold for what you make with it"
    )
    _show(vars(converted), text, as_json)


@convert.command("next3d")
def convert_next3d(
    source: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="The published .pkl file.", show_default=False)],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write to.", show_default=False)],
    planes: Annotated[
        str, typer.Option(help="Where the mesh is drawn: front (SynthForge's generator) or all (the original).")
    ] = "front",
    as_json: AsJson = False,
) -> None:
    """Convert a Next3D checkpoint.

    Tensors and constructor arguments are read; the code in the file is not.
    """
    from synthforge_hf.generators.next3d.conversion import convert_next3d

    converted = convert_next3d(source, out, planes)
    text = (
        f"Next3D, {converted.parameters / 1e6:.1f} million parameters, in {converted.folder}\n"
        "Licence: the checkpoint's; its terms hold for what you make with it"
    )
    _show(vars(converted), text, as_json)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Report what is installed and what works.

    Versions, devices, optional backends, what is missing and how to get it.
    """
    from synthforge_hf.doctor import doctor, format_report

    report = doctor()
    _show(report, format_report(report), as_json)
    if report["problems"]:
        raise typer.Exit(1)


def _show(content: Any, text: str, as_json: bool) -> None:
    print(json.dumps(content, indent=2, default=str) if as_json else text)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        outcome = app(args=list(arguments), prog_name="synthforge", standalone_mode=False)
        sys.stdout.flush()
        if outcome == INTERRUPTED:  # typer turns Ctrl-C into this
            _complain("interrupted; what is finished is kept")
        return outcome if isinstance(outcome, int) else 0
    except SynthForgeError as error:
        _complain(str(error))
        return error.exit_code
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        message = error.format_message().replace("Value error, ", "").rstrip(".")
        _complain(f"{message}; see {context.command_path if context else 'synthforge'} --help")
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has gone, as in `synthforge doctor | head -1`: flush nothing at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno in ENVIRONMENT_ERRORS:
            _complain(f"{error.strerror}: {error.filename or 'while writing'}")
        else:
            _report_a_bug()
        return 1
    except Exception:
        _report_a_bug()
        return 1


def _complain(message: str) -> None:
    print(f"synthforge: {' '.join(message.split())}", file=sys.stderr)


def _report_a_bug() -> None:
    traceback.print_exc()
    _complain(
        "this is a fault of synthforge, not yours; please report it with the lines above and what "
        "`synthforge doctor` prints"
    )


def main() -> None:
    """Run the command line of this process and exit."""
    sys.exit(run(sys.argv[1:]))
