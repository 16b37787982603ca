"""The command line of the analysis: mistakes end with a message, not a traceback."""

import pytest

from .test_classification import CONFIG, SMALL, run


@pytest.mark.parametrize('arguments, message', [
    (['none.pth'], 'holds no config of a run'),
    (['none.pth', '--config', CONFIG, '--demo', '--what', 'curvature', '--cfg-options', *SMALL],
     '--what: there is no curvature; there are variation, fisher, hessian'),
    (['none.pth', '--config', CONFIG, '--demo', '--cfg-options', *SMALL], 'checkpoint none.pth does not exist'),
])
def test_mistakes(arguments, message, tmp_path):
    if '--config' not in arguments:
        arguments = [tmp_path / arguments[0], *arguments[1:]]
    done = run('analyze', *arguments[:1], '--out', tmp_path / 'out', *arguments[1:])
    assert done.returncode == 2 and 'Traceback' not in done.stderr
    assert message in done.stderr[done.stderr.index('\nerror: '):]
