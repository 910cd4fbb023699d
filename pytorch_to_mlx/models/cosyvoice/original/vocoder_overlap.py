"""The vocoder over a mel in pieces as the original runs it, for comparison. `HiftStream` is what to use."""

import mlx.core as mx
import numpy as np

from ....nn.stream import Stream
from ..vocoder.config import Noise
from ..vocoder.hift import Hift

FRAMES = 8  # in version 2


class OverlapStream:
    """Run pieces that overlap by a few frames: there the source is reused, and the audio is cross-faded.

    The phase of the source starts anew in each piece, the last frames of a piece are computed without what follows
    them, and the two halves of the fade's Hamming window add up to 1.08: hence the audio is not that of the whole mel.
    Source: CosyVoiceModel.token2wav, CosyVoice2Model.token2wav and fade_in_out of FunAudioLLM/CosyVoice@ace7c47.
    """

    def __init__(self, hift: Hift, noise: Noise, frames: int = FRAMES) -> None:
        self._hift, self._noise, self._frames = hift, noise, frames
        self._length = frames * hift.config.samples_per_frame
        window = np.hamming(2 * self._length)
        self._rise, self._fall = (mx.array(half.astype(np.float32)) for half in np.split(window, 2))
        self._mel: mx.array | None = None
        self._source = self._audio = mx.zeros((1, 0))

    def feed(self, mel: mx.array, final: bool = False) -> mx.array:
        """Return the piece's audio; the noise starts anew in each piece.

        Shapes: mel [1, T, n_mels], T >= frames unless final -> [1, L].
        """
        hift, length = self._hift, self._length
        if self._mel is not None:
            mel = mx.concatenate([self._mel, mel], axis=1)
        f0 = hift.f0_predictor(mel, Stream())
        source = hift.source(f0, self._noise(0, mel.shape[1] * hift.config.samples_per_frame))
        source = mx.concatenate([self._source, source[:, self._source.shape[1] :]], axis=1)
        audio = hift.decode(mel, source, Stream())
        if self._mel is not None:
            start = audio[:, :length] * self._rise + self._audio * self._fall
            audio = mx.concatenate([start, audio[:, length:]], axis=1)
        if final:
            return audio
        self._mel, self._source, self._audio = mel[:, -self._frames :], source[:, -length:], audio[:, -length:]
        return audio[:, :-length]
