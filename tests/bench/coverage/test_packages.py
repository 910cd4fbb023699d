"""A package's module is measured on its cases; one that is not installed is not built."""

from torch import nn

from pytorch_to_mlx.bench.coverage import packages


def test_constant_weights_are_varied_unless_they_are_the_packages_own(monkeypatch):
    monkeypatch.setattr(packages, "MODULES", {})
    norms = {"own": nn.LayerNorm(4), "random": nn.LayerNorm(4)}

    @packages.package("own")
    def own():
        return norms["own"], packages.noise((2, 4), (5, 4)), True

    @packages.package("random")
    def random():
        return norms["random"], packages.noise((2, 4), (5, 4)), False

    assert packages.measure_package("own").ok and packages.measure_package("random").ok
    assert norms["own"].weight.unique().tolist() == [1.0] and norms["random"].weight.std() > 0.01


def test_a_package_that_is_not_installed_is_not_built(monkeypatch):
    def absent():
        import a_package_that_nobody_has  # noqa: F401

    monkeypatch.setattr(packages, "MODULES", {"absent": absent})
    result = packages.measure_package("absent")
    assert not result.built and result.reason.startswith("not built: ModuleNotFoundError: No module named 'a_package")


def test_inputs():
    ((noise,), _), ((other,), _) = packages.noise((2, 3), (4, 5))
    assert (noise.shape, other.shape) == ((2, 3), (4, 5))
    ((ids,), _) = packages.tokens((2, 300), most=8)[0]
    assert ids.shape == (2, 300) and set(ids.unique().tolist()) == set(range(8))
