"""The page in a real browser: it loads nothing, fits every screen, and can be read in any light."""

from __future__ import annotations

import html
import json
import re
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import page_examples
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

from edgeprune.report import formats, rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
DRIVER = shutil.which("chromedriver")
HOSTILE = '"><img src=x onerror="window.hacked=1"><script>window.hacked=1</script>{{ 7*7 }}'

in_browser = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="needs Chromium and its driver (chromium, chromium-driver)"
)

READABLE = """
const number = text => text.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
  .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = element => {
  for (let at = element; at; at = at.parentElement) {
    const colour = number(getComputedStyle(at).backgroundColor);
    if (colour.length < 4 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const found = [];
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const element = texts.currentNode.parentElement;
  const unseen = ["SCRIPT", "STYLE", "title"].includes(element.tagName);
  if (unseen || !texts.currentNode.data.trim()) continue;
  const drawn = element.closest("svg");
  const colour = number(getComputedStyle(element)[drawn ? "fill" : "color"]);
  const pair = [light(colour), light(behind(element))].sort((a, b) => b - a);
  found.push([(pair[0] + 0.05) / (pair[1] + 0.05), texts.currentNode.data.trim()]);
}
return found.sort((a, b) => a[0] - b[0]);
"""
"""Contrast of every text with what is behind it, as WCAG defines it, the worst first."""


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER or ""
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    hostile = replace(page_examples.alone(), command=HOSTILE, notes=(HOSTILE,))
    examples = {"full": page_examples.compressed(), "alone": page_examples.alone()}
    run = page_examples.run_directory(tmp_path_factory.mktemp("run"))
    written = {
        name: formats.as_html(each) for name, each in {**examples, "hostile": hostile}.items()
    }
    return written | {"run": formats.as_html(page_examples.compressed(), run)}


@pytest.fixture(scope="module")
def written(pages: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return folder


def show(browser: webdriver.Chrome, path: Path, width: int = 1280, scheme: str = "light") -> None:
    screen = {"width": width, "height": 740, "deviceScaleFactor": 1, "mobile": width < 600}
    wish = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": wish})
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(path.as_uri())


def requested(browser: webdriver.Chrome) -> list[str]:
    events = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    return [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]


@in_browser
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("name", ["full", "alone", "hostile", "run"])
def test_the_page_fits_the_screen_and_loads_nothing(
    name: str, width: int, browser: webdriver.Chrome, written: Path
) -> None:
    file = written / f"{name}.html"
    show(browser, file, width)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.get_log("browser") == []
    assert [url for url in requested(browser) if not url.startswith("data:")] == [file.as_uri()]
    drawings = browser.execute_script(
        "return [...document.querySelectorAll('svg')].map(one => one.getBoundingClientRect())"
    )
    assert drawings
    assert all(drawn["width"] >= 250 and drawn["height"] >= 80 for drawn in drawings)


@in_browser
def test_text_of_a_report_never_becomes_part_of_the_page(
    browser: webdriver.Chrome, written: Path
) -> None:
    show(browser, written / "hostile.html")
    assert browser.execute_script("return window.hacked") is None
    assert browser.execute_script("return document.querySelector('code').textContent") == HOSTILE


@in_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(scheme: str, browser: webdriver.Chrome, written: Path) -> None:
    show(browser, written / "full.html", scheme=scheme)
    contrasts = browser.execute_script(READABLE)
    assert len(contrasts) > 100
    assert contrasts[0][0] >= 4.5, contrasts[:5]


@in_browser
def test_the_button_switches_what_the_system_asked_for(
    browser: webdriver.Chrome, written: Path
) -> None:
    colour = "return getComputedStyle(document.body).backgroundColor"
    seen = {}
    for scheme in ("light", "dark"):
        show(browser, written / "full.html", scheme=scheme)
        before = browser.execute_script(colour)
        browser.find_element("id", "theme").click()
        seen[scheme] = before, browser.execute_script(colour)
    assert seen["light"] == seen["dark"][::-1]
    assert len(set(seen["light"])) == 2


@in_browser
def test_a_button_copies_the_command_or_selects_it(
    browser: webdriver.Chrome, written: Path
) -> None:
    show(browser, written / "run.html")
    browser.find_element("class name", "copy").click()
    WebDriverWait(browser, 5).until(
        lambda page: page.find_element("class name", "copy").text in ("copied", "selected")
    )


@in_browser
def test_printed_pages_have_no_buttons_and_all_of_their_width(
    browser: webdriver.Chrome, written: Path
) -> None:
    show(browser, written / "run.html", width=720)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert not any(each.is_displayed() for each in browser.find_elements("tag name", "button"))
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 720
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@in_browser
def test_contact_sheets_are_large_enough_to_see(browser: webdriver.Chrome, written: Path) -> None:
    show(browser, written / "run.html")
    sheet = browser.find_element("css selector", ".sheet img")
    assert browser.execute_script("return arguments[0].naturalWidth", sheet) > 0
    assert sheet.size["width"] >= 400


@in_browser
def test_plots_take_the_colours_of_the_theme(browser: webdriver.Chrome, written: Path) -> None:
    inks: list[Any] = []
    for scheme in ("light", "dark"):
        show(browser, written / "full.html", scheme=scheme)
        fill = "return getComputedStyle(document.querySelector('svg text')).fill"
        inks.append(browser.execute_script(fill))
    assert inks[0] != inks[1]


def test_a_report_gives_the_same_page_every_time(pages: dict[str, str]) -> None:
    assert formats.as_html(page_examples.alone()) == pages["alone"]


def test_ids_are_those_of_one_element(pages: dict[str, str]) -> None:
    ids = re.findall(r'\bid="([^"]*)"', pages["full"])
    assert len(ids) == len(set(ids)) > 50
    assert set(re.findall(r'(?:href="|url\()#([^")]*)', pages["full"])) <= set(ids)


def test_every_table_of_the_report_is_on_the_page(pages: dict[str, str]) -> None:
    text = html.unescape(pages["full"])
    for section in rows.sections(page_examples.compressed()):
        for row in section.rows:
            cells = row[1:] if row[0] == "note" else row  # notes stand in a list of their own
            assert all(f">{cell}</" in text for cell in cells), section.title


def test_what_a_report_lacks_is_left_out(pages: dict[str, str]) -> None:
    for heading in ("Layers", "Recovery", "Gates", "Stages", "Locked layers", "Before and after"):
        assert f"<h2>{heading}</h2>" in pages["full"]
        assert f"<h2>{heading}</h2>" not in pages["alone"]
    unmeasured = {"latency_s": None, "peak_rss_bytes": None, "idle_rss_bytes": None}
    alone = page_examples.alone()
    text = formats.as_html(replace(alone, original=replace(alone.original, **unmeasured)))
    assert "<h3>Latency" not in text
