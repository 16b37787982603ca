"""Checks of what is installed, made before anything that could fail because of it is imported."""

from importlib import metadata

# original: the maintained continuation that installs the same import package
_CONTINUATIONS = {
    'mmengine': 'onedl-mmengine',
    'mmengine-lite': 'onedl-mmengine',
    'mmcv': 'onedl-mmcv',
    'mmcv-lite': 'onedl-mmcv',
    'mmcv-full': 'onedl-mmcv',
    'mmsegmentation': 'onedl-mmsegmentation',
}


def check_distributions() -> None:
    """Check that MMEngine is installed, and that no OpenMMLab package is installed twice.

    The original packages and their maintained continuations, which a2sg_zoo needs, write to the same folders. Installed
    over each other they leave a mixture of both, which fails far from the cause, and removing one then removes files of
    the other.

    Raises:
        ImportError: with the commands that repair the installation.
    """
    originals = {name: version for name in _CONTINUATIONS if (version := _version(name))}
    if not originals:
        return _require(['onedl-mmengine'])
    found = {name: version for name in sorted(set(_CONTINUATIONS.values())) if (version := _version(name))}
    damaged = sorted({_CONTINUATIONS[name] for name in originals})
    missing = {'onedl-mmengine'} - {*found}
    remove = [*originals, *(name for name in damaged if name in found)]
    installed = ', '.join(f'{name} {version}' for name, version in {**originals, **found}.items())
    raise ImportError(
        'a2sg_zoo needs the maintained continuations of the OpenMMLab packages. The originals install the same import '
        f'packages over them and are installed, too: {installed}. Repair it with\n'
        f'    pip uninstall -y {" ".join(remove)}\n'
        f'    pip install --force-reinstall --no-deps {" ".join(sorted({*damaged, *missing}))}'
    )


def check_segmentation() -> None:
    """Check that MMCV and MMSegmentation are installed, which segmentation alone needs.

    Raises:
        ImportError: with the command that installs them.
    """
    _require(['onedl-mmcv', 'onedl-mmsegmentation'])


def _require(names):
    missing = [name for name in names if not _version(name)]
    if missing:
        raise ImportError(
            f'a2sg_zoo needs {", ".join(missing)}, not installed here. Install with\n'
            f'    pip install {" ".join(missing)}'
        )


def _version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
