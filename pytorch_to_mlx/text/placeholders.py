"""Find what must come through a translation as it is: {{name}}, %s, <br/>, and see whether it did."""

import re
from collections import Counter
from collections.abc import Callable

from .sentences import Part, split_sentences

# {{name}}, {name}, {0}, ${name}, %s, %(name)s, %1$s, <tag>, </tag>, &amp;
DEFAULT = re.compile(
    r"\{\{[^{}\n]{1,200}\}\}|\$?\{[\w.:!-]{0,100}\}|%(?:\(\w{1,100}\)|\d{1,2}\$)?[-+0#]?\d{0,3}(?:\.\d{1,3})?[sdfiux@]\b"
    r"|</?[A-Za-z][\w:-]{0,50}(?:\s[^<>\n]{0,500})?/?>|&(?:#\d{1,7}|\w{1,30});"
)


def placeholders(text: str) -> Counter[str]:
    """Return the placeholders of a text, and how often each occurs."""
    return Counter(DEFAULT.findall(text))


def came_through(source: str, translation: str) -> bool:
    """Return whether a translation holds the placeholders of its source, each as often."""
    expected = placeholders(source)
    return not expected or all(translation.count(text) == source.count(text) for text in expected)


def around(text: str, fitted: Callable[[str], list[Part]]) -> list[Part]:
    """Cut a text around its placeholders, which stay as they are. fitted: cuts what lies between them to size."""
    parts: list[Part] = []
    end = 0
    for match in [*DEFAULT.finditer(text), None]:
        start = len(text) if match is None else match.start()
        for part in split_sentences(text[end:start], whole_lines=True):
            parts += fitted(part.text) if part.is_sentence else [part]
        if match is not None:
            parts.append(Part(match.group(), False))
            end = match.end()
    return parts
