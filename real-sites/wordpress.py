"""A dynamic application: Debian's WordPress on php-fpm and MariaDB, used as its author and readers do."""

import hashlib
import html
import os
import random
import re
import shutil
import subprocess
import zlib

import httpx

from stage import Stage, free_port

AUTHOR, PASSWORD = "author", "a long password for tests"
LARGE_POST_BYTES = 2 << 20


def tell(stage, story):
    site = WordPress(stage)
    mangrove = stage.mangrove(site.origin)
    install(story, mangrove)
    for label, base, http2 in [("h1", mangrove.https, False), ("h2", mangrove.https, True)]:
        with httpx.Client(http2=http2, http1=not http2, verify=False, base_url=base, timeout=60) as browser:
            a_reader_looks_around(story, label, browser, mangrove)
            the_author_logs_in(story, label, browser)
            nonce = the_author_writes(story, label, browser)
            the_author_uploads(story, label, browser, nonce)
            a_reader_comments(story, label, browser)
            the_author_leaves(story, label, browser)
    mangrove.judge(story)


class WordPress:
    """The application on this machine, empty and not yet installed."""

    def __init__(self, stage: Stage):
        self.folder = stage.folder / "site"
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree("/usr/share/wordpress", self.folder / "web")
        socket = self.start_database(stage)
        (self.folder / "web/wp-config.php").write_text(wp_config(socket))
        (self.folder / "web/wp-content/uploads").mkdir(parents=True, exist_ok=True)
        extras = self.folder / "web/wp-content/mu-plugins"
        extras.mkdir(exist_ok=True)
        # Pictures of people come from another company's servers.
        (extras / "local.php").write_text("<?php add_filter('pre_option_show_avatars', '__return_zero');\n")
        php = self.start_php(stage)
        port = free_port()
        stage.nginx(nginx_server(port, self.folder / "web", php), port)
        self.origin = f"http://127.0.0.1:{port}"

    def start_database(self, stage):
        data, socket = self.folder / "db", self.folder / "db.sock"
        as_me = [f"--user={os.environ.get('USER', 'root') if os.geteuid() else 'root'}"]
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", *as_me],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        client = ["mariadb", "--no-defaults", f"--socket={socket}", "-u", "root"]
        answers = lambda: subprocess.run([*client, "-e", "select 1"], capture_output=True).returncode == 0
        stage.start(
            "mariadb",
            ["mariadbd", "--no-defaults", f"--datadir={data}", f"--socket={socket}", "--skip-networking", f"--pid-file={self.folder}/db.pid",
             "--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0", *as_me],
            answers,
        )
        subprocess.run([*client, "-e", "create database wordpress character set utf8mb4"], check=True)
        return socket

    def start_php(self, stage):
        socket, config = self.folder / "php.sock", self.folder / "php-fpm.conf"
        config.write_text(f"""
[global]
daemonize = no
error_log = {self.folder}/php.log
[www]
user = {"root" if os.geteuid() == 0 else os.environ["USER"]}
listen = {socket}
pm = static
pm.max_children = 4
php_admin_value[upload_max_filesize] = 32M
php_admin_value[post_max_size] = 34M
php_admin_value[memory_limit] = 256M
""")
        binary = next(path for path in sorted(os.listdir("/usr/sbin")) if path.startswith("php-fpm8"))
        stage.start("php-fpm", [f"/usr/sbin/{binary}", "-R", "-F", "-y", config], socket.exists)
        return socket


def wp_config(database_socket):
    return f"""<?php
define('DB_NAME', 'wordpress');
define('DB_USER', 'root');
define('DB_PASSWORD', '');
define('DB_HOST', 'localhost:{database_socket}');
define('DB_CHARSET', 'utf8mb4');
define('AUTH_KEY', 'only for tests on loopback');
// WordPress's own advice for a site behind a gateway that ends TLS.
if (($_SERVER['HTTP_X_FORWARDED_PROTO'] ?? '') === 'https') $_SERVER['HTTPS'] = 'on';
$scheme = isset($_SERVER['HTTPS']) ? 'https' : 'http';
define('WP_HOME', $scheme . '://' . ($_SERVER['HTTP_HOST'] ?? 'localhost'));
define('WP_SITEURL', WP_HOME);
define('WP_HTTP_BLOCK_EXTERNAL', true);
define('DISABLE_WP_CRON', true);
define('AUTOMATIC_UPDATER_DISABLED', true);
$table_prefix = 'wp_';
if (!defined('ABSPATH')) define('ABSPATH', __DIR__ . '/');
require_once ABSPATH . 'wp-settings.php';
"""


def nginx_server(port, root, php):
    return f"""
        listen 127.0.0.1:{port};
        root {root};
        index index.php;
        client_max_body_size 40m;
        gzip on;
        gzip_proxied any;
        gzip_types text/css application/javascript;
        location / {{ try_files $uri $uri/ /index.php?$args; }}
        location ~ \\.php$ {{
            include /etc/nginx/fastcgi_params;
            fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
            # Debian's file passes the host without its port.
            fastcgi_param HTTP_HOST $http_host;
            fastcgi_pass unix:{php};
        }}
    """


def install(story, mangrove):
    """WordPress's own installer, through Mangrove."""
    with httpx.Client(verify=False, base_url=mangrove.https, timeout=120) as browser:
        first = browser.get("/")
        story.same("an empty site redirects to its installer", first.status_code, 302)
        story.same("on the name and scheme the visitor used", first.headers["location"], f"{mangrove.https}/wp-admin/install.php")
        form = {
            "weblog_title": "Coast News", "user_name": AUTHOR, "admin_password": PASSWORD, "admin_password2": PASSWORD,
            "pw_weak": "1", "admin_email": "author@example.com", "blog_public": "0", "Submit": "Install WordPress", "language": "",
        }
        answer = browser.post("/wp-admin/install.php?step=2", data=form)
        story.check("the installer ends well", answer.status_code == 200 and "Success!" in answer.text, answer.text[-400:])


def a_reader_looks_around(story, label, browser, mangrove):
    front = browser.get("/")
    story.same(f"{label}: the front page is 200", front.status_code, 200)
    story.same(f"{label}: over {label}", front.http_version, "HTTP/2" if label == "h2" else "HTTP/1.1")
    story.check(f"{label}: it has its title", "Coast News" in front.text)
    story.same(f"{label}: nginx's gzip reaches the reader", front.headers.get("content-encoding"), "gzip")
    links = set(re.findall(rf"{mangrove.https}(/[^\"'<> ]*)", front.text))
    story.check(f"{label}: its links lead through Mangrove", len(links) >= 5, links)
    for link in sorted(links):
        answer = browser.get(html.unescape(link), follow_redirects=True)
        # xmlrpc.php itself answers 405 to a plain GET.
        story.check(f"{label}: {link} answers", answer.status_code == (405 if link == "/xmlrpc.php" else 200), answer.status_code)
    story.same(f"{label}: an unknown page is WordPress's 404", ("Coast News" in (page := browser.get("/?p=99999")).text, page.status_code), (True, 404))
    style = browser.get("/wp-includes/css/dist/block-library/style.min.css")
    again = browser.get(style.url, headers={"if-modified-since": style.headers["last-modified"]})
    story.same(f"{label}: a style sheet already held is 304", (again.status_code, again.content), (304, b""))
    feed = browser.get("/?feed=rss2")
    story.check(f"{label}: the feed is XML", "xml" in feed.headers["content-type"] and feed.text.startswith("<?xml"))
    story.same(f"{label}: the feed already held is 304", browser.get("/?feed=rss2", headers={"if-none-match": feed.headers["etag"]}).status_code, 304)
    story.same(f"{label}: HEAD of the front page", (browser.head("/").status_code, browser.head("/").content), (200, b""))


def the_author_logs_in(story, label, browser):
    wrong_door = browser.get("/wp-admin/")
    story.same(f"{label}: the dashboard sends strangers to the login", wrong_door.status_code, 302)
    story.check(f"{label}: with the way back in the query", "redirect_to=" in wrong_door.headers["location"], wrong_door.headers["location"])
    browser.get("/wp-login.php")
    story.same(f"{label}: the login page's cookie is kept", browser.cookies.get("wordpress_test_cookie"), "WP%20Cookie%20check")
    refused = log_in(browser, "not the password")
    story.check(f"{label}: a wrong password gets the form again", refused.status_code == 200 and "incorrect" in refused.text, refused.status_code)
    done = log_in(browser, PASSWORD)
    story.same(f"{label}: the right one redirects", done.status_code, 302)
    cookies = done.headers.get_list("set-cookie")
    story.check(f"{label}: with each cookie as a field of its own", len(cookies) >= 4 and all("HttpOnly" in c for c in cookies if "logged_in" in c), cookies)
    story.check(f"{label}: marked secure, as the visitor came over TLS", any("secure" in c.lower() for c in cookies), cookies)
    dashboard = browser.get(done.headers["location"])
    story.check(f"{label}: the dashboard opens", dashboard.status_code == 200 and "Howdy" in dashboard.text, dashboard.status_code)


def log_in(browser, password):
    return browser.post("/wp-login.php", data={"log": AUTHOR, "pwd": password, "wp-submit": "Log In", "redirect_to": "/wp-admin/", "testcookie": "1"})


def the_author_writes(story, label, browser):
    """A post of 2 MiB through the JSON API, as the block editor does it."""
    editor = browser.get("/wp-admin/post-new.php")
    story.check(f"{label}: the editor opens", editor.status_code == 200 and len(editor.content) > 100_000, len(editor.content))
    nonce = browser.get("/wp-admin/admin-ajax.php?action=rest-nonce").text
    paragraph = "<p>The tide comes in, the tide goes out: জোয়ার আসে, ভাটা যায়।</p>\n"
    content = paragraph * (LARGE_POST_BYTES // len(paragraph.encode()))
    fields = {"x-wp-nonce": nonce}
    made = browser.post("/index.php?rest_route=/wp/v2/posts", json={"title": f"Long read over {label}", "content": content, "status": "publish"}, headers=fields)
    if story.same(f"{label}: a post of 2 MiB is made", made.status_code, 201):
        post = made.json()["id"]
        page = browser.get(f"/?p={post}", follow_redirects=True)
        story.check(f"{label}: its page is as large", page.status_code == 200 and len(page.content) > LARGE_POST_BYTES, len(page.content))
        story.same(f"{label}: with every paragraph", page.text.count("জোয়ার আসে, ভাটা যায়"), content.count("জোয়ার আসে, ভাটা যায়"))
        edited = browser.put(f"/index.php?rest_route=/wp/v2/posts/{post}", json={"title": "Edited"}, headers=fields)
        story.same(f"{label}: PUT edits it", (edited.status_code, edited.json().get("title", {}).get("raw")), (200, "Edited"))
        listed = browser.get("/index.php?rest_route=/wp/v2/posts&per_page=1")
        story.check(f"{label}: fields of WordPress's own pass", int(listed.headers["x-wp-total"]) >= 2 and 'rel="next"' in listed.headers["link"], dict(listed.headers))
        gone = browser.delete(f"/index.php?rest_route=/wp/v2/posts/{post}&force=true", headers=fields)
        story.same(f"{label}: DELETE deletes it", (gone.status_code, gone.json().get("deleted")), (200, True))
    return nonce


def the_author_uploads(story, label, browser, nonce):
    picture = noise_png(1024)
    fields = {"x-wp-nonce": nonce, "content-disposition": f'attachment; filename="noise-{label}.png"', "content-type": "image/png"}
    raw = browser.post("/index.php?rest_route=/wp/v2/media", content=picture, headers=fields)
    compare_upload(story, f"{label}: {len(picture) >> 10} KiB as the body itself", browser, raw, picture)
    form = browser.post("/index.php?rest_route=/wp/v2/media", files={"file": (f"form-{label}.png", picture, "image/png")}, headers={"x-wp-nonce": nonce})
    compare_upload(story, f"{label}: the same as multipart/form-data", browser, form, picture)
    in_pieces = (picture[at : at + 10_000] for at in range(0, len(picture), 10_000))
    chunked = browser.post("/index.php?rest_route=/wp/v2/media", content=in_pieces, headers=fields)
    compare_upload(story, f"{label}: the same without a length", browser, chunked, picture)


def compare_upload(story, what, browser, answer, sent):
    if story.check(f"{what} is taken", answer.status_code == 201, f"{answer.status_code} {answer.text[:300]}"):
        item = answer.json()
        story.check(f"{what}: WordPress made thumbnails of it", len(item["media_details"]["sizes"]) >= 3, item["media_details"])
        # The largest size is re-encoded; the original keeps its bytes.
        original = item["source_url"].rsplit("/", 1)[0] + "/" + item["media_details"].get("original_image", item["source_url"].rsplit("/", 1)[1])
        fetched = browser.get(original).content
        story.same(f"{what}: it comes back byte for byte", hashlib.sha256(fetched).hexdigest(), hashlib.sha256(sent).hexdigest())


def noise_png(side):
    """A picture that does not compress: `side` pixels squared, three bytes each."""
    noise = random.Random(side)
    rows = b"".join(b"\0" + noise.randbytes(side * 3) for _ in range(side))
    header = side.to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    chunk = lambda kind, data: len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


def a_reader_comments(story, label, browser):
    words = f"Seen from the other bank, over {label}: ভালো লেগেছে."
    browser_form = {"comment": words, "author": "Reader", "email": "reader@example.com", "url": "", "comment_post_ID": "1", "comment_parent": "0", "submit": "Post Comment"}
    answer = browser.post("/wp-comments-post.php", data=browser_form)
    story.same(f"{label}: a comment redirects", answer.status_code, 302)
    story.check(f"{label}: back to its post", "#comment-" in answer.headers["location"], answer.headers["location"])
    shown = browser.get(answer.headers["location"], follow_redirects=True)
    story.check(f"{label}: and is shown there", words in shown.text)
    story.same(f"{label}: the same comment again is refused by WordPress", browser.post("/wp-comments-post.php", data=browser_form).status_code, 409)


def the_author_leaves(story, label, browser):
    page = browser.get("/wp-admin/").text
    leave = re.search(r"wp-login\.php\?action=logout(&amp;|&#038;)_wpnonce=\w+", page)
    story.check(f"{label}: the dashboard still knows the author", leave is not None)
    if leave:
        answer = browser.get("/" + html.unescape(leave.group()))
        story.same(f"{label}: logging out redirects", answer.status_code, 302)
    story.same(f"{label}: and the dashboard is closed again", browser.get("/wp-admin/").status_code, 302)
