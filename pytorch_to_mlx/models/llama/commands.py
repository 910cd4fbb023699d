"""What the language models add to the command line: `generate` and `chat`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .card import CARD

MEGABYTE = 1 << 20


def generate(
    what: str | None = None,
    /,
    *,
    text: str | None = None,
    file: Path | None = None,
    prompts: Path | None = None,
    raw: bool = False,
    system: str | None = None,
    max_tokens: int = 512,
    temperature: float = 0.0,
    top_p: float = 1.0,
    top_k: int = 0,
    min_p: float = 0.0,
    repetition_penalty: float = 1.0,
    seed: int = 0,
    stop: list[str] | None = None,
    stream: bool | None = None,
    output: Path | None = None,
    draft_model: str | None = None,
    draft_tokens: int = 3,
    kv_bits: int | None = None,
    prompt_cache: Path | None = None,
    prompt_cache_mb: int = 1024,
    model: str | None = None,
    revision: str | None = None,
) -> Any:
    """Answer a prompt, or continue a text.

    The prompt is an argument, or what comes through a pipe, or --text, or --file. By default a small model from
    installed weights; --model takes a folder of Hugging Face's or one that was converted, a .gguf file, a hub id, or a
    name that `list` shows. Under `mlx.launch` several processes, on one machine or more, divide the model among them:
    mlx.launch --hosts a,b PATH/TO/pytorch-to-mlx llama generate … (`doctor --hosts a,b` says whether they can).

    Args:
        what: the prompt, or - for stdin
        file: file with the prompt, or - for stdin
        prompts: file with a prompt on each line; they are computed together
        raw: continue the text as it stands, without the model's chat template
        system: what the model is told before the prompt
        top_p: draw among the likeliest tokens that make up this probability; 1 is all
        top_k: draw among the K likeliest tokens; 0 is all
        min_p: draw among tokens with at least this share of the probability of the likeliest
        repetition_penalty: above 1 makes tokens less likely that the text holds
        stop: a text that ends the answer (may be given several times)
        stream: show the text as it comes, as on a terminal without this option
        output: file to write the text into; - is stdout
        draft_model: a small model with the same tokenizer, which proposes tokens; the result stays the same
        draft_tokens: tokens that the draft model proposes at a time
        kv_bits: bits of a number in the cache of keys and values: 2, 3, 4, 6 or 8
        prompt_cache: file with the keys and values of a text; read if it exists, and written with those of this run
        prompt_cache_mb: megabytes that the cache may take; a larger one is neither kept nor read

    Example: pytorch-to-mlx llama generate --text "What is the capital of France?"
    """
    from ...errors import UsageError
    from ...outputs import check_destination, write_output
    from ...text.read import choose_text
    from .decoding import Options
    from .distributed import is_first

    options = {
        "max_tokens": max_tokens, "temperature": temperature, "top_p": top_p, "top_k": top_k, "min_p": min_p,
        "repetition_penalty": repetition_penalty, "seed": seed, "stop": tuple(stop or ()), "kv_bits": kv_bits,
        "draft_tokens": draft_tokens,
    }  # fmt: skip
    Options.of(options)  # before anything is loaded
    several = _lines(prompts)
    if several is None:
        content = _prompt(None if file is not None else choose_text(what, text), file, (what, text))
    elif what is not None or text is not None or file is not None:
        raise UsageError("give one prompt or --prompts, not both")
    else:
        content = ""
    if output is not None:
        check_destination(output)
    if stream and (output is not None or several is not None):
        raise UsageError("--stream prints one text", fix="leave out --output and --prompts")
    pipeline = _load(model, revision, draft_model)
    if not is_first():  # computes its share, and the first process shows the result
        pipeline.generate(several or content, raw=raw, system=system, **options)
        return None
    if several is not None:
        results = pipeline.generate(several, raw=raw, system=system, **options)
        if output is not None:
            write_output(output, "".join(f"{' '.join(result.text.split())}\n" for result in results))
            return None
        return iter(results)
    cache = _Cache(pipeline, prompt_cache, prompt_cache_mb)
    cache.read()
    if output is None and (stream or (stream is None and _on_terminal())):
        return Streamed(pipeline, content, cache, {"raw": raw, "system": system, **options})
    result = pipeline.generate(content, raw=raw, system=system, **options)
    cache.write()
    if output is not None:
        write_output(output, result.text)
    return result


def chat(
    *,
    system: str | None = None,
    max_tokens: int = 512,
    temperature: float = 0.0,
    top_p: float = 1.0,
    top_k: int = 0,
    min_p: float = 0.0,
    repetition_penalty: float = 1.0,
    seed: int = 0,
    stop: list[str] | None = None,
    kv_bits: int | None = None,
    model: str | None = None,
    revision: str | None = None,
) -> Any:
    """Talk with a model; each line is a message, /reset begins anew, and /exit or the end of the input ends.

    What was said is not read again: its keys and values stay. Through a pipe every line is a message too.

    Args:
        system: what the model is told before the conversation
        top_p: draw among the likeliest tokens that make up this probability; 1 is all
        top_k: draw among the K likeliest tokens; 0 is all
        min_p: draw among tokens with at least this share of the probability of the likeliest
        repetition_penalty: above 1 makes tokens less likely that the conversation holds
        stop: a text that ends an answer (may be given several times)
        kv_bits: bits of a number in the cache of keys and values: 2, 3, 4, 6 or 8

    Example: pytorch-to-mlx llama chat --system "Answer in one sentence."
    """
    from ...errors import UsageError
    from .decoding import Options
    from .distributed import processes
    from .session import conversation

    options = {
        "max_tokens": max_tokens, "temperature": temperature, "top_p": top_p, "top_k": top_k, "min_p": min_p,
        "repetition_penalty": repetition_penalty, "seed": seed, "stop": tuple(stop or ()), "kv_bits": kv_bits,
    }  # fmt: skip
    Options.of(options)  # before anything is loaded
    if processes() is not None:
        raise UsageError("chat runs in one process", fix="use generate with mlx.launch")
    return conversation(_load(model, revision), system, options)


@dataclass(frozen=True)
class Streamed:
    """An answer that is shown while it is written."""

    pipeline: Any
    prompt: str
    cache: Any
    options: dict[str, Any]

    def pieces(self) -> Iterator[str]:
        """Yield the parts of the text as they come."""
        yield from self.pipeline.stream(self.prompt, **self.options)
        self.cache.write()

    def to_dict(self) -> dict[str, Any]:
        """Return the whole answer, for JSON."""
        result = self.pipeline.generate(self.prompt, **self.options)
        self.cache.write()
        return result.to_dict()


@dataclass(frozen=True)
class _Cache:
    """The file of a prompt cache, if one is named."""

    pipeline: Any
    path: Path | None
    megabytes: int

    def read(self) -> None:
        if self.path is not None:
            self.pipeline.cache.max_bytes = self.megabytes * MEGABYTE
            if self.path.exists():
                self.pipeline.cache.load(self.path)

    def write(self) -> None:
        if self.path is not None:
            self.pipeline.cache.save(self.path)


def _load(model: str | None, revision: str | None, draft_model: str | None = None) -> Any:
    from ...checkpoint import locate
    from .pipeline import load

    draft = None if draft_model is None else locate(draft_model, (CARD,)).path
    return load(locate(model, (CARD,), revision=revision).path, draft=draft)


def _prompt(chosen: str | None, file: Path | None, others: tuple[str | None, ...]) -> str:
    """Return the prompt. Raises: UsageError where there is none, or two."""
    from ...errors import UsageError
    from ...text.read import MAX_CHARACTERS, read_text

    if file is not None and any(other is not None for other in others):
        raise UsageError("give a text or --file, not both")
    content = read_text(chosen, file)
    if not content:
        raise UsageError("there is no prompt", fix='give it with --text "…", --file, or through a pipe')
    if len(content) > MAX_CHARACTERS:
        raise UsageError(f"more than {MAX_CHARACTERS} characters")
    return content


def _lines(path: Path | None) -> list[str] | None:
    from ...errors import UsageError
    from ...text.read import read_text

    if path is None:
        return None
    lines = [line for line in (read_text(None, path) or "").splitlines() if line.strip()]
    if not lines:
        raise UsageError("there is no prompt in the file", where=path)
    return lines


def _on_terminal() -> bool:
    import sys

    return sys.stdout is not None and sys.stdout.isatty()
