"""Run named checks one after the other, and report their results."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from swin_dense.engine.cli import is_expected, message_of, printable
from swin_dense.preflight.logs import collect_warnings
from swin_dense.wording import counted

OK, FAILED, SKIPPED = 'ok', 'failed', 'skipped'
MAX_LINES = 40  # lines of a check that are printed; the JSON has all


@dataclass
class Finding:
    """The outcome of a check that passed.

    Attributes:
        summary: A clause on what was found.
        details: Lines that explain it.
        values: Figures by name, for programs.
    """

    summary: str
    details: Sequence[str] = ()
    values: dict[str, Any] = field(default_factory=dict)


class CheckFailedError(ValueError):
    """Raised by a check that failed.

    Attributes:
        finding: What was found.
    """

    def __init__(
        self, summary: str, details: Sequence[str] = (), **values: Any
    ) -> None:
        super().__init__(summary)
        self.finding = Finding(summary, details, values)


class CheckSkippedError(Exception):
    """Raised by a check that has nothing to check; its text is the reason."""


class Check(NamedTuple):
    """A named check.

    Attributes:
        name: Name in reports and options.
        run: Function that takes the context, and returns a finding or raises.
        needs: Names of the checks without which it cannot run.
        logs: If True, all that it logs is shown, not the warnings alone.
    """

    name: str
    run: Callable[[Any], Finding]
    needs: tuple[str, ...] = ()
    logs: bool = False


@dataclass
class Result:
    """The result of a check.

    Attributes:
        name: Name of the check.
        status: 'ok', 'failed' or 'skipped'.
        summary: A clause on what was found.
        details: Lines that explain it.
        values: Figures by name.
        seconds: Time that the check took.
    """

    name: str
    status: str
    summary: str
    details: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def text(self) -> str:
        """Return the result as lines of text."""
        status = self.status.upper() if self.status == FAILED else self.status
        head = f'{status:8}{self.name:15}{self.seconds:6.1f} s  {self.summary}'
        lines = [*self.details[:MAX_LINES]]
        if len(self.details) > MAX_LINES:
            lines.append(
                f'... {len(self.details) - MAX_LINES} more lines, in the JSON'
            )
        return '\n'.join([head, *(f'        {line}' for line in lines)])


def run_checks(
    checks: Iterable[Check],
    context: Any,
    show: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Run checks in order.

    Args:
        checks: The checks. One whose needs have not passed is skipped; needs
            that are not among the checks count as passed.
        context: Argument of each check.
        show: Function that is called with each result.
    """
    results: dict[str, Result] = {}
    for check in checks:
        missing = [
            name
            for name in check.needs
            if name in results and results[name].status != OK
        ]
        if missing:
            result = Result(
                check.name, SKIPPED, f'needs {" and ".join(missing)}'
            )
        else:
            result = _run(check, context)
        results[check.name] = result
        show(result)
    return [*results.values()]


def _run(check: Check, context: Any) -> Result:
    start = time.perf_counter()
    status, notes = OK, []
    try:
        with collect_warnings(not check.logs) as notes:
            finding = check.run(context)
    except CheckFailedError as error:
        status, finding = FAILED, error.finding
    except CheckSkippedError as error:
        status, finding = SKIPPED, Finding(str(error))
    except Exception as error:
        if getattr(context, 'debug', False):
            raise
        status = FAILED
        first, *rest = printable(message_of(error)).splitlines()
        if not is_expected(error):
            first = f'{type(error).__name__}: {first} (--debug shows where)'
        finding = Finding(first, rest)
    return Result(
        check.name,
        status,
        finding.summary,
        [
            line
            for text in (*finding.details, *(f'note: {n}' for n in notes))
            for line in text.splitlines()
        ],
        finding.values,
        time.perf_counter() - start,
    )


def verdict(results: Sequence[Result]) -> str:
    """Return one line on all results."""
    failed = [result.name for result in results if result.status == FAILED]
    if failed:
        return f'{counted(len(failed), "check")} failed: {", ".join(failed)}'
    passed = sum(result.status == OK for result in results)
    skipped = [result.name for result in results if result.status == SKIPPED]
    note = f'; skipped: {", ".join(skipped)}' if skipped else ''
    return f'{counted(passed, "check")} passed{note}'


def to_json(config: str, task: str, results: Sequence[Result]) -> dict:
    """Return a report for `write_json`."""
    return {
        'config': config,
        'task': task,
        'passed': all(result.status != FAILED for result in results),
        'seconds': sum(result.seconds for result in results),
        'checks': [asdict(result) for result in results],
    }
