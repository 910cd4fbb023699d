"""The original beside ours, for version 1."""

from collections.abc import Mapping
from typing import Any

import mlx.core as mx
import numpy as np

from ...contract import Case
from ...generate.sample import Sampler
from ...nn.stream import Stream
from ...taps import record_taps
from .lm.decode_text import decode_text
from .lm.decoder import config_sampler
from .original.cases_version1 import cases
from .original.lm import draws_as_released, lm_tokens
from .original.taps import Taps, voice_taps
from .original.version1 import flow_taps, lm_taps, vocoder_taps
from .original.workloads import Work
from .original.workloads_version1 import Work1
from .reference import Reference
from .vocoder.sampled_hift import SampledSource

STEPS = tuple(f"step {step + 1}" for step in range(10))


class Reference1(Reference):
    """As `Reference`, with version 1's language model, flow and noise."""

    WORK: type[Work] = Work1

    def cases(self) -> list[Case]:
        return list(cases(self.config))

    def _lm(self, inputs: Mapping[str, Any], theirs: Taps) -> Taps:
        lm = self.model.lm
        speaker = mx.array(inputs["speaker"]) if "speaker" in inputs else None
        with record_taps() as taps:
            lm.logits(lm(lm.embed_prompt(inputs["text"], inputs["speech"], speaker)))
        drawn = {}
        for name, sampler in (("greedy_tokens", Sampler(temperature=0)), ("drawn_tokens", config_sampler(lm))):
            if name not in theirs:
                continue
            tokens = decode_text(
                lm,
                inputs["text"],
                prompt_text=inputs["prompt_text"],
                prompt_speech=inputs["prompt_speech"],
                speaker=speaker,
                sampler=sampler,
                uniform=np.random.default_rng(inputs["seed"]).random,
                min_ratio=0 if name == "greedy_tokens" else 2,  # the package loops where the likeliest ends too early
                max_ratio=inputs["ratio"],
                as_original=True,
            )
            drawn[name] = np.array(list(tokens))
        return {name: np.array(taps[name]) for name in ("lm_hidden", "lm_logits")} | drawn

    def _audio(self, inputs: Mapping[str, Any], theirs: Taps) -> Taps:
        flow, hift = self.model.flow, self.model.hift
        arrays = (mx.array(inputs[name]) for name in ("tokens", "prompt_tokens", "prompt_mel", "speaker"))
        with record_taps() as taps:
            flow(*arrays, noise=mx.array(inputs["flow_noise"]))
        mel, noise = mx.array(theirs["mel"]), mx.array(inputs["noise"])
        vocoded = {
            "f0": hift.f0_predictor(mel, Stream()),
            "source": hift.source(mx.array(theirs["f0"]), noise),
            "audio": hift.decode(mel, mx.array(theirs["source"]), Stream()),
        }
        return {name: np.array(taps[name]) for name in ("encoder", "regulator", *STEPS, "mel")} | {
            name: np.array(value) for name, value in vocoded.items()
        }

    def _run(self, inputs: Mapping[str, Any], dtype: str) -> Taps:
        kind, is_narrow = inputs["kind"], dtype == "float32"
        if kind == "voice":
            return voice_taps(self.folder, inputs["audio"], self.config.version) if is_narrow else {}
        if kind == "lm":
            return self._run_lm(inputs, dtype)
        parts = self._parts(dtype, "flow", "hift")
        taps, _ = flow_taps(parts["flow"], inputs)
        starts = self.seen.get((inputs["name"], "float32"), taps)
        phases = SampledSource.initial_phases[: self.config.hift.nb_harmonics + 1]
        taps |= vocoder_taps(parts["hift"], starts["mel"], inputs["noise"], phases, {} if is_narrow else starts)
        if not is_narrow:
            del taps["source"]  # its phase is a sum over all samples, whose rounding is part of the value
        return taps

    def _run_lm(self, inputs: Mapping[str, Any], dtype: str) -> Taps:
        model = self._parts(dtype, "llm")["llm"]
        speaker = inputs.get("speaker")
        taps = lm_taps(model, inputs["text"], inputs["speech"], speaker)
        if dtype == "float32":
            prompt = inputs["text"], inputs["prompt_text"], inputs["prompt_speech"]
            uniform = np.random.default_rng(inputs["seed"]).random
            taps["greedy_tokens"] = np.array(lm_tokens(model, *prompt, None, inputs["ratio"], speaker, min_ratio=0))
            if draws_as_released():
                taps["drawn_tokens"] = np.array(lm_tokens(model, *prompt, uniform, inputs["ratio"], speaker))
        return taps
