"""Read images and videos that a user gives to a model in Python.

An image is a path, an address, an array, a PIL image or a tensor. A video is
a path, an address, an array or a tensor. Everything else is refused.
"""

import os
import tempfile
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from swin_dense.checkpoints.files.http import open_address
from swin_dense.data.decoders.base import VideoError
from swin_dense.data.image_files import (
    MAX_BYTES_PER_PIXEL,
    max_pixels,
    read_image,
    read_pixels,
)
from swin_dense.files import UnreadableFileError
from swin_dense.limits import LimitError, advice, limit

ImageLike = str | os.PathLike | np.ndarray | Image.Image | Tensor
VideoLike = str | os.PathLike | np.ndarray | Tensor

CHANNEL_ORDERS = ('bgr', 'rgb')
IMAGES = (
    'a path, an address, an array (H, W, 3), a PIL image, a tensor '
    '(3, H, W), or a list of these'
)
CLIPS = (
    'a path, an address, an array (T, H, W, 3), a tensor (T, 3, H, W), or a '
    'list of these'
)
# PIL's modes whose values are not 8 bits per channel.
_DEEP_MODES = ('I', 'F', 'I;16', 'I;16B', 'I;16L', 'I;16N')
_CHUNK = 1 << 20  # bytes
_VIDEO_GIGABYTES = 50


def check_channel_order(order: str) -> None:
    """Raise a ValueError unless an order of channels is 'bgr' or 'rgb'."""
    if order not in CHANNEL_ORDERS:
        raise ValueError(
            f"channel_order must be 'bgr' or 'rgb', got {order!r}"
        )


def is_address(source: Any) -> bool:
    """Return True if a source is text that starts with http(s)://."""
    return isinstance(source, str) and source.startswith(
        ('http://', 'https://')
    )


def name_of(source: Any) -> str | None:
    """Return the path or address of an input; None if it has none."""
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    return getattr(source, 'filename', None) or None  # of a PIL image


def read_image_input(
    image: ImageLike, channel_order: str = 'bgr'
) -> np.ndarray:
    """Return the pixels of an image.

    Args:
        image: A path or address; an array (H, W, 3) or (H, W), uint8; a PIL
            image; or a tensor (3, H, W), (1, H, W) or (H, W) in RGB, uint8
            from 0 to 255 or floating-point from 0 to 1. Files and PIL images
            are turned upright by their EXIF orientation.
        channel_order: Order of the channels of an array, 'bgr' or 'rgb'.

    Returns:
        An array (H, W, 3) in BGR, uint8.

    Raises:
        FileNotFoundError: If the file does not exist.
        TypeError: If the input is nothing of these.
        ValueError: If the file or address cannot be read as an image, or an
            array or tensor has another shape or other values.
    """
    if is_address(image):
        return _read_address(str(image))
    if isinstance(image, (str, os.PathLike)):
        return read_image(os.fspath(image))
    if isinstance(image, Image.Image):
        if image.mode in _DEEP_MODES:
            raise ValueError(
                f'a PIL image of mode {image.mode} has more than 8 bits per '
                'channel: scale it to 0 to 255 and convert it to RGB'
            )
        pixels = np.asarray(ImageOps.exif_transpose(image).convert('RGB'))
        return np.ascontiguousarray(pixels[..., ::-1])
    if isinstance(image, Tensor):
        return _bgr(_array_of(image, IMAGES, axes=3), 'rgb')
    if isinstance(image, np.ndarray):
        return _bgr(_check_array(image, IMAGES, axes=3), channel_order)
    raise TypeError(f'got a {_type_name(image)}; expected {IMAGES}')


def read_frames(
    clip: np.ndarray | Tensor, channel_order: str = 'bgr'
) -> np.ndarray:
    """Return the frames of a clip.

    Args:
        clip: An array (T, H, W, 3), uint8; or a tensor (T, 3, H, W) in RGB,
            uint8 from 0 to 255 or floating-point from 0 to 1.
        channel_order: Order of the channels of an array, 'bgr' or 'rgb'.

    Returns:
        An array (T, H, W, 3) in RGB, uint8.

    Raises:
        TypeError: If the input is nothing of these.
        ValueError: If an array or tensor has another shape or other values.
    """
    if isinstance(clip, Tensor):
        return _array_of(clip, CLIPS, axes=4)
    if isinstance(clip, np.ndarray):
        clip = _check_array(clip, CLIPS, axes=4)
        return clip if channel_order == 'rgb' else clip[..., ::-1]
    raise TypeError(f'got a {_type_name(clip)}; expected {CLIPS}')


def download(address: str, most: float) -> IO[bytes]:
    """Download an address; return the temporary file, open at its start.

    Args:
        address: Address that starts with http:// or https://.
        most: Largest number of bytes.

    Returns:
        The file; `name` is its path. It is deleted when it is closed.

    Raises:
        UnreadableFileError: If the download fails, or is too large.
    """
    suffix = Path(unquote(urlsplit(address).path)).suffix[:8]
    file = tempfile.NamedTemporaryFile(suffix=suffix)
    try:
        with open_address(address) as response:
            size = 0
            while chunk := response.read(_CHUNK):
                size += len(chunk)
                if size > most:
                    raise LimitError(f'it has more than {most:,.0f} bytes')
                file.write(chunk)
        if response.length:  # bytes that were announced and did not come
            raise ValueError(f'{response.length} bytes are missing')
        file.flush()
        file.seek(0)
    except (OSError, HTTPException, ValueError) as error:
        file.close()
        raise UnreadableFileError(
            address, f'cannot be downloaded: {error}'
        ) from error
    except BaseException:
        file.close()
        raise
    return file


def download_video(address: str) -> IO[bytes]:
    """Download a video; return the file, which is deleted when closed.

    Raises:
        VideoError: If the download fails, or is larger than
            `SWIN_DENSE_MAX_DOWNLOAD_GB`.
    """
    most = limit('MAX_DOWNLOAD_GB', _VIDEO_GIGABYTES) * 2**30
    try:
        return download(address, most)
    except UnreadableFileError as error:
        more = advice('MAX_DOWNLOAD_GB')
        hint = f'. {more}' if isinstance(error.__cause__, LimitError) else ''
        raise VideoError(f'{error}{hint}') from error


def _read_address(address: str) -> np.ndarray:
    """Download and decode an image; see `read_image_input`."""
    with download(address, MAX_BYTES_PER_PIXEL * max_pixels()) as file:
        try:
            return read_pixels(file)  # type: ignore[arg-type]
        except ValueError as error:
            raise UnreadableFileError(address, str(error)) from None


def _check_array(array: np.ndarray, expected: str, axes: int) -> np.ndarray:
    """Return an array with three channels.

    Args:
        array: Pixels (..., H, W, 3), (..., H, W, 1), or of an image (H, W).
        expected: Inputs that are accepted, for the error.
        axes: Number of axes, channels included.

    Raises:
        ValueError: If the array has another shape or other values.
    """
    pixels = array
    if axes == 3 and pixels.ndim == 2:
        pixels = pixels[..., None]  # (H, W, 1)
    is_shaped = pixels.ndim == axes and pixels.shape[-1] in (1, 3)
    if not is_shaped or not pixels.size:
        hint = ''
        if pixels.ndim == axes + 1:
            hint = ': make a list of it, list(array)'
        elif pixels.ndim == axes and pixels.shape[-1] == 4:
            hint = ': leave the fourth channel out, array[..., :3]'
        elif pixels.ndim == 3 < axes:
            hint = ': stack the frames, np.stack(frames)'
        raise ValueError(
            f'got an array of shape {array.shape}{hint}; expected {expected}'
        )
    if pixels.dtype != np.uint8:
        raise ValueError(
            f'got an array of {array.dtype}; expected uint8, 0 to 255. '
            'Values from 0 to 1 are converted by (255 * array).astype('
            'np.uint8)'
        )
    return np.broadcast_to(pixels, (*pixels.shape[:-1], 3))


def _array_of(tensor: Tensor, expected: str, axes: int) -> np.ndarray:
    """Convert a tensor (..., 3, H, W) to an array (..., H, W, 3), uint8.

    Args:
        tensor: See `read_image_input` and `read_frames`.
        expected: Inputs that are accepted, for the error.
        axes: Number of axes, channels included.

    Raises:
        ValueError: If the tensor has another shape or other values.
    """
    values = tensor.detach().cpu()
    if axes == 3 and values.ndim == 2:
        values = values[None]  # (1, H, W)
    is_shaped = values.ndim == axes and values.shape[-3] in (1, 3)
    if not is_shaped or not values.numel():
        hint = ''
        if values.ndim == axes + 1:
            hint = ': make a list of it, list(tensor)'
        elif values.ndim == axes and values.shape[-1] == 3:
            hint = ': channels come first, tensor.movedim(-1, -3)'
        elif values.ndim == 3 < axes:
            hint = ': stack the frames, torch.stack(frames)'
        raise ValueError(
            f'got a tensor of shape {tuple(tensor.shape)}{hint}; expected '
            f'{expected}'
        )
    if values.is_floating_point():
        low, high = values.min().item(), values.max().item()
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f'got a tensor with values from {low:.3g} to {high:.3g}; '
                'expected uint8 from 0 to 255, or floating-point numbers from '
                '0 to 1. The model normalises images itself'
            )
        values = (values.float() * 255).round().to(torch.uint8)
    elif values.dtype != torch.uint8:
        raise ValueError(
            f'got a tensor of {tensor.dtype}; expected uint8 from 0 to 255, '
            'or floating-point numbers from 0 to 1'
        )
    pixels = values.movedim(-3, -1).numpy()  # (..., H, W, C)
    return np.broadcast_to(pixels, (*pixels.shape[:-1], 3))


def _bgr(pixels: np.ndarray, order: str) -> np.ndarray:
    """Return a contiguous copy of an image in BGR, or the image itself."""
    return np.ascontiguousarray(
        pixels if order == 'bgr' else pixels[..., ::-1]
    )


def _type_name(value: Any) -> str:
    """Return the name of a value's type, for an error."""
    kind = type(value)
    if kind.__module__ == 'builtins':
        return kind.__name__
    return f'{kind.__module__}.{kind.__name__}'
