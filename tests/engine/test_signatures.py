"""The keys that a class takes are found through its constructors."""

import pytest
from mmengine.optim import DefaultOptimWrapperConstructor

from a2sg_zoo.engine.signatures import default_of, keys_of, keys_read


class Base:
    def __init__(self, a, b=1):
        pass


class Forwards(Base):
    def __init__(self, c, **kwargs):
        super().__init__(a=c, **kwargs)


class LooksUp(Forwards):
    def __init__(self, **kwargs):
        if 'e' in kwargs:
            kwargs.pop('d', None)
        super().__init__(**kwargs)


class SkipsOne(Forwards):
    def __init__(self, **kwargs):
        super(Forwards, self).__init__(**kwargs)


class Keeps(Base):
    def __init__(self, **kwargs):
        self.kwargs = kwargs


class Ignores(Base):
    def __init__(self, x=1, **kwargs):
        super().__init__(x)


class Positional(Base):
    def __init__(self, *args, **kwargs):
        super().__init__(1, *args, **kwargs)


class Nothing:
    pass


@pytest.mark.parametrize(
    'target, accepted, required',
    [
        (Base, 'ab', 'a'),
        (Forwards, 'abc', 'c'),
        (LooksUp, 'abcde', 'c'),
        (SkipsOne, None, ''),
        (Keeps, None, ''),
        (Ignores, 'x', ''),
        (Positional, 'ab', ''),
        (Nothing, '', ''),
        (dict, None, ''),
    ],
)
def test_keys_are_followed_through_constructors(target, accepted, required):
    assert keys_of(target) == (None if accepted is None else frozenset(accepted), frozenset(required))


def test_defaults_are_found_through_constructors():
    assert default_of(Forwards, 'b') == 1 and default_of(Forwards, 'c') is None and default_of(Nothing, 'x') is None


def test_keys_that_a_source_reads():
    assert keys_read(read_options, 'options') == {'size', 'depth', 'width'}
    # what the checks of a config take from MMEngine's source
    found = keys_read(DefaultOptimWrapperConstructor.add_params, 'paramwise_cfg')
    assert {'custom_keys', 'norm_decay_mult', 'bias_lr_mult', 'flat_decay_mult', 'bypass_duplicate'} <= found
    assert keys_read(DefaultOptimWrapperConstructor.add_params, 'custom_keys[key]') == {'lr_mult', 'decay_mult'}


def read_options(options):
    return [options.get('size', 1), options['depth'], options.width, options.items()]
