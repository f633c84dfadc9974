import json
from dataclasses import replace
from urllib.parse import quote

import pytest
from PIL import Image

from gwz_dashboards.common import finished
from gwz_dashboards.generate import pages
from gwz_e2e.browser import chromium, pictures, planted
from gwz_e2e.browser.faults import CHECKS, Fault, faults
from gwz_e2e.browser.links import dead, leads
from gwz_e2e.browser.sight import Complaints, PageSeen, PanelSeen, Reading, script

QUIET = Complaints()
SOUND = PanelSeen(1, said="12 req/s", box=(0, 0, 100, 100))
PANEL = {"id": 1, "title": "Requests", "fieldConfig": {"defaults": {"noValue": "No traffic in 24 hours"}}}


def found(panel=SOUND, *, empty=(), complaints=QUIET):
    seen = PageSeen("uid", "title", 1366, "dark", (panel,), complaints)
    return {(fault.check, fault.what) for fault in faults(seen, [PANEL], empty)}


def test_a_sound_page_has_no_fault():
    assert found() == set()


@pytest.mark.parametrize(
    ("seen", "check", "what"),
    [
        ({"there": False}, "browser_panels", "it is not there"),
        ({"loading": True}, "browser_panels", "it still loads"),
        ({"drawn": False}, "browser_panels", "nothing is drawn"),
        ({"error": True}, "browser_errors", "it is in error and says '12 req/s'"),
        ({"said": "No data"}, "browser_data", "it says 'No data'"),
        ({"said": "No data yet"}, "browser_data", "it says 'No data yet'"),
        ({"said": "\N{EN DASH}"}, "browser_data", "it says '\N{EN DASH}'"),
        ({"said": "No traffic in 24 hours"}, "browser_data", "it says 'No traffic in 24 hours'"),
        ({"said": "Data outside time range Zoom to data"}, "browser_data", "it says 'Data outside time range Zoom to data'"),
        ({"title_cut": True}, "browser_titles", "its title is cut"),
        ({"cut": ("meta-llama",)}, "browser_values", "'meta-llama' cannot be read whole (1 texts)"),
    ],
)  # fmt: skip
def test_a_fault_of_a_panel_is_told_under_its_check(seen, check, what):
    assert found(replace(SOUND, **seen)) == {(check, f"Requests: {what}")}


def test_a_panel_that_rightly_has_nothing_to_show_may_say_why_but_no_more():
    assert found(replace(SOUND, said="No traffic in 24 hours"), empty={1}) == set()
    assert found(replace(SOUND, said="No data"), empty={1})


def test_what_the_browser_complains_of_is_told():
    assert found(complaints=Complaints(("POST /api/ds/query: 400",), ("oh",))) == {
        ("browser_requests", "POST /api/ds/query: 400"),
        ("browser_console", "oh"),
    }


def test_every_check_is_shown_a_planted_fault_and_one_that_does_not_see_it_is_named():
    assert {check for check, _ in planted.FAULTS} == set(CHECKS)
    seen = [Fault(check, "", panel) for check, panel in planted.FAULTS]
    assert planted.missed(seen) == []
    assert planted.missed([one for one in seen if one.check != "browser_titles"]) == [
        "browser_titles does not see what was planted in panel 4"
    ]
    assert planted.missed([*seen, Fault("browser_values", "cut", 1)]) == [
        "browser_values sees a fault in a sound panel: cut"
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"width": 1366},
        {"moving": True},
        {"panels": ()},
        {"panels": (replace(SOUND, loading=True),)},
        {"panels": (SOUND,)},
    ],
)
def test_a_page_that_still_moves_is_not_judged(change):
    """Narrower than its window, without its panels, loading: until a panel reaches to the right edge."""
    reading = Reading((replace(SOUND, box=(0, 0, 2550, 100)),), 2560)
    assert reading.is_of(2560, [1])
    assert not replace(reading, **change).is_of(2560, [1])


VARIABLES = [{"name": "provider", "type": "query"}, {"name": "search", "type": "textbox"}]
EXPLORE = "/explore?panes=" + quote(json.dumps({"gwz": {"queries": [{"query": "{}"}]}}))


@pytest.mark.parametrize(
    ("url", "finds", "says"),
    [
        ("/d/known?from=1&to=2&var-provider=openai&var-search=anything", True, []),
        ("/d/gone?from=1&to=2", True, ["leads to /d/gone, which is not there"]),
        ("/d/known?var-model=x", True, ["chooses model, which known does not know"]),
        ("/d/known?var-provider=x", True, ["chooses provider=x, which known does not offer"]),
        (EXPLORE, True, []),
        (EXPLORE, False, ["finds nothing by {}"]),
    ],
)
def test_a_link_that_leads_nowhere_says_what_is_missing(url, finds, says):
    documents = {"known": {"templating": {"list": VARIABLES}}}
    assert list(dead(url, documents, lambda _: {"openai"}, lambda _: finds)) == says


def test_links_of_panels_and_of_their_columns_are_found():
    by_uid = {page.uid: {lead.link["title"] for lead in leads(finished(page))} for page in pages()}
    assert by_uid["gateway-comparison-v1"] == {"Models", "Traces", "Log lines"}
    assert by_uid["model-performance-v1"] == {"This model", "This provider", "Traces", "Log lines"}


DRAWN = """
<div data-panelid="1" style="position:relative;width:{panel}px;height:100px">
  <h6 style="width:{title}px;overflow:hidden;text-overflow:ellipsis;white-space:nowrap">A title of a panel</h6>
  <div style="width:{cell}px;overflow:hidden;white-space:nowrap">meta-llama/Llama</div>
  <div style="position:relative"><div style="position:absolute"><a href="/d/other">12</a></div></div>
  <div style="height:20px;overflow-y:auto"><p>first</p><p>second</p><p>third</p></div>
  <span style="position:absolute;width:1px;height:1px;overflow:hidden">for screen readers</span>
  {corner}
</div>
"""


@pytest.fixture(scope="module")
def page():
    if chromium.binary() is None:
        pytest.skip("no chromium on this machine")
    with chromium.opened() as browser:
        yield browser.new_page(viewport={"width": 1366, "height": 800})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("markup", "seen"),
    [
        ({}, {}),
        ({"title": 40}, {"title_cut": True}),
        ({"cell": 40}, {"cut": ("meta-llama/Llama",)}),
        (
            {"corner": '<p style="white-space:nowrap">a number that is wider than the whole panel</p>', "panel": 200},
            {"cut": ("a number that is wider than the whole panel",)},
        ),
        ({"corner": '<button aria-label="Panel status"></button>'}, {"error": True}),
        ({"corner": '<i aria-label="Panel loading bar"></i>'}, {"loading": True}),
    ],
)
def test_the_script_reads_of_a_panel_what_a_person_sees(page, markup, seen):
    page.set_content(DRAWN.format(**{"panel": 300, "title": 190, "cell": 190, "corner": "", **markup}))
    one, missing = Reading.of(page.evaluate(script(), [1, 2])).panels
    wanted = {"there": True, "drawn": True, "title_cut": False, "cut": (), "error": False, "loading": False, **seen}
    assert {name: getattr(one, name) for name in wanted} == wanted
    assert one.hrefs == ("/d/other",)
    assert "for screen readers" not in one.said
    assert not missing.there


def test_pictures_are_kept_of_a_run_without_faults_only(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = {"uid": "x", "dashboard": "X", "width": 1366, "theme": "dark", "faults": [], "picture": "pictures/x.png"}
    run = tmp_path / "run"
    (run / "pictures").mkdir(parents=True)
    Image.effect_noise((40, 40), 50).convert("RGB").save(run / "pictures" / "x.png")

    def keep(*pages):
        (run / "report.json").write_text(json.dumps({"browser": pages}))
        return pictures.main(["--run", "run"])

    assert keep(page, {**page, "theme": "light", "picture": "gone"}) == 0
    kept = tmp_path / "docs" / "images" / "x-dark.png"
    with Image.open(kept) as picture:
        assert picture.size == (40, 40)
    kept.unlink()
    for those, says in (
        ([page | {"faults": ["a title is cut"]}], "X: a title is cut"),
        ([], "no dashboard was looked at"),
    ):
        assert keep(*those) == 2
        assert says in capsys.readouterr().err
    Image.effect_noise((1366, 1000), 50).save(run / "pictures" / "x.png")
    assert keep(page) == 2
    assert not kept.exists()
