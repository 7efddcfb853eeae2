"""Decoders of clips: PyAV, OpenCV, decord, or a folder of images."""
from typing import Dict, Type


from swin_dense.data.decoders.base import Decoder
from swin_dense.data.decoders.decord import DecordDecoder
from swin_dense.data.decoders.opencv import OpenCVDecoder
from swin_dense.data.decoders.pyav import PyAVDecoder

DECODERS: Dict[str, Type[Decoder]] = {
    decoder.name: decoder
    for decoder in (PyAVDecoder, OpenCVDecoder, DecordDecoder)
}
"""By name, the best first."""
