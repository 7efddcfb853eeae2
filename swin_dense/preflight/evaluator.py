"""Feed the truth as predictions through the evaluator of a config."""

from typing import Any

from swin_dense.data.wrappers import inner_datasets
from swin_dense.preflight.results import (
    CheckFailedError,
    CheckSkippedError,
    Finding,
)
from swin_dense.preflight.settings import build_metrics

PERFECT = 0.9995  # what is shown as 1.000


def check(context: Any) -> Finding:
    """Score the truth of the validation set; each value must be 1.000.

    Raises:
        CheckFailedError: If a value is lower.
    """
    config = context.config
    split = 'val' if config.get('val_evaluator') else 'test'
    if not config.get(f'{split}_evaluator') or not context.settings(split):
        raise CheckSkippedError('the config has no evaluation')
    dataset = context.dataset(split)
    metrics = build_metrics(config[f'{split}_evaluator'])
    samples = context.specialist.truth_as_predictions(dataset)
    values: dict[str, float] = {}
    details: list[str] = []
    for metric in metrics:
        metric.dataset_meta = inner_datasets(dataset)[0].metainfo
        metric.process(None, samples)
        values.update(metric.evaluate(len(samples)))
    chosen = {
        name: values[name] / scale
        for name, scale in context.specialist.scored(values).items()
    }
    if not chosen:
        raise CheckSkippedError(f'its values are unknown: {[*values]}')
    shown = ', '.join(f'{name} {value:.3f}' for name, value in chosen.items())
    if min(chosen.values()) < PERFECT:
        for metric in metrics:
            details += context.specialist.name_faults(metric, dataset)
        raise CheckFailedError(
            f'the truth, fed as predictions, is not scored 1.000: {shown}',
            details,
            **chosen,
        )
    return Finding(
        f'the truth of {len(samples)} {context.task.unit}, fed as '
        f'predictions: {shown}',
        (),
        chosen,
    )
