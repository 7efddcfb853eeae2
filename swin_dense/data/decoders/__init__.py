"""Decoders of clips: PyAV, OpenCV, decord, and folders of images."""

from swin_dense.data.decoders.base import Decoder
from swin_dense.data.decoders.decord import DecordDecoder
from swin_dense.data.decoders.opencv import OpenCVDecoder
from swin_dense.data.decoders.pyav import PyAVDecoder

DECODERS: dict[str, type[Decoder]] = {
    decoder.name: decoder
    for decoder in (PyAVDecoder, OpenCVDecoder, DecordDecoder)
}
"""Decoders of video files by name, the best first."""
