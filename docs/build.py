"""Build the documentation site: `make docs`.

Pages are written to be read in the repository, too, so their links are those
of the repository. On the site the folder `docs` comes to the top, and the page
of commands is filled from their parsers. Zensical builds the site; a broken
link or a page that no menu names ends the build.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = ROOT / 'docs' / 'zensical.toml'
# Files that the site shows. A link to any other file is an error.
SHOWN = (
    'docs/**/*.md',
    'docs/assets/*',
    'docs/notebooks/*.ipynb',
    'configs/*.md',
    'configs/*.py',
    'tools/*.md',
    'projects/**/*.md',
    'projects/**/*.py',
    'CHANGELOG.md',
    'CONTRIBUTING.md',
    'SECURITY.md',
    'CITATION.cff',
)
COMMANDS = '<!-- commands -->'
# What a page says only in the repository.
IN_REPOSITORY = re.compile('<!-- repository -->.*?<!-- site -->\n*', re.S)
LINK = re.compile(r'(?<=\]\()[^)\s]+(?=\))')
# The groups of argparse itself.
OWN_GROUPS = ('positional arguments', 'options')


def shown_files() -> list[Path]:
    """Return the files of the repository that the site shows."""
    return sorted(path for pattern in SHOWN for path in ROOT.glob(pattern))


def place(path: Path) -> Path:
    """Return the place of a file of the repository, relative to the site."""
    relative = path.relative_to(ROOT)
    if relative == Path('README.md'):  # the front page says the same
        return Path('index.md')
    if relative.parts[0] == 'docs':
        return relative.relative_to('docs')
    return relative


def move_links(text: str, page: Path) -> str:
    """Return the text of a page with links as they are on the site.

    Args:
        text: Text of the page, Markdown.
        page: Path of the page in the repository.

    Raises:
        ValueError: If a link names a file that the site does not show.
    """
    shown = {*shown_files(), ROOT / 'README.md'}

    def moved(link: re.Match[str]) -> str:
        file, sign, anchor = link[0].partition('#')
        if not file or re.match(r'\w+:', file):
            return link[0]
        target = (page.parent / file).resolve()
        if target not in shown:
            raise ValueError(
                f'{page.relative_to(ROOT)} links to {file}, which the site '
                'does not show: link to a page, or add the file to SHOWN in '
                'docs/build.py'
            )
        new = os.path.relpath(place(target), place(page).parent)
        return Path(new).as_posix() + sign + anchor

    return LINK.sub(moved, text)


def escape(text: str) -> str:
    """Return plain text as Markdown that shows it unchanged."""
    return re.sub(r'([*_`|\\])', r'\\\1', text).replace('<', '&lt;')


def fence(text: str) -> str:
    """Return the command lines of a help text as Markdown."""
    return f'```sh\n{textwrap.dedent(text).strip()}\n```'


def describe_commands() -> Iterator[str]:
    """Yield the paragraphs of the command reference, in Markdown."""
    from swin_dense import commands

    for title, group in commands.GROUPS.items():
        yield f'## {title.capitalize()}'
        for name, (module, _) in group.items():
            yield f'### {name}'
            argv, sys.argv = sys.argv, [f'swin-dense {name}']
            try:
                parser = import_module(
                    f'{commands.__name__}.{module}'
                ).make_parser()
            finally:
                sys.argv = argv
            yield from describe(parser)


def describe(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the paragraphs about one command, in Markdown.

    Args:
        parser: Parser of `engine/cli.py`, whose epilog is an example.
    """
    for paragraph in parser.description.split('\n\n'):
        is_code = paragraph.startswith(' ')
        yield fence(paragraph) if is_code else escape(paragraph)
    yield fence(parser.epilog.removeprefix('example:'))
    tables: dict[str, list[str]] = {}
    for group in parser._action_groups:
        head = 'argument' if group.title in OWN_GROUPS else group.title
        for action in group._group_actions:
            if action.help != argparse.SUPPRESS and action.dest != 'help':
                row = f'| {_name(parser, action)} | {_help(parser, action)} |'
                tables.setdefault(head, []).append(row)
    for head, rows in tables.items():
        yield '\n'.join([f'| {head} | |', '| --- | --- |', *rows])


def _name(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """Return an argument with its value, as argparse's help shows it."""
    text = parser._get_formatter()._format_action_invocation(action)
    return f'`{text}`'


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """Return the help of an argument, with defaults filled in."""
    return escape(parser._get_formatter()._expand_help(action))


def notebook_page(path: Path) -> str:
    """Return a page with the text and the code of a notebook."""
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    parts = []
    for cell in cells:
        text = ''.join(cell['source'])
        if cell['cell_type'] == 'code':
            language = 'sh' if text.startswith('!') else 'python'
            text = f'```{language}\n{text}\n```'
        parts.append(text)
    title, download = parts[0], f'[Download this notebook]({path.name})'
    return '\n\n'.join([title, download, *parts[1:]])


def collect(folder: Path) -> None:
    """Write all pages and pictures of the site into an empty folder.

    Raises:
        ValueError: If a link names a file that the site does not show.
    """
    for path in shown_files():
        target = folder / place(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix != '.md':
            shutil.copy(path, target)
        if path.suffix == '.ipynb':
            page = target.with_suffix('.md')
            page.write_text(notebook_page(path), encoding='utf-8')
        if path.suffix != '.md':
            continue
        text = move_links(path.read_text(encoding='utf-8'), path)
        text = IN_REPOSITORY.sub('', text)
        if COMMANDS in text:
            text = text.replace(COMMANDS, '\n\n'.join(describe_commands()))
        target.write_text(text, encoding='utf-8')


def pages_without_menu() -> list[str]:
    """Return the pages that the menu in `docs/zensical.toml` leaves out."""
    named = re.findall(r'"([\w/]+\.md)"', SETTINGS.read_text(encoding='utf-8'))
    pages = {
        place(path).with_suffix('.md').as_posix()
        for path in shown_files()
        if path.suffix in ('.md', '.ipynb')
    }
    return sorted(pages - {*named})


def build(folder: Path) -> int:
    """Build the site in `folder/site`; return the status of Zensical.

    Raises:
        ValueError: If a page is in no menu, or a link names a file that the
            site does not show.
    """
    absent = pages_without_menu()
    if absent:
        raise ValueError(
            f'docs/zensical.toml names no menu for {", ".join(absent)}'
        )
    shutil.rmtree(folder, ignore_errors=True)
    collect(folder / 'pages')
    shutil.copy(SETTINGS, folder)
    # Zensical reads docstrings from the sources.
    path = os.pathsep.join(filter(None, [str(ROOT), os.getenv('PYTHONPATH')]))
    command = [sys.executable, '-m', 'zensical', 'build', '--strict']
    return subprocess.run(
        command, cwd=folder, env={**os.environ, 'PYTHONPATH': path}
    ).returncode


def main() -> int:
    """Build the site in `build/docs/site`; return the exit status."""
    folder = ROOT / 'build' / 'docs'
    try:
        status = build(folder)
    except ValueError as error:
        print(f'docs/build.py: error: {error}', file=sys.stderr)
        return 1
    if not status:
        print(f'open {folder / "site" / "index.html"}')
    return status


if __name__ == '__main__':
    sys.exit(main())
