"""Play audio while it is being made, on a machine with a sound device."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from ..errors import MachineError, MissingExtraError


@contextmanager
def player(sample_rate: int) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield a function that plays audio; it returns once the device has the samples. The block ends after the last one.

    Shapes: audio float [L].
    Raises: MissingExtraError without the package sounddevice, MachineError without PortAudio or a sound device.
    """
    try:
        import sounddevice
    except ModuleNotFoundError as error:
        raise MissingExtraError("sounddevice", "play", needed_for="playing audio") from error
    except OSError as error:  # the package is there, the library it calls is not
        raise MachineError(f"cannot play: {error}", fix="on Debian run: sudo apt install libportaudio2") from error
    try:
        with sounddevice.OutputStream(samplerate=sample_rate, channels=1, dtype="float32") as stream:
            yield lambda audio: stream.write(np.ascontiguousarray(audio, np.float32).reshape(-1, 1))
    except sounddevice.PortAudioError as error:
        raise MachineError(f"cannot play: {error}", fix="give --output and play the file elsewhere") from error
