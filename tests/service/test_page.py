"""The page at /, in a browser: choose, see what is recommended, weigh."""

import re
import shutil

import pytest

pytest.importorskip("uvicorn", reason='needs "recbole-mmdistill[serve]"')
pytest.importorskip("onnxscript", reason='needs "recbole-mmdistill[export]"')

from pathlib import Path

from recbole_mmdistill.serving import Runtime
from tests.service.builders import HOSTILE, TOKEN
from tests.service.running import running

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="needs Chromium"),
]


@pytest.fixture
def opened():
    """Opens the page in a window of a width; fails if anything else than the service is asked."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    errors = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])

        def open_page(address, width):
            page = browser.new_page(viewport={"width": width, "height": 900})
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("request", lambda request: errors.append(request.url))
            page.on("dialog", lambda dialog: errors.append(dialog.message))
            page.goto(address)
            return page

        yield open_page
        browser.close()
    elsewhere = re.compile(r"(?!http://127\.0\.0\.1:|data:image/jpeg)")
    assert [error for error in errors if elsewhere.match(error)] == []


def title_of(item):
    return HOSTILE if item == "i14" else f"Film {item[1:]}"


def shown(page):
    """The titles of the recommendations, once the page has them."""
    page.locator("#ranked[aria-busy=false]").wait_for(state="attached")
    return page.locator("#ranked .head > span:nth-child(2)").all_inner_texts()


@pytest.mark.parametrize("width", [400, 1200])
def test_it_recommends_for_what_is_chosen(exports, opened, width):
    runtime = Runtime(exports / "one")

    def best(*history, **weights):
        found = runtime.recommend([history], 10, weights=weights)
        return [title_of(item) for item in found.items[0] if item]

    with running(exports / "one") as (address, _):
        page = opened(address, width)
        assert shown(page) == best()
        assert "most popular" in page.locator("#by").inner_text()
        page.get_by_label("Find items by title").fill("film 3")
        page.locator("#found").get_by_label("Choose Film 3").click()
        assert shown(page) == best("i3")
        assert page.locator("#by").inner_text() == ""
        assert page.locator("#ranked .shares").count() == 10
        page.locator("#weight1").fill("3")
        assert shown(page) == best("i3", text=3.0) != best("i3")
        page.locator("#ranked li").first.get_by_text("Similar items").click()
        page.locator("#ranked .near li").nth(4).wait_for()
        second = best("i3", text=3.0)[0]
        page.locator("#ranked").get_by_label(f"Choose {second}").first.click()
        assert page.locator("#chosen li").count() == 2
        page.get_by_label("Remove Film 3").click()
        assert page.locator("#chosen li").count() == 1
        page.get_by_label("Find items by title").fill("<script>")
        page.locator("#found").get_by_label(f"Choose {HOSTILE}").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_focus_stays_with_whoever_uses_the_keyboard(exports, opened):
    with running(exports / "one") as (address, _):
        page = opened(address, 1200)
        page.locator("#found button").first.press("Enter")
        assert page.evaluate("document.activeElement.ariaLabel").startswith("Remove ")
        page.locator("#chosen button").press("Enter")
        assert page.evaluate("document.activeElement.id") == "find"


def test_it_asks_for_the_token(exports, opened):
    Path("token.txt").write_text(TOKEN)
    with running(exports / "one", "--token_file=token.txt") as (address, _):
        page = opened(address, 1200)
        page.get_by_label("This service asks for a token").fill("wrong")
        page.get_by_role("button", name="Use it").click()
        assert shown(page) == []
        assert "no token, or a wrong one" in page.get_by_role("alert").inner_text()
        page.get_by_label("This service asks for a token").fill(TOKEN)
        page.get_by_role("button", name="Use it").click()
        assert len(shown(page)) == 10
        assert page.locator("#access").is_hidden()
        assert page.locator("#problem").is_hidden()
