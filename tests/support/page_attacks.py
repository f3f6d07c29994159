"""Texts that try to be more than text in a page, and what tells that one of them was.

Whatever runs of them calls `hacked()`, opens a dialog, or asks for something of a host that
there is not. Each is on one line. Nothing here opens a page.
"""

from __future__ import annotations

import re

_RUN = "window.hacked()"
_AWAY = "https://away.invalid"

_MARKUP = [
    f"<script>{_RUN}</script>",
    f"<script src={_AWAY}/s.js></script>",
    "<script src=data:text/javascript,window.hacked()></script>",
    "<script type=module>import('data:text/javascript,window.hacked()')</script>",
    f"</script><script>{_RUN}</script>",
    f"<img src=x onerror={_RUN}>",
    f"<img src={_AWAY}/pixel.gif>",
    f"<img srcset='{_AWAY}/a.png 1x'>",
    f"<IMG SRC=x OnErRoR={_RUN}>",
    f"<svg onload={_RUN}>",
    f"<svg><script>{_RUN}</script></svg>",
    f"<svg><animate onbegin={_RUN} attributeName=x dur=1s>",
    f"<svg><use href='{_AWAY}/x.svg#a'></use></svg>",
    f"<svg><foreignObject><iframe srcdoc='<script>parent.hacked()</script>'>{_RUN}",
    f"<math><mtext></p><img src=x onerror={_RUN}>",
    f"<math><mi//xlink:href='javascript:{_RUN}'>click",
    f"<iframe src=javascript:{_RUN}></iframe>",
    "<iframe srcdoc='<script>parent.hacked()</script>'></iframe>",
    f"<object data=javascript:{_RUN}></object>",
    f"<embed src={_AWAY}/x.swf>",
    f"<video><source onerror={_RUN}></video>",
    f"<audio src=x onerror={_RUN}>",
    f"<details open ontoggle={_RUN}>",
    f"<body onload={_RUN}>",
    f"<input autofocus onfocus={_RUN}>",
    f"<form action={_AWAY}><button>Allow once</button></form>",
    f"<button formaction=javascript:{_RUN}>x</button>",
    f"<meta http-equiv=refresh content='0;url={_AWAY}'>",
    f"<base href={_AWAY}/>",
    f"<link rel=stylesheet href={_AWAY}/a.css>",
    f"<link rel=preload as=image href={_AWAY}/a.png>",
    f"<a href=javascript:{_RUN}>click</a>",
    f"<a href='jav&#x09;ascript:{_RUN}'>click</a>",
    f"<template><img src=x onerror={_RUN}></template>",
    f"<noscript><p title='</noscript><img src=x onerror={_RUN}>'>",
    f"<textarea></textarea><img src=x onerror={_RUN}>",
    f"<title></title><img src=x onerror={_RUN}>",
    f"<!--><img src=x onerror={_RUN}>-->",
    f"<![CDATA[<img src=x onerror={_RUN}>]]>",
    f"<xss style=animation-name:x onanimationstart={_RUN}>",
    f"\"'><img src=x onerror={_RUN}>",
    f"' autofocus onfocus={_RUN} x='",
    f"${{{_RUN}}} {{{{{_RUN}}}}} `${{{_RUN}}}`",
    f"&lt;img src=x onerror={_RUN}&gt;",
    f"&#60;script&#62;{_RUN}&#60;/script&#62;",
    f"\\u003cscript\\u003e{_RUN}\\u003c/script\\u003e",
    "<form><input name=attributes><input name=innerHTML></form>",
    "<a id=hacked name=hacked>clobbered</a>",
]

_STYLE = [
    "<style>*{display:none!important}</style>",
    f"<style>@import '{_AWAY}/a.css';</style>",
    f"<p style='position:fixed;inset:0;background:url({_AWAY}/a.png)'>over it all</p>",
    "<div class='toast error'>You are signed out.</div>",
    f"</style><img src=x onerror={_RUN}>",
]

_LINKS = [
    f"[click](javascript:{_RUN})",
    f"[click](JaVaScRiPt:{_RUN})",
    f"[click](java\tscript:{_RUN})",
    f"[click](javascript&colon;{_RUN})",
    "[click](data:text/html,<script>opener.hacked()</script>)",
    f"[click](vbscript:{_RUN})",
    "[click](file:///etc/passwd)",
    f"[click][ref] [ref]: javascript:{_RUN}",
    f"![pixel]({_AWAY}/pixel.gif)",
    f"![pixel](x' onerror='{_RUN})",
    f"[x](https://a.invalid 'y\" onmouseover=\"{_RUN}')",
    f"<javascript:{_RUN}>",
    f'<https://a.invalid/"onmouseover={_RUN}//>',
]

_TURNED = [
    "invoice\u202efdp.exe",
    "a\u2066b\u2069c\u2067d",
    "rm -rf /\u200b tmp",
    "pay\u00adpal \ufeffnothing\u2060here",
    "\u061c\u200fabc\u200e",
    "tag\U000e0041\U000e0042 letters",
    "esc\u001b[2J\u001b]0;title\u0007bell",
    "line\u2028and\u2029paragraph",
    "nul\u0001\u007f\u0085here",
    "back\u0008\u0008\u0008space",
    "z\u0335\u0321\u0322" + "\u0336" * 60 + "algo",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 hello",
]

_ODD = [
    '{"__proto__": {"hacked": true}}',
    "__proto__",
    "constructor",
    "hasOwnProperty",
    "| a | b |<script>window.hacked()</script>",
    "```<img src=x onerror=window.hacked()>",
    "%3Cscript%3Ewindow.hacked()%3C/script%3E",
    "a" * 2_000,
]

#: All of them.
PAYLOADS = [*_MARKUP, *_STYLE, *_LINKS, *_TURNED, *_ODD]

#: A line that nobody reads, in which something stands that would run.
MEGABYTE = "x" * 500_000 + f"<img src=x onerror={_RUN}>\u202e" + "y" * 500_000

#: What a page must show by its code, and never send to a screen as it is.
HIDDEN = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)

#: Run before anything of the page: what a payload can call.
CANARY = "window.hacked = Object.assign(() => { window.ran = new Error().stack; }, {canary: 1});"

#: Everything in the page that none of its own parts makes, and that a payload would have made.
FOREIGN = """() => {
  const own = (script) => script.src.startsWith(location.origin + "/static/");
  const tags = "body script, iframe, object, embed, svg, math, img, video, audio, source, style, "
    + "base, template, noscript, form[action], [formaction], [style*=fixed], [style*=url], xss, "
    + "[id=hacked], [name=hacked], [name=attributes], head meta[http-equiv]";
  const found = [...document.querySelectorAll(tags)].filter((each) => !(each.src && own(each)));
  for (const each of document.querySelectorAll("*")) {
    for (const { name, value } of each.attributes) {
      const address = /^(href|src|action|xlink:href)$/.test(name);
      const followed = /^(https?:|mailto:|#|\\/)/.test(value);
      if (/^on/.test(name) || (address && !followed)) found.push(each);
    }
  }
  for (const each of document.querySelectorAll("link")) {
    if (!each.href.startsWith(location.origin)) found.push(each);
  }
  const told = found.map((each) => each.outerHTML.slice(0, 200));
  if (window.ran) told.push(`a payload ran: ${window.ran}`);
  if (window.hacked?.canary !== 1) told.push(`a payload took a name: ${window.hacked}`);
  if ({}.hacked !== undefined) told.push("a payload got into the prototype of objects");
  return told;
}"""


def plain(text: str) -> str:
    """The text without what is shown by its code, and without those codes; blanks as one."""
    bare = re.sub(r"⟨U\+[0-9A-F]+⟩", "", HIDDEN.sub("", text))
    return " ".join(bare.split())
