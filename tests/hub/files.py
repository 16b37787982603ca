"""Small archives, and what lies around files."""

import zipfile


def make_zip(path, members):
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def leftovers(path):
    """What lies in the folder of a file, but for locks."""
    return sorted(p.name for p in path.parent.iterdir() if p.suffix != '.lock')
