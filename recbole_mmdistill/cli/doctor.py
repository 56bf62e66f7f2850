"""``recbole-mm doctor``: what of the installation works, and what to do about the rest."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence

from ..console import WIDTH
from ..doctor import ABSENT, FIXES, OK, Finding, can_train, describe_installation, examine
from ..errors import UserError
from .arguments import Parser

_EPILOG = "The exit code is 0 if a model can be trained in this folder, and 2 if not."


def main(words: Sequence[str]) -> None:
    """Run the verb."""
    parser = Parser("doctor", description=__doc__.replace("``", ""), epilog=_EPILOG)
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    as_json = parser.parse_args(words).json
    installation = describe_installation()
    if not as_json:
        print("recbole-mm {version} (behaviour {behaviour}) on {platform}".format(**installation))
    findings: list[Finding] = []
    for finding in examine():
        if not as_json:
            if not findings or findings[-1].section != finding.section:
                print(f"\n{finding.section}")
            print(_lines(finding))
        findings.append(finding)
    is_able = can_train(findings)
    if as_json:
        found = [finding._asdict() for finding in findings]
        print(json.dumps({**installation, "can_train": is_able, "findings": found}, indent=2))
    if not is_able:
        raise UserError("No model can be trained here.", "Do what is said of each WRONG finding.")
    if not as_json:
        print("\nA model can be trained here.")


def _lines(finding: Finding) -> str:
    if finding.section == FIXES:
        state = {OK: "active", ABSENT: "not needed"}.get(finding.state, finding.state)
        head, indent = f"  {finding.name} ({state}): ", 4
    else:
        head, indent = f"  {finding.state:<6}  {finding.name:<15}  ", 27
    lines = _wrap(head, finding.detail, indent)
    if finding.remedy:
        lines += "\n" + _wrap(" " * indent + "-> ", finding.remedy, indent + 3)
    return lines


def _wrap(head: str, text: str, indent: int) -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=head,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
