"""A browser stores a file by its form, as a page's user does. Skipped where no Chromium is installed: it is large."""

import json
import re
import shutil
import unittest

from http_clients_test import ClientsTest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")

FORM = """<!doctype html><meta charset=utf-8><title>form</title>
<form id=f method=post enctype=multipart/form-data action=/default target=_self><input type=file name=file id=i>
<input name=note value="not this"></form>
<script>
const list = new DataTransfer();
list.items.add(new File(["from a browser \u20ac"], "b\u00e4r.txt", {type: "text/plain"}));
document.getElementById("i").files = list.files;
document.getElementById("f").submit();
</script>
"""


class BrowserTest(ClientsTest):
    @unittest.skipUnless(any(map(shutil.which, BROWSERS)), "a chromium is wanted")
    def test_a_browser_stores_a_file_by_its_form(self):
        browser = next(filter(None, map(shutil.which, BROWSERS)))
        page = self.ask("PUT", "/default/page.html", FORM.encode()).headers["Location"]
        said = self.run_tool(browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            f"--user-data-dir={self.path('profile')}", "--virtual-time-budget=10000", "--dump-dom", self.url(page))
        found = re.search(r"\{.*\}", said)
        self.assertTrue(found, said)
        file_id = json.loads(found[0].replace("&amp;", "&"))["id"]
        self.assertTrue(file_id.endswith(".txt"))
        self.assertEqual(self.ask("GET", "/" + file_id).content, b"from a browser \xe2\x82\xac")


if __name__ == "__main__":
    unittest.main()
