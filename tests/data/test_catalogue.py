"""An entry is enough to check a request, and costs nothing to look at."""

import subprocess
import sys

import numpy as np
import pytest

from ltbv.data import catalogue, glyphs
from ltbv.data.dataset import make_ids
from ltbv.errors import Refusal

every_entry = pytest.mark.parametrize("name", catalogue.ENTRIES)


def test_importing_the_catalogue_is_light():
    heavy = ("matplotlib", "scipy", "pandas", "torch", "PIL")
    code = f"import sys, ltbv.data.catalogue; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_default_profiles():
    totals = {name: (entry.counts().sum(), entry.counts().min()) for name, entry in catalogue.ENTRIES.items()}
    assert totals == {"glyphs-lt": (2486, 2), "cifar10-lt": (12406, 50), "cifar100-lt": (10847, 5)}


@every_entry
def test_an_entry_checks_a_request_before_any_data_are_read(name):
    entry = catalogue.entry(name)
    assert entry.counts(head=entry.pool, imbalance=10, profile="step").max() == entry.pool
    with pytest.raises(Refusal, match=f"needs {entry.pool + 1} images but its pool has {entry.pool}"):
        entry.counts(head=entry.pool + 1)
    with pytest.raises(Refusal, match="imbalance is 0.1"):
        entry.counts(imbalance=0.1)
    with pytest.raises(Refusal, match="unknown scheme"):
        entry.counts(scheme="none")


def test_fresh_lifts_the_limit_of_the_pool_where_there_is_no_end():
    assert catalogue.entry("glyphs-lt").counts(head=2000, scheme="fresh").max() == 2000
    with pytest.raises(Refusal, match="endless"):
        catalogue.entry("cifar10-lt").counts(scheme="fresh")


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(Refusal, match="'cifar100' .did you mean 'cifar100-lt'"):
        catalogue.entry("cifar100")


@pytest.mark.parametrize("name", [name for name, entry in catalogue.ENTRIES.items() if entry.needs_data_dir])
def test_a_data_set_in_files_asks_for_their_directory(name, tmp_path):
    with pytest.raises(Refusal, match="--data-dir"):
        catalogue.entry(name).load()
    with pytest.raises(Refusal, match="does not exist"):
        catalogue.entry(name).load(str(tmp_path / "nowhere"))


def test_what_an_entry_says_is_what_it_loads(tmp_path, monkeypatch):
    monkeypatch.setenv("LTBV_CACHE", str(tmp_path))
    entry = catalogue.entry("glyphs-lt")
    dataset = entry.load()
    assert dataset.name == entry.name
    assert dataset.num_classes == entry.num_classes
    assert dataset.image_shape == entry.image_shape
    if entry.endless:
        assert dataset.read(make_ids([0], [glyphs.POOL_SIZE])).shape == (1, *entry.image_shape)
    np.testing.assert_array_equal(dataset.pool_sizes, entry.pool_sizes)
    assert len(dataset.test.labels) == entry.num_classes * glyphs.TEST_SIZE
