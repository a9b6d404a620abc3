"""The benchmark of kinds of query: every query names concepts that exist, and answers are told by labels."""

from __future__ import annotations

import csv
import re
import sys
from collections import Counter
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SOUNDS = ROOT.parent / "shared" / "sounds"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    spec = spec_from_file_location("query_kinds", ROOT / "benchmarks" / "query_kinds.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    sys.modules["query_kinds"] = module
    spec.loader.exec_module(module)
    sys.path.remove(str(ROOT / "benchmarks"))
    return module


def test_every_query_names_concepts_that_exist_and_every_language_has_its_queries(
    benchmark: ModuleType,
) -> None:
    queries, concepts = benchmark.read_queries()
    for query in queries:
        assert {*query.concepts, *query.excluded} <= set(concepts), query
    kinds = Counter(query.kind if query.language == "English" else query.language for query in queries)
    assert len(kinds) == 10 + 4 + 14 and min(kinds.values()) >= 20, kinds


def test_what_answers_is_told_by_labels_and_the_excluded_do_not(benchmark: ModuleType) -> None:
    concepts = {"rain": re.compile(r"\brain\b"), "thunder": re.compile("thunder")}
    labels = {"a": "rain falling", "b": "rain and thunder", "c": "train passing", "d": "thunder"}
    rain = benchmark.Query("plain words", "English", "rain", ("rain",), ())
    only = benchmark.Query("negation", "English", "rain without thunder", ("rain",), ("thunder",))
    either = benchmark.Query("plain words", "English", "storm", ("rain", "thunder"), ())
    assert benchmark.answers(rain, labels, concepts) == {"a", "b"}
    assert benchmark.answers(only, labels, concepts) == {"a"}
    assert benchmark.answers(either, labels, concepts) == {"a", "b", "d"}


@pytest.mark.skipif(not SOUNDS.is_dir(), reason=f"the labelled clips are not in {SOUNDS}")
def test_every_query_has_answers_in_the_library_of_the_benchmark(benchmark: ModuleType) -> None:
    labels = benchmark.choose_clips(SOUNDS, benchmark.LEFT_OUT)
    with (SOUNDS / "metadata.csv").open(encoding="utf-8", newline="") as file:
        evaluation = {row["file_name"] for row in csv.DictReader(file) if row["split"] == "evaluation"}
    assert len(labels) == 1500 and not {Path(path).name for path in labels} & evaluation
    queries, concepts = benchmark.read_queries()
    for query in queries:
        assert len(benchmark.answers(query, labels, concepts)) >= 3, query
