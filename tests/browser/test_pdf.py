"""A chapter on paper, printed by the browser of the tests."""

import pypdf
import pytest

from sdnet_lib.publish.pdf import write_pdf
from tests.browser import bring


@pytest.fixture(scope="module")
def paper(html, chromium, tmp_path_factory):
    file = tmp_path_factory.mktemp("paper") / "04.pdf"
    browser = bring.find() or chromium.browser_type.executable_path
    assert write_pdf(html, file, only="04", browser=browser) == 1
    return pypdf.PdfReader(file)


def test_a_chapter_is_printed_with_its_outline(paper):
    assert "FuCiTNet" in paper.outline[0].title
    assert len(paper.pages) > 5
    text = "\n".join(page.extract_text() for page in paper.pages)
    assert "Show a solution" in text and "The generator of P, to be on the safe side." in text


def test_formulas_are_set(paper):
    text = "\n".join(page.extract_text() for page in paper.pages)
    assert "\\lambda" not in text and "\\(" not in text


def test_nothing_on_paper_is_wider_than_the_paper(paper):
    for page in paper.pages:
        assert page.mediabox.width == pytest.approx(595, abs=1)  # A4, not shrunk


def test_no_link_leads_to_a_file_of_this_machine(paper):
    links = [
        link.get_object()["/A"].get("/URI", "")
        for page in paper.pages
        for link in page.get("/Annots", [])
        if "/A" in link.get_object()
    ]
    assert not [link for link in links if link.startswith("file:")]


@pytest.mark.long
def test_in_the_whole_book_each_refresher_is_one_page(html, chromium, tmp_path):
    browser = bring.find() or chromium.browser_type.executable_path
    assert write_pdf(html, tmp_path / "book.pdf", browser=browser) > 30
    book = pypdf.PdfReader(tmp_path / "book.pdf")
    starts = [
        book.get_destination_page_number(entry) for entry in book.outline if not isinstance(entry, list)
    ]
    titles = [entry.title for entry in book.outline if not isinstance(entry, list)]
    first, after = titles.index("Refreshers"), titles.index("Library reference")
    assert after - first == 9
    assert starts[first : after + 1] == list(range(starts[first], starts[first] + 10))
