"""Name the stage that keeps a model from learning a few samples by heart."""

from dataclasses import dataclass, field

GOAL = 0.9
LEAST_CHANGE = 1e-5  # of the weights, relative to their norm
LEAST_SHARE = 0.9  # of the objects
# Part of the names of assigners whose priors are proposals.
OF_PROPOSALS = 'bbox_assigner'
LEAST_CONTRAST = 1e-3  # of the features of two images, relative


@dataclass
class Evidence:
    """What was measured while a model learnt.

    Attributes:
        losses: The whole loss at each step.
        change: Norm of the change of the weights, relative to their norm.
        contrast: Difference of the features of two images, relative to their
            size; None if unknown.
        assigned: Share of the objects that each assigner gives to a prior, by
            the assigner's place in the model.
        proposals: Share of the objects that a proposal covers with an IoU of
            0.5; None without proposals.
        scores: Scores of the predictions, 0 to 1, by name: 'boxes of any
            class', 'boxes', 'masks', 'mIoU', 'top-1'.
    """

    losses: list[float] = field(default_factory=list)
    change: float = 0.0
    contrast: float | None = None
    assigned: dict[str, float] = field(default_factory=dict)
    proposals: float | None = None
    scores: dict[str, float] = field(default_factory=dict)


# Score: its stage, and what a low value means.
STAGES = {
    'boxes of any class': (
        'boxes',
        'objects are proposed, but their final boxes do not fit: look at '
        'bbox_coder, loss_bbox, and the sizes that RoIs are taken from',
    ),
    'boxes': (
        'classes',
        'boxes fit, but their classes are wrong: look at the labels and at '
        'loss_cls',
    ),
    'masks': (
        'masks',
        'boxes and classes are right, but masks are wrong: look at mask_head, '
        'mask_size, and the masks themselves',
    ),
    'mIoU': (
        'classes',
        'the classes of pixels are not learnt: look at loss_decode, '
        'ignore_index and the label maps',
    ),
    'top-1': (
        'classes',
        'the classes of clips are not learnt: look at the labels and at the '
        'loss of cls_head',
    ),
}


def is_learnt(scores: dict[str, float]) -> bool:
    """Return True if all scores reach the goal."""
    return bool(scores) and min(scores.values()) > GOAL


def name_stage(evidence: Evidence) -> tuple[str, str] | None:
    """Return the first stage that fails and what to look at, or None.

    Stages follow each other as in the model: what a stage gets from an
    earlier one that fails says nothing about itself.
    """
    problem = rate_problem(evidence.losses, evidence.change)
    if problem:
        return 'learning rate', problem
    contrast = evidence.contrast
    if contrast is not None and contrast < LEAST_CONTRAST:
        return (
            'loaded weights',
            'the backbone gives equal features for different images (relative '
            f'difference {contrast:.1g}): look at its weights and at mean and '
            'std of the data_preprocessor',
        )
    first: dict[str, float] = {}
    second: dict[str, float] = {}
    for name, share in evidence.assigned.items():
        (second if OF_PROPOSALS in name else first)[name] = share
    problem = _assignment_problem(first)
    if problem:
        return 'assignment', problem
    proposals = evidence.proposals
    if proposals is not None and proposals < LEAST_SHARE:
        return (
            'proposals',
            f'proposals cover {proposals:.0%} of the objects: look at '
            'rpn_head, its anchors, and the number of proposals in test_cfg',
        )
    problem = _assignment_problem(second)
    if problem:
        return 'assignment', problem
    for name, (stage, advice) in STAGES.items():
        if evidence.scores.get(name, 1.0) <= GOAL:
            return stage, f'{name} {evidence.scores[name]:.3f}: {advice}'
    return None


def _assignment_problem(assigned: dict[str, float]) -> str:
    """Return which assigner leaves out objects, or ''."""
    for name, share in assigned.items():
        if share < LEAST_SHARE:
            return (
                f'{name} gives {share:.0%} of the objects to a prior: look at '
                'its thresholds, and at the sizes of anchors or points beside '
                'those of the objects'
            )
    return ''


def rate_problem(losses: list[float], change: float) -> str:
    """Return what is wrong with the learning rate, or ''.

    Args:
        losses: The whole loss at each step.
        change: See `Evidence`.
    """
    first = losses[0] if losses else float('nan')
    last = losses[-1] if losses else float('nan')
    if not all(abs(loss) < float('inf') for loss in losses):
        step = next(
            number
            for number, loss in enumerate(losses, 1)
            if not abs(loss) < float('inf')
        )
        return f'the loss is not finite at step {step}: lower it'
    if change < LEAST_CHANGE:
        return (
            f'{len(losses)} steps changed the weights by {change:.1g} of '
            'their norm: raise it, or look for frozen weights'
        )
    if last > 10 * max(first, 0.1):
        return f'the loss grew from {first:.3g} to {last:.3g}: lower it'
    return ''
