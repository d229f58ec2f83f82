"""Does a real browser show the page, all of it, and ask nobody for anything?"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install selenium")

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium and chromedriver on this machine")
ROOT = Path(__file__).parents[2]
# Without these a browser that starts looks for its maker's servers, whatever it shows.
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1280,1000"),
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def run_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from accelsim import simulate

    folder = tmp_path_factory.mktemp("run") / "results"
    simulate.run(ROOT / "configs" / "run" / "quickstart.yaml", results=folder, overrides=["run.schemes=[dense, channel_marker]"])
    return folder / "report.html"


@pytest.fixture(scope="module")
def sweep_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import accelsim

    folder = tmp_path_factory.mktemp("sweep") / "results"
    accelsim.sweep(ROOT / "configs" / "sweep" / "buffer.yaml", results=folder)
    return folder / "report.html"


def opened(browser: Any, page: Path) -> None:
    """Open the page; fail on anything the browser complains of or asks the network for."""
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(page.as_uri())
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"}
    assert page.as_uri() in asked, "the log of requests is not read as it should be"
    assert not [url for url in asked - {page.as_uri()} if not url.startswith("data:")]


def column(browser: Any, table: int, name: str) -> Callable[[], list[str]]:
    """What a column of a table shows, top to bottom."""
    script = (
        "const t = document.querySelectorAll('table')[arguments[0]];"
        "const at = [...t.tHead.rows[0].cells].findIndex(h => h.innerText.trim().startsWith(arguments[1]));"
        "return [...t.tBodies[0].rows].filter(r => !r.hidden).map(r => r.cells[at].textContent);"
    )
    return lambda: list(browser.execute_script(script, table, name))


def click(browser: Any, table: int, name: str) -> None:
    script = (
        "const t = document.querySelectorAll('table')[arguments[0]];"
        "[...t.tHead.rows[0].cells].find(h => h.innerText.trim().startsWith(arguments[1])).querySelector('button').click();"
    )
    browser.execute_script(script, table, name)


@pytest.mark.parametrize("kind", ["run", "sweep"])
def test_a_page_opens_from_disk_without_a_fetch_and_all_its_figures_show(browser: Any, kind: str, request: pytest.FixtureRequest) -> None:
    page = request.getfixturevalue(f"{kind}_page")
    opened(browser, page)
    sizes = browser.execute_script("return [...document.images].map(i => [i.complete, i.naturalWidth, i.naturalHeight])")
    drawn = len(list((page.parent / "figures").glob("*.png")))
    assert len(sizes) == drawn > 0
    assert all(complete and width > 300 and height > 100 for complete, width, height in sizes)


def test_numbers_sort_by_value_up_and_down_and_text_by_its_letters(browser: Any, run_page: Path) -> None:
    opened(browser, run_page)
    cycles = column(browser, 0, "total_cycles")
    before = [int(cell.replace(",", "")) for cell in cycles()]
    assert before != sorted(before)
    click(browser, 0, "total_cycles")
    assert [int(cell.replace(",", "")) for cell in cycles()] == sorted(before)
    click(browser, 0, "total_cycles")
    assert [int(cell.replace(",", "")) for cell in cycles()] == sorted(before, reverse=True)
    names = column(browser, 0, "network")
    click(browser, 0, "network")
    assert names() == sorted(names())


def test_quantities_sort_by_size_not_by_their_letters(browser: Any, sweep_page: Path) -> None:
    opened(browser, sweep_page)
    sizes = column(browser, 0, "accelerator.buffer.size")
    click(browser, 0, "accelerator.buffer.size")
    assert list(dict.fromkeys(sizes())) == ["32 KiB", "64 KiB", "128 KiB", "256 KiB", "512 KiB", "1 MiB", "2 MiB", "4 MiB"]


def test_the_filter_leaves_the_rows_that_hold_every_word(browser: Any, run_page: Path) -> None:
    opened(browser, run_page)
    names, schemes = column(browser, 0, "network"), column(browser, 0, "scheme")
    field = browser.find_element("css selector", "input[type=search]")
    field.send_keys("vgg16 marker")
    assert names() == ["vgg16"]
    assert schemes() == ["channel_marker"]
    field.clear()
    field.send_keys("no such thing")
    assert names() == []
