"""Open a page in the browser that shows what a network sees in your picture, layer by layer.

    a2sg-zoo demo_app
    a2sg-zoo demo_app work_dirs/run/iter_160000.pth --port 7861

A network is the name of pretrained weights, a file of `a2sg-zoo publish`, or a checkpoint of `a2sg-zoo train`. The
default is all pretrained weights. The page needs gradio (pip install 'a2sg-zoo[demo]') and is served to this machine
alone.
"""

import signal
import sys
from collections.abc import Sequence

from a2sg_zoo.cli.parsing import Parser, errors_for_people
from a2sg_zoo.errors import ConfigError


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; argv: its arguments, None for those of the process."""
    parser = Parser('demo_app', __doc__)
    parser.add_argument(
        'networks', nargs='*', metavar='NETWORK', help='name or checkpoint (default: all pretrained weights)'
    )
    parser.add_argument('--device', help='such as cuda:0 (default: the first accelerator, or else the CPU)')
    parser.add_argument('--port', type=int, default=7860, help='port of the page (default: 7860)')
    parser.add_argument('--no-browser', action='store_true', help='only print the address')
    args = parser.parse_args(argv)
    with errors_for_people('the page is closed'):
        import a2sg_zoo
        from a2sg_zoo.apis.demo import page

        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # an end in which the uploads are deleted
        pictures = [name for name in a2sg_zoo.list_models() if a2sg_zoo.info(name)['task'] != 'language']
        blocks, settings = page(args.networks or pictures, args.device)
        print(f'http://127.0.0.1:{args.port} - Ctrl+C ends it', flush=True)
        try:
            blocks.launch(server_port=args.port, inbrowser=not args.no_browser, **settings)
        except OSError as error:
            raise ConfigError(
                f'no page can be served on port {args.port}: {error}; choose another with --port'
            ) from error


if __name__ == '__main__':
    main()
