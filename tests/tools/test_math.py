"""The tool `math`: what it computes, what it says, and what it does without a sandbox."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given, strategies

from support import needs
from support.tools import call, prepare
from turnstone.core.errors import ToolRefused
from turnstone.core.sandbox import Level, Sandbox
from turnstone.core.tool import ToolContext
from turnstone.sandbox import Unconfined, find_sandbox
from turnstone.tools.math import MAX_CODE, Math
from turnstone.tools.math_code import split
from turnstone.tools.math_outcome import NOTHING


@pytest.fixture
async def sandbox() -> Sandbox:
    needs.require("bwrap")
    found = await find_sandbox()
    if found.confinement.level < Level.L2:
        needs.give_up("; ".join(found.confinement.notes))
    return found


#: What a model may well send, and what it must read.
PROGRAMS = {
    "a sum": ("1 + 1", "2"),
    "a big power": ("2**200", str(2**200)),
    "a print": ("print(3, 4)", "3 4"),
    "a result": ("result = [1, 2]", "[1, 2]"),
    "a result after a print": ("print('hi')\nresult = 5", "hi\nresult = 5"),
    "a value after a print": ("print('hi')\n5", "hi"),
    "several on one line": ("a = 1; b = 2; a + b", "3"),
    "nothing": ("x = 1", NOTHING),
    "math without an import": ("math.gcd(12, 18)", "6"),
    "an import": ("import math\nmath.comb(50, 25)", "126410606437752"),
    "fractions": ("Fraction(1, 3) + Fraction(1, 6)", "1/2"),
    "decimals": ("Decimal('0.1') + Decimal('0.2')", "0.3"),
    "decimals of fifty digits": (
        "decimal.getcontext().prec = 50\nDecimal(2).sqrt()",
        "1.4142135623730950488016887242096980785696718753769",
    ),
    "statistics": ("statistics.median([3, 1, 2])", "2"),
    "a generator": ("def squares(n):\n    for i in range(n):\n        yield i * i\nlist(squares(4))", "[0, 1, 4, 9]"),
    "a class with parents": ("class A(int):\n    pass\nA(3) + 1", "4"),
    "itertools": ("len(list(itertools.permutations('abcd')))", "24"),
    "reduce": ("functools.reduce(operator.mul, range(1, 11))", "3628800"),
    "counting": ("collections.Counter('abca').most_common(1)", "[('a', 2)]"),
    "random with a seed": ("random.seed(1)\nr = random.random()\n0 <= r < 1", "True"),
    "a pattern": ("re.findall(r'\\d+', 'a1b22')", "['1', '22']"),
    "letters": ("string.ascii_lowercase[:3]", "abc"),
    "dates": ("from datetime import date\n(date(2024, 3, 1) - date(2024, 2, 1)).days", "29"),
    "complex numbers": ("import cmath\ncmath.sqrt(-1)", "1j"),
    "thousands of digits": ("len(str(math.factorial(3000)))", "9131"),
    "text of several lines": ('"""a\nb"""', "a\nb"),
    "a sieve": (
        "n = 1000\ns = set(range(2, n))\nfor i in range(2, n):\n    s -= set(range(2 * i, n, i))\nlen(s)",
        "168",
    ),
    "a comment at the end": ("6 * 7  # the answer\n# end", "42"),
    "deep recursion": ("def f(n):\n    return 0 if n == 0 else 1 + f(n - 1)\nf(800)", "800"),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
async def test_a_program_gives_its_exact_result(
    name: str, sandbox: Sandbox, context: ToolContext
) -> None:
    code, expected = PROGRAMS[name]

    result = await call(Math(sandbox), context, code=code)

    assert (result.status, result.output) == ("ok", expected)


async def test_an_error_comes_after_what_was_printed_and_with_its_line(
    sandbox: Sandbox, context: ToolContext
) -> None:
    code = "def f(x):\n    return 1 / x\nprint('before')\nf(0)"

    confined = await call(Math(sandbox), context, code=code)
    monty = await call(Math(Unconfined()), context, code=code)

    for result in (confined, monty):
        assert result.status == "error"
        assert result.output.startswith("before\nError: ")
        assert "ZeroDivisionError: division by zero" in result.output
    assert "line 2, in f" in confined.output


async def test_without_a_sandbox_it_says_what_is_missing(context: ToolContext) -> None:
    math = Math(Unconfined())

    assert (await call(math, context, code="math.sqrt(16)")).output == "4.0"
    result = await call(math, context, code="import fractions")

    assert result.status == "error"
    assert "No module named 'fractions'" in result.output
    assert "This is Monty, a part of Python" in result.output
    assert "commands cannot be confined on this machine" in result.output


async def test_time_memory_and_output_that_are_used_up_are_told(
    sandbox: Sandbox, context: ToolContext
) -> None:
    hurried = Math(sandbox, seconds=0.5)

    late = await call(hurried, context, code="while True: pass")
    big = await call(hurried, context, code="x = [0] * 10**9")
    loud = await call(hurried, context, code="print('x' * 10**6)")

    assert late.output == "Error: The code took longer than 0.5 s, the time limit."
    assert big.output == "Error: The code needed more memory than it may have."
    assert "Error: The code printed more than 64,000 characters." in loud.output
    assert "characters cut out here; the limit is 10,000" in loud.output


async def test_nothing_is_kept_from_one_call_to_the_next(
    sandbox: Sandbox, context: ToolContext
) -> None:
    math = Math(sandbox)
    await call(math, context, code="kept = 1\nresult = 2")

    assert (await call(math, context, code="x = 3")).output == NOTHING
    assert "NameError" in (await call(math, context, code="kept")).output


async def test_nothing_is_left_in_the_workspace(sandbox: Sandbox, context: ToolContext) -> None:
    await call(Math(sandbox), context, code="import fractions")

    assert list(context.workspace.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("  \n", "is empty"),
        ("1\0", "NUL"),
        ("'\ud800'", "half of a character"),
        ("x" * (MAX_CODE + 1), "32,001 bytes; 32,000 can be run"),
    ],
)
async def test_code_that_cannot_be_run_is_refused(
    code: str, said: str, context: ToolContext
) -> None:
    with pytest.raises(ToolRefused, match=said):
        await prepare(Math(Unconfined()), context, code=code)


async def test_the_exact_code_is_shown(context: ToolContext) -> None:
    prepared = await prepare(Math(Unconfined()), context, code="1 +\\\n 1 # \u202e")

    assert prepared.preview == "1 +\\\n 1 # \\u202e"
    assert prepared.header == "math: 1 +\\ …"
    assert (prepared.effect, prepared.network, prepared.commands) == ("pure", False, ())


#: Pieces that programs are made of, among them those in which an expression only seems to be.
PIECES = [
    "x",
    "x = 1",
    "x: int",
    "x: int = 1",
    "x += 1",
    "x == 1",
    "(y := 3)",
    "lambda a=1, *b: {a: b}",
    "f(a=1)[1:2]",
    "f'{x:>{y}} {x=}'",
    "'a' 'b'",
    '"""a\nb = 1\n"""',
    "[1,\n2,\n3]",
    "x = [\n1\n]",
    "x = \\\n1",
    "1 + \\\n1",
    "x = 1; y",
    "y; x = 1",
    "a; b",
    "x;",
    "# a comment",
    "x  # a comment",
    "if x: y",
    "if x:\n    y\nelse:\n    z",
    "def f():\n    return 1",
    "for i in x:\n  i",
    "with x: y",
    "pass",
    "not x",
    "import math",
    "del x",
    "return_value",
    "match x:\n    case 1: y",
    "match",
    "a if b else c",
    "@d\ndef g(): pass",
    "class C: z",
    "*a, b = c",
    "{1: 2, **d}",
    "a, b",
    "yes: x",
    "",
]


@given(strategies.lists(strategies.sampled_from(PIECES), min_size=1, max_size=5))
def test_the_last_expression_is_the_one_that_python_sees(pieces: list[str]) -> None:
    code = "\n".join(pieces)
    body = ast.parse(code).body
    expected = ast.dump(body[-1].value) if body and isinstance(body[-1], ast.Expr) else ""

    found = split(code)

    last = ast.dump(ast.parse(found.last.strip(), mode="eval").body) if found.last else ""
    assert last == expected
    rest = body[:-1] if expected else body
    assert ast.dump(ast.parse(found.head)) == ast.dump(ast.Module(rest, []))


@given(strategies.text(alphabet="ab1 \n\t;:=()[]{}\"'\\#@lambdfie.,", max_size=60))
def test_text_that_is_no_python_never_fails(text: str) -> None:
    found = split(text)

    assert found.last or found.head == text


def test_the_last_expression_stays_on_its_line() -> None:
    assert split("a = 1\n\nb(\n2)").last == "\n\n(b(\n2)\n)"
