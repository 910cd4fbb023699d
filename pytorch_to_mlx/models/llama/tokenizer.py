"""Text ⇄ ids, and messages → text by the model's own chat template, which runs in transformers' sandbox of Jinja."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...checkpoint.files import quote
from ...errors import FormatError, MissingExtraError, UsageError
from ...text.tokenizer_json import Refusing
from .files import GENERATION, SETTINGS, TEMPLATE, TOKENIZER, read_settings

Message = Mapping[str, str]
SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")


class Tokenizer:
    """The tokenizer of a model. files: those beside its weights. config: its config.json. folder: for one that has no
    tokenizer.json, from whose other files transformers makes it.

    Raises: FormatError for files that are no tokenizer; MissingExtraError without transformers.
    """

    def __init__(self, files: Mapping[str, bytes], config: Mapping[str, Any], *, folder: Path, where: str) -> None:
        self.hf = _load(files, folder, where)
        self.where = where
        template = files.get(TEMPLATE)
        if template is not None:
            self.hf.chat_template = template.decode("utf-8", "replace")
        self.eos = self._ends(files, config)

    def _ends(self, files: Mapping[str, bytes], config: Mapping[str, Any]) -> frozenset[int]:
        """Return the tokens that end a text: of generation_config.json, else config.json, and the tokenizer's own."""
        stated = read_settings(files, GENERATION).get("eos_token_id", config.get("eos_token_id"))
        ids = stated if isinstance(stated, list) else [stated]
        ids = [*ids, self.hf.eos_token_id]
        return frozenset(number for number in ids if type(number) is int and number >= 0)

    def __len__(self) -> int:
        return len(self.hf)

    @property
    def has_template(self) -> bool:
        """Return whether the model has a chat template."""
        return self.hf.chat_template is not None

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Return the ids of a text, with the tokens around it that the model wants unless not `special`.

        Special tokens that stand in the text are themselves: prompts are written with them.
        """
        with Refusing(self.where):
            return self.hf.encode(text, add_special_tokens=special)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids without special tokens."""
        return self.hf.decode(list(ids), skip_special_tokens=True)

    def chat_ids(self, messages: Sequence[Message]) -> list[int]:
        """Return the ids of a conversation by the model's template, ready for the answer.

        Raises: UsageError for a model without one, and for what the template refuses; FormatError for a broken one.
        """
        if not self.has_template:
            raise UsageError("this model has no chat template", fix="it continues texts: use generate with --raw")
        return self.encode(self._render(messages), special=False)

    def _render(self, messages: Sequence[Message]) -> str:
        from jinja2 import TemplateError, TemplateSyntaxError
        from jinja2.exceptions import SecurityError, UndefinedError

        try:
            return self.hf.apply_chat_template([dict(m) for m in messages], tokenize=False, add_generation_prompt=True)
        except (TemplateSyntaxError, SecurityError, UndefinedError) as error:
            raise FormatError(f"its chat template cannot be used: {quote(error)}", where=self.where) from None
        except TemplateError as error:  # what a template says by raise_exception
            raise UsageError(f"the model's chat template refuses these messages: {quote(error)}") from None
        except (TypeError, ValueError, KeyError, AttributeError, IndexError, OverflowError, RecursionError) as error:
            raise FormatError(f"its chat template fails: {quote(error)}", where=self.where) from None


def _load(files: Mapping[str, bytes], folder: Path, where: str) -> Any:
    """Return transformers' tokenizer of these files; code that they name is not run."""
    try:
        from tokenizers import Tokenizer as Backend
        from transformers import AutoTokenizer, PreTrainedTokenizerFast
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "llama", needed_for="language models") from None
    settings = read_settings(files, SETTINGS)
    with Refusing(where):
        if TOKENIZER not in files:
            return _made_by_transformers(AutoTokenizer, folder, where)
        try:
            content = files[TOKENIZER].decode("utf-8")
            backend = Backend.from_str(content)
        except UnicodeDecodeError:
            raise FormatError("not UTF-8", where=f"{where}: {TOKENIZER}") from None
    special = {name: text for name in SPECIAL if (text := _text(settings.get(name))) is not None}
    chat = settings.get("chat_template")
    if isinstance(chat, list):  # several, by name
        chat = {str(item.get("name")): item.get("template") for item in chat if isinstance(item, dict)}.get("default")
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        chat_template=chat if isinstance(chat, str) else None,
        clean_up_tokenization_spaces=False,
        **special,
    )


def _text(token: Any) -> str | None:
    """Return a special token, which tokenizer_config.json holds as text or as an object."""
    content = token.get("content") if isinstance(token, Mapping) else token
    return content if isinstance(content, str) else None


def _made_by_transformers(auto: Any, folder: Path, where: str) -> Any:
    try:
        return auto.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, ImportError, json.JSONDecodeError) as error:
        reason = " ".join(str(error).split())[:150]
        raise FormatError(
            f"no tokenizer beside the weights: {quote(reason)}", where=where, fix="put tokenizer.json beside them"
        ) from None
