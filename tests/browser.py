"""A real browser for the tests, and what happens where there is none."""

import contextlib
import os
import shutil

import pytest

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def unavailable(reason):
    """Skip the test, unless FASTBP_SITE says that there must be a browser."""
    (pytest.fail if "FASTBP_SITE" in os.environ else pytest.skip)(reason)


@contextlib.contextmanager
def launched():
    """Chromium, which is closed at the end of the block."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        unavailable('no playwright: pip install -e ".[docs]"')
    installed = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=installed, args=FLAGS)
        except Error as error:
            unavailable(f"no browser: install Chromium, or run playwright install chromium ({error})")
        yield browser
        browser.close()
