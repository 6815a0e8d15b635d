"""Average the weights of two models of one form: python tools/average_weights.py FIRST SECOND --share 0.55 OUT

OUT gets (1 - share) of FIRST's weights and share of SECOND's, and SECOND's configuration and image processor. Heads of
another form in FIRST are left out: there OUT is SECOND. Models that one training led from one to the other average well
(as in "Model soups", Wortsman et al. 2022).
"""

import argparse
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--share", type=float, default=0.5)
    arguments = parser.parse_args()
    first, second = (load_file(folder / "model.safetensors") for folder in (arguments.first, arguments.second))
    parts = {name.split(".")[0] for name in second}
    unlike = {
        part
        for part in parts
        if {name: value.shape for name, value in first.items() if name.split(".")[0] == part}
        != {name: value.shape for name, value in second.items() if name.split(".")[0] == part}
    }
    averaged = {
        name: first[name].lerp(value, arguments.share)
        if value.is_floating_point() and name.split(".")[0] not in unlike
        else value
        for name, value in second.items()
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "preprocessor_config.json"):
        shutil.copy(arguments.second / name, arguments.out / name)
    save_file(averaged, arguments.out / "model.safetensors", metadata={"format": "pt"})
    print(f"wrote {arguments.out}; as in {arguments.second} alone: {', '.join(sorted(unlike)) or 'nothing'}")


if __name__ == "__main__":
    main()
