"""One document in three languages."""

from recbole_mmdistill.evaluation.document import Document, Figure, Section, Table

TABLE = Table(
    "50% <b>", ("model", "NDCG@10"), (("a_b", "0.1 ± 0.0"), ("us", "0.2")), frozenset({1})
)
FIGURE = Figure("curve", "a curve", "<svg><path/></svg>")
DOCUMENT = Document("A & B", [Section("First", ["Words."], [TABLE], [FIGURE])])


def test_markdown():
    assert DOCUMENT.markdown().splitlines() == [
        "# A & B",
        "",
        "## First",
        "",
        "Words.",
        "",
        "**50% <b>**",
        "",
        "| model | NDCG@10 |",
        "| --- | ---: |",
        "| a_b | 0.1 ± 0.0 |",
        "| **us** | **0.2** |",
        "",
        "![a curve](figures/curve.svg)",
    ]


def test_latex_escapes_what_would_be_commands():
    latex = DOCUMENT.latex()
    assert r"\caption{50\% $<$b$>$}" in latex
    assert r"a\_b & 0.1 $\pm$ 0.0 \\" in latex
    assert r"\textbf{us} & \textbf{0.2} \\" in latex


def test_html_escapes_texts_and_holds_its_drawings():
    page = DOCUMENT.html()
    assert "<figcaption>50% &lt;b&gt;</figcaption>" in page
    assert ">A &amp; B</h1>" in page
    assert "<svg><path/></svg><figcaption>a curve</figcaption>" in page
    assert '<tr class="emphasised"><th scope="row">us</th>' in page
    assert '<a href="#s1">First</a>' in page and '<h2 id="s1">First</h2>' in page
