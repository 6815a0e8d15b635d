r"""Bring a trained backbone to your own labels (Stage II): other landmarks, other classes, another depth.

    accelerate launch examples/finetune.py --model mini --dataset DIR_OR_REPO --task landmarks --output-dir runs/adapted

--dataset is any set that load_dataset reads, with a column image and landmarks_2d, segmentation or depth, or a folder
of 300-W, LaPa or CelebAMask-HQ as it is shipped. docs/own-labels.md shows how to write one. The result is a
``from_pretrained`` folder. A run that was killed or stopped with Ctrl-C continues with --resume.
"""

import argparse
import sys

from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.training.stage_two import finetune_labels, read_finetuning_settings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="the backbone: mini, a folder or a Hub repository")
    parser.add_argument("--dataset", required=True, help="folder or Hub repository")
    parser.add_argument("--task", nargs="+", choices=["landmarks", "segmentation", "depth"], help="what to fine-tune")
    parser.add_argument("--output-dir", required=True, help="where the model, checkpoints and logs go")
    parser.add_argument("--use-features", action="store_true", default=None, help="show the networks the features too")
    parser.add_argument("--train-encoder", action="store_true", default=None, help="train the backbone's encoder along")
    parser.add_argument("--classes", help="names of the segmentation classes by id: background,skin,hair")
    parser.add_argument("--columns", nargs="+", metavar="TASK=COLUMN", help="columns that have other names")
    parser.add_argument("--crop", choices=["auto", "face_box", "landmarks", "detector", "whole"])
    parser.add_argument("--train-share", type=float, help="train on this share, chosen by the hash of file names")
    parser.add_argument("--fold", metavar="K/N", help="train on all but the K-th of N parts, by the same hash")
    parser.add_argument("--config", help="YAML file of fine-tuning settings; the paper's unless given")
    parser.add_argument("--max-minutes", type=float, help="time budget; the learning rate follows the clock")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run")
    arguments = parser.parse_args()
    try:
        settings = read_finetuning_settings(
            arguments.config,
            tasks=arguments.task,
            use_features=arguments.use_features,
            train_encoder=arguments.train_encoder,
            class_names=arguments.classes.split(",") if arguments.classes else None,
            columns=as_mapping(arguments.columns),
            crop=arguments.crop,
            train_share=arguments.train_share,
            fold=arguments.fold,
            max_minutes=arguments.max_minutes,
            seed=arguments.seed,
        )
        finetune_labels(arguments.model, arguments.dataset, arguments.output_dir, settings, arguments.resume)
    except SynthForgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def as_mapping(pairs: list[str] | None) -> dict[str, str] | None:
    if pairs is None:
        return None
    split = [pair.split("=", 1) for pair in pairs]
    if any(len(each) != 2 for each in split):
        raise UsageError(f"--columns takes pairs such as landmarks=points, got {' '.join(pairs)}")
    return dict(split)


if __name__ == "__main__":
    sys.exit(main())
