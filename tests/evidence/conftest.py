"""What the tests of the two pages share."""

import pytest

from tests.evidence.made_up import make_pages


@pytest.fixture(scope='package')
def pages(tmp_path_factory):
    """(claims, first page, second page) of three seeds of each made-up method."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        return make_pages(tmp_path_factory.mktemp('pages'), 3, monkeypatch)
