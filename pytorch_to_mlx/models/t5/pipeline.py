"""Text in, its translation out; or whatever else a T5 was trained to make of a text."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx

from ...backend.dtype import compute_dtype
from ...errors import UsageError
from ...forks import require_own_threads
from ...generate.options import LENGTH_FACTOR, GenerationOptions
from ...generate.released import GENERATION, read_files, released_options
from ...generate.steps import DecoderSteps
from ...generate.translate import Engine, check_languages, stream_text, translate_each
from ...tasks import Translation
from ...weights import load_model
from .config import Config
from .model import Model
from .tokenizer import FILES, Tokenizer
from .weights import WEIGHTS, open_release

MAX_SOURCE, MAX_TARGET = 512, 2048  # tokens; positions have no end, but the models were trained on 512


class T5Pipeline:
    """A loaded model: `translate` for texts, `stream` for one text piece by piece."""

    names_source = False

    def __init__(self, model: Model, tokenizer: Tokenizer, options: GenerationOptions | None = None) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.options = options or GenerationOptions(eos=(model.config.eos_token_id,), max_length_factor=LENGTH_FACTOR)

    @property
    def languages(self) -> tuple[str, ...]:
        """Return the codes of the target languages; none of a model that is told in words what to do."""
        return tuple(self.tokenizer.tags)

    def translate(
        self,
        text: str | Sequence[str],
        /,
        *,
        src: str | None = None,
        tgt: str | None = None,
        prefix: str = "",
        **options: Any,
    ) -> Translation | list[Translation]:
        """Translate a text, or each of several, or do with each sentence what `prefix` says.

        tgt: code or English name of the target language, where the vocabulary has `<2xx>` tags (MADLAD-400). prefix:
        words before every sentence, such as "translate English to German: " (T5, FLAN).
        Other options are those of `generate.translate.TranslateOptions` and `generate.options.GenerationOptions`.
        Raises: UsageError for unknown options, values and languages.
        """
        require_own_threads()
        texts = [text] if isinstance(text, str) else list(text)
        engine = self.engine(tgt, prefix=prefix, src=src)
        results = translate_each(lambda _: engine, [("", item) for item in texts], **options)
        return results[0] if isinstance(text, str) else results

    def stream(
        self, text: str, /, *, src: str | None = None, tgt: str | None = None, prefix: str = "", **options: Any
    ) -> Iterator[str]:
        """Yield the translation of a text as its words are ready; joined, the pieces are what `translate` gives.

        Options and Raises are those of `translate`.
        """
        require_own_threads()
        return stream_text(self.engine(tgt, prefix=prefix, src=src), text, **options)

    def example_engine(self) -> Engine:
        """Return the direction to validate: into French where there are tags."""
        return self.engine("fr" if "fr" in self.languages else next(iter(self.languages), None))

    def engine(self, tgt: str | None = None, *, prefix: str = "", src: str | None = None) -> Engine:
        """Return the way into a language. Raises: UsageError where none is named, or one that the model cannot have."""
        check_languages(src, tgt)
        if src is not None:
            raise UsageError("this model finds out the source language by itself", fix="leave out src")
        if tgt is None and self.languages:
            raise UsageError(
                f"this model translates into {len(self.languages)} languages", fix="name one with tgt, such as fr"
            )
        if tgt is not None and not self.languages:
            raise UsageError(
                "this model has no tags for languages", fix="leave out tgt; say it in prefix, as the model was trained"
            )
        code, config = self.tokenizer.code(tgt) if tgt else "", self.model.config
        return Engine(
            encode=partial(self.tokenizer.encode, code=code, prefix=prefix),
            decode=self.tokenizer.decode,
            start=lambda sources: DecoderSteps(self.model, sources, padding=config.pad_token_id),
            prompt=(config.decoder_start_token_id,),
            max_source=MAX_SOURCE,
            max_target=MAX_TARGET,
            options=self.options,
            tgt=code,
            unknown=self.tokenizer.unknown,
        )


def load(path: Path, *, dequantize: bool | None = None) -> T5Pipeline:
    """Load a converted folder, or a checkpoint of transformers; no convert step is needed."""
    model, config = load_model(
        path,
        lambda config: Model(Config.from_dict(config)),
        sizes=Config.from_dict,
        weight_map=WEIGHTS,
        open_release=open_release,
        dequantize=dequantize,
        runs_packed=True,
        dtype_of=_dtype,
    )
    files = extra_files(path, config)
    options = released_options(files, config, eos=1)
    return T5Pipeline(model, Tokenizer(files, model.config, where=str(path)), options)


def extra_files(path: Path, config: Mapping[str, Any]) -> dict[str, bytes]:
    """Return what a converted folder holds beside the weights; what a checkpoint lacks is left out.

    Raises: FormatError for a file that is too large.
    """
    return read_files(path if path.is_dir() else path.parent, (*FILES, GENERATION))


def _dtype(name: str, array: mx.array) -> mx.Dtype:
    """Return the dtype of a weight in memory: never float16, in which T5's activations overflow."""
    return mx.float32 if array.dtype == mx.float16 else compute_dtype(array.dtype)
