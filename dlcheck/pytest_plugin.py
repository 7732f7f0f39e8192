"""The pytest plugin: the fixture ``loader_probe``, with which tests hold a loader to what it must do.

    def test_loader(loader_probe):
        loader_probe.must_reach(make_loader, samples_per_s=500)
        loader_probe.must_fit(make_loader, worker_private_bytes=300_000_000)
        loader_probe.must_repeat(make_loader, seed=0)
        loader_probe.must_not_duplicate(make_loader)

Nothing is imported before a test asks for the fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from dlcheck.testing.probe import LoaderProbe


@pytest.fixture(scope="session")
def _loader_probe(tmp_path_factory: pytest.TempPathFactory) -> LoaderProbe:
    """One recording for all tests: the hooks go into the process once."""
    from dlcheck.testing.probe import LoaderProbe

    return LoaderProbe(tmp_path_factory.mktemp("dlcheck"))


@pytest.fixture
def loader_probe(_loader_probe: LoaderProbe) -> LoaderProbe:
    """Iterates a DataLoader and says how fast it is, what memory its workers take, whether it repeats itself."""
    return _loader_probe
