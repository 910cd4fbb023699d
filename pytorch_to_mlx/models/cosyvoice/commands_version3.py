"""The verbs of `pytorch-to-mlx cosyvoice3`: those of version 2, and one that lists instructions."""

from .card import CARD3
from .commands import convert_voice_as, of_version, speakers_as, synthesize_as

synthesize, convert_voice, speakers = (
    of_version(CARD3, verb) for verb in (synthesize_as, convert_voice_as, speakers_as)
)


def instructions() -> list[dict[str, str]]:
    """List the instructions that the model was trained on, for `synthesize --instruct`; others may work as well.

    Example: pytorch-to-mlx cosyvoice3 instructions
    """
    from .text.instructions import INSTRUCTIONS

    return [{"instruction": instruction} for instruction in INSTRUCTIONS]
