"""Serve the page to a browser."""

import os
import socket
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# The page may load nothing from another server, and no other page may show it
# in a frame.
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "frame-ancestors 'self'"
)
MAX_UPLOAD = '2gb'


@contextmanager
def private_folder() -> Iterator[Path]:
    """Yield a folder for all files of the page; delete it at the end.

    Gradio reads where to put uploaded files, and whether to send statistics,
    when it is imported.
    """
    settings = {
        'GRADIO_ANALYTICS_ENABLED': 'False',
        'HF_HUB_DISABLE_TELEMETRY': '1',
    }
    with tempfile.TemporaryDirectory(prefix='swin-dense-web-') as folder:
        os.environ.update(settings, GRADIO_TEMP_DIR=folder)
        yield Path(folder)


def open_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Args:
        host: Name or address of an interface of this machine.
        port: Number of the port; 0 for a free one.

    Raises:
        OSError: If the port is in use, or this machine has no such interface.
    """
    try:
        family = socket.AF_INET6 if ':' in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        number = getattr(error, 'errno', None)
        # Python's own text repeats the address.
        reason = os.strerror(number) if number and number > 0 else error
        raise OSError(
            f'cannot listen at {host}, port {port}: {reason}; choose another '
            'port by --port (0: any that is free), or another interface of '
            'this machine by --host'
        ) from error


def make_app(page: Any) -> Any:
    """Return the web application of a page of Gradio."""
    import gradio as gr
    from fastapi import FastAPI

    from swin_dense.web.page import page_style

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.middleware('http')
    async def add_policy(request: Any, answer: Any) -> Any:
        response = await answer(request)
        response.headers['Content-Security-Policy'] = POLICY
        return response

    return gr.mount_gradio_app(
        app,
        page,
        path='',
        max_file_size=MAX_UPLOAD,
        show_error=True,
        **page_style(),
    )


def serve(page: Any, listening: socket.socket) -> None:
    """Serve a page until Ctrl-C.

    The server runs in a thread, where uvicorn leaves signals alone: it would
    raise Ctrl-C again, perhaps as the cause of another error.
    """
    import uvicorn

    config = uvicorn.Config(
        make_app(page), log_level='warning', timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    with ThreadPoolExecutor(1) as executor:
        end = executor.submit(server.run, sockets=[listening])
        try:
            end.result()
        except KeyboardInterrupt:
            return
        finally:
            server.should_exit = True
