"""English as it is spoken. The order of the rules is their rank: where two match, the first one speaks.

Of 203 of the forms in tests/text/data misaki alone says 26 as their spelled-out sentence, and wetext 0.1.8, which
CosyVoice's texts go through, makes it 74; of 102 sentences that must stay (scores, versions, names) wetext changes 34,
and it cannot tell which word came from what. So the rules are our own, made for misaki: what misaki says rightly (25,
1990s, 21st, AT&T) is left to it. num2words gives the words of numbers.
"""

from ..characters import SIMPLER, compose, foreign_words
from ..spoken import Spoken
from . import amounts, dates, plain_numbers, words

_RULES = (*words.RULES, *dates.RULES, *amounts.RULES, *plain_numbers.RULES, *words.SIGN_RULES)


def normalize(text: str, *, british: bool = False) -> Spoken:
    """Return English text with signs, amounts, dates and abbreviations in words; words of another script are left out.

    misaki's markup stays as it is.
    Raises: MissingExtraError without the package num2words.
    """
    spoken = write_out(text, british=british)
    code = "b" if british else "a"
    unsaid = [(*match.span(), "") for match in foreign_words(spoken.text, code)]
    return spoken.replaced(unsaid) if unsaid else spoken


def write_out(text: str, *, british: bool = False) -> Spoken:
    """Return what `normalize` does, with the words of other scripts."""
    spoken = compose(text).rewrite(plain_numbers.WRITTEN_RULES, british).rewrite(SIMPLER, british)
    return spoken.rewrite(words.NUMBERED_RULES, british).rewrite(_RULES, british)
