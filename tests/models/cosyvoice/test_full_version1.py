"""CosyVoice 1 at full size, with random weights: parity beside the original."""

import pytest
from models.cosyvoice import release_version1

from pytorch_to_mlx.models.cosyvoice.card import CARD1
from pytorch_to_mlx.models.cosyvoice.original.cases_version1 import longer_cases
from pytorch_to_mlx.models.cosyvoice.reference_version1 import Reference1
from pytorch_to_mlx.validate.run import run

pytestmark = pytest.mark.full


@pytest.fixture(scope="module", params=[50, 25], ids=["50 Hz", "25 Hz"])
def folder(request, tmp_path_factory):
    config = release_version1.config_of(tiny=False, rate=request.param)
    return release_version1.write_release(tmp_path_factory.mktemp("full"), config)


class Longer(Reference1):
    """The original beside ours on 5 s and 15 s of speech."""

    def cases(self):
        return list(longer_cases(self.config))


@pytest.mark.parametrize("reference", [Reference1, Longer], ids=["as validate", "longer"])
def test_parity(folder, reference):
    report = run(reference.open(folder), CARD1.taps, family="cosyvoice", source="full size")
    print(*report.rows(), sep="\n")  # shown with -s
    report.check()
    audio = [tap for case in report.cases for tap in case.taps if tap.name == "audio"]
    assert audio and all(tap.max_abs <= 3.3e-4 for tap in audio)
