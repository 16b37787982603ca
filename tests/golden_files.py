"""The reference files: inputs, weights and outputs of the published networks, which the backbones are compared with.

    python -m tests.golden_files pack FOLDER golden.zip    # the archive to upload, for example to a release
    python -m tests.golden_files fetch SOURCE              # downloads and checks them, and prints where they are

`tests/golden_files.json` lists the files with size and SHA-256. Its `url` is the address of the archive, or of a folder
with the files; whoever uploads them enters it there. SOURCE is 'download' for that address, another address, an archive
or a folder. `pytest --golden SOURCE` and the variable A2SG_ZOO_GOLDEN take the same.
"""

import json
import os
import sys
import tempfile
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

from a2sg_zoo.errors import A2SGError, DataError
from a2sg_zoo.hub import web
from a2sg_zoo.hub.archives import extract
from a2sg_zoo.hub.download import at_mirror, download, fault
from a2sg_zoo.hub.files import expanded, write_atomically
from a2sg_zoo.hub.pretrained import home_folder

MANIFEST = Path(__file__).with_suffix('.json')
ARCHIVES = ('.zip', '.tar', '.tar.gz', '.tgz', '.tar.xz')
# of the members of an archive, so that the same files give the same bytes
_DATE = (1980, 1, 1, 0, 0, 0)


def manifest():
    """{'url': address or None, 'files': {name: {'size': bytes, 'sha256': hexadecimal digits}}}"""
    return json.loads(MANIFEST.read_text())


def fault_of(path):
    """What is wrong with a reference file, or None."""
    facts = manifest()['files'][path.name]
    return fault(path, f'sha256:{facts["sha256"]}', facts['size']) if path.is_file() else 'it is missing'


def find(source, cache=None):
    """The folder with all reference files, downloaded and checked.

    Args:
        source: see above.
        cache: folder for downloads; by default `golden` in `home_folder()`.

    Raises:
        DataError: they cannot be fetched, or one of them is missing or damaged; the message names it.
    """
    if source == 'download':
        source = manifest()['url']
        if not source:
            raise DataError(
                f'{MANIFEST.name} has no url yet; name a folder, an archive or an address in place of "download"'
            )
    cache = Path(cache or home_folder() / 'golden')
    if '://' not in str(source):
        folder = expanded(source)
        if folder.is_file():
            return _from_archive(folder.absolute().as_uri(), cache)
        return _checked(folder, source)
    if str(urlsplit(source).path).endswith(ARCHIVES):
        return _from_archive(source, cache)
    for name, facts in manifest()['files'].items():
        checks = dict(checksum=f'sha256:{facts["sha256"]}', size=facts['size'])
        download(at_mirror(source, name), cache / name, mirror=None, **checks)
    return cache


def _checked(folder, source):
    for name in manifest()['files']:
        wrong = fault_of(folder / name)
        if wrong:
            raise DataError(f'the reference files of {web.shown(str(source))}: {folder / name}: {wrong}')
    return folder


def _from_archive(url, cache):
    names = manifest()['files']
    if not any(fault_of(cache / name) for name in names):
        return cache
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        archive = download(url, Path(scratch, Path(urlsplit(url).path).name), mirror=None)
        folder = _checked(extract(archive, Path(scratch, 'files')), url)
        for name in names:
            os.replace(folder / name, cache / name)
    return cache


def pack(folder, archive):
    """Writes the reference files of a folder into a zip file, byte for byte the same on every machine.

    Raises:
        DataError: one of them is missing or damaged.
    """
    _checked(Path(folder), folder)
    with tempfile.TemporaryFile() as scratch:
        with zipfile.ZipFile(scratch, 'w') as file:
            for name in sorted(manifest()['files']):
                file.writestr(zipfile.ZipInfo(name, _DATE), Path(folder, name).read_bytes())
        scratch.seek(0)
        write_atomically(scratch.read(), archive)


def main(argv):
    try:
        if len(argv) == 3 and argv[0] == 'pack':
            pack(argv[1], argv[2])
            print(argv[2])
        elif len(argv) == 2 and argv[0] == 'fetch':
            print(find(argv[1]))
        else:
            sys.exit(__doc__)
    except A2SGError as error:
        print(f'error: {error}', file=sys.stderr)
        sys.exit(2)


if __name__ == '__main__':
    main(sys.argv[1:])
