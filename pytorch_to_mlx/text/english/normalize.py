"""English as it is spoken. The order of the rules is their rank: where two match, the first one speaks.

wetext, which CosyVoice's texts go through, was tried on the rows of tests/text/english: it says scores, versions and
telephone numbers as ranges, and leaves money in ranges, heights and negative amounts. So the rules are our own, made
for misaki: what misaki says rightly (25, 1990s, 21st, and) is left to it. num2words gives the words of numbers.
"""

from ..characters import foreign_words, simplify
from ..spoken import Spoken
from . import amounts, dates, plain_numbers, words

_RULES = (*words.RULES, *dates.RULES, *amounts.RULES, *plain_numbers.RULES, *words.SIGN_RULES)


def normalize(text: str, *, british: bool = False) -> Spoken:
    """Return English text with signs, amounts, dates and abbreviations in words; words of another script are left out.

    misaki's markup stays as it is.
    Raises: MissingExtraError without the package num2words.
    """
    spoken = simplify(text).rewrite(_RULES, british)
    code = "b" if british else "a"
    unsaid = [(*match.span(), "") for match in foreign_words(spoken.text, code)]
    return spoken.replaced(unsaid) if unsaid else spoken
