"""Text in one of many languages in, its translation into another out."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...forks import require_own_threads
from ...generate.options import GenerationOptions
from ...generate.released import GENERATION, read_files, released_options
from ...generate.steps import DecoderSteps
from ...generate.translate import Engine, check_languages, stream_text, translate_each
from ...tasks import Translation
from ...weights import load_model
from .config import Config
from .model import Model
from .tokenizer import FILES, UNKNOWN, Tokenizer
from .weights import WEIGHTS, open_release


class M2M100Pipeline:
    """A loaded translator: `translate` for texts, `stream` for one text piece by piece."""

    names_source = True

    def __init__(self, model: Model, tokenizer: Tokenizer, options: GenerationOptions | None = None) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.options = options or GenerationOptions(eos=(model.config.eos_token_id,), max_length=200)

    @property
    def languages(self) -> tuple[str, ...]:
        """Return the codes of the languages, each of which may be source and target."""
        return self.tokenizer.languages

    def translate(
        self,
        text: str | Sequence[str],
        /,
        *,
        src: str | None = None,
        tgt: str | None = None,
        legacy: bool | None = None,
        **options: Any,
    ) -> Translation | list[Translation]:
        """Translate a text, or each of several.

        src, tgt: language codes, or English names. legacy: put the source's code behind the text, as before 2023.
        Other options are those of `generate.translate.TranslateOptions` and `generate.options.GenerationOptions`.
        Raises: UsageError for unknown options, values and languages.
        """
        require_own_threads()
        texts = [text] if isinstance(text, str) else list(text)
        engine = self.engine(src, tgt, legacy=legacy)
        results = translate_each(lambda _: engine, [("", item) for item in texts], **options)
        return results[0] if isinstance(text, str) else results

    def stream(
        self,
        text: str,
        /,
        *,
        src: str | None = None,
        tgt: str | None = None,
        legacy: bool | None = None,
        **options: Any,
    ) -> Iterator[str]:
        """Yield the translation of a text as its words are ready; joined, the pieces are what `translate` gives.

        Options and Raises are those of `translate`.
        """
        require_own_threads()
        return stream_text(self.engine(src, tgt, legacy=legacy), text, **options)

    def example_engine(self) -> Engine:
        """Return the direction to validate: English to French."""
        return self.engine(*(("eng_Latn", "fra_Latn") if "eng_Latn" in self.languages else ("en", "fr")))

    def engine(self, src: str | None, tgt: str | None, *, legacy: bool | None = None) -> Engine:
        """Return the way from one language into another. Raises: UsageError for one that is not named or not known."""
        check_languages(src, tgt)
        if src is None or tgt is None:
            raise UsageError(
                "this model needs the languages of the text and of its translation",
                fix="name them with src and tgt, such as eng_Latn and fra_Latn",
            )
        source, target = self.tokenizer.code(src, "source"), self.tokenizer.code(tgt, "target")
        config = self.model.config
        return Engine(
            encode=partial(self.tokenizer.encode, code=source, is_legacy=legacy),
            decode=self.tokenizer.decode,
            start=lambda sources: DecoderSteps(self.model, sources, padding=config.pad_token_id),
            prompt=(config.decoder_start_token_id,),
            max_source=config.max_position_embeddings,
            max_target=config.max_position_embeddings,
            options=self.options.changed({"forced_bos_token_id": self.tokenizer.codes[target]}),
            src=source,
            tgt=target,
            unknown=UNKNOWN,
        )


def load(path: Path, *, dequantize: bool | None = None) -> M2M100Pipeline:
    """Load a converted folder, or a checkpoint of transformers; no convert step is needed."""
    model, config = load_model(
        path,
        lambda config: Model(Config.from_dict(config)),
        sizes=Config.from_dict,
        weight_map=WEIGHTS,
        open_release=open_release,
        dequantize=dequantize,
        runs_packed=True,
    )
    files = extra_files(path, config)
    options = released_options(files, config, eos=2)
    return M2M100Pipeline(model, Tokenizer(files, model.config, where=str(path)), options)


def extra_files(path: Path, config: Mapping[str, Any]) -> dict[str, bytes]:
    """Return what a converted folder holds beside the weights; what a checkpoint lacks is left out.

    Raises: FormatError for a file that is too large.
    """
    return read_files(path if path.is_dir() else path.parent, (*FILES, GENERATION))
