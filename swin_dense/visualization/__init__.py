"""Draw predictions. Images are BGR and uint8, as OpenCV reads them."""

from swin_dense.visualization.contact_sheets import contact_sheet, label_sheet
from swin_dense.visualization.instances import draw_instances
from swin_dense.visualization.labels import (
    colour_map,
    draw_labels,
    draw_legend,
)
from swin_dense.visualization.palette import class_colour

__all__ = [
    'class_colour',
    'colour_map',
    'contact_sheet',
    'draw_instances',
    'draw_labels',
    'draw_legend',
    'label_sheet',
]
