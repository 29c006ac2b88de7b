"""What is looked for on a page as it stands: what axe finds, and what does not fit."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.e2e.conftest import DESKTOP, PHONE

ZOOMED = {"width": 640, "height": 430}  # 200 % of a window of 1280 × 860 (WCAG 2.2, 1.4.4 and 1.4.10)
AXE_SOURCE = Axe().axe_script  # for every page of a context: its ``add_init_script``
AXE = """async ([context, rules]) => {
  const found = await axe.run(context, { runOnly: rules, resultTypes: ["violations"], preload: false });
  const where = (node) => node.target.flat().join(" ");
  return found.violations.map((each) =>
    `${each.id}: ${each.help}: ${each.nodes.slice(0, 3).map(where).join(" | ")}`);
}"""
ALL_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
OF_LOOKS = ["color-contrast", "link-in-text-block", "target-size", "scrollable-region-focusable"]
# A control may lie in something that scrolls by itself, as a wide table does; nothing else may end before it does.
CUT_OFF = """() => {
  const page = document.scrollingElement, wide = page.clientWidth, found = [];
  if (page.scrollWidth > wide) found.push(`scrolls sideways, ${page.scrollWidth} in ${wide}`);
  const controls = "a[href], button, summary, label, select, textarea, input:not([type=hidden]), [role=option]";
  const name = (each) => `${each.localName}.${each.className} "${(each.innerText || each.name || "").slice(0, 40)}"`;
  for (const each of document.querySelectorAll(controls)) {
    if (!each.checkVisibility({ visibilityProperty: true }) || each.closest(".visually-hidden, .skip")) continue;
    let [left, right] = [0, wide], scrolls = false;
    for (let around = each.parentElement; around !== page && !scrolls; around = around.parentElement) {
      const { overflowX } = getComputedStyle(around), box = around.getBoundingClientRect();
      scrolls = overflowX === "auto" && around.scrollWidth > around.clientWidth && around.localName !== "dialog";
      if (overflowX !== "visible") [left, right] = [Math.max(left, box.left), Math.min(right, box.right)];
    }
    const box = each.getBoundingClientRect();
    if (!scrolls && (box.left < left - 1 || box.right > right + 1)) found.push(`cut off: ${name(each)}`);
    const runsOut = each.matches("button, .btn, .chip") && each.scrollWidth > each.clientWidth + 1;
    if (runsOut) found.push(`text runs out of ${name(each)}`);
  }
  return found;
}"""


class Look:
    """Collects, a line each, what is wrong with the pages that it is shown."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def at(self, page: Page, name: str, *, whole: bool = False, within: str = "main") -> None:
        """Both themes, one on a desktop and one on a phone: contrast hangs on the theme, order and size on the
        width, and neither on the other. In between, what 200 % leaves of a window.

        ``whole``: axe looks at what surrounds every page too, which is enough once for each role, and in both themes
        with every rule; else at what lies ``within``, a selector, and on a phone with the rules of how it looks.
        """
        context: object = {"exclude": []} if whole else within
        show(page, DESKTOP, "light")
        self._note(page, name, "light", AXE, [context, ALL_RULES])
        for size in (ZOOMED, PHONE):
            show(page, size, "light")
            self._note(page, name, f"{size['width']} px", CUT_OFF)
        show(page, PHONE, "dark")
        self._note(page, name, "dark", AXE, [context, ALL_RULES if whole else OF_LOOKS])

    def _note(self, page: Page, name: str, how: str, question: str, given: object = None) -> None:
        self.found += [f"{name}, {how}: {each}" for each in page.evaluate(question, given)]


def show(page: Page, size: dict[str, int], theme: Any) -> None:
    if page.viewport_size != size:
        page.set_viewport_size(size)  # type: ignore[arg-type]
    page.emulate_media(color_scheme=theme)
