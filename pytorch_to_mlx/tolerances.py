"""The one tolerance table. A tap that needs more says why on its card (`Tap.why`)."""

RELATIVE = {
    "float32": 1e-5,
    "float16": 1e-3,  # 2^-11 rounding of every stored value, a few layers deep
    "bfloat16": 1e-2,  # 2^-8
}
"""Largest allowed max |error| / max |reference|. `exact` taps (ids, codes, durations) must be equal."""

FLOOR_FACTOR = 2.0
"""Or this many times the error that PyTorch's own float32 makes against its float64, where that is larger."""
