"""Greedy and beam search against transformers' generate(): its golden results, and tiny random models beside it."""

import numpy as np
import pytest
import torch
from golden.text_weights import TINY, golden, reference
from transformers import MarianConfig, MarianMTModel
from transformers.modeling_outputs import BaseModelOutput

from pytorch_to_mlx.errors import CheckError, UsageError
from pytorch_to_mlx.generate.options import GenerationOptions, options_of
from pytorch_to_mlx.generate.search import Steps, generate


class TorchSteps(Steps):
    """A model of transformers without a cache: each step reads the whole sequences again."""

    def __init__(self, model, input_ids, mask):
        self.model, self.mask, self.rows = model, torch.tensor(mask), None
        with torch.no_grad():
            self.encoded = model.get_encoder()(input_ids=torch.tensor(input_ids), attention_mask=self.mask)[0]
        self.sentences = list(range(len(input_ids)))
        self.n_rows = []

    def step(self, tokens):
        tokens = torch.tensor(tokens)
        self.rows = tokens if self.rows is None else torch.cat([self.rows, tokens], dim=1)
        self.n_rows.append(len(tokens))
        index = np.repeat(self.sentences, len(tokens) // len(self.sentences))
        encoded = BaseModelOutput(last_hidden_state=self.encoded[index])
        with torch.no_grad():
            logits = self.model(
                encoder_outputs=encoded, attention_mask=self.mask[index], decoder_input_ids=self.rows
            ).logits
        return logits[:, -1].numpy()

    def select(self, sentences, rows):
        self.sentences, self.rows = [self.sentences[place] for place in sentences], self.rows[list(rows)]


def filled(ids, length, fill):
    return [*ids, *[fill] * (length - len(ids))]


def assert_equals_golden(results, case, config, options):
    """The same ids, filled up as transformers does (with pad or, where that is 0 or none, the end), and scores."""
    pad = config["pad_token_id"]
    fill = (pad or options.eos[0]) if options.is_beam_search else pad
    count, start = options.num_return_sequences, config["decoder_start_token_id"]
    for number, hypotheses in enumerate(results):
        own = slice(number * count, (number + 1) * count)
        expected = case["sequences"][own]
        assert [
            filled([start, *h.ids], len(ids), fill) for h, ids in zip(hypotheses, expected, strict=True)
        ] == expected
        if options.is_beam_search:
            np.testing.assert_allclose(
                [h.score for h in hypotheses], case["sequences_scores"][own], atol=2e-4, rtol=1e-5
            )


def golden_options(case, config) -> GenerationOptions:
    values = dict(case["kwargs"])
    eos = values.pop("eos_token_id", config["eos_token_id"])
    return GenerationOptions(eos=tuple(eos) if isinstance(eos, list) else (eos,)).changed(values)


@pytest.mark.parametrize("name", TINY)
def test_golden_searches(name):
    """22 searches of two sentences each. The sources keep their padding, which transformers counts as n-grams."""
    data, model = golden(f"tiny_{name}"), reference(name)
    for case in data["cases"].values():
        options = golden_options(case, data["config"])
        steps = TorchSteps(model, data["input_ids"], data["attention_mask"])
        prompts = [[data["config"]["decoder_start_token_id"]]] * 2
        results = generate(steps, data["input_ids"], options, prompts=prompts, most=1000)
        assert_equals_golden(results, case, data["config"], options)


torch.set_num_threads(1)  # tiny products: a second thread only waits
EOS, PAD, V = 0, 39, 40
MODEL = dict(
    vocab_size=V, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
    encoder_ffn_dim=24, decoder_ffn_dim=24, max_position_embeddings=64, pad_token_id=PAD, decoder_start_token_id=PAD,
    eos_token_id=EOS, forced_eos_token_id=None, scale_embedding=True, activation_function="swish",
)  # fmt: skip


@pytest.fixture(scope="module")
def model():
    """A tiny model with large random weights, whose searches end at many lengths."""
    torch.manual_seed(0)
    model = MarianMTModel(MarianConfig(**MODEL)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2 and parameter.requires_grad:
                parameter.normal_(0, 0.5)
        model.model.shared.weight[PAD] = 0
        model.final_logits_bias[0, EOS] = 4.0
    model.generation_config.forced_eos_token_id = None
    return model


SETTINGS = {
    "greedy": {},
    "beams": dict(num_beams=4),
    "sequence_bias": dict(num_beams=3, sequence_bias=[[[7], 3.0], [[4, 9], -5.0], [[PAD, 12], 2.5], [[3, 5, 8], 4.0]]),
    "encoder_repetition_penalty": dict(num_beams=3, encoder_repetition_penalty=1.7),
    "greedy_encoder_repetition_penalty": dict(encoder_repetition_penalty=0.6),
    "repetition_penalty": dict(num_beams=4, repetition_penalty=1.8),
    "no_repeat_3": dict(num_beams=4, no_repeat_ngram_size=3),
    "encoder_no_repeat_2": dict(num_beams=3, encoder_no_repeat_ngram_size=2),
    "bad_words": dict(num_beams=3, bad_words_ids=[[PAD], [5, 6], [EOS], [9], [PAD, 11]]),
    "min_length": dict(num_beams=3, min_length=6),
    "min_new_tokens": dict(min_new_tokens=7),
    "forced": dict(num_beams=3, forced_bos_token_id=7, forced_eos_token_id=[EOS]),
    "decay": dict(num_beams=3, exponential_decay_length_penalty=(3, 1.3)),
    "greedy_decay": dict(exponential_decay_length_penalty=(2, 1.6)),
    "suppress": dict(num_beams=3, suppress_tokens=[1, 2, 3], begin_suppress_tokens=[EOS, 4]),
    "begin_suppress_after_force": dict(num_beams=3, forced_bos_token_id=7, begin_suppress_tokens=[EOS, 4, 9]),
    "renormalize": dict(num_beams=4, bad_words_ids=[[PAD], [7]], renormalize_logits=True),
    "remove_invalid": dict(num_beams=3, bad_words_ids=[[7]], remove_invalid_values=True),
    "early_never": dict(num_beams=4, early_stopping="never", length_penalty=1.5),
    "early_true": dict(num_beams=4, early_stopping=True, length_penalty=0.6),
    "all": dict(
        num_beams=5, sequence_bias=[[[7], 1.0]], encoder_repetition_penalty=1.2, repetition_penalty=1.2,
        no_repeat_ngram_size=2, bad_words_ids=[[PAD]], min_length=3, forced_bos_token_id=5,
        exponential_decay_length_penalty=(5, 1.05), suppress_tokens=[1], renormalize_logits=True, early_stopping=True,
    ),
}  # fmt: skip


def sentences(count=8):
    rng = np.random.default_rng(1)
    return [[*rng.integers(1, PAD, rng.integers(2, 12)).tolist(), EOS] for _ in range(count)]


@pytest.mark.parametrize("name", SETTINGS)
def test_every_rule_beside_transformers(model, name):
    """Eight random sentences, in one batch here and one by one there: the same ids, and scores within 1e-4."""
    values = {"max_length": 16, **SETTINGS[name]}
    beams = values.get("num_beams", 1)
    options = GenerationOptions(eos=(EOS,)).changed({**values, "num_return_sequences": beams})
    sources = sentences()
    longest = max(map(len, sources))
    ids, mask = [filled(s, longest, PAD) for s in sources], [filled([1] * len(s), longest, 0) for s in sources]
    results = generate(TorchSteps(model, ids, mask), sources, options, prompts=[[PAD]] * len(sources), most=64)
    for source, hypotheses in zip(sources, results, strict=True):
        expected = model.generate(
            torch.tensor([source]), **values, do_sample=False, num_return_sequences=beams,
            return_dict_in_generate=True, output_scores=True,
        )  # fmt: skip
        rows = expected.sequences.tolist()
        assert [filled([PAD, *h.ids], len(rows[0]), PAD) for h in hypotheses] == rows
        if beams > 1:
            scores = expected.sequences_scores.numpy()
            np.testing.assert_allclose([h.score for h in hypotheses], scores, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("beams", [1, 3])
def test_prefix_allowed_tokens(model, beams):
    """The function is asked with the number of the sentence and the sequence so far."""

    def allowed(sentence, ids):
        return [EOS, 5, 6, 7 + len(ids)] if len(ids) % 2 else [int(ids[-1]), 3, 4]

    source = sentences(1)[0]
    options = GenerationOptions(eos=(EOS,), num_beams=beams, max_length=12, prefix_allowed_tokens_fn=allowed)
    steps = TorchSteps(model, [source], [[1] * len(source)])
    [[best]] = generate(steps, [source], options, prompts=[[PAD]], most=64)
    expected = model.generate(
        torch.tensor([source]), num_beams=beams, max_length=12, do_sample=False, prefix_allowed_tokens_fn=allowed
    )
    assert filled([PAD, *best.ids], expected.shape[1], PAD) == expected[0].tolist()


@pytest.mark.parametrize("beams", [1, 4])
def test_finished_sentences_leave_the_batch(model, beams):
    sources = sentences()
    longest = max(map(len, sources))
    ids, mask = [filled(s, longest, PAD) for s in sources], [filled([1] * len(s), longest, 0) for s in sources]
    steps = TorchSteps(model, ids, mask)
    options = GenerationOptions(eos=(EOS,), num_beams=beams, max_length=30, early_stopping=True)
    generate(steps, sources, options, prompts=[[PAD]] * 8, most=64)
    assert steps.n_rows[0] == 8 and steps.n_rows[1] == 8 * beams  # the beams are equal at first: one row stands for all
    assert steps.n_rows[-1] < 8 * beams and sorted(steps.n_rows[1:], reverse=True) == steps.n_rows[1:]


def test_sampling_follows_the_probabilities(model):
    """2,000 draws of the first token: their shares are the probabilities within four standard errors."""
    source = sentences(1)[0]
    steps = TorchSteps(model, [source], [[1] * len(source)])
    options = GenerationOptions(eos=(EOS,), do_sample=True, num_return_sequences=1000, max_length=2, top_k=0)
    rng = np.random.default_rng(3)
    [drawn] = generate(steps, [source], options, prompts=[[PAD]], most=64, rng=rng)
    again = TorchSteps(model, [source], [[1] * len(source)])
    [more] = generate(again, [source], options, prompts=[[PAD]], most=64, rng=rng)
    shares = np.bincount([h.ids[0] for h in [*drawn, *more]], minlength=V) / 2000
    logits = TorchSteps(model, [source], [[1] * len(source)]).step([[PAD]])[0].astype(np.float64)
    probabilities = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    assert (np.abs(shares - probabilities) < 4 * np.sqrt(probabilities * (1 - probabilities) / 2000) + 1e-9).all()
    token = drawn[0].ids[0]
    assert drawn[0].log_prob == pytest.approx(np.log(probabilities[token]), abs=1e-5)


def test_sampled_beams_are_distinct_and_repeatable(model):
    source = sentences(1)[0]
    options = GenerationOptions(eos=(EOS,), do_sample=True, num_beams=4, num_return_sequences=4, max_length=12)
    runs = []
    for seed in (1, 1, 2):
        steps = TorchSteps(model, [source], [[1] * len(source)])
        runs.append(generate(steps, [source], options, prompts=[[PAD]], most=64, rng=np.random.default_rng(seed)))
    assert runs[0] == runs[1] != runs[2]
    assert len({h.ids for h in runs[0][0]}) == 4 and runs[0][0][0].score >= runs[0][0][1].score


def test_lengths():
    """max_new_tokens, else max_length, else a factor of the source, else 20 new tokens; never more than the model."""
    assert GenerationOptions().limit(7, 1, 512) == 21
    assert GenerationOptions(max_length=30).limit(7, 1, 512) == 30
    assert GenerationOptions(max_length=30, max_new_tokens=4).limit(7, 2, 512) == 6
    assert GenerationOptions(max_length_factor=2.5).limit(7, 1, 512) == 19
    assert GenerationOptions(max_length_factor=2.5, max_length=10).limit(7, 1, 512) == 10
    assert GenerationOptions(max_length=1000).limit(7, 1, 512) == 512
    assert GenerationOptions(max_new_tokens=9).changed({"max_length": 4}).limit(7, 1, 512) == 4


def test_options_of_a_checkpoint():
    """generation_config.json comes before config.json; what is not ported is only refused when it is asked for."""
    generation = {"num_beams": 6, "forced_eos_token_id": 0, "bad_words_ids": [[9]], "transformers_version": "5"}
    config = {"num_beams": 4, "max_length": 512, "d_model": 8, "guidance_scale": 3.0}
    options = options_of(generation, config, eos=(0,))
    assert (options.num_beams, options.max_length, options.bad_words_ids) == (6, 512, ((9,),))
    assert options.forced_eos_token_id == (0,) and options.max_length_factor is None
    assert options_of({}, {}, eos=(0,)).limit(10, 1, 512) == 41  # 20 tokens would cut a sentence off


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"num_beams": 0}, "num_beams is 0"),
        ({"num_return_sequences": 3}, "with 1 beams"),
        ({"early_stopping": "always"}, "early_stopping"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"beams": 2}, "unknown option 'beams'"),
        ({"guidance_scale": 2.0}, "guidance_scale is not ported"),
        ({"watermarking_config": {}}, "watermarking_config is not ported"),
    ],
)
def test_wrong_options(values, word):
    with pytest.raises(UsageError, match=word):
        GenerationOptions().changed(values)


def test_ids_beyond_the_vocabulary_and_logits_that_are_not_finite(model):
    source = sentences(1)[0]
    steps = TorchSteps(model, [source], [[1] * len(source)])
    with pytest.raises(UsageError, match="id 40 is beyond the vocabulary of 40"):
        generate(steps, [source], GenerationOptions(bad_words_ids=((40,),)), prompts=[[PAD]], most=9)
    steps.step = lambda tokens: np.full((len(tokens), V), np.nan, np.float32)
    with pytest.raises(CheckError, match="not finite"):
        generate(steps, [source], GenerationOptions(), prompts=[[PAD]], most=9)
