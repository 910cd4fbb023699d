"""From a manifest and a trunk to a trained head: features, split, training, test, file."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

from ..backend import blas
from ..errors import UsageError
from ..outputs import check_destination, check_figure
from ..progress import note
from ..units import count_text
from ..version import versions
from .cache import FeatureCache
from .card import HeadCard, head_card
from .config import Config
from .curves import plot_curves
from .evaluate import evaluate
from .examples import Example, make_examples, make_outputs
from .features import FRAME_S, Trunk, add_features, form_of
from .file import save_head
from .manifest import PARTS, Clip, read_manifest
from .saved_state import SavedStates
from .splits import assign_splits, shared, without_shared_texts, write_splits
from .train import Options, Trainer, data_digest

SPLIT_SEED = 0  # one split for all seeds of training
_SHOWN = 20  # of a list of problems in a report


@dataclass(frozen=True)
class TrainingReport:
    """A trained head and its figures. clips: used, by part. problems: what could not be used, and why."""

    path: Path
    report: Mapping[str, Any]
    problems: Sequence[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the report for JSON."""
        return {"output": str(self.path), **self.report, "problems": list(self.problems)}

    def lines(self) -> list[str]:
        """Return what is printed: the figures of the test part, and what was left out."""
        report = self.report
        clips = ", ".join(f"{part} {count}" for part, count in report["clips"].items())
        lines = [f"{report['head']}: {report['parameters']} parameters, {clips} clips, split by {report['split']}"]
        lines.append(f"best of {len(report['epochs'])} epochs: {report['best']}")
        for output, figures in report["test"].items():
            for name, (value, low, high) in figures["figures"].items():
                lines.append(f"test {output} {name}: {value:.4f}  [{low:.4f}, {high:.4f}]")
            lines += [f"test {output}: {text}" for text in figures.get("notes", ())]
        lines += [f"shared: {text}" for text in report["shared"]]
        if self.problems:
            lines += [
                f"left out: {count_text(len(self.problems), 'clip')}",
                *(f"  {p}" for p in self.problems[:_SHOWN]),
            ]
        return [*lines, str(self.path)]


def train_head(
    trunk: Trunk,
    name: str,
    data: Path,
    output: Path,
    *,
    features: Path | None = None,
    plot: Path | None = None,
    options: Options | None = None,
    n_pieces: int = 512,
    force: bool = False,
) -> TrainingReport:
    """Train the head `name` on a manifest and write it to `output`; a run that was killed goes on.

    features: folder of the cache, by default beside the manifest. The state is kept in `output`.training until the end.
    Raises: UsageError for options out of range and an output that exists, FormatError for data that cannot be used,
    MachineError if the disk refuses.
    """
    card, options = head_card(name), options or Options()
    if output.suffix != ".safetensors":
        raise UsageError(f"cannot write '{output}'", fix="name a .safetensors file")
    check_destination(output, regular=True)
    if plot is not None:
        check_figure(plot)
    work = output.with_name(f"{output.name}.training")
    if force:
        SavedStates(work, {}).remove()
    elif output.exists():
        raise UsageError("the file exists", where=output, fix="give --force to replace it")
    layers = card.layers(trunk.depth)
    folder = (features or data.with_name(f"{data.name}.features")) / f"layers-{'-'.join(map(str, layers))}"
    cache = FeatureCache(folder, form_of(trunk, layers))
    clips, problems = read_manifest(data)
    keys, unreadable = add_features(clips, trunk, cache)
    clips, kind = assign_splits([clip for clip in clips if clip.id in keys], SPLIT_SEED)
    clips, dropped = without_shared_texts(clips)
    if dropped:
        note(f"{count_text(len(dropped), 'clip')} left out: their text is in a part that is held out")
    config, parts, unusable = _examples(card, clips, keys, cache, n_pieces)
    settings = {
        "head": name,
        "config": config.to_dict(),
        **asdict(options),
        "data": data_digest([*parts["train"], *parts["dev"]]),
        "machine": {
            **versions(("pytorch-to-mlx", "pytorch-to-mlx-cpu", "mlx", "numpy")),
            "blas": blas.current().name,
            "device": str(mx.default_device()),
        },
    }
    states = SavedStates(work, settings)
    training = Trainer(config, parts["train"], parts["dev"], cache, options, states).run()
    scores = evaluate(training.head, parts["test"], cache, options.max_frames) if parts["test"] else []
    weights: dict[str, mx.array] = dict(tree_flatten(training.head.parameters()))
    report = {
        "head": name,
        "answers": card.summary,
        "metric": card.metric,
        "layers": list(layers),
        "parameters": sum(weight.size for weight in weights.values()),
        "clips": {part: len(parts[part]) for part in PARTS},
        "speakers": {part: len({example.clip.speaker for example in parts[part]}) for part in PARTS},
        "hours": {part: _hours(parts[part]) for part in PARTS},
        "features": cache.describe(),
        "split": kind,
        "shared": list(shared([example.clip for part in PARTS for example in parts[part]], keys))[:_SHOWN],
        "options": asdict(options),
        "data_sha256": settings["data"],
        "machine": settings["machine"],
        "best": training.best,
        "epochs": [asdict(epoch) for epoch in training.epochs],
        "test": {score.output: score.to_dict() for score in scores},
    }
    save_head(output, training.head, report)
    write_splits(output.with_suffix(".splits.jsonl"), clips)
    if plot is not None:
        plot_curves(training.epochs, training.best, plot, f"{name}, {count_text(len(parts['train']), 'clip')}")
    states.remove()
    return TrainingReport(output, report, [*problems, *unreadable, *unusable])


def _examples(
    card: HeadCard, clips: Sequence[Clip], keys: Mapping[str, str], cache: FeatureCache, n_pieces: int
) -> tuple[Config, dict[str, list[Example]], list[str]]:
    """Return the head's sizes, the examples of each part, and what cannot be used of them."""
    by_part = {part: [clip for clip in clips if clip.split == part] for part in PARTS}
    outputs = make_outputs(card.questions, by_part["train"], n_pieces)
    form = cache.form
    config = Config(form.trunk, form.width, form.layers, card.hidden_size, card.num_blocks, outputs)
    parts, problems = {}, []
    for part in PARTS:
        parts[part], unusable = make_examples(by_part[part], keys, cache, config)
        problems += unusable
    return config, parts, problems


def _hours(examples: Sequence[Example]) -> float:
    return round(sum(example.n_frames for example in examples) * FRAME_S / 3600, 4)
