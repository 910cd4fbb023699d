"""What models of transformers need to be exported, from its own `transformers.exporters`."""

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import nn


def is_transformers(module: nn.Module) -> bool:
    """Tell whether a module is a model of transformers."""
    return any(base.__module__ == "transformers.modeling_utils" for base in type(module).__mro__)


def register_caches(module: Any) -> None:
    """Let caches of keys and values be inputs and outputs, as the trees of tensors that they are."""
    from transformers.exporters.exporter_dynamo import register_cache_pytrees_for_model

    register_cache_pytrees_for_model(module)


@contextlib.contextmanager
def transformers_patches(module: Any, kwargs: dict[str, Any]) -> Iterator[None]:
    """Replace code that cannot be exported by what transformers has for it, such as attention to packed images."""
    from transformers.exporters import exporter_dynamo as exporter  # importing it registers the patches
    from transformers.exporters.utils import apply_patches

    with (
        apply_patches("dynamo"),
        exporter.reset_model_state(module),
        exporter.patch_model_config(module, {}),
        exporter.patch_forward_signature(module, kwargs),
        _batched_experts(module),
    ):
        yield


@contextlib.contextmanager
def _batched_experts(module: Any) -> Iterator[None]:
    """Gather every token's expert weights where transformers can choose: a loop over experts depends on data."""
    implementation = getattr(module.config, "_experts_implementation", None)
    if implementation != "eager" or not module._can_set_experts_implementation():
        yield
        return
    module.set_experts_implementation("batched_mm")
    try:
        yield
    finally:
        module.set_experts_implementation(implementation)
