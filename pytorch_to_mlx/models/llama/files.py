"""The files beside the weights: tokenizer.json, its settings with the chat template, and the settings of generation.

Of a GGUF file they are made from its metadata, by transformers' own converter of that metadata; nothing is run but it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...checkpoint import Checkpoint, open_checkpoint
from ...checkpoint.files import SourceFile, quote
from ...checkpoint.json_file import parse_json
from ...errors import FormatError, MissingExtraError
from ...text.tokenizer_json import MAX_BYTES, Refusing

TOKENIZER, SETTINGS, GENERATION, TEMPLATE = (
    "tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja",
)  # fmt: skip
NAMES = (
    TOKENIZER, SETTINGS, GENERATION, TEMPLATE, "special_tokens_map.json", "added_tokens.json", "tokenizer.model",
    "vocab.json", "merges.txt",
)  # fmt: skip
NO_LIMIT = b"1000000000000000019884624838656"  # what transformers writes as model_max_length: int(1e30)
# How byte-level vocabularies of llama.cpp cut text, where transformers' converter does not know: digits one by one.
DIGITS = ("smollm", "starcoder", "refact", "command-r", "codeshell")
GPT2 = ("gpt-2", "default", None)
ADD_BOS = ("llama3", "llama-v3", "llama-bpe")  # for which llama.cpp adds the first token if the file does not say


def extra_files(path: Path, config: Mapping[str, Any]) -> dict[str, bytes]:
    """Return what a converted folder holds beside the weights; what a checkpoint lacks is left out.

    Raises: FormatError for files that are damaged or too large; MissingExtraError without transformers for a GGUF file.
    """
    if gguf := gguf_of(path):
        with open_checkpoint(gguf) as checkpoint:
            return gguf_files(checkpoint)
    folder = path if path.is_dir() else path.parent
    return {name: _read(folder / name) for name in NAMES if (folder / name).is_file()}


def gguf_of(path: Path) -> Path | None:
    """Return the GGUF file that is meant by a path: itself, or the one in a folder without config.json."""
    if path.is_file():
        return path if path.suffix.lower() == ".gguf" else None
    files = [] if (path / "config.json").exists() else sorted(path.glob("*.gguf"))
    return files[0] if len(files) == 1 else None


def _read(path: Path) -> bytes:
    with SourceFile(path) as file:
        if file.size > MAX_BYTES:
            raise FormatError(f"{file.size} bytes, at most {MAX_BYTES} are read", where=path)
        return file.read(0, file.size)


def gguf_files(checkpoint: Checkpoint) -> dict[str, bytes]:
    """Return the tokenizer of a GGUF file as Hugging Face's files.

    Raises: FormatError for a tokenizer that is not ported, or whose parts contradict each other.
    """
    extra, where = checkpoint.extra, checkpoint.source
    ggml = {key.removeprefix("tokenizer.ggml."): v for key, v in extra.items() if key.startswith("tokenizer.ggml.")}
    kind, cut = ggml.get("model"), ggml.get("pre")
    _check(ggml, where)
    try:
        from tokenizers import pre_tokenizers, processors
        from transformers.integrations.gguf.gguf_tokenizer_mapping import (
            GGUF_PRE_TOKENIZER_SPLITS,
            GGUF_TOKENIZER_MAPPING,
            convert_gguf_tokenizer,
        )
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "llama", needed_for="the tokenizer of a GGUF file") from None
    if kind == "gpt2" and cut not in (*GPT2, *DIGITS, *GGUF_PRE_TOKENIZER_SPLITS):
        raise FormatError(f"a tokenizer that cuts text as {quote(cut)} is not ported", where=where)
    names = GGUF_TOKENIZER_MAPPING["tokenizer"]
    parts = {ours: ggml[key.removeprefix("ggml.")] for key, ours in names.items() if key.removeprefix("ggml.") in ggml}
    with Refusing(where):
        try:
            tokenizer, _ = convert_gguf_tokenizer(str(extra.get("general.architecture")), parts)
        except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
            raise FormatError(f"no tokenizer can be made of its metadata: {quote(error)}", where=where) from None
    if cut in DIGITS:
        digits = pre_tokenizers.Digits(individual_digits=True)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokens = ggml["tokens"]
    special = {
        f"{ours}_token": tokens[ggml[f"{theirs}_token_id"]]
        for ours, theirs in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding"))
        if f"{theirs}_token_id" in ggml
    }
    adds_bos = bool(ggml.get("add_bos_token", kind == "llama" or cut in ADD_BOS)) and "bos_token" in special
    if adds_bos:
        bos = special["bos_token"]
        template = processors.TemplateProcessing(f"{bos} $A", f"{bos} $A {bos} $B", [(bos, ggml["bos_token_id"])])
        byte_level = kind == "gpt2"
        tokenizer.post_processor = (
            processors.Sequence([processors.ByteLevel(trim_offsets=False), template]) if byte_level else template
        )
    settings: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    settings |= {**special, "add_bos_token": adds_bos}
    chat = extra.get("tokenizer.chat_template")
    if isinstance(chat, str):
        settings["chat_template"] = chat
    return {TOKENIZER: tokenizer.to_str().encode(), SETTINGS: _json(settings)}


def _check(ggml: Mapping[str, Any], where: str) -> None:
    """Refuse metadata that the converter would take wrongly, all problems at once."""
    problems = []
    tokens = ggml.get("tokens")
    if not isinstance(tokens, list) or not tokens or not all(isinstance(token, str) for token in tokens):
        raise FormatError("no list of tokens (tokenizer.ggml.tokens)", where=where, fix="give the original checkpoint")
    if ggml.get("model") not in ("llama", "gpt2"):
        problems.append(f"tokenizer.ggml.model is {quote(ggml.get('model'))}, ported: llama, gpt2")
    for name, item in (("scores", float), ("token_type", int), ("merges", str)):
        values = ggml.get(name, [])
        if not isinstance(values, list) or not all(type(value) is item for value in values):
            problems.append(f"tokenizer.ggml.{name} is not a list of {item.__name__}")
        elif name != "merges" and values and len(values) != len(tokens):
            problems.append(f"tokenizer.ggml.{name} has {len(values)} values for {len(tokens)} tokens")
    if ggml.get("model") == "gpt2" and not ggml.get("merges"):
        problems.append("there are no tokenizer.ggml.merges")
    for name, value in ggml.items():
        if name.endswith("_token_id") and (type(value) is not int or not 0 <= value < len(tokens)):
            problems.append(f"tokenizer.ggml.{name} is {quote(value)}, not one of {len(tokens)} tokens")
    if problems:
        raise FormatError("its tokenizer is not complete", where=where, details=problems)


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()


def read_settings(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    """Return the content of a JSON file among `files`, empty where there is none. Raises: FormatError."""
    return parse_json(files[name].replace(NO_LIMIT, b"null"), where=name) if name in files else {}
