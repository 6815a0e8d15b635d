"""Splits by name: shares and folds."""

import numpy as np
import pytest

from synthforge_hf.data.name_split import NameSplit, held_out_only, place_of_name
from synthforge_hf.errors import UsageError

NAMES = [f"photo {number}" for number in range(3000)]


def test_a_share_of_the_names_is_trained_on_as_ever() -> None:
    split = NameSplit.from_share(0.667)
    assert [not split.held_out(name) for name in NAMES] == [place_of_name(name) < 0.667 for name in NAMES]
    assert abs(np.mean([split.held_out(name) for name in NAMES]) - 0.333) < 0.03


@pytest.mark.parametrize("count", [2, 3, 5, 7])
def test_folds_partition_the_names_into_parts_of_about_one_size(count: int) -> None:
    folds = [NameSplit.from_fold(f"{number}/{count}") for number in range(1, count + 1)]
    held_out = np.array([[fold.held_out(name) for fold in folds] for name in NAMES])
    assert (held_out.sum(axis=1) == 1).all()
    assert (abs(held_out.mean(axis=0) - 1 / count) < 0.03).all()


def test_texts_say_what_was_asked_for() -> None:
    share, fold = NameSplit.from_share(0.8), NameSplit.from_fold("5/5")
    assert (share.low, share.high) == (fold.low, fold.high)
    assert (share.of_held_out, fold.of_held_out) == ("outside the training share 0.8", "only the fold 5/5")
    assert (share.of_trained, fold.of_trained) == ("fall into the training share 0.8", "lie outside the fold 5/5")


@pytest.mark.parametrize("fold", ["6/5", "0/5", "1/1", "x", "", "2", "2/", "-1/5", "1.5/3", "2/5/7", "²/5", "2/5\n"])
def test_a_fold_that_is_none_is_refused(fold: str) -> None:
    with pytest.raises(UsageError, match="must be K/N with N at least 2 and K from 1 to N, such as 2/5"):
        NameSplit.from_fold(fold)


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match="training share is"):
        NameSplit.from_share(share)


def test_a_request_is_a_share_or_a_fold() -> None:
    assert NameSplit.from_request(None, None) is None
    assert NameSplit.from_request(0.5, None) == NameSplit.from_share(0.5)
    assert NameSplit.from_request(None, "2/5") == NameSplit.from_fold("2/5")
    with pytest.raises(UsageError, match=r"share \(0.5\) and a fold \(2/5\) are both given"):
        NameSplit.from_request(0.5, "2/5")


def test_what_is_held_out_keeps_its_order_and_may_not_be_nothing() -> None:
    fold = NameSplit.from_fold("2/5")
    assert held_out_only([1, 2], ["a", "b"], None) == [1, 2]
    assert held_out_only(NAMES, NAMES, fold) == [name for name in NAMES if 0.2 <= place_of_name(name) < 0.4]
    outside = [name for name in NAMES if not fold.held_out(name)][:3]
    with pytest.raises(UsageError, match="the fold 2/5 holds out none of the 3 photos"):
        held_out_only(outside, outside, fold)
