"""Lay the page out, and connect it with a model."""

import re
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from swin_dense.engine import cli
from swin_dense.engine.input_files import FAILURES
from swin_dense.web.answers import (
    Answer,
    Answers,
    DetectionAnswers,
    ImageAnswers,
    SegmentationAnswers,
)
from swin_dense.wording import counted, first_few

_CSS = """
.gradio-container {
    width: 100% !important; max-width: 1300px !important;
    margin: 0 auto !important
}
.source video {max-height: 360px}
.problem textarea {color: var(--error-text-color, #b91c1c) !important}
"""
# Fonts of the reader's system: the page asks no other server for anything.
_FONT = ['system-ui', 'sans-serif']
_MONO = ['ui-monospace', 'monospace']
EVIDENCE = 'evidence for a result (class activation)'
_KEPT_SECONDS = 3600  # of uploaded files
Controls = dict[str, gr.Component]


def build_page(answers: Answers, title: str) -> gr.Blocks:
    """Build the page of a model.

    Args:
        answers: The model.
        title: Name of the model.
    """
    with gr.Blocks(
        title=f'{title} - swin_dense',
        analytics_enabled=False,
        delete_cache=(_KEPT_SECONDS, _KEPT_SECONDS),
    ) as page:
        gr.Markdown(f'# {title}')
        names = first_few(answers.classes, 20)
        gr.Text(
            f'{counted(len(answers.classes), "class", "classes")}: {names}',
            show_label=False,
            container=False,
            interactive=False,
        )
        if isinstance(answers, ImageAnswers):
            with gr.Tab('Image', elem_id='image'):
                _image_tab(answers)
        with gr.Tab('Video', elem_id='video'):
            _video_tab(answers)
        with gr.Tab('Explain', elem_id='explain'):
            _explain_tab(answers)
    return page


def page_style() -> dict[str, Any]:
    """Return the options of Gradio about the look of the page."""
    return dict(
        theme=gr.themes.Default(font=_FONT, font_mono=_MONO),
        css=_CSS,
        footer_links=[],
        run_history=False,
    )


def _image_tab(answers: ImageAnswers) -> None:
    """Lay out the tab in which an image is predicted."""
    with gr.Row():
        with gr.Column():
            source = _image_source('Image')
            drawing, controls = _controls(answers, 'instance')
            button = gr.Button('Predict', variant='primary')
        with gr.Column():
            text = _text_box()
            picture = _picture('Result')
            table = _table(answers, 'Found')
            files = _downloads()

    def show(answer: Answer) -> list[Any]:
        return [answer.picture, answer.rows, _names(answer.files)]

    _connect(
        answers.answer_image,
        show,
        'an image',
        button,
        drawing,
        source,
        controls,
        text,
        [picture, table, files],
    )


def _video_tab(answers: Answers) -> None:
    """Lay out the tab in which a video is predicted."""
    with gr.Row():
        with gr.Column():
            source = _video_source('Video')
            # The order of instances changes from frame to frame.
            _, controls = _controls(answers, 'class')
            if isinstance(answers, DetectionAnswers):
                controls['track'] = gr.Checkbox(
                    False, label='Follow objects (ByteTrack)'
                )
            if isinstance(answers, ImageAnswers):
                controls['most'] = gr.Number(
                    100,
                    label='Frames to predict, from the first; 0 for all',
                    precision=0,
                    minimum=0,
                )
            button = gr.Button('Predict', variant='primary')
        with gr.Column():
            text = _text_box()
            outputs: list[gr.Component] = [_clip('Result')]
            if not isinstance(answers, ImageAnswers):
                outputs += [
                    gr.Label(label='Classes'),
                    _picture('Middle frames of segments'),
                    _table(answers, 'Segments'),
                ]
            files = _downloads()

    def show(answer: Answer) -> list[Any]:
        shown: list[Any] = [answer.clip]
        if not isinstance(answers, ImageAnswers):
            shown += [answer.scores or None, answer.picture, answer.rows]
        return [*shown, _names(answer.files)]

    _connect(
        answers.answer_video,
        show,
        'a video',
        button,
        [],
        source,
        controls,
        text,
        [*outputs, files],
    )


def _explain_tab(answers: Answers) -> None:
    """Lay out the tab that shows what the model looks at."""
    takes_images = isinstance(answers, ImageAnswers)
    controls: Controls = {}
    with gr.Row():
        with gr.Column():
            source: Any
            if takes_images:
                source = _image_source('Image: a click chooses a pixel')
            else:
                source = _video_source('Video')
            controls['block'] = gr.Dropdown(
                [(EVIDENCE, '')]
                + [(f'attention of block {b}', b) for b in answers.blocks],
                value='',
                label='What to show (blocks as STAGE.BLOCK)',
                elem_classes='block',
            )
            controls['class_name'] = gr.Dropdown(
                [('that of the result', ''), *answers.classes],
                value='',
                label='Class, for the evidence',
            )
            if isinstance(answers, DetectionAnswers):
                controls['detection'] = gr.Number(
                    0,
                    label='Number of the detection, the best is 0',
                    precision=0,
                    minimum=0,
                )
            if takes_images:
                controls['at'] = gr.Textbox(
                    '',
                    label='Pixel x, y (empty: any)',
                    elem_classes='pixel',
                )
                source.select(
                    _clicked, None, controls['at'], api_visibility='private'
                )
                source.clear(
                    lambda: '', None, controls['at'], api_visibility='private'
                )
            button = gr.Button('Explain', variant='primary')
        with gr.Column():
            text = _text_box('Explain')
            outputs: list[gr.Component] = [_picture('Evidence or attention')]
            if not takes_images:
                outputs.append(_clip('Along the video'))
            outputs.append(_downloads())

    def ask(path: str, on_step: Any, **options: Any) -> Answer:
        at = options.pop('at', '')
        if at.strip():
            options['at'] = read_pixel(at)
        for name in ('block', 'class_name'):
            options[name] = options[name] or None
        return answers.explain(path, **options)

    def show(answer: Answer) -> list[Any]:
        clip = [] if takes_images else [answer.clip]
        return [answer.picture, *clip, _names(answer.files)]

    _connect(
        ask,
        show,
        'an image' if takes_images else 'a video',
        button,
        [],
        source,
        controls,
        text,
        outputs,
    )


def _clicked(event: gr.SelectData) -> str:
    """Return x and y of a click on an image."""
    x, y = event.index
    return f'{round(x)}, {round(y)}'


def read_pixel(text: str) -> tuple[float, float]:
    """Return x and y of a text such as '320, 200'.

    Raises:
        ValueError: If the text is not two numbers.
    """
    match = re.fullmatch(r'\s*(\d+)\s*[,; ]\s*(\d+)\s*', text)
    if match is None:
        raise ValueError(
            f'expected a pixel as x, y, such as 320, 200, got {text!r}'
        )
    return float(match[1]), float(match[2])


def _image_source(label: str) -> gr.Image:
    """Add a component that takes an image."""
    source: Any = gr.Image(
        type='filepath',
        sources=['upload', 'clipboard', 'webcam'],
        label=label,
        height=400,
        elem_classes='source',
    )
    # The file itself: Gradio would decode it, and show an error of its own.
    source.preprocess = _path_of
    return source


def _video_source(label: str) -> gr.Video:
    """Add a component that takes a video."""
    source: Any = gr.Video(
        sources=['upload', 'webcam'],
        label=label,
        elem_classes='source',
    )
    source.preprocess = _path_of
    return source


def _clip(label: str) -> gr.Video:
    return gr.Video(
        label=label, interactive=False, height=400, elem_classes='clip'
    )


def _text_box(action: str = 'Predict') -> gr.Textbox:
    """Add the box with the sentence of an answer, or of an error."""
    return gr.Textbox(
        f'Choose a file, and press "{action}".',
        label='Message',
        interactive=False,
        elem_classes='message',
    )


def _picture(label: str) -> gr.Image:
    return gr.Image(
        label=label,
        show_label=False,  # it would cover the text of a picture
        interactive=False,
        buttons=['download', 'fullscreen'],
        elem_classes='picture',
    )


def _table(answers: Answers, label: str) -> gr.Dataframe:
    return gr.Dataframe(
        headers=[*answers.columns],
        interactive=False,
        label=label,
        max_height=400,
        elem_classes='found',
    )


def _downloads() -> gr.Files:
    return gr.Files(
        label='Download', interactive=False, elem_classes='downloads'
    )


def _controls(
    answers: Answers, colour_by: str
) -> tuple[list[gr.Component], Controls]:
    """Add the options of a task.

    Args:
        answers: The model.
        colour_by: What has a colour of its own, 'instance' or 'class'.

    Returns:
        The components that change the drawing alone; and all components by
        the name of their option.
    """
    controls: Controls = {}
    if isinstance(answers, DetectionAnswers):
        controls['score_thr'] = gr.Slider(
            0, 1, 0.3, step=0.01, label='Least score', elem_classes='least'
        )
        controls['classes'] = gr.Dropdown(
            [*answers.classes],
            multiselect=True,
            label='Classes (none chosen: all)',
        )
        with gr.Row():
            controls['labels'] = gr.Checkbox(True, label='Names and scores')
            if answers.has_masks:
                controls['masks'] = gr.Checkbox(
                    True, label='Masks', elem_classes='masks'
                )
        controls['colour_by'] = gr.Radio(
            ['instance', 'class'], value=colour_by, label='A colour for each'
        )
        return [*controls.values()], controls
    if isinstance(answers, SegmentationAnswers):
        controls['opacity'] = gr.Slider(
            0, 1, 0.5, step=0.05, label='Opacity of the colours'
        )
        drawing = [*controls.values()]
        with gr.Row():
            controls['tile'] = gr.Number(
                0,
                label='Tiles for large images: side in pixels; 0 for none',
                precision=0,
                minimum=0,
            )
            controls['overlap'] = gr.Slider(
                0, 0.9, 0.25, step=0.05, label='Least overlap of tiles'
            )
        return drawing, controls
    controls['topk'] = gr.Number(
        5, label='Classes to name', precision=0, minimum=1
    )
    controls['stride'] = gr.Number(
        0,
        label='Seconds from one segment to the next; 0 for its length',
        minimum=0,
    )
    return [], controls


def _connect(
    answer: Callable[..., Answer],
    show: Callable[[Answer], list[Any]],
    what: str,
    button: gr.Button,
    drawing: Sequence[Any],
    source: gr.Component,
    controls: Controls,
    text: gr.Textbox,
    outputs: Sequence[gr.Component],
) -> None:
    """Let a button, and changes of the drawing, ask for an answer.

    Args:
        answer: Takes the path of a file, `on_step` and the options.
        show: Returns the values of `outputs` for an answer.
        what: What must be chosen, such as 'an image'.
        button: The button.
        drawing: Components that change the drawing of an answer.
        source: Component with the file.
        controls: Components of options, by the name of the option.
        text: Component for the sentence.
        outputs: Components of the answer.
    """

    def ask(
        path: str | None,
        *values: Any,
        progress: Any = gr.Progress(),  # noqa: B008 -- how Gradio finds it
    ) -> list[Any]:
        options = dict(zip(controls, values))
        found = answer_or_problem(
            lambda: answer(
                path,
                on_step=lambda count, total: progress((count, total or None)),
                **options,
            ),
            path,
            what,
        )
        is_problem = isinstance(found, str)
        sentence = found if isinstance(found, str) else found.text
        box = gr.update(
            value=sentence,
            elem_classes=['message', 'problem'] if is_problem else ['message'],
        )
        shown = Answer('') if isinstance(found, str) else found
        return [box, *show(shown)]

    gr.on(
        # A slider's box of a number changes with each digit that is typed,
        # and is empty in between.
        [button.click]
        + [
            control.release
            if isinstance(control, gr.Slider)
            else control.change
            for control in drawing
        ],
        ask,
        [source, *controls.values()],
        [text, *outputs],
        concurrency_id='model',
        concurrency_limit=1,
        trigger_mode='always_last',
        api_visibility='private',
        show_progress_on=[text],
    )


def answer_or_problem(
    ask: Callable[[], Answer], path: str | None, what: str
) -> Answer | str:
    """Return an answer, or a sentence about what is wrong.

    Args:
        ask: Returns the answer.
        path: The file; None if none was chosen.
        what: What must be chosen, such as 'an image'.
    """
    if path is None:
        return f'Choose {what} first.'
    try:
        return ask()
    except (*FAILURES, OSError, ImportError) as error:
        text = cli.describe(error)
    except Exception as error:  # a defect: the page says so, and lives on
        traceback.print_exc()
        text = (
            f'an error of the program, see its console: '
            f'{type(error).__name__}: {cli.describe(error)}'
        )
    text = cli.printable(text.replace(path, Path(path).name))
    return text if text.endswith('.') else f'{text}.'


def _names(files: Sequence[Path]) -> list[str] | None:
    """Return files as Gradio takes them; None for none."""
    return [str(file) for file in files] or None


def _path_of(file: Any) -> str | None:
    """Return the path of an uploaded file; None if none was chosen."""
    return None if file is None else file.path
