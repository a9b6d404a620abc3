"""The paper's question: does attention between frames help, with which loss, and is it more than chance?

    python scripts/papers_question.py --data DIR --trunk efficientat --weights mn04.safetensors --out runs/question
    python scripts/papers_question.py --data DIR --trunk compact --weights trunk.safetensors --out runs/compact

{none, graph, self-attention} x {NT-Xent, supervised}, three seeds each, trained and evaluated as `soundseek reproduce`
does (OUT/report.md has all that it writes). Stopped, it goes on with the same command. The answer is written to
docs/results: `papers-question-TRUNK.json` and its picture `papers-question-TRUNK.png`.
"""

from __future__ import annotations

import argparse
import json
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from soundseek.learn.evaluation.rankings import METRICS
from soundseek.learn.experiments.cost import machine
from soundseek.learn.experiments.reproduce import Observer, finished, plan, reproduce
from soundseek.learn.report.sections import without_folders
from soundseek.learn.report.summary import NUM_RESAMPLES, FinishedRun, System, difference, systems_of

ROOT = Path(__file__).parents[1]
RECIPES = Path(__file__).with_suffix("")
ATTENTIONS = {"none": "no attention", "graph": "graph attention", "self": "self-attention"}
LOSSES = {"nt-xent": "NT-Xent", "supervised": "supervised contrastive"}
SHOWN = {"R1": "R@1", "R5": "R@5", "R10": "R@10", "mAP10": "mAP@10"}
COLOURS = {"nt-xent": "#0072b2", "supervised": "#d55e00"}


def main() -> None:
    """Train what is missing, then write the answer."""
    arguments = parse()
    settings = [f"audio.trunk={arguments.trunk}", f"audio.weights={arguments.weights}", *arguments.set]
    names = [str(RECIPES / f"{attention}-{loss}.yaml") for loss in LOSSES for attention in ATTENTIONS]
    wanted = {"num_seeds": arguments.seeds, "settings": settings}
    observer = Observer(say=lambda line: print(line, file=sys.stderr, flush=True))
    reproduce(names, arguments.data, arguments.out, split=arguments.split, observer=observer, **wanted)
    runs = list(finished(list(plan(names, arguments.out, **wanted))))
    asked = {
        "data": arguments.data.resolve().name,
        "split": arguments.split,
        "trunk": arguments.trunk,
        "weights": arguments.weights.name,
        "settings": [without_folders(setting) for setting in arguments.set],
    }
    stem = arguments.results / f"papers-question-{arguments.trunk}"
    stem.parent.mkdir(parents=True, exist_ok=True)
    report = answer(runs, asked)
    stem.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    stem.with_suffix(".png").write_bytes(picture(report))
    print(stem.with_suffix(".json"))


def answer(runs: list[FinishedRun], asked: dict[str, Any]) -> dict[str, Any]:
    """Every system's metrics, and its difference from the one without attention and with the same loss."""
    systems = {system.name: system for system in systems_of(runs)}
    answers = runs[0].answers
    seconds = [sum(epoch["seconds"] for epoch in run.epochs) for run in runs]
    return {
        **asked,
        "num_clips": len(answers.files),
        "num_captions": len(answers.captions),
        "num_resamples": NUM_RESAMPLES,
        "seeds": sorted({run.seed for run in runs}),
        "commits": sorted({str(run.record.get("git")) for run in runs}),
        "machine": machine(),
        "training_hours": round(sum(seconds) / 3600, 2),
        "systems": [
            {
                "attention": attention,
                "loss": loss,
                "metrics": {metric: scored(systems[f"{attention}-{loss}"], metric) for metric in METRICS},
                "against_none": compared(systems, attention, loss),
            }
            for loss in LOSSES
            for attention in ATTENTIONS
        ],
    }


def scored(system: System, metric: str) -> dict[str, Any]:
    """Mean over the seeds, their standard deviation, and the bootstrap's interval over sounds."""
    score = system.score(metric)
    mean, low, high = score.interval.value, score.interval.low, score.interval.high
    return {"value": mean, "sd": score.deviation, "low": low, "high": high, "seeds": score.seeds}


def compared(systems: dict[str, System], attention: str, loss: str) -> dict[str, Any] | None:
    """Paired bootstrap against no attention with the same loss; None for that system itself."""
    if attention == "none":
        return None
    found = {
        metric: difference(systems[f"{attention}-{loss}"], systems[f"none-{loss}"], metric)
        for metric in METRICS
    }
    return {
        metric: {
            "value": each.paired.difference.value,
            "low": each.paired.difference.low,
            "high": each.paired.difference.high,
            "p": each.paired.p_value,
            "seeds": each.seeds,
        }
        for metric, each in found.items()
    }


def picture(report: dict[str, Any]) -> bytes:
    """A panel a metric: the mean with its interval and a stroke for each seed, a colour for each loss."""
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(METRICS), sharey=True)
    for metric, axes in zip(METRICS, panels, strict=True):
        for system in report["systems"]:
            found, colour = system["metrics"][metric], COLOURS[system["loss"]]
            row = list(ATTENTIONS).index(system["attention"])
            row += -0.16 if system["loss"] == "nt-xent" else 0.16
            axes.plot([100 * found["low"], 100 * found["high"]], [row, row], color=colour, linewidth=2.2)
            axes.plot(100 * found["value"], row, "o", color=colour, label=LOSSES[system["loss"]])
            axes.plot(
                [100 * each for each in found["seeds"]],
                [row + 0.12] * len(found["seeds"]),
                "|",
                color=colour,
            )
        axes.set(title=SHOWN[metric], xlabel="%")
        axes.grid(axis="x", color="#e6e6e6")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(ATTENTIONS)), list(ATTENTIONS.values()))
    panels[0].invert_yaxis()
    handles, labels = panels[0].get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    figure.legend(once.values(), once.keys(), loc="outside lower center", ncols=2, frameon=False)
    out = BytesIO()
    figure.savefig(out, dpi=100, metadata={"Software": None})
    return out.getvalue()


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="captioned sounds in Clotho's layout")
    parser.add_argument("--trunk", default="efficientat", help="a frozen trunk's name (efficientat, compact)")
    parser.add_argument("--weights", type=Path, required=True, help="its weights")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs and of the long report")
    parser.add_argument("--split", default="evaluation", help="which captions to ask with")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each system")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="for every recipe: training.epochs=5"
    )
    parser.add_argument(
        "--results", type=Path, default=ROOT / "docs" / "results", help="where the answer goes"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
