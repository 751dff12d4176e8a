"""The whole website in a real browser: every page on a telephone, a tablet and a desk, in the light and in the dark.

Screenshots go to the folder METRIZED_SCREENSHOTS, if that is set.
"""
import os
from pathlib import Path

import pytest

from metrized.teach import assets, site

ROOT = Path(__file__).parents[2]
WIDTHS = (1400, 820, 390)
pytestmark = pytest.mark.slow

WHOLE = """async () => {
    await window.MathJax?.startup?.promise;
    for (const image of document.images) image.loading = 'eager';
    const broken = await Promise.all([...document.images].map(image => image.decode().then(() => null, () => image.src)));
    const article = document.querySelector('.bd-article').cloneNode(true);
    for (const part of article.querySelectorAll('pre, code, mjx-container')) part.remove();
    return [
        ...[...document.querySelectorAll('.math')].filter(e => !e.querySelector('mjx-container')).map(e => 'not set: ' + e.textContent),
        ...[...document.querySelectorAll('mjx-merror')].map(e => 'wrong formula: ' + e.textContent),
        ...(article.textContent.match(/[$]{1,2}[^$\\n]+[$]{1,2}|\\\\[([].*/g) ?? []).map(text => 'left as it was: ' + text),
        ...broken.filter(Boolean).map(src => 'no picture: ' + src),
        ...[...document.querySelectorAll('.bd-article img')].filter(i => !i.alt.trim()).map(i => 'without words: ' + i.src.slice(0, 80)),
    ];
}"""
WIDE = """width => {
    const page = document.documentElement.scrollWidth;
    return page <= width ? [] : [`${page} wide on ${width}: ` + [...document.querySelectorAll('.bd-article *')]
        .filter(e => e.getBoundingClientRect().right > width).map(e => e.tagName + ' ' + e.className).slice(0, 3)];
}"""
FAINT = """() => {
    const numbers = color => color.match(/[\\d.]+/g).map(Number);
    const light = rgb => rgb.slice(0, 3).map(c => c / 255).map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
                            .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
    const ground = e => { for (; e; e = e.parentElement) { const c = numbers(getComputedStyle(e).backgroundColor); if ((c[3] ?? 1) > .5) return c; }
                          return [255, 255, 255]; };
    const contrast = e => { const [a, b] = [light(numbers(getComputedStyle(e).color)), light(ground(e))];
                            return (Math.max(a, b) + .05) / (Math.min(a, b) + .05); };
    const speaks = e => [...e.childNodes].some(n => n.nodeType == 3 && n.textContent.trim()) && e.offsetParent && !e.closest('mjx-assistive-mml');
    return [...document.querySelectorAll('.bd-article *:not(.headerlink)')].filter(speaks).filter(e => contrast(e) < 4)
        .map(e => `faint: ${contrast(e).toFixed(1)} ${e.tagName} ${e.className} "${e.textContent.trim().slice(0, 30)}"`).slice(0, 3);
}"""


@pytest.fixture(scope="module")
def html(tmp_path_factory, fetched):
    """The website of the course, all of whose lectures have run."""
    fetched(assets.package, "mathjax")
    out = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        site.command(out=out, jobs=1, lite=False)
    return out / "html"


def test_every_page_is_whole_at_every_width_and_in_the_dark(html, browser, served, record_property):
    """Formulas are set, pictures are there and have words, nothing is wider than the screen, text stands out; nothing is asked of the outside."""
    base, page, wrong = served(html), browser.new_page(), []
    page.on("pageerror", lambda error: wrong.append(f"{page.url}: {error}"))
    page.on("console", lambda message: wrong.append(f"{page.url}: {message.text}") if message.type == "error" else None)
    page.on("request", lambda request: request.url.startswith((base, "data:", "blob:")) or wrong.append(f"{page.url} asks {request.url}"))
    pages = sorted(path.relative_to(html).as_posix() for path in html.rglob("*.html") if "_static" not in path.parts)
    for name in pages:
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": WIDTHS[0], "height": 900})  # before the page is there: afterwards its columns glide
        page.goto(f"{base}/{name}")
        if name in ("search.html", "genindex.html") or not page.locator(".bd-article").count():
            continue
        found = page.evaluate(WHOLE)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            found += page.evaluate(WIDE, width)
            photograph(page, f"{name}-{width}")
        found += page.evaluate(FAINT)
        page.emulate_media(color_scheme="dark")
        page.wait_for_function("document.documentElement.dataset.theme == 'dark'", timeout=5000)
        found += page.evaluate(FAINT)
        photograph(page, f"{name}-dark")
        wrong += [f"{name}: {fault}" for fault in found]
    size = sum(path.stat().st_size for path in html.rglob("*"))
    record_property("measured", f"the website in the browser: {len(pages)} pages, {size / 1e6:.0f} MB")
    assert len(pages) > 20 and not wrong, "\n".join(wrong)


def photograph(page, name: str) -> None:
    """A picture of the page as far down as it is lovely to look at, for those who want to see it."""
    if folder := os.environ.get("METRIZED_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name.replace('/', '-')}.png", clip={"x": 0, "y": 0, "width": page.viewport_size["width"], "height": 3000},
                        full_page=True)
