"""How many tokens a text will be: near enough before anybody has counted, and nearer after."""

from __future__ import annotations

import json

import pytest

from turnstone.core import tokens

_ROWS = [
    {
        "id": n * 7_919 % 100_003,
        "user": f"user_{n * 31 % 97}",
        "ok": n % 3 == 0,
        "score": n * 0.0371,
        "tags": ["alpha", "beta"],
        "at": f"2026-11-{n % 28 + 1:02d}T12:{n % 60:02d}:00Z",
    }
    for n in range(30)
]
_LOG = "\n".join(
    f"2026-11-{n % 28 + 1:02d} 12:{n % 60:02d}:{n * 7 % 60:02d},{n * 37 % 1000:03d} [INFO] "
    f"worker-{n % 9} com.example.Handler: request {n * 2_654_435_761 % 2**32:08x} took {n * 17}ms"
    for n in range(30)
)
_PYTHON = '''
class Purse:
    """One per workstream."""

    def __init__(self, journal: Journal, new_id: Callable[[], str]) -> None:
        self._journal = journal
        self._told: float | None = None

    async def reserve(self, cost: Cost) -> Reservation:
        async with self.above() as above:
            for journal in (self._journal, *above):
                if not journal.transcript.ledger.concerns(cost):
                    continue
                raise OverBudget(journal.transcript.summary.name, _left(journal))
'''

#: A text of each kind, and its tokens as the vocabulary `cl100k_base` counts them.
SAMPLES = {
    "English": (
        (
            "The store keeps every record of a workstream, and everything else is a fold of them. "
            "Whoever reads it late sees the same as whoever was there from the beginning, in the "
            "same order; and where somebody has missed too much, that is told, and a snapshot "
            "follows. None of this depends on how often the process was restarted in between."
        ),
        70,
    ),
    "German": (
        (
            "Der Bau der neuen Eisenbahnstrecke wurde nach jahrelangen Verhandlungen mit den "
            "zuständigen Behörden endlich genehmigt. Die Anwohner befürchten jedoch erhebliche "
            "Lärmbelästigungen und eine Wertminderung ihrer Grundstücke. Wir haben gestern lange "
            "darüber gesprochen, ob es nicht besser wäre, das Ganze noch einmal zu beginnen."
        ),
        93,
    ),
    "Japanese": (
        (
            "昨日の会議では、新しいシステムの導入について長い議論が行われました。多くの参加者は、"
            "現在の仕組みには問題があると考えていますが、どのように改善すべきかについては意見が"
            "分かれています。ファイルが見つからない場合は、設定を確認してからもう一度実行してください。"
        ),
        131,
    ),
    "Russian": (
        (
            "Вчера на совещании долго обсуждали внедрение новой системы. Многие участники считают, "
            "что нынешний порядок имеет недостатки. Если файл не найден, проверьте настройки."
        ),
        73,
    ),
    "Python": (_PYTHON, 120),
    "JSON": (json.dumps(_ROWS), 1_706),
    "JSON, short": (json.dumps(_ROWS, separators=(",", ":")), 1_347),
    "JSON, indented": (json.dumps(_ROWS, indent=2), 2_156),
    "a log": (_LOG, 1_061),
}


@pytest.mark.parametrize(("text", "counted"), SAMPLES.values(), ids=SAMPLES)
def test_the_estimate_of_a_text_is_within_a_quarter_of_its_tokens(text: str, counted: int) -> None:
    assert tokens.of_text(text) == pytest.approx(counted, rel=0.25)


def test_a_few_counts_of_a_provider_bring_the_estimate_to_its_own() -> None:
    ratio = 1.0
    for _ in range(6):
        ratio = tokens.corrected(ratio, 1_000, 1_600)
    assert 1_000 * ratio == pytest.approx(1_600, rel=0.03)


def test_a_count_that_counts_something_else_moves_it_only_so_far() -> None:
    assert tokens.corrected(1.0, 1_000, 1_000_000) <= 2.5
    assert tokens.corrected(1.0, 1_000_000, 1) >= 0.5
    assert tokens.corrected(1.2, 1_000, 0) == 1.2


def test_a_message_counts_its_calls_and_their_arguments() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "bash", "arguments": "x " * 100}}
    silent = tokens.of_message({"role": "assistant", "content": ""})
    assert tokens.of_message({"role": "assistant", "content": "", "tool_calls": [call]}) > (
        silent + tokens.of_text("x " * 100)
    )
