"""What may be asked of the service and what it answers, with the limits."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

MAX_BODY = 4 << 20  # bytes
MAX_HISTORY = 5_000  # items of one history
MAX_HISTORIES = 1_000
MAX_K = 1_000
MAX_RECOMMENDATIONS = 20_000  # of one request: histories times k
MAX_PICTURES = 200
MAX_LIST = 100_000  # items of exclude and only
MAX_WEIGHT = 1_000.0
MAX_TOKEN = 500  # characters
MAX_FOUND = 100

Token = Annotated[str, StringConstraints(max_length=MAX_TOKEN)]
K = Annotated[int, Field(ge=1, le=MAX_K)]
Weight = Annotated[float, Field(ge=0, le=MAX_WEIGHT, allow_inf_nan=False)]


class RecommendRequest(BaseModel):
    """Whom to recommend what: a ``history``, or ``histories`` of several people."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "oneOf": [{"required": ["history"]}, {"required": ["histories"]}],
            "examples": [{"history": ["50", "181"], "k": 5, "shares": True}],
        },
    )

    history: Annotated[list[Token], Field(max_length=MAX_HISTORY)] = Field(
        default_factory=list,
        description="Items that a person chose, the oldest first. Unknown ones are skipped.",
    )
    histories: Annotated[
        list[Annotated[list[Token], Field(max_length=MAX_HISTORY)]],
        Field(max_length=MAX_HISTORIES, min_length=1),
    ] = Field(default_factory=list, description="The same of several people.")
    k: K = Field(10, description="Items for each; fewer are given where there are no more.")
    exclude_seen: bool = Field(True, description="Leave out items of the person's own history.")
    exclude: Annotated[list[Token], Field(max_length=MAX_LIST)] = Field(
        default_factory=list, description="Items that nobody gets. Unknown ones are skipped."
    )
    only: Annotated[list[Token], Field(max_length=MAX_LIST, min_length=1)] | None = Field(
        None, description="Items to choose from; by default all. Unknown ones are skipped."
    )
    weights: Annotated[dict[str, Weight], Field(max_length=32)] = Field(
        default_factory=dict, description="Factors of what branches add to a score; 1 if not given."
    )
    shares: bool = Field(False, description="Say what each branch adds to a score.")
    pictures: bool = Field(False, description=f"Give pictures, too; for {MAX_PICTURES} at most.")

    @model_validator(mode="after")
    def _check_together(self) -> RecommendRequest:
        given = self.model_fields_set & {"history", "histories"}
        if len(given) != 1:
            raise ValueError(
                "both history and histories are given" if given else "there is no history"
            )
        n = self.k * len(self.people)
        if n > MAX_RECOMMENDATIONS:
            raise ValueError(f"{n:,} recommendations are asked for, of {MAX_RECOMMENDATIONS:,}")
        if self.pictures and n > MAX_PICTURES:
            raise ValueError(f"{n:,} pictures are asked for, of {MAX_PICTURES}")
        return self

    @property
    def people(self) -> list[list[str]]:
        """The histories, however they were given."""
        return [self.history] if "history" in self.model_fields_set else self.histories


class Item(BaseModel):
    """An item; title and picture (a ``data:`` URL) as far as the export has them."""

    item: str
    title: str | None
    picture: str | None


class Recommendation(Item):
    """An item and why; no score and no shares where the most popular items are given."""

    score: float | None
    shares: dict[str, float] | None


class Recommendations(BaseModel):
    """For one person, the best first."""

    by: Literal["model", "popularity"]
    n_unknown: int = Field(description="Items of the history that were skipped.")
    items: list[Recommendation]


class RecommendResponse(BaseModel):
    """For each history, in the order in which they were given."""

    export: str
    branches: list[str]
    n_unknown: dict[str, int] = Field(description="Skipped items of exclude and of only.")
    results: list[Recommendations]


class KnownItem(Item):
    """An item of the export."""

    n_chosen: int = Field(
        description="How often training had it to predict. Less than it was chosen: neither the "
        "first item of a history is predicted in training, nor what validation and test hold back. "
        "SASRec and GRU4Rec of RecBole: all interactions."
    )


class FoundItems(BaseModel):
    """Items, the most popular first."""

    items: list[Item]


class SimilarItem(Item):
    """An item and the cosine of its vector with that of another."""

    similarity: float


class SimilarResponse(BaseModel):
    """The items nearest to one."""

    export: str
    item: str
    items: list[SimilarItem]


class Health(BaseModel):
    """What is served."""

    status: Literal["ok"]
    export: str
    n_items: int


class Problem(BaseModel):
    """Why there is no answer."""

    error: str = Field(description="What is wrong.")
    remedy: str = Field(description="What to do.")


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Describe errors of an address for its documentation."""
    return {code: {"model": Problem} for code in codes}
