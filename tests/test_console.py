"""What a run prints at its end."""

from recbole_mmdistill.console import format_table

SUMMARY = {
    "model": "IDMMDistill",
    "dataset": "shop",
    "epochs": 12,
    "seconds": 34.5,
    "best_valid": {"ndcg@10": 0.2},
    "test": {"ndcg@10": 0.123456, "hit@10": 0.5},
    "branches": {"id": {"ndcg@10": 0.1, "hit@10": 0.4}},
}


def test_the_table():
    assert format_table(SUMMARY).splitlines() == [
        "Test of IDMMDistill on shop, 12 epochs, 34 s",
        "               ndcg@10        hit@10",
        "all             0.1235        0.5000",
        "id alone        0.1000        0.4000",
    ]


def test_metrics_that_do_not_fit_into_a_line_go_below():
    metrics = {f"ndcg@{k}": k / 100 for k in range(1, 9)}
    table = format_table({**SUMMARY, "test": metrics, "branches": {"text": metrics}})
    assert max(map(len, table.splitlines())) <= 100
    _, *block, header, whole, _ = table.splitlines()
    assert block[0].split() == [f"ndcg@{k}" for k in range(1, 7)] and len(block) == 3
    assert header.split() == ["ndcg@7", "ndcg@8"] and whole.split() == ["all", "0.0700", "0.0800"]


def test_without_test_rows_the_validation_is_shown():
    table = format_table({**SUMMARY, "test": {}, "branches": {}})
    assert table.startswith("No test rows; validation of IDMMDistill on shop")
    assert table.splitlines()[-1].split() == ["IDMMDistill", "0.2000"]
