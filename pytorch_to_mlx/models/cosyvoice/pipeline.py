"""Text, or a recording, to speech in a voice: the original's modes, whole or as a stream."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Any

import mlx.core as mx
import numpy as np

from ...audio.resample import sinc_resample
from ...backend import memory
from ...backend.native import kernels
from ...checkpoint import open_checkpoint, read_config
from ...errors import CheckError, UsageError
from ...generate.sample import Sampler
from ...tasks import Speech
from ...weights import load_model
from .config import Config
from .flow.stream import FlowStream
from .lm.decoding import speech_tokens, speech_tokens_of_stream
from .model import Model
from .options import Options
from .original.streaming import OriginalStreams
from .release.files import extra_files
from .speakers import (
    FOLDER,
    HEARD_RATE,
    Speaker,
    Speakers,
    embedded_speaker,
    no_speaker,
    random_speaker,
    recorded_speaker,
    samples_of,
    speaker_of,
    speech_ids,
)
from .streaming import Clock, audio_of, mels_in_windows
from .text.normalize import iter_pieces, normalize
from .text.tokenizer import END_OF_PROMPT, TextTokenizer
from .vocoder.config import Noise
from .vocoder.stream import HiftStream
from .vocoder.stretch import stretched
from .weights import WEIGHTS, open_release

WINDOW_TOKENS = 750  # 30 s that voice conversion, and a stream of text, take at once: the cost grows with the square
VOCODER_FRAMES = 500  # 10 s that the vocoder takes at once, about 1 GB; in windows it takes 1.15 times as long
STREAM_WINDOW_TOKENS = 250  # 10 s that streamed voice conversion takes: what a stream of the flow remembers grows

Text = str | Iterable[str]


def load(path: Path, *, dequantize: bool | None = None) -> "CosyVoicePipeline":
    """Load CosyVoice 2 from a converted folder, or from the release's; no convert step is needed.

    dequantize: unpack a quantized language model; by default on a CPU without kernels for it.
    """
    if dequantize is None and hasattr(kernels(), "quantized_matmul"):
        dequantize = False
    model, config = load_model(
        path,
        lambda config: Model(Config.from_dict(config)),
        weight_map=WEIGHTS,
        open_release=open_release,
        dequantize=dequantize,
    )
    noise, folder = path / "noise.safetensors", path / FOLDER
    if noise.is_file():
        with open_checkpoint(noise) as file:
            flow_noise = file["flow"]
        speakers = Speakers(model.config, folder)
    else:
        files = {name: arrays for name, arrays in extra_files(path, config).items() if not isinstance(arrays, bytes)}
        flow_noise = files["noise.safetensors"]["flow"]
        speakers = Speakers(model.config, None)
        for name, arrays in files.items():
            if name.startswith(f"{FOLDER}/"):
                speakers.add(Path(name).stem, speaker_of(arrays, model.config, name))
    return CosyVoicePipeline(model, TextTokenizer.open(path), speakers, flow_noise)


def open_speakers(path: Path) -> Speakers:
    """The saved speakers of a converted folder; the model is not read."""
    return Speakers(Config.from_dict(read_config(path)), path / FOLDER)


class CosyVoicePipeline:
    """CosyVoice ready to speak; the methods are the original's, and yield speech piece by piece."""

    def __init__(self, model: Model, tokenizer: TextTokenizer, speakers: Speakers, flow_noise: mx.array) -> None:
        self.model, self.tokenizer, self.speakers = model, tokenizer, speakers
        self.flow_noise = flow_noise
        self.sample_rate = model.config.sample_rate
        self.clock = Clock()  # of the last request
        self._original_streams = OriginalStreams(model)

    # The original's modes.

    def inference_sft(self, tts_text: Text, spk_id: str, **options: Any) -> Iterator[Speech]:
        """Speak as a saved speaker, of whom the language model is told nothing."""
        clock = Clock()
        speaker = self.speaker(spk_id)
        bare = replace(speaker, mel=speaker.mel[:, :0], speech_tokens=(), prompt_text=())
        return self._speak(tts_text, bare, Options(**options), clock)

    def inference_zero_shot(
        self, tts_text: Text, prompt_text: str = "", prompt_wav: Any = None, zero_shot_spk_id: str = "", **options: Any
    ) -> Iterator[Speech]:
        """Go on speaking as a recording does, which says `prompt_text`; or as a speaker that was added from one."""
        given, clock = Options(**options), Clock()
        with clock.part("voice"):
            if zero_shot_spk_id:
                speaker = self.speaker(zero_shot_spk_id)
            else:
                speaker = self._heard(prompt_text, prompt_wav, given.text_frontend)
        return self._speak(
            tts_text, speaker, given, clock, prompt_text=speaker.prompt_text, prompt_speech=speaker.speech_tokens
        )

    def inference_cross_lingual(
        self, tts_text: Text, prompt_wav: Any = None, zero_shot_spk_id: str = "", **options: Any
    ) -> Iterator[Speech]:
        """Speak with the voice of a recording in whatever language the text is; what the recording says is not used."""
        given, clock = Options(**options), Clock()
        with clock.part("voice"):
            speaker = self._voice(prompt_wav, zero_shot_spk_id)
        return self._speak(tts_text, speaker, given, clock)

    def inference_instruct2(
        self,
        tts_text: Text,
        instruct_text: str,
        prompt_wav: Any = None,
        zero_shot_spk_id: str = "",
        **options: Any,
    ) -> Iterator[Speech]:
        """Speak with the voice of a recording in the way that `instruct_text` says, such as 'Speak slowly.'."""
        if not instruct_text.strip():
            raise UsageError("the instruction is empty", fix="say how to speak, or take another mode")
        whole = instruct_text if instruct_text.endswith(END_OF_PROMPT) else instruct_text + END_OF_PROMPT
        given, clock = Options(**options), Clock()
        with clock.part("voice"):
            speaker = self._voice(prompt_wav, zero_shot_spk_id)
        return self._speak(tts_text, speaker, given, clock, prompt_text=tuple(self.tokenizer.encode(whole)))

    def inference_vc(
        self, source_wav: Any, prompt_wav: Any = None, zero_shot_spk_id: str = "", **options: Any
    ) -> Iterator[Speech]:
        """What `source_wav` says, of any length, in the voice of `prompt_wav`."""
        given, clock = Options(**options), Clock()
        with clock.part("voice"):
            speaker = self._voice(prompt_wav, zero_shot_spk_id)
        with clock.part("listening"):
            samples, rate = samples_of(source_wav, self.sample_rate)
            tokens = speech_ids(self.model, sinc_resample(samples, rate, HEARD_RATE))
        return self._convert(tokens, speaker, given, clock)

    # Speakers.

    def list_available_spks(self) -> list[str]:
        return self.speakers.names()

    def add_zero_shot_spk(self, prompt_text: str, prompt_wav: Any, zero_shot_spk_id: str) -> bool:
        """Keep a recording's voice under a name; `save_spkinfo` writes it into the converted folder."""
        self.speakers.add(zero_shot_spk_id, self._heard(prompt_text, prompt_wav, True))
        return True

    def save_spkinfo(self) -> None:
        self.speakers.save()

    def speaker(self, name: str) -> Speaker:
        """A saved speaker; or 'none', 'random' and 'random:SEED' where no recording is at hand."""
        if name == "none":
            return no_speaker(self.model.config)
        if name == "random" or name.startswith("random:"):
            seed = name.partition(":")[2] or "0"
            if not seed.isdecimal() or int(seed) >= 2**32:
                raise UsageError(f"'{name}' is no random speaker", fix="random:SEED, with a SEED from 0 to 2**32 - 1")
            return random_speaker(self.model.config, int(seed))
        return self.speakers[name]

    def _voice(self, prompt_wav: Any, name: str) -> Speaker:
        """A recording, a saved speaker, a Speaker, or the 192 numbers of an embedding."""
        if (prompt_wav is None) == (not name):
            raise UsageError("give either a recording of the voice or a speaker's name")
        if name:
            return self.speaker(name)
        if isinstance(prompt_wav, Speaker):
            return prompt_wav
        if isinstance(prompt_wav, mx.array) or (isinstance(prompt_wav, np.ndarray) and prompt_wav.size <= 1024):
            return embedded_speaker(self.model.config, prompt_wav)
        return recorded_speaker(self.model, prompt_wav)

    def _heard(self, prompt_text: str, prompt_wav: Any, text_frontend: bool) -> Speaker:
        said = normalize(prompt_text) if text_frontend else prompt_text
        return replace(self._voice(prompt_wav, ""), prompt_text=tuple(self.tokenizer.encode(said)))

    # From text or tokens to audio.

    def _speak(
        self,
        text: Text,
        speaker: Speaker,
        options: Options,
        clock: Clock,
        *,
        prompt_text: tuple[int, ...] = (),
        prompt_speech: tuple[int, ...] = (),
    ) -> Iterator[Speech]:
        """Check everything that can be before the first piece is asked for."""
        sampler = self.sampler(options)
        pieces: Iterator[Text] = iter([text])
        if isinstance(text, str):
            if not text.strip():
                raise UsageError("there is no text to speak")
            found = iter_pieces(text, lambda piece: len(self.tokenizer.encode(piece)), normalized=options.text_frontend)
            with clock.part("text"):
                first = next(found, None)
            if first is None:
                raise UsageError("nothing in this text can be spoken")
            pieces = chain([first], found)
        return self._spoken(pieces, speaker, options, clock, sampler, prompt_text, prompt_speech)

    def sampler(self, options: Options) -> Sampler:
        config = self.model.config.lm
        named = {name: getattr(options, name) for name in ("top_k", "top_p", "win_size", "tau_r")}
        chosen = {name: getattr(config, name) if value is None else value for name, value in named.items()}
        return Sampler(temperature=options.temperature, **chosen)

    def _spoken(
        self,
        pieces: Iterable[Text],
        speaker: Speaker,
        options: Options,
        clock: Clock,
        sampler: Sampler,
        prompt_text: tuple[int, ...],
        prompt_speech: tuple[int, ...],
    ) -> Iterator[Speech]:
        self.clock = clock
        prefix: FlowStream | None = None
        start_s = 0.0
        for number, piece in enumerate(pieces):
            given = {
                "prompt_text": prompt_text,
                "prompt_speech": prompt_speech,
                "sampler": sampler,
                "uniform": np.random.default_rng([options.seed, number]).random,
                "max_ratio": options.max_ratio,
                "as_original": options.as_original,
            }
            if isinstance(piece, str):
                ids = self.tokenizer.encode(piece)
                tokens = speech_tokens(self.model.lm, ids, min_ratio=options.min_ratio, **given)
            else:
                words = (word for part in piece for word in self.tokenizer.encode(part))
                tokens = speech_tokens_of_stream(self.model.lm, words, **given)
            source_noise = self.model.hift.noise(options.seed + number)
            if options.stream and options.as_original:
                audios = self._streamed_as_original(tokens, speaker, options, source_noise, clock)
            elif options.stream:
                prefix = prefix or self._prefix(speaker, options, clock)
                length = len(speaker.speech_tokens)
                mels = mels_in_windows(self.model, tokens, prefix, length, clock, WINDOW_TOKENS)
                audios = audio_of(mels, HiftStream(self.model.hift, source_noise), clock)
            else:
                audios = self._whole(tokens, speaker, options, number, clock)
            text = piece if isinstance(piece, str) else ""
            began = perf_counter()
            for audio in audios:
                speech = Speech(_finite(audio), self.sample_rate, text, start_s=start_s)
                yield replace(speech, processing_s=perf_counter() - began)
                start_s, text, began = start_s + speech.duration_s, "", perf_counter()
            memory.give_back()  # pieces differ in length

    def _whole(
        self, tokens: Iterator[int], speaker: Speaker, options: Options, number: int, clock: Clock
    ) -> Iterator[np.ndarray]:
        spoken = list(clock.tokens(tokens))
        if not spoken:
            return
        with clock.part("flow"):
            mel = self.mel(spoken, speaker, options)
        yield self._audio(mel, options, number, clock)

    def mel(self, tokens: list[int], speaker: Speaker, options: Options) -> mx.array:
        """Shapes: L tokens -> [1, 2 L, n_mels]."""
        mel = self.model.flow(
            mx.array([tokens], dtype=mx.int32),
            speaker.tokens(),
            speaker.mel,
            speaker.embedding,
            noise=self.flow_noise,
            steps=options.steps,
            solver=options.solver,
        )
        mx.eval(mel)
        return mel

    def _audio(self, mel: mx.array, options: Options, number: int, clock: Clock) -> np.ndarray:
        with clock.part("vocoder"):
            mel = stretched(mel, options.speed)
            hift, frames = self.model.hift, mel.shape[1]
            noise = hift.noise(options.seed + number)
            if frames <= VOCODER_FRAMES:
                audio = np.array(hift(mel, noise(0, frames * hift.config.samples_per_frame))[0])
            else:
                vocoder, starts = HiftStream(hift, noise), range(0, frames, VOCODER_FRAMES)
                parts = [np.array(vocoder.feed(mel[:, start : start + VOCODER_FRAMES])[0]) for start in starts]
                audio = np.concatenate([*parts, np.array(vocoder.finish()[0])])
        clock.audio()
        return audio

    def _streamed_as_original(
        self, tokens: Iterator[int], speaker: Speaker, options: Options, noise: Noise, clock: Clock
    ) -> Iterator[np.ndarray]:
        streams = self._original_streams
        mels = streams.mels(tokens, speaker, clock, noise=self.flow_noise, steps=options.steps, solver=options.solver)
        return streams.audio(mels, noise, clock)

    def _prefix(self, speaker: Speaker, options: Options, clock: Clock) -> FlowStream:
        """The flow after the prompt, computed once and copied for each piece of text."""
        with clock.part("flow_prompt"):
            return FlowStream(
                self.model.flow,
                speaker.tokens(),
                speaker.mel,
                speaker.embedding,
                noise=self.flow_noise,
                steps=options.steps,
                solver=options.solver,
                max_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            )

    def _convert(self, tokens: list[int], speaker: Speaker, options: Options, clock: Clock) -> Iterator[Speech]:
        """Long recordings in windows of the flow; the vocoder goes over all of them without a seam."""
        self.clock = clock
        vocoder = HiftStream(self.model.hift, self.model.hift.noise(options.seed))
        audios = audio_of(self._windows(tokens, speaker, options, clock), vocoder, clock)
        began, start_s = perf_counter(), 0.0
        for audio in audios if options.stream else [np.concatenate(list(audios))]:
            speech = Speech(_finite(audio), self.sample_rate, start_s=start_s, processing_s=perf_counter() - began)
            yield speech
            start_s, began = start_s + speech.duration_s, perf_counter()

    def _windows(self, tokens: list[int], speaker: Speaker, options: Options, clock: Clock) -> Iterator[mx.array]:
        if options.stream:
            prefix, length = self._prefix(speaker, options, clock), len(speaker.speech_tokens)
            yield from mels_in_windows(self.model, iter(tokens), prefix, length, clock, STREAM_WINDOW_TOKENS)
            return
        for start in range(0, len(tokens), WINDOW_TOKENS):
            memory.give_back()
            with clock.part("flow"):
                mel = self.mel(tokens[start : start + WINDOW_TOKENS], speaker, options)
            yield stretched(mel, options.speed)


def _finite(audio: np.ndarray) -> np.ndarray:
    if not np.isfinite(audio).all():
        raise CheckError("the model made audio that is not finite", fix="its weights are damaged")
    return audio.astype(np.float32)
