"""Cut long text and long phoneme sequences at the best place that fits, and lose nothing."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

# Where to cut, best first: after a sentence, after a clause, after a word. Full-width stops need no space after them.
_BREAKS = (
    re.compile(r"[.!?…]+[\"'”’»)\]]*\s+|[。！？]+[」』）”]*\s*|\n+"),
    re.compile(r"[,;:—]+[\"'”’»)\]]*\s+|[、，；：]\s*|—"),
    re.compile(r"\s+"),
)
# The same order for phonemes, which hold punctuation as tokens of their own.
_PHONEME_BREAKS = ("!.?…", ":;", ",—")
_CLOSERS = (")", "”")
_WORD_OR_MARK = re.compile(r"([;:,.!?—…\"“”()])|([^\s;:,.!?—…\"“”()]+)")


@dataclass(frozen=True, slots=True)
class Token:
    """A word or a punctuation mark: its text, its phonemes, and whether a space follows."""

    text: str
    phonemes: str
    space: bool = False


def join(tokens: list[Token]) -> str:
    """The phonemes of tokens as one string, without the space around it."""
    return "".join(token.phonemes + " " * token.space for token in tokens).strip()


def tokens_of(phonemes: str, text: str = "") -> list[Token]:
    """Phonemes as tokens, so that `join` gives them back (every white space becomes one space).

    Which word is which token is not known, so a silent token before them has the whole text.
    """
    tokens = [Token(text.strip(), "")] if text else []
    for part in re.findall(r"\S+|\s", phonemes):
        if not part.isspace():
            tokens += [Token("", mark or word) for mark, word in _WORD_OR_MARK.findall(part)]
        elif tokens and not tokens[-1].space:
            tokens[-1] = replace(tokens[-1], space=True)
        else:
            tokens.append(Token("", "", space=True))
    return tokens


def split_tokens(tokens: list[Token], limit: int) -> Iterator[list[Token]]:
    """Cut tokens into runs of at most `limit` phonemes: at the last sentence end, else clause end, else word.

    A token that is longer than the limit is cut inside. Joined again, the runs hold every phoneme.
    Source: kokoro 0.9.4, KPipeline.en_tokenize and waterfall_last, which truncate where this cuts.
    """
    held: list[Token] = []
    length = 0  # of the held phonemes with the spaces after them
    for token in (part for whole in tokens for part in _parts(whole, limit)):
        while held and length + len(token.phonemes) > limit and len(join([*held, token])) > limit:
            cut = _last_break(held, token, limit)
            yield held[:cut]
            held = held[cut:]
            length = sum(len(t.phonemes) + t.space for t in held)
        held.append(token)
        length += len(token.phonemes) + token.space
    if held:
        yield held


def split_text(text: str, limit: int) -> list[str]:
    """Cut text into strings of at most `limit` characters that concatenate to it: sentences first, then less."""
    return _pack(text, limit, 0)


def break_runs(text: str, limit: int) -> str:
    """Put a space into every run of more than `limit` characters without one: G2P of a run takes quadratic time."""
    return re.sub(rf"\S{{{limit}}}(?=\S)", lambda run: run.group() + " ", text)


def _pack(text: str, limit: int, level: int) -> list[str]:
    if len(text) <= limit:
        return [text] if text else []
    if level == len(_BREAKS):
        return [text[i : i + limit] for i in range(0, len(text), limit)]
    ends = [match.end() for match in _BREAKS[level].finditer(text)]
    packed: list[str] = []
    held = ""
    for start, end in zip([0, *ends], [*ends, len(text)], strict=True):
        part = text[start:end]
        if len(held) + len(part) <= limit:
            held += part
            continue
        *full, held = [*([held] if held else []), *_pack(part, limit, level + 1)]
        packed += full
    return [*packed, held] if held else packed


def _parts(token: Token, limit: int) -> Iterator[Token]:
    if len(token.phonemes) <= limit:
        yield token
        return
    cuts = [token.phonemes[i : i + limit] for i in range(0, len(token.phonemes), limit)]
    for i, part in enumerate(cuts):
        yield Token(token.text if i == 0 else "", part, token.space and i == len(cuts) - 1)


def _last_break(tokens: list[Token], following: Token, limit: int) -> int:
    """How many tokens to let go, so that what stays and the following token fit."""
    for marks in _PHONEME_BREAKS:
        last = next((i for i in reversed(range(len(tokens))) if tokens[i].phonemes in tuple(marks)), None)
        if last is None:
            continue
        cut = last + 1
        if cut < len(tokens) and tokens[cut].phonemes in _CLOSERS:
            cut += 1
        if len(join([*tokens[cut:], following])) <= limit:
            return cut
    return len(tokens)
