"""Text in, its translation out."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ...checkpoint.shortlist import Shortlist, parse_shortlist
from ...errors import UsageError
from ...forks import require_own_threads
from ...generate.options import GenerationOptions
from ...generate.released import released_options
from ...generate.steps import DecoderSteps
from ...generate.translate import Engine, check_languages, stream_text, translate_each
from ...tasks import Translation
from ...text.punctuation import normalizer
from ...weights import load_model
from .config import Config
from .files import SHORTLIST, extra_files
from .model import Model
from .tokenizer import EXTRA, Tokenizer
from .weights import WEIGHTS, open_release

SSRU_SENTENCE = 128  # tokens that Marian cuts the input of its students to


class MarianPipeline:
    """A loaded translator: `translate` for texts, `stream` for one text piece by piece.

    shortlist: the words that may translate each word, where the model has such a list.
    """

    names_source = False

    def __init__(
        self,
        model: Model,
        tokenizer: Tokenizer,
        options: GenerationOptions | None = None,
        shortlist: Shortlist | None = None,
    ) -> None:
        self.model, self.tokenizer, self.shortlist = model, tokenizer, shortlist
        self.options = options or GenerationOptions(eos=(model.config.eos_token_id,))

    @property
    def languages(self) -> tuple[str, ...]:
        """Return the codes of the target languages, of a model that has several."""
        return self.tokenizer.languages

    def translate(
        self,
        text: str | Sequence[str],
        /,
        *,
        src: str | None = None,
        tgt: str | None = None,
        shortlist: bool = False,
        normalize: str | None = None,
        **options: Any,
    ) -> Translation | list[Translation]:
        """Translate a text, or each of several.

        tgt: the target language, of a model that has several; `>>code<<` before a text names it too. shortlist: choose
        among the likely words only, as Marian does: faster, and nearly always the same words. normalize: "moses" for
        plain quotes and dashes in what the model reads, as `text.punctuation.normalizer` says.
        Other options are those of `generate.translate.TranslateOptions` and `generate.options.GenerationOptions`.
        Raises: UsageError for unknown options, values and languages.
        """
        require_own_threads()
        texts = [text] if isinstance(text, str) else list(text)
        named = [self._target(item, src, tgt) for item in texts]
        results = translate_each(partial(self.engine, shortlist=shortlist, normalize=normalize), named, **options)
        return results[0] if isinstance(text, str) else results

    def stream(
        self,
        text: str,
        /,
        *,
        src: str | None = None,
        tgt: str | None = None,
        shortlist: bool = False,
        normalize: str | None = None,
        **options: Any,
    ) -> Iterator[str]:
        """Yield the translation of a text as its words are ready; joined, the pieces are what `translate` gives.

        Options and Raises are those of `translate`.
        """
        require_own_threads()
        code, text = self._target(text, src, tgt)
        return stream_text(self.engine(code, shortlist=shortlist, normalize=normalize), text, **options)

    def _target(self, text: str, src: str | None, tgt: str | None) -> tuple[str, str]:
        """Return the code of the target language, and the text without it. Raises: UsageError for codes without use."""
        if not isinstance(text, str):
            raise UsageError(f"a text must be a string, not {type(text).__name__}")
        check_languages(src, tgt)
        if src is not None:
            raise UsageError("this model has one source language", fix="leave out src")
        if tgt is not None and not self.languages:
            raise UsageError("this model translates into one language", fix="leave out tgt")
        return self.tokenizer.target_code(text, tgt)

    def example_engine(self) -> Engine:
        """Return the direction to validate: into the first language of a model that has several."""
        return self.engine(next(iter(self.languages), ""))

    def engine(self, code: str = "", *, shortlist: bool = False, normalize: str | None = None) -> Engine:
        """Return the way into the language of this code. Raises: UsageError for a shortlist that is not there."""
        config = self.model.config
        if shortlist and self.shortlist is None:
            raise UsageError("this model has no shortlist", fix="leave it out")
        most = config.max_position_embeddings
        encode = partial(self.tokenizer.encode, code=code)
        if normalize is not None:
            plain = normalizer(normalize, extra=EXTRA)
            encode = lambda text: self.tokenizer.encode(plain(text), code)  # noqa: E731
        return Engine(
            encode=encode,
            decode=self.tokenizer.decode,
            start=partial(self._start, shortlist=shortlist),
            prompt=(config.decoder_start_token_id,),
            max_source=min(most, SSRU_SENTENCE) if config.decoder_cell == "ssru" else most,
            max_target=most,
            options=self.options,
            tgt=code,
            unknown=self.tokenizer.unknown,
        )

    def _start(self, sources: Sequence[Sequence[int]], *, shortlist: bool) -> DecoderSteps:
        config, size = self.model.config, self.model.config.target_vocab_size
        words = None
        if shortlist and self.shortlist is not None:
            words = [self.shortlist.words(source, size) for source in sources]
        return DecoderSteps(self.model, sources, padding=config.pad_token_id, words=words)


def load(path: Path, *, dequantize: bool | None = None) -> MarianPipeline:
    """Load a converted folder, or a checkpoint of transformers or of Marian's own; no convert step is needed."""
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
    tokenizer = Tokenizer(files, model.config, where=str(path))
    shortlist = None
    if SHORTLIST in files:
        shortlist = parse_shortlist(files[SHORTLIST], model.config.target_vocab_size, where=path / SHORTLIST)
    return MarianPipeline(model, tokenizer, released_options(files, config, eos=0, lifted=()), shortlist)
