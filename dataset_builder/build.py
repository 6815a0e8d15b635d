"""Build the published data set: generate, verify, draw a contact sheet, push. Interrupted, it goes on where it was.

python dataset_builder/build.py OUT [--num-samples 100000] [--resolution 512] [--seed 0] [--workers N] [--push REPO_ID]

The recipe is synthforge.yaml beside this file; the card is written from the recipe and what was made of it.
"""

import argparse
import sys
from pathlib import Path

from synthforge_hf.data.generation import generate
from synthforge_hf.data.preview import preview
from synthforge_hf.data.verification import verify
from synthforge_hf.errors import SynthForgeError
from synthforge_hf.hub import push

RECIPE = Path(__file__).with_name("synthforge.yaml")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--num-samples", type=int, default=100_000)
    parser.add_argument("--resolution", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--push", metavar="REPO_ID", help="publish it on the Hugging Face Hub")
    arguments = parser.parse_args()
    try:
        report = generate(
            arguments.out,
            RECIPE,
            arguments.num_samples,
            arguments.resolution,
            arguments.seed,
            arguments.workers,
        )
        problems = verify(arguments.out)
        sheet = preview(arguments.out, path=arguments.out.with_name(f"{arguments.out.name}-preview.png"))
        if arguments.push and not problems:
            print(push(arguments.out, arguments.push).url)
    except SynthForgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{report.num_samples} samples in {arguments.out}, {len(problems)} problems; contact sheet: {sheet}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
