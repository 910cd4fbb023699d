"""What a translator answers to `validate --q-bits`: greedy tokens, and the logits that greedy search saw."""

import pytest
from generate.test_translate import EOS, START, ToySteps

from pytorch_to_mlx.errors import UsageError
from pytorch_to_mlx.generate.options import GenerationOptions
from pytorch_to_mlx.generate.token_model import EngineTokens
from pytorch_to_mlx.generate.translate import Engine


def engine(max_source=12, **options):
    return Engine(
        encode=lambda text: [*map(ord, text), EOS],
        decode=lambda ids: "".join(map(chr, ids)),
        start=lambda sources: ToySteps(sources, []),
        prompt=(START,),
        max_source=max_source,
        max_target=60,
        options=GenerationOptions(eos=(EOS,), num_beams=4, max_length=60, **options),
    )


def test_logits_are_those_of_greedy_search():
    """Sequences of several lengths together: each token has the largest logit at its place."""
    model = EngineTokens(engine())
    sources = model.sources(2, ["ab", "hello you"])
    written = model.generate(sources)
    assert [model.text(tokens) for tokens in written] == ["ba", "olleh uoy"]
    places = [logits.argmax(axis=-1).tolist() for logits in model.logits(sources, written)]
    assert len(places) == len("olleh uoy") + 1
    for row, tokens in enumerate(written):
        assert [place[row] for place in places[: len(tokens)]] == list(tokens)


def test_a_forced_token_is_no_answer():
    """The language that is forced stands before the answer, so its place is not measured."""
    model = EngineTokens(engine(forced_bos_token_id=7))
    [source] = model.sources(1, ["ab"])
    assert model.prompt == [START, 7] and model.options.forced_bos_token_id is None
    [tokens] = model.generate([source])
    assert model.text(tokens) == "ba" and 7 not in tokens


def test_own_sentences():
    model = EngineTokens(engine())
    with pytest.raises(UsageError, match=r"input 1 has .* tokens, the model reads 12"):
        model.sources(3)
    assert len({tuple(source) for source in EngineTokens(engine(max_source=200)).sources(120)}) == 120
