"""Which files of a repository each verb asks the hub for: a stand-in holds the file list of every published checkpoint.

The lists say what the originals' loaders read and what else lies beside it; of voices, samples and documents that are
alike only one or two, of weights in many files two. They were written down, not fetched.
"""

import types
from pathlib import Path

import pytest

import pytorch_to_mlx
from pytorch_to_mlx import registry
from pytorch_to_mlx.bench import benchmark
from pytorch_to_mlx.checkpoint import names
from pytorch_to_mlx.errors import PortError
from pytorch_to_mlx.model_source import find_model

ALIKE = [".gitattributes", "README.md"]
PUBLISHED = {
    "hexgrad/Kokoro-82M": [
        *ALIKE, "VOICES.md", "config.json", "kokoro-v1_0.pth", "samples/HEARME.wav", "voices/af_heart.pt",
        "voices/am_michael.pt",
    ],
    "hexgrad/Kokoro-82M-v1.1-zh": [
        *ALIKE, "config.json", "kokoro-v1_1-zh.pth", "samples/HEARME_1.wav", "voices/af_maple.pt", "voices/zf_001.pt",
    ],
    "FunAudioLLM/CosyVoice2-0.5B": [
        *ALIKE, "CosyVoice-BlankEN/config.json", "CosyVoice-BlankEN/generation_config.json",
        "CosyVoice-BlankEN/merges.txt", "CosyVoice-BlankEN/model.safetensors",
        "CosyVoice-BlankEN/tokenizer_config.json", "CosyVoice-BlankEN/vocab.json", "asset/dingding.png",
        "campplus.onnx", "configuration.json", "cosyvoice2.yaml",
        "flow.cache.pt", "flow.decoder.estimator.fp32.onnx", "flow.encoder.fp16.zip", "flow.encoder.fp32.zip",
        "flow.pt", "hift.pt", "llm.pt", "speech_tokenizer_v2.batch.onnx", "speech_tokenizer_v2.onnx",
    ],
    "FunAudioLLM/Fun-CosyVoice3-0.5B-2512": [
        *ALIKE, "CosyVoice-BlankEN/config.json", "CosyVoice-BlankEN/generation_config.json",
        "CosyVoice-BlankEN/merges.txt", "CosyVoice-BlankEN/model.safetensors",
        "CosyVoice-BlankEN/tokenizer_config.json", "CosyVoice-BlankEN/vocab.json", "campplus.onnx", "cosyvoice3.yaml",
        "flow.decoder.estimator.fp32.onnx", "flow.pt", "hift.pt", "llm.pt", "llm.rl.pt",
        "speech_tokenizer_v3.batch.onnx", "speech_tokenizer_v3.onnx",
    ],
    "FunAudioLLM/CosyVoice-300M": [
        *ALIKE, "asset/dingding.png", "campplus.onnx", "configuration.json", "cosyvoice.yaml",
        "flow.decoder.estimator.fp32.onnx", "flow.encoder.fp32.zip", "flow.pt", "hift.pt", "llm.llm.fp16.zip", "llm.pt",
        "llm.text_encoder.fp16.zip", "speech_tokenizer_v1.onnx",
    ],
    "FunAudioLLM/CosyVoice-300M-SFT": [
        *ALIKE, "asset/dingding.png", "campplus.onnx", "configuration.json", "cosyvoice.yaml",
        "flow.decoder.estimator.fp32.onnx", "flow.pt", "hift.pt", "llm.llm.fp16.zip", "llm.pt",
        "speech_tokenizer_v1.onnx", "spk2info.pt",
    ],
    "FunAudioLLM/CosyVoice-300M-Instruct": [
        *ALIKE, "asset/dingding.png", "campplus.onnx", "configuration.json", "cosyvoice.yaml",
        "flow.decoder.estimator.fp32.onnx", "flow.pt", "hift.pt", "llm.llm.fp16.zip", "llm.pt",
        "speech_tokenizer_v1.onnx", "spk2info.pt",
    ],
    "SWivid/F5-TTS": [
        *ALIKE, "F5TTS_Base/model_1200000.pt", "F5TTS_Base/model_1200000.safetensors", "F5TTS_Base/vocab.txt",
        "F5TTS_Base_bigvgan/model_1250000.pt", "F5TTS_v1_Base/model_1250000.safetensors", "F5TTS_v1_Base/vocab.txt",
        "F5TTS_v1_Base_no_zero_init/model_1250000.safetensors",
    ],
    "SWivid/E2-TTS": [*ALIKE, "E2TTS_Base/model_1200000.pt", "E2TTS_Base/model_1200000.safetensors"],
    "charactr/vocos-mel-24khz": [*ALIKE, "config.yaml", "pytorch_model.bin"],
    "openai/whisper-base": [
        *ALIKE, "added_tokens.json", "config.json", "flax_model.msgpack", "generation_config.json", "merges.txt",
        "model.safetensors", "normalizer.json", "preprocessor_config.json", "pytorch_model.bin",
        "special_tokens_map.json", "tf_model.h5", "tokenizer.json", "tokenizer_config.json", "vocab.json",
    ],
    "Systran/faster-whisper-base": [*ALIKE, "config.json", "model.bin", "tokenizer.json", "vocabulary.txt"],
    "Systran/faster-whisper-tiny.en": [*ALIKE, "config.json", "model.bin", "tokenizer.json", "vocabulary.txt"],
    "Helsinki-NLP/opus-mt-en-de": [
        *ALIKE, "config.json", "generation_config.json", "pytorch_model.bin", "rust_model.ot", "source.spm",
        "target.spm", "tf_model.h5", "tokenizer_config.json", "vocab.json",
    ],
    "facebook/nllb-200-distilled-600M": [
        *ALIKE, "config.json", "generation_config.json", "pytorch_model.bin", "sentencepiece.bpe.model",
        "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json",
    ],
    "facebook/m2m100_418M": [
        *ALIKE, "config.json", "generation_config.json", "pytorch_model.bin", "rust_model.ot",
        "sentencepiece.bpe.model", "special_tokens_map.json", "tokenizer_config.json", "vocab.json",
    ],
    "google/madlad400-3b-mt": [
        *ALIKE, "config.json", "generation_config.json", "model-q4k.gguf", "model.safetensors",
        "special_tokens_map.json", "spiece.model", "tokenizer.json", "tokenizer_config.json",
    ],
    "google-t5/t5-small": [
        *ALIKE, "config.json", "flax_model.msgpack", "generation_config.json", "model.safetensors",
        "onnx/decoder_model.onnx", "pytorch_model.bin", "rust_model.ot", "spiece.model", "tf_model.h5",
        "tokenizer.json", "tokenizer_config.json",
    ],
    "google/byt5-small": [
        *ALIKE, "config.json", "flax_model.msgpack", "generation_config.json", "pytorch_model.bin",
        "special_tokens_map.json", "tf_model.h5", "tokenizer_config.json",
    ],
    "HuggingFaceTB/SmolLM2-360M-Instruct": [
        *ALIKE, "all_results.json", "config.json", "generation_config.json", "merges.txt", "model.safetensors",
        "onnx/model.onnx", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "trainer_state.json",
        "training_args.bin", "vocab.json",
    ],
    "Qwen/Qwen3-4B": [
        *ALIKE, "LICENSE", "config.json", "generation_config.json", "merges.txt", "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors", "model.safetensors.index.json", "tokenizer.json", "tokenizer_config.json",
        "vocab.json",
    ],
    "mistralai/Mistral-7B-Instruct-v0.3": [
        *ALIKE, "config.json", "consolidated.safetensors", "generation_config.json",
        "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json",
        "params.json", "special_tokens_map.json", "tokenizer.json", "tokenizer.model", "tokenizer.model.v3",
        "tokenizer_config.json",
    ],
    "meta-llama/Llama-3.1-8B-Instruct": [
        *ALIKE, "LICENSE", "USE_POLICY.md", "config.json", "generation_config.json",
        "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json",
        "original/consolidated.00.pth", "original/params.json", "original/tokenizer.model", "special_tokens_map.json",
        "tokenizer.json", "tokenizer_config.json",
    ],
    "google/gemma-3-1b-it": [
        *ALIKE, "added_tokens.json", "config.json", "generation_config.json", "model.safetensors",
        "special_tokens_map.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json",
    ],
}  # fmt: skip
NEEDED = {
    "hexgrad/Kokoro-82M": ["config.json", "kokoro-v1_0.pth", "voices/af_heart.pt", "voices/am_michael.pt"],
    "hexgrad/Kokoro-82M-v1.1-zh": ["config.json", "kokoro-v1_1-zh.pth", "voices/af_maple.pt", "voices/zf_001.pt"],
    "FunAudioLLM/CosyVoice2-0.5B": [
        "CosyVoice-BlankEN/config.json", "CosyVoice-BlankEN/generation_config.json", "CosyVoice-BlankEN/merges.txt",
        "CosyVoice-BlankEN/tokenizer_config.json", "CosyVoice-BlankEN/vocab.json", "campplus.onnx", "cosyvoice2.yaml",
        "flow.pt", "hift.pt", "llm.pt", "speech_tokenizer_v2.onnx",
    ],
    "FunAudioLLM/Fun-CosyVoice3-0.5B-2512": [
        "CosyVoice-BlankEN/config.json", "CosyVoice-BlankEN/generation_config.json", "CosyVoice-BlankEN/merges.txt",
        "CosyVoice-BlankEN/tokenizer_config.json", "CosyVoice-BlankEN/vocab.json", "campplus.onnx", "cosyvoice3.yaml",
        "flow.pt", "hift.pt", "llm.pt", "speech_tokenizer_v3.onnx",
    ],
    "FunAudioLLM/CosyVoice-300M": [
        "campplus.onnx", "cosyvoice.yaml", "flow.pt", "hift.pt", "llm.pt", "speech_tokenizer_v1.onnx",
    ],
    "FunAudioLLM/CosyVoice-300M-SFT": [
        "campplus.onnx", "cosyvoice.yaml", "flow.pt", "hift.pt", "llm.pt", "speech_tokenizer_v1.onnx", "spk2info.pt",
    ],
    "FunAudioLLM/CosyVoice-300M-Instruct": [
        "campplus.onnx", "cosyvoice.yaml", "flow.pt", "hift.pt", "llm.pt", "speech_tokenizer_v1.onnx", "spk2info.pt",
    ],
    "SWivid/F5-TTS": ["F5TTS_v1_Base/model_1250000.safetensors", "F5TTS_v1_Base/vocab.txt"],
    "SWivid/E2-TTS": ["E2TTS_Base/model_1200000.safetensors"],
    "charactr/vocos-mel-24khz": ["config.yaml", "pytorch_model.bin"],
    "openai/whisper-base": ["config.json", "generation_config.json", "model.safetensors"],
    "Systran/faster-whisper-base": ["config.json", "model.bin"],
    "Systran/faster-whisper-tiny.en": ["config.json", "model.bin"],
    "Helsinki-NLP/opus-mt-en-de": [
        "config.json", "generation_config.json", "pytorch_model.bin", "source.spm", "target.spm",
        "tokenizer_config.json", "vocab.json",
    ],
    "facebook/nllb-200-distilled-600M": [
        "config.json", "generation_config.json", "pytorch_model.bin", "sentencepiece.bpe.model", "tokenizer.json",
        "tokenizer_config.json",
    ],
    "facebook/m2m100_418M": [
        "config.json", "generation_config.json", "pytorch_model.bin", "sentencepiece.bpe.model",
        "tokenizer_config.json", "vocab.json",
    ],
    "google/madlad400-3b-mt": [
        "config.json", "generation_config.json", "model.safetensors", "spiece.model", "tokenizer.json",
        "tokenizer_config.json",
    ],
    "google-t5/t5-small": [
        "config.json", "generation_config.json", "model.safetensors", "spiece.model", "tokenizer.json",
        "tokenizer_config.json",
    ],
    "google/byt5-small": ["config.json", "generation_config.json", "pytorch_model.bin", "tokenizer_config.json"],
    "HuggingFaceTB/SmolLM2-360M-Instruct": [
        "config.json", "generation_config.json", "merges.txt", "model.safetensors", "special_tokens_map.json",
        "tokenizer.json", "tokenizer_config.json", "vocab.json",
    ],
    "Qwen/Qwen3-4B": [
        "config.json", "generation_config.json", "merges.txt", "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors", "model.safetensors.index.json", "tokenizer.json", "tokenizer_config.json",
        "vocab.json",
    ],
    "mistralai/Mistral-7B-Instruct-v0.3": [
        "config.json", "generation_config.json", "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors", "model.safetensors.index.json", "special_tokens_map.json",
        "tokenizer.json", "tokenizer.model", "tokenizer_config.json",
    ],
    "meta-llama/Llama-3.1-8B-Instruct": [
        "config.json", "generation_config.json", "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors", "model.safetensors.index.json", "special_tokens_map.json",
        "tokenizer.json", "tokenizer_config.json",
    ],
    "google/gemma-3-1b-it": [
        "added_tokens.json", "config.json", "generation_config.json", "model.safetensors", "special_tokens_map.json",
        "tokenizer.json", "tokenizer.model", "tokenizer_config.json",
    ],
}  # fmt: skip
# One stands for all of its kind: their repositories have the same files.
ONE_OF_ITS_KIND = {
    "openai/whisper-": "openai/whisper-base",
    "Helsinki-NLP/opus-mt-": "Helsinki-NLP/opus-mt-en-de",
    "facebook/nllb-": "facebook/nllb-200-distilled-600M",
    "facebook/m2m100_": "facebook/m2m100_418M",
    "google/madlad400-": "google/madlad400-3b-mt",
    "google-t5/": "google-t5/t5-small",
    "google/flan-t5-": "google-t5/t5-small",
    "HuggingFaceTB/SmolLM2-": "HuggingFaceTB/SmolLM2-360M-Instruct",
    "Qwen/": "Qwen/Qwen3-4B",
    "meta-llama/": "meta-llama/Llama-3.1-8B-Instruct",
}
ON_HUB = [
    (card.name, published.hub_id)
    for card in registry.cards()
    for published in card.checkpoints
    if not published.hub_id.startswith("packaged:")
    if all(published.hub_id == one or not published.hub_id.startswith(kind) for kind, one in ONE_OF_ITS_KIND.items())
]
VERBS = {
    "load": lambda repository, family: pytorch_to_mlx.load(repository),
    "convert": lambda repository, family: pytorch_to_mlx.convert(repository, "out"),
    "validate": lambda repository, family: pytorch_to_mlx.validate(repository),
    "analyze": lambda repository, family: pytorch_to_mlx.analyze(repository),
    "inspect": lambda repository, family: pytorch_to_mlx.analyze(repository, family=family),
    "benchmark": lambda repository, family: benchmark(repository, family=family),
    "find_model": lambda repository, family: find_model(repository),
}


class Downloaded(Exception):
    """The stand-in has seen what is asked for; no file follows."""


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The files that were asked for, by repository."""
    import huggingface_hub

    downloads: dict[str, list[str]] = {}

    def model_info(_, repository, **options):
        names = PUBLISHED.get(repository, PUBLISHED["FunAudioLLM/CosyVoice2-0.5B"])
        return types.SimpleNamespace(siblings=[types.SimpleNamespace(rfilename=n) for n in names], sha="0" * 40)

    def snapshot_download(repository, *, allow_patterns, **options):
        downloads[repository] = allow_patterns
        raise Downloaded

    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return downloads


def test_every_published_repository_has_a_list():
    assert {repository for _, repository in ON_HUB} == PUBLISHED.keys()


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(("family", "repository"), ON_HUB)
def test_every_verb_asks_for_the_files_of_the_card(hub, family, repository, verb):
    with pytest.raises(Downloaded):
        VERBS[verb](repository, family)
    assert hub == {repository: NEEDED[repository]}


@pytest.mark.parametrize(
    "words",
    [
        ("kokoro", "synthesize", "--text", "Hi.", "--model"),
        ("kokoro", "voices", "--model"),
        ("kokoro", "convert", "--hf-path"),
        ("kokoro", "validate", "--hf-path"),
        ("kokoro", "benchmark", "--hf-path"),
        ("kokoro", "inspect"),
        ("cosyvoice2", "synthesize", "--text", "Hi.", "--speaker", "random", "--model"),
        ("cosyvoice2", "speakers", "--model"),
        ("cosyvoice2", "convert", "--hf-path"),
        ("cosyvoice2", "validate", "--hf-path"),
        ("cosyvoice2", "benchmark", "--hf-path"),
        ("cosyvoice2", "inspect"),
        ("whisper", "transcribe", "speech.wav", "--model"),
        ("whisper", "convert", "--hf-path"),
        ("whisper", "validate", "--hf-path"),
        ("whisper", "benchmark", "--hf-path"),
        ("whisper", "inspect"),
        ("convert",),
        ("validate",),
        ("analyze",),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_the_command_line_asks_for_the_same(hub, words):
    from pytorch_to_mlx.cli.app import build

    Path("speech.wav").write_bytes(b"")
    families = {"kokoro": "hexgrad/Kokoro-82M", "whisper": "openai/whisper-base"}
    repository = families.get(words[0], "FunAudioLLM/CosyVoice2-0.5B")
    arguments = [*words, repository]
    with pytest.raises(Downloaded):
        build(arguments)(args=arguments, prog_name="pytorch-to-mlx", standalone_mode=False)
    assert hub == {repository: NEEDED[repository]}


def test_a_fine_tuned_release_is_known_by_its_marker(hub):
    with pytest.raises(Downloaded):
        pytorch_to_mlx.load("someone/my-cosyvoice2")
    assert hub == {"someone/my-cosyvoice2": NEEDED["FunAudioLLM/CosyVoice2-0.5B"]}


def test_safetensors_come_before_pickles_and_files_stay_at_the_top():
    files = ["model.safetensors", "pytorch_model.bin", "onnx/model.safetensors", "modeling_x.py"]
    whisper = registry.card("whisper").files
    assert names.choose(files, whisper) == ["model.safetensors"]
    assert names.choose(files[1:], whisper) == ["pytorch_model.bin"]
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]
    assert names.choose(shards, whisper) == shards


def test_installed_weights_are_the_default(monkeypatch):
    card = registry.card("kokoro")
    monkeypatch.setattr(names.packaged, "is_installed", lambda name: True)
    assert names.default_source(card) == "packaged:kokoro-82m-int8"
    monkeypatch.setattr(names.packaged, "is_installed", lambda name: False)
    assert names.default_source(card) == card.default.hub_id == "hexgrad/Kokoro-82M"


@pytest.mark.parametrize("family", registry.names())
def test_every_verb_takes_the_default_of_the_card(family, hub, monkeypatch):
    """Without weights installed: the first checkpoint of the card, whatever the verb."""
    monkeypatch.setattr(names.packaged, "is_installed", lambda name: False)
    monkeypatch.setattr(names.packaged, "find", lambda name: (_ for _ in ()).throw(Downloaded))
    calls = {
        "load": lambda: pytorch_to_mlx.load(family=family),
        "convert": lambda: pytorch_to_mlx.convert(None, "out", family=family),
        "validate": lambda: pytorch_to_mlx.validate(None, family=family),
        "benchmark": lambda: benchmark(None, family=family),
    }
    for verb, call in calls.items():
        hub.clear()
        with pytest.raises(Downloaded):
            call()
        default = registry.card(family).default.hub_id
        assert list(hub) == ([] if default.startswith("packaged:") else [default]), verb


def test_no_source_and_no_family_is_an_error():
    for call in (lambda: pytorch_to_mlx.load(), lambda: pytorch_to_mlx.convert(None, "out")):
        with pytest.raises(PortError, match="name a checkpoint"):
            call()
