"""Choose a voice and speak: the task's `generate`, and the original's own methods."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from ...audio.load import Audio
from ...audio.resample import sinc_resample
from ...backend.native import kernels
from ...checkpoint import open_checkpoint, read_config
from ...errors import UsageError
from ...forks import require_own_threads
from ...tasks import Speech
from ...weights import load_model
from .config import CONFIGS, Config1
from .model import Model
from .options import Options
from .overlap import OverlapSynthesizer
from .release.files import check_version_of, extra_files, open_release, version_of
from .speakers import (
    FOLDER,
    LISTENING_RATE,
    Speaker,
    Speakers,
    no_speaker,
    random_speaker,
    read_samples,
    speaker_from_arrays,
    speaker_from_embedding,
    speaker_from_recording,
    tokenize_speech,
)
from .streaming import Clock
from .synthesis import Synthesizer, Text
from .text.normalize import normalize
from .text.tokenizer import END_OF_PROMPT, TextTokenizer
from .text.whisper_tokenizer import WhisperTokenizer
from .versions import Version
from .weights import WEIGHTS

MAX_EMBEDDING = 1024  # a longer array is a recording, not an embedding

Voice = Audio | mx.array | Speaker
"""A recording: a file, the bytes of one, or samples at the model's rate; an embedding; or a Speaker."""


def load(path: Path, *, dequantize: bool | None = None, version: Version | None = None) -> "CosyVoicePipeline":
    """Load CosyVoice from a converted folder, or from the release's; no convert step is needed.

    dequantize: unpack a quantized language model; by default on a CPU without kernels for it.
    version: the only one that is taken.
    Raises: FormatError for a folder of another version.
    """
    if version is None:
        version = version_of(path)
    check_version_of(path, version)
    sizes = CONFIGS[version.model_type].from_dict
    if dequantize is None and hasattr(kernels(), "quantized_matmul"):
        dequantize = False
    model, config = load_model(
        path,
        lambda config: Model(sizes(config)),
        sizes=sizes,
        weight_map=WEIGHTS[version.model_type],
        open_release=partial(open_release, version=version),
        dequantize=dequantize,
    )
    folder, flow_noise = path / FOLDER, None
    if (path / "config.json").is_file():  # a converted folder
        if version.fixed_noise:
            with open_checkpoint(path / "noise.safetensors") as file:
                flow_noise = file["flow"]
        speakers = Speakers(model.config, folder)
    else:
        files = {
            name: arrays for name, arrays in extra_files(path, config, version).items() if not isinstance(arrays, bytes)
        }
        flow_noise = files["noise.safetensors"]["flow"] if version.fixed_noise else None
        speakers = Speakers(model.config, None)
        for name, arrays in files.items():
            if name.startswith(f"{FOLDER}/"):
                speakers.add(Path(name).stem, speaker_from_arrays(arrays, model.config, name))
    tokenizer = (
        WhisperTokenizer(model.config.lm.vocab_size, model.config.lm.num_languages)
        if isinstance(model.config, Config1)
        else TextTokenizer.open(path, version)
    )
    return CosyVoicePipeline(model, tokenizer, speakers, flow_noise)


def open_speakers(path: Path, version: Version) -> Speakers:
    """Open the saved speakers of a converted folder without reading the model.

    Raises: FormatError for a folder of another version.
    """
    check_version_of(path, version)
    return Speakers(CONFIGS[version.model_type].from_dict(read_config(path)), path / FOLDER)


class CosyVoicePipeline:
    """CosyVoice ready to speak: `for piece in pipeline.generate("Hello.", voice="me.wav"): play(piece.audio)`."""

    def __init__(
        self,
        model: Model,
        tokenizer: TextTokenizer | WhisperTokenizer,
        speakers: Speakers,
        flow_noise: mx.array | None = None,
    ) -> None:
        self.model, self.tokenizer, self.speakers = model, tokenizer, speakers
        if isinstance(tokenizer, WhisperTokenizer):
            self.synthesizer: Synthesizer = OverlapSynthesizer(model, tokenizer)
        else:
            assert flow_noise is not None
            self.synthesizer = Synthesizer(model, tokenizer, flow_noise)
        self.sample_rate = model.config.sample_rate

    @property
    def clock(self) -> Clock:
        """The times of the last request."""
        return self.synthesizer.clock

    def generate(
        self,
        text: Text,
        *,
        voice: str | Voice | None = None,
        ref_text: str | None = None,
        instruct: str | None = None,
        speed: float = 1.0,
        seed: int = 0,
        stream: bool = False,
        **options: Any,
    ) -> Iterator[Speech]:
        """Yield speech piece by piece; `Speech.concatenate` joins them. The same seed gives the same bytes.

        A recording whose words are known is continued (zero-shot); of another the voice is taken, in whatever language
        the text is (cross-lingual). A saved speaker has the words it was saved with.

        Args:
            text: a text, or an iterable of strings for text that is still being written
            voice: the name of a saved speaker, 'none', 'random' or 'random:SEED'; a recording: a file, the bytes of
                one, or samples at the model's rate; 192 numbers of an embedding; or a Speaker. By default the saved
                speaker, if there is exactly one
            ref_text: what the recording says
            instruct: how to speak, such as 'Speak slowly.'
            options: see `Options`
        Raises: UsageError for contradictory arguments, an unknown voice or a value out of range; FormatError for a
            recording that cannot be read.
        """
        require_own_threads()
        if ref_text and instruct:
            raise UsageError("give ref_text or instruct, not both", fix="with an instruction only the voice is taken")
        choices, clock = Options(speed=speed, seed=seed, stream=stream, **options), Clock()
        with clock.part("voice"):
            speaker = self._choose_speaker(voice, ref_text, choices)
        if instruct:
            return self._instruct(text, instruct, speaker, choices, clock)
        if speaker.prompt_text:
            return self._continue(text, speaker, choices, clock)
        return self._speak(text, speaker, choices, clock)

    # The original's methods.

    def inference_sft(self, tts_text: Text, spk_id: str, **options: Any) -> Iterator[Speech]:
        """Speak as a saved speaker (SFT mode): by the embedding alone, which only version 1's language model hears."""
        require_own_threads()
        clock = Clock()
        return self._speak(tts_text, self.speaker(spk_id).bare(), Options(**options), clock)

    def inference_zero_shot(
        self, tts_text: Text, prompt_text: str = "", prompt_wav: Any = None, zero_shot_spk_id: str = "", **options: Any
    ) -> Iterator[Speech]:
        """Continue a recording that says `prompt_text`, or that of a speaker who was added from one."""
        require_own_threads()
        choices, clock = Options(**options), Clock()
        with clock.part("voice"):
            if zero_shot_spk_id:
                speaker = self.speaker(zero_shot_spk_id)
            else:
                speaker = self._transcribed_speaker(prompt_text, prompt_wav, choices)
        return self._continue(tts_text, speaker, choices, clock)

    def inference_cross_lingual(
        self, tts_text: Text, prompt_wav: Any = None, zero_shot_spk_id: str = "", **options: Any
    ) -> Iterator[Speech]:
        """Speak with the voice of a recording in whatever language the text is; what the recording says is not used."""
        require_own_threads()
        choices, clock = Options(**options), Clock()
        with clock.part("voice"):
            speaker = self._one_speaker(prompt_wav, zero_shot_spk_id, choices.as_original)
        return self._speak(tts_text, speaker, choices, clock)

    def inference_instruct(self, tts_text: Text, spk_id: str, instruct_text: str, **options: Any) -> Iterator[Speech]:
        """Speak as a saved speaker in the way that `instruct_text` says: the original's method for version 1."""
        require_own_threads()
        return self._instruct(tts_text, instruct_text, self.speaker(spk_id), Options(**options), Clock())

    def inference_instruct2(
        self,
        tts_text: Text,
        instruct_text: str,
        prompt_wav: Any = None,
        zero_shot_spk_id: str = "",
        **options: Any,
    ) -> Iterator[Speech]:
        """Speak with the voice of a recording in the way that `instruct_text` says, such as 'Speak slowly.'."""
        require_own_threads()
        choices, clock = Options(**options), Clock()
        with clock.part("voice"):
            speaker = self._one_speaker(prompt_wav, zero_shot_spk_id, choices.as_original)
        return self._instruct(tts_text, instruct_text, speaker, choices, clock)

    def inference_vc(
        self, source_wav: Any, prompt_wav: Any = None, zero_shot_spk_id: str = "", **options: Any
    ) -> Iterator[Speech]:
        """Say what `source_wav` says, of any length, in the voice of `prompt_wav`."""
        require_own_threads()
        choices, clock = Options(**options), Clock()
        with clock.part("voice"):
            speaker = self._one_speaker(prompt_wav, zero_shot_spk_id, choices.as_original)
        with clock.part("listening"):
            samples, rate = read_samples(source_wav, self.sample_rate)
            tokens = tokenize_speech(self.model, sinc_resample(samples, rate, LISTENING_RATE))
        return self.synthesizer.convert(tokens, speaker, choices, clock)

    def list_available_spks(self) -> list[str]:
        """Return the names of the saved speakers."""
        return self.speakers.names()

    def add_zero_shot_spk(
        self, prompt_text: str, prompt_wav: Any, zero_shot_spk_id: str, *, prepare: bool = False
    ) -> bool:
        """Add the speaker of a recording under a name; `save_spkinfo` writes it into the converted folder.

        prepare: with what the networks compute of the recording alone, see prepared.py: speech begins sooner.
        """
        require_own_threads()
        speaker = self._transcribed_speaker(prompt_text, prompt_wav, Options())
        if prepare:
            speaker = self.synthesizer.prepare(speaker, speaker.prompt_text or self._system_prompt())
        self.speakers.add(zero_shot_spk_id, speaker)
        return True

    def save_spkinfo(self) -> None:
        """Save the speakers in the converted folder. Raises: UsageError if the model was not loaded from one."""
        self.speakers.save()

    # Voices.

    def speaker(self, name: str) -> Speaker:
        """Return a saved speaker, or that of 'none', 'random' or 'random:SEED'.

        Raises: UsageError if there is no such speaker.
        """
        if name == "none":
            return no_speaker(self.model.config)
        if name == "random" or name.startswith("random:"):
            seed = name.partition(":")[2] or "0"
            if not seed.isdecimal() or int(seed) >= 2**32:
                raise UsageError(
                    f"'{name}' is not a random speaker", fix="random:SEED, with a SEED from 0 to 2**32 - 1"
                )
            return random_speaker(self.model.config, int(seed))
        return self.speakers[name]

    def _choose_speaker(self, voice: str | Voice | None, ref_text: str | None, options: Options) -> Speaker:
        """Return the speaker of `generate`. A name counts before a file of the same name."""
        names = self.speakers.names()
        saved = f"a saved speaker ({', '.join(names)}), " if names else ""
        advice = f"give a recording, {saved}'random', 'random:SEED' or 'none'"
        if voice is None:
            if len(names) != 1:
                raise UsageError("no voice is given", fix=advice)
            voice = names[0]
        if isinstance(voice, str):
            is_name = voice in names or voice == "none" or voice.partition(":")[0] == "random"
            if not is_name and not os.path.isfile(voice):
                raise UsageError(f"there is no speaker and no recording '{voice}'", fix=advice)
            if is_name and ref_text:
                raise UsageError(f"ref_text is what a recording says; '{voice}' is a speaker's name")
            if is_name:
                return self.speaker(voice)
        if ref_text:
            return self._transcribed_speaker(ref_text, voice, options)
        return self._speaker_of_voice(voice, options.as_original)

    def _one_speaker(self, voice: Voice | None, name: str, as_original: bool) -> Speaker:
        """Return the speaker of a recording or of a name. Raises: UsageError unless one of them is given."""
        if (voice is None) == (not name):
            raise UsageError("give either a recording of the voice or a speaker's name")
        return self._speaker_of_voice(voice, as_original) if voice is not None else self.speaker(name)

    def _speaker_of_voice(self, voice: Voice, as_original: bool) -> Speaker:
        if isinstance(voice, Speaker):
            return voice
        if isinstance(voice, mx.array) or (isinstance(voice, np.ndarray) and voice.size <= MAX_EMBEDDING):
            return speaker_from_embedding(self.model.config, voice)
        return speaker_from_recording(self.model, voice, as_original=as_original)

    def _transcribed_speaker(self, transcript: str, voice: Voice | None, options: Options) -> Speaker:
        """Return the speaker of a recording that says `transcript`."""
        text = normalize(transcript) if options.text_frontend else transcript
        speaker = self._one_speaker(voice, "", options.as_original)
        return replace(speaker, prompt_text=self._after_system(self.tokenizer.encode(text)))

    # Modes.

    def _continue(self, text: Text, speaker: Speaker, options: Options, clock: Clock) -> Iterator[Speech]:
        """Speak on from the speaker's recording, whose words are known."""
        prompt_text = self._after_system(speaker.prompt_text)
        prompt = {"prompt_text": prompt_text, "prompt_speech": speaker.speech_tokens}
        return self.synthesizer.speak(text, speaker, options, clock, **prompt)

    def _speak(self, text: Text, speaker: Speaker, options: Options, clock: Clock) -> Iterator[Speech]:
        """Speak after nothing, or after the version's system prompt, which a text may also hold itself."""
        has_own = isinstance(text, str) and END_OF_PROMPT in text
        prompt_text = () if has_own else self._system_prompt()
        return self.synthesizer.speak(text, speaker, options, clock, prompt_text=prompt_text)

    def _system_prompt(self) -> tuple[int, ...]:
        prompt = self.model.config.version.system_prompt
        return tuple(self.tokenizer.encode(prompt + END_OF_PROMPT)) if prompt else ()

    def _after_system(self, prompt_text: Sequence[int]) -> tuple[int, ...]:
        """Return what a recording says after the system prompt, unless it is there or nothing is known to be said."""
        system = self._system_prompt()
        return tuple(prompt_text) if not prompt_text or set(system[-1:]) & set(prompt_text) else (*system, *prompt_text)

    def _instruct(
        self, text: Text, instruction: str, speaker: Speaker, options: Options, clock: Clock
    ) -> Iterator[Speech]:
        if not instruction.strip():
            raise UsageError("the instruction is empty", fix="say how to speak, or take another mode")
        prompt = instruction if instruction.endswith(END_OF_PROMPT) else instruction + END_OF_PROMPT
        system = self.model.config.version.system_prompt
        if not prompt.startswith(system):
            prompt = f"{system} {prompt}"
        asked: dict[str, Any] = {"prompt_text": tuple(self.tokenizer.encode(prompt))}
        if self.model.config.version.hears_speaker:  # which would tell the language model more than the instruction
            speaker, asked = speaker.bare(), asked | {"hears_speaker": False}
        return self.synthesizer.speak(text, speaker, options, clock, **asked)
