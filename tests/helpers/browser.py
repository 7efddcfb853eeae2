"""Open a page in a headless Chromium, as a person would."""

import shutil
import time
from contextlib import contextmanager

import pytest

SECONDS = 60  # to wait for an answer


@contextmanager
def open_browser(address, downloads):
    """Yield a browser that shows a page, or skip the test.

    Args:
        address: Address of the page.
        downloads: Folder for downloaded files.
    """
    pytest.importorskip('selenium', reason='selenium drives the browser')
    from selenium import webdriver

    browser = shutil.which('chromium') or shutil.which('chromium-browser')
    driver = shutil.which('chromedriver')
    if not browser or not driver:
        pytest.skip('no Chromium with its driver (Debian: chromium-driver)')
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in (
        '--headless=new',
        '--no-sandbox',  # for root, as in a container
        '--disable-dev-shm-usage',
        '--disable-gpu',
        '--window-size=1300,1400',
    ):
        options.add_argument(argument)
    options.add_experimental_option(
        'prefs', {'download.default_directory': str(downloads)}
    )
    options.set_capability('goog:loggingPrefs', {'performance': 'ALL'})
    window = webdriver.Chrome(
        options, webdriver.ChromeService(executable_path=driver)
    )
    try:
        window.implicitly_wait(SECONDS)
        window.get(address)
        yield window
    finally:
        window.quit()


def click_button(window, panel, name):
    """Click a button of a tab panel by its name."""
    path = f'//*[@id="{panel}"]//button[normalize-space()="{name}"]'
    window.find_element('xpath', path).click()


def open_tab(window, name):
    """Open a tab by its name."""
    path = f'//button[@role="tab" and normalize-space()="{name}"]'
    window.find_element('xpath', path).click()


def upload(window, panel, path):
    """Upload a file into a tab panel, and wait until it is shown."""
    part = f'[id="{panel}"] .source'
    window.find_element('css selector', f'{part} input[type=file]').send_keys(
        str(path)
    )
    window.find_element('css selector', f'{part} :is(img, video)[src]')


def message(window, panel, pattern):
    """Return the message of a tab panel once it matches a pattern."""
    box = f'[id="{panel}"] .message textarea'
    end = time.monotonic() + SECONDS
    while True:
        text = window.find_element('css selector', box).get_property('value')
        if pattern.search(text):
            return text
        assert time.monotonic() < end, f'the message is still {text!r}'
        time.sleep(0.1)


def wait_for(found):
    """Return the first true value of a function."""
    end = time.monotonic() + SECONDS
    while not (value := found()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return value
