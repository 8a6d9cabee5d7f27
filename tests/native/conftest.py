"""Every form of the kernels that this machine can run."""

import pytest

from alexnet.native import library


@pytest.fixture(params=library.PATHS)
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make the operators take one form of the kernels; return its name."""
    path: str = request.param
    try:
        loaded = library.load(path)
    except OSError as error:
        pytest.skip(str(error))
    monkeypatch.setattr(library, "library", lambda: loaded)
    return path
