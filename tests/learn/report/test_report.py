"""The report from answers that are made by hand: four sounds, two captions each."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from soundseek.errors import DataError
from soundseek.learn.datasets.layout import Clip
from soundseek.learn.evaluation.intervals import bootstrap_interval
from soundseek.learn.evaluation.rankings import Answers, load_answers, questions, save_answers
from soundseek.learn.experiments.cost import CostMeter, machine
from soundseek.learn.recipe.load import Recipe, differences, flat_values, load_recipe
from soundseek.learn.report.document import (
    Code,
    Heading,
    Paragraph,
    Picture,
    Strong,
    Table,
    to_html,
    to_markdown,
)
from soundseek.learn.report.paper_numbers import TABLE_ONE
from soundseek.learn.report.report import write_report
from soundseek.learn.report.sections import Asked, without_folders
from soundseek.learn.report.summary import FinishedRun, difference, hardest_and_easiest, systems_of

torch.set_num_threads(1)

FILES = np.array(["rain.wav", "wind.wav", "dog.wav", "bell.wav"])
OWN = np.array([0, 0, 1, 1, 2, 2, 3, 3])
CAPTIONS = np.array([f"caption {number} of {FILES[clip]}" for number, clip in enumerate(OWN)])
ASKED = Asked("toys", "evaluation", 4, "soundseek reproduce", ("dim=8", "loss.temperature=0.1"), machine())


def answers(*rank: int) -> Answers:
    """Answers with these ranks; the top hit is the next sound, or the own one where the rank is 1."""
    ranks = np.array(rank)
    top = np.where(ranks == 1, OWN, (OWN + 1) % len(FILES))
    return Answers(FILES, CAPTIONS, OWN, ranks, top, np.where(ranks == 1, 0.1, -0.1 * ranks))


def finished(name: str, seed: int, *rank: int, **values: Any) -> FinishedRun:
    recipe = Recipe(name=name, seed=seed, notes="A | note.", **values)
    epochs = [
        {"epoch": epoch, "loss": 4.0 - epoch, "mAP10": 0.1 * epoch, "seconds": 2.0} for epoch in range(3)
    ]
    record = {
        "best_epoch": 2,
        "clips": 9,
        "versions": {"torch": "2.0"},
        "git": "abc",
        "trunk_sha256": "f" * 64,
    }
    cost = {"evaluation_s": 1.5, "peak_bytes": 2_000_000_000, "peak_gpu_bytes": None}
    return FinishedRun(recipe, answers(*rank), epochs, record, cost)


RUNS = [
    finished("cnn14", 0, 1, 1, 2, 4, 1, 4, 1, 4),
    finished("mine", 0, 1, 1, 1, 1, 1, 2, 1, 1, audio={"attention": "graph"}),
    finished("cnn14", 1, 1, 2, 2, 4, 2, 4, 1, 4),
    finished("mine", 1, 1, 1, 1, 1, 1, 2, 1, 2, audio={"attention": "graph"}),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(RUNS, ASKED, tmp_path_factory.mktemp("report"))


def row(text: str, heading: str, name: str) -> list[str]:
    """The cells of a row below a heading."""
    section = text.split(f"# {heading}\n", 1)[1]
    line = next(line for line in section.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_metrics_of_ranks_by_hand() -> None:
    found = answers(1, 2, 5, 6, 10, 11, 1, 1)
    assert found.per_query("R1").tolist() == [1, 0, 0, 0, 0, 0, 1, 1]
    assert found.per_query("R5").sum() == 5 and found.per_query("R10").sum() == 7
    assert found.per_query("mAP10").tolist() == pytest.approx([1, 1 / 2, 1 / 5, 1 / 6, 1 / 10, 0, 1, 1])


def test_a_score_is_the_mean_over_seeds_with_the_clips_bootstrap() -> None:
    cnn14, _ = systems_of(RUNS)
    score = cnn14.score("R1")
    assert score.seeds == (0.5, 0.25) and score.interval.value == 0.375
    assert score.deviation == pytest.approx(0.125 * 2**0.5)  # (n - 1): two values 0.125 from their mean
    mean = [1, 0.5, 0, 0, 0.5, 0, 1, 0]  # of each caption over the two seeds
    assert cnn14.per_query("R1").tolist() == mean
    expected = bootstrap_interval(mean, np.random.default_rng(0), groups=OWN)
    assert score.interval == expected


def test_a_difference_has_the_seeds_in_pairs() -> None:
    cnn14, mine = systems_of(RUNS)
    found = difference(mine, cnn14, "R1")
    assert found.seeds == (7 / 8 - 4 / 8, 6 / 8 - 2 / 8)
    assert found.paired.difference.value == pytest.approx(np.mean(found.seeds))
    assert difference(mine, mine, "R1").paired.significant is False


def test_the_recall_curve_by_hand() -> None:
    (system,) = systems_of([finished("a", 0, 1, 2, 2, 3, 3, 3, 4, 4)])
    assert system.recall_curve(4).tolist() == [1 / 8, 3 / 8, 6 / 8, 1]


def test_the_hardest_questions_are_the_worst_ranks_one_a_sound() -> None:
    (system,) = systems_of([finished("a", 0, 1, 2, 4, 3, 1, 1, 3, 1)])
    hardest, easiest = hardest_and_easiest(system, 3)
    assert hardest == [2, 6, 1]  # ranks 4 and 3, then 2; the other rank 3 asks for the sound of the rank 4
    assert easiest == [0, 4, 7]


def test_the_table_stands_beside_the_papers_and_has_a_dash_without(report: Path) -> None:
    text = report.read_text()
    cells = row(text, "Table I", "cnn14")
    assert cells[:3] == ["cnn14", "13.7", "37.5 ± 17.7"] and cells[7] == "23.2"
    cells = row(text, "Table I", "mine")
    assert cells[1] == cells[3] == cells[5] == cells[7] == "–"
    assert cells[2] == "**81.2 ± 8.8**"  # the best of its column


def test_the_report_says_what_must_be_known_before_its_numbers_are_read(report: Path) -> None:
    text = report.read_text()
    assert "**This is not Clotho.**" in text
    assert "**The audio trunk is not CNN14** but efficientat" in text.replace("** ", "** ").replace(
        " **", "**", 1
    )
    assert "**Set in every recipe:** `dim=8 loss.temperature=0.1`" in text
    assert "A \\| note." in text and "2 recipes, 2 seeds" in text and "9 sounds (development)" in text


def test_table_one_stands_beside_the_report_as_files(report: Path) -> None:
    records = json.loads((report.parent / "table-one.json").read_text())
    assert [(each["name"], each["seeds"], each["R1"]) for each in records] == [
        ("cnn14", 2, 37.5),
        ("mine", 2, 81.25),
    ]
    assert (
        (report.parent / "table-one.csv")
        .read_text()
        .startswith("name,seeds,R1,R1_std,R1_low,R1_high,R1_paper,")
    )
    assert r"\textbf{81.2} $\pm$ 8.8" in (report.parent / "table-one.tex").read_text()


def test_the_comparison_has_interval_and_seeds(report: Path) -> None:
    cells = row(report.read_text(), "Do the systems differ?", "mine")
    assert re.fullmatch(r"(\*\*)?\+43\.8 \(\+\d+\.\d to \+\d+\.\d\)(\*\*)?", cells[1])
    assert 0 < float(cells[5]) < 1 and len(cells[6].split()) == 2


def test_others_are_compared_with_the_best_as_well(tmp_path: Path) -> None:
    third = finished("third", 0, 1, 2, 2, 4, 2, 4, 1, 4)
    text = write_report([*RUNS, third], ASKED, tmp_path).read_text()
    below = text.split("The same above mine, the best:", 1)[1].split("mAP10, row minus column", 1)[0]
    cells = row(f"# x\n{below}", "x", "cnn14")
    assert cells[1].strip("*").startswith("-43.8 (-")  # what mine is above cnn14
    assert "| third |" in below and "| mine |" not in below


def test_the_worst_question_is_told_with_its_sound_and_the_top_hit(report: Path) -> None:
    cells = row(report.read_text(), "Worst and best questions", "2")
    assert cells == [
        "2", "caption 5 of dog.wav", "dog.wav: caption 4 of dog.wav", "bell.wav: caption 6 of bell.wav"
    ]  # fmt: skip


def test_time_memory_versions_and_differences_are_told(report: Path) -> None:
    text = report.read_text()
    assert "| mine | 1 | 3 | 3 | 6.0 s | 2.0 s | 1.5 s | 2.00 GB | – |" in text
    assert "torch 2.0" in text and "`abc`" in text
    assert "| `audio.attention` | none | graph |" in text


def test_unfinished_and_failed_runs_are_said(tmp_path: Path) -> None:
    asked = Asked("toys", "evaluation", 4, "x", (), machine(), {"sjtu": "no file /home/me/w.pth; fetch it"})
    text = write_report(RUNS[:2], asked, tmp_path).read_text()
    assert "**2 of 4 runs are finished.**" in text
    assert "**sjtu** could not be run: no file w.pth; fetch it" in text
    assert "±" not in "".join(row(text, "Table I", "mine"))  # one seed has no deviation


def test_one_system_alone_makes_a_report_without_comparison(tmp_path: Path) -> None:
    text = write_report([RUNS[0]], ASKED, tmp_path).read_text()
    assert "differ?" not in text and not (tmp_path / "differences.png").exists()


def test_twelve_systems_fit_into_one_report(tmp_path: Path) -> None:
    runs = [
        finished(name, 0, *np.random.default_rng(n).integers(1, 5, 8).tolist())
        for n, name in enumerate(TABLE_ONE)
    ]
    text = write_report(runs, ASKED, tmp_path).read_text()
    assert row(text, "Table I", "sjtu")[1] == "16.2"
    assert "of 66 pairs differ significantly in mAP10; 3.3 would by chance alone." in text


def test_runs_that_answered_different_questions_share_no_report(tmp_path: Path) -> None:
    other = finished("other", 0, *[1] * 8)
    changed = Answers(FILES, CAPTIONS[::-1], OWN, other.answers.rank, other.answers.top, other.answers.margin)
    with pytest.raises(DataError, match="different captions"):
        write_report([RUNS[0], FinishedRun(other.recipe, changed, [], {}, {})], ASKED, tmp_path)


def test_the_page_needs_no_other_file(report: Path) -> None:
    page = (report.parent / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_the_pictures_are_no_blank_sheets(report: Path) -> None:
    for path in report.parent.glob("*.png"):
        with Image.open(path) as picture:
            assert picture.width >= 900, path.name
            assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 50, path.name


def test_answers_come_back_from_disk_as_they_were(tmp_path: Path) -> None:
    save_answers(RUNS[0].answers, tmp_path / "ranks.npz")
    again = load_answers(tmp_path / "ranks.npz")
    assert again.same_questions(RUNS[0].answers) and again.rank.tolist() == RUNS[0].answers.rank.tolist()
    assert [path.name for path in tmp_path.iterdir()] == ["ranks.npz"]


def test_damaged_answers_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "ranks.npz").write_bytes(b"no numpy file")
    with pytest.raises(DataError, match="delete it and reproduce again"):
        load_answers(tmp_path / "ranks.npz")


def test_questions_keep_names_without_their_folder() -> None:
    files, captions, own = questions(
        [Clip(Path("/x/a.wav"), ("one", "two")), Clip(Path("/x/b.wav"), ("three",))]
    )
    assert (files.tolist(), captions.tolist(), own.tolist()) == (
        ["a.wav", "b.wav"],
        ["one", "two", "three"],
        [0, 0, 1],
    )


def test_text_stays_literal_in_both_forms_of_a_document() -> None:
    blocks = [
        Heading("H", 3), Paragraph("a*b <i>", Strong("|"), Code("x|y")), Table(["n"], [["1|2\n3"]]),
        Picture("p.png", "seen"),
    ]  # fmt: skip
    assert to_markdown(blocks) == (
        "### H\n\na\\*b \\<i\\>**\\|**`x|y`\n\n| n |\n| --- |\n| 1\\|2 3 |\n\n![seen](p.png)\n"
    )
    page = to_html(blocks, "T", {"p.png": b"\x89"})
    assert "<p>a*b &lt;i&gt;<strong>|</strong><code>x|y</code></p>" in page and 'alt="seen"' in page


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("audio.weights=/home/me/cnn14.pth", "audio.weights=cnn14.pth"),
        ("audio.weights=~/w/cnn14.pth and ../x/y", "audio.weights=cnn14.pth and y"),
        (r"C:\data\w.pth, more", "w.pth, more"),
        ("sentence-transformers/all-mpnet-base-v2", "sentence-transformers/all-mpnet-base-v2"),
        ("https://zenodo.org/record/3987831", "https://zenodo.org/record/3987831"),
        ("training.learning_rate=1e-4", "training.learning_rate=1e-4"),
    ],
)
def test_folders_do_not_reach_the_report(text: str, shown: str) -> None:
    assert without_folders(text) == shown


def test_the_papers_table_is_whole_and_in_order() -> None:
    assert len(TABLE_ONE) == 12
    for each in TABLE_ONE.values():
        assert each.R1 < each.mAP10 < each.R5 < each.R10
    assert max(TABLE_ONE, key=lambda name: TABLE_ONE[name].mAP10) == "sjtu"
    for name in list(TABLE_ONE)[-4:]:
        assert load_recipe(name).name == name


def test_recipes_differ_in_dotted_keys() -> None:
    one, other = Recipe(name="a"), Recipe(name="a", training={"epochs": 3})  # type: ignore[arg-type]
    assert differences([one, other]) == {"training.epochs": [50, 3]}
    assert flat_values(other)["training.epochs"] == 3 and flat_values(one)["audio.attention_options"] == {}


def test_the_meter_sees_what_its_block_held() -> None:
    with CostMeter() as small:
        pass
    with CostMeter() as large:
        held = np.ones(25_000_000)  # 200 MB
        del held
    assert large.cost.peak_bytes > small.cost.peak_bytes + 150e6 or not Path("/proc/self/clear_refs").exists()
    assert large.cost.wall_s > 0
    assert (large.cost.peak_gpu_bytes is None) == (not torch.cuda.is_available())
