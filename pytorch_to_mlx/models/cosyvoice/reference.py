"""The original beside ours: CosyVoice's own classes on the same weights and the same noise.

torch is imported inside the functions of its side: our side is measured without it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import mlx.core as mx
import numpy as np

from ...contract import Case, Workload
from ...contract import Reference as Contract
from ...generate.sample import Sampler
from ...nn.stream import Stream
from ...taps import record_taps
from .config import Parts
from .lm.decode_text import decode_text
from .lm.decoder import config_sampler
from .model import Model
from .original.cases import cases
from .original.lm import draws_as_released, lm_taps, lm_tokens
from .original.taps import Taps, audio_taps, cast, voice_taps
from .original.workloads import PARTS, Work, load_original, load_ours, read_config
from .release.files import flow_noise
from .voice.campplus import speaker_features
from .voice.s3_tokenizer import tokenizer_features


class Reference(Contract):
    """Both sides, open. The original's CAM++ and speech tokenizer are ONNX files, run by onnxruntime as it does.

    The original's other parts are read when a case needs them, and released after it: in float64 the language model
    takes 4 GB.
    """

    WORK: type[Work] = Work
    weights_from = "the release's own .pt files, read by torch.load, and its ONNX files, run by onnxruntime"

    def __init__(self, model: Model, config: Parts, folder: Path) -> None:
        self.model, self.config, self.folder = model, config, folder
        self.originals: dict[str, Any] = {}
        self.seen: dict[tuple[str, str], Taps] = {}  # what PyTorch gave for the last case

    @classmethod
    def open(cls, source_path: Path, mlx_path: Path | None = None) -> "Reference":
        return cls(load_ours(mlx_path or source_path), read_config(source_path), source_path)

    @classmethod
    def alone(
        cls, side: Literal["ours", "torch"], source_path: Path, mlx_path: Path | None = None
    ) -> Callable[[], Any]:
        work = cls.WORK(read_config(source_path))
        if side == "ours":
            return work.ours(load_ours(mlx_path or source_path))["total"]
        return work.torch({part: load_original(part, work.config, source_path) for part in PARTS})["total"]

    def cases(self) -> list[Case]:
        return list(cases(self.config))

    def not_compared(self) -> dict[str, str]:
        why = "cosyvoice2-eu draws otherwise; use FunAudioLLM/CosyVoice"
        return {} if draws_as_released() else {"drawn_tokens": why}

    def mlx(self, case: Case) -> Taps:
        theirs = self._torch(case, "float32")
        kind = str(case.inputs["kind"])
        return {"voice": self._voice, "lm": self._lm, "audio": self._audio}[kind](case.inputs, theirs)

    def torch(self, case: Case, dtype: str = "float32") -> Taps:
        return self._torch(case, dtype)

    def workloads(self) -> dict[str, Workload]:
        work = self.WORK(self.config)
        ours, theirs = work.ours(self.model), work.torch(self._parts("float32", *PARTS))
        works = {name: Workload(ours[name], theirs[name], work.audio_s) for name in theirs}
        streams = [name for name in ours if name.startswith("stream")]
        return works | {name: Workload(ours[name], None, work.audio_s, lambda: work.clock.first) for name in streams}

    # Ours; each stage starts from what float32 PyTorch computed before it.

    def _voice(self, inputs: Mapping[str, Any], theirs: Taps) -> Taps:
        audio = inputs["audio"]
        log_mel = tokenizer_features(audio)
        speaker = self.model.campplus(mx.array(np.array(speaker_features(audio))))
        ids = self.model.speech_tokenizer(mx.array(theirs["log_mel"]))
        return {name: np.array(v) for name, v in (("log_mel", log_mel), ("speaker", speaker), ("speech_tokens", ids))}

    def _lm(self, inputs: Mapping[str, Any], theirs: Taps) -> Taps:
        lm = self.model.lm
        with record_taps() as taps:
            lm.logits(lm(lm.embed_prompt(inputs["text"], inputs["speech"])))
        prompt = {name: inputs[name] for name in ("prompt_text", "prompt_speech")}
        drawn = {}
        for name, sampler in (("greedy_tokens", Sampler(temperature=0)), ("drawn_tokens", config_sampler(lm))):
            if name not in theirs:
                continue
            uniform = np.random.default_rng(inputs["seed"]).random
            tokens = decode_text(
                lm,
                inputs["text"],
                **prompt,
                sampler=sampler,
                uniform=uniform,
                max_ratio=inputs["ratio"],
                as_original=True,
            )
            drawn[name] = np.array(list(tokens))
        return {name: np.array(taps[name]) for name in ("lm_hidden", "lm_logits")} | drawn

    def _audio(self, inputs: Mapping[str, Any], theirs: Taps) -> Taps:
        flow, hift = self.model.flow, self.model.hift
        noise = flow_noise(self.config.flow.n_mels)
        arrays = (mx.array(inputs[name]) for name in ("tokens", "prompt_tokens", "prompt_mel", "speaker"))
        with record_taps() as taps:
            flow(*arrays, noise=noise, streaming=inputs["streaming"])
            f0 = hift.f0_predictor(mx.array(theirs["mel"]), Stream())
            source = hift.source(mx.array(theirs["f0"]), mx.array(inputs["noise"]))
            audio = hift.decode(mx.array(theirs["mel"]), mx.array(theirs["source"]), Stream())
        names = ("encoder", *(f"step {i + 1}" for i in range(10)), "mel")
        return {
            **{name: np.array(taps[name]) for name in names},
            "f0": np.array(f0),
            "source": np.array(source),
            "audio": np.array(audio),
        }

    # The original.

    def _torch(self, case: Case, dtype: str) -> Taps:
        if (case.name, dtype) not in self.seen:
            self.seen = {key: taps for key, taps in self.seen.items() if key[0] == case.name}
            self.seen[case.name, dtype] = self._run(case.inputs, dtype)
        return self.seen[case.name, dtype]

    def _run(self, inputs: Mapping[str, Any], dtype: str) -> Taps:
        kind = inputs["kind"]
        if kind == "voice":
            return voice_taps(self.folder, inputs["audio"], self.config.version) if dtype == "float32" else {}
        if kind == "lm":
            model = self._parts(dtype, "llm")["llm"]
            taps = lm_taps(model, inputs["text"], inputs["speech"])
            if dtype == "float32":
                prompt = inputs["text"], inputs["prompt_text"], inputs["prompt_speech"]
                uniform = np.random.default_rng(inputs["seed"]).random
                taps["greedy_tokens"] = np.array(lm_tokens(model, *prompt, None, inputs["ratio"]))
                if draws_as_released():
                    taps["drawn_tokens"] = np.array(lm_tokens(model, *prompt, uniform, inputs["ratio"]))
            return taps
        starts = self.seen.get((inputs["name"], "float32"))
        taps = audio_taps(**self._parts(dtype, "flow", "hift"), inputs=inputs, starts=starts)
        if dtype == "float64":
            del taps["source"]  # its phase is a sum over all samples, whose rounding is part of the value
        return taps

    def _parts(self, dtype: str, *names: str) -> dict[str, Any]:
        """These parts of the original in this precision, and no others in memory."""
        self.originals = {name: part for name, part in self.originals.items() if name in names}
        for name in names:
            if name not in self.originals:
                self.originals[name] = load_original(name, self.config, self.folder)
            cast(self.originals[name], dtype)
        return self.originals
