"""What is printed: pages in reading order, links within the paper, folds opened, answers only if asked."""

from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from sdnet_lib.files import InputError
from sdnet_lib.publish import pdf

FOLD = '<details class="hide"><summary><p class="collapsed">{0}</p></summary><pre>{1}</pre></details>'
PAGES = {
    "book/index": (
        '<p id="top">front</p><a href="../notebooks/01_a.html#x%20y">go</a><img src="../_images/f.png">'
    ),
    "notebooks/01_a": (
        '<p id="x y">first</p><a href="#x y">here</a><a href="../book/gone.html">gone</a>'
        '<a href="https://example.org/">web</a><a class="headerlink" href="#x">#</a><button>Play</button>'
        f'<div class="cell">{FOLD.format("How a notebook starts", "import set_up")}<p>shown</p></div>'
        f'<div class="cell tag_solution">{FOLD.format("Show a solution", "answer = 42")}</div>'
        '<ol class="quiz"><details name="q"><summary>A choice</summary><p>Right.</p></details></ol>'
        '<details class="answer"><summary>Open</summary><p>Surely.</p></details>'
        '<details class="table"><summary>Long</summary><p>Rows.</p></details>'
    ),
}


@pytest.fixture
def pages(tmp_path):
    names = list(PAGES)
    for name, following in zip(names, [*names[1:], ""], strict=True):
        file = tmp_path / "html" / f"{name}.html"
        file.parent.mkdir(parents=True)
        link = f'<link rel="next" href="../{following}.html">' if following else ""
        style = '<link rel="stylesheet" href="../_static/a.css">'
        head = f"<head><title>Toy</title>{link}{style}</head>"
        body = f"<body><nav>menu</nav><article>{PAGES[name]}</article></body>"
        file.write_text(head + body, encoding="utf-8")
    return tmp_path / "html"


def printed(pages, **options):
    chosen = pdf.ordered(pages)
    return BeautifulSoup(pdf.as_one(pages, chosen, options.get("solutions", True)), "html.parser")


def test_pages_come_in_reading_order_without_menus(pages):
    text = printed(pages).find("main").get_text()
    assert text.index("front") < text.index("first") < text.index("shown")
    assert "menu" not in text and "Play" not in text


def test_each_link_leads_to_a_place_on_paper_or_to_the_web(pages):
    soup = printed(pages)
    ids = [element["id"] for element in soup.find_all(id=True)]
    assert len(ids) == len(set(ids))
    links = {link.get_text(): link["href"] for link in soup.find_all("a")}
    assert links.keys() == {"go", "here", "web"}
    assert links["go"] == links["here"] and links["go"].removeprefix("#") in ids
    assert links["web"] == "https://example.org/"
    assert soup.find("img")["src"] == "_images/f.png"


def test_solutions_and_answers_are_printed_by_choice(pages):
    whole = printed(pages).find("main").get_text()
    assert all(text in whole for text in ("answer = 42", "Right.", "Surely.", "Rows."))
    assert "import set_up" not in whole
    questions = printed(pages, solutions=False).find("main").get_text()
    assert "answer" not in questions and "Right." not in questions and "A choice" in questions
    assert "Surely." not in questions and "Rows." in questions
    assert not printed(pages).find("details")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda pages: {"only": "09"}, "--only 09: .* has no such chapter"),
        (lambda pages: {"pages": pages / "nothing"}, "no such page; `sdnet book` builds the book"),
        (lambda pages: {"browser": "/bin/true"}, "/bin/true prints nothing, exit status 0"),
        (lambda pages: {"browser": "/bin/false"}, "/bin/false prints nothing, exit status 1"),
    ],
)
def test_what_cannot_be_printed_is_one_line_and_leaves_the_old_file(pages, tmp_path, change, message):
    old = tmp_path / "book.pdf"
    old.write_text("old", encoding="utf-8")
    options = {"pages": pages, "browser": "/bin/true"} | change(pages)
    with pytest.raises(InputError, match=message):
        pdf.write_pdf(file=old, **options)
    assert old.read_text(encoding="utf-8") == "old"


def test_without_a_browser_it_says_what_to_install(monkeypatch, pages, tmp_path):
    monkeypatch.setenv("PATH", str(Path(tmp_path)))
    with pytest.raises(InputError, match="apt-get install chromium"):
        pdf.write_pdf(pages, tmp_path / "book.pdf")
