"""Packages that only a part of this project needs, looked for before they are imported."""

from importlib.util import find_spec

from a2sg_zoo.errors import MissingPackageError

# packages with other names than the modules that they install
_PACKAGES = {
    'PIL': 'pillow',
    'cv2': 'opencv-python',
    'mmcv': 'onedl-mmcv',
    'mmengine': 'onedl-mmengine',
    'mmseg': 'onedl-mmsegmentation',
    'sklearn': 'scikit-learn',
    'yaml': 'pyyaml',
}


def require(purpose: str, *modules: str) -> None:
    """Check that modules of other packages are installed. Nothing is imported.

    >>> require('this example', 'json', 'math')

    Args:
        purpose: what needs them, as the subject of the message.
        *modules: names of top-level modules.

    Raises:
        MissingPackageError: some are not installed; the message has the command that installs them.
    """
    missing = [_PACKAGES.get(name, name) for name in modules if find_spec(name) is None]
    if missing:
        raise MissingPackageError(
            f'{purpose} needs {", ".join(missing)}, not installed here. Install with\n'
            f'    pip install {" ".join(missing)}'
        )
