"""LaPa as it is shipped, and our results beside the paper's."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from synthforge_hf.cli import run
from synthforge_hf.data.name_split import NameSplit
from synthforge_hf.data.public.lapa import read_lapa
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.evaluation import check_has_table, evaluate, print_paper_table
from synthforge_hf.evaluation.celebamask_hq import ParsingScores, evaluate_celebamask_hq
from synthforge_hf.evaluation.lapa import class_table
from synthforge_hf.evaluation.report import EvaluationResult
from synthforge_hf.segmentation_classes import CLASS_ID, LAPA_CLASSES, SEGMENTATION_CLASSES, TO_LAPA


@pytest.fixture
def lapa(tmp_path: Path) -> tuple[Path, dict[int, np.ndarray]]:
    """Six test photos; the grey level of a photo names its mask in our classes."""
    folder = tmp_path / "lapa" / "test"
    for name in ("images", "labels", "landmarks"):
        (folder / name).mkdir(parents=True)
    table = np.array([LAPA_CLASSES.index(TO_LAPA.get(name, "background")) for name in SEGMENTATION_CLASSES], np.uint8)
    truth = {}
    points = np.stack([20 + np.arange(106) % 11 * 3, 20 + np.arange(106) // 11 * 3], axis=1)
    for number in range(6):
        labels = np.full((70, 80), CLASS_ID["skin"], np.uint8)
        labels[:10] = CLASS_ID["hat" if number % 2 else "hair"]
        labels[30:36, 10:20], labels[30:36, 50:60] = CLASS_ID["r_eye"], CLASS_ID["l_eye"]
        labels[50:56, 20:50] = CLASS_ID["u_lip"]
        truth[number] = labels
        Image.new("RGB", (80, 70), (number,) * 3).save(folder / "images" / f"{number}.png")
        Image.fromarray(table[labels]).save(folder / "labels" / f"{number}.png")
        lines = "\n".join(f"{x} {y}" for x, y in points)
        (folder / "landmarks" / f"{number}.txt").write_text(f"106\n{lines}\n")
    return tmp_path / "lapa", truth


def test_a_perfect_model_of_our_classes_is_perfect_by_table(oracle, lapa) -> None:
    folder, truth = lapa
    result = evaluate(oracle.knows(truth), "lapa", folder)
    assert result.num_images == 6
    assert result.metrics["mean_f1"] == pytest.approx(100)
    assert set(result.metrics["f1"]) == {"background", "skin", "left_eye", "right_eye", "upper_lip", "hair"}
    for part in ("zero-shot", "subset test", "crop 1.35 x", "left of right_eye in 6 of 6"):
        assert part in result.protocol


def test_exchanged_eyes_cost_both_classes(oracle, lapa) -> None:
    folder, truth = lapa
    exchanged = np.arange(19, dtype=np.uint8)
    exchanged[[CLASS_ID["l_eye"], CLASS_ID["r_eye"]]] = CLASS_ID["r_eye"], CLASS_ID["l_eye"]
    result = evaluate(oracle.knows({number: exchanged[mask] for number, mask in truth.items()}), "lapa", folder)
    assert result.metrics["f1"]["left_eye"] == 0
    assert result.metrics["f1"]["skin"] == pytest.approx(100)
    assert result.metrics["mean_f1"] == pytest.approx(100 * 3 / 5)


def test_a_training_share_leaves_the_others(oracle, lapa) -> None:
    folder, truth = lapa
    result = evaluate(oracle.knows(truth), "lapa", folder, train_share=0.5)
    assert result.num_images == sum(NameSplit.from_share(0.5).held_out(str(number)) for number in range(6))
    assert 0 < result.num_images < 6
    assert "outside the training share 0.5" in result.protocol
    with pytest.raises(UsageError, match="share"):
        evaluate(oracle, "lapa", folder, train_share=1.5)


def test_folds_share_out_the_photos(oracle, lapa) -> None:
    folder, truth = lapa
    results = [evaluate(oracle.knows(truth), "lapa", folder, fold=fold) for fold in ("1/2", "2/2")]
    names = [{row["image"] for row in result.per_image} for result in results]
    assert names[0] | names[1] == {f"{number}.png" for number in range(6)}
    assert not names[0] & names[1]
    assert "subset test, only the fold 2/2;" in results[1].protocol


def test_the_real_model_runs_on_photos_as_shipped(analyser, lapa) -> None:
    result = evaluate(analyser, "lapa", lapa[0], limit=2)
    assert result.num_images == 2
    assert 0 <= result.metrics["mean_f1"] <= 100


def test_points_are_pixel_centres_counted_from_zero(lapa) -> None:
    photo = read_lapa(lapa[0])[0]
    assert photo.landmarks()[0].tolist() == [20.5, 20.5]
    assert photo.landmarks().shape == (106, 2)


def test_what_is_not_lapa_is_refused(lapa, tmp_path) -> None:
    folder, _ = lapa
    with pytest.raises(UsageError, match="train"):
        read_lapa(folder, "train")
    with pytest.raises(UsageError, match="subset"):
        read_lapa(folder, "testing")
    path = folder / "test" / "landmarks" / "3.txt"
    path.write_text("106\n1 2\n")
    with pytest.raises(SynthForgeError, match=r"3\.txt must hold the number 106"):
        read_lapa(folder)[3].landmarks()
    path.unlink()
    with pytest.raises(SynthForgeError, match=r"3\.png lacks its landmark .*3\.txt"):
        read_lapa(folder)
    Image.fromarray(np.full((70, 80), 11, np.uint8)).save(folder / "test" / "labels" / "0.png")
    (folder / "test" / "images" / "3.png").unlink()
    with pytest.raises(SynthForgeError, match="class 11"):
        read_lapa(folder)[0].segmentation()


def test_every_one_of_our_classes_has_a_place_in_lapa(analyser) -> None:
    table = class_table(analyser)
    assert len(table) == 19
    assert LAPA_CLASSES[table[CLASS_ID["l_eye"]]] == "right_eye"
    assert LAPA_CLASSES[table[CLASS_ID["eye_g"]]] == "skin"
    assert LAPA_CLASSES[table[CLASS_ID["neck"]]] == "background"
    assert set(TO_LAPA) <= set(SEGMENTATION_CLASSES)
    assert set(TO_LAPA.values()) | {"background"} == set(LAPA_CLASSES)


def printed(result: EvaluationResult, subset: str | None = None) -> str:
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    print_paper_table(result, subset, console)
    return console.export_text()


def test_the_papers_tables_show_ours_last_with_its_protocol() -> None:
    result = EvaluationResult("300w", "ground-truth boxes", "mini", 554, {"nme_interocular": 4.321})
    text = printed(result, "common")
    row = next(line for line in text.splitlines() if "(ours)" in line)
    assert [cell.strip() for cell in row.split("│")[1:-1]] == ["mini (ours)", "4.32", "", ""]
    assert "SB + LF with features" in text
    assert "2.90" in text
    assert "ours: 554 images; ground-truth boxes" in text
    row = next(line for line in printed(result, "afw").splitlines() if "(ours)" in line)
    assert [cell.strip() for cell in row.split("│")[1:-1]] == ["mini (ours)", "", "", "4.32"]
    lapa = EvaluationResult("lapa", "zero-shot", "mini", 2000, {"mean_f1": 55.5})
    assert "55.50" in printed(lapa)
    assert "90.03" in printed(lapa)
    celeba = EvaluationResult("celebamask-hq", "whole photo", "mini", 500, {"mean_f1": 1.0, "mean_f1_14": 60.25})
    assert "60.25" in printed(celeba)
    with pytest.raises(UsageError, match="synthforge"):
        printed(EvaluationResult("synthforge", "", "mini", 1, {}))
    with pytest.raises(UsageError, match="only: paper"):
        check_has_table("300w", "leaderboard")


def test_celebamask_hq_has_the_papers_fourteen_classes(oracle, tmp_path) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    truth = {}
    for number in range(4):
        labels = np.full((40, 40), CLASS_ID["skin"], np.uint8)
        labels[:10] = CLASS_ID["hair"]
        labels[30:] = CLASS_ID["cloth"]
        truth[number] = np.where(labels == CLASS_ID["cloth"], 0, labels).astype(np.uint8)
        Image.fromarray(labels).save(tmp_path / "masks" / f"{number}.png")
        Image.new("RGB", (40, 40), (number,) * 3).save(tmp_path / "images" / f"{number}.png")
    result = evaluate(oracle.knows(truth), "celebamask-hq", tmp_path, train_share=0.5)
    assert result.num_images == sum(NameSplit.from_share(0.5).held_out(str(number)) for number in range(4))
    assert result.metrics["mean_f1"] == pytest.approx(100 * 2 / 3)
    assert result.metrics["mean_f1_14"] == pytest.approx(100)
    scores = ParsingScores()
    for fold in ("1/2", "2/2"):
        evaluate_celebamask_hq(oracle.knows(truth), tmp_path, split=NameSplit.from_fold(fold), scores=scores)
    assert scores.compute() == evaluate(oracle.knows(truth), "celebamask-hq", tmp_path).metrics


def test_the_command_prints_the_table(model_folder, lapa, tmp_path, capsys) -> None:
    arguments = ["evaluate", str(model_folder), "--benchmark", "lapa", "--data", str(lapa[0])]
    arguments += ["--output", str(tmp_path / "results.json"), "--device", "cpu"]
    assert run([*arguments, "--train-share", "0.5", "--table", "paper"]) == 0
    shown = capsys.readouterr().out
    assert "(ours)" in shown
    assert "outside the training share 0.5" in shown
    assert run([*arguments, "--table", "board"]) == 2
    assert "only: paper" in capsys.readouterr().err
