"""Checks take what they should, and refuse the rest by owner and key."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.utils.checks import integer, number, positive

NO_NUMBERS = st.sampled_from([True, False, None, '1', [1], math.nan, math.inf, -math.inf, torch.tensor(1)])


@given(st.integers(), st.integers(-5, 5))
def test_integers(value, least):
    if value >= least:
        assert integer('T', value, 'Net', least) == value
    else:
        with pytest.raises(ConfigError, match='Net: T '):
            integer('T', value, 'Net', least)


@given(st.one_of(NO_NUMBERS, st.floats()))
def test_no_integers(value):
    with pytest.raises(ConfigError, match='Net: T '):
        integer('T', value, 'Net')


@given(st.one_of(NO_NUMBERS, st.floats(max_value=0), st.integers(max_value=0)))
def test_not_positive(value):
    with pytest.raises(ConfigError, match='dict: beta '):
        positive('beta', value, {})


@given(st.floats(min_value=0, exclude_min=True, allow_infinity=False))
def test_positive(value):
    assert positive('beta', value, 'TRI') == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_intervals(value):
    if 0 <= value <= 1:
        assert number('share', value, 'Net', 0, 1) == value
    else:
        with pytest.raises(ConfigError, match='Net: share '):
            number('share', value, 'Net', 0, 1)
    assert number('share', value, 'Net') == value


def test_an_end_that_is_left_out():
    assert number('share', 0.99, 'Net', 0, 1, below_high=True) == 0.99
    with pytest.raises(ConfigError, match='Net: share '):
        number('share', 1, 'Net', 0, 1, below_high=True)


@given(NO_NUMBERS)
def test_no_numbers(value):
    with pytest.raises(ConfigError, match='Net: share '):
        number('share', value, 'Net')
