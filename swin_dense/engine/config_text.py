"""Write settings as the text of a config that a person will edit."""

from collections.abc import Mapping
from typing import Any

from yapf.yapflib.yapf_api import FormatCode

STYLE = {
    'based_on_style': 'pep8',
    'column_limit': 79,
    'blank_line_before_nested_class_or_def': True,
    'split_before_expression_after_opening_paren': True,
}


class Code(str):
    """An expression of a config that stands there as it is.

    It may name variables that are set before it, and `_base_`.
    """


def as_code(value: Any) -> str:
    """Return the Python expression of a value.

    Args:
        value: Text, a number, a bool, None, `Code`, or a mapping or a
            sequence of such values.
    """
    if isinstance(value, Code):
        return str(value)
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and key.isidentifier() for key in value):
            parts = (f'{key}={as_code(part)}' for key, part in value.items())
            return f'dict({", ".join(parts)})'
        parts = (f'{key!r}: {as_code(part)}' for key, part in value.items())
        return f'{{{", ".join(parts)}}}'
    if isinstance(value, tuple):
        ending = ',' if len(value) == 1 else ''
        return f'({", ".join(map(as_code, value))}{ending})'
    if isinstance(value, list):
        return f'[{", ".join(map(as_code, value))}]'
    return repr(value)


def assignments(settings: Mapping[str, Any]) -> str:
    """Return a line `name = value` for each setting, formatted.

    Args:
        settings: Values by the name of their variable.
    """
    lines = ''.join(
        f'{name} = {as_code(value)}\n' for name, value in settings.items()
    )
    return str(FormatCode(lines, style_config=STYLE)[0])
