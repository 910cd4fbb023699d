"""The half of Hugging Face's model types and of timm's families that the converter is developed on.

What fails in this half is looked into and mended, so its share of passed cases is a development figure: names that
nobody looked at may fare worse. The other half is left out of the suites on purpose, so that a figure on names that
the converter was not developed on can still be measured. No result in benchmarks/coverage is of that half.
"""

import hashlib
from collections.abc import Iterable


def development_half(names: Iterable[str]) -> list[str]:
    """Return the names whose sha256 begins with an even hexadecimal digit, sorted.

    The hash is a coin for each name: nobody can choose its side, and it stays when other names are added.
    """
    return sorted(name for name in names if int(hashlib.sha256(name.encode()).hexdigest()[0], 16) % 2 == 0)
