"""What the tests of the site hear: a file that is missing, and not one that a reader left."""

from __future__ import annotations

from pathlib import Path

import pytest
from built import New, listen


def test_a_file_that_is_missing_is_heard(new_context: New, tmp_path: Path) -> None:
    tab = new_context(offline=True).new_page()
    heard = listen(tab)
    (tmp_path / "page.html").write_text('<img src="gone.png" alt="">', encoding="utf-8")
    tab.goto((tmp_path / "page.html").as_uri())
    assert f"failed: {(tmp_path / 'gone.png').as_uri()}" in heard


@pytest.mark.parametrize("after", ["other.html", "page.html"])
def test_a_file_still_asked_for_as_the_page_is_left_is_not_lost(
    new_context: New, tmp_path: Path, after: str
) -> None:

    tab = new_context().new_page()
    heard = listen(tab)
    asked = []
    tab.on("requestfailed", lambda request: asked.append(request.url))
    (tmp_path / "slow.png").write_bytes(b"")
    (tmp_path / "page.html").write_text("<script>new Image().src = 'slow.png'</script>")
    (tmp_path / "other.html").write_text("another page")
    tab.route("**/slow.png", lambda route: None)
    tab.goto((tmp_path / "page.html").as_uri(), wait_until="commit")
    tab.wait_for_timeout(200)
    tab.goto((tmp_path / after).as_uri(), wait_until="commit")
    tab.wait_for_timeout(200)
    assert len(asked) == 1
    assert heard == []
