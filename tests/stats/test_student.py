"""Student's t against scipy.stats, and the reason it does not come from there: the import."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats as distributions

from ltbv.stats.student import quantile, upper_tail

DF = np.concatenate([np.arange(1, 40.0), np.geomspace(1.5, 1e4, 300)])


@pytest.mark.parametrize("share", [0.8, 0.95, 0.975, 0.9995])
def test_quantiles(share):
    np.testing.assert_allclose(quantile(share, DF), distributions.t.ppf(share, DF), rtol=1e-12)


@pytest.mark.parametrize("t", [0.0, 1.0, 3.5, 20.0, np.inf])
def test_tails(t):
    np.testing.assert_allclose(upper_tail(t, DF), distributions.t.sf(t, DF), rtol=1e-12, atol=1e-300)


def test_nan_stays_nan():
    assert np.isnan(quantile(0.975, np.nan)) and np.isnan(upper_tail(np.nan, 9)) and np.isnan(upper_tail(1.0, np.nan))


def test_importing_the_statistics_imports_nothing_else():
    """Every command imports them; scipy alone would cost .2 to .6 s."""
    heavy = "import sys, ltbv.stats; print(sorted({'scipy', 'pandas', 'torch'} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]"
