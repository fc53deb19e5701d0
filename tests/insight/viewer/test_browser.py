"""The page in headless Chromium, with WebGL in software: what is drawn is looked at, pixel by pixel.

Debian: apt-get install chromium. Another browser of this kind is named by HERMES_TEST_CHROMIUM.
"""

import io
import json
import os
import shutil
from dataclasses import replace
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest

from hermes_nnunet.core.expected_dice import ExpectedDice
from hermes_nnunet.core.viewer.page import whole_page
from hermes_nnunet.insight.viewer.cases import read_scene
from hermes_nnunet.insight.viewer.results import cases_of_results

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WAIT_MS = 180_000
AXIAL, CORONAL, SAGITTAL, RENDER = 0, 1, 2, 4


@pytest.fixture(scope="module")
def chromium():
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("HERMES_TEST_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("no Chromium here: apt-get install chromium, or name one with HERMES_TEST_CHROMIUM")
    playwright = pytest.importorskip("playwright.sync_api")
    options = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=options)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    page = chromium.new_page(viewport={"width": 1200, "height": 700})
    page.set_default_timeout(WAIT_MS)
    page.asked, page.problems = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("dialog", lambda dialog: page.problems.append(dialog.message))
    yield page
    page.close()


def complete(page):
    page.wait_for_selector("body[data-state=complete]")


def tile(page, plane, pane=0):
    """Colours (rows, columns, 3) of a plane of a pane, 0..255."""
    import matplotlib.image

    left, top, width, height = page.evaluate(
        "([pane, plane]) => panes[pane].view.screenSlices.find((slice) => slice.axCorSag === plane).leftTopWidthHeight",
        [pane, plane],
    )
    box = page.locator(".pane").nth(pane).bounding_box()
    clip = {"x": box["x"] + left, "y": box["y"] + top, "width": width, "height": height}
    picture = matplotlib.image.imread(io.BytesIO(page.screenshot(clip=clip)), format="png")
    return (picture[..., :3] * 255).astype(int)


def green(colours):
    return (colours[..., 1] - colours[..., 0] > 90) & (colours[..., 1] - colours[..., 2] > 90)


def bright(colours):
    """Of the image; letters and cross are blue."""
    return (colours.min(-1) > 150) & (np.ptp(colours, -1) < 30)


def middle(mask):
    """(x, y) of the middle of what is true, as shares of width and height."""
    rows, columns = np.nonzero(mask)
    return np.array(
        [(columns.min() + columns.max()) / 2 / mask.shape[1], (rows.min() + rows.max()) / 2 / mask.shape[0]]
    )


def extent(mask):
    rows, columns = np.nonzero(mask)
    return np.array([np.ptp(columns) / mask.shape[1], np.ptp(rows) / mask.shape[0]])


def test_results_are_seen_and_steered(page, results, scan, serve):
    server = serve(cases_of_results(results / "out", results / "in", results / "ref"))
    page.goto(server.address)
    complete(page)

    # Image and contour lie on each other, with left on the right: the block is in front, on the patient's right, above.
    page.keyboard.press("f")  # the fill would colour the image
    for zoom in (1, 1.4):
        page.evaluate(
            "(zoom) => { panes[0].view.scene.pan2Dxyzmm = [2, -1, 1, zoom]; panes[0].view.drawScene(); }", zoom
        )
        for plane, shape in ((AXIAL, (24, 20)), (CORONAL, (24, 14)), (SAGITTAL, (20, 14))):
            colours = tile(page, plane)
            voxel = zoom / np.array(shape)
            assert (abs(middle(green(colours)) - middle(bright(colours))) < 0.5 * voxel).all(), (plane, zoom)
            assert (abs(extent(green(colours)) - extent(bright(colours))) < 1.5 * voxel).all(), (plane, zoom)
            assert (middle(green(colours)) < 0.5).all(), (plane, zoom)
    assert page.evaluate("panes[0].view.opts.showAllOrientationMarkers")
    # The reference beside it shows the same.
    np.testing.assert_allclose(middle(green(tile(page, AXIAL, pane=1))), middle(green(tile(page, AXIAL))), atol=0.01)
    # Seen from the front, the surface is on the left, too.
    surface = green(tile(page, RENDER))
    assert surface.mean() > 0.002
    assert middle(surface)[0] < 0.5

    # Names are text.
    assert page.locator("#tasks td.name").text_content() == scan.MARKUP
    assert page.locator("body img").count() == 0
    # Of a model that was not validated nothing is to be expected.
    assert not page.locator(".of-expected").first.is_visible()

    # A task is switched by its number, surfaces and fill by letters.
    page.keyboard.press("1")
    assert not green(tile(page, AXIAL)).any()
    assert not green(tile(page, RENDER)).any()
    page.keyboard.press("1")
    page.keyboard.press("s")
    assert not green(tile(page, RENDER)).any()
    contour = green(tile(page, AXIAL)).sum()
    page.keyboard.press("s")
    page.locator("#fill").fill("1")
    assert green(tile(page, AXIAL)).sum() > 3 * contour

    # A name leads to the middle of its task, and the place says what is there.
    page.evaluate("panes[0].goTo([0, 0, 0]); panes[0].view.drawScene()")
    assert scan.MARKUP not in page.locator("#place").text_content()
    page.locator("#tasks td.name").click()
    x, y, z = page.evaluate("panes[0].at")
    assert (15 <= x < 21, 12 <= y < 18, 8 <= z < 12) == (True, True, True)
    assert page.locator("#place").text_content().endswith(scan.MARKUP)

    # In a window that begins with the block's value it is black; the reference follows, and the address says it.
    page.keyboard.press("f")
    assert page.locator("#window").input_value() == "automatic"
    page.locator("#level").fill("700")
    page.locator("#width").fill("1000")
    page.keyboard.press("Enter")
    for pane in (0, 1):
        assert not bright(tile(page, AXIAL, pane)).any()
    page.locator("#width").press("n")  # in a field a letter is no key
    assert page.locator("#title").text_content() == "a"
    page.keyboard.press("Escape")
    address = page.evaluate("address()")
    assert parse_qs(urlparse(address).fragment)["window"] == ["200,1200"]
    page.keyboard.press("w")
    for pane in (0, 1):
        assert bright(tile(page, AXIAL, pane)).sum() > 50
    assert page.locator("#window").input_value() == "automatic"
    page.evaluate("Object.assign(panes[1].view.volumes[0], { cal_min: 200, cal_max: 1200 })")  # as a right drag does
    page.evaluate("panes[1].view.updateGLVolume()")
    assert not bright(tile(page, AXIAL)).any()
    assert page.locator("#window").input_value() == ""
    page.locator("#fill").fill("1")

    # Case by case, and back to what the address says; a window of one's own is of one image.
    page.keyboard.press("n")
    complete(page)
    assert page.locator("#title").text_content() == "b"
    assert not page.locator("#reference").is_visible()
    assert page.locator("#window").input_value() == "automatic"
    page.evaluate("panes[0].goTo([16, 3, 2]); panes[0].view.drawScene()")
    page.keyboard.press("1")
    page.wait_for_function("() => location.hash.includes('only=')")
    address = page.url
    said = parse_qs(urlparse(address).fragment, keep_blank_values=True)
    assert (said["case"], said["at"], said["only"], said["fill"]) == (["b"], ["16,3,2"], [""], ["1"])
    page.goto("about:blank")
    page.goto(address)
    complete(page)
    assert page.locator("#title").text_content() == "b"
    assert page.evaluate("panes[0].at") == [16, 3, 2]
    assert page.locator("#tasks input").is_checked() is False
    # Where the patient is: the file's voxel (2, 24 - 1 - 16, 20 - 1 - 3).
    assert "RAS 26.0 -10.0 -14.0 mm" in page.locator("#place").text_content()

    # However fast the keys come, image and contours are of the case that the title names.
    for key in "npnpppnp":
        page.keyboard.press(key)
    complete(page)
    assert page.locator("#title").text_content() == "a"
    shown = page.evaluate(
        "[panes[0].scene.name, panes[0].view.volumes.length, panes[0].meshes.size, panes[1].scene.name]"
    )
    assert shown == ["a", 1, 1, "a"]

    # Nobody else was asked, and nothing went wrong.
    assert [url for url in page.asked if not url.startswith((server.address, "data:", "blob:", "about:"))] == []
    assert page.problems == []

    # The token is needed.
    assert page.goto(f"http://127.0.0.1:{server.server_port}/").status == 404
    assert page.goto(f"http://127.0.0.1:{server.server_port}/wrong/").status == 404


def test_a_file_is_seen_without_a_network(page, shown, tmp_path):
    file = tmp_path / "a.viewer.html"
    validated = replace(shown, expected_dice={shown.labels[0].name: ExpectedDice(0.75, 0.126, 31)})
    file.write_text(whole_page(read_scene(validated)), encoding="utf-8")
    page.context.set_offline(True)
    page.goto(file.as_uri())
    complete(page)
    colours = tile(page, AXIAL)
    assert green(colours).sum() > 20
    assert (middle(green(colours)) < 0.5).all()
    assert green(tile(page, RENDER)).any()
    assert page.locator("#cases a").count() == 0
    assert page.locator("#tasks .of-expected").text_content() == "0.75 ± 0.13 (31)"
    assert "nothing of this one" in page.locator("p.of-expected").inner_text()
    assert [url for url in page.asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert page.problems == []


def test_among_many_cases_and_tasks_one_is_found(page, results, scan, serve):
    path = results / "out" / "labels.json"
    content = json.loads(path.read_text())
    label = {"member": "m", "colour": "#00ff00"}
    content["labels"] = [{"name": f"m/t{n:02d}", "value": n, "values": [n], **label} for n in range(1, 21)]
    path.write_text(json.dumps(content))
    for name in ("été", 'a"#%&b', "\udcff", *(f"c{number:02d}" for number in range(14))):
        shutil.copy(results / "out" / "b.nii.gz", results / "out" / f"{name}.nii.gz")
    cases = cases_of_results(results / "out", None, None)
    server = serve(cases)
    page.goto(server.address)
    complete(page)
    assert page.locator("#cases a:visible").count() == 19
    page.locator("#findcase").press_sequentially("C1")
    assert page.locator("#cases a:visible").all_text_contents() == ["c10", "c11", "c12", "c13"]
    page.locator("#cases a:visible").first.click()
    complete(page)
    assert page.locator("#title").text_content() == "c10"

    # A name by a double click alone; the letters of it are no keys.
    page.locator("#findtask").press_sequentially("t01")
    assert page.locator("#tasks tr:visible .name").all_text_contents() == ["m/t01"]
    assert page.locator("#title").text_content() == "c10"
    page.locator("#none").click()
    assert page.evaluate("[...settings.hidden]") == ["m/t01"]
    page.locator("#tasks tr:visible .name").dblclick()
    assert page.evaluate("scene.tasks.filter(shown).map((task) => task.name)") == ["m/t01"]
    assert green(tile(page, AXIAL)).any()

    # The link names what is seen, not the 19 others, and finds a case of any name.
    for name in ("été", 'a"#%&b', "\udcff"):
        number = [case.name for case in cases].index(name)
        page.evaluate("(number) => open(number)", number)
        complete(page)
        address = page.evaluate("address()")
        assert parse_qs(urlparse(address).fragment)["only"] == ["m/t01"]
        page.goto("about:blank")
        page.goto(f"{server.address}{address}")
        complete(page)
        assert page.evaluate("[current, scene.tasks.filter(shown).length]") == [number, 1]
    assert page.problems == []


def test_what_cannot_be_read_is_said(page, results, serve):
    (results / "out" / "a.nii.gz").write_bytes(b"broken")
    server = serve(cases_of_results(results / "out", None, None))
    page.goto(server.address)
    page.wait_for_selector("body[data-state=failed]")
    assert "a.nii.gz cannot be read" in page.locator("#message").text_content()
    page.keyboard.press("n")
    complete(page)
    assert "does not say where it is" in page.locator("#notes").text_content()
