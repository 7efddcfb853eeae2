"""Names of the files that a training of Swin-MoE writes."""

import re

# Each process writes its experts to `NAME.pth.rank{r}`. All other parameters
# are in `NAME.pth.master`. A model without experts is in `NAME.pth.global`.
PART = re.compile(r'(?P<stem>.+)\.(?:rank(?P<rank>\d{1,6})|master|global)$')


def is_part(name: str) -> bool:
    """Return True for the name of such a file."""
    return PART.match(name) is not None
