"""Edits and what must come of them, one a row: the text, what is quoted, what shall stand there.

After the cases on which edit tools of several kinds are known to have failed. `no(...)` is a
refusal with these words. A text is UTF-8 unless it is given as bytes.
"""

from __future__ import annotations

from typing import NamedTuple


class No(NamedTuple):
    words: str


def no(words: str) -> No:
    return No(words)


class Case(NamedTuple):
    name: str
    text: str | bytes
    old: str
    new: str
    want: str | bytes | No
    near: int | None = None


NOT_FOUND = no("not found")
ABOUT_ALIKE = no("quote it exactly")
BODY = "def f(a, b):\n    total = a + b\n    if total > 10:\n        return 10\n    return total\n"
LONG = (
    "class Store:\n"
    '    """Keeps rows, and tells who asks."""\n'
    "\n"
    "    def open(self, path):\n"
    "        # The folder is made if it is missing.\n"
    "        self.path = path\n"
    "        self.rows = load_rows(path)\n"
    "        self.count = len(self.rows)\n"
    "        return self\n"
)
U16 = "utf-16-le"


def utf16(text: str, form: str = U16) -> bytes:
    mark = b"\xff\xfe" if form == U16 else b"\xfe\xff"
    return mark + text.encode(form)


BOM = b"\xef\xbb\xbf"

EXACT = [
    Case("a word", "one two three", "two", "2", "one 2 three"),
    Case("a line", "a\nb\nc\n", "b\n", "B\n", "a\nB\nc\n"),
    Case("several lines", "a\nb\nc\nd\n", "b\nc", "x", "a\nx\nd\n"),
    Case("the whole file", "a\nb\n", "a\nb\n", "c\n", "c\n"),
    Case("all of it taken away", "a\nb\n", "a\nb\n", "", ""),
    Case("a line taken away", "a\nb\nc\n", "b\n", "", "a\nc\n"),
    Case("a word taken away", "a b c", " b", "", "a c"),
    Case("a line put in between", "a\nc\n", "a\n", "a\nb\n", "a\nb\nc\n"),
    Case("at the very start", "a\nb\n", "a", "x", "x\nb\n"),
    Case("at the very end", "a\nb", "b", "x", "a\nx"),
    Case("two lines joined", "a\nb\n", "a\nb", "a b", "a b\n"),
    Case("a line split", "a b\n", "a b", "a\nb", "a\nb\n"),
    Case("only a line feed", "a\nb", "\n", " ", "a b"),
    Case("blank lines made fewer", "a\n\n\n\nb\n", "a\n\n\n\nb", "a\n\nb", "a\n\nb\n"),
    Case("a space at the end taken away", "a \nb\n", "a \n", "a\n", "a\nb\n"),
    Case("the indentation alone", "if x:\n  y\n", "  y", "    y", "if x:\n    y\n"),
    Case("a tab for spaces, as asked", "\ta\n", "\ta", "    a", "    a\n"),
    Case("case counts", "Abc abc", "abc", "x", "Abc x"),
    Case("regular expressions are text", "a.*b aXXb", "a.*b", "x", "x aXXb"),
    Case("a backslash is a backslash", r"C:\new\table", r"\new", r"\old", r"C:\old\table"),
    Case("group references are text", "f(a)", "f(a)", r"\1 \g<0> $1", r"\1 \g<0> $1"),
    Case("a dollar and braces", "x=${A}", "${A}", "${B:-$(c)}", "x=${B:-$(c)}"),
    Case("percent signs", "100%d", "%d", "%s%%", "100%s%%"),
    Case("quotes", "say('it''s')", "'it''s'", '"it\'s"', 'say("it\'s")'),
    Case("the new text contains the old", "a", "a", "aaa", "aaa"),
    Case("the old text contains the new", "aaab", "aaab", "a", "a"),
    Case("a line of 100,000 characters", "x" * 100_000 + "y", "xy", "z", "x" * 99_999 + "z"),
    Case("a form feed stays", "a\x0cb\nc\n", "c", "d", "a\x0cb\nd\n"),
    Case("a line separator is no line end", "a\u2028b\nc\n", "c", "d", "a\u2028b\nd\n"),
    Case("a vertical tab stays", "a\x0bb\n", "b", "c", "a\x0bc\n"),
    Case(
        "marks of a merge are text", "<<<<<<< A\nx\n=======\n", "x", "y", "<<<<<<< A\ny\n=======\n"
    ),
    Case("a fence is text", "```\nx\n```\n", "```\nx", "```py\nx", "```py\nx\n```\n"),
    Case("it is part of a longer word", "foobar foo_", "foobar", "x", "x foo_"),
    Case("near_line does not matter for one place", "a\nb\nc\n", "c", "x", "a\nb\nx\n", 1),
]

NO_FINAL_LINE_FEED = [
    Case("the last line changes", "a\nb", "b", "c", "a\nc"),
    Case("an earlier line changes", "a\nb", "a", "x", "x\nb"),
    Case("one is added as asked", "a\nb", "b", "b\n", "a\nb\n"),
    Case("one is taken away as asked", "a\nb\n", "b\n", "b", "a\nb"),
    Case("it was quoted with one", "a\nb", "a\nb\n", "a\nc\n", "a\nc"),
    Case("the last line goes", "a\nb", "\nb", "", "a"),
    Case("a line is put at the end", "a\nb", "b", "b\nc", "a\nb\nc"),
    Case("the only line", "a", "a", "b", "b"),
]

LINE_ENDINGS = [
    Case("CRLF, one line", "a\r\nb\r\n", "b", "c", "a\r\nc\r\n"),
    Case("CRLF, quoted with LF", "a\r\nb\r\nc\r\n", "a\nb", "x\ny", "x\r\ny\r\nc\r\n"),
    Case("CRLF, quoted with CRLF", "a\r\nb\r\n", "a\r\nb", "x\r\ny", "x\r\ny\r\n"),
    Case("CRLF, new text with both", "a\r\nb\r\n", "a", "x\r\ny\nz", "x\r\ny\r\nz\r\nb\r\n"),
    Case("CRLF, a line added", "a\r\nc\r\n", "a\n", "a\nb\n", "a\r\nb\r\nc\r\n"),
    Case("CRLF, a line removed", "a\r\nb\r\nc\r\n", "b\n", "", "a\r\nc\r\n"),
    Case("CRLF, no end of the last line", "a\r\nb", "b", "c\nd", "a\r\nc\r\nd"),
    Case("CRLF, only the ending", "a\r\nb", "\n", " ", "a b"),
    Case("CRLF, two line ends", "a\r\n\r\nb\r\n", "a\n\nb", "a\nb", "a\r\nb\r\n"),
    Case("LF, quoted with CRLF", "a\nb\nc\n", "a\r\nb", "x\r\ny", "x\ny\nc\n"),
    Case("mixed, the others stay", "a\r\nb\nc\r\nd\n", "b", "x", "a\r\nx\nc\r\nd\n"),
    Case("mixed, each line keeps its own", "a\r\nb\nc\r\n", "a\nb\nc", "A\nB\nC", "A\r\nB\nC\r\n"),
    Case("mixed, the middle one goes", "a\r\nb\nc\r\n", "a\nb\nc", "a\nc", "a\r\nc\r\n"),
    Case("mixed, one is added in CRLF", "a\r\nb\r\nc\n", "b", "b\nx", "a\r\nb\r\nx\r\nc\n"),
    Case("mixed, one is added in LF", "a\nb\nc\r\n", "c", "x\nc", "a\nb\nx\nc\r\n"),
    Case("a lone CR stays", "a\rb\nc\n", "c", "d", "a\rb\nd\n"),
    Case("a lone CR can be changed", "a\rb\n", "a\rb", "a b", "a b\n"),
    Case("a lone CR is no line end", "a\rb\r", "a\nb", "x", NOT_FOUND),
    Case("no CRLF is made of two halves", "a\rX\nb\n", "X", "", no("carriage return")),
    Case("no CRLF is made by a last CR", "a\nb\n", "a", "a\r", no("carriage return")),
    Case("CRLF for LF alone changes nothing", "a\nb\n", "a\n", "a\r\n", no("the same")),
    Case("twice CR", "a\r\r\nb\r\n", "b", "c", "a\r\r\nc\r\n"),
]

ENCODINGS = [
    Case("UTF-8 mark stays", BOM + b"a\nb\n", "a", "x", BOM + b"x\nb\n"),
    Case("UTF-8 mark stays without the first line", BOM + b"a\nb\n", "a\n", "", BOM + b"b\n"),
    Case("UTF-8 mark and CRLF", BOM + b"a\r\nb\r\n", "a\nb", "c\nd", BOM + b"c\r\nd\r\n"),
    Case("the mark is not quoted", BOM + b"a\n", "\ufeffa", "b", NOT_FOUND),
    Case("UTF-16 little end", utf16("a\nb\n"), "b", "ü", utf16("a\nü\n")),
    Case("UTF-16 big end", utf16("a\nb\n", "utf-16-be"), "b", "ü", utf16("a\nü\n", "utf-16-be")),
    Case("UTF-16 and CRLF", utf16("a\r\nb\r\n"), "a\nb", "c\nd", utf16("c\r\nd\r\n")),
    Case("UTF-16 beyond the first plane", utf16("a😀b"), "😀", "🎉🎉", utf16("a🎉🎉b")),
    Case("UTF-16 with half a unit", utf16("a\nb") + b"\0", "a", "x", no("not UTF-16")),
    Case("UTF-16 with half a pair", b"\xff\xfea\0\0\xd8b\0", "a", "x", no("not UTF-16")),
    Case("UTF-32", "a\nb".encode("utf-32"), "a", "x", no("is not")),
    Case("Latin-1", "naïve café\n".encode("latin-1"), "naïve", "x", no("not UTF-8")),
    Case("Latin-1, elsewhere", b"a\nb\xe9\n", "a", "x", no("byte 3")),
    Case("cut in the middle of a character", "a ü".encode()[:-1], "a", "x", no("not UTF-8")),
    Case("an overlong form", b"a \xc0\xaf", "a", "x", no("not UTF-8")),
    Case("surrogates in UTF-8", b"a \xed\xa0\x80", "a", "x", no("not UTF-8")),
    Case("a NUL in it", b"a\0b", "a", "x", no("binary")),
    Case("an image", b"\x89PNG\r\n\x1a\n\0\0", "PNG", "x", no("not UTF-8")),
    Case("new text with half a pair", "a", "a", "\ud83d", no("half of a character")),
    Case("old text with half a pair", "a", "\udc00", "a", no("half of a character")),
    Case("new text with a NUL", "a", "a", "a\0", no("NUL")),
    Case("old text with a NUL", "a", "a\0", "a", no("NUL")),
]

UNICODE = [
    Case("umlauts", "Grüße\n", "Grüße", "Gruß", "Gruß\n"),
    Case("emoji of several parts", "a 👩‍👩‍👧 b", "👩‍👩‍👧", "👍🏽", "a 👍🏽 b"),
    Case("a flag", "🇩🇪🇫🇷", "🇩🇪", "🇮🇹", "🇮🇹🇫🇷"),
    Case("right to left", "x = 'שלום עולם'\n", "שלום", "ערב", "x = 'ערב עולם'\n"),
    Case("Arabic with marks", "مُحَمَّد ab", "ab", "cd", "مُحَمَّد cd"),
    Case("Chinese", "第一行\n第二行\n", "第二行", "末行", "第一行\n末行\n"),
    Case("Thai", "สวัสดี\nok\n", "ok", "ดี", "สวัสดี\nดี\n"),
    Case("a zero-width space counts", "a\u200bb ab", "ab", "x", "a\u200bb x"),
    Case("no-break space is no space", "a\u00a0b", "a b", "x", NOT_FOUND),
    Case("a soft hyphen counts", "co\u00adop", "coop", "x", NOT_FOUND),
    Case("a homoglyph is another letter", "p\u0430y(1)\n", "pay(1)", "x", NOT_FOUND),
    Case("full width is another letter", "ＡＢ\n", "AB", "x", NOT_FOUND),
    Case("composed, quoted so", "caf\u00e9\n", "caf\u00e9", "tea", "tea\n"),
    Case("decomposed, quoted so", "cafe\u0301\n", "cafe\u0301", "tea", "tea\n"),
    Case(
        "decomposed, quoted composed", "x\ncafe\u0301\n", "caf\u00e9", "th\u00e9", "x\nthe\u0301\n"
    ),
    Case("composed, quoted decomposed", "x\ncaf\u00e9\n", "cafe\u0301", "tea", "x\ntea\n"),
    Case("part of a line in another form", "my cafe\u0301 is\n", "caf\u00e9", "tea", NOT_FOUND),
    Case(
        "decomposed lines that stay, stay", "e\u0301\nb\n", "\u00e9\nb", "\u00e9\nc", "e\u0301\nc\n"
    ),
    Case("a typographic quote in a changed line", "say(“a”)\n", 'say("a")', "x", NOT_FOUND),
    Case("the mark of direction stays", "a\u202eb\nc\n", "c", "d", "a\u202eb\nd\n"),
    Case("Turkish i", "İstanbul\n", "istanbul", "x", NOT_FOUND),
    Case("sharp s", "Straße\n", "Strasse", "x", NOT_FOUND),
]

DUPLICATES = [
    Case("twice", "a\nb\na\n", "a", "x", no("2 times, at lines 1, 3.")),
    Case("twice on a line", "a a\n", "a", "x", no("2 times, at lines 1, 1.")),
    Case("overlapping", "aaa", "aa", "x", no("2 times")),
    Case("overlapping lines", "x\nx\nx\n", "x\nx\n", "y\n", no("2 times, at lines 1, 2.")),
    Case("within a longer word", "foo foobar", "foo", "x", no("2 times")),
    Case("thirty of them", "a\n" * 30, "a", "x", no("30 times, at lines 1, 2, 3")),
    Case("thirty of them are cut", "a\n" * 30, "a", "x", no("20 and 10 more")),
    Case("a brace", "if {\n}\nif {\n}\n", "}", "]", no("lines 2, 4")),
    Case("blank lines", "a\n\nb\n\nc\n", "\n\n", "\n", no("2 times")),
    Case("more text makes it one", "a\nb\na\nc\n", "a\nc", "x\nc", "a\nb\nx\nc\n"),
    Case("near the first", "a\nb\na\n", "a", "x", "x\nb\na\n", 1),
    Case("near the second", "a\nb\na\n", "a", "x", "a\nb\nx\n", 3),
    Case("far beyond the end", "a\nb\na\n", "a", "x", "a\nb\nx\n", 1000),
    Case("equally near: the first", "a\nb\na\n", "a", "x", "x\nb\na\n", 2),
    Case("twice on the line: the first", "b\na a\n", "a", "x", "b\nx a\n", 2),
    Case("the nearest of three", "a\nb\na\nb\nb\na\n", "a", "x", "a\nb\nx\nb\nb\na\n", 4),
    Case("by the first line of the text", "q\na\nb\nq\na\nb\n", "a\nb", "x", "q\na\nb\nq\nx\n", 4),
    Case("CRLF counts as one line", "a\r\n\r\na\r\n", "a", "x", "a\r\n\r\nx\r\n", 3),
    Case("near_line of none", "a\na\n", "a", "x", no("near_line must be 1"), 0),
    Case("near_line below one", "a\na\n", "a", "x", no("near_line must be 1"), -3),
    Case("twice but for spaces", "  a\nb\n    a\nb\n", " a\nb", " x\nb", no("2 times")),
    Case("nearest but for spaces", "q(\n\ta )\nr\nq(\n\ta )\n", "q(\n  a )", "q(\n  b )",
         "q(\n\ta )\nr\nq(\n\tb )\n", 4),
]  # fmt: skip

REFUSED = [
    Case("nothing is quoted", "a", "", "b", no("write_file")),
    Case("nothing is quoted of an empty file", "", "", "b", no("write_file")),
    Case("an empty file", "", "a", "b", NOT_FOUND),
    Case("a file of one line feed", "\n", "a", "b", NOT_FOUND),
    Case("old and new are the same", "a", "a", "a", no("the same")),
    Case("not there", "a\nb\n", "c", "d", NOT_FOUND),
    Case("a letter too many", "return total\n", "return totals", "x", NOT_FOUND),
    Case("another case", "Return\n", "return", "x", NOT_FOUND),
    Case("another number", "timeout = 30\n", "timeout = 31", "timeout = 60", NOT_FOUND),
    Case("another sign", "if a > b:\n", "if a < b:", "x", NOT_FOUND),
    Case("a missing not", "if not ok:\n", "if ok:", "x", NOT_FOUND),
    Case("a space in the middle", "f(a, b)\n", "f(a,b)", "x", NOT_FOUND),
    Case("part of two lines with other spaces", "  abc\n    def\n", "bc\n  de", "x", NOT_FOUND),
    Case("longer than the file", "a\n", "a\nb\nc\n", "x\n", NOT_FOUND),
    Case("with line numbers", "a\nb\n", "   1\ta\n   2\tb", "x", no("line numbers of read_file")),
    Case("blank lines that are not there", "a\nb\n", "\n\n\n", "\n", NOT_FOUND),
    Case("left out with dots", BODY, "def f(a, b):\n    ...\n    return total\n", "x\n", NOT_FOUND),
    Case("it would join lines that are not quoted so", "  a\nb\n", "a\n c\n", "x", NOT_FOUND),
    Case("only by spaces, and it would join lines", "  a \nb\n", "  a\n", "x", NOT_FOUND),
    Case("a new text that is there already", "b\n", "a", "b", NOT_FOUND),
]

SPACES = [
    Case("a space at the end of a line", "a  \nb\n", "a\nb", "a\nc", "a  \nc\n"),
    Case("quoted with a space too many", "a\nb\n", "a  \nb", "a  \nc", "a\nc\n"),
    Case("a tab at the end", "a\t\nb\n", "a\nb\n", "x\nb\n", "x\nb\n"),
    Case("a line of spaces", "a\n   \nb\n", "a\n\nb", "a\n\nc", "a\n   \nc\n"),
    Case("less indentation", "    a\n    b\n", "a\nb", "a\nc", "    a\n    c\n"),
    Case("more indentation", "a\nb\n", "    a\n    b", "    a\n    c", "a\nc\n"),
    Case("deeper by four", "    if x:\n        y\n", "if x:\n    y", "if x:\n    z\n    w",
         "    if x:\n        z\n        w\n"),
    Case("shallower by four", "if x:\n    y\n", "    if x:\n        y", "    if z:\n        y",
         "if z:\n    y\n"),
    Case("a level that is new", "    if x:\n        y\n", "if x:\n    y",
         "if x:\n    if q:\n        z", "    if x:\n        if q:\n            z\n"),
    Case("tabs in the file, spaces quoted", "if x:\n\ty\n", "if x:\n    y", "if x:\n    z",
         "if x:\n\tz\n"),
    Case("tabs in the file, two spaces quoted", "if x:\n\ty\n", "if x:\n  y",
         "if x:\n  y\n  z", "if x:\n\ty\n\tz\n"),
    Case("tabs for spaces, a level that is new", "if x:\n\ty\n", "if x:\n    y",
         "if x:\n    if z:\n        y", "if x:\n\tif z:\n\t\ty\n"),
    Case("spaces in the file, tabs quoted", "if x:\n    y\n", "if x:\n\ty",
         "if x:\n\tif z:\n\t\ty", "if x:\n    if z:\n        y\n"),
    Case("tabs for spaces, deeper too", "\tif x:\n\t\ty\n", "if x:\n    y",
         "if z:\n    y\n    q", "\tif z:\n\t\ty\n\t\tq\n"),
    Case("two spaces in the file, four quoted", "if x:\n  y\n", "if x:\n    y",
         "if x:\n    z", "if x:\n  z\n"),
    Case("two for four, a level that is new", "if x:\n  y\n", "if x:\n    y",
         "if x:\n    if q:\n        z", no("indent")),
    Case("one line, no telling how wide a tab is", "\ty = 1\n", "  y = 1 ",
         " if x:\n   y = 2", no("indent")),
    Case("one indentation became two", "  a\n    b\n", " a\n b", " a\n c", no("indent")),
    Case("blank lines are not indented", "    a\n\n    b\n", "a\n\nb", "a\n\nc\n\nd",
         "    a\n\n    c\n\n    d\n"),
    Case("lines that stay keep their spaces", "\ta = 1 \n\tb = 2\n", "    a = 1\n    b = 2",
         "    a = 1\n    b = 3", "\ta = 1 \n\tb = 3\n"),
    Case("lines that go", "    a\n    b\n    c\n", "  a\n  b\n", "  a\n", "    a\n    c\n"),
    Case("all lines go", "x\n\ta\n\tb\ny\n", "  a\n  b\n", "", "x\ny\n"),
    Case("all lines go, at the end", "x\n\ta\n\tb", "  a\n  b\n", "", "x\n"),
    Case("CRLF and other spaces", "if x:\r\n\ty\r\n", "if x:\n    y", "if x:\n    y\n    z",
         "if x:\r\n\ty\r\n\tz\r\n"),
    Case("the first line without its indentation", "    a = f(\n        1 )\n",
         "a = f(\n  1 )", "a = f(\n  2 )", "    a = f(\n        2 )\n"),
    Case("tab and spaces in one indentation", "if x:\n\t  y\n", "if x:\n     y",
         "if x:\n     z", "if x:\n\t  z\n"),
    Case("tab and spaces, a level that is new", "if x:\n\t  y\n", "if x:\n     y",
         "if x:\n     y:\n       z", no("indent")),
    Case("a line that goes takes its indentation with it", "if x:\n    log()\n    b\n",
         "log()\n", "", "if x:\n    b\n"),
    Case("and where part of it is quoted", "if x:\n    log()\n    b\n", "  log()\n", "",
         "if x:\n    b\n"),
    Case("and with CRLF", "if x:\r\n\tlog()\r\n\tb\r\n", "log()\n", "", "if x:\r\n\tb\r\n"),
    Case("the lines of a new string would be indented", "def f():\n    sql = 1\n    run(sql)\n",
         "sql = 1\nrun(sql)", 'sql = """\nSELECT 1\n"""\nrun(sql)', no("indent")),
    Case("a string of one line is none of them", "def f():\n    sql = 1\n    run(sql)\n",
         "sql = 1\nrun(sql)", "sql = '''SELECT 1'''\ngo(sql)",
         "def f():\n    sql = '''SELECT 1'''\n    go(sql)\n"),
    Case("a docstring is indented", "class A:\n    x = 1\n    y = 2\n", "x = 1\ny = 2",
         'def f():\n    """Words.\n\n    More.\n    """\ny = 2',
         'class A:\n    def f():\n        """Words.\n\n        More.\n        """\n    y = 2\n'),
    Case("a blank line at the end is quoted too", "a \n\nb\n", "a\n\n", "c\n\n", "c\n\nb\n"),
]  # fmt: skip


def put(old: str, new: str) -> str:
    """LONG with a part replaced."""
    assert LONG.count(old) == 1
    return LONG.replace(old, new)


LIKE = [
    Case("a word of a comment", LONG, put("The folder is made", "The folder gets made"),
         put("The folder is made", "The folder gets made").replace("len(self", "2 * len(self"),
         put("len(self", "2 * len(self")),
    Case("typographic quotes around it", LONG, LONG.replace('"""', "“””"), LONG.replace('"""', "“””").replace("return self", "return 1"),
         put("return self", "return 1")),
    Case("a dash in a comment", LONG.replace("rows, and", "rows – and"),
         LONG.replace("rows, and", "rows - and"),
         LONG.replace("rows, and", "rows - and").replace("return self", "return 1"),
         LONG.replace("rows, and", "rows – and").replace("return self", "return 1")),
    Case("a line that goes", LONG, put("is made if it is", "is made when it is"),
         put("is made if it is", "is made when it is").replace(
             "        self.count = len(self.rows)\n", ""),
         put("        self.count = len(self.rows)\n", "")),
    Case("a line that comes", LONG, put("is made if it is", "is made when it is"),
         put("is made if it is", "is made when it is").replace(
             "        return self\n", "        self.check()\n        return self\n"),
         put("        return self\n", "        self.check()\n        return self\n")),
    Case("and another indentation", LONG.replace("    ", "\t"),
         put("is made if it is", "is made when it is"),
         put("is made if it is", "is made when it is").replace("return self", "return 1"),
         LONG.replace("    ", "\t").replace("return self", "return 1")),
    Case("CRLF", LONG.replace("\n", "\r\n"), put("is made if it is", "is made when it is"),
         put("is made if it is", "is made when it is").replace("return self", "return 1"),
         put("return self", "return 1").replace("\n", "\r\n")),
    Case("the line to be replaced is quoted wrongly", LONG, put("load_rows(path)", "load_rows(p)"),
         put("load_rows(path)", "read_rows(path)"), ABOUT_ALIKE),
    Case("the line to be removed is quoted wrongly", LONG, put("len(self.rows)", "len(self.row)"),
         put("        self.count = len(self.rows)\n", ""), ABOUT_ALIKE),
    Case("the line beside the new one is quoted wrongly", LONG,
         put("return self", "return this"),
         put("return self", "return this").replace(
             "        return this\n", "        self.check()\n        return this\n"), ABOUT_ALIKE),
    Case("another name in a line that stays", LONG.replace("def open(", "def open_stores("),
         LONG.replace("def open(", "def open_store("),
         LONG.replace("def open(", "def open_store(").replace("return self", "return 1"), ABOUT_ALIKE),
    Case("another number in a line that stays", LONG.replace("= path", "= path[12]"),
         LONG.replace("= path", "= path[13]"),
         LONG.replace("= path", "= path[13]").replace("return self", "return 1"), ABOUT_ALIKE),
    Case("another name in a division", LONG.replace("= path", "= path // stores"),
         LONG.replace("= path", "= path // store"),
         LONG.replace("= path", "= path // store").replace("return self", "return 1"), ABOUT_ALIKE),
    Case("another sign in a line that stays", LONG.replace("= path", "= (path)"), LONG,
         LONG.replace("return self", "return 1"),
         LONG.replace("= path", "= (path)").replace("return self", "return 1")),
    Case("two that are alike", LONG + LONG.replace("Store", "Storage"),
         LONG.replace("Store", "Storing"), LONG.replace("Store", "Storing").replace(
             "return self", "return 1"), no("lines 1, 10")),
    Case("less alike than is needed", LONG,
         LONG.replace("Keeps rows, and tells who asks.", "Something that is quite different here")
         .replace("The folder is made if it is missing.", "A remark of which nothing is there.")
         .replace("class Store:", "class Another(Base):"),
         "x\n", no("90% is needed")),
    Case("one line only", "    # The folder is made if it is missing.\n",
         "    # The folder gets made if it is missing.", "x", NOT_FOUND),
    Case("half of the lines are others", "a = 1\nb = 2\nc = 3\nd = 4\n",
         "a = 1\nb = 3\nc = 4\nd = 4\n", "x\n", NOT_FOUND),
    Case("one line is quite another", LONG, put("        self.path = path\n", "        pass\n"),
         put("        self.path = path\n", "        pass\n").replace("return self", "return 1"),
         ABOUT_ALIKE),
    Case("a line is missing in the quote", LONG, put("        self.path = path\n", ""),
         "x\n", NOT_FOUND),
    Case("a line too many is quoted", LONG, put("        return self\n", "        x\n        return self\n"),
         "x\n", NOT_FOUND),
    Case("numbers of another case", "case 1:\n  a()\n  b()\n  c()\ncase 2:\n  a()\n  b()\n  c()\n",
         "case 3:\n  a()\n  b()\n  c()\n", "case 3:\n  a()\n  b()\n  d()\n", NOT_FOUND),
]  # fmt: skip

TABLES = {
    "exact": EXACT,
    "no final line feed": NO_FINAL_LINE_FEED,
    "line endings": LINE_ENDINGS,
    "encodings": ENCODINGS,
    "unicode": UNICODE,
    "duplicates": DUPLICATES,
    "refused": REFUSED,
    "spaces": SPACES,
    "like": LIKE,
}
CASES = [(f"{table}: {case.name}", case) for table, cases in TABLES.items() for case in cases]
