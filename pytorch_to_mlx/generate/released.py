"""What a released text model has beside its weights: the files of its tokenizer and its own options of generation."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..checkpoint.files import SourceFile
from ..checkpoint.json_file import parse_json
from ..errors import FormatError, UsageError
from ..text.tokenizer_json import MAX_BYTES
from .options import GenerationOptions, options_of

GENERATION = "generation_config.json"
# Settings that transformers takes from config.json where there is no generation_config.json.
LIFTED = ("num_beams", "max_length", "early_stopping", "length_penalty", "no_repeat_ngram_size")


def read_files(folder: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Return the files of a folder that are there, by name. Raises: FormatError for one that is too large."""
    return {name: read_file(folder / name) for name in names if (folder / name).is_file()}


def read_file(path: Path, most: int = MAX_BYTES) -> bytes:
    """Return a whole file. Raises: FormatError if it has more bytes than `most`."""
    with SourceFile(path) as file:
        if file.size > most:
            raise FormatError(f"{file.size} bytes, at most {most} are read", where=path)
        return file.read(0, file.size)


def released_options(
    files: Mapping[str, bytes], config: Mapping[str, Any], *, eos: int, lifted: Iterable[str] = LIFTED
) -> GenerationOptions:
    """Return the checkpoint's own options of generation: its own file, else what config.json has of those `lifted`.

    eos: the id that ends a text where neither names one. Raises: FormatError for values that are none.
    """
    if GENERATION in files:
        data = parse_json(files[GENERATION], where=GENERATION)
    else:
        data = {name: config[name] for name in lifted if config.get(name) is not None}
    ends = data.get("eos_token_id", config.get("eos_token_id", eos))
    try:
        return options_of(data, {}, eos=tuple(ends) if isinstance(ends, list) else (ends,))
    except UsageError as error:
        raise FormatError(str(error), where=GENERATION) from None
