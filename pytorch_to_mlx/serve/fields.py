"""Read a request: its JSON or its form, field by field, each checked."""

import json
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request

from ..checkpoint.json_file import parse_json
from ..errors import FormatError
from .refusals import Refusal

MAX_DEPTH = 10
MAX_FIELDS = 40
MAX_PART = 1 << 20  # bytes of a field of a form that is not a file
_MAX_LOGGED = 100  # names of unknown fields
_log = logging.getLogger(__name__)
_unknown: set[str] = set()


class Fields:
    """The fields of one request by name; null and absent are the same. Every method raises Refusal for a bad value."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = {name: value for name, value in values.items() if value is not None}
        self._unread = set(self._values)

    def _take(self, name: str) -> Any:
        self._unread.discard(name)
        return self._values.get(name)

    def text(self, name: str, *, longest: int, default: str | None = None) -> str:
        """Return a text of at most `longest` characters; without a default it must be there."""
        value = self._take(name)
        if value is None:
            if default is None:
                raise Refusal(400, f"'{name}' is missing", name)
            return default
        return _checked(name, value, longest)

    def texts(self, name: str, *, longest: int) -> list[str] | str:
        """Return a text, or a list of texts, of at most `longest` characters in all."""
        value = self._take(name)
        if not isinstance(value, list):
            return _checked(name, "" if value is None else value, longest)
        texts = [_checked(name, item, longest) for item in value]
        if sum(map(len, texts)) > longest:
            raise Refusal(400, f"'{name}' has over {longest} characters", name)
        return texts

    def number(self, name: str, *, default: float, low: float, high: float) -> float:
        """Return a number from `low` to `high`, which a form has as text."""
        value = self._take(name)
        if value is None:
            return default
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not low <= number <= high:
            raise Refusal(400, f"'{name}' must be a number from {low:g} to {high:g}", name)
        return number

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return true or false, which a form has as text."""
        value = self._take(name)
        if value is None:
            return default
        truth = {"true": True, "false": False, "1": True, "0": False}
        known = value if isinstance(value, bool) else truth.get(value.lower()) if isinstance(value, str) else None
        if known is None:
            raise Refusal(400, f"'{name}' must be true or false", name)
        return known

    def choice(self, name: str, options: Sequence[str], default: str) -> str:
        """Return one of `options`."""
        value = self.text(name, longest=100, default=default)
        if value not in options:
            raise Refusal(400, f"'{name}' must be one of {', '.join(options)}", name)
        return value

    def choices(self, name: str, options: Sequence[str]) -> list[str]:
        """Return some of `options`, which come as a list, also under the name that forms give to lists."""
        values = [value for key in (name, f"{name}[]") if (value := self._take(key)) is not None]
        flat = [item for value in values for item in (value if isinstance(value, list) else [value])]
        if any(item not in options for item in flat if isinstance(item, str)) or not all(
            isinstance(item, str) for item in flat
        ):
            raise Refusal(400, f"'{name}' must be some of {', '.join(options)}", name)
        return flat

    def file(self, name: str) -> UploadFile:
        """Return a file of a form."""
        value = self._take(name)
        if not isinstance(value, UploadFile):
            raise Refusal(400, f"'{name}' must be a file, sent as multipart/form-data", name)
        return value

    def voice(self, name: str, *, default: str | None = None) -> str:
        """Return the name of a voice, which may stand in an object: {"id": "af_heart"}."""
        value = self._values.get(name)
        if isinstance(value, dict) and isinstance(value.get("id"), str):
            self._values[name] = value["id"]
        return self.text(name, longest=1000, default=default)

    def refuse(self, name: str, message: str) -> None:
        """Refuse a request that has this field. Raises: Refusal."""
        if self._take(name) is not None:
            raise Refusal(400, message, name)

    def finish(self, *ignored: str) -> None:
        """Log the names of fields that nobody read, each once; `ignored` are known, and without effect here."""
        for name in sorted(self._unread.difference(ignored)):
            if name not in _unknown and len(_unknown) < _MAX_LOGGED:
                _unknown.add(name)
                _log.info("a field without effect", extra={"field": name[:100]})


def _checked(name: str, value: Any, longest: int) -> str:
    if not isinstance(value, str):
        raise Refusal(400, f"'{name}' must be a text", name)
    if len(value) > longest:
        raise Refusal(400, f"'{name}' has {len(value)} characters; {longest} are taken", name)
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise Refusal(400, f"'{name}' holds half a character", name)
    if "\0" in value:
        raise Refusal(400, f"'{name}' holds a NUL character", name)
    return value


async def read_json(request: Request) -> Fields:
    """Read a body of JSON. Raises: Refusal."""
    if _media_type(request) != "application/json":
        raise Refusal(415, "send JSON, with the header content-type: application/json")
    return Fields(_parse(await request.body()))


def _parse(body: bytes) -> dict[str, Any]:
    try:
        return parse_json(body, where="the body", max_depth=MAX_DEPTH)
    except FormatError as problem:
        raise Refusal(400, f"the body is not JSON that can be read: {problem.what}") from None


async def read_form(request: Request, *, max_files: int = 0) -> Fields:
    """Read a form: `a=b&…`, or in parts with files; a name that comes again gives a list. Raises: Refusal."""
    kind = _media_type(request)
    if kind not in ("multipart/form-data", "application/x-www-form-urlencoded"):
        raise Refusal(415, "send a form: multipart/form-data")
    if "charset" in request.headers["content-type"].lower().replace("charset=utf-8", ""):
        raise Refusal(415, "send the form in UTF-8")
    values: dict[str, Any] = {}
    form = await request.form(max_files=max_files, max_fields=MAX_FIELDS, max_part_size=MAX_PART)
    for name, value in form.multi_items():
        if len(name) > 100:
            raise Refusal(400, "a field has a name of over 100 characters")
        before = values.get(name)
        values[name] = value if before is None else [*(before if isinstance(before, list) else [before]), value]
    return Fields(values)


async def read_either(request: Request) -> Fields:
    """Read a body of JSON or a form. Raises: Refusal."""
    return await (read_json if _media_type(request) == "application/json" else read_form)(request)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def event(data: Mapping[str, Any]) -> bytes:
    """Return one event of a stream of server-sent events."""
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"
