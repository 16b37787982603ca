"""The arguments that commands on a config share. Imports nothing heavy, so that a command parses them at once."""

import argparse
from typing import Any

from mmengine.config import DictAction


class ConfigOptions(DictAction):
    """The action of `--cfg-options KEY=VALUE ...`: {key: value}, and the words themselves in `written_options`."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        for word in values:
            if not word.partition('=')[0] or '=' not in word:
                parser.error(f'{option_string}: {word!r} is not of the form KEY=VALUE')
        try:
            super().__call__(parser, namespace, values, option_string)
        except (ValueError, AssertionError, IndexError) as error:
            parser.error(f'{option_string} {" ".join(values)}: {error}')
        for word in values:
            key, _, text = word.partition('=')
            if ' ' in text and not text.startswith(('[', '(')):  # MMEngine would take the spaces out of a path
                getattr(namespace, self.dest)[key] = text
        namespace.written_options = [*namespace.written_options, *values]


def add_options_argument(parser: argparse.ArgumentParser, text: str = 'override values of the config') -> None:
    """Let a parser take `--cfg-options KEY=VALUE ...`.

    Args:
        parser: gets the option.
        text: its help.
    """
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, metavar='KEY=VALUE', help=text)
    parser.set_defaults(written_options=[])


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Let a parser take a config and `--method NAME`, which may be given several times."""
    parser.add_argument('config', help='file or name of a config')
    parser.add_argument(
        '--method',
        action='append',
        default=[],
        metavar='NAME',
        help='a policy, loss or optimizer of configs/_base_/methods, or the file of one; may be given several times',
    )


def add_launcher_arguments(parser: argparse.ArgumentParser) -> None:
    """Let a parser take `--launcher`, and the rank that old versions of torch's launcher pass."""
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what started the processes of a run on several devices (default: none)',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    """Let a parser take the arguments of `a2sg-zoo train`."""
    add_config_arguments(parser)
    parser.add_argument('--work-dir', metavar='FOLDER', help='folder of the run (default: work_dirs/NAME)')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='continue from this checkpoint, or from the newest one in the work dir',
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision: float16 on CUDA, bfloat16 on a CPU')
    parser.add_argument('--demo', action='store_true', help='train on embedded miniature data, with a short schedule')
    parser.add_argument('--seed', type=int, help='seed of all random generators (default: that of the config)')
    add_options_argument(parser)
    add_launcher_arguments(parser)
