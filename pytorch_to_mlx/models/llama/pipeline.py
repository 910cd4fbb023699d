"""A prompt or a conversation in, the model's text out: whole, piece by piece, or many prompts together."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from ... import backend
from ...backend.dtype import on_cpu
from ...backend.native import kernels
from ...cancel import check_cancelled
from ...errors import FormatError, UsageError
from ...forks import require_own_threads
from ...progress import note
from ...tasks import Completion
from ...weights import load_model
from .batch import generate_together, is_batchable
from .cache import PromptCache
from .config import Config
from .decoding import KV_GROUPS, Options, TextStream, token_stream
from .distributed import processes, shard
from .files import extra_files
from .model import build
from .tokenizer import Message, Tokenizer
from .weights import WEIGHTS, open_release


class LlamaPipeline:
    """A loaded language model: `generate` for prompts, `chat` for conversations, `stream` for a text as it comes.

    config: config.json. cache: the last text that was read and written, which the next one that begins the same uses.
    """

    def __init__(self, model: Any, tokenizer: Tokenizer, config: dict[str, Any], draft: "LlamaPipeline | None" = None):
        self.model, self.tokenizer, self.config = model, tokenizer, config
        if draft is not None and len(draft.tokenizer) != len(tokenizer):
            raise UsageError(
                f"the draft model has {len(draft.tokenizer)} tokens, the model {len(tokenizer)}",
                fix="give a draft model with the same tokenizer",
            )
        self.draft = None if draft is None else draft.model
        self.cache = PromptCache(model, config, draft=self.draft)
        self._is_batchable: bool | None = None

    def generate(
        self, prompt: str | Sequence[str], /, *, raw: bool = False, system: str | None = None, **options: Any
    ) -> Completion | list[Completion]:
        """Answer a prompt, or each of several; several are computed together where that changes nothing.

        raw: continue the text as it stands, without the model's chat template; so does a model that has none.
        system: what the model is told before the prompt.
        Other options are those of `Options`.
        Raises: UsageError for unknown options and values, and for a prompt that is empty or too long.
        """
        require_own_threads()
        chosen = Options.of(options)
        if isinstance(prompt, str):
            return self._complete(self.ids_of(prompt, raw=raw, system=system), chosen)
        rows = [self.ids_of(text, raw=raw, system=system) for text in prompt]
        if self._go_together(rows, chosen):
            fitting = min((self._fitting(row, chosen) for row in rows), key=lambda one: one.max_tokens)
            return generate_together(self.model, rows, fitting, self.tokenizer)
        return [self._complete(row, chosen) for row in rows]

    def _go_together(self, rows: Sequence[Sequence[int]], options: Options) -> bool:
        """Return whether prompts are computed in one batch.

        Not where tokens are drawn, so that the seed alone decides, and not where the architecture ignores the padding.
        """
        if len(rows) < 2 or self.draft is not None or not options.is_greedy or options.kv_bits is not None:
            return False
        if self._is_batchable is None:
            self._is_batchable = is_batchable(self.model, min(len(self.tokenizer), 1000))
            if not self._is_batchable:
                note("this architecture gives other results in a batch: the prompts are computed one by one")
        return self._is_batchable

    def chat(self, messages: str | Sequence[Message], /, **options: Any) -> Completion:
        """Answer the last of the messages, {"role": "user", "content": "…"} each, or one message of the user.

        What the conversation has in common with the last call is not read again. Options are those of `Options`.
        Raises: UsageError for unknown options, and for messages that the model's chat template refuses.
        """
        require_own_threads()
        chosen = Options.of(options)
        return self._complete(self.tokenizer.chat_ids(as_messages(messages)), chosen)

    def stream(
        self, prompt: str | Sequence[Message], /, *, raw: bool = False, system: str | None = None, **options: Any
    ) -> Iterator[str]:
        """Yield the answer to a prompt, or to messages, as it comes; joined, it is the text of `generate` or `chat`."""
        require_own_threads()
        chosen = Options.of(options)
        if isinstance(prompt, str):
            ids = self.ids_of(prompt, raw=raw, system=system)
        else:
            ids = self.tokenizer.chat_ids(prompt)
        return self._pieces(ids, chosen, [])

    def ids_of(self, prompt: str, *, raw: bool = False, system: str | None = None) -> list[int]:
        """Return the tokens of a prompt. Raises: UsageError for one that is not text."""
        if not isinstance(prompt, str):
            raise UsageError(f"a prompt must be a string, not {type(prompt).__name__}")
        if raw or not self.tokenizer.has_template:
            if system is not None:
                raise UsageError("a system prompt needs the model's chat template", fix="put it into the prompt")
            return self.tokenizer.encode(prompt)
        return self.tokenizer.chat_ids(as_messages(prompt, system))

    def _complete(self, ids: list[int], options: Options) -> Completion:
        results: list[Completion] = []
        for _ in self._pieces(ids, options, results):
            pass
        return results[0]

    def _pieces(self, ids: list[int], options: Options, results: list[Completion]) -> Iterator[str]:
        """Yield the text after `ids`, and then add its Completion to `results`."""
        options, kv_group = self._fitting(ids, options), self._kv_group(options)
        start = perf_counter()
        rest = self.cache.begin(ids, options.kv_bits)
        text, tokens, read = TextStream(self.tokenizer.decode, options.stop), [], None
        pieces: list[str] = []
        reason = "length"
        try:
            # The rules on logits know the whole prompt, the loop reads what the cache lacks.
            more = {"whole": ids, "kv_group": kv_group}
            for token in token_stream(self.model, rest, options, self.cache.arrays, self.draft, **more):
                check_cancelled()
                read = read or perf_counter()
                tokens.append(token)
                if token in self.tokenizer.eos:
                    reason = "end"
                    break
                pieces.append(text.add(token))
                if pieces[-1]:
                    yield pieces[-1]
                if text.is_stopped:
                    reason = "stop"
                    break
            pieces.append(text.finish())
            if pieces[-1]:
                yield pieces[-1]
        finally:
            self.cache.end(tokens)
        end = perf_counter()
        read = read or end
        results.append(
            Completion(
                "".join(pieces), tuple(tokens), len(ids), reason, n_reused=len(ids) - len(rest),
                prefill_s=read - start, decode_s=end - read,
            )
        )  # fmt: skip

    def _kv_group(self, options: Options) -> int:
        """Return how many numbers of a quantized cache share a scale. Raises: UsageError where none divide a head."""
        group = next((group for group in KV_GROUPS if _divides(self.config, group)), None)
        if options.kv_bits is not None and group is None:
            raise UsageError("the model's heads are too narrow for kv_bits", fix="leave it out")
        return group or KV_GROUPS[0]

    def _fitting(self, ids: Sequence[int], options: Options) -> Options:
        """Return the options with no more tokens than the model has positions for.

        Raises: UsageError for a prompt that is empty or too long; FormatError for tokens that the model has not.
        """
        most = self.config.get("max_position_embeddings")
        if not ids:
            raise UsageError("the prompt is empty")
        if isinstance(most, int) and len(ids) >= most:
            raise UsageError(f"the prompt has {len(ids)} tokens; with its answer the model takes at most {most}")
        vocab_size = Config.from_dict(self.config).vocab_size
        if vocab_size and max(ids) >= vocab_size:
            raise FormatError(f"its tokenizer has the token {max(ids)}, the model {vocab_size} tokens")
        limit = options.max_tokens if not isinstance(most, int) else min(options.max_tokens, most - len(ids))
        return Options(**{**vars(options), "max_tokens": limit})


def _divides(config: dict[str, Any], group: int) -> bool:
    """Return whether the numbers of a head divide into groups."""
    width = config.get("head_dim") or config.get("hidden_size", 0) // config.get("num_attention_heads", 1)
    return width % group == 0


def as_messages(prompt: str | Sequence[Message], system: str | None = None) -> list[Message]:
    """Return a conversation. Raises: UsageError for messages of another form, and for none."""
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    messages = [*([{"role": "system", "content": system}] if system is not None else []), *prompt]
    for message in messages:
        if not isinstance(message, dict) or not all(isinstance(message.get(key), str) for key in ("role", "content")):
            raise UsageError('a message is {"role": "user", "content": "…"}, both of them text')
    if not messages:
        raise UsageError("there are no messages")
    return messages


def load(path: Path, *, dequantize: bool | None = None, draft: Path | None = None) -> LlamaPipeline:
    """Load a converted folder, a Hugging Face checkpoint or a GGUF file; no convert step is needed.

    draft: a small model with the same tokenizer, which proposes tokens that the large one accepts or not.
    On a CPU the kernels are put under MLX for mlx-lm, for this process (`backend.patch_mlx`); with them quantized
    layers stay quantized, because they are faster so. In a process that mlx.launch started the model is divided.
    """
    backend.patch_mlx()
    if dequantize is None and on_cpu() and kernels() is not None:
        dequantize = False
    model, config = load_model(
        path,
        lambda config: build(Config.from_dict(config)),
        sizes=Config.from_dict,
        weight_map=WEIGHTS,
        open_release=open_release,
        dequantize=dequantize,
    )
    config = Config.from_dict(config).arguments
    if group := processes():
        shard(model, config, group)
    files = extra_files(path, config)
    folder = path if path.is_dir() else path.parent
    tokenizer = Tokenizer(files, config, folder=folder, where=str(path))
    return LlamaPipeline(model, tokenizer, config, None if draft is None else load(draft, dequantize=dequantize))
