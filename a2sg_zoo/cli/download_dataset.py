"""Download a data set, check it, and unpack it where the configs look for it.

    a2sg-zoo download_dataset ade20k
    a2sg-zoo download_dataset --list

Run the same command again to resume an interrupted download.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from a2sg_zoo.cli.parsing import Parser, errors_for_people
from a2sg_zoo.errors import DataError


@dataclass(frozen=True)
class Archive:
    """A file to download and unpack.

    Attributes:
        url: address of a zip or tar file, or of a single file that is compressed with gzip.
        checksum: 'ALGORITHM:HEX'.
        files: {pattern: number of files that match it} in the folder of the data set, once the archive is unpacked.
        size: of the file in bytes, None where no source states it.
        into: the folder, or the single file, that it becomes, in the folder of the data set; '' is that folder itself.
        name: of the file while it is downloaded, and at a mirror; by default the last part of the address.
    """

    url: str
    checksum: str
    files: dict[str, int]
    size: int | None = None
    into: str = ''
    name: str | None = None


@dataclass(frozen=True)
class Source:
    """Where a data set comes from.

    Attributes:
        archives: its files.
        root: default folder to unpack in.
        folder: name of the unpacked folder.
        about: one line on the data and their terms.
        nested: whether the archives hold zip files that are unpacked to folders of their names.
        variable: environment variable from which the data set's class reads where it is.
        variable_is_folder: whether the variable holds the unpacked folder, and not the one around it.
    """

    archives: tuple[Archive, ...]
    root: str
    folder: str
    about: str
    nested: bool = False
    variable: str = ''
    variable_is_folder: bool = False


_ZENKE = 'https://zenkelab.org/datasets/'
_MENDELEY = 'https://data.mendeley.com/public-files/datasets/'
_MNIST = 'https://ossci-datasets.s3.amazonaws.com/mnist/'

SOURCES = {
    # size and SHA-256 as in datasets/scene_parse_150/dataset_infos.json of github.com/huggingface/datasets. Others
    # list SHA-1 219e1696abb36c8ba3a3afe7fb2f4b4606a897c7 (scripts/datasets/ade20k.py of github.com/dmlc/gluon-cv).
    'ade20k': Source(
        (
            Archive(
                'http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip',
                'sha256:7ff1be44964418441f542a7cc1e1a650e7dc0fc275f5d23252bc9bbdbc977b29',
                {
                    'images/training/*.jpg': 20210,
                    'annotations/training/*.png': 20210,
                    'images/validation/*.jpg': 2000,
                    'annotations/validation/*.png': 2000,
                },
                size=967382037,
            ),
        ),
        root='data/ade',
        folder='ADEChallengeData2016',
        about='ADE20K SceneParse150: 20210 + 2000 images of 150 classes; for research, terms at '
        'https://groups.csail.mit.edu/vision/datasets/ADE20K/terms/',
        variable='ADE20K_ROOT',
        variable_is_folder=True,
    ),
    # URLs and MD5 as in torchvision/datasets/cifar.py and mnist.py of github.com/pytorch/vision
    'cifar10': Source(
        (
            Archive(
                'https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz',
                'md5:c58f30108f718f92721af3b95e74349a',
                {'data_batch_[1-5]': 5, 'test_batch': 1, 'batches.meta': 1},
            ),
        ),
        root='data/cifar',
        folder='cifar-10-batches-py',
        about='CIFAR-10: 50000 + 10000 images of 10 classes, 32x32',
        variable='CIFAR_ROOT',
    ),
    'cifar100': Source(
        (
            Archive(
                'https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz',
                'md5:eb9058c3a382ffc7106e4002c42a8d85',
                {'train': 1, 'test': 1, 'meta': 1},
            ),
        ),
        root='data/cifar',
        folder='cifar-100-python',
        about='CIFAR-100: 50000 + 10000 images of 100 classes, 32x32',
        variable='CIFAR_ROOT',
    ),
    'mnist': Source(
        (
            Archive(
                f'{_MNIST}train-images-idx3-ubyte.gz',
                'md5:f68b3c2dcbeaaa9fbdd348bbdeb94873',
                {'raw/train-images-idx3-ubyte': 1},
                into='raw/train-images-idx3-ubyte',
            ),
            Archive(
                f'{_MNIST}train-labels-idx1-ubyte.gz',
                'md5:d53e105ee54ea40749a09fcbcd1e9432',
                {'raw/train-labels-idx1-ubyte': 1},
                into='raw/train-labels-idx1-ubyte',
            ),
            Archive(
                f'{_MNIST}t10k-images-idx3-ubyte.gz',
                'md5:9fb629c4189551a2d022fa330f9573f3',
                {'raw/t10k-images-idx3-ubyte': 1},
                into='raw/t10k-images-idx3-ubyte',
            ),
            Archive(
                f'{_MNIST}t10k-labels-idx1-ubyte.gz',
                'md5:ec29112dd5afa0611ce80d1b7f02629c',
                {'raw/t10k-labels-idx1-ubyte': 1},
                into='raw/t10k-labels-idx1-ubyte',
            ),
        ),
        root='data',
        folder='MNIST',
        about='MNIST: 60000 + 10000 images of 10 digits, 28x28',
        variable='MNIST_ROOT',
    ),
    # URLs and MD5 of the following ones as in tonic/datasets of github.com/neuromorphs/tonic
    'cifar10dvs': Source(
        (
            Archive(
                'https://figshare.com/ndownloader/files/38023437',
                'md5:ce3a4a0682dc0943703bd8f749a7701c',
                {'**/*.aedat4': 10000},
                name='CIFAR10DVS.zip',
            ),
        ),
        root='data',
        folder='CIFAR10DVS',
        about='CIFAR10-DVS: 10000 event recordings of 10 classes, 128x128',
        nested=True,
        variable='CIFAR10DVS_ROOT',
    ),
    'dvs_gesture': Source(
        (
            Archive(
                'https://figshare.com/ndownloader/files/38022171',
                'md5:3a8f0d4120a166bac7591f77409cb105',
                {'**/ibmGestureTrain/*/*.npy': 1077},
                into='ibmGestureTrain',
                name='ibmGestureTrain.tar.gz',
            ),
            Archive(
                'https://figshare.com/ndownloader/files/38020584',
                'md5:56070e45dadaa85fff82e0fbfbc06de5',
                {'**/ibmGestureTest/*/*.npy': 264},
                into='ibmGestureTest',
                name='ibmGestureTest.tar.gz',
            ),
        ),
        root='data',
        folder='DVSGesture',
        about='DVS128 Gesture: 1077 + 264 event recordings of 11 gestures, 128x128',
        variable='DVSGESTURE_ROOT',
    ),
    'nmnist': Source(
        (
            Archive(
                f'{_MENDELEY}468j46mzdv/files/39c25547-014b-4137-a934-9d29fa53c7a0/file_downloaded',
                'md5:20959b8e626244a1b502305a9e6e2031',
                {'**/Train/*/*.bin': 60000},
                into='Train',
                name='nmnist_train.zip',
            ),
            Archive(
                f'{_MENDELEY}468j46mzdv/files/05a4d654-7e03-4c15-bdfa-9bb2bcbea494/file_downloaded',
                'md5:69ca8762b2fe404d9b9bad1103e97832',
                {'**/Test/*/*.bin': 10000},
                into='Test',
                name='nmnist_test.zip',
            ),
        ),
        root='data',
        folder='NMNIST',
        about='N-MNIST: 60000 + 10000 event recordings of 10 digits, 34x34',
        variable='NMNIST_ROOT',
    ),
    'ncaltech101': Source(
        (
            Archive(
                f'{_MENDELEY}cy6cvx3ryv/files/36b5c52a-b49d-4853-addb-a836a8883e49/file_downloaded',
                'md5:66201824eabb0239c7ab992480b50ba3',
                {'**/Caltech101/*/*.bin': 8709},
                name='ncaltech101.zip',
            ),
        ),
        root='data',
        folder='NCALTECH101',
        about='N-Caltech101: 8709 event recordings of 101 classes, up to 240x180',
        nested=True,
        variable='NCALTECH101_ROOT',
    ),
    'shd': Source(
        (
            Archive(
                f'{_ZENKE}shd_train.h5.zip',
                'md5:f3252aeb598ac776c1b526422d90eecb',
                {'**/shd_train.h5': 1},
                into='shd_train',
            ),
            Archive(
                f'{_ZENKE}shd_test.h5.zip',
                'md5:1503a5064faa34311c398fb0a1ed0a6f',
                {'**/shd_test.h5': 1},
                into='shd_test',
            ),
        ),
        root='data',
        folder='SHD',
        about='Spiking Heidelberg Digits: 8156 + 2264 spike trains of 20 spoken digits, 700 channels',
        variable='SHD_ROOT',
    ),
    'ssc': Source(
        (
            Archive(
                f'{_ZENKE}ssc_train.h5.zip',
                'md5:d102be95e7144fcc0553d1f45ba94170',
                {'**/ssc_train.h5': 1},
                into='ssc_train',
            ),
            Archive(
                f'{_ZENKE}ssc_valid.h5.zip',
                'md5:b4eee3516a4a90dd0c71a6ac23a8ae43',
                {'**/ssc_valid.h5': 1},
                into='ssc_valid',
            ),
            Archive(
                f'{_ZENKE}ssc_test.h5.zip',
                'md5:a35ff1e9cffdd02a20eb850c17c37748',
                {'**/ssc_test.h5': 1},
                into='ssc_test',
            ),
        ),
        root='data',
        folder='SSC',
        about='Spiking Speech Commands: 75466 + 9981 + 20382 spike trains of 35 words, 700 channels',
        variable='SSC_ROOT',
    ),
}


def _folder(source: Source, root: Path | None) -> Path:
    named = os.environ.get(source.variable)
    if root is None and named and source.variable_is_folder:
        return Path(named)
    return (root or Path(named or source.root)) / source.folder


def _lacking(folder: Path, archive: Archive) -> str | None:
    """What the folder of a data set lacks of an archive, or None if it is complete."""
    for pattern, number in archive.files.items():
        found = sum(_counts(x, folder) for x in folder.glob(pattern))
        if found < number:
            return f'{found:,} of {number:,} files {pattern}'
    return None


def _counts(path: Path, folder: Path) -> bool:
    # macOS adds hidden files, and a killed process leaves a folder NAME.part
    parts = path.relative_to(folder).parts
    return path.is_file() and path.stat().st_size > 0 and not any(x[0] == '.' or x.endswith('.part') for x in parts)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; argv: its arguments, None for those of the process."""
    parser = Parser('download_dataset', __doc__)
    parser.add_argument('name', nargs='?', choices=sorted(SOURCES), help='data set')
    parser.add_argument(
        '--root',
        type=Path,
        help='folder to unpack in (default: where the configs look, which a variable such as CIFAR_ROOT may name)',
    )
    parser.add_argument('--list', action='store_true', help='list the data sets and exit')
    args = parser.parse_args(argv)
    if args.name is None and not args.list:
        parser.error(f'name a data set: {", ".join(sorted(SOURCES))}')
    with errors_for_people('interrupted; run the same command again to resume the download'):
        if args.list:
            for name, source in SOURCES.items():
                sizes = [archive.size for archive in source.archives if archive.size]
                print(name, *([f'{sum(sizes) / 1e6:.0f} MB'] if sizes else []), source.about, sep='  ')
            return
        from a2sg_zoo.hub.archives import extract, gunzip, is_absent
        from a2sg_zoo.hub.download import download

        source = SOURCES[args.name]
        folder = _folder(source, args.root)
        root = folder.parent
        for archive in source.archives:
            into = (folder / archive.into).absolute()
            lacking = _lacking(folder, archive)
            if lacking is None:
                continue
            if not is_absent(into):
                raise DataError(
                    f'{into} is not complete: it has {lacking}; remove {into} first and run the same command again, or '
                    'name another folder with --root'
                )
            name = archive.name or PurePosixPath(urlsplit(archive.url).path).name
            file = download(archive.url, root / name, checksum=archive.checksum, size=archive.size)
            if name.endswith('.gz') and not name.endswith('.tar.gz'):
                gunzip(file, into)
            else:
                extract(file, into, top=PurePosixPath(source.folder, archive.into).name, nested=source.nested)
            file.unlink(missing_ok=True)
        print(f'{args.name} is in {folder.absolute()}')


if __name__ == '__main__':
    main()
