"""Read data sets of Pascal VOC: boxes in an XML file for each image."""

from pathlib import Path
from xml.etree import ElementTree

from swin_dense.data.annotations.coco import AnnotatedImage, Object, size_of

SPLITS = ('train', 'val', 'test')


def read_voc(source: Path) -> dict[str, list[AnnotatedImage]]:
    """Read the images of a data set.

    Args:
        source: A folder with `Annotations` and `JPEGImages`, as of VOC, or a
            folder with XML files, whose images are beside them.

    Returns:
        The images of each split in `ImageSets/Main`; without this folder,
        those of the split `annotations`.

    Raises:
        FileNotFoundError: If there are no XML files, or an image is missing.
        ValueError: If a file cannot be read. The message names it.
    """
    folder = source / 'Annotations'
    folder = folder if folder.is_dir() else source
    files = {file.stem: file for file in sorted(folder.glob('*.xml'))}
    if not files:
        raise FileNotFoundError(
            f'{folder} has no XML files: expected is one for each image'
        )
    lists = {
        split: source / 'ImageSets' / 'Main' / f'{split}.txt'
        for split in SPLITS
    }
    splits = {}
    for split, path in lists.items():
        if path.is_file():
            lines = path.read_text('utf-8-sig').splitlines()
            # Lists of a class have a second column.
            stems = [line.split()[0] for line in lines if line.strip()]
            absent = [stem for stem in stems if stem not in files]
            if absent:
                raise FileNotFoundError(
                    f'{path} lists {absent[0]}, but {folder}/{absent[0]}.xml '
                    'does not exist'
                )
            splits[split] = [_read(files[stem], source) for stem in stems]
    return splits or {
        'annotations': [_read(file, source) for file in files.values()]
    }


def _read(file: Path, source: Path) -> AnnotatedImage:
    """Read the XML file of an image.

    Boxes count pixels from 1 and include both edges. Objects marked as
    difficult are ignored, as in the evaluation of VOC.
    """
    text = file.read_text('utf-8-sig')
    if '<!ENTITY' in text:
        raise ValueError(f'{file} defines entities, which are not read')
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f'{file} is not XML: {error}') from None
    name = Path((root.findtext('filename') or '').replace('\\', '/')).name
    image = _find_image(file, name, source)
    width, height = size_of(image, file)
    objects = []
    for number, item in enumerate(root.findall('object'), 1):
        label = (item.findtext('name') or '').strip()
        try:
            left, top, right, bottom = (
                float(item.findtext(f'bndbox/{key}') or '')
                for key in ('xmin', 'ymin', 'xmax', 'ymax')
            )
        except ValueError:
            raise ValueError(
                f'{file}: object {number} has no bndbox with xmin, ymin, '
                'xmax, ymax'
            ) from None
        if not label:
            raise ValueError(f'{file}: object {number} has no name')
        left, top = max(left - 1, 0.0), max(top - 1, 0.0)
        difficult = (item.findtext('difficult') or '0').strip() == '1'
        objects.append(
            Object(
                label,
                (left, top, right - left, bottom - top),
                is_ignored=difficult,
            )
        )
    return AnnotatedImage(image, width, height, objects)


def _find_image(file: Path, name: str, source: Path) -> Path:
    """Return the image that an XML file describes.

    Raises:
        FileNotFoundError: If it is not found.
    """
    folders = [source / 'JPEGImages', source / 'images', file.parent]
    stems = [name, f'{file.stem}.jpg', f'{file.stem}.png']
    for folder in folders:
        for each in stems:
            if each and (folder / each).is_file():
                return folder / each
    raise FileNotFoundError(
        f'{file}: its image {name or file.stem} is not in '
        f'{", ".join(map(str, folders))}'
    )
