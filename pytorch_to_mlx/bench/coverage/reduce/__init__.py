"""Reduce any Hugging Face config to a small model that still runs.

Rules by the names of config fields (`rules.py`) are applied together and kept if the model works, else fewer of them
(`search.py`); fields that depend on others follow (`linked_fields.py`), and fields that a config leaves open get a
value (`open_fields.py`).
"""

from .open_fields import add_missing_field
from .search import reduce_config

__all__ = ["add_missing_field", "reduce_config"]
