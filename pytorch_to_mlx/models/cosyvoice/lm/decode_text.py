"""Speech tokens of a whole text."""

from collections.abc import Callable, Iterator, Sequence

import mlx.core as mx

from ....cancel import check_cancelled
from ....generate.sample import Sampler
from .decoder import MAX_RATIO, MIN_RATIO, Decoder, SpeechLM
from .prefix import Prefix


def decode_text(
    lm: SpeechLM,
    text: Sequence[int],
    *,
    prompt_text: Sequence[int] = (),
    prompt_speech: Sequence[int] = (),
    speaker: mx.array | None = None,
    prefix: Prefix | None = None,
    sampler: Sampler | None = None,
    uniform: Callable[[], float] | None = None,
    min_ratio: float = MIN_RATIO,
    max_ratio: float = MAX_RATIO,
    as_original: bool = False,
) -> Iterator[int]:
    """Yield the speech tokens of `text`, as a continuation of the prompt's text and speech.

    Args:
        speaker: the embedding of the voice, for a version whose language model hears it
        prefix: what the language model has read of another text that may begin the same
        min_ratio, max_ratio: the least and most speech tokens for each token of `text`
        as_original: under the minimum the original forbids one special id only, and another may end the speech
    Raises: FormatError for an id outside its vocabulary.
    """
    decoder = Decoder(lm, sampler, uniform)
    minimum, maximum = int(len(text) * min_ratio), int(len(text) * max_ratio)
    guarded = (lm.guarded,) if as_original else lm.special_ids
    x = lm.embed_prompt([*prompt_text, *text], prompt_speech, speaker)
    if prefix is not None:
        x = x[:, prefix.begin(decoder.cache, [*prompt_text, *text]) :]
    for count in range(maximum):
        check_cancelled()
        token = decoder.draw(decoder.read(x), guarded if count < minimum else ())
        if token in lm.special_ids:
            return
        yield token
        decoder.tokens.append(token)
        x = lm.embed_speech([token])
