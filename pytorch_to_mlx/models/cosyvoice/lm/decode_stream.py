"""Speech tokens of text that is still being written."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import mlx.core as mx

from ....generate.sample import Sampler
from .decoder import MAX_RATIO, Decoder, require_speech
from .qwen2 import Qwen2LM


def decode_stream(
    lm: Qwen2LM,
    text: Iterable[int],
    *,
    system: Sequence[int] = (),
    prompt_text: Sequence[int] = (),
    prompt_speech: Sequence[int] = (),
    sampler: Sampler | None = None,
    uniform: Callable[[], float] | None = None,
    max_ratio: float = MAX_RATIO,
    as_original: bool = False,
) -> Iterator[int]:
    """Yield speech tokens while the text is still coming: five text tokens, fifteen speech tokens, and so on.

    After each fifteen, `fill` is drawn or put in, and the next five text tokens are read; when the text has ended, the
    rest of it and the task token, and then speech to the end.

    Args:
        system: text that is read before everything else, of which no share is spoken
        max_ratio: the most speech tokens for each text token
        as_original: without prompt speech, fifteen tokens are spoken after `system` alone; misplaced special ids are
            drawn and then refused; where the text ends after a `fill`, the embedding before that `fill` is read twice;
            prompt speech that the text was too short for is left out; the speech after the text has no maximum length
    Raises: FormatError for an id outside its vocabulary; CheckError for a misplaced special id.
    Source: Du et al. 2024, "CosyVoice 2", section 2.3.
    """
    decoder = Decoder(lm, sampler, uniform)
    inputs = _Inputs(lm, system, prompt_text, prompt_speech, needs_text=not (as_original and system))
    _, n_speech = lm.config.mix_ratio
    next_fill = n_speech - len(prompt_speech) % n_speech
    forbidden = [lm.guarded] if as_original else [i for i in lm.special_ids if i != lm.fill]
    n_text = len(prompt_text)
    for text_token in text:
        n_text += 1
        if not inputs.add_text(text_token):
            continue
        while True:
            log_probs = decoder.read(inputs.take())
            token = lm.fill if len(decoder.tokens) == next_fill else decoder.draw(log_probs, forbidden)
            decoder.tokens.append(token)
            if token == lm.fill:
                next_fill = len(decoder.tokens) + n_speech
                break
            yield require_speech(lm, token)
            inputs.add(lm.embed_speech([token]))
    inputs.end_text(as_original)
    maximum = None if as_original else int(n_text * max_ratio)
    forbidden = [] if as_original else [i for i in lm.special_ids if i != lm.eos]
    while maximum is None or len(decoder.tokens) < maximum:
        token = decoder.draw(decoder.read(inputs.take()), forbidden)
        if token == lm.eos:
            return
        decoder.tokens.append(token)
        yield require_speech(lm, token)
        inputs.add(lm.embed_speech([token]))


class _Inputs:
    """The embeddings that the model reads next: text alternating with prompt speech, then text alone."""

    def __init__(
        self,
        lm: Qwen2LM,
        system: Sequence[int],
        prompt_text: Sequence[int],
        prompt_speech: Sequence[int],
        *,
        needs_text: bool,
    ) -> None:
        self._lm = lm
        self._n_text, self._n_speech = lm.config.mix_ratio
        self._text, self._speech = list(prompt_text), list(prompt_speech)  # not read yet
        self._parts = [lm.embed_sos(), lm.embed_text(system)]
        self._previous = self._parts[0]
        self._needs_text = needs_text

    def add(self, x: mx.array) -> None:
        """Add embeddings. Shapes: x [1, L, M]."""
        self._parts.append(x)

    def add_text(self, token: int) -> bool:
        """Take one more text token; return whether the model can now speak until it asks for more text."""
        self._text.append(token)
        while self._speech and len(self._text) >= self._n_text:
            self._add_text()
            self.add(self._lm.embed_speech(self._speech[: self._n_speech]))
            del self._speech[: self._n_speech]
            self._needs_text = False
        if self._speech:
            return False
        if self._needs_text:
            if len(self._text) < self._n_text:
                return False
            self._add_text()
        self._needs_text = True
        return True

    def take(self) -> mx.array:
        """Return what is to be read, and forget it. Shapes: -> [1, L, M]."""
        self._previous = mx.concatenate(self._parts, axis=1)
        self._parts = []
        return self._previous

    def end_text(self, as_original: bool) -> None:
        """Add the rest of the text, the task token, and the rest of the prompt's speech."""
        if as_original and not self._parts:
            self.add(self._previous)
        self.add(self._lm.embed_text(self._text))
        self.add(self._lm.embed_task())
        if not as_original:
            self.add(self._lm.embed_speech(self._speech))

    def _add_text(self) -> None:
        self.add(self._lm.embed_text(self._text[: self._n_text]))
        del self._text[: self._n_text]
