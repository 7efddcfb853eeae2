"""Open a page in the browser that shows what a model predicts.

A detector or segmentor takes images and videos, a recognizer videos. Pictures,
videos and JSON can be downloaded from the page.

The page is for this machine alone unless --host says otherwise. It loads
nothing from other servers, and files that are given to it are deleted when the
command ends.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swin_dense.engine import cli
from swin_dense.engine.launch import find_checkpoint, load_config
from swin_dense.engine.tasks import DETECTION, SEGMENTATION, task_of
from swin_dense.web.server import open_socket, private_folder, serve

PORT = 7860
LOCAL = ('127.0.0.1', 'localhost', '::1')


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(
        __doc__, 'swin-dense web cascade_swin_b_coco weights.pth'
    )
    cli.add_config_argument(parser)
    parser.add_argument('checkpoint', help='path or address of the weights')
    parser.add_argument(
        '--host',
        default='127.0.0.1',
        help='address of the interface that is served; 0.0.0.0 for all, so '
        'that other machines reach the page (default: %(default)s)',
    )
    parser.add_argument(
        '--port',
        type=int,
        default=PORT,
        metavar='N',
        help='port of the page; 0 for any that is free (default: %(default)s)',
    )
    parser.add_argument(
        '--browser', action='store_true', help='also open the page'
    )
    parser.add_argument(
        '--texts',
        metavar='NAMES',
        help='names of the objects to detect, for models that read text, '
        'separated by dots, as in "person . traffic light"',
    )
    cli.add_device_argument(parser)
    cli.add_config_arguments(parser)
    return parser


def web(args: argparse.Namespace) -> int:
    """Load the model, and serve its page until Ctrl-C.

    Raises:
        ImportError: If Gradio is not installed.
        OSError: If the page cannot be served at this address.
        ValueError: If an option is out of range or for another task.
    """
    cli.check_device(args.device)
    config = load_config(args.config, args.cfg_options)
    task = task_of(config)
    with (
        open_socket(args.host, args.port) as listening,
        private_folder() as folder,
    ):
        check_gradio()
        from swin_dense.web import answers
        from swin_dense.web.page import build_page

        options: dict[str, Any] = {}
        if args.texts is not None:
            if task is not DETECTION:
                raise ValueError(
                    f'--texts is for detectors, and the model of '
                    f'{args.config} is a {task.models[:-1]}'
                )
            from swin_dense.detection.predictor import split_texts

            options['texts'] = split_texts(args.texts)
        predictor = task.load('predictor')(
            config,
            find_checkpoint(args.checkpoint),
            device=args.device,
            **options,
        )
        kind = {
            DETECTION: answers.DetectionAnswers,
            SEGMENTATION: answers.SegmentationAnswers,
        }.get(task, answers.VideoAnswers)
        page = build_page(kind(predictor, folder), Path(args.config).stem)
        host, port = listening.getsockname()[:2]
        if args.host not in LOCAL:
            print(
                f'--host {args.host}: everyone who reaches this machine can '
                'use the model, without a password',
                file=sys.stderr,
            )
        shown = f'[{host}]' if ':' in host else host
        address = f'http://{shown}:{port}'
        print(f'The page is at {address} (Ctrl-C ends it)', flush=True)
        if args.browser:
            import webbrowser

            webbrowser.open(address)
        serve(page, listening)
    return 0


def check_gradio() -> None:
    """Check that Gradio, which shows the page, is installed.

    Raises:
        ImportError: If it is not.
    """
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise ImportError(
            'the page needs Gradio: pip install gradio, or swin_dense with '
            "its extra 'web'"
        ) from error


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the command; return its status."""
    return cli.run(web, make_parser().parse_args(argv))
