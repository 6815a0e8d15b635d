"""Training samples that stay where they are: shards read one after the other, for sets that do not fit on one disk."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import datasets
import numpy as np
from datasets.distributed import split_dataset_by_node
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.training.windows import FaceWindows, WindowSettings, cut_window


class LoadedWindows(list):
    """A few windows in memory. canonical_depth: see ``FaceWindows``."""

    def __init__(self, windows: Iterator[dict[str, np.ndarray]], canonical_depth: bool) -> None:
        super().__init__(windows)
        self.canonical_depth = canonical_depth


class StreamedWindows(IterableDataset):
    """Windows (see ``FaceWindows``) of this process's share of a streamed data set, in shuffled order, without end.

    Shards go to the processes and within each to the data loader's workers, so that nothing is read twice where there
    are a multiple as many shards as readers; ``rows.shuffle`` mixes the order of shards and a buffer of samples. The
    order follows from seed, epoch and the numbers of processes and workers. Each process repeats its share: none waits
    for another that has more.
    """

    def __init__(
        self,
        rows: datasets.IterableDataset,
        settings: WindowSettings,
        process: int = 0,
        processes: int = 1,
        seed: int = 0,
        shuffle_buffer: int = 1000,
    ) -> None:
        if rows.features is None:
            raise UsageError("a streamed data set must name its columns: give its card `dataset_info` with features")
        columns = FaceWindows(datasets.Dataset.from_dict({n: [] for n in rows.features}, rows.features), settings)
        self.labels, self.canonical_depth, self.settings = columns.labels, columns.canonical_depth, settings
        rows = rows.select_columns(columns.rows.column_names)
        for name in ("image", "segmentation", "depth"):
            if name in columns.rows.column_names:
                rows = rows.cast_column(name, datasets.Image(decode=False))
        self.rows, self.process, self.processes = rows, process, processes
        self.seed, self.shuffle_buffer, self.epoch = seed, shuffle_buffer, 0

    def set_epoch(self, epoch: int) -> None:
        """Let the next iteration begin in another order."""
        self.epoch = epoch

    def first(self, count: int) -> LoadedWindows:
        """Return the first windows of the whole set, in its own order: the same on all processes."""
        return LoadedWindows((cut_window(row, self.settings) for row in self.rows.take(count)), self.canonical_depth)

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        shuffled = self.rows.shuffle(seed=self.seed, buffer_size=self.shuffle_buffer)
        share = split_dataset_by_node(shuffled, rank=self.process, world_size=self.processes)
        for passes in range(1_000_000):
            # Passes of one epoch must not meet the orders of the next epochs.
            share.set_epoch(1000 * self.epoch + passes)
            empty = True
            for row in share:
                empty = False
                yield cut_window(row, self.settings)
            if empty:  # a worker without a shard
                return


class StreamedLoader:
    """Batches of ``StreamedWindows``: ``length`` of them an epoch, however many samples the stream has."""

    def __init__(self, windows: StreamedWindows, batch_size: int, length: int, workers: int) -> None:
        self.windows, self.length, self.skipped = windows, length, 0
        self.loader: DataLoader[dict[str, Tensor]] = DataLoader(
            windows, batch_size, num_workers=workers, drop_last=True
        )

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration."""
        self.windows.set_epoch(epoch)

    def skipping(self, batches: int) -> "StreamedLoader":
        """Return the same loader without its first ``batches``; they are read all the same."""
        rest = StreamedLoader.__new__(StreamedLoader)
        rest.windows, rest.loader, rest.length, rest.skipped = self.windows, self.loader, self.length, batches
        return rest

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        given = self.skipped
        for batch in islice(self.loader, self.skipped, self.length):
            given += 1
            yield batch
        if given < self.length:
            raise SynthForgeError("a process got no samples of the streamed data set: use fewer processes")


def stream_splits(
    dataset: str, validation_samples: int
) -> tuple[datasets.IterableDataset, datasets.IterableDataset, int | None]:
    """Open a data set without downloading it: training rows, validation rows, and how many training rows there are.

    The number is None where the data set's card does not say it. Raises UsageError when it cannot be opened or has no
    split "validation" or "test": samples held out of a stream could not be kept apart from those of its shards.
    """
    try:
        splits: Any = datasets.load_dataset(dataset, streaming=True)
    except Exception as error:  # the many kinds that load_dataset raises for a wrong name, folder or file
        raise UsageError(f"cannot open the data set {dataset!r}: {' '.join(str(error).split())[:300]}") from error
    held_out = next((name for name in ("validation", "test") if name in splits), None)
    if "train" not in splits or held_out is None:
        raise UsageError(
            f"streaming needs a split 'train' and one called 'validation' or 'test'; "
            f"{dataset!r} has {', '.join(splits)}"
        )
    train = splits["train"]
    known = (train.info.splits or {}).get("train")
    count = known.num_examples if known is not None and known.num_examples else None
    return train, splits[held_out].take(validation_samples), count
