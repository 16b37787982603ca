"""Opens a page in the browser on which one drops a picture, and sees what a network makes of it, layer by layer.

    python tools/demo_app.py
    python tools/demo_app.py work_dirs/run/iter_160000.pth --port 7861

Networks are names in the zoo, files of tools/publish.py or checkpoints of tools/train.py; all of the zoo by default.
Needs gradio (pip install 'a2sg-zoo[demo]'). The page is served to this machine alone.
"""

import argparse

import a2sg_zoo
from a2sg_zoo.apis.demo import page
from a2sg_zoo.engine.run import errors_for_people
from a2sg_zoo.errors import ConfigError


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('networks', nargs='*', metavar='NETWORK', help='name or checkpoint (default: the whole zoo)')
    parser.add_argument('--device', help='such as cuda:0 (default: the first accelerator, or else the CPU)')
    parser.add_argument('--port', type=int, default=7860, help='of the page (default: 7860)')
    parser.add_argument('--no-browser', action='store_true', help='only print the address')
    args = parser.parse_args(argv)
    with errors_for_people():
        blocks, settings = page(args.networks or a2sg_zoo.list_models(), args.device)
        print(f'http://127.0.0.1:{args.port} - Ctrl+C ends it', flush=True)
        try:
            blocks.launch(server_port=args.port, inbrowser=not args.no_browser, **settings)
        except OSError as error:
            raise ConfigError(
                f'no page can be served on port {args.port}: {error}; choose another with --port'
            ) from error


if __name__ == '__main__':
    main()
