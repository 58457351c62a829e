"""Chromium without a screen, and what the tests ask of a page."""

import contextlib
import re
import tempfile

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

SWITCHES = ("--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
            "--disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1200,900").split()

# For each element with text of its own: its colour, and the colours below it. The last one counts that is not
# transparent; none of ours is in between.
TEXTS = """
const texts = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode, element = node.parentElement;
  if (!node.data.trim() || !element.checkVisibility() || ["SCRIPT", "NOSCRIPT", "OPTION"].includes(element.tagName)) continue;
  let ground = element;
  while (ground && getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
  texts.push([node.data.trim().slice(0, 40), getComputedStyle(element).color,
    ground ? getComputedStyle(ground).backgroundColor : "rgb(255, 255, 255)"]);
}
return texts;
"""

# What is wrong with a page, in words.
FAULTS = """
const faults = [];
const all = (selector) => [...document.querySelectorAll(selector)];
const check = (good, fault) => { if (!good) faults.push(fault); };
check(document.documentElement.lang === "en", "no language");
check(all("h1").length === 1, `${all("h1").length} h1`);
for (const mark of ["header", "nav", "main", "footer"]) check(all(mark).length >= 1, `no ${mark}`);
check(all("main").length === 1, "more than one main");
let level = 0;
for (const heading of all("h1, h2, h3, h4")) {
  const own = Number(heading.tagName[1]);
  check(own <= level + 1, `${heading.textContent}: h${own} after h${level}`);
  level = own;
}
for (const field of all("input:not([type=hidden]), select, textarea"))
  check(field.labels.length > 0, `no label: ${field.outerHTML}`);
for (const it of all("button, a")) check(it.textContent.trim() || it.ariaLabel, `no name: ${it.outerHTML}`);
for (const table of all("table")) {
  check(table.caption, "a table without a caption");
  check([...table.querySelectorAll("th")].every((th) => th.scope), "a table header without a scope");
  check(table.querySelector("thead th[scope=col]") && table.querySelector("tbody th[scope=row]"), "a table without headers");
}
const ids = all("[id]").map((element) => element.id);
check(new Set(ids).size === ids.length, `an id twice: ${ids}`);
for (const element of all("[aria-labelledby], [aria-describedby]"))
  for (const id of (element.getAttribute("aria-labelledby") ?? element.getAttribute("aria-describedby")).split(" "))
    check(document.getElementById(id), `no element ${id}`);
check(all("[style], style, script:not([src])").length === 0, "inline style or script");
check(document.documentElement.scrollWidth <= window.innerWidth, `wider than the window: ${document.documentElement.scrollWidth}`);
return faults;
"""


class Browser:
    """One browser with a profile of its own."""

    def __init__(self, scripts=True):
        self.profile = tempfile.TemporaryDirectory(prefix="cdist-browser-", ignore_cleanup_errors=True)
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for switch in [*SWITCHES, f"--user-data-dir={self.profile.name}"]:
            options.add_argument(switch)
        if not scripts:
            options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = Service("/usr/bin/chromedriver")
        self.driver = webdriver.Chrome(options=options, service=service)

    def close(self):
        self.driver.quit()
        self.profile.cleanup()

    def open(self, url):
        self.driver.get(url)

    def text(self, selector="body"):
        """What can be read; in one step, as a page may put new elements in the place of others at any time."""
        return self.driver.execute_script("return document.querySelector(arguments[0])?.innerText ?? ''", selector)

    def focused(self):
        return self.run("return document.activeElement.innerText.trim()")

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def click(self, text):
        """A link or button by its text."""
        find = "return [...document.querySelectorAll('a, button')].find((it) => it.innerText.trim() === arguments[0])"
        for _ in range(5):
            with contextlib.suppress(StaleElementReferenceException):
                return self.driver.execute_script(find, text).click()
        raise AssertionError(f"{text!r} does not stand still")

    def until(self, what, condition, seconds=15):
        return WebDriverWait(self.driver, seconds, 0.05).until(lambda _: condition(), f"waiting for {what}")

    def run(self, script):
        return self.driver.execute_script(script)

    def complaints(self):
        """What the console has that is worse than a hint; asking empties it."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("WARNING", "SEVERE")]

    def scheme(self, name, width=1200, height=900):
        media = {"features": [{"name": "prefers-color-scheme", "value": name}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def weak_texts(self):
        """Texts with less contrast than 4.5 (WCAG 2.2, 1.4.3)."""
        return [(text, color, ground) for text, color, ground in self.run(TEXTS) if contrast(color, ground) < 4.5]


def contrast(one, other):
    """The contrast of two colours as CSS writes them (WCAG 2.2, relative luminance)."""
    def luminance(color):
        parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
