"""Secrets are taken out of text, however they are spelled and wherever the text is parted."""

from __future__ import annotations

import base64
import html
import json
import random
import re
import shlex
import string
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from turnstone.core.masking import MASK, SHORTEST, Masking, is_place, secrets_of

CANARY = "c4nary/Value+with=signs"

#: One key of each shape that is known; made up, every one.
SHAPED = [
    "sk-" + "a1B2" * 6,
    "sk-ant-api03-" + "x9Y8" * 8,
    "sk_live_" + "a1b2" * 6,
    "ghp_" + "a1B2" * 9,
    "github_pat_" + "a1B2_" * 12,
    "glpat-" + "a1B2" * 6,
    "xoxb-" + "1234567890-abc",
    "xapp-1-" + "A1B2" * 6,
    "AKIA" + "A1B2" * 4,
    "AIza" + "a1B2-" * 7,
    "ya29." + "a1B2" * 8,
    "hf_" + "aBcD" * 9,
    "tvly-" + "a1B2" * 6,
    "npm_" + "a1B2" * 9,
    "pypi-" + "a1B2" * 15,
    "dop_v1_" + "a1b2" * 16,
    "SG." + "a1B2" * 5 + "." + "c3D4" * 5,
    "gsk_" + "a1B2" * 12,
    "nvapi-" + "a1B2" * 12,
    "eyJ" + "a1B2" * 4 + ".eyJ" + "c3D4" * 4 + "." + "e5F6" * 4,
    "eyJ" + "a1B2" * 4 + ".." + "c3D4" * 4 + "." + "e5F6" * 4 + "." + "g7H8" * 4,
    "xai-" + "a1B2" * 12,
    "hvs." + "a1B2" * 8,
    "glrt-" + "a1B2" * 5,
    "dckr_pat_" + "a1B2" * 7,
    "shpat_" + "a1b2" * 8,
    "AGE-SECRET-KEY-1" + "QPZ2" * 14,
    "whsec_" + "a1B2" * 8,
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz\naC1rZXk=\n-----END OPENSSH PRIVATE KEY-----",
]

ORDINARY = [
    "the task-force met at sk-8 o'clock",
    "git commit 0123456789abcdef0123456789abcdef01234567",
    "https://example.org/a/path?with=query#and-fragment",
    "user@example.org wrote to root@localhost:22",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "risk-assessment-of-the-whole-undertaking-in-detail",
    "password=",
]


@pytest.mark.parametrize("key", SHAPED, ids=lambda key: key[:10])
def test_a_key_of_a_known_make_is_masked_wherever_it_stands(key: str) -> None:
    for before, after in (("", ""), ("key: ", "\n"), ("'", "'"), ("TOKEN=", " x")):
        assert Masking().text(before + key + after) == before + MASK + after


OPAQUE = "a1B2c3D4" * 3

#: Text with a value that is known by the name beside it, which is the one in `«»`.
NAMED = [
    f"> Authorization: Bearer «{OPAQUE}»",
    "< authorization: Basic «dXNlcjpwYXNz»\r",
    "* [HTTP/2] [1] [authorization: Bearer «s3cr3t-v4lue»]",
    "Proxy-Authorization: Basic «dXNlcjpwYXNzd29yZA==»",
    f"curl -H 'X-Api-Key: «{OPAQUE}»' https://example.org/",
    'headers["Authorization"] = "token «0123456789abcdef»"',
    f'{{"Authorization": "Bearer «{OPAQUE}»", "Accept": "*/*"}}',
    f"{{'x-api-key': '«{OPAQUE}»'}}",
    f"(b'authorization', b'Bearer «{OPAQUE}»')",
    f'{{\\"Authorization\\": \\"Bearer «{OPAQUE}»\\"}}',
    f'"name": "Authorization",\n    "value": "Bearer «{OPAQUE}»"',
    f"map[Authorization:[Bearer «{OPAQUE}»] Accept:[*/*]]",
    f"GET / HTTP/1.1\\r\\nAuthorization: Bearer «{OPAQUE}»\\r\\n",
    "Cookie: theme=dark; session=«hunter2hunter2»",
    "Set-Cookie: sid=«hunter2hunter2»; Path=/a/long/path; HttpOnly",
    '"cookie": "sid=«hunter2hunter2»; a=b"',
    "GET /x?page=2&access_token=«hunter2»&size=10 HTTP/1.1",
    "https://example.org/login?user=me&password=«hunter2»",
    "https://example.org/blob?sv=1&amp;sig=«a%2Bb%3D12»#part",
    "host=db.example.org user=me password=«hunter2» dbname=app",
    "host=db user=me password=«'two words'» dbname=app",
    "Server=db;User Id=sa;Password=«hunter2!»;Encrypt=yes",
    f"AccountName=x;AccountKey=«{OPAQUE}==»;EndpointSuffix=y",
    "postgres://user:«hunter2»@db.example.org:5432/app",
    "amqps://user:«p:w»@mq.example.org",
    "postgres://user:«ab/cd1»@db.example.org/app",
    f"git clone https://«{OPAQUE}»@git.example.org/x",
    f"authorization:    Bearer    «{OPAQUE}»",
    f"{{'x_api_key': '«{OPAQUE}»'}}",
    f"https://example.org/cb#access_token=«{OPAQUE}»&x=1",
    f"https://example.org/?access_key=«{OPAQUE}»",
    f"https://example.org/?key=«{OPAQUE}»&x=1",
    f"https://example.org/?auth=«{OPAQUE}»",
    f"Password=«{OPAQUE}»;Server=h;User Id=u",
    f"password=«{OPAQUE}» host=h user=u",
    f"DB_PASSWORD=«{OPAQUE}»",
    f"export OPENAI_API_KEY=«{OPAQUE}»",
    f"aws_secret_access_key = «{OPAQUE}/+x»",
    f'{{"password": "«{OPAQUE}»", "a": 1}}',
    f"token: «{OPAQUE}»",
    '{"auth": "«dXNlcjpwYXNzd29yZDEyMw==»"}',
    f"//packages.example.org/:_authToken=«{OPAQUE}»",
    f"machine h login u password «{OPAQUE}»",
    f"curl -s -u admin:«{OPAQUE}» https://example.org/",
    f"user:«{OPAQUE}»@tcp(127.0.0.1:3306)/db",
    f'Authorization: Digest username="u", response="«{"0a1b" * 8}»"',
    f"Authorization: AWS4-HMAC-SHA256 Credential=x/2013, Signature=«{'0a1b' * 16}»",
    f"https://hooks.slack.com/services/«T00000000/B00000000/{OPAQUE}»",
    f"https://discord.com/api/webhooks/123456789012345678/«{OPAQUE * 3}»",
    f"https://api.telegram.org/bot«123456789:AA{'a1B2c3D4e' * 4}»/getMe",
]

#: What has such names and no secret.
NAMELESS = [
    "Authorization: required",
    "authorization: Bearer accessToken",
    "Authorization: Bearer $TOKEN",
    "Authorization: Bearer <token>",
    "Authorization: Bearer YOUR_ACCESS_TOKEN",
    'headers["Authorization"] = f"Bearer {token}"',
    'headers = {"Authorization": "Bearer " + token, "X-Api-Key": settings.api_key}',
    "authorization: string; cookie: Cookie | undefined;",
    "authorization: https://example.org/oauth2/authorize",
    "Authorization: HTTP/1.1 401 Unauthorized",
    "Cookie: a small file, kept by the browser (see RFC 6265 of 2011)",
    "Cookie: name=${value}; lang=en",
    "Set-Cookie: lang=en; Path=/; Expires=Wed, 21 Oct 2015 07:28:00 GMT",
    'url = f"https://example.org/?token={token}&page=2"',
    "https://example.org/?token=<token>&password=$PASSWORD",
    "https://example.org/?page_token=abcdef123&next=4",
    "if (flags&token == 5 && a&password) return x;",
    "connect(host=host, user=user, password=os.environ['PGPASSWORD'])",
    "password = getpass('Password: ')",
    "def login(user: str, password: str = 'password') -> Token: ...",
    "host = socket.gethostname(); password = input()",
    "the api-key: see docs/api.md",
    "key: value, api-key: /etc/keys/key1.pem",
    'mysql.connect(host="x", user=user_name, password=config.password)',
    "db = DB(server=srv, password=self.password)",
    "user = request.user; password = request.POST.password",
    "https://example.org/?password=required&user=x",
    "/login?password=hidden&user=x",
    'route("/reset?token=:token")',
    "https://docs.example.org/?sig=sha256",
    "uid=1000(u) gid=1000 pwd=/srv/u/project",
    "sk-learn-compatible-estimator-name",
    'class="sk-folding-cube-animation-wrapper"',
    "redis://[[username]:[password]]@host:6379/0",
    "postgres://user:password@localhost/db and mongodb://${USER}:${PASS}@host",
    "Auth-Token, X-Request-Id2",
    "authorization=AuthorizationPolicy2, apiKey=ApiKeyV2Provider",
    "Authorization: Bearer oauth2.accessToken",
    "X-Api-Key: your-api-key-1",
    "tokens: [api-key, access_token_v2x]",
    "image: registry://repo:5000@sha256:aabb and git+https://git.example.org:443@main",
    "http://localhost:8080/@vite/client or https://host:8080/path@1.2.3",
    "Cookie: cookie_name=cookie_value",
    "secret: k8s-db-credentials and token = base64.b64encode",
    "password: str = sha256_of_password, key = utf8_general_ci",
]


@pytest.mark.parametrize("marked", NAMED)
@pytest.mark.parametrize("size", [1, 5, 1000])
def test_a_value_is_masked_by_the_name_beside_it_and_the_rest_stays(marked: str, size: int) -> None:
    text = "first\n" + marked.replace("«", "").replace("»", "") + "\nlast\n"
    before, _, rest = marked.partition("«")
    told = f"first\n{before}{MASK}{rest.partition('»')[2]}\nlast\n"
    assert Masking().text(text) == told
    assert Masking().text(told) == told
    stream = Masking().stream()
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert "".join([*map(stream.piece, pieces), stream.rest()]) == told


@pytest.mark.parametrize("text", NAMELESS)
def test_such_a_name_without_a_secret_leaves_the_text_alone(text: str) -> None:
    assert Masking().text(text) == text


_WORDS = st.sampled_from(
    "the a token password cookie Cookie authorization Authorization api-key secret session header"
    " user host value is has None null Bearer Basic request response x2 v1.2 2026-01-02 example.org"
    " getToken apiKey access_token self.password os.environ config.api_key".split()
)
_JOINTS = st.sampled_from(
    [" ", " ", " ", "\n", ", ", ": ", " = ", "(", ")", ".", "; ", " == ", '": "', "' + '", "[", "]"]
)


@given(st.lists(st.tuples(_WORDS, _JOINTS), max_size=40))
def test_ordinary_prose_and_code_stay_as_they_are(parts: list[tuple[str, str]]) -> None:
    text = "".join(word + joint for word, joint in parts)
    assert Masking([CANARY]).text(text) == text
    stream = Masking([CANARY]).stream()
    assert "".join([*map(stream.piece, text), stream.rest()]) == text


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert Masking([CANARY]).text(text) == text


def test_a_known_value_is_masked_in_every_spelling_that_programs_give_it() -> None:
    raw = CANARY.encode()
    masking = Masking([CANARY])
    spellings = [CANARY, raw.hex(), quote(CANARY, safe=""), json.dumps(CANARY)[1:-1]]
    for text in spellings:
        assert masking.text(f"<{text}>") == f"<{MASK}>"
    for offset in range(3):
        coded = base64.b64encode(b"x" * offset + raw + b"tail").decode()
        assert MASK in masking.text(coded)
        assert coded[6:-10] not in masking.text(coded)


AWKWARD = "aB/cD+e1~f2=gH&iJ <it's>\"x$"

#: How programs write it, as they do.
SPELLED = {
    "hex": AWKWARD.encode().hex().upper(),
    "python quote": quote(AWKWARD),
    "python quote_plus": quote_plus(AWKWARD),
    "curl": re.sub("%..", lambda found: found[0].lower(), quote(AWKWARD, safe="")),
    "encodeURI": quote(AWKWARD, safe=";,/?:@&=+$#!*'()"),
    "encodeURIComponent": quote(AWKWARD, safe="!*'()"),
    "php": json.dumps(AWKWARD)[1:-1].replace("/", "\\/"),
    "go": json.dumps(AWKWARD)[1:-1].translate({38: "\\u0026", 60: "\\u003c", 62: "\\u003e"}),
    "html": html.escape(AWKWARD, quote=False),
    "html attribute": html.escape(AWKWARD),
    "html of go": html.escape(AWKWARD).replace("&quot;", "&#34;").replace("&#x27;", "&#39;"),
    "shell %q": re.sub(r"([^\w/+=.:-])", r"\\\1", AWKWARD),
    "shell %q of ~ within": re.sub(r"([^\w/+=.:~-])", r"\\\1", AWKWARD),
    "shlex": shlex.quote(AWKWARD)[1:-1],
    "single quotes": AWKWARD.replace("'", "'\\''"),
    "repr": repr(AWKWARD)[1:-1],
}


@pytest.mark.parametrize("text", SPELLED.values(), ids=SPELLED)
def test_a_known_value_is_masked_as_this_program_writes_it(text: str) -> None:
    masking = Masking([AWKWARD])
    assert masking.text(f"<{text}>") == f"<{MASK}>"
    stream = masking.stream()
    assert "".join([*map(stream.piece, f"<{text}>"), stream.rest()]) == f"<{MASK}>"


def test_a_value_that_is_too_short_to_tell_from_a_word_is_not_masked() -> None:
    assert Masking(["root"]).text("root is here") == "root is here"
    assert Masking(["r" * SHORTEST]).text("r" * SHORTEST) == MASK


def test_a_password_in_an_address_is_masked_and_the_rest_stays() -> None:
    told = Masking().text("redis://user:hunter22@db.example.org:6379/0")
    assert told == f"redis://user:{MASK}@db.example.org:6379/0"


def test_secrets_of_an_environment_go_by_the_names_of_its_variables() -> None:
    environment = {
        "OPENAI_API_KEY": "k-123456789",
        "MAX_TOKENS": "many of them",
        "PWD": "/a/place",
        "COMPASS": "north-north-west",
        "DB_PASSWORD": "hunter2hunter2",
        "SSH_AUTH_SOCK": "/tmp/agent.1234",
        "TOKEN_LIMIT": "1000000000",
        "KEYBOARD": "qwertzqwertz",
        "HOME": "/a/place",
    }
    assert set(secrets_of(environment)) == {"k-123456789", "hunter2hunter2"}


pieces = st.lists(
    st.sampled_from(
        [
            *SHAPED,
            *NAMED[:4],
            *NAMED[13:18],
            CANARY,
            "pass word with blanks",
            "\n",
            " ",
            "text",
            "-",
            "ü",
            "=",
        ]
    )
)


@given(pieces, st.lists(st.integers(1, 40), min_size=1))
@example([CANARY], [1])
def test_a_stream_shows_no_secret_however_it_is_cut(parts: list[str], sizes: list[int]) -> None:
    secrets = [CANARY, "pass word with blanks"]
    text, shown = "\n".join(parts), ""
    stream = Masking(secrets).stream()
    at = n = 0
    while at < len(text):
        size = sizes[n % len(sizes)]
        shown += stream.piece(text[at : at + size])
        at, n = at + size, n + 1
    shown += stream.rest()

    for secret in secrets:
        assert secret not in shown
    if len(text) < 4096:
        assert shown == Masking(secrets).text(text)
    if not any(secret in text for secret in [*SHAPED, *NAMED, *secrets]):
        assert shown == text


def test_a_stream_without_secrets_is_not_held_back_for_long() -> None:
    stream = Masking([CANARY]).stream()
    assert stream.piece("compiling\nlinking\n") == "compiling\nlinking\n"
    assert len(stream.piece("x" * 10_000)) > 5_000


#: What a program may print before a key, and what a reader sees of it.
BEFORE = [
    "\\n",
    "\\t",
    "url%3D",
    "\\u003d",
    "\x1b[31m",
    "text\x1b[1;31m",
    "done\r",
    "\u200b",
    "+",
    '"',
]


@pytest.mark.parametrize("before", BEFORE, ids=ascii)
@pytest.mark.parametrize("key", SHAPED, ids=lambda key: key[:10])
def test_a_key_is_masked_after_an_escape(key: str, before: str) -> None:
    assert Masking().text(before + key + '"') == before + MASK + '"'
    stream = Masking().stream()
    assert "".join([*map(stream.piece, before + key + '"'), stream.rest()]) == before + MASK + '"'


@pytest.mark.parametrize("unseen", ["\x1b[0m", "\u200b", "\x1b]0;t\x07", "\xad", "\0"], ids=ascii)
@pytest.mark.parametrize("key", [*SHAPED, CANARY], ids=lambda key: key[:10])
def test_a_key_is_masked_though_something_unseen_parts_it(key: str, unseen: str) -> None:
    text = f"<{key[:3]}{unseen}{key[3:9]}{unseen}{key[9:]}>"
    masking = Masking([CANARY])
    stream = masking.stream()
    assert masking.text(text) == f"<{MASK}>"
    assert "".join([*map(stream.piece, text), stream.rest()]) == f"<{MASK}>"


def test_escapes_in_text_without_secrets_stay_in_a_stream_however_it_is_cut() -> None:
    text = "\x1b[1;32mok\x1b[0m 日本語 \x1b]0;a title\x07 risk-assessment-of-the-whole-undertaking \x1b"
    stream = Masking([CANARY]).stream()
    assert "".join([*map(stream.piece, text), stream.rest()]) == text


@pytest.mark.parametrize(
    "name",
    "PGPASSWORD MYSQL_PWD DB_PASS OPENAI_APIKEY GITHUB_PAT SSHPASS NPM_AUTHTOKEN DB_PW_2".split(),
)
def test_the_variables_that_programs_take_passwords_from_are_known(name: str) -> None:
    assert list(secrets_of({name: "hunter2hunter2"})) == ["hunter2hunter2"]


PLACES = [
    "/tmp/agent.1234",
    "/run/user/1000/keyring/ssh",
    "/tmp/ssh-XXabCd12eF/agent.123",
    "/private/tmp/com.apple.launchd.VdYDJmmB9X/Listeners",
    "/srv/someone/.config/gcloud/application_default_credentials.json",
    "/Volumes/someone/Library/Application-Support/MyTool2/token",
    "~/.ssh/id_ed25519",
    "./secrets/token.txt",
    "../keys/server.key",
    "/token.json",
    ".credentials.json",
]
KEYS = [
    "/JalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY0",
    ".abcDEF123456",
    "~hunter2hunter2",
    "/wJa/rXUtnF3MI/K7MDENGbPxRf1CYzkEy",
    "/correcthorse",
]


@pytest.mark.parametrize("value", PLACES)
def test_a_path_is_no_secret_though_its_variable_is_named_like_one(value: str) -> None:
    assert not list(secrets_of({"MY_TOKEN": value}))


@pytest.mark.parametrize("value", KEYS)
def test_a_key_that_begins_like_a_path_is_a_secret(value: str) -> None:
    assert list(secrets_of({"MY_TOKEN": value})) == [value]


def test_of_keys_in_base64_that_begin_with_a_slash_next_to_none_is_taken_for_a_path() -> None:
    chance = random.Random(64)
    alphabet = string.ascii_letters + string.digits + "+/"
    keys = ["/" + "".join(chance.choices(alphabet, k=n)) for n in range(19, 64) for _ in range(100)]
    missed = [key for key in keys if is_place(key)]
    assert len(missed) <= len(keys) // 200, missed


def body(lines: int, width: int = 64) -> list[str]:
    chance = random.Random(width)
    return [
        "a1B" + "".join(chance.choices(string.ascii_letters + "0123456789+/", k=width - 3))
        for _ in range(lines)
    ]


@pytest.mark.parametrize("size", [1, 7, 500, 100_000])
def test_of_a_private_key_of_any_length_nothing_is_shown_while_it_is_printed(size: int) -> None:
    lines = "\n".join(body(120))
    kind = "PGP PRIVATE KEY BLOCK"
    text = f"before\n-----BEGIN {kind}-----\n{lines}\n-----END {kind}-----\nafter\n"
    stream = Masking().stream()
    shown = "".join(stream.piece(text[i : i + size]) for i in range(0, len(text), size))
    assert shown + stream.rest() == f"before\n{MASK}\nafter\n"


AFTER = "def important(): ...\nFAILED tests/test_x.py\n"
NAMES_A_KEY = [
    "./a.py:3:START = '-----BEGIN RSA PRIVATE KEY-----'\n",
    "# -----BEGIN PRIVATE KEY-----\n",
    'x = "-----BEGIN PRIVATE KEY-----" and more\n',
    "-----BEGIN OPENSSH PRIVATE KEY-----\nword\n",
    "assert '-----BEGIN PRIVATE KEY-----\\n' in text, text\n",
]


@pytest.mark.parametrize("text", NAMES_A_KEY)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_line_that_only_names_the_beginning_of_a_private_key_hides_nothing(
    text: str, size: int
) -> None:
    text += AFTER
    assert Masking().text(text) == text
    stream = Masking().stream()
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert "".join([*map(stream.piece, pieces), stream.rest()]) == text


KEY_LINES = ["MIIEvQIBADANBgkqhkiG9w0BAQEFAASC", "a1B2c3D4" * 5, "Zm9vYmFy"]
BEGINS_KEY = "-----BEGIN PRIVATE KEY-----"

#: What a private key looks like where it goes on, without its end.
WRITTEN = [
    "\n".join([BEGINS_KEY, *KEY_LINES]),
    "\r\n".join([BEGINS_KEY, *KEY_LINES]),
    "\n".join([BEGINS_KEY, "Proc-Type: 4,ENCRYPTED", "DEK-Info: AES-128-CBC,0F", "", *KEY_LINES]),
    "\n    ".join([BEGINS_KEY, *KEY_LINES]),
    "\n".join([BEGINS_KEY, *(f"  {n}\t{line}" for n, line in enumerate(KEY_LINES))]),
    "\n".join([BEGINS_KEY, *(f"etc/b.pem:{n}:{line}" for n, line in enumerate(KEY_LINES))]),
    '\\n"\n  "'.join([BEGINS_KEY, *KEY_LINES]),
    '\\n" +\n  "'.join([BEGINS_KEY, *KEY_LINES]),
    "\\n".join([BEGINS_KEY, *KEY_LINES]),
    "\n+".join([BEGINS_KEY, *KEY_LINES]),
]


@pytest.mark.parametrize("key", WRITTEN)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_private_key_without_its_end_ends_with_its_last_line(key: str, size: int) -> None:
    text = f"first\n{key}\n{AFTER}"
    told = f"first\n{MASK}\n{AFTER}"
    assert Masking().text(text) == told
    stream = Masking().stream()
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert "".join([*map(stream.piece, pieces), stream.rest()]) == told


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_private_key_on_one_line_is_masked(size: int) -> None:
    """As `echo $KEY` prints it."""
    text = " ".join([BEGINS_KEY, *KEY_LINES, "-----END PRIVATE KEY----- and more\n"])
    stream = Masking().stream()
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert "".join([*map(stream.piece, pieces), stream.rest()]) == f"{MASK} and more\n"
    assert Masking().text(text) == f"{MASK} and more\n"


def numbered(lines: list[str]) -> str:
    return "\n".join(f"{number:>4}\t{line}" for number, line in enumerate(lines, 2))


@pytest.mark.parametrize("width", [64, 70])
@pytest.mark.parametrize(
    "spell",
    ["\n".join, "\\n".join, numbered, lambda lines: "\n".join(f"+{line}" for line in lines)],
    ids=["plain", "json", "numbered", "diff"],
)
def test_the_bare_body_of_a_private_key_is_masked(width: int, spell: Any) -> None:
    lines = [*body(8, width), "Zm9vYmFyCg=="]
    text = f"first line\n{spell(lines)}\nthe last line"
    told = Masking().text(text)
    assert MASK in told
    assert not any(line[3:-3] in told for line in lines)
    assert told.startswith("first line\n")
    assert told.endswith("\nthe last line")


@pytest.mark.parametrize("size", [1, 10, 200])
def test_the_bare_body_of_a_private_key_is_masked_while_it_is_printed(size: int) -> None:
    lines = body(10)
    text = "first line\n" + "\n".join(lines) + "\nthe last line\n"
    stream = Masking().stream()
    shown = "".join(stream.piece(text[i : i + size]) for i in range(0, len(text), size))
    shown += stream.rest()
    assert not any(line[16:] in shown for line in lines)
    assert shown.endswith("\nthe last line\n")


def test_the_end_of_a_private_key_is_masked_without_its_beginning() -> None:
    text = "x\nMC4CAQAwBQYDK2VwBCIEIA1234\n-----END PRIVATE KEY-----\ny"
    assert Masking().text(text) == f"x\n{MASK}\ny"


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN CERTIFICATE-----\n" + "\n".join(body(12)) + "\n-----END CERTIFICATE-----",
        "\n".join(body(12, 76)),
        "\n".join(random.Random(1).randbytes(32).hex() for _ in range(8)),
        "\n".join(["one", "word", "in", "each", "line"] * 20),
        body(1)[0],
    ],
    ids=["certificate", "base64", "digests", "words", "one line"],
)
def test_other_lines_of_data_are_left_alone(text: str) -> None:
    assert Masking().text(text) == text
    stream = Masking().stream()
    assert "".join([*map(stream.piece, text), stream.rest()]) == text


CUTS = [
    "\n[12,345 characters cut out here; the limit is 30,000]\n",
    " [99 bytes of this line left out]\n",
    " …\n",
]


@pytest.mark.parametrize("cut", CUTS, ids=["middle", "line", "header"])
@pytest.mark.parametrize("kept", range(SHORTEST, len(CANARY)))
def test_what_a_cut_has_left_of_a_secret_is_masked(kept: int, cut: str) -> None:
    masking = Masking([CANARY])
    assert masking.text(f"it is {CANARY[:kept]}{cut}more") == f"it is {MASK}{cut}more"
    coloured = f"it is {CANARY[:3]}\x1b[1m{CANARY[3:kept]}\x1b[0m{cut}more"
    assert CANARY[3:kept] not in masking.text(coloured)
    if cut == CUTS[0]:
        assert masking.text(f"it is{cut}{CANARY[-kept:]} so") == f"it is{cut}{MASK} so"


def test_the_beginning_of_a_key_by_its_shape_is_masked_at_a_cut() -> None:
    assert Masking().text(f"it is ghp_a1B2a1{CUTS[0]}x") == f"it is {MASK}{CUTS[0]}x"
    assert Masking().text(f"an ordinary risk-assessment{CUTS[0]}x").startswith("an ordinary risk-a")


def test_a_password_with_an_at_sign_is_masked_as_a_whole() -> None:
    text = "https://user:p@ss@example.org/ and a@b.org"
    told = f"https://user:{MASK}@example.org/ and a@b.org"
    stream = Masking().stream()
    assert Masking().text(text) == told
    assert "".join([*map(stream.piece, text), stream.rest()]) == told


UNBROKEN = [
    "authorization:",
    "cookie:a=",
    "?token=",
    "host=",
    "a",
    "a.",
    "eyJ-",
    "sk-",
    "+",
    ":",
    "://a:b",
    "-----BEGIN ",
    "\x1b]",
]


def seconds(work: Callable[[str], object], text: str) -> float:
    began = time.process_time()
    work(text)
    return time.process_time() - began


@pytest.mark.parametrize("piece", UNBROKEN)
def test_a_text_without_a_blank_takes_time_in_proportion_to_its_length(piece: str) -> None:
    masking = Masking([CANARY])
    short, long = (piece * (size // len(piece)) for size in (100_000, 400_000))
    least = min(seconds(masking.text, short) for _ in range(3))
    # Four times as much; quadratic work takes sixteen times.
    assert seconds(masking.text, long) < 10 * least


@pytest.mark.parametrize("piece", UNBROKEN)
def test_a_stream_without_a_blank_takes_no_longer_than_the_text_as_a_whole(piece: str) -> None:
    def in_pieces(text: str) -> None:
        stream = masking.stream()
        for at in range(0, len(text), 4096):
            stream.piece(text[at : at + 4096])

    masking = Masking([CANARY])
    text = piece * (200_000 // len(piece))
    whole = min(seconds(masking.text, text) for _ in range(3))
    # Each piece is looked at beside what is held back; work that is quadratic in one piece takes
    # some thousand times as long.
    assert seconds(in_pieces, text) < 20 * whole
