"""The book, or a chapter, as a PDF: the web pages one after another, printed by a headless browser."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from bs4 import BeautifulSoup, Tag

from sdnet_lib.files import InputError, one_line, write_bytes

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# tables that are wider than the paper wrap their sentences, and if that is not enough get smaller letters
FIT = """
for (const table of document.querySelectorAll("table")) {
  const sentences = [...table.querySelectorAll("td")].filter((cell) => cell.textContent.length > 24);
  for (const cell of sentences) cell.style.whiteSpace = "normal";
  const room = document.querySelector("main").clientWidth - table.parentElement.getBoundingClientRect().left;
  if (table.offsetWidth > room) table.style.zoom = room / table.offsetWidth;
}
"""
PATIENCE = 600  # seconds for all pages
ONLY_ON_SCREEN = ".headerlink, .toy-control, .toy-part, .course-map, script, button"
WIDTH = 178  # millimetres of text on A4, where the browser lays the page out and where it prints it
ON_PAPER = (
    f"""
@page {{ size: A4; margin: 18mm 16mm 20mm; @bottom-center {{ content: counter(page); font-size: 9pt; }} }}
main {{ width: {WIDTH}mm; }}
"""
    + """
html { font-size: 13px; }
body { display: block; background: #fff; }
main p, main li { max-width: none !important; line-height: 1.45 !important; }
main h2 { margin-top: 1.4rem !important; }
main table.dataframe { border: 0; border-collapse: collapse; }
main table.dataframe :is(th, td) { border: 0; padding: 2px 6px; }
main table.dataframe tr { border-bottom: 1px solid #ddd; }
main > section { break-before: page; }
main > section:first-child { break-before: auto; }
figure, img, table, .admonition, .cell_output { break-inside: avoid; }
.cell_output:has(.quiz) { break-inside: auto; }
.quiz li { break-inside: avoid; }
h1, h2, h3, dt, .sd-summary-title { break-after: avoid; }
p:has(+ :is(table, .table-wrapper, .pst-scrollable-table-container)) { break-after: avoid; }
figure.refresher > img { width: auto !important; max-height: 40mm; }  /* one page on paper too */
main > section[id^="book-refreshers-"] { font-size: 0.83em; }
img { max-width: 100%; max-height: 220mm; object-fit: contain; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
.pst-scrollable-table-container, .output, .cell_output { overflow: visible !important; }
"""
)


def write_pdf(
    pages: Path, file: Path, *, only: str | None = None, solutions: bool = True, browser: str | None = None
) -> int:
    """Print a book that was built.

    Links between the pages lead to the place in the PDF; code that the pages fold away is left out.

    Parameters
    ----------
    pages : Path
        The folder ``html`` of `sdnet_lib.publish.build.build`.
    file : Path
        The PDF to write.
    only : str, optional
        Print this chapter alone, such as ``03``.
    solutions : bool
        Whether solutions of exercises and answers of quizzes and refreshers are printed.
    browser : str, optional
        Path of a Chromium or Chrome; found by itself.

    Returns
    -------
    int
        How many web pages are in it.

    Raises
    ------
    InputError
        If `pages` is no book, or has no such chapter; if there is no browser, or it does not print.
    """
    pages = Path(pages).resolve()
    browser = browser or find_browser()
    chosen = ordered(pages)
    if only:
        chosen = [page for page in chosen if Path(page).name.startswith(f"{only}_")]
        if not chosen:
            raise InputError(f"--only {only}: {pages} has no such chapter")
    with tempfile.TemporaryDirectory(prefix="sdnet-pdf-") as folder:
        for name in os.listdir(pages):
            (Path(folder) / name).symlink_to(pages / name)
        sheet = Path(folder) / ".all.html"
        sheet.write_text(as_one(pages, chosen, solutions), encoding="utf-8")
        printed = Path(folder) / ".all.pdf"
        _print(browser, sheet, printed, Path(folder) / ".profile")
        write_bytes(file, printed.read_bytes())
    return len(chosen)


def find_browser() -> str:
    """Return this machine's Chromium or Chrome.

    Raises
    ------
    InputError
        If it has none.
    """
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise InputError("no Chromium or Chrome here, which prints the PDF: apt-get install chromium")
    return found


def ordered(pages: Path) -> list[str]:
    """Return the pages of a book in reading order, each relative to `pages`.

    Raises
    ------
    InputError
        If `pages` holds no book.
    """
    found, page = [], "book/index.html"
    while page and page not in found:
        try:
            soup = _soup(pages / page)
        except FileNotFoundError as error:
            raise InputError(f"{pages / page}: no such page; `sdnet book` builds the book") from error
        found.append(page)
        following = soup.find("link", rel="next")
        page = urljoin(page, following["href"]) if following else ""
    return found


def as_one(pages: Path, chosen: Sequence[str], solutions: bool) -> str:
    """Return one web page that holds the articles of many."""
    first = _soup(pages / chosen[0])
    styles = [urljoin(chosen[0], link["href"]) for link in first.find_all("link", rel="stylesheet")]
    articles = [_article(pages, page, chosen, solutions) for page in chosen]
    head = "".join(f'<link rel="stylesheet" href="{style}">' for style in styles)
    return (
        f'<!DOCTYPE html><html lang="en" data-theme="light" data-mode="light"><head><meta charset="utf-8">'
        f"<title>{first.title.get_text()}</title>{head}<style>{ON_PAPER}</style></head>"
        f'<body><main class="bd-article">{"".join(articles)}</main><script>{FIT}</script></body></html>'
    )


def _soup(file: Path) -> BeautifulSoup:
    return BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")


def _article(pages: Path, page: str, chosen: Sequence[str], solutions: bool) -> str:
    """Return what a page says, ready to stand among others on paper."""
    article = _soup(pages / page).find("article")
    for element in article.select(ONLY_ON_SCREEN):
        element.decompose()
    for element in article.select(".only-dark"):
        element.decompose()
    _unfold(article, solutions)
    for element in article.find_all(id=True):
        element["id"] = _anchor(page, element["id"])
    for image in article.find_all("img", src=True):
        image["src"] = urljoin(page, image["src"])
    for link in article.find_all("a", href=True):
        _lead(link, page, chosen)
    return f'<section id="{_anchor(page)}">{article.decode_contents()}</section>'


def _unfold(article: Tag, solutions: bool) -> None:
    """Open what paper cannot open; leave out code that only sets up, and answers if they are not wanted."""
    for cell in article.select(".tag_solution, details.answer"):
        if not solutions:
            cell.decompose()
    for fold in article.find_all("details"):
        quiz = fold.find_parent(class_="quiz") is not None
        if "hide" in fold.get("class", []) and not fold.find_parent(class_="tag_solution"):
            fold.decompose()
            continue
        if quiz and not solutions:
            for answer in fold.find_all("p"):
                answer.decompose()
        summary = fold.find("summary")
        for title in summary.select(".expanded"):
            title.decompose()
        summary.name = fold.name = "div"
        fold.attrs.pop("name", None)


def _lead(link: Tag, page: str, chosen: Sequence[str]) -> None:
    """Let a link lead to a place in the PDF; one to a page that is not in it becomes text."""
    href = link["href"]
    if urlsplit(href).scheme:
        return
    target, _, place = urljoin(page, href).partition("#")
    if target in chosen:
        link["href"] = "#" + _anchor(target, unquote(place))
    else:
        link.name = "span"
        del link["href"]


def _anchor(page: str, place: str = "") -> str:
    """Return the name of a place that no other page of the book has."""
    return re.sub(r"\W+", "-", page.removesuffix(".html")) + (f"--{place}" if place else "")


def _print(browser: str, sheet: Path, file: Path, profile: Path) -> None:
    """Let a headless browser print a page."""
    # root has no user whom Chromium's sandbox could keep apart, and refuses to start with it
    sandbox = [] if os.geteuid() else ["--no-sandbox"]
    options = [
        "--headless",
        "--disable-gpu",
        *sandbox,
        f"--user-data-dir={profile}",
        "--no-pdf-header-footer",
    ]
    waiting = ["--generate-pdf-document-outline", "--virtual-time-budget=60000"]  # until formulas are set
    command = [browser, *options, *waiting, f"--print-to-pdf={file}", sheet.as_uri()]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{browser} does not print within {PATIENCE} seconds") from error
    if not file.is_file():
        said = one_line(done.stderr.decode(errors="replace"))[-200:]
        raise InputError(f"{browser} prints nothing, exit status {done.returncode}: {said}")
