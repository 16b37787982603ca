"""A check of what is installed, made before anything that could fail because of it is imported."""

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


def check_distributions():
    """Raises ImportError where MMEngine, MMCV or MMSegmentation is missing, or is installed twice.

    The originals and the continuations that a2sg_zoo needs write to the same folders: installed over each other they
    leave a mixture of both, which fails far from the cause; and removing one then removes files of the other.
    """
    originals = {name: version for name in _CONTINUATIONS if (version := _version(name))}
    needed = sorted(set(_CONTINUATIONS.values()))
    found = {name: version for name in needed if (version := _version(name))}
    missing = [name for name in needed if name not in found]
    if originals:
        damaged = sorted({_CONTINUATIONS[name] for name in originals})
        remove = [*originals, *(name for name in damaged if name in found)]
        installed = ', '.join(f'{name} {version}' for name, version in {**originals, **found}.items())
        raise ImportError(
            'a2sg_zoo needs the maintained continuations of the OpenMMLab packages, and the originals, which install '
            f'the same import packages over them, are here too. Installed: {installed}. Repair it with\n'
            f'    pip uninstall -y {" ".join(remove)}\n'
            f'    pip install --force-reinstall --no-deps {" ".join(sorted({*damaged, *missing}))}'
        )
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
