"""Choose a colour for each class, the same in every picture."""

import colorsys
from collections.abc import Mapping, Sequence
from typing import Any

Colour = tuple[int, int, int]

# The first twelve are chosen by eye: far apart, and bright on dark images.
# Each of the others is as far as possible from all colours before it.
_FIRST = (
    '1e9bff',
    'ff3b4e',
    '2ec45c',
    'ff9f1c',
    'a855f7',
    '00c2c7',
    'ff5fb7',
    '9bd100',
    'ffd60a',
    '6f7cff',
    'ff7f6a',
    '4fd1a5',
    '5a5a0f',
    '693c69',
    'ffd2ff',
    'ffe1a5',
    '0000ff',
    '00ff00',
    '960f3c',
    '873c00',
    '00694b',
    'ff00e1',
    '006996',
    '96b45a',
)
_NUM_BRIGHT = 12
_GOLDEN = 0.6180339887


def class_colour(label: int) -> Colour:
    """Return the colour of a class as (blue, green, red), 0 to 255.

    The colour depends on the label alone, so a class has the same colour in
    all pictures and in data sets with more classes. After the last colour of
    the table the hue advances by the golden ratio, so that no hue repeats.
    """
    if label < len(_FIRST):
        red, green, blue = bytes.fromhex(_FIRST[label])
        return blue, green, red
    hue = label * _GOLDEN % 1
    saturation, value = ((0.85, 0.95), (0.6, 1.0), (0.9, 0.75))[label % 3]
    red, green, blue = (
        round(255 * channel)
        for channel in colorsys.hsv_to_rgb(hue, saturation, value)
    )
    return blue, green, red


def instance_colour(index: int) -> Colour:
    """Return the colour of an instance as (blue, green, red), 0 to 255.

    The twelve colours that differ most take turns.
    """
    return class_colour(index % _NUM_BRIGHT)


def palette_of(meta: Mapping[str, Any]) -> Sequence[Sequence[int]] | None:
    """Return the palette of a data set, None without a table of colours.

    Args:
        meta: Information on the data set, whose `palette` may be a table, or
            the name of one of mmdet's.
    """
    palette = meta.get('palette')
    return palette if isinstance(palette, (list, tuple)) else None


def colours(
    count: int, palette: Sequence[Sequence[int]] | None = None
) -> list[Colour]:
    """Return the colours of labels as (blue, green, red).

    Args:
        count: Number of labels.
        palette: Colours as (red, green, blue), as mmseg's data sets have
            them; those of `class_colour` if None.

    Raises:
        ValueError: If the palette has fewer colours than labels.
    """
    if palette is None:
        return [class_colour(label) for label in range(count)]
    if len(palette) < count:
        raise ValueError(
            f'{len(palette)} colours for {count} classes: add colours to the '
            'palette, or leave it out'
        )
    return [
        (int(blue), int(green), int(red))
        for red, green, blue in palette[:count]
    ]


def readable_on(colour: Colour) -> Colour:
    """Return black or white, whichever has more contrast with a colour."""
    blue, green, red = colour
    luminance = 0.114 * blue + 0.587 * green + 0.299 * red
    return (20, 20, 20) if luminance > 140 else (255, 255, 255)
