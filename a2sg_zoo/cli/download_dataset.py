"""Download a data set, check it, and unpack it where the configs look for it.

    a2sg-zoo download_dataset ade20k
    a2sg-zoo download_dataset --list

Run the same command again to resume an interrupted download.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from a2sg_zoo.cli.parsing import Parser, errors_for_people


@dataclass(frozen=True)
class Source:
    """Where a data set comes from.

    Attributes:
        url: address of a zip or tar file.
        size: size of that file in bytes, None where no source states it.
        checksum: 'ALGORITHM:HEX'.
        root: default folder to unpack in.
        folder: name of the unpacked folder.
        about: one line on the data and their terms.
        nested: whether the folder holds archives that are unpacked to folders of their names.
    """

    url: str
    size: int | None
    checksum: str
    root: str
    folder: str
    about: str
    nested: bool = False


SOURCES = {
    # size and SHA-256 as in datasets/scene_parse_150/dataset_infos.json of github.com/huggingface/datasets. Others
    # list SHA-1 219e1696abb36c8ba3a3afe7fb2f4b4606a897c7 (scripts/datasets/ade20k.py of github.com/dmlc/gluon-cv).
    'ade20k': Source(
        url='http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip',
        size=967382037,
        checksum='sha256:7ff1be44964418441f542a7cc1e1a650e7dc0fc275f5d23252bc9bbdbc977b29',
        root='data/ade',
        folder='ADEChallengeData2016',
        about='ADE20K SceneParse150: 20210 + 2000 images of 150 classes; for research, terms at '
        'https://groups.csail.mit.edu/vision/datasets/ADE20K/terms/',
    ),
    # URLs and MD5 as in torchvision/datasets/cifar.py of github.com/pytorch/vision
    'cifar10': Source(
        url='https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz',
        size=None,
        checksum='md5:c58f30108f718f92721af3b95e74349a',
        root='data/cifar',
        folder='cifar-10-batches-py',
        about='CIFAR-10: 50000 + 10000 images of 10 classes, 32x32',
    ),
    'cifar100': Source(
        url='https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz',
        size=None,
        checksum='md5:eb9058c3a382ffc7106e4002c42a8d85',
        root='data/cifar',
        folder='cifar-100-python',
        about='CIFAR-100: 50000 + 10000 images of 100 classes, 32x32',
    ),
    # URL and MD5 as in tonic/datasets/cifar10dvs.py of github.com/neuromorphs/tonic
    'cifar10dvs': Source(
        url='https://figshare.com/ndownloader/files/38023437',
        size=None,
        checksum='md5:ce3a4a0682dc0943703bd8f749a7701c',
        root='data',
        folder='CIFAR10DVS',
        about='CIFAR10-DVS: 10000 event recordings of 10 classes, 128x128',
        nested=True,
    ),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; argv: its arguments, None for those of the process."""
    parser = Parser('download_dataset', __doc__)
    parser.add_argument('name', nargs='?', choices=sorted(SOURCES), help='data set')
    parser.add_argument(
        '--root',
        type=Path,
        help='folder to unpack in (default: where the configs look, unless ADE20K_ROOT or CIFAR_ROOT names a folder)',
    )
    parser.add_argument('--list', action='store_true', help='list the data sets and exit')
    args = parser.parse_args(argv)
    if args.name is None and not args.list:
        parser.error(f'name a data set: {", ".join(sorted(SOURCES))}')
    with errors_for_people('interrupted; run the same command again to resume the download'):
        if args.list:
            for name, source in SOURCES.items():
                print(name, *([f'{source.size / 1e6:.0f} MB'] if source.size else []), source.about, sep='  ')
            return
        from a2sg_zoo.hub.archives import extract
        from a2sg_zoo.hub.download import download

        source = SOURCES[args.name]
        root = args.root or Path(source.root)
        folder = root / source.folder
        if not folder.exists():
            name = PurePosixPath(urlsplit(source.url).path).name
            archive = download(source.url, root / name, checksum=source.checksum, size=source.size)
            extract(archive, folder)
            archive.unlink(missing_ok=True)
        for archive in sorted(folder.glob('*.zip')) if source.nested else ():
            extract(archive, archive.with_suffix(''))
            archive.unlink()
        print(f'{args.name} is in {folder.absolute()}')


if __name__ == '__main__':
    main()
