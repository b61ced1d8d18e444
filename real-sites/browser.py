"""Chromium over HTTP/2 with TLS: pages, forms, uploads, events, WebSocket; no error in its console or network."""

import pathlib
import re
import shutil

from playwright.sync_api import sync_playwright

import application
import documentation
import wordpress
from stage import free_port

CHROMIUM = "/usr/bin/chromium"
# A favicon that a site does not have is asked for by the browser itself; WordPress's editor greets with a picture of
# its makers' server, which is not asked.
NOT_THE_SITES_FAULT = re.compile(r"/favicon\.ico|https://s\.w\.org/")


def tell(stage, story):
    port = free_port()
    stage.nginx(documentation.nginx_server(port), port)
    manual = stage.mangrove(f"http://127.0.0.1:{port}", name="mangrove-manual")
    harbour = stage.mangrove(application.start(stage), name="mangrove-harbour")
    blog_stage = stage.part("blog")
    blog = stage.mangrove(wordpress.WordPress(blog_stage).origin, name="mangrove-blog")
    wordpress.install(story, blog)

    profile = stage.folder / "profile"
    shutil.rmtree(profile, ignore_errors=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(
            str(profile), executable_path=CHROMIUM, headless=True, ignore_https_errors=True, viewport={"width": 1100, "height": 800},
            args=["--no-sandbox", "--disable-background-networking", "--ignore-certificate-errors",
                  # Nothing is asked outside this machine: no name with a dot exists.
                  "--host-resolver-rules=MAP *.* ~NOTFOUND"],
        )
        try:
            story.note(f"Chromium {browser.browser.version if browser.browser else ''}".strip())
            pictures = stage.folder / "pictures"
            pictures.mkdir(exist_ok=True)
            read_the_manual(story, Visit(story, browser, "manual", pictures), manual)
            use_the_harbour(story, Visit(story, browser, "harbour", pictures), harbour)
            run_the_blog(story, Visit(story, browser, "blog", pictures), blog)
        finally:
            browser.close()
    talked = harbour.await_record(lambda record: record["url.path"] == "/socket")
    story.same("the WebSocket went over HTTP/2 (RFC 8441)", talked and talked["network.protocol.version"], "2")
    for mangrove in (manual, harbour, blog):
        mangrove.judge(story, allowed_reasons={"client-reset"})


class Visit:
    """One tab, which remembers everything that went wrong in it."""

    def __init__(self, story, browser, name, pictures):
        self.story, self.name, self.pictures = story, name, pictures
        self.page = browser.new_page()
        self.faults, self.protocols, self.answers = [], {}, 0
        self.page.on("console", lambda said: self.fault(said.type == "error", f"{said.text} {said.location}"))
        self.page.on("pageerror", lambda error: self.fault(True, str(error)))
        self.page.on("requestfailed", lambda request: self.fault(request.failure != "net::ERR_ABORTED", f"{request.url}: {request.failure}"))
        self.page.on("response", self.answered)
        network = browser.new_cdp_session(self.page)
        network.send("Network.enable")
        network.on("Network.responseReceived", lambda event: self.count(event["response"]))

    def fault(self, really, text):
        if really and not NOT_THE_SITES_FAULT.search(text):
            self.faults.append(text[:300])

    def answered(self, response):
        self.answers += 1
        self.fault(response.status >= 500, f"{response.status} {response.url}")

    def count(self, response):
        if response["url"].startswith("https://") and not response.get("fromDiskCache"):
            protocol = response.get("protocol", "?")
            self.protocols[protocol] = self.protocols.get(protocol, 0) + 1

    def picture(self, name):
        self.page.screenshot(path=str(self.pictures / f"{self.name}-{name}.png"))

    def close(self):
        self.story.same(f"{self.name}: nothing went wrong in the console or on the network", self.faults, [])
        self.story.same(f"{self.name}: every response came over h2", set(self.protocols), {"h2"})
        self.story.note(f"{self.name}: {self.answers} responses, by protocol {self.protocols}")
        self.page.close()


def read_the_manual(story, visit, mangrove):
    page = visit.page
    page.goto(f"{mangrove.https}/index.html", wait_until="load")
    story.check("manual: the front page has its title", "3.11" in page.title(), page.title())
    visit.picture("front")
    page.goto(f"{mangrove.https}/library/asyncio-task.html", wait_until="load")
    story.check("manual: style sheets apply", page.evaluate("document.styleSheets.length") >= 2)
    page.goto(f"{mangrove.https}/search.html?q=asyncio", wait_until="load")
    page.wait_for_selector("ul.search li", timeout=20_000)
    story.check("manual: its search, all script, finds pages", page.locator("ul.search li").count() > 5)
    visit.picture("search")
    page.goto(f"https://[::1]:{mangrove.tls}/library/stdtypes.html", wait_until="load")
    story.check("manual: over IPv6", page.locator("h1").first.inner_text().startswith("Built-in Types"))
    visit.picture("ipv6")
    visit.close()


def use_the_harbour(story, visit, mangrove):
    page = visit.page
    page.goto(mangrove.https, wait_until="load")
    arrivals = page.evaluate("listen()")
    gaps = [later - sooner for sooner, later in zip(arrivals, arrivals[1:])]
    story.same("harbour: all events arrive", len(arrivals), application.TICKS)
    story.check("harbour: one by one", min(gaps) > application.TICK_SECONDS * 500, gaps)
    for size in (0, 1, 16 << 20):
        done = page.evaluate(f"upload({size})")
        story.same(f"harbour: fetch() uploads {size} bytes", done["got"], done["sent"])
    saw = page.evaluate("talk()")
    wanted = {"text": "শুভ সকাল", "binary": True, "protocol": "harbour", "close": 4321, "reason": "as you asked"}
    story.same("harbour: WebSocket: text, 1 MiB, subprotocol, close code", {key: saw[key] for key in wanted}, wanted)
    visit.picture("events")
    file = pathlib.Path(visit.pictures) / "harbour-events.png"
    page.set_input_files("#file", str(file))
    with page.expect_navigation():
        page.click("button")
    story.check("harbour: a form with a file arrives", f'"size":{file.stat().st_size}' in page.content() and "জোয়ার" in page.content(), page.content()[:300])
    visit.picture("form")
    visit.close()


def run_the_blog(story, visit, mangrove):
    page = visit.page
    page.goto(f"{mangrove.https}/", wait_until="load")
    visit.picture("front")
    page.goto(f"{mangrove.https}/wp-admin/", wait_until="load")
    page.fill("#user_login", wordpress.AUTHOR)
    page.fill("#user_pass", wordpress.PASSWORD)
    with page.expect_navigation():
        page.click("#wp-submit")
    story.check("blog: the author is logged in", "Dashboard" in page.title(), page.title())
    visit.picture("dashboard")

    picture = visit.pictures / "noise.png"
    picture.write_bytes(wordpress.noise_png(600))
    page.goto(f"{mangrove.https}/wp-admin/media-new.php?browser-uploader", wait_until="load")
    page.set_input_files("#async-upload", str(picture))
    with page.expect_navigation():
        page.click("#html-upload")
    story.check("blog: the picture is in the library", "upload.php" in page.url, page.url)
    page.wait_for_timeout(1000)
    visit.picture("library")

    page.goto(f"{mangrove.https}/?p=1", wait_until="load")
    page.fill("#comment", "From a real browser: ভালো লেগেছে")
    with page.expect_navigation():
        page.click("#submit")
    story.check("blog: the comment is shown", "From a real browser: ভালো লেগেছে" in page.content())
    visit.picture("comment")
    page.goto(f"{mangrove.https}/wp-admin/post-new.php", wait_until="load")
    page.wait_for_selector("iframe[name=editor-canvas], .editor-post-title__input, .wp-block-post-title", timeout=20_000)
    story.check("blog: the block editor, some hundred scripts, starts", True)
    visit.picture("editor")
    visit.close()
