"""Compare what the training pipeline hands to the model with the files."""

from typing import Any

from swin_dense.preflight.learning import prepared
from swin_dense.preflight.results import CheckFailedError, Finding
from swin_dense.wording import counted

# What a fault belongs to, in the order in which they are named.
STAGES = ('boxes', 'masks', 'classes')


def check(context: Any) -> Finding:
    """Compare boxes, masks and classes of eight samples, without augmentation.

    Raises:
        CheckFailedError: If the pipeline gives others than the files.
    """
    samples = prepared(context)
    faults: dict[str, list[str]] = {}
    for info, packed in zip(samples.infos, samples.packed):
        for stage, text in context.specialist.compare(info, packed):
            faults.setdefault(stage, []).append(text)
    details = [text for stage in STAGES for text in faults.get(stage, ())]
    count = len(samples.packed)
    if faults:
        stage = next(stage for stage in STAGES if stage in faults)
        raise CheckFailedError(
            f'{stage}: the training pipeline gives others than the files, '
            f'{counted(len(faults[stage]), "time")} in {count} '
            f'{context.task.unit}: look at the steps that you wrote, and at '
            'the order of steps',
            details,
            **{name: len(texts) for name, texts in faults.items()},
        )
    return Finding(
        f'the training pipeline gives what is in the files of {count} '
        f'{context.task.unit}'
    )
