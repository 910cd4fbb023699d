"""The language models of mlx-lm: the same numbers as transformers, from its folders and from GGUF; faults in them."""

import json
import shutil

import mlx.core as mx
import numpy as np
import pytest
import torch
from golden.text_weights import golden, reference, state
from models.llama_files import add_tokenizer, llama_gguf, number, unpatched  # noqa: F401
from parity import assert_close

pytest.importorskip("mlx_lm", reason="the extra llama is not installed")

import transformers

from pytorch_to_mlx import convert
from pytorch_to_mlx.errors import FormatError, PortError, UnsafeError, UsageError
from pytorch_to_mlx.models.llama.config import Config
from pytorch_to_mlx.models.llama.decoding import Options, token_stream
from pytorch_to_mlx.models.llama.model import build
from pytorch_to_mlx.models.llama.weights import WEIGHTS, open_release
from pytorch_to_mlx.weights import load_model

torch.set_num_threads(1)
ROPES = ("llama_default", "llama31_rope", "llama_linear_rope")


def tiny_inputs(config, batch=1):
    tokens = mx.random.randint(0, config.vocab_size, (1, 9), key=mx.random.key(0))
    return {"inputs": tokens[mx.zeros(batch, mx.int32)]}


def load(path):
    model, config = load_model(
        path, lambda config: build(Config.from_dict(config)), sizes=Config.from_dict, weight_map=WEIGHTS,
        open_release=open_release,
    )  # fmt: skip
    return model, config


def saved(folder, name, form="safetensors"):
    """A tiny model of transformers 5, whose config.json has rope_parameters, as a folder with a tokenizer."""
    model = reference(name)
    model.save_pretrained(folder)
    if form == "bin":
        (folder / "model.safetensors").unlink()
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return add_tokenizer(folder)


def greedy(model, ids, n):
    from mlx_lm.models.cache import make_prompt_cache

    return list(token_stream(model, ids, Options(max_tokens=n), make_prompt_cache(model)))


@pytest.mark.parametrize("form", ["safetensors", "bin"])
@pytest.mark.parametrize("name", ROPES)
def test_logits_and_tokens_are_transformers(tmp_path, name, form):
    """mlx-lm itself reads rope_parameters as nothing: logits 2.7 to 5.5 away for the scaled two."""
    data, (model, _) = golden(f"tiny_{name}"), load(saved(tmp_path, name, form))
    expected = np.array(data["logits"], np.float32).reshape(data["logits_shape"])
    assert_close(model(mx.array(data["input_ids"])), expected)
    (row,) = data["greedy"]
    tokens = greedy(model, row[:4], 16)
    assert tokens[: tokens.index(2) if 2 in tokens else None] == row[4 : 4 + (tokens.index(2) if 2 in tokens else 16)]


KINDS = {
    "qwen2": ("Qwen2", {}),
    "qwen3": ("Qwen3", {"head_dim": 16}),
    "mistral": ("Mistral", {"sliding_window": 64}),
    "gemma2": ("Gemma2", {"head_dim": 16, "sliding_window": 64, "query_pre_attn_scalar": 16}),
    "gemma3_text": (
        "Gemma3Text",
        {
            "head_dim": 16, "sliding_window": 4, "query_pre_attn_scalar": 16,
            "layer_types": ["sliding_attention", "full_attention"],
        },
    ),
    "phi3": ("Phi3", {"pad_token_id": 0}),
    "smollm3": ("SmolLM3", {"pad_token_id": 0}),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_other_architectures_are_transformers(tmp_path, kind):
    """Random weights; 12 tokens, so that a window of 4 tells; the norms of Gemma are not at their initial zero."""
    name, own = KINDS[kind]
    sizes = {
        "vocab_size": 59, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
    }  # fmt: skip
    config = getattr(transformers, f"{name}Config")(**sizes, **own)
    torch.manual_seed(0)
    original = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in original.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    original.save_pretrained(tmp_path)
    ids = np.random.default_rng(0).integers(3, 59, (1, 12))
    with torch.no_grad():
        expected = original(torch.from_numpy(ids)).logits
        exact = original.double()(torch.from_numpy(ids)).logits
    assert_close(load(tmp_path)[0](mx.array(ids)), expected, exact)


def test_a_converted_folder_is_mlx_lms_own(tmp_path):
    """mlx-lm loads what `convert` writes, and computes transformers' logits; config.json says how the rope is."""
    from mlx_lm.utils import load_model as mlx_lm_load

    name = "llama31_rope"
    path = convert(saved(tmp_path / "hf", name), tmp_path / "mlx", family="llama")
    model, config = mlx_lm_load(path)
    data = golden(f"tiny_{name}")
    expected = np.array(data["logits"], np.float32).reshape(data["logits_shape"])
    assert_close(model(mx.array(data["input_ids"])), expected)
    assert config["rope_theta"] == 500000.0 and config["rope_scaling"]["rope_type"] == "llama3"
    assert config["tie_word_embeddings"] is False and (path / "tokenizer.json").exists()
    assert_close(load(path)[0](mx.array(data["input_ids"])), expected)


def test_quantized_folders_are_mlx_lms_own(tmp_path):
    from mlx_lm.utils import load_model as mlx_lm_load

    source = saved(tmp_path / "hf", "llama_default")
    path = convert(source, tmp_path / "mlx", family="llama", dtype="float32", q_bits=4, q_group_size=32)
    ids = mx.array(golden("tiny_llama_default")["input_ids"])
    assert_close(load(path)[0](ids), mlx_lm_load(path)[0](ids))


def test_mixed_recipes_are_mlx_lms_own(tmp_path):
    """config.json names the bits of every layer, and mlx-lm computes the same from it."""
    from mlx_lm.utils import load_model as mlx_lm_load

    source = saved(tmp_path / "hf", "llama_default")
    options = {"family": "llama", "dtype": "float32", "q_group_size": 32, "q_recipe": "mixed_4_6"}
    path = convert(source, tmp_path / "mlx", **options)
    bits = {k: v["bits"] for k, v in json.loads((path / "config.json").read_text())["quantization"].items() if "." in k}
    assert bits["model.layers.1.self_attn.v_proj"] == 6 and bits["model.layers.0.self_attn.q_proj"] == 4
    ids = mx.array(golden("tiny_llama_default")["input_ids"])
    assert_close(load(path)[0](ids), mlx_lm_load(path)[0](ids))
    with pytest.raises(UsageError, match="no recipe 'mixed_9'; recipes: mixed_2_6"):
        convert(source, tmp_path / "other", family="llama", q_recipe="mixed_9")
    with pytest.raises(UsageError, match="a recipe chooses the bits"):
        convert(source, tmp_path / "other", family="llama", q_recipe="mixed_4_6", q_bits=4)


def test_mistrals_window_limits_its_texts():
    """mlx-lm computes full attention: the same until the window is full, so longer texts are refused."""
    data = {"model_type": "mistral", "sliding_window": 4096, "max_position_embeddings": 32768}
    assert Config.from_dict(data).arguments["max_position_embeddings"] == 4096
    data["sliding_window"] = None
    assert Config.from_dict(data).arguments["max_position_embeddings"] == 32768


def test_a_gguf_file_is_the_model(tmp_path):
    """The rows of q and k, which llama.cpp reorders, are in transformers' order again; names and sizes too."""
    data = golden("tiny_llama_default")
    model, config = load(llama_gguf(tmp_path, state("llama_default"), data["config"]))
    expected = np.array(data["logits"], np.float32).reshape(data["logits_shape"])
    assert_close(model(mx.array(data["input_ids"])), expected)
    assert (config["rms_norm_eps"], config["tie_word_embeddings"], config["eos_token_id"]) == (1e-5, False, 1)


def test_a_gguf_file_is_converted(tmp_path):
    from mlx_lm.utils import load_model as mlx_lm_load

    data = golden("tiny_llama_default")
    source = llama_gguf(tmp_path, state("llama_default"), data["config"])
    path = convert(source, tmp_path / "mlx", family="llama")
    expected = np.array(data["logits"], np.float32).reshape(data["logits_shape"])
    assert_close(mlx_lm_load(path)[0](mx.array(data["input_ids"])), expected)
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    assert tokenizer.convert_ids_to_tokens(tokenizer("the the")["input_ids"]) == ["the", "Ġthe"]
    assert tokenizer.eos_token == "<e>" and tokenizer.chat_template == "{{ messages[0]['content'] }}"


def changed(folder, **keys):
    """config.json with keys changed; None removes one."""
    data = json.loads((folder / "config.json").read_text()) | keys
    (folder / "config.json").write_text(json.dumps({k: v for k, v in data.items() if v is not None}))
    return folder


@pytest.mark.parametrize(
    ("keys", "error", "says"),
    [
        ({"model_file": "evil.py"}, UnsafeError, "model_file"),
        ({"model_type": "no_such_model"}, FormatError, "no_such_model"),
        ({"model_type": "../evil"}, FormatError, "does not know the architecture"),
        ({"num_hidden_layers": 10**6}, FormatError, "num_hidden_layers"),
        ({"num_hidden_layers": 900}, FormatError, "900 layers"),
        ({"num_key_value_heads": 3}, FormatError, "do not divide"),
        ({"hidden_size": 0}, FormatError, "hidden_size"),
        ({"hidden_size": 64}, FormatError, "differ"),
        ({"vocab_size": 10**12}, FormatError, "vocab_size"),
        ({"hidden_act": "gelu"}, FormatError, "hidden_act"),
        ({"model_type": "gemma", "hidden_act": "gelu_pytorch_tanh"}, FormatError, "mlx-lm computes gelu"),
        ({"rope_parameters": {"rope_type": "made_up", "rope_theta": 1e4}}, FormatError, "RoPE"),
        ({"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4}}, FormatError, "factor"),
    ],
)
def test_configurations_are_checked(tmp_path, keys, error, says):
    folder = changed(saved(tmp_path, "llama_default"), **keys)
    with pytest.raises(error, match=says):
        load(folder)


def test_code_in_a_folder_is_not_run(tmp_path):
    """auto_map is not looked at: mlx-lm knows the architecture."""
    folder = changed(saved(tmp_path, "llama_default"), auto_map={"AutoModelForCausalLM": "modeling_evil.Evil"})
    (folder / "modeling_evil.py").write_text("raise SystemExit('code was run')")
    load(folder)


def test_an_output_layer_of_its_own_wins(tmp_path):
    """As in transformers 5: the file's lm_head is used, though config.json says that it is the embedding."""
    folder = changed(saved(tmp_path, "llama_default"), tie_word_embeddings=True)
    data = golden("tiny_llama_default")
    expected = np.array(data["logits"], np.float32).reshape(data["logits_shape"])
    assert_close(load(folder)[0](mx.array(data["input_ids"])), expected)


@pytest.mark.parametrize("form", ["safetensors", "gguf"])
def test_tied_weights(tmp_path, form):
    """Without lm_head in the file the embedding is the output layer, also where config.json does not say so."""
    data = golden("tiny_llama_default")
    if form == "gguf":
        tied = {name: array for name, array in state("llama_default").items() if name != "lm_head.weight"}
        model, config = load(llama_gguf(tmp_path, tied, data["config"]))
    else:
        original = reference("llama_default")
        original.lm_head.weight = original.model.embed_tokens.weight
        original.config.tie_word_embeddings = True
        original.save_pretrained(tmp_path)
        model, config = load(changed(tmp_path, tie_word_embeddings=None))
    assert config["tie_word_embeddings"] is True and "lm_head" not in model
    hidden = model.model(mx.array(data["input_ids"]))
    assert_close(model(mx.array(data["input_ids"])), hidden @ model.model.embed_tokens.weight.T)


def test_ggufs_that_are_not_ported(tmp_path):
    data = golden("tiny_llama_default")
    with pytest.raises(FormatError, match="'mamba' is not ported; ported: llama, qwen2, qwen3, gemma3"):
        load(llama_gguf(tmp_path, state("llama_default"), data["config"], architecture="mamba"))
    with pytest.raises(FormatError, match="experts"):
        load(llama_gguf(tmp_path, state("llama_default"), data["config"], [number("llama.expert_count", 8)]))


def test_200_mutations_of_a_gguf(tmp_path):
    """One clear error or a model of the same sizes, never a crash."""
    source = llama_gguf(tmp_path, state("llama_default"), golden("tiny_llama_default")["config"])
    intact, random, outcomes = source.read_bytes(), np.random.default_rng(0), set()
    for n in range(200):
        data = bytearray(intact)
        for at in random.integers(0, 4000, 1 + n % 4):
            data[at] = random.integers(0, 256)
        source.write_bytes(data)
        try:
            load(source)
            outcomes.add("loaded")
        except PortError as error:
            assert error.exit_code in (4, 5, 6), error
            outcomes.add("refused")
    assert outcomes == {"loaded", "refused"}
    shutil.rmtree(tmp_path)
