r"""Train the multi-task backbone (Stage I) on a synthetic data set.

    accelerate launch examples/train.py --dataset synthforge --output-dir runs/backbone [--config FILE.yaml] [--resume]

Without a GPU, one process per CPU core is fastest:

    OMP_NUM_THREADS=1 torchrun --nproc_per_node 2 examples/train.py --dataset synthforge --output-dir runs/mini \
        --config examples/configs/mini.yaml

The result is a ``from_pretrained`` folder. A run that was killed or stopped with Ctrl-C continues with --resume.
"""

import argparse
import sys

from synthforge_hf.errors import SynthForgeError
from synthforge_hf.training.settings import read_settings
from synthforge_hf.training.stage_one import train_backbone


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, help="folder or Hub repository, as load_dataset takes it")
    parser.add_argument("--output-dir", required=True, help="where the model, checkpoints and logs go")
    parser.add_argument("--config", help="YAML file of training settings; the paper's settings unless given")
    parser.add_argument("--max-minutes", type=float, help="time budget; the learning rate follows the clock")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run")
    arguments = parser.parse_args()
    try:
        settings = read_settings(arguments.config, max_minutes=arguments.max_minutes, seed=arguments.seed)
        train_backbone(arguments.dataset, arguments.output_dir, settings, arguments.resume)
    except SynthForgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
