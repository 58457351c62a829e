#!/usr/bin/python3
"""The status page of `cdist trigger` in a browser.

CDIST names the program, SCREENSHOTS a directory for pictures of the pages. Needs chromium, chromium-driver,
python3-selenium and python3-html5lib of Debian; `make install-web-tools` installs them.
"""

import http.server
import os
import pathlib
import threading
import unittest
import urllib.request

import html5lib
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from browser import FAULTS, Browser
from trigger_server import TriggerServer

PROGRAM = os.environ.get("CDIST") or str(pathlib.Path(__file__).parents[2] / "target/dist/bin/cdist")
SCREENSHOTS = os.environ.get("SCREENSHOTS")


def setUpModule():
    global server, browser
    server = TriggerServer(PROGRAM)
    unittest.addModuleCleanup(server.stop)
    server.call(1, "/install/web?wait=30")
    server.call(2, "/config/x?wait=30")
    browser = Browser()
    unittest.addModuleCleanup(browser.close)


def log_in(by=None):
    by = by or browser
    if by.all("form.account"):
        return
    by.open(server.url + "/login")
    by.all("#token")[0].send_keys(server.token(), Keys.ENTER)
    by.until("the session", lambda: by.all("form.account"))


class PageTest(unittest.TestCase):
    def setUp(self):
        browser.complaints()
        browser.open(server.url + "/")

    def tearDown(self):
        # A breach of the content security policy is there, too.
        self.assertEqual(browser.complaints(), [])

    def test_everything_can_be_read_without_javascript(self):
        plain = Browser(scripts=False)
        self.addCleanup(plain.close)
        plain.open(server.url + "/")
        self.assertIn("The server works.", plain.text(".banner"))
        self.assertIn("no space left on <device>", plain.text("section[aria-labelledby=failed]"))
        plain.click("Job 2")
        failure = plain.text(".failure")
        for words in ["object '__broken/disk'", "127.0.0.2", "code-local", "manifest/init:3", "no space left on <device>"]:
            self.assertIn(words, failure)
        # What scripts have said is for those who have logged in.
        self.assertNotIn("What the scripts have said last", plain.text())
        log_in(plain)
        plain.open(server.url + "/jobs/2")
        self.assertIn("no space left on <device>", plain.text("pre"))
        self.assertIn("cdist trigger retry 2", plain.text())
        plain.click("Log of attempt 1")
        self.assertIn("Processing __broken/disk", plain.text("#log"))
        plain.click("Machines")
        self.assertIn("52:54:00:00:00:01", plain.text("table"))
        plain.click("Machine 1")
        self.assertIn('"><b>1', plain.text("dl"))
        plain.click("Jobs")
        self.assertEqual(len(plain.all("tbody tr")), len(plain.all("tbody th[scope=row]")))
        job = server.job(3, "/config/")
        plain.open(f"{server.url}/jobs/{job}/log")
        self.assertIn("reload the page to see more", plain.text("#live"))
        self.assertEqual(plain.complaints(), [])
        server.call(3, "/config/?wait=30")

    def test_a_live_log_appears_line_by_line(self):
        log_in()
        job = server.job(3, "/config/")
        browser.open(f"{server.url}/jobs/{job}/log")
        heights = set()

        def has_ended():
            heights.add(browser.text("#log").count("Processing __slow/"))
            return "has succeeded" in browser.text("#live")
        browser.until("the end of the attempt", has_ended)
        self.assertGreaterEqual(len(heights), 4, heights)
        self.assertEqual(max(heights), 8)
        browser.until("the state", lambda: browser.text("main .state").endswith("succeeded"))

    def test_lists_follow_what_happens(self):
        browser.open(server.url + "/jobs")
        job = server.job(1, "/config/")
        browser.until("the new job", lambda: f"Job {job}" in browser.text("tbody"))
        browser.until("the news", lambda: "succeeded" in browser.text("#fresh"))
        # What has the focus keeps it.
        ActionChains(browser.driver).send_keys(Keys.TAB * 2).perform()
        focused = browser.focused()
        job = server.job(1, "/config/")
        browser.until("the new job", lambda: f"Job {job}" in browser.text("tbody"))
        self.assertEqual(browser.focused(), focused)

    def test_arming_with_the_keyboard_only(self):
        self.log_out()

        def press(text):
            """Goes on with the tabulator to a link or button, and presses it."""
            for _ in range(60):
                ActionChains(browser.driver).send_keys(Keys.TAB).perform()
                if browser.focused() == text:
                    outline = browser.run("return getComputedStyle(document.activeElement).outlineWidth")
                    self.assertEqual(outline, "3px", f"{text} does not look focused")
                    url = browser.driver.current_url
                    ActionChains(browser.driver).send_keys(Keys.ENTER).perform()
                    return browser.until("the next page", lambda: browser.driver.current_url != url)
            self.fail(f"{text} is not reached")
        ActionChains(browser.driver).send_keys(Keys.TAB).perform()
        self.assertEqual(browser.focused(), "Skip to the content")
        press("Machines")
        press("Machine 1")
        press("Arm for an install…")
        self.assertIn("will be installed again", browser.text(".banner"))
        self.assertIn("erases its disks", browser.text(".banner"))
        press("Log in")
        ActionChains(browser.driver).send_keys(server.token(), Keys.ENTER).perform()
        browser.until("the way back", lambda: browser.driver.current_url.endswith("/machines/1/arm"))
        press("Arm machine 1")
        self.assertIn("It is installed when it calls", browser.text(".lead"))
        self.assertIn("The machine is armed", browser.text("[role=status]"))
        browser.open(server.url + "/machines")
        self.assertIn("armed", browser.text("tbody tr"))
        browser.open(server.url + "/machines/1")
        browser.click("Disarm")
        browser.until("the end of it", lambda: "is not installed when it calls" in browser.text(".lead"))

    def test_a_wrong_token_is_said_and_a_right_one_can_be_given_up(self):
        self.log_out()
        browser.open(server.url + "/login?next=/machines")
        browser.all("#token")[0].send_keys("wrong-wrong-wrong-wrong", Keys.ENTER)
        browser.until("the answer", lambda: browser.all("#wrong"))
        self.assertEqual(browser.driver.switch_to.active_element.get_attribute("id"), "token")
        # The browser tells of the answer's status by itself.
        self.assertTrue(all("403" in complaint for complaint in browser.complaints()))
        browser.all("#token")[0].send_keys(server.token(), Keys.ENTER)
        browser.until("the page that was wanted", lambda: browser.driver.current_url == server.url + "/machines")
        self.assertEqual(browser.run("return document.cookie"), "")
        self.log_out()

    def test_a_page_of_another_origin_cannot_arm(self):
        log_in()
        for host in ["127.0.0.1", "localhost"]:
            with self.subTest(host=host), Attacker(server.url) as port:
                browser.open(f"http://{host}:{port}/")
                browser.until("the attack", lambda: browser.driver.current_url.startswith(server.url))
                self.assertNotIn("armed", browser.text().replace("not armed", ""))
                # It has told of the refused requests.
                self.assertTrue(browser.complaints())
                browser.open(server.url + "/machines/1")
                self.assertIn("is not installed when it calls", browser.text(".lead"))
                self.assertTrue(browser.all("form.account"), "the attack found nobody logged in")

    def test_pages_are_valid_accessible_and_have_contrast(self):
        log_in()
        pages = {"overview": "/", "jobs": "/jobs", "job": "/jobs/2", "log": "/jobs/2/log", "machines": "/machines",
                 "machine": "/machines/1", "arm": "/machines/1/arm", "forget": "/machines/1/forget", "retry": "/jobs/1/retry"}
        for name, path in pages.items():
            self.look_at(name, path)
        self.log_out()
        self.look_at("login", "/login?next=/jobs")
        browser.complaints()
        self.look_at("missing", "/jobs/999")
        self.assertTrue(all("404" in complaint for complaint in browser.complaints()))

    def look_at(self, name, path):
        if name != "missing":
            with urllib.request.urlopen(server.url + path) as answer:
                html5lib.HTMLParser(strict=True).parse(answer.read(), transport_encoding="utf-8")
        for scheme, width in [("light", 1200), ("dark", 1200), ("light", 380)]:
            with self.subTest(page=name, scheme=scheme, width=width):
                browser.scheme(scheme, width)
                browser.open(server.url + path)
                self.assertEqual(browser.run(FAULTS), [])
                self.assertEqual(browser.weak_texts(), [])
                if SCREENSHOTS:
                    pathlib.Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
                    browser.driver.save_screenshot(f"{SCREENSHOTS}/{name}-{scheme}-{width}.png")
        browser.scheme("light")

    def log_out(self):
        browser.open(server.url + "/")
        if browser.all("form.account"):
            browser.click("Log out")
            browser.until("the end of the session", lambda: not browser.all("form.account"))


class Attacker:
    """Another server, whose page tries to arm machine 1 with the session of its visitor."""

    def __init__(self, target):
        page = f"""<!doctype html><title>x</title>
            <form method=post action="{target}/machines/1/arm"><input name=hours value=24><input name=csrf value=""></form>
            <iframe src="{target}/machines/1/arm"></iframe>
            <script>
            const body = new URLSearchParams({{ hours: "24", csrf: "" }});
            const send = (how) => fetch("{target}/machines/1/arm", {{ method: "POST", credentials: "include", body, ...how }});
            Promise.allSettled([send({{ mode: "no-cors" }}), send({{}}), fetch("{target}/machines/1/arm", {{ credentials: "include" }})])
              .then(() => document.forms[0].submit());
            </script>""".encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self.server.server_port

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
