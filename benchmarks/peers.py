"""From a file to its vector: soundseek beside the code that others run text-audio models and taggers with.

Every contender is a process of its own with one thread, which loads its network once. They take turns, file by file, so
that what else the machine does slows all of them; medians with their quartiles are compared, of processor time and of
wall time. Weights are random, which changes no time. A contender whose packages are not here says so, and is left out:

    python benchmarks/peers.py --models DIR --prepare                  # export the networks, which takes some minutes
    python benchmarks/peers.py --models DIR --json docs/results/peers.json     # under ten minutes on two idle cores
    python benchmarks/peers.py --python OTHER/bin/python               # for laion-clap and msclap, which need their own

It can be run in pieces, each with all that is to be compared: `--seconds 10`, then `--seconds 30 --into` the same JSON;
a piece of another commit or machine is not added. `--workers 2` measures how much faster two processes at once are.

A file longer than a window is several windows here (10 s, every 5 s), and one random window in CLAP's own code: the
ratio is of the time for a window.

The bars: exported HTS-AT at least 2 times as fast as transformers' and laion-clap's own code in fp32, 3 times in int8.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machine import commit, machine

BARS = {"htsat-fp32": 2.0, "htsat-int8": 3.0}
OWN_CODE = ("transformers", "laion-clap")
CNN14_OWN = "panns-inference"
FORMATS = ("wav", "flac", "mp3")
SECONDS = (10, 30)
_FILES_A_WORKER, _WORKER_TURNS = 10, 5
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_REPLY = "\x1epeers "  # in front of what a contender answers; their packages print to stdout as well

Embed = Callable[[str], Any]


def main() -> None:
    """Measure, print a table, and write JSON where asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7, help="timed runs of each contender and file")
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"of: {', '.join(CONTENDERS)}")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the others' code")
    parser.add_argument(
        "--models", type=Path, metavar="DIR", help="keep the exported networks here for the next run"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here, too")
    parser.add_argument("--into", action="store_true", help="add it to what --json holds already")
    parser.add_argument("--prepare", action="store_true", help="export the networks, and measure nothing")
    parser.add_argument(
        "--seconds", type=int, nargs="+", choices=SECONDS, default=SECONDS, help="of the files"
    )
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS, help="of the files")
    parser.add_argument(
        "--workers",
        type=int,
        default=0,
        metavar="N",
        help="processes at once, beside one, for soundseek-small",
    )
    parser.add_argument("--serve", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve[0], Path(arguments.serve[1]))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.models or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        names = arguments.only or list(CONTENDERS)
        if arguments.prepare:
            write_files(folder)
            print(json.dumps(make_models(folder, names)))
            return
        kinds = [f"{seconds}.{kind}" for seconds in arguments.seconds for kind in arguments.formats]
        result = measure(folder, names, arguments.repeats, arguments.python, kinds)
        if arguments.workers:
            found = measure_workers(folder, arguments.workers, kinds)
            found |= {"commit": result["commit"], "load_average": os.getloadavg()}
            result["workers"] = [found]
    if arguments.into and arguments.json:
        result = joined(json.loads(arguments.json.read_text(encoding="utf-8")), result)
    print(table(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def measure(folder: Path, names: list[str], repeats: int, python: str, kinds: list[str]) -> dict[str, Any]:
    """Medians and quartiles of each contender and file, ratios, memory, machine and versions."""
    files = [file for file in write_files(folder) if file.name in kinds]
    cosines = make_models(folder, names)
    contenders: dict[str, Contender] = {}
    missing: dict[str, str] = {}
    for name in names:
        own = name in ("transformers", "laion-clap", "panns-inference", "msclap")
        contender = Contender(name, folder, python if own else sys.executable)
        if contender.problem:
            missing[name] = contender.problem
            print(f"{name}: left out, {contender.problem}", file=sys.stderr)
        else:
            contenders[name] = contender
    times: dict[str, dict[str, list[tuple[float, float]]]] = {name: {} for name in contenders}
    for turn in range(repeats + 1):
        for file in files:
            for name, contender in contenders.items():
                spent = contender.embed(file)
                if turn:
                    times[name].setdefault(file.name, []).append(spent)
    results = {
        name: {
            "cpu_s": {file: spread([cpu for cpu, _ in values]) for file, values in times[name].items()},
            "wall_s": {file: spread([wall for _, wall in values]) for file, values in times[name].items()},
            "windows": contender.windows,
            "memory_mb": contender.memory_mb(),
            "versions": contender.versions,
        }
        for name, contender in contenders.items()
    }
    for contender in contenders.values():
        contender.close()
    return {
        "repeats": repeats,
        "contenders": results,
        "missing": missing,
        "ratios": ratios(results),
        "bars": BARS,
        "cosine": cosines,
        "load_average": os.getloadavg(),
        "machine": machine(),
        "commit": commit(),
    }


def joined(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Two pieces of one run as one result.

    Raises:
        SystemExit: They are of different code or machines.
    """
    for fact in ("commit", "machine", "repeats"):
        if before[fact] != after[fact]:
            raise SystemExit(f"not added: {fact} is {after[fact]}, and was {before[fact]}")
    contenders = {**before["contenders"]}
    for name, values in after["contenders"].items():
        known = contenders.get(name, {"cpu_s": {}, "wall_s": {}, "windows": {}, "memory_mb": 0.0})
        parts = {part: {**known[part], **values[part]} for part in ("cpu_s", "wall_s", "windows")}
        most = max(known["memory_mb"], values["memory_mb"])
        contenders[name] = {**values, **parts, "memory_mb": most}
    missing = {
        name: why for name, why in (before["missing"] | after["missing"]).items() if name not in contenders
    }
    return {
        **before, **after, "contenders": contenders, "missing": missing, "ratios": ratios(contenders),
        "cosine": before["cosine"] | after["cosine"],
    }  # fmt: skip


def measure_workers(folder: Path, workers: int, kinds: list[str]) -> dict[str, Any]:
    """How many times as many files a number of processes embed in a second as one does, soundseek-small each."""
    files = [file for file in write_files(folder) if file.name in kinds] * _FILES_A_WORKER
    contenders = [Contender("soundseek-small", folder, sys.executable) for _ in range(workers)]
    for contender in contenders:
        contender.embed(files[0])

    def run(some: list[Contender]) -> tuple[float, float]:
        """Files a second, and processor seconds of a file."""
        cpu_s: list[float] = []
        began = time.perf_counter()
        threads = [
            threading.Thread(target=lambda each=each: cpu_s.extend(each.embed(file)[0] for file in files))
            for each in some
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return len(some) * len(files) / (time.perf_counter() - began), statistics.mean(cpu_s)

    turns = [(run(contenders), run(contenders[:1])) for _ in range(_WORKER_TURNS)]
    for contender in contenders:
        contender.close()
    return {
        "processes": workers,
        "times_as_fast": spread([together[0] / alone[0] for together, alone in turns]),
        # Above 1 they are in each other's way (memory, caches, clock); at 1 they wait, for other work on the machine.
        "cpu_s_over_alone": spread([together[1] / alone[1] for together, alone in turns]),
    }


def spread(values: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
    return {"median": middle, "low": low, "high": high}


def ratios(results: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Processor time of their own code for one window over that of ours, the median over the files."""
    found: dict[str, dict[str, float]] = {}
    pairs = [(ours, own) for ours in ("htsat-fp32", "htsat-int8") for own in OWN_CODE]
    pairs += [(ours, CNN14_OWN) for ours in ("cnn14-fp32", "cnn14-int8")]
    pairs += [("soundseek-small", other) for other in (*OWN_CODE, "htsat-fp32", "cnn14-fp32", CNN14_OWN)]
    for ours, own in pairs:
        if ours in results and own in results:
            each = [
                (results[own]["cpu_s"][file]["median"] / results[own]["windows"][file])
                / (results[ours]["cpu_s"][file]["median"] / results[ours]["windows"][file])
                for file in results[ours]["cpu_s"]
            ]
            found.setdefault(ours, {})[own] = statistics.median(each)
    return found


def table(result: dict[str, Any]) -> str:
    """The result for reading."""
    lines = [f"processor seconds from file to vector, median of {result['repeats']} (wall beside it)"]
    known = {file for values in result["contenders"].values() for file in values["cpu_s"]}
    files = [f"{seconds}.{kind}" for seconds in SECONDS for kind in FORMATS if f"{seconds}.{kind}" in known]
    lines.append(f"{'':18}" + "".join(f"{file:>18}" for file in files) + f"{'MB':>7}")
    for name, values in result["contenders"].items():
        cells = [
            f"{values['cpu_s'][file]['median']:9.3f} ({values['wall_s'][file]['median']:5.3f})"
            if file in values["cpu_s"]
            else ""
            for file in files
        ]
        lines.append(f"{name:18}" + "".join(f"{cell:>18}" for cell in cells) + f"{values['memory_mb']:7.0f}")
    for name, problem in result["missing"].items():
        lines.append(f"{name:18} left out: {problem}")
    for ours, others in result["ratios"].items():
        for own, ratio in others.items():
            bar = f" (bar {BARS[ours]:g})" if ours in BARS else ""
            lines.append(f"{ours} over {own}: {ratio:.2f} x of processor time for a window{bar}")
    for workers in result.get("workers", ()):
        lines.append(
            f"{workers['processes']} processes: {workers['times_as_fast']['median']:.2f} x as fast as one, a file for "
            f"{workers['cpu_s_over_alone']['median']:.2f} x the processor time"
        )
    cosines = ", ".join(f"{name} {cosine:.5f}" for name, cosine in result["cosine"].items())
    lines.append(f"least cosine with PyTorch: {cosines}")
    lines.append(f"{result['machine']}, load {result['load_average'][0]:.1f}, commit {result['commit']}")
    return "\n".join(lines)


def write_files(folder: Path) -> list[Path]:
    """Stereo files at 44.1 kHz, of noise that comes and goes over a tone."""
    import numpy as np
    import soundfile

    rate, generator, files = 44_100, np.random.default_rng(0), []
    for seconds in SECONDS:
        time_s = np.arange(seconds * rate) / rate
        noise = generator.standard_normal((len(time_s), 2)) * (0.05 + 0.05 * np.sin(time_s)[:, None] ** 2)
        sound = (noise + 0.1 * np.sin(2 * np.pi * 440 * time_s)[:, None]).astype(np.float32)
        for kind in FORMATS:
            files.append(folder / f"{seconds}.{kind}")
            soundfile.write(files[-1], sound, rate)
    return files


def make_models(folder: Path, names: list[str]) -> dict[str, float]:
    """Model directories and checkpoints with random weights, and the least cosines of the exports with PyTorch."""
    cosines = {}
    if {"htsat-fp32", "htsat-int8", "transformers"} & set(names) and not (folder / "clap").exists():
        write_clap(folder / "clap")
    for name in ("htsat-fp32", "htsat-int8"):
        if name in names:
            if not (folder / name).exists():
                export_htsat(folder / "clap", folder / name, name.rpartition("-")[2])
            parity = json.loads((folder / name / "config.json").read_text(encoding="utf-8"))["training"][
                "parity"
            ]
            cosines[name] = parity.get("audio_int8", parity["audio"])
    if {"cnn14-fp32", "cnn14-int8"} & set(names) and not (folder / "cnn14-int8.onnx").exists():
        export_cnn14(folder)
    return cosines


def write_clap(directory: Path) -> None:
    """A `ClapModel` of LAION's unfused size with random weights, and its feature extractor."""
    import torch
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    torch.manual_seed(0)
    model = ClapModel(ClapConfig()).eval()
    with torch.no_grad():  # as after training: log-mels in decibels come out near 0
        model.audio_model.audio_encoder.batch_norm.running_mean.fill_(-40.0)
        model.audio_model.audio_encoder.batch_norm.running_var.fill_(400.0)
    model.save_pretrained(directory)
    extractor = ClapFeatureExtractor(truncation="rand_trunc", padding="repeatpad", frequency_min=50)
    extractor.save_pretrained(directory)


def export_htsat(checkpoint: Path, out: Path, precision: str) -> dict[str, float]:
    """A model directory with the exported audio tower, and a text tower of no use."""
    import torch
    from tokenizers import Tokenizer, models
    from transformers import ClapModel

    from soundseek.audio.logmel import CLAP_FRONT_END
    from soundseek.learn.export.clap import ClapAudio
    from soundseek.learn.export.towers import CardFacts, Towers, export_towers

    class Words(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(256, 512)

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.table(input_ids).mean(dim=1)

    tokenizer = Tokenizer(models.BPE(vocab={chr(number): number for number in range(256)}, merges=[]))
    model = ClapModel.from_pretrained(checkpoint, attn_implementation="eager").eval()
    towers = Towers(ClapAudio(model, CLAP_FRONT_END), Words().eval(), tokenizer, CLAP_FRONT_END)
    return export_towers(towers, out, CardFacts(out.name), audio_precision=precision)  # type: ignore[arg-type]


def export_cnn14(folder: Path) -> None:
    """CNN14's trunk with a linear head in fp32, and with int8 convolutions."""
    import shutil

    from soundseek.audio.logmel import PANNS_FRONT_END
    from soundseek.learn.export.export import export_audio
    from soundseek.learn.export.quantize import calibration_log_mels, quantize_convolutions
    from soundseek.learn.models.audio.cnn14 import CNN14Config, CNN14Trunk
    from soundseek.learn.models.dual_encoder import DualEncoder

    trunk = CNN14Trunk(CNN14Config(reduction="none"))
    model = DualEncoder(dim=512, audio_width=trunk.width, text_width=8, trunk=trunk).eval()
    export_audio(model, folder / "cnn14-fp32.onnx")
    shutil.copyfile(folder / "cnn14-fp32.onnx", folder / "cnn14-int8.onnx")
    quantize_convolutions(folder / "cnn14-int8.onnx", calibration_log_mels(PANNS_FRONT_END))


class Contender:
    """A process that embeds files for us, one at a time."""

    def __init__(self, name: str, folder: Path, python: str) -> None:
        self._process = subprocess.Popen(
            [python, __file__, "--serve", name, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **dict.fromkeys(_ONE_THREAD, "1"), "TOKENIZERS_PARALLELISM": "false"},
        )
        self.windows: dict[str, int] = {}
        answer = self._answer()
        self.problem: str = answer.get("problem", "")
        self.versions: dict[str, str] = answer.get("versions", {})

    def embed(self, file: Path) -> tuple[float, float]:
        """Processor and wall seconds."""
        answer = self._ask(str(file))
        self.windows[file.name] = answer["windows"]
        return answer["cpu_s"], answer["wall_s"]

    def memory_mb(self) -> float:
        """The most that it has held."""
        return float(self._ask("")["memory_mb"])

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _ask(self, line: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        print(line, file=self._process.stdin, flush=True)
        answer = self._answer()
        if "problem" in answer:
            raise RuntimeError(answer["problem"])
        return answer

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(_REPLY):
                found: dict[str, Any] = json.loads(line.removeprefix(_REPLY))
                return found
        return {"problem": f"its process ended with {self._process.wait()}"}


def serve(name: str, folder: Path) -> None:
    """Be a contender: a path a line on stdin, what it cost on stdout."""

    def say(**answer: Any) -> None:
        print(f"{_REPLY}{json.dumps(answer)}", flush=True)

    try:
        embed, windows_of, packages = CONTENDERS[name](folder)
    except Exception as error:  # whatever their packages raise where something of theirs is missing
        say(problem=f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
        return
    from importlib.metadata import version

    say(versions={package: version(package) for package in packages})
    for line in sys.stdin:
        path = line.strip()
        if not path:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            say(memory_mb=peak / (1e6 if sys.platform == "darwin" else 1e3))
            continue
        wall, cpu = time.perf_counter(), time.process_time()
        embed(path)
        say(cpu_s=time.process_time() - cpu, wall_s=time.perf_counter() - wall, windows=windows_of(path))


Loaded = tuple[Embed, Callable[[str], int], tuple[str, ...]]


def _seconds(path: str) -> int:
    return int(Path(path).stem)


def _windows(path: str) -> int:
    """Windows of ten seconds, every five."""
    return 1 + max(0, _seconds(path) - 10) // 5


def _tens(path: str) -> int:
    """Tens of seconds, for networks whose work grows with the file."""
    return _seconds(path) // 10


def soundseek_model(name: str) -> Callable[[Path], Loaded]:
    """A model that is here: the bundled one, or one that `soundseek models get` has made, perhaps in `folder`."""

    def load(folder: Path) -> Loaded:
        from soundseek.model.model import Model
        from soundseek.model.registry import load_model

        model = Model(folder / name) if (folder / name).is_dir() else load_model(name)
        return model.embed_audio, _tens, ("soundseek", "onnxruntime", "numpy")

    return load


def htsat(precision: str) -> Callable[[Path], Loaded]:
    """An exported HTS-AT."""

    def load(folder: Path) -> Loaded:
        from soundseek.model.model import Model

        model = Model(folder / f"htsat-{precision}")
        return model.embed_audio, _windows, ("soundseek", "onnxruntime", "numpy")

    return load


def cnn14(precision: str) -> Callable[[Path], Loaded]:
    """An exported CNN14 behind our decoding and log-mel."""

    def load(folder: Path) -> Loaded:
        import onnxruntime

        from soundseek.audio.decode import read_audio
        from soundseek.audio.logmel import PANNS_FRONT_END, LogMel

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(folder / f"cnn14-{precision}.onnx"), options)
        log_mel = LogMel(PANNS_FRONT_END)

        def embed(path: str) -> Any:
            waveform = read_audio(path, sample_rate_hz=PANNS_FRONT_END.sample_rate_hz)
            return session.run(None, {"log_mel": log_mel(waveform)[None]})[0].mean(axis=1)

        return embed, _tens, ("soundseek", "onnxruntime", "numpy")

    return load


def transformers_clap(folder: Path) -> Loaded:
    """transformers' `ClapModel` and `ClapFeatureExtractor` behind librosa, as its documentation shows."""
    import librosa
    import torch
    from transformers import ClapFeatureExtractor, ClapModel

    torch.set_num_threads(1)
    model = ClapModel.from_pretrained(folder / "clap").eval()
    extractor = ClapFeatureExtractor.from_pretrained(folder / "clap")

    def embed(path: str) -> Any:
        waveform, rate = librosa.load(path, sr=48_000)
        features = extractor(waveform, sampling_rate=rate, return_tensors="pt")
        with torch.no_grad():
            return model.get_audio_features(input_features=features["input_features"].float())

    return embed, lambda path: 1, ("transformers", "torch", "librosa", "numpy")


def laion_clap(folder: Path) -> Loaded:
    """`laion_clap.CLAP_Module` and its `get_audio_embedding_from_filelist`."""
    import torch
    import transformers

    torch.set_num_threads(1)
    _without_downloads(transformers)
    _stand_in_for({"torchvision", "torchaudio", "webdataset", "h5py", "wget", "braceexpand", "ftfy"})
    sys.argv = sys.argv[:1]  # its package reads the command line
    import laion_clap

    module = laion_clap.CLAP_Module(enable_fusion=False, amodel="HTSAT-tiny", device="cpu")

    def embed(path: str) -> Any:
        with torch.no_grad():
            return module.get_audio_embedding_from_filelist([path])

    return embed, lambda path: 1, ("laion-clap", "torch", "librosa", "numpy")


def panns_inference(folder: Path) -> Loaded:
    """The PANNs authors' class behind librosa."""
    import librosa
    import torch

    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    import panns_reference

    torch.set_num_threads(1)
    network = panns_reference.cnn14()

    def embed(path: str) -> Any:
        waveform, _ = librosa.load(path, sr=32_000)
        with torch.no_grad():
            return network(torch.from_numpy(waveform[None]))["embedding"]

    return embed, _tens, ("panns-inference", "torch", "librosa", "numpy")


def msclap(folder: Path) -> Loaded:
    """`msclap.CLAP` of 2023 and its `get_audio_embeddings`."""
    import torch
    import transformers

    torch.set_num_threads(1)
    _without_downloads(transformers)
    from msclap import CLAP
    from msclap.models.clap import CLAP as Network

    checkpoint = folder / "msclap.pth"
    network = Network("HTSAT", 44_100, 1024, 320, 64, 50, 8000, 527, 768, "gpt2", 768, 1024)
    torch.save({"model": network.state_dict()}, checkpoint)
    module = CLAP(model_fp=checkpoint, version="2023", use_cuda=False)

    def embed(path: str) -> Any:
        return module.get_audio_embeddings([path])

    return embed, lambda path: 1, ("msclap", "torch", "torchaudio", "numpy")


def _stand_in_for(names: set[str]) -> None:
    """Empty modules where these packages are not here: laion-clap imports them, for training and downloads alone."""
    import importlib.abc
    import importlib.util
    import types
    from importlib.machinery import ModuleSpec

    missing = {name for name in names if importlib.util.find_spec(name) is None}

    class Empty(types.ModuleType):
        def __getattr__(self, attribute: str) -> Any:
            if attribute.startswith("__"):
                raise AttributeError(attribute)
            return type(attribute, (), {"__init__": lambda self, *given, **named: None})

    class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
        def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
            return ModuleSpec(fullname, self, is_package=True) if fullname.split(".")[0] in missing else None

        def create_module(self, spec: ModuleSpec) -> types.ModuleType:
            return Empty(spec.name)

        def exec_module(self, module: types.ModuleType) -> None:
            """It stays empty."""

    sys.meta_path.append(Finder())


def _without_downloads(transformers: Any) -> None:
    """Text towers with random weights, and tokenizers that nobody asks, in place of those from the hub."""

    class Nothing:
        def add_special_tokens(self, tokens: object) -> None:
            """None is ever read."""

    def network(build: Callable[[], Any]) -> classmethod[Any, Any, Any]:
        return classmethod(lambda cls, *names, **options: build())

    gpt2 = network(lambda: transformers.GPT2Model(transformers.GPT2Config()))
    roberta = network(lambda: transformers.RobertaModel(transformers.RobertaConfig()))
    transformers.AutoModel.from_pretrained = gpt2
    transformers.RobertaModel.from_pretrained = roberta
    for name in ("AutoTokenizer", "RobertaTokenizer", "BertTokenizer", "BartTokenizer"):
        getattr(transformers, name).from_pretrained = network(Nothing)


CONTENDERS: dict[str, Callable[[Path], Loaded]] = {
    "soundseek-small": soundseek_model("soundseek-small"),
    "soundseek-plus": soundseek_model("soundseek-plus"),
    "htsat-fp32": htsat("fp32"),
    "htsat-int8": htsat("int8"),
    "transformers": transformers_clap,
    "laion-clap": laion_clap,
    "msclap": msclap,
    "cnn14-fp32": cnn14("fp32"),
    "cnn14-int8": cnn14("int8"),
    "panns-inference": panns_inference,
}


if __name__ == "__main__":
    main()
