"""Text as it is spoken, whose every character knows the stretch of the written text that it stands for."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from .split import Token

# misaki's markup: [word](/phonemes/) says how to say a word, [word](1) how to stress it.
MARKUP = re.compile(r"\[([^\]]+)\]\([^)]*\)")
Rule = tuple[re.Pattern[str], Callable[[re.Match[str], Any], str | None]]


@dataclass(frozen=True)
class Spoken:
    """What is said in place of what is written. `stretches[i]`: start and end, in `written`, of `text[i]`.

    Of the characters of "minus five dollars" for "-$5" the first stands for the whole and the others for nothing. What
    is not said belongs to the character before it, or at the very beginning to the one after it.
    """

    written: str
    text: str
    stretches: list[tuple[int, int]]

    @classmethod
    def of(cls, written: str, parts: Iterable[tuple[int, int, str]] = ()) -> "Spoken":
        """Return `written` with each part (start, end, what is said instead) replaced. The parts are in order."""
        text: list[str] = []
        stretches: list[tuple[int, int]] = []
        unsaid = position = 0  # where what is not yet in a stretch begins, and where copying goes on
        for start, end, said in [*parts, (len(written), len(written), "")]:
            for i in range(position, start):
                stretches.append((i if stretches else unsaid, i + 1))
            text += [written[position:start], said]
            if said:
                stretches.append((start if stretches else unsaid, end))
                stretches += [(end, end)] * (len(said) - 1)
            elif stretches:
                stretches[-1] = (stretches[-1][0], end)
            position = end
        return cls(written, "".join(text), stretches)

    def rewrite(self, rules: Iterable[Rule], context: Any) -> "Spoken":
        """Apply rules to the text. Where two match, the first in the list wins; a rule that says None passes."""
        parts: list[tuple[int, int, str]] = []
        is_taken = bytearray(len(self.text))
        for match in MARKUP.finditer(self.text):
            is_taken[match.start() : match.end()] = b"\1" * len(match.group())
        for pattern, say in rules:
            for match in pattern.finditer(self.text):
                start, end = match.span()
                said = None if any(is_taken[start:end]) else say(match, context)
                if said is not None:
                    is_taken[start:end] = b"\1" * (end - start)
                    parts.append((start, end, said))
        return self.replaced(sorted(parts))

    def replaced(self, parts: Iterable[tuple[int, int, str]]) -> "Spoken":
        """Replace parts (start, end, what is said instead) of the text, which are in order."""
        after = Spoken.of(self.text, parts)
        return replace(after, written=self.written, stretches=[self._stretch(*part) for part in after.stretches])

    def _stretch(self, start: int, end: int) -> tuple[int, int]:
        """Return the start and end in `written` of text[start:end]."""
        if start < end:
            return self.stretches[start][0], self.stretches[end - 1][1]
        position = self.stretches[start - 1][1] if start else 0
        return position, position

    def written_tokens(self, tokens: Iterable[Token]) -> list[Token]:
        """Return the tokens of `text` with what is written for each; tokens of one written word become one.

        Joined with their spaces they are what is written, without markup. Characters between two tokens, which misaki
        leaves out, belong to the first of them.
        """
        markup = [match.span() for match in MARKUP.finditer(self.text)]
        words = [match.span(1) for match in MARKUP.finditer(self.text)]
        hidden = {i for (a, d), (b, c) in zip(markup, words, strict=True) for i in (*range(a, b), *range(c, d))}
        visible = [i for i in range(len(self.text)) if i not in hidden]
        text = "".join(self.text[i] for i in visible)
        tokens = list(tokens)
        starts: list[int] = []
        position = 0
        for token in tokens:
            places: list[int] = []
            for character in token.text:  # one by one, for misaki leaves out characters inside a token too
                place = text.find(character, position)
                if place >= 0:
                    places.append(place)
                    position = place + 1
            starts.append(places[0] if places else position)
        result: list[Token] = []
        for token, start, end in zip(tokens, [0, *starts[1:]], [*starts[1:], len(text)], strict=True):
            stretches = [self.stretches[i] for i in visible[start:end]]
            written = "".join(self.written[a:b] for a, b in stretches).strip()
            if result and stretches and stretches[0][0] == stretches[0][1]:
                last = result[-1]
                phonemes = last.phonemes + " " * last.space + token.phonemes
                result[-1] = Token(last.text + written, phonemes, token.space)
            else:
                result.append(replace(token, text=written))
        return result
