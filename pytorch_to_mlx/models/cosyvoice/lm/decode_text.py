"""Speech tokens of a whole text."""

from collections.abc import Callable, Iterator, Sequence

from ....generate.sample import Sampler
from .decoder import MAX_RATIO, MIN_RATIO, Decoder
from .qwen2 import Qwen2LM


def decode_text(
    lm: Qwen2LM,
    text: Sequence[int],
    *,
    prompt_text: Sequence[int] = (),
    prompt_speech: Sequence[int] = (),
    sampler: Sampler | None = None,
    uniform: Callable[[], float] | None = None,
    min_ratio: float = MIN_RATIO,
    max_ratio: float = MAX_RATIO,
    as_original: bool = False,
) -> Iterator[int]:
    """Yield the speech tokens of `text`, as a continuation of the prompt's text and speech.

    Args:
        min_ratio, max_ratio: the least and most speech tokens for each token of `text`
        as_original: under the minimum the original forbids one special id only, and another may end the speech
    Raises: FormatError for an id outside its vocabulary.
    """
    decoder = Decoder(lm, sampler, uniform)
    minimum, maximum = int(len(text) * min_ratio), int(len(text) * max_ratio)
    guarded = (lm.guarded,) if as_original else lm.special_ids
    x = lm.embed_prompt([*prompt_text, *text], prompt_speech)
    for count in range(maximum):
        token = decoder.draw(decoder.read(x), guarded if count < minimum else ())
        if token in lm.special_ids:
            return
        yield token
        decoder.tokens.append(token)
        x = lm.embed_speech([token])
