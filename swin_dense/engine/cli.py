"""Options, exit statuses and error messages of all command lines."""

import argparse
import ast
import json
import os
import re
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import cv2
import numpy as np
import torch.distributed
from mmengine.config import DictAction
from mmengine.logging import MMLogger

from swin_dense.compat import explain_error
from swin_dense.engine.run_log import quieten_console
from swin_dense.files import replacing
from swin_dense.wording import counted, did_you_mean

# Errors that a user's input can cause. Any other error is a defect and is
# shown with its traceback.
_EXPECTED = (ValueError, OSError, ImportError, SyntaxError)
# Errors of constructors that do not check their arguments.
_BARE = (
    TypeError,
    AttributeError,
    AssertionError,
    LookupError,
    ZeroDivisionError,
    OverflowError,
)
# First words of warnings of hosts about code that no user of this package can
# change.
_HARMLESS_WARNINGS = (
    'To copy construct from a tensor',
    '``build_loss`` would be deprecated',
    'Default ``avg_non_ignore`` is False',
    'Setting (OMP|MKL)_NUM_THREADS environment variable',
    'torch.meshgrid: in an upcoming release',
)


class Parser(argparse.ArgumentParser):
    """A parser whose errors suggest the option for a mistyped option."""

    def error(self, message: str) -> NoReturn:
        """Print usage and error, and exit with status 2."""
        if message.startswith('unrecognized arguments: '):
            options = re.findall(r'--[\w-]+', self.format_usage())
            for word in message.split():
                name = word.partition('=')[0]
                close = name.startswith('--') and did_you_mean(name, options)
                if close:
                    message += f'; did you mean {close}?'
        super().error(message)


class ConfigOptions(DictAction):
    """Read KEY=VALUE arguments; a malformed argument ends the program."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Store the settings as a dict.

        Raises:
            argparse.ArgumentError: If an argument is not KEY=VALUE, or its
                value has brackets that are not closed.
        """
        for text in values:
            key, sign, _ = text.partition('=')
            if not key or not sign:
                raise argparse.ArgumentError(
                    self,
                    'expected KEY=VALUE, such as '
                    f'train_dataloader.batch_size=4, got {text!r}',
                )
        literals, others = {}, []
        for text in values:
            key, _, value = text.partition('=')
            if 'dict(' in value or value.startswith('{'):
                literals[key] = self._parse(value)
            else:
                others.append(text)
        try:
            super().__call__(parser, namespace, others, option_string)
        except AssertionError as error:  # brackets that are not closed
            raise argparse.ArgumentError(self, str(error)) from error
        except RecursionError:  # of mmengine, at brackets after a name
            raise argparse.ArgumentError(
                self,
                f'cannot read a value in {others}: expected numbers, text, '
                'lists [a,b] or dictionaries dict(a=1)',
            ) from None
        getattr(namespace, self.dest).update(literals)

    def _parse(self, text: str) -> Any:
        """Read a value with a dictionary, which mmengine cannot read.

        Raises:
            argparse.ArgumentError: If the text is no such value.
        """
        try:
            return _literal(ast.parse(text.strip(), mode='eval').body)
        except (SyntaxError, ValueError, RecursionError):
            raise argparse.ArgumentError(
                self,
                "expected a value in Python, such as dict(classes=['cat', "
                f"'dog']), with names in quotes, got {text!r}",
            ) from None


def _literal(node: ast.AST) -> Any:
    """Return the value of an expression of literals and `dict(...)`.

    Raises:
        ValueError: If there is anything else in it.
    """
    if isinstance(node, ast.Call):
        if getattr(node.func, 'id', None) != 'dict' or node.args:
            raise ValueError('not a dictionary')
        return {str(k.arg): _literal(k.value) for k in node.keywords}
    if isinstance(node, (ast.List, ast.Tuple)):
        values = [_literal(entry) for entry in node.elts]
        return values if isinstance(node, ast.List) else tuple(values)
    if isinstance(node, ast.Dict):
        keys = [_literal(key) for key in node.keys if key is not None]
        return dict(zip(keys, map(_literal, node.values), strict=True))
    value = ast.literal_eval(node)  # type: ignore[arg-type]
    if value is ...:
        raise ValueError('a placeholder')
    return value


def make_parser(description: str, example: str) -> argparse.ArgumentParser:
    """Return a parser whose help ends with an example to copy."""
    return Parser(
        prog=Path(sys.argv[0]).name,
        description=description,
        epilog=f'example:\n  {example}',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_config_argument(parser: argparse.ArgumentParser) -> None:
    """Add the positional argument `config`, which `load_config` reads."""
    parser.add_argument(
        'config',
        help='config file, or name of a recipe such as cascade_swin_b_coco',
    )


def add_model_arguments(parser: argparse.ArgumentParser, inputs: str) -> None:
    """Add config, weights, inputs and `--out` of a command that runs a model.

    Args:
        parser: The parser.
        inputs: Help text of the inputs.
    """
    add_config_argument(parser)
    parser.add_argument('checkpoint', help='path or address of the weights')
    parser.add_argument('inputs', nargs='+', metavar='INPUT', help=inputs)
    parser.add_argument(
        '--out', required=True, metavar='DIR', help='folder for the results'
    )


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--device`, which `check_device` checks."""
    parser.add_argument(
        '--device', help='such as cpu or cuda:1 (default: a GPU)'
    )


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--cfg-options` and `--debug`."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        metavar='KEY=VALUE',
        help='replace settings of the config, such as '
        'train_dataloader.batch_size=4; data_root=DIR moves every path below '
        "the config's data_root",
    )
    add_debug_argument(parser)


def add_debug_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--debug`, which `run` reads."""
    parser.add_argument(
        '--debug', action='store_true', help='show the traceback of any error'
    )


def add_prefix_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--prefix`, for files that hold several backbones."""
    parser.add_argument(
        '--prefix',
        metavar='NAME.',
        help='how the names of the backbone start, if SRC holds several',
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of training and testing, named as in the hosts."""
    parser.add_argument(
        '--work-dir',
        help='folder for logs and checkpoints (default: work_dirs/<config>)',
    )
    parser.add_argument(
        '--verbose',
        action='store_true',
        help='log every tensor name of the load report, which is also written '
        'to load_report.json in the work folder',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what started the processes of a distributed run',
    )
    parser.add_argument(
        '--local-rank', '--local_rank', type=int, help=argparse.SUPPRESS
    )
    add_config_arguments(parser)


def check_device(name: str | None, option: str = '--device ') -> None:
    """Check that PyTorch has a device, before a model is built for it.

    Args:
        name: Device as torch names it, such as cpu or cuda:1; None passes.
        option: How the device was given, for the error.

    Raises:
        ValueError: If torch knows no device of this name, or this machine
            does not have it.
    """
    if name is None:
        return
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(
            f'{option}{name} is not a device; expected cpu, cuda or a GPU '
            'by its number, such as cuda:1'
        ) from None
    if device.type != 'cuda':
        return
    count = torch.cuda.device_count()
    if (device.index or 0) >= count:
        raise ValueError(
            f'{option}{name}: PyTorch finds {counted(count, "CUDA device")} '
            f'on this machine; use {option}'
            + (f'cuda:{count - 1}' if count else 'cpu')
        )


def add_compile_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--compile`, which writes `compile_backbone` into the config."""
    parser.add_argument(
        '--compile',
        nargs='?',
        const='inductor',
        metavar='BACKEND',
        help='let torch.compile compile the backbone (default backend: '
        'inductor); the first steps then take minutes',
    )


def run(
    command: Callable[[argparse.Namespace], int], args: argparse.Namespace
) -> int:
    """Run a command; print an error as one paragraph.

    Args:
        command: Function that takes the arguments and returns the exit
            status.
        args: Parsed arguments, `debug` among them.

    Returns:
        The exit status: 1 after an error, 130 after Ctrl-C, 143 after
        SIGTERM.
    """
    name = Path(sys.argv[0]).name
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):
            # A file name may hold bytes that are not text.
            stream.reconfigure(errors='backslashreplace')
    for text in _HARMLESS_WARNINGS:
        warnings.filterwarnings('ignore', text)
    quieten_console(MMLogger.get_current_instance())
    try:
        with _terminable():
            return command(args)
    except (Exception, KeyboardInterrupt, Terminated) as error:
        # Code of hosts may turn a signal into an error of its own.
        causes = list(_causes(error))
        if any(isinstance(cause, KeyboardInterrupt) for cause in causes):
            print(f'{name}: interrupted', file=sys.stderr)
            return 130
        if any(isinstance(cause, Terminated) for cause in causes):
            print(f'{name}: terminated', file=sys.stderr)
            return 143
        fault = settings_at_fault(error)
        if args.debug or not (fault or is_expected(error)):
            traceback.print_exc()
        print(
            f'{name}: error: {printable(fault or message_of(error))}',
            file=sys.stderr,
        )
        texts = [f'{type(cause).__name__}: {cause}' for cause in causes]
        hint = explain_error('\n'.join(texts))
        if hint:
            print(hint, file=sys.stderr)
        if not args.debug:
            print('(--debug shows where)', file=sys.stderr)
        return 1
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


class Terminated(BaseException):
    """Raised on SIGTERM, so that files and locks are left in order."""


@contextmanager
def _terminable() -> Iterator[None]:
    """Raise `Terminated` where SIGTERM would end the process at once."""

    def stop(*_: Any) -> None:
        if os.getpid() == process:
            raise Terminated
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a loader's process
        os.kill(os.getpid(), signal.SIGTERM)

    process = os.getpid()
    # A distributed launcher stops processes that wait for one another, and
    # its signal must end them at once.
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
        or 'RANK' in os.environ
    ):
        yield
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON atomically. NaN and infinity become null.

    A list is written with one entry per line.
    """
    content = finite(content)
    if isinstance(content, list):
        lines = [json.dumps(entry, allow_nan=False) for entry in content]
        text = '[\n' + ',\n'.join(lines) + '\n]\n'
    else:
        text = json.dumps(content, indent=2, allow_nan=False) + '\n'
    write_bytes(path, text.encode())


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file atomically; create its folder if needed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        partial.write_bytes(content)


def write_image(path: str | Path, pixels: np.ndarray) -> None:
    """Write an image atomically, in the format of its suffix."""
    write_bytes(path, encode_image(Path(path).suffix, pixels))


def encode_image(suffix: str, pixels: np.ndarray) -> bytes:
    """Encode an image (H, W, 3) in BGR, in the format of a suffix."""
    return cv2.imencode(suffix, pixels)[1].tobytes()


def is_expected(error: BaseException) -> bool:
    """Return True for an error that the input of a user can cause."""
    # A registry raises KeyError for an unknown type, and a constructor
    # TypeError for an unknown argument, as a defect may, too.
    text = str(error)
    if isinstance(error, KeyError):
        return 'is not in the' in text
    if isinstance(error, TypeError):
        return 'unexpected keyword' in text or 'has no argument' in text
    return isinstance(error, _EXPECTED)


def settings_at_fault(error: BaseException) -> str | None:
    """Return a sentence if a type of a config refuses its settings.

    Constructors of hosts check few of their arguments: a value of another
    kind ends in a bare TypeError or AssertionError. None is returned for all
    other errors.
    """
    if not isinstance(error, _BARE) or is_expected(error):
        return None
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    for frame, called in reversed([*zip(frames, frames[1:])]):
        place, settings = frame.f_code, frame.f_locals.get('args')
        if (
            place.co_name == 'build_from_cfg'
            and called.f_code.co_name == '__init__'
            and isinstance(settings, dict)
        ):
            kind = frame.f_locals.get('obj_type')
            plain = ', '.join(
                f'{key}={value!r}'
                for key, value in settings.items()
                if not isinstance(value, dict) and len(repr(value)) < 60
            )
            text = str(error).removeprefix(f'class `{kind}` in ')
            detail = f'{type(error).__name__}: {text}'
            if not text:
                file = called.f_code.co_filename
                line = _last_line(error)
                detail = f'an assertion of {file}, line {line}, fails'
            return (
                f'{getattr(kind, "__name__", kind)} cannot be built from its '
                f'settings ({plain}): {detail}'
            )
    return None


def _last_line(error: BaseException) -> int:
    """Return the number of the line that raised an error."""
    return [line for _, line in traceback.walk_tb(error.__traceback__)][-1]


def printable(text: str) -> str:
    """Escape the control characters that a terminal would obey."""
    return ''.join(
        sign if sign == '\n' or sign.isprintable() else repr(sign)[1:-1]
        for sign in text
    )


def describe(error: BaseException) -> str:
    """Return the text of an error on one line, or its type without text."""
    return ' '.join(str(error).split()) or type(error).__name__


def message_of(error: BaseException) -> str:
    """Return an error's text without the traceback of a loader process."""
    text = str(error.args[0] if isinstance(error, KeyError) else error)
    if 'Original Traceback' in text:
        # The name of an error that is not built in follows its module.
        name = rf'\n(?:[\w.]+\.)?{type(error).__name__}: '
        text = re.split(name, text)[-1]
    return text.strip() or type(error).__name__


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and all that it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def finite(content: Any) -> Any:
    """Return a copy that JSON can hold: NaN and infinity become None."""
    if isinstance(content, np.generic):
        content = content.item()
    if isinstance(content, dict):
        return {str(key): finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [finite(value) for value in content]
    if isinstance(content, float) and not abs(content) < float('inf'):
        return None
    return content
