"""Cut long text and long phoneme sequences at the best place that fits, without losing anything."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

# Where to cut, best first: after a sentence, after a clause, after a word. Full-width stops need no space after them.
# Possessive, and from the first mark of a run only: a run of n marks is read once, not n times.
_BREAKS = (
    re.compile(r"(?<![.!?…])[.!?…]++[\"'”’»)\]]*+\s+|[。！？]+[」』）”]*\s*|\n+"),
    re.compile(r"(?<![,;:—])[,;:—]++[\"'”’»)\]]*+\s+|[、，；：]\s*|—"),
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
    """Return the phonemes of tokens as one string, without the space around it."""
    return "".join(token.phonemes + " " * token.space for token in tokens).strip()


def tokens_of(phonemes: str, text: str = "") -> list[Token]:
    """Return phonemes as tokens that `join` turns back into them, all white space being one space.

    Which word is which token is not known, so a first token without phonemes has the whole text.
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
    """Yield runs of tokens of at most `limit` phonemes, cut after the last sentence, else clause, else word that fits.

    A token longer than the limit is cut inside. Together the runs contain every phoneme.
    Source: kokoro 0.9.4, KPipeline.en_tokenize and waterfall_last, which truncate where this cuts.
    """
    run: list[Token] = []
    length = 0  # of the run's phonemes, with the spaces after them
    for token in (part for long_token in tokens for part in _parts(long_token, limit)):
        while run and length + len(token.phonemes) > limit and len(join([*run, token])) > limit:
            cut = _last_break(run, token, limit)
            yield run[:cut]
            run = run[cut:]
            length = sum(len(t.phonemes) + t.space for t in run)
        run.append(token)
        length += len(token.phonemes) + token.space
    if run:
        yield run


def split_text(text: str, limit: int) -> list[str]:
    """Cut text into strings of at most `limit` characters: after sentences, else after clauses, else after words.

    Concatenated, the strings are the text.
    """
    return _pack(text, limit, 0)


def break_runs(text: str, limit: int) -> str:
    """Insert a space after every `limit` characters without one: grapheme-to-phoneme takes quadratic time of a run."""
    return re.sub(rf"\S{{{limit}}}(?=\S)", lambda run: run.group() + " ", text)


def _pack(text: str, limit: int, level: int) -> list[str]:
    """Cut text at the breaks of `level`, and where a part is still too long, at those of the next."""
    if len(text) <= limit:
        return [text] if text else []
    if level == len(_BREAKS):
        return [text[i : i + limit] for i in range(0, len(text), limit)]
    ends = [match.end() for match in _BREAKS[level].finditer(text)]
    strings: list[str] = []
    last = ""  # it may still grow
    for start, end in zip([0, *ends], [*ends, len(text)], strict=True):
        part = text[start:end]
        if len(last) + len(part) <= limit:
            last += part
            continue
        *complete, last = [*([last] if last else []), *_pack(part, limit, level + 1)]
        strings += complete
    return [*strings, last] if last else strings


def _parts(token: Token, limit: int) -> Iterator[Token]:
    """Yield the token, or if it is longer than `limit`, tokens that are its parts; the first has its text."""
    if len(token.phonemes) <= limit:
        yield token
        return
    cuts = [token.phonemes[i : i + limit] for i in range(0, len(token.phonemes), limit)]
    for i, part in enumerate(cuts):
        yield Token(token.text if i == 0 else "", part, token.space and i == len(cuts) - 1)


def _last_break(tokens: list[Token], following: Token, limit: int) -> int:
    """Return how many tokens to cut off, so that the rest and the following token fit."""
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
